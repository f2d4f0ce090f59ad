# shellcheck shell=bash
#
# NSTYPE vip: virtual IP addresses for a service in the namespace, in the network of the host, which can reach
# them, too.
#
# netns-variables: GATEWAY_DEVICE VIP_ADDRESSES VIP_GATEWAY VIP_IFNAME VIP_MAC VIP_MTU
# netns-variables: VIP_IFNAME_OUTSIDE VIP_HOOK
# netns-container: IFNAME=VIP_IFNAME MAC=VIP_MAC
# netns-programs: ip
# netns-parents: GATEWAY_DEVICE

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

# A unit can set it; then no file is needed.
if [[ -n ${GATEWAY_DEVICE-} ]]; then
    # shellcheck disable=SC2034 # read by netnsinit
    NO_CONFIG_REQUIRED=yes
fi

_vip_names() {
    VIP_IFNAME=${VIP_IFNAME:-mv0}
    VIP_HOOK=${VIP_HOOK-/usr/local/bin/ns-$NSNAME}
    # For each macvlan of the host, a directory with a file for each instance that uses it.
    _vip_shared=/run/systemd-netns/vip
    # State of `up` for `down`.
    _vip_outside=$netns_state/vip-outside
    _vip_routes=$netns_state/vip-routes
    _vip_hooked=$netns_state/vip-hooked
}

# Prints a MAC address for a name, the same at each start, so that ARP caches remain valid. Prints nothing if
# the host has no machine-id.
_vip_mac() {
    local digest id
    id=$(cat /etc/machine-id 2>/dev/null) || return 0
    digest=$(printf '%s\0' "$id" vip "$@" | sha256sum)
    sed -E 's/^(..)(..)(..)(..)(..).*/02:\1:\2:\3:\4:\5/' <<<"$digest"
}

_vip_check() {
    netns_require GATEWAY_DEVICE
    netns_check_ifname GATEWAY_DEVICE VIP_IFNAME VIP_IFNAME_OUTSIDE
    netns_check_addresses VIP_ADDRESSES
    netns_check_gateways VIP_GATEWAY
    netns_check_mac VIP_MAC
    netns_check_number VIP_MTU 68 65535
    netns_parent_check VIP GATEWAY_DEVICE
    if ip -n "$NSNAME" link show dev "$VIP_IFNAME" &>/dev/null; then
        netns_reject VIP_IFNAME "the interface already exists in $NSNAME"
    fi
    netns_check_addresses_free VIP_ADDRESSES -n "$NSNAME"
    netns_check_addresses_free VIP_ADDRESSES
    _vip_check_routes
    if [[ -n ${VIP_IFNAME_OUTSIDE-} ]] && ! _vip_is_free "$VIP_IFNAME_OUTSIDE" &&
        ! _vip_fits "$VIP_IFNAME_OUTSIDE"; then
        netns_reject VIP_IFNAME_OUTSIDE "already exists and is not a macvlan of $GATEWAY_DEVICE in mode bridge"
    fi
}

# Exits with 6 if the host has a local route to one of the addresses: another instance uses the address.
_vip_check_routes() {
    local address route
    local -a REPLY
    netns_addresses VIP_ADDRESSES
    for address in "${REPLY[@]}"; do
        address=${address%%[ /]*}
        route=$(ip "$(netns_ip_family "$address")" -oneline route show table local exact "$address" 2>/dev/null) || :
        [[ -z $route ]] ||
            netns_reject VIP_ADDRESSES "the host already has a route to $address: ${route%%[[:space:]]}"
    done
}

_vip_is_free() {
    ! ip link show dev "$1" &>/dev/null
}

# Whether the interface is a macvlan of GATEWAY_DEVICE that can reach other macvlans.
_vip_fits() {
    local line
    line=$(ip -details -oneline link show dev "$1" 2>/dev/null) || return 1
    [[ $line == *": $1@$GATEWAY_DEVICE: "* && $line == *' macvlan mode bridge '* ]]
}

# Sets VIP_IFNAME_OUTSIDE to the existing macvlan of GATEWAY_DEVICE, otherwise to a free name. Scripts of
# administrators expect the first name, mv-int.
_vip_choose_outside() {
    local name
    [[ -z ${VIP_IFNAME_OUTSIDE-} ]] || return 0
    for name in mv-int mv-int{1..99}; do
        if _vip_fits "$name"; then break; fi
    done
    if ! _vip_fits "$name"; then
        for name in mv-int mv-int{1..99}; do
            if _vip_is_free "$name"; then break; fi
        done
    fi
    VIP_IFNAME_OUTSIDE=$name
}

