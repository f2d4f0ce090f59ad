# shellcheck shell=bash
#
# Addresses, routes and name servers from the network, for a type with a variable PREFIX_DHCP:
#
#     ipv4   DHCP, by busybox's udhcpc
#     ipv6   what routers announce, handled by the kernel; also DHCPv6 where busybox has udhcpc6
#     both
#
# Name servers go into /etc/netns/NSNAME/resolv.conf, never into the host's (see dns.bash). The
# clients stay in the control group of the unit, and renew the lease.
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/dhcp.bash
#
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit, netns_state by types.bash

# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash

# Ends the run unless PREFIX_DHCP, if it is set, is sound and there is a client for it, and
# NETNS_DNS too.
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
        printf '%s=%s: needs the program udhcpc, of the package udhcpc or busybox\n' \
            "$_netns_dhcp" "${!_netns_dhcp}" >&2
        exit 5
    fi
    if _netns_dhcp_for "$1" 6 && [[ ! -d /proc/sys/net/ipv6 ]]; then
        netns_reject "$_netns_dhcp" 'this kernel runs without IPv6'
    fi
}

# Makes the file of name servers, in `up outside`: only what exists before the namespace is entered
# is seen inside. Servers that are configured stand in it beside those of the lease.
#   netns_dhcp_prepare PREFIX
netns_dhcp_prepare() {
    netns_dns_configure
    _netns_dhcp_for "$1" 4 || _netns_dhcp_for "$1" 6 || return 0
    netns_undo netns_dns_remove
    netns_dns_prepare
}

# Prepares the interface for the routers' announcements, in `up inside` before it is set up.
#   netns_dhcp_expect PREFIX INTERFACE
netns_dhcp_expect() {
    _netns_dhcp_for "$1" 6 || return 0
    local conf=/proc/sys/net/ipv6/conf/$2
    echo 0 >"$conf/disable_ipv6"
    echo 1 >"$conf/autoconf"
    # 2: also if the namespace forwards packets.
    echo 2 >"$conf/accept_ra"
    if _netns_dhcp_has_gateway "$1" 6; then
        echo 0 >"$conf/accept_ra_defrtr"
    else
        echo 1 >"$conf/accept_ra_defrtr"
    fi
}

# Gets an address of each family that is asked for, or fails after NETNS_DHCP_TIMEOUT seconds (30);
# in `up inside`, when the interface is up. The clients stay.
#   netns_dhcp_start PREFIX INTERFACE [UDHCPC_OPTION...]
netns_dhcp_start() {
    local seconds=$((10#${NETNS_DHCP_TIMEOUT:-30})) mtu=$1_MTU ipv4='' ipv6=''
    local end=$((SECONDS + seconds))
    ! _netns_dhcp_for "$1" 4 || ipv4=yes
    ! _netns_dhcp_for "$1" 6 || ipv6=yes
    [[ -n $ipv4$ipv6 ]] || return 0
    # What the program that handles leases has to know; the client hands it on.
    export NSTYPE NSNAME NETNS_DHCP_MTU=${!mtu-} NETNS_DHCP_ROUTES=yes
    ! _netns_dhcp_has_gateway "$1" 4 || NETNS_DHCP_ROUTES=no
    netns_undo netns_dhcp_stop
    [[ -z $ipv4 ]] || _netns_dhcp4 "${@:2}"
    [[ -z $ipv6 ]] || _netns_dhcp6 "$1" "$2"
    _netns_dhcp_tell "$2"
}

# Gives the leases back and ends the clients, in `down inside`.
netns_dhcp_stop() {
    local file pid try
    for file in "$netns_state"/udhcpc*.pid; do
        for ((try = 0; try < 40; try++)); do
            _netns_dhcp_running "$file" || break
            case $try in
                0) kill -TERM "$pid" || : ;;
                30) kill -KILL "$pid" || : ;;
            esac 2>/dev/null
            sleep 0.1
        done
        rm -f "$file"
    done
}

# Takes back what netns_dhcp_prepare has done, in `down outside`.
netns_dhcp_remove() {
    netns_dns_remove
}

