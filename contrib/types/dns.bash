# shellcheck shell=bash
#
# The name servers of a namespace: /etc/netns/NSNAME/resolv.conf, which `ip netns exec`, netnsinit
# and attached services mount over /etc/resolv.conf. The file of the host is never changed.
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/dns.bash
#
# Several instances can share the file (veth@web and wireguard@web): each has its own section, and the last
# one removes the file. A file that systemd-netns has not written is not changed.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# Creates the file without servers, unless it exists, in `up outside`.
netns_dns_prepare() {
    netns_dns_write ''
}

# Replaces the servers and search domains of this instance in the file.
#   netns_dns_write NAMESERVERS [SEARCH_DOMAIN...]
# The servers are one string: netns_dns_write '192.0.2.53 2001:db8::53' example.com
# Words that are not addresses or domains are ignored with a warning.
netns_dns_write() {
    netns_dns_write_from '' "$@"
}

# The same for one of several sources of an instance, such as dhcp4 and dhcp6. The file has those of all sources.
#   netns_dns_write_from SOURCE NAMESERVERS [SEARCH_DOMAIN...]
netns_dns_write_from() {
    local -a servers domains=("${@:3}")
    IFS=$' \t\n' read -r -d '' -a servers <<<"$2" || :
    netns_ctl resolv-conf ${1:+"--source=$1"} "${domains[@]/#/--search=}" \
        -- "$NSTYPE@$NSNAME" "${servers[@]}"
}

# Removes the section of this instance, in `down outside`. The last instance removes the file, and the
# directory if it was created with the file.
netns_dns_remove() {
    [[ ! -d /etc/netns/$NSNAME ]] || netns_ctl resolv-conf --remove -- "$NSTYPE@$NSNAME"
}

# Exits with 6 unless the variables NETNS_DNS (servers) and NETNS_DNS_SEARCH (domains) are unset or valid.
# Each is a string or an array.
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

# Exits with 6 unless each word of a variable is the address of a name server or a search domain. What
# else a type takes there must look like a domain, such as `off`.
#   netns_check_servers VARIABLE
netns_check_servers() {
    local word
    local -a REPLY
    netns_words "$1"
    for word in "${REPLY[@]}"; do
        { [[ $word != */* ]] && netns_is_address "$word"; } || netns_is_domain "$word" ||
            netns_reject "$1" "'$word' is neither an IP address nor a domain name"
    done
}

# Writes NETNS_DNS and NETNS_DNS_SEARCH, if one is set, at the end of `up outside`. netns_dns_remove removes
# them.
netns_dns_configure() {
    local -a REPLY search
    netns_words NETNS_DNS_SEARCH
    search=("${REPLY[@]}")
    netns_words NETNS_DNS
    ((${#REPLY[@]} + ${#search[@]})) || return 0
    netns_undo netns_dns_remove
    netns_dns_write "${REPLY[*]}" "${search[@]}"
}

# Whether a word is a valid domain name. What has only digits and dots is a mistyped address.
netns_is_domain() {
    local label='[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?'
    [[ ${#1} -le 253 && $1 =~ ^$label(\.$label)*\.?$ && ! $1 =~ ^[0-9.]+$ ]]
}