# Creates the host's macvlan unless it exists, and marks it as used by this instance.
_vip_join() {
    local conf address mac
    _vip_choose_outside
    conf=/proc/sys/net/ipv6/conf/$VIP_IFNAME_OUTSIDE
    mkdir -p "$_vip_shared/$VIP_IFNAME_OUTSIDE"
    # Before the link, so that `down` deletes it if this is killed.
    : >"$_vip_shared/$VIP_IFNAME_OUTSIDE/$NSNAME"
    if _vip_is_free "$VIP_IFNAME_OUTSIDE"; then
        # No namespace can be named '.'.
        mac=$(_vip_mac . "$GATEWAY_DEVICE")
        ip link add link "$GATEWAY_DEVICE" name "$VIP_IFNAME_OUTSIDE" ${mac:+address "$mac"} \
            type macvlan mode bridge
        ip link set dev "$VIP_IFNAME_OUTSIDE" alias 'systemd-netns vip'
        if [[ -e $conf ]]; then
            # The host gets its addresses and routes in this network from GATEWAY_DEVICE.
            echo 0 >"$conf/accept_ra"
            # Make the link-local address usable at once.
            echo 0 >"$conf/accept_dad"
            # A link answers only for its own IPv6 addresses, unless it is a proxy, and only routers are
            # proxies. Packets are still forwarded only if forwarding is enabled on the host.
            echo 1 >"$conf/forwarding"
            echo 1 >"$conf/proxy_ndp"
            echo 0 >"/proc/sys/net/ipv6/neigh/$VIP_IFNAME_OUTSIDE/proxy_delay"
        fi
    fi
    ip link set dev "$VIP_IFNAME_OUTSIDE" up
    if [[ -e $conf ]]; then
        while read -r _ _ _ address _; do
            ip -6 neighbour add proxy "${address%/*}" dev "$VIP_IFNAME_OUTSIDE"
        done < <(ip -6 -oneline address show dev "$GATEWAY_DEVICE" scope global)
    fi
    echo "$VIP_IFNAME_OUTSIDE" >"$_vip_outside"
}

# Stops using the macvlans of the host. The last instance deletes those that were created here.
_vip_leave() {
    local mark link status=0
    for mark in "$_vip_shared"/*/"$NSNAME"; do
        [[ -e $mark ]] || continue
        rm -f "$mark"
        link=${mark%/*} link=${link##*/}
        # Another instance still uses it.
        rmdir "$_vip_shared/$link" 2>/dev/null || continue
        if [[ $(ip -oneline link show dev "$link" 2>/dev/null) == *'alias systemd-netns vip'* ]]; then
            ip link delete dev "$link" || status=$?
        fi
    done
    rmdir "$_vip_shared" 2>/dev/null || :
    return "$status"
}