# Whether PREFIX_DHCP asks for a family, 4 or 6.
_netns_dhcp_for() {
    local dhcp=$1_DHCP
    [[ ${!dhcp-} == both || ${!dhcp-} == "ipv$2" ]]
}

# Whether PREFIX_GATEWAY holds a gateway of a family, 4 or 6: the configuration comes first.
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

# Whether the client that wrote a file with its process number runs; sets pid.
_netns_dhcp_running() {
    local -a words
    { read -r pid <"$1" && mapfile -d '' words <"/proc/$pid/cmdline"; } 2>/dev/null || return 1
    # The number may be somebody else's by now.
    [[ " ${words[*]} " == *" $1 "* ]]
}

# Runs a client until it has a lease, and has gone into the background, or gives up.
#   _netns_dhcp_run FAMILY SECONDS [OPTION...]
_netns_dhcp_run() {
    # Not the output of netnsinit: whoever waits for its end would wait for that of the client.
    # timeout: it would ask for ever a server that offers an address and never confirms it.
    NETNS_DHCP_FAMILY=$1 timeout --kill-after=1 "$(($2 + 2))" "${client[@]}" -n -R -T 1 -t "$2" \
        -s /usr/share/systemd-netns/dhcp-lease "${@:3}" </dev/null &>/dev/null
}

#   _netns_dhcp4 INTERFACE [UDHCPC_OPTION...]
_netns_dhcp4() {
    local -a client
    _netns_dhcp_client udhcpc
    _netns_dhcp_run 4 "$seconds" -i "$1" -p "$netns_state/udhcpc4.pid" \
        -O mtu -O search -O staticroutes "${@:2}" ||
        _netns_dhcp_fail "no DHCP server gave $1 an IPv4 address"
}

#   _netns_dhcp6 PREFIX INTERFACE
_netns_dhcp6() {
    local leased=no missing='no DHCP server and '
    local -a client
    # Nothing can be sent before the kernel has found the link-local address to be free.
    until [[ -n $(ip -6 -oneline address show dev "$2" scope link -tentative) ]]; do
        ((SECONDS < end)) || _netns_dhcp_fail "$2 has no usable link-local IPv6 address"
        sleep 0.1
    done
    if ! _netns_dhcp_client udhcpc6; then
        leased=never missing='DHCPv6 needs udhcpc6, which is not installed, and '
    elif _netns_dhcp_run 6 2 -i "$2" -p "$netns_state/udhcpc6.pid" -O search; then
        leased=yes
    fi
    until [[ -n $(ip -6 -oneline address show dev "$2" scope global dynamic -tentative) ]]; do
        ((SECONDS < end)) || _netns_dhcp_fail "${missing}no router gave $2 an IPv6 address"
        if [[ $leased == no ]] &&
            _netns_dhcp_run 6 2 -i "$2" -p "$netns_state/udhcpc6.pid" -O search; then
            leased=yes
        fi
        sleep 0.1
    done
    if [[ $leased == no ]]; then
        # Where routers give the addresses, a server may still tell the name servers.
        _netns_dhcp_run 6 2 -i "$2" -q -l -O search || :
    fi
    _netns_dhcp_has_gateway "$1" 6 || _netns_dhcp6_router "$2"
}

# The address may have come before the router; one is not always there.
_netns_dhcp6_router() {
    local try
    for ((try = 0; try < 30 && SECONDS < end; try++)); do
        [[ -z $(ip -6 route show default dev "$1") ]] || return 0
        sleep 0.1
    done
    echo "no router announces itself to $1: there is no default route for IPv6"
}

_netns_dhcp_fail() {
    echo "$1 within $seconds seconds (NETNS_DHCP_TIMEOUT)" >&2
    exit 1
}

# Says in one line what the network gave.
_netns_dhcp_tell() {
    local line address all=''
    while read -r _ _ _ address line; do
        all+=" $address"
    done < <(ip -oneline address show dev "$1" scope global dynamic)
    echo "$1 got from the network:$all"
}
