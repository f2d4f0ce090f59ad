# shellcheck shell=bash
#
# What types have in common that give a namespace a link to the network of the host: a sub-interface
# of a parent (macvlan, ipvlan, vlan), or an interface of the host itself (phys). For types:
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/link.bash
#
# PREFIX is what the names of a type's variables begin with, such as MACVLAN; these are read where
# they are set: PREFIX_IFADDR, PREFIX_GATEWAY, PREFIX_MAC, PREFIX_MTU, PREFIX_DHCP.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# shellcheck source=contrib/types/dhcp.bash
source /usr/share/systemd-netns/dhcp.bash

# Ends the run unless the variables that the types have in common are sound, and the namespace has
# no interface of that name and none of the addresses yet.
#   netns_link_check PREFIX IFNAME_VARIABLE
netns_link_check() {
    netns_require "$2"
    netns_check_ifname "$2"
    netns_check_addresses "$1_IFADDR"
    netns_check_gateways "$1_GATEWAY"
    netns_check_mac "$1_MAC"
    netns_check_number "$1_MTU" 68 65535
    netns_dhcp_check "$1"
    if ip -n "$NSNAME" link show dev "${!2}" &>/dev/null; then
        netns_reject "$2" "there is such an interface in $NSNAME already"
    fi
    netns_check_addresses_free "$1_IFADDR" -n "$NSNAME"
}

# Waits for the interface that the variable names, for it may come late in a boot; ends the run if
# it does not within NETNS_LINK_TIMEOUT seconds (5).
#   netns_wait_for_link VARIABLE
netns_wait_for_link() {
    local end
    netns_require "$1"
    netns_check_ifname "$1"
    netns_check_number NETNS_LINK_TIMEOUT 0 200
    end=$((SECONDS + 10#${NETNS_LINK_TIMEOUT:-5}))
    until ip link show dev "${!1}" &>/dev/null; do
        ((SECONDS < end)) || netns_reject "$1" 'there is no such interface'
        sleep 0.2
    done
}

# Waits for the parent of a link that is to be made, and ends the run if it can be none.
#   netns_parent_check PREFIX [VARIABLE]
# The variable that names it is PREFIX_PARENT_IFNAME unless said otherwise.
netns_parent_check() {
    local _netns_parent=${2:-$1_PARENT_IFNAME} line mtu=$1_MTU
    netns_wait_for_link "$_netns_parent"
    line=$(ip -oneline link show dev "${!_netns_parent}")
    [[ $line == *' link/ether '* ]] || netns_reject "$_netns_parent" 'is no Ethernet interface'
    line=${line#* mtu } line=${line%% *}
    if [[ -n ${!mtu-} ]] && ((10#${!mtu} > line)); then
        netns_reject "$mtu" "${!_netns_parent} takes no more than $line"
    fi
}

# Makes a link of a parent, right in the namespace, so that its name need not be free on the host.
#   netns_link_make PREFIX PARENT NAME TYPE [ARGUMENT...]
# The arguments are those of `ip link add type TYPE`.
netns_link_make() {
    local mac=$1_MAC mtu=$1_MTU said
    netns_undo netns_parent_release
    netns_parent_up "$2"
    # What else a parent has, in whatever namespace, only the kernel knows.
    said=$(ip link add link "$2" name "$3" ${!mac:+address "${!mac}"} ${!mtu:+mtu "${!mtu}"} \
        netns "$NSNAME" type "${@:4}" 2>&1) ||
        netns_reject "$1_PARENT_IFNAME" "the kernel makes no '${*:4}' of it: ${said//$'\n'/ }"
    netns_undo ip -n "$NSNAME" link delete dev "$3"
    netns_claim_link "$3" -n "$NSNAME"
}

# Gives the interface what is configured for it, in `up inside`: addresses, gateways, DHCP.
#   netns_link_up PREFIX INTERFACE [UDHCPC_OPTION...]
netns_link_up() {
    ip link set dev lo up
    netns_dhcp_expect "$1" "$2"
    netns_add_addresses "$2" "$1_IFADDR"
    ip link set dev "$2" up
    netns_add_gateways "$2" "$1_GATEWAY"
    netns_dhcp_start "$@"
}

# Deletes what netns_link_make has made, in `down outside`. Links are told by their mark: the
# configuration may name another one by now.
netns_link_delete() {
    local link
    local -a REPLY
    netns_claimed_links -n "$NSNAME"
    for link in "${REPLY[@]}"; do
        ip -n "$NSNAME" link delete dev "$link"
    done
    netns_parent_release
}

# Whether the namespace that we are inside of has lost its name, so that nobody outside reaches it.
netns_is_nameless() {
    [[ ! /run/netns/$NSNAME -ef /proc/self/ns/net ]]
}

# A sub-interface works only while its parent is up. One that is down is set up, and down again by
# the last instance that needed it. In that directory, each instance leaves a file for its parent.
_netns_parents=/run/systemd-netns/parents

# Sets the parent up if it is down.
#   netns_parent_up INTERFACE
netns_parent_up() {
    (flock --timeout 30 9 && _netns_parent_up "$1") 9</run
}

_netns_parent_up() {
    if [[ $(ip -oneline link show dev "$1") == *[\<,]UP[,\>]* ]]; then
        # Up by another instance, or by somebody else.
        [[ -d $_netns_parents/$1 ]] || return 0
    else
        echo "$1 is down: setting it up until no instance needs it"
        ip link set dev "$1" up
    fi
    mkdir -p "$_netns_parents/$1"
    : >"$_netns_parents/$1/$NSTYPE@$NSNAME"
}

# Sets the parents down that this instance was the last one to need.
netns_parent_release() {
    [[ -d $_netns_parents ]] || return 0
    (flock --timeout 30 9 && _netns_parent_release) 9</run
}

_netns_parent_release() {
    local mark parent
    for mark in "$_netns_parents"/*/"$NSTYPE@$NSNAME"; do
        [[ -e $mark ]] || continue
        parent=${mark%/*} parent=${parent##*/}
        rm -f "$mark"
        # Another instance needs it yet.
        rmdir "${mark%/*}" 2>/dev/null || continue
        # Meanwhile the host may have begun to use it, at boot above all.
        if [[ -z $(ip -oneline address show dev "$parent" scope global 2>/dev/null) ]] &&
            ! compgen -G "/sys/class/net/$parent/upper_*" >/dev/null; then
            ip link set dev "$parent" down 2>/dev/null || :
        fi
    done
    rmdir "$_netns_parents" 2>/dev/null || :
}
