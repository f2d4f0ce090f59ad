# shellcheck shell=bash
#
# The name servers of a namespace: /etc/netns/NSNAME/resolv.conf, which `ip netns exec`, netnsinit
# and attached services bind over /etc/resolv.conf. The file of the host is never changed. For types:
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/dns.bash
#
# Several instances can share the file (veth@web and wireguard@web): each has its own part, and the
# last one removes the file. A file that systemd-netns has not written is left alone.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# Makes sure that the file exists, in `up outside`; a new one names no server.
netns_dns_prepare() {
    netns_dns_write ''
}

# Replaces the servers and search domains of this instance in the file.
#   netns_dns_write NAMESERVERS [SEARCH_DOMAIN...]
# The servers are one string: netns_dns_write '192.0.2.53 2001:db8::53' example.com
# What is not an address or a domain is ignored with a warning.
netns_dns_write() {
    netns_dns_write_from '' "$@"
}

# The same for one of several sources of an instance, such as dhcp4 and dhcp6; the file has those of all.
#   netns_dns_write_from SOURCE NAMESERVERS [SEARCH_DOMAIN...]
netns_dns_write_from() {
    local -a servers domains=("${@:3}")
    IFS=$' \t\n' read -r -d '' -a servers <<<"$2" || :
    _netns_resolv_conf ${1:+"--source=$1"} "${domains[@]/#/--search=}" \
        -- "$NSTYPE@$NSNAME" "${servers[@]}"
}

# Removes the part of this instance, in `down outside`; the last one removes the file, and its
# directory if that was created with it.
netns_dns_remove() {
    [[ ! -d /etc/netns/$NSNAME ]] || _netns_resolv_conf --remove -- "$NSTYPE@$NSNAME"
}

# netnsctl knows the format of the file.
_netns_resolv_conf() {
    local netnsctl=/usr/sbin/netnsctl
    [[ -x $netnsctl ]] || netnsctl=netnsctl
    "$netnsctl" resolv-conf "$@"
}

# For every type: the variables NETNS_DNS (servers) and NETNS_DNS_SEARCH (domains), each a string
# or an array. Ends the run if one of them holds anything else.
netns_check_dns() {
    local word
    local -a REPLY
    netns_words NETNS_DNS
    for word in "${REPLY[@]}"; do
        if [[ $word == */* ]] || ! netns_is_address "$word"; then
            netns_reject NETNS_DNS "'$word' is not an IP address"
        fi
    done
    netns_words NETNS_DNS_SEARCH
    for word in "${REPLY[@]}"; do
        netns_is_domain "$word" || netns_reject NETNS_DNS_SEARCH "'$word' is not a domain name"
    done
}

# Writes NETNS_DNS and NETNS_DNS_SEARCH, if one is set, at the end of `up outside`.
# netns_dns_remove undoes it.
netns_dns_configure() {
    local -a REPLY search
    netns_words NETNS_DNS_SEARCH
    search=("${REPLY[@]}")
    netns_words NETNS_DNS
    ((${#REPLY[@]} + ${#search[@]})) || return 0
    netns_undo netns_dns_remove
    netns_dns_write "${REPLY[*]}" "${search[@]}"
}

# Whether a word can be the name of a domain.
netns_is_domain() {
    local label='[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?'
    [[ ${#1} -le 253 && $1 =~ ^$label(\.$label)*\.?$ ]]
}
