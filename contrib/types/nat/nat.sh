# shellcheck shell=bash
#
# NSTYPE nat: a veth pair to the host, which forwards packets of the namespace with its own addresses
# (masquerading), and forwards only the published ports to the namespace.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH NAT_PUBLISH NAT_HOST_ACCESS NAT_ACCEPT_TRAFFIC
# netns-variables: NAT_POOL NAT_IFADDR_OUTSIDE NAT_IFADDR_INSIDE IPADDR_OUTSIDE IPADDR NAT_GATEWAY
# netns-variables: GATEWAY NAT_IFNAME NAT_IFNAME_OUTSIDE NAT_IFNAME_INSIDE NAT_MAC_OUTSIDE
# netns-variables: NAT_MAC_INSIDE MACADDR NAT_MTU
# netns-container: IFNAME=NAT_IFNAME_INSIDE MAC=NAT_MAC_INSIDE PUBLISH=NAT_PUBLISH DNS=NETNS_DNS
# netns-container: DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip nft ss flock
# netns-forwards: yes

# shellcheck disable=SC2034 # read by netnsinit: with nothing set, a free subnet is taken
NO_CONFIG_REQUIRED=yes

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/subnet.bash
source /usr/share/systemd-netns/subnet.bash
# shellcheck source=contrib/types/sysctl.bash
source /usr/share/systemd-netns/sysctl.bash
# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash

# Set here, so that a configuration file can use it. It may be empty.
: "${NAT_IFNAME=na-}"

_nat_names() {
    NAT_IFNAME_OUTSIDE=${NAT_IFNAME_OUTSIDE:-$NAT_IFNAME${NSNAME}0}
    NAT_IFNAME_INSIDE=${NAT_IFNAME_INSIDE:-$NAT_IFNAME${NSNAME}1}
    NAT_POOL=${NAT_POOL:-100.64.0.0/10}
    # The names in the sample configuration of the shell package.
    _nat_outside=NAT_IFADDR_OUTSIDE _nat_inside=NAT_IFADDR_INSIDE
    _nat_gateway=NAT_GATEWAY _nat_mac=NAT_MAC_INSIDE
    [[ -z ${IPADDR_OUTSIDE-} ]] || _nat_outside=IPADDR_OUTSIDE
    [[ -z ${IPADDR-} ]] || _nat_inside=IPADDR
    [[ -z ${GATEWAY-} ]] || _nat_gateway=GATEWAY
    [[ -z ${MACADDR-} ]] || _nat_mac=MACADDR
    # With NSTYPE: a copy of this script under another name must have its own.
    _nat_claims=/run/systemd-netns/nat
    _nat_claim=$_nat_claims/$NSTYPE@$NSNAME
    _nat_table=netns-$NSTYPE-$(_nat_identifier "$NSNAME")
}

