# shellcheck shell=bash
#
# Addresses, routes and name servers from the network, for a type with a variable PREFIX_DHCP:
#
#     ipv4   DHCP, by busybox's udhcpc
#     ipv6   router advertisements, handled by the kernel; also DHCPv6 where busybox has udhcpc6
#     both
#
# Name servers are written to /etc/netns/NSNAME/resolv.conf, never to the file of the host (see dns.bash).
# The clients renew the lease, and are restarted if they exit (see supervise.bash).
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/dhcp.bash
#
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit, netns_state by types.bash

# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash
# shellcheck source=contrib/types/supervise.bash
source /usr/share/systemd-netns/supervise.bash

# Exits with 6 unless PREFIX_DHCP is unset or valid, and NETNS_DNS is valid; with 5 if there is no client.
#   netns_dhcp_check PREFIX
netns_dhcp_check() {
    local _netns_dhcp=$1_DHCP
    netns_check_dns
    netns_check_number NETNS_DHCP_TIMEOUT 1 240
    case ${!_netns_dhcp-} in
        '' | ipv4 | ipv6 | both) ;;
        *) netns_reject "$_netns_dhcp" 'must be ipv4, ipv6 or both' ;;
    esac
    if _netns_dhcp_for "$1" 4 && ! _netns_dhcp_client udhcpc; then
        printf '%s=%s: requires udhcpc: install the package udhcpc or busybox\n' \
            "$_netns_dhcp" "${!_netns_dhcp}" >&2
        exit 5
    fi
    if _netns_dhcp_for "$1" 6 && [[ ! -d /proc/sys/net/ipv6 ]]; then
        netns_reject "$_netns_dhcp" 'IPv6 is disabled in the kernel'
    fi
}

# Creates resolv.conf, in `up outside`: it is visible inside only if it exists before the namespace is
# entered. It contains the configured servers and those of the lease.
#   netns_dhcp_prepare PREFIX
netns_dhcp_prepare() {
    netns_dns_configure
    _netns_dhcp_for "$1" 4 || _netns_dhcp_for "$1" 6 || return 0
    netns_undo netns_dns_remove
    netns_dns_prepare
}

# Prepares the interface for router advertisements, in `up inside` before it is set up.
#   netns_dhcp_expect PREFIX INTERFACE
netns_dhcp_expect() {
    _netns_dhcp_for "$1" 6 || return 0
    local conf=/proc/sys/net/ipv6/conf/$2
    echo 0 >"$conf/disable_ipv6"
    echo 1 >"$conf/autoconf"
    # 2: even if the namespace forwards packets.
    echo 2 >"$conf/accept_ra"
    if _netns_dhcp_has_gateway "$1" 6; then
        echo 0 >"$conf/accept_ra_defrtr"
    else
        echo 1 >"$conf/accept_ra_defrtr"
    fi
}

