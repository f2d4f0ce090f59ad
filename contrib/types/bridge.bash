# shellcheck shell=bash
#
# Functions for types whose links are ports of a bridge of the host:
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/bridge.bash
#
# A bridge that does not exist is created for its first instance, and deleted with the last one.
# /run/systemd-netns/bridges/BRIDGE/NSTYPE@NSNAME exists for each instance that needs such a bridge.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# shellcheck source=contrib/types/types.bash
[[ -n ${netns_group-} ]] || source /usr/share/systemd-netns/types.bash

_netns_bridges=/run/systemd-netns/bridges

# Exits with 6 if the variable names an interface that is not a bridge.
#   netns_bridge_check VARIABLE
netns_bridge_check() {
    local line
    netns_require "$1"
    netns_check_ifname "$1"
    line=$(ip -details -oneline link show dev "${!1}" 2>/dev/null) || return 0
    [[ $line == *'\    bridge '* ]] || netns_reject "$1" 'not a bridge'
}

# Creates a bridge unless it exists, in `up outside`. One that this library created gets the addresses, too;
# the arguments are those of `ip link add type bridge`.
#   netns_bridge_create BRIDGE IFADDR_VARIABLE [ARGUMENT...]
netns_bridge_create() {
    netns_undo netns_bridge_release
    netns_locked _netns_bridge_create "$@"
}

_netns_bridge_create() {
    local address random
    local -a REPLY words
    if ip link show dev "$1" &>/dev/null; then
        # A bridge without a directory belongs to the administrator.
        [[ -d $_netns_bridges/$1 ]] || return 0
        mkdir -p "$_netns_bridges/$1"
        : >"$_netns_bridges/$1/$NSTYPE@$NSNAME"
    else
        # Before the bridge, so that `down` deletes it if this is killed.
        mkdir -p "$_netns_bridges/$1"
        : >"$_netns_bridges/$1/$NSTYPE@$NSNAME"
        # With an address of its own, which does not change with the ports. The group marks it as ours.
        read -r random </proc/sys/kernel/random/uuid
        ip link add name "$1" group "$netns_group" \
            address "fa:${random:0:2}:${random:2:2}:${random:4:2}:${random:6:2}:${random:9:2}" type bridge "${@:3}"
        [[ ! -e /proc/sys/net/ipv6/conf/$1 ]] || echo 0 >"/proc/sys/net/ipv6/conf/$1/accept_dad"
        ip link set dev "$1" up
    fi
    netns_addresses "$2"
    for address in "${REPLY[@]}"; do
        read -r -a words <<<"$address"
        ip address replace "${words[@]}" dev "$1"
    done
}

# Adds a link to a bridge.
#   netns_bridge_join BRIDGE INTERFACE
netns_bridge_join() {
    # A port needs no link-local address.
    [[ ! -e /proc/sys/net/ipv6/conf/$2 ]] || echo 1 >"/proc/sys/net/ipv6/conf/$2/disable_ipv6"
    ip link set dev "$2" master "$1"
}

# Adds an interface of the host to a bridge. Exits with 6 if it is a port of another bridge.
#   netns_bridge_uplink BRIDGE UPLINK_VARIABLE
netns_bridge_uplink() {
    netns_locked _netns_bridge_uplink "$@"
    netns_parent_up "${!2}"
}

_netns_bridge_uplink() {
    local line
    line=$(ip -oneline link show dev "${!2}")
    case $line in
        *" master $1 "*) ;;
        *' master '*)
            line=${line#* master }
            netns_reject "$2" "already a port of ${line%% *}"
            ;;
        *) ip link set dev "${!2}" master "$1" ;;
    esac
}

# Releases the bridge, in `down outside`. The last instance deletes it, unless it has ports other than UPLINK.
#   netns_bridge_release [UPLINK]
netns_bridge_release() {
    [[ -d $_netns_bridges ]] || return 0
    netns_locked _netns_bridge_release "$@"
}

_netns_bridge_release() {
    local mark user name line ports
    for mark in "$_netns_bridges"/*/"$NSTYPE@$NSNAME"; do
        [[ -e $mark ]] || continue
        name=${mark%/*} name=${name##*/}
        rm -f "$mark"
        for user in "$_netns_bridges/$name"/*; do
            # An instance without state will never release it.
            [[ -e /run/systemd-netns/instances/${user##*/} ]] || rm -f "$user"
        done
        # Another instance still needs it.
        rmdir "$_netns_bridges/$name" 2>/dev/null || continue
        line=$(ip -details -oneline link show dev "$name" 2>/dev/null) || continue
        # Keep a bridge of that name that somebody else has created.
        [[ $line == *" group $netns_group "*'\    bridge '* ]] || continue
        ports=$(ip -oneline link show master "$name" | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | grep -vxF -- "${1-}") || :
        if [[ -n $ports ]]; then
            echo "keeping the bridge $name, which has other ports: ${ports//$'\n'/ }"
        else
            ip link delete dev "$name"
        fi
    done
    rmdir "$_netns_bridges" 2>/dev/null || :
}
