# shellcheck shell=bash
#
# Functions for types that connect a namespace to the network of the host, with a sub-interface of a parent
# (macvlan, ipvlan, vlan) or an interface of the host itself (phys):
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/link.bash
#
# PREFIX is the prefix of the type's variables, such as MACVLAN. The variables PREFIX_IFADDR, PREFIX_GATEWAY,
# PREFIX_MAC, PREFIX_MTU and PREFIX_DHCP are used if they are set.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# shellcheck source=contrib/types/types.bash
[[ -n ${netns_group-} ]] || source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/dhcp.bash
source /usr/share/systemd-netns/dhcp.bash

# Exits with 6 unless the variables of PREFIX are valid, and the namespace has neither an interface of that
# name nor one of the addresses.
#   netns_link_check PREFIX IFNAME_VARIABLE [replace]
# With `replace`, the interface exists and will be replaced.
netns_link_check() {
    netns_require "$2"
    netns_check_ifname "$2"
    netns_check_addresses "$1_IFADDR"
    netns_check_gateways "$1_GATEWAY"
    netns_check_mac "$1_MAC"
    netns_check_number "$1_MTU" 68 65535
    netns_dhcp_check "$1"
    [[ ${3-} != replace ]] || return 0
    if ip -n "$NSNAME" link show dev "${!2}" &>/dev/null; then
        netns_reject "$2" "the interface already exists in $NSNAME"
    fi
    netns_check_addresses_free "$1_IFADDR" -n "$NSNAME"
}

# Waits for an interface of the host, which may appear late during boot. Exits with 6 if it does not exist
# after NETNS_LINK_TIMEOUT seconds (5).
#   netns_wait_for_link VARIABLE
netns_wait_for_link() {
    local end
    netns_require "$1"
    netns_check_ifname "$1"
    netns_check_number NETNS_LINK_TIMEOUT 0 200
    end=$((SECONDS + 10#${NETNS_LINK_TIMEOUT:-5}))
    until ip link show dev "${!1}" &>/dev/null; do
        ((SECONDS < end)) || netns_reject "$1" 'no such interface'
        sleep 0.2
    done
}

# Waits for the parent, and exits with 6 if it is not an Ethernet interface or its MTU is too small.
#   netns_parent_check PREFIX [VARIABLE]
# VARIABLE names the parent: PREFIX_PARENT_IFNAME by default.
netns_parent_check() {
    local _netns_parent=${2:-$1_PARENT_IFNAME} line mtu=$1_MTU
    # For error messages of netns_link_make.
    _netns_parent_variable=$_netns_parent
    netns_wait_for_link "$_netns_parent"
    line=$(ip -oneline link show dev "${!_netns_parent}")
    [[ $line == *' link/ether '* ]] || netns_reject "$_netns_parent" 'not an Ethernet interface'
    line=${line#* mtu } line=${line%% *}
    if [[ -n ${!mtu-} ]] && ((10#${!mtu} > line)); then
        netns_reject "$mtu" "the MTU of ${!_netns_parent} is $line"
    fi
}

# Creates a sub-interface directly in the namespace, so that its name need not be free on the host.
#   netns_link_make PREFIX PARENT NAME TYPE [ARGUMENT...]
# The arguments are those of `ip link add type TYPE`.
netns_link_make() {
    local mac=$1_MAC mtu=$1_MTU made=netns-$BASHPID said
    netns_undo netns_parent_release
    netns_parent_up "$2"
    # Use a temporary name: some kernels refuse a name that exists on the host, although the interface is
    # created in the namespace. Print the kernel's error: it may refuse a parent that has other kinds of
    # sub-interfaces.
    said=$(ip link add link "$2" name "$made" ${!mac:+address "${!mac}"} ${!mtu:+mtu "${!mtu}"} \
        netns "$NSNAME" type "${@:4}" 2>&1) ||
        netns_reject "${_netns_parent_variable:-$1_PARENT_IFNAME}" "the kernel refuses '${*:4}' on it: ${said//$'\n'/ }"
    ip -n "$NSNAME" link set dev "$made" name "$3" || {
        ip -n "$NSNAME" link delete dev "$made"
        return 1
    }
    netns_undo ip -n "$NSNAME" link delete dev "$3"
    netns_claim_link "$3" -n "$NSNAME"
}

# Configures the interface, in `up inside`: addresses, gateways, DHCP.
#   netns_link_up PREFIX INTERFACE [UDHCPC_OPTION...]
netns_link_up() {
    ip link set dev lo up
    netns_dhcp_expect "$1" "$2"
    netns_add_addresses "$2" "$1_IFADDR"
    ip link set dev "$2" up
    netns_add_gateways "$2" "$1_GATEWAY"
    netns_dhcp_start "$@"
}

# Deletes the links that this instance has claimed in the namespace, in `down outside`, even if the
# configuration has another name now.
netns_link_delete() {
    netns_run_all _netns_links_inside_delete netns_parent_release
}

_netns_links_inside_delete() {
    netns_delete_links -netns "$NSNAME"
}

# Whether this namespace no longer has its name (`ip netns delete`), so that no command outside can reach it.
netns_is_nameless() {
    [[ ! /run/netns/$NSNAME -ef /proc/self/ns/net ]]
}

# A sub-interface works only while its parent is up. A parent that is down is set up, and set down again
# by the last instance that needs it. Each instance has a file PARENT/NSTYPE@NSNAME in this directory.
_netns_parents=/run/systemd-netns/parents

# Sets a parent up if it is down.
#   netns_parent_up INTERFACE
netns_parent_up() {
    netns_locked _netns_parent_up "$1"
}

_netns_parent_up() {
    if [[ $(ip -oneline link show dev "$1") == *[\<,]UP[,\>]* ]]; then
        # With a directory, it was set up by another instance, otherwise by the administrator.
        [[ -d $_netns_parents/$1 ]] || return 0
    else
        echo "$1 is down: setting it up while instances need it"
        ip link set dev "$1" up
    fi
    mkdir -p "$_netns_parents/$1"
    : >"$_netns_parents/$1/$NSTYPE@$NSNAME"
}

# Sets parents down again that no other instance needs.
netns_parent_release() {
    [[ -d $_netns_parents ]] || return 0
    netns_locked _netns_parent_release
}

_netns_parent_release() {
    local mark parent
    for mark in "$_netns_parents"/*/"$NSTYPE@$NSNAME"; do
        [[ -e $mark ]] || continue
        parent=${mark%/*} parent=${parent##*/}
        rm -f "$mark"
        # Another instance still needs it.
        rmdir "${mark%/*}" 2>/dev/null || continue
        # Keep it up if the host uses it now.
        if [[ -z $(ip -oneline address show dev "$parent" scope global 2>/dev/null) ]] &&
            ! compgen -G "/sys/class/net/$parent/upper_*" >/dev/null; then
            ip link set dev "$parent" down 2>/dev/null || :
        fi
    done
    rmdir "$_netns_parents" 2>/dev/null || :
}