# Prints NSNAME as part of a name of nft(8), with characters that nft does not allow as /HEX.
_nat_identifier() {
    local LC_ALL=C character i
    for ((i = 0; i < ${#1}; i++)); do
        character=${1:i:1}
        [[ $character == [A-Za-z0-9._-] ]] || printf -v character '/%02x' "'$character"
        printf '%s' "$character"
    done
}

# Whether the subnet is to be taken from the pool.
_nat_is_automatic() {
    [[ -z ${!_nat_outside-} && -z ${!_nat_inside-} ]]
}

_nat_check() {
    netns_check_dns
    netns_check_ifname NAT_IFNAME_OUTSIDE NAT_IFNAME_INSIDE
    case $NAT_IFNAME_OUTSIDE in
        *[\"\\*]*) netns_reject NAT_IFNAME_OUTSIDE 'cannot be used in nft rules' ;;
    esac
    if ip link show dev "$NAT_IFNAME_OUTSIDE" &>/dev/null; then
        netns_reject NAT_IFNAME_OUTSIDE 'the interface already exists'
    fi
    netns_check_mac NAT_MAC_OUTSIDE "$_nat_mac"
    netns_check_number NAT_MTU 68 65535
    netns_check_gateways "$_nat_gateway"
    netns_is_on NAT_ACCEPT_TRAFFIC || :
    _nat_check_host_access
    if _nat_is_automatic; then
        netns_check_pool NAT_POOL
    else
        netns_require "$_nat_outside" "$_nat_inside"
        netns_check_addresses "$_nat_outside" "$_nat_inside"
        netns_check_addresses_free "$_nat_outside"
        netns_check_addresses_free "$_nat_inside"
        _nat_check_subnet
    fi
    _nat_publish >/dev/null
}

# Exits with 6 if an inside address is in a subnet that the host has on another interface.
_nat_check_subnet() {
    local address route
    local -a REPLY
    netns_addresses "$_nat_inside"
    for address in "${REPLY[@]}"; do
        address=${address%%[ /]*}
        while read -r route; do
            [[ $route == default* || $route == *' via '* || $route != *' dev '* ]] ||
                netns_reject "$_nat_inside" "$address is in a subnet of the host: $route"
        done < <(ip "$(netns_ip_family "$address")" -oneline route show match "$address")
    done
}

# Sets _nat_addresses4 and _nat_addresses6 to the addresses inside, and NAT_GATEWAY to its default.
_nat_addresses() {
    local word
    local -a REPLY
    if _nat_is_automatic; then
        netns_subnet_addresses NAT_IFADDR_OUTSIDE NAT_IFADDR_INSIDE
    fi
    _nat_addresses4=() _nat_addresses6=()
    netns_addresses "$_nat_inside"
    for word in "${REPLY[@]}"; do
        word=${word%%[ /]*}
        if [[ $word == *:* ]]; then _nat_addresses6+=("$word"); else _nat_addresses4+=("$word"); fi
    done
    [[ -z ${!_nat_gateway-} ]] || return 0
    local v4='' v6=''
    netns_addresses "$_nat_outside"
    for word in "${REPLY[@]}"; do
        word=${word%%[ /]*}
        if [[ $word == *:* ]]; then v6=${v6:-$word}; else v4=${v4:-$word}; fi
    done
    # shellcheck disable=SC2034 # by name
    NAT_GATEWAY="${_nat_addresses4:+$v4} ${_nat_addresses6:+$v6}"
}

# Checks NAT_PUBLISH, and prints for each port: PROTOCOL ADDRESS PORT PORT_INSIDE, with * for all
# addresses of the host.
_nat_publish() {
    local entry
    local -a REPLY
    netns_words NAT_PUBLISH
    for entry in "${REPLY[@]}"; do
        [[ $entry =~ ^((\[([^]/]+)\]|([0-9]+\.[0-9.]+)):)?([0-9]{1,5})(:([0-9]{1,5}))?(/(tcp|udp))?$ ]] ||
            _nat_reject_port "$entry" 'is not [ADDRESS:]PORT[:PORT_INSIDE][/tcp|udp]'
        local address=${BASH_REMATCH[3]}${BASH_REMATCH[4]} port=$((10#${BASH_REMATCH[5]})) to
        local protocol=${BASH_REMATCH[9]:-tcp}
        to=$((10#${BASH_REMATCH[7]:-$port}))
        ((port >= 1 && port <= 65535 && to >= 1 && to <= 65535)) ||
            _nat_reject_port "$entry" 'has a port out of range (1 to 65535)'
        [[ -z $address ]] || { netns_is_address "$address" && [[ $address != */* ]]; } ||
            _nat_reject_port "$entry" 'has an invalid address'
        printf '%s %s %s %s\n' "$protocol" "${address:-*}" "$port" "$to"
    done
}

_nat_reject_port() {
    printf 'NAT_PUBLISH: %q %s\n' "$1" "$2" >&2
    exit 6
}

_nat_check_host_access() {
    case ${NAT_HOST_ACCESS-} in
        *[0-9]/*) _nat_host_access >/dev/null ;;
        *) netns_is_on NAT_HOST_ACCESS || : ;;
    esac
}

# Prints the rules that give the namespace access to the host itself.
_nat_host_access() {
    local word
    local -a REPLY
    netns_words NAT_HOST_ACCESS
    for word in "${REPLY[@]}"; do
        if [[ ! $word =~ ^([0-9]{1,5})/(tcp|udp)$ ]] || ((10#${BASH_REMATCH[1]} > 65535)); then
            netns_reject NAT_HOST_ACCESS "'$word' is neither yes, no nor PORT/tcp or PORT/udp"
        fi
        echo "${BASH_REMATCH[2]} dport $((10#${BASH_REMATCH[1]})) accept"
    done
}

# Reserves the published ports: neither another instance nor a service of the host may use them.
_nat_claim_ports() {
    local wanted lock file protocol address port theirs rest
    wanted=$(_nat_publish)
    [[ -n $wanted ]] || return 0
    mkdir -p "$_nat_claims"
    exec {lock}<"$_nat_claims"
    flock "$lock"
    while read -r protocol address port _; do
        for file in "$_nat_claims"/*; do
            [[ -f $file && $file != "$_nat_claim" ]] || continue
            while read -r rest theirs _; do
                [[ $rest != "$protocol:$port" ]] || _nat_differ "$address" "$theirs" ||
                    _nat_reject_port "$port/$protocol" "is already published by ${file##*/}"
            done <"$file"
        done
        # A container runtime may have reserved the ports with a socket of its own.
        [[ -z ${CONTAINER_ID-} ]] || continue
        while read -r _ _ _ theirs rest; do
            [[ ${theirs##*:} == "$port" ]] || continue
            theirs=${theirs%:*} theirs=${theirs%%%*} theirs=${theirs#[} theirs=${theirs%]}
            case $theirs in
                0.0.0.0 | '*' | ::) theirs='*' ;;
            esac
            _nat_differ "$address" "$theirs" ||
                _nat_reject_port "$port/$protocol" 'is in use by a service of the host'
        done < <(ss -Hln "--$protocol")
    done <<<"$wanted"
    while read -r protocol address port _; do
        echo "$protocol:$port $address"
    done <<<"$wanted" >"$_nat_claim"
    netns_undo rm -f "$_nat_claim"
    exec {lock}<&-
}

_nat_differ() {
    [[ $1 != '*' && $2 != '*' && $1 != "$2" ]]
}

# Prints the rules that forward the published ports.
_nat_dnat_rules() {
    local protocol address port to
    while read -r protocol address port to; do
        local to4="dnat ip to ${_nat_addresses4-}:$to" to6="dnat ip6 to [${_nat_addresses6-}]:$to"
        case $address in
            '*')
                [[ -z ${_nat_addresses4-} ]] ||
                    echo "meta nfproto ipv4 fib daddr type local $protocol dport $port $to4"
                [[ -z ${_nat_addresses6-} ]] ||
                    echo "meta nfproto ipv6 fib daddr type local $protocol dport $port $to6"
                ;;
            *:*) [[ -z ${_nat_addresses6-} ]] || echo "ip6 daddr $address $protocol dport $port $to6" ;;
            *) [[ -z ${_nat_addresses4-} ]] || echo "ip daddr $address $protocol dport $port $to4" ;;
        esac
    done < <(_nat_publish)
}

_nat_list() {
    local IFS=,
    echo "{ $* }"
}

# Prints the table of this instance. `accept` ends only our own chain: another firewall can still drop the
# packet.
_nat_rules() {
    local out="\"$NAT_IFNAME_OUTSIDE\"" dnat host='' accept='' leaving4='' leaving6=''
    dnat=$(_nat_dnat_rules)
    case ${NAT_HOST_ACCESS-} in
        *[0-9]/*) host=$(_nat_host_access) ;;
        *) ! netns_is_on NAT_HOST_ACCESS || host=accept ;;
    esac
    ! netns_is_on NAT_ACCEPT_TRAFFIC || accept="oifname $out accept"
    [[ -z ${_nat_addresses4-} ]] || leaving4="ip saddr $(_nat_list "${_nat_addresses4[@]}") masquerade"
    [[ -z ${_nat_addresses6-} ]] || leaving6="ip6 saddr $(_nat_list "${_nat_addresses6[@]}") masquerade"
    cat <<RULES
table inet $_nat_table
delete table inet $_nat_table
table inet $_nat_table {
    chain spoofed {
        type filter hook prerouting priority raw;
        iifname != $out accept
        # route_localnet would accept these.
        ip daddr 127.0.0.0/8 drop
        ip saddr $(_nat_list "${_nat_addresses4[@]}" 0.0.0.0) accept
        ip6 saddr $(_nat_list "${_nat_addresses6[@]}" fe80::/10 ::) accept
        drop
    }
    chain to_host {
        type filter hook input priority filter;
        iifname != $out accept
        ct state established,related accept
        meta l4proto { icmp, icmpv6 } accept
        $host
        reject
    }
    chain to_namespace {
        type filter hook forward priority filter;
        oifname != $out accept
        ct state established,related accept
        ct status dnat accept
        $accept
        drop
    }
    chain published {
        type nat hook prerouting priority dstnat;
        $dnat
    }
    chain published_to_host {
        type nat hook output priority -100;
        $dnat
    }
    chain leaving {
        type nat hook postrouting priority srcnat;
        # Clients on the host that use a published port through loopback.
        oifname $out ip saddr 127.0.0.0/8 masquerade
        oifname $out ip6 saddr ::1 masquerade
        # These rules also apply if the namespace is a client of its own published port.
        $leaving4
        $leaving6
    }
}
RULES
}

configure_nat_up_outside() {
    local conf
    _nat_names
    _nat_check
    _nat_claim_ports
    if _nat_is_automatic; then
        netns_take_subnet NAT_POOL
    fi
    _nat_addresses
    netns_add_pair "$NAT_IFNAME_OUTSIDE" "$NAT_IFNAME_INSIDE" \
        "${NAT_MAC_OUTSIDE-}" "${!_nat_mac-}" "${NAT_MTU-}"
    conf=/proc/sys/net/ipv6/conf/$NAT_IFNAME_OUTSIDE
    if [[ -e $conf ]]; then
        # The namespace must not become the host's router.
        echo 0 >"$conf/accept_ra"
    fi
    netns_add_addresses "$NAT_IFNAME_OUTSIDE" "$_nat_outside"
    # Load the rules before the link is up.
    netns_undo _nat_delete_table
    _nat_rules | nft -f -
    ip link set dev "$NAT_IFNAME_OUTSIDE" up
    netns_add_host_routes "$NAT_IFNAME_OUTSIDE" "$_nat_inside"
    [[ -z ${NAT_PUBLISH-} ]] || _nat_open_loopback
    netns_undo netns_sysctl_restore
    netns_forward
    netns_dns_configure
    _nat_warn_of_firewalls
}

# Warns about firewalls that drop forwarded packets, which our own rules cannot prevent.
_nat_warn_of_firewalls() {
    local line table=''
    while read -r line; do
        case $line in
            'table '*) table=${line%' {'} ;;
            *'hook forward '*'policy drop;'*)
                echo "$table drops forwarded packets unless it has rules for $NAT_IFNAME_OUTSIDE" >&2
                ;;
        esac
    done < <(nft list chains)
}

# Allows clients to use published ports through 127.0.0.1 and ::1: by default, the kernel sends and accepts
# packets with these addresses only on lo.
_nat_open_loopback() {
    echo 1 >"/proc/sys/net/ipv4/conf/$NAT_IFNAME_OUTSIDE/route_localnet"
    if [[ -n ${_nat_addresses6-} ]]; then
        # Replies to ::1 arrive here, and the kernel looks for a loopback address only on the interface where
        # a packet arrived. It drops packets from outside with such an address before that.
        # The metric must be unique: routes that differ only in the interface would replace each other.
        ip -6 route add local ::1 dev "$NAT_IFNAME_OUTSIDE" table local \
            metric "$((65536 + $(<"/sys/class/net/$NAT_IFNAME_OUTSIDE/ifindex")))"
    fi
}

configure_nat_up_inside() {
    _nat_names
    _nat_addresses
    netns_add_addresses "$NAT_IFNAME_INSIDE" "$_nat_inside"
    ip link set dev lo up
    ip link set dev "$NAT_IFNAME_INSIDE" up
    netns_add_gateways "$NAT_IFNAME_INSIDE" "$_nat_gateway"
}

_nat_delete_table() {
    nft list table inet "$_nat_table" &>/dev/null || return 0
    nft delete table inet "$_nat_table"
}

_nat_release() {
    rm -f "$_nat_claim"
    # The next container has another name.
    [[ -z ${CONTAINER_ID-} ]] || netns_release_subnet
}

configure_nat_down_outside() {
    _nat_names
    netns_run_all netns_delete_links _nat_delete_table netns_sysctl_restore netns_dns_remove _nat_release
}