# Routes packets of the host for the addresses through its macvlan: packets that leave through GATEWAY_DEVICE
# never reach a macvlan of this host. Uses the table local, which has the highest precedence.
_vip_add_routes() {
    local address source
    local -a REPLY
    netns_addresses VIP_ADDRESSES
    : >"$_vip_routes"
    netns_undo _vip_delete_routes
    for address in "${REPLY[@]}"; do
        address=${address%%[ /]*}
        if [[ $address == *:* ]]; then
            # Unlike with IPv4, replies reach only addresses of this link.
            source=$(_vip_link_local)
            _vip_add_route 100 "$address" "$source"
            continue
        fi
        # On a host in several networks, use its address in that of GATEWAY_DEVICE. The kernel deletes this
        # route with that address; then the other route is used.
        source=$(ip -4 -oneline route get "$address" oif "$GATEWAY_DEVICE" 2>/dev/null) || source=
        if [[ $source == *' src '* && $source != *' via '* ]]; then
            source=${source#* src }
            _vip_add_route 100 "$address" "${source%% *}"
            _vip_add_route 101 "$address" ''
        else
            _vip_add_route 100 "$address" ''
        fi
    done
}

# Adds a route to an address and records it: METRIC ADDRESS SOURCE, where SOURCE may be empty.
_vip_add_route() {
    local -a words=("$2" dev "$VIP_IFNAME_OUTSIDE" metric "$1" table local)
    ip "$(netns_ip_family "$2")" route add "${words[@]}" ${3:+src "$3"}
    echo "${words[*]}" >>"$_vip_routes"
}

# Prints the link-local address of the host's macvlan, for which it waits up to 3 seconds.
_vip_link_local() {
    local try line
    for ((try = 0; try < 30; try++)); do
        line=$(ip -6 -oneline address show dev "$VIP_IFNAME_OUTSIDE" scope link -tentative)
        if [[ $line =~ inet6\ ([^/ ]+) ]]; then
            echo "${BASH_REMATCH[1]}"
            return
        fi
        sleep 0.1
    done
}

_vip_delete_routes() {
    local line
    local -a words
    [[ -e $_vip_routes ]] || return 0
    while read -r line; do
        read -r -a words <<<"$line"
        # The kernel may have deleted the route with its interface.
        ip "$(netns_ip_family "$line")" route delete "${words[@]}" 2>/dev/null || :
    done <"$_vip_routes"
    rm -f "$_vip_routes"
}

# Sets a sysctl of the interface inside: FAMILY KEY VALUE.
_vip_sysctl() {
    # shellcheck disable=SC2016 # for the inner shell
    ip netns exec "$NSNAME" sh -c '[ ! -e "$1" ] || echo "$2" >"$1"' \
        sh "/proc/sys/net/$1/conf/$VIP_IFNAME/$2" "$3"
}

# Waits until a service can bind to the IPv6 addresses: duplicate address detection takes a second, and needs
# a carrier.
_vip_await_addresses() {
    local try line
    for ((try = 0; try < 50; try++)); do
        line=$(ip -n "$NSNAME" -6 -oneline address show dev "$VIP_IFNAME" scope global tentative)
        if [[ $line == *dadfailed* ]]; then
            echo "another host already has an address of VIP_ADDRESSES: $line" >&2
            return 1
        fi
        [[ -n $line ]] || return 0
        sleep 0.1
    done
    echo "$VIP_IFNAME: IPv6 addresses are not usable yet: $line"
}

# Runs the administrator's script: start|stop NSNAME.
_vip_hook() {
    export NSNAME GATEWAY_DEVICE VIP_IFNAME VIP_IFNAME_OUTSIDE
    if [[ -x $VIP_HOOK ]]; then
        "$VIP_HOOK" "$1" "$NSNAME"
    else
        bash "$VIP_HOOK" "$1" "$NSNAME"
    fi
}

_vip_unhook() {
    local status=0
    [[ -e $_vip_hooked ]] || return 0
    VIP_IFNAME_OUTSIDE=$(<"$_vip_outside")
    rm -f "$_vip_hooked"
    [[ -f $VIP_HOOK ]] || return 0
    _vip_hook stop || status=$?
    ((status)) || return 0
    echo "$VIP_HOOK stop $NSNAME failed with exit status $status" >&2
    # The hook cannot undo its changes to a link that somebody else has deleted.
    [[ ! -e /sys/class/net/$VIP_IFNAME_OUTSIDE ]] || return "$status"
}

configure_vip_up_outside() {
    _vip_names
    _vip_check
    VIP_MAC=${VIP_MAC:-$(_vip_mac "$NSNAME" "$VIP_IFNAME")}
    netns_link_make VIP "$GATEWAY_DEVICE" "$VIP_IFNAME" macvlan mode bridge
    netns_undo netns_locked _vip_leave
    netns_locked _vip_join
    VIP_IFNAME_OUTSIDE=$(<"$_vip_outside")
    _vip_add_routes

    # Set up everything from outside: the script runs outside, too, and expects the namespace to be ready.
    _vip_sysctl ipv4 forwarding 1
    # Announce the addresses to the network at once.
    _vip_sysctl ipv4 arp_notify 1
    _vip_sysctl ipv6 ndisc_notify 1
    # Use only addresses of this interface in ARP requests.
    _vip_sysctl ipv4 arp_announce 2
    _vip_sysctl ipv6 use_tempaddr 0
    ip -n "$NSNAME" link set dev lo up
    netns_add_addresses "$VIP_IFNAME" VIP_ADDRESSES -n "$NSNAME"
    # After the addresses, for arp_notify.
    ip -n "$NSNAME" link set dev "$VIP_IFNAME" up
    netns_add_gateways "$VIP_IFNAME" VIP_GATEWAY -n "$NSNAME"
    _vip_await_addresses

    if [[ -n $VIP_HOOK && -f $VIP_HOOK ]]; then
        netns_undo _vip_unhook
        : >"$_vip_hooked"
        _vip_hook start
    fi
}

_vip_locked_leave() {
    netns_locked _vip_leave
}

configure_vip_down_outside() {
    _vip_names
    netns_run_all _vip_unhook _vip_delete_routes netns_link_delete _vip_locked_leave
}
