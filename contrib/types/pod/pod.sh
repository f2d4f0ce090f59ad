# shellcheck shell=bash
#
# NSTYPE pod: one of many namespaces of a node, with a host name and addresses from a template.
#
# netns-variables: ADRTEMPLATE PREFIX PODIF POD_NODE POD_NUMBER POD_VETH POD_IFADDR POD_GATEWAY POD_MAC
# netns-variables: POD_MTU POD_IFNAME_OUTSIDE POD_BRIDGE POD_BRIDGE_IFADDR POD_UPLINK POD_HAIRPIN
# netns-variables: POD_FORWARD NETNS_DNS NETNS_DNS_SEARCH
# netns-programs: ip unshare

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash
# shellcheck source=contrib/types/bridge.bash
source /usr/share/systemd-netns/bridge.bash
# shellcheck source=contrib/types/sysctl.bash
source /usr/share/systemd-netns/sysctl.bash

# shellcheck disable=SC2034 # read by netnsinit: the template has defaults
NO_CONFIG_REQUIRED=yes

_pod_names() {
    local name value
    # The settings that `netnsctl pods create` recorded for this pod.
    if [[ -f /run/systemd-netns/pods/$NSNAME ]]; then
        while IFS='=' read -r name value; do
            case $name in
                POD_[A-Z_]* | PODIF) netns_set "$name" "$value" "'netnsctl pods create'" ;;
            esac
        done <"/run/systemd-netns/pods/$NSNAME"
    fi
    # vm-002-ns03 is pod 3 of node 2.
    if [[ $NSNAME =~ (^|-)([0-9]{1,9})-ns([0-9]{1,9})$ ]]; then
        POD_NODE=${POD_NODE:-$((10#${BASH_REMATCH[2]}))}
        POD_NUMBER=${POD_NUMBER:-$((10#${BASH_REMATCH[3]}))}
    fi
    POD_IFNAME_OUTSIDE=${POD_IFNAME_OUTSIDE:-$NSNAME}
    PODIF=${PODIF:-eth0}
    [[ $PODIF != hostname ]] || PODIF=$NSNAME
    POD_VETH=${POD_VETH:-yes}
}

# Sets POD_IFADDR to the addresses of the template unless it is set.
_pod_addresses() {
    local v4 v6
    [[ -z ${POD_IFADDR[*]-} ]] || return 0
    netns_require POD_NODE POD_NUMBER
    local -a command=(netns_ctl address --cidr "${ADRTEMPLATE:-172.16.0.0/16/24}" --net "$POD_NODE"
        --host "$POD_NUMBER" --subnet 2)
    v4=$("${command[@]}" 2>&1) || netns_reject ADRTEMPLATE "${v4#*: }"
    v6=$("${command[@]}" --ipv6-template "${PREFIX:-1000::1}:0.0.0.0" 2>&1) ||
        netns_reject PREFIX 'not the first 96 bits of an IPv6 address, such as 1000::1'
    POD_IFADDR="$v4 $v6"
}

_pod_check() {
    ((${#NSNAME} <= 64)) || {
        echo "$NSNAME cannot be a host name: it is longer than 64 characters" >&2
        exit 6
    }
    netns_check_number POD_NODE 0 999999999
    netns_check_number POD_NUMBER 0 999999999
    netns_check_dns
    netns_is_on POD_VETH || return 0
    netns_check_ifname PODIF POD_IFNAME_OUTSIDE
    netns_check_mac POD_MAC
    netns_check_number POD_MTU 68 65535
    netns_is_on POD_FORWARD || :
    netns_is_on POD_HAIRPIN || :
    _pod_addresses
    netns_check_addresses POD_IFADDR POD_BRIDGE_IFADDR
    netns_check_gateways POD_GATEWAY
    # The host would answer ARP for the address.
    netns_check_addresses_free POD_IFADDR
    [[ -z ${POD_BRIDGE-} ]] || netns_bridge_check POD_BRIDGE
    [[ -z ${POD_UPLINK-} ]] || { netns_require POD_BRIDGE && netns_wait_for_link POD_UPLINK; }
    if ip link show dev "$POD_IFNAME_OUTSIDE" &>/dev/null; then
        netns_reject POD_IFNAME_OUTSIDE 'the interface already exists'
    fi
}

# Creates a UTS namespace with the host name of the pod at /run/utsns/NSNAME, for processes that enter the pod.
_pod_utsname() {
    local file=/run/utsns/$NSNAME
    if [[ $(stat --file-system --format=%T -- "$file" 2>/dev/null) == nsfs ]]; then
        netns_reject_file "$file" 'another UTS namespace is mounted there'
    fi
    mkdir -p /run/utsns
    netns_undo _pod_utsname_remove
    : >"$netns_state/utsname"
    : >"$file"
    if type -P hostname >/dev/null; then
        unshare --uts="$file" hostname "$NSNAME"
    else
        # shellcheck disable=SC2016 # for the inner bash
        unshare --uts="$file" bash -c 'echo "$1" >/proc/sys/kernel/hostname' bash "$NSNAME"
    fi
}

_pod_utsname_remove() {
    local file=/run/utsns/$NSNAME
    [[ -e $netns_state/utsname ]] || return 0
    [[ $(stat --file-system --format=%T -- "$file" 2>/dev/null) != nsfs ]] || umount --lazy "$file"
    rm -f "$file" "$netns_state/utsname"
    rmdir /run/utsns 2>/dev/null || :
}

# Disables router advertisements, link-local addresses and duplicate address detection.
_pod_disable_autoconf() {
    local directory=/proc/sys/net/ipv6/conf/$1
    [[ -e $directory ]] || return 0
    echo 0 >"$directory/accept_dad"
    echo 0 >"$directory/accept_ra"
    echo 1 >"$directory/addr_gen_mode"
}

configure_pod_up_outside() {
    _pod_names
    _pod_check
    _pod_utsname
    netns_dns_configure
    netns_is_on POD_VETH || return 0
    if [[ -n ${POD_BRIDGE-} ]]; then
        netns_bridge_create "$POD_BRIDGE" POD_BRIDGE_IFADDR
    fi
    if [[ -n ${POD_UPLINK-} ]]; then
        netns_undo netns_parent_release
        netns_bridge_uplink "$POD_BRIDGE" POD_UPLINK
    fi
    netns_add_pair "$POD_IFNAME_OUTSIDE" "$PODIF" '' "${POD_MAC-}" "${POD_MTU-}"
    _pod_disable_autoconf "$POD_IFNAME_OUTSIDE"
    if [[ -n ${POD_BRIDGE-} ]]; then
        netns_bridge_join "$POD_BRIDGE" "$POD_IFNAME_OUTSIDE"
        ! netns_is_on POD_HAIRPIN || ip link set dev "$POD_IFNAME_OUTSIDE" type bridge_slave hairpin on
    fi
    ip link set dev "$POD_IFNAME_OUTSIDE" up
    if netns_is_on POD_FORWARD; then
        netns_undo netns_sysctl_restore
        netns_forward
    fi
}

configure_pod_up_inside() {
    _pod_names
    ip link set dev lo up
    netns_is_on POD_VETH || return 0
    _pod_addresses
    _pod_disable_autoconf "$PODIF"
    netns_add_addresses "$PODIF" POD_IFADDR
    ip link set dev "$PODIF" up
    netns_add_gateways "$PODIF" POD_GATEWAY
}

_pod_bridge_release() {
    netns_bridge_release "${POD_UPLINK-}"
}

configure_pod_down_outside() {
    _pod_names
    netns_run_all netns_delete_links _pod_bridge_release netns_parent_release netns_sysctl_restore \
        _pod_utsname_remove netns_dns_remove
}