# Gets an address of each requested family, or fails after NETNS_DHCP_TIMEOUT seconds (30), in `up inside`
# after the interface is up. The clients keep running, and are restarted if they exit.
#   netns_dhcp_start PREFIX INTERFACE [UDHCPC_OPTION...]
netns_dhcp_start() {
    local seconds=$((10#${NETNS_DHCP_TIMEOUT:-30})) mtu=$1_MTU ipv4='' ipv6=''
    local end=$((SECONDS + seconds))
    ! _netns_dhcp_for "$1" 4 || ipv4=yes
    ! _netns_dhcp_for "$1" 6 || ipv6=yes
    [[ -n $ipv4$ipv6 ]] || return 0
    # For dhcp-lease, which the client runs.
    export NSTYPE NSNAME NETNS_DHCP_MTU=${!mtu-} NETNS_DHCP_ROUTES=yes
    ! _netns_dhcp_has_gateway "$1" 4 || NETNS_DHCP_ROUTES=no
    [[ -z $ipv4 ]] || _netns_dhcp4 "${@:2}"
    [[ -z $ipv6 ]] || _netns_dhcp6 "$1" "$2"
    _netns_dhcp_log "$2"
}

# Stops the clients, which release their leases, in `down inside`.
netns_dhcp_stop() {
    local status=0
    netns_supervise_stop udhcpc || status=$?
    netns_supervise_stop udhcpc6 || status=$?
    return "$status"
}

# Undoes netns_dhcp_prepare, in `down outside`.
netns_dhcp_remove() {
    netns_dns_remove
}

# Whether PREFIX_DHCP requests a family, 4 or 6.
_netns_dhcp_for() {
    local dhcp=$1_DHCP
    [[ ${!dhcp-} == both || ${!dhcp-} == "ipv$2" ]]
}

# Whether PREFIX_GATEWAY has a gateway of a family, 4 or 6, which takes precedence over that of the network.
_netns_dhcp_has_gateway() {
    local word
    local -a REPLY
    netns_words "$1_GATEWAY"
    for word in "${REPLY[@]}"; do
        ! "netns_is_ipv$2" "$word" || return 0
    done
    return 1
}

# Sets the array client to the command of a client, if there is one.
_netns_dhcp_client() {
    client=()
    if type -P "$1" >/dev/null; then
        client=("$1")
    elif busybox --list 2>/dev/null | grep -qx "$1"; then
        client=(busybox "$1")
    fi
    ((${#client[@]}))
}

# Runs a client of a family, 4 or 6, in the foreground. dhcp-lease applies the leases.
#   _netns_dhcp_run FAMILY [OPTION...]
_netns_dhcp_run() {
    # A client that is restarted first deconfigures the interface. The lease is still valid: keep it.
    [[ -z ${netns_again-} ]] || : >"$netns_state/lease$1.again"
    # No pidfile: the default is the same for all clients.
    NETNS_DHCP_FAMILY=$1 exec "${client[@]}" -f -R -T 1 -t 3 -A 3 -p /dev/null \
        -s /usr/share/systemd-netns/dhcp-lease "${@:2}"
}

#   _netns_dhcp4 INTERFACE [UDHCPC_OPTION...]
_netns_dhcp4() {
    local -a client
    _netns_dhcp_client udhcpc
    netns_supervise udhcpc _netns_dhcp_run 4 -i "$1" -O mtu -O search -O staticroutes "${@:2}"
    until [[ -s $netns_state/lease4 ]]; do
        ((SECONDS < end)) || _netns_dhcp_fail "no IPv4 address from a DHCP server on $1"
        sleep 0.1
    done
}

#   _netns_dhcp6 PREFIX INTERFACE
_netns_dhcp6() {
    local missing='' wait=0
    local -a client
    # Nothing can be sent before duplicate address detection of the link-local address has finished.
    until [[ -n $(ip -6 -oneline address show dev "$2" scope link -tentative) ]]; do
        ((SECONDS < end)) || _netns_dhcp_fail "$2 has no usable link-local IPv6 address"
        sleep 0.1
    done
    if _netns_dhcp_client udhcpc6; then
        netns_supervise udhcpc6 _netns_dhcp_run 6 -i "$2" -O search
        # A router may answer before a server that also has an address.
        wait=$((SECONDS + 3))
    else
        missing=' (udhcpc6, the client for DHCPv6, is not installed)'
    fi
    until [[ (-s $netns_state/lease6 || $SECONDS -ge $wait) &&
        -n $(ip -6 -oneline address show dev "$2" scope global dynamic -tentative) ]]; do
        ((SECONDS < end)) || _netns_dhcp_fail "no IPv6 address from a router or a DHCPv6 server on $2$missing"
        sleep 0.1
    done
    if ((wait)) && [[ ! -s $netns_state/lease6 ]]; then
        # If routers assign the addresses, a server may still have the name servers.
        netns_supervise_stop udhcpc6
        NETNS_DHCP_FAMILY=6 timeout --kill-after=1 4 "${client[@]}" -n -q -l -T 1 -t 2 -i "$2" -O search \
            -p /dev/null -s /usr/share/systemd-netns/dhcp-lease </dev/null &>/dev/null || :
    fi
    _netns_dhcp_has_gateway "$1" 6 || _netns_dhcp6_router "$2"
}

# Waits up to 3 seconds for a default route, which may come after the address, or never.
_netns_dhcp6_router() {
    local try
    for ((try = 0; try < 30 && SECONDS < end; try++)); do
        [[ -z $(ip -6 route show default dev "$1") ]] || return 0
        sleep 0.1
    done
    echo "no router advertisement on $1: no IPv6 default route"
}

_netns_dhcp_fail() {
    echo "$1 within $seconds seconds (NETNS_DHCP_TIMEOUT)" >&2
    exit 1
}

# Prints the addresses that were assigned by the network.
_netns_dhcp_log() {
    local address all=''
    while read -r _ _ _ address _; do
        all+=" $address"
    done < <(ip -oneline address show dev "$1" scope global dynamic)
    echo "$1: addresses from the network:$all"
}
