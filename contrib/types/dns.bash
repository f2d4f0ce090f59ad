# shellcheck shell=bash
#
# The name servers of a namespace: /etc/netns/NSNAME/resolv.conf, which `ip netns exec`, netnsinit
# and attached services bind over /etc/resolv.conf. The host's own is never touched. For types:
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/dns.bash
#
# The file is created before any process enters the namespace, and then only written in place: a bind
# mount refers to the inode, and would not see a new file.
# Instances of one namespace (veth@web and wireguard@web) share it: each has its own part, and the
# last one removes the file. A file without our first line is the administrator's and not changed.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# Creates the file without a server if it does not exist, in `up outside`.
netns_dns_prepare() {
    _netns_dns_change "# $NSTYPE@$NSNAME"
}

# Replaces the servers and search domains of this instance in the file.
#   netns_dns_write NAMESERVERS [SEARCH_DOMAIN...]
# The servers are one string: netns_dns_write '192.0.2.53 2001:db8::53' example.com
netns_dns_write() {
    netns_dns_write_from '' "$@"
}

# The same for one of several sources of an instance, such as dhcp4 and dhcp6; the file has those of all.
#   netns_dns_write_from SOURCE NAMESERVERS [SEARCH_DOMAIN...]
netns_dns_write_from() {
    local word search='' part
    part="# $NSTYPE@$NSNAME${1:+ $1}"$'\n'
    local -a servers
    IFS=$' \t\n' read -r -d '' -a servers <<<"$2" || :
    for word in "${servers[@]}"; do
        # A router may announce fe80::1%eth0.
        if netns_is_address "${word%%%*}" && [[ $word =~ ^[^/%]+(%[A-Za-z0-9._-]+)?$ ]]; then
            part+="nameserver $word"$'\n'
        else
            printf 'ignoring name server %q: not an IP address\n' "$word" >&2
        fi
    done
    for word in "${@:3}"; do
        if netns_is_domain "$word"; then
            search+=" $word"
        else
            printf 'ignoring search domain %q: not a domain name\n' "$word" >&2
        fi
    done
    _netns_dns_change "$part${search:+search$search$'\n'}"
}

# Removes the part of this instance, in `down outside`. The last one removes the file, and its directory
# if it was created with the file.
netns_dns_remove() {
    _netns_dns_change -
}

# Exits with 6 unless the variables NETNS_DNS and NETNS_DNS_SEARCH, which every type has, are unset or hold
# name servers and search domains.
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

# Writes NETNS_DNS and NETNS_DNS_SEARCH into the file if one of them is set, at the end of `up outside`.
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

# Whether a word is a domain name.
netns_is_domain() {
    local label='[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?'
    [[ ${#1} -le 253 && $1 =~ ^$label(\.$label)*\.?$ ]]
}

# The first line of our file, which also says whether its directory was created with it.
_netns_dns_mark='# Written by systemd-netns, which removes it'

# Changes the file, under a lock because the types of a namespace start in parallel.
#   _netns_dns_change PART|-   adds or replaces a part, whose first line is a comment that names its
#                              owner; or removes all parts of this instance
_netns_dns_change() {
    # A directory that always exists, so that no lock file remains.
    (flock --timeout 30 9 && _netns_dns_change_locked "$1") 9</run
}

_netns_dns_change_locked() {
    local directory=/etc/netns/$NSNAME file=/etc/netns/$NSNAME/resolv.conf part=$1
    local old='' mark=$_netns_dns_mark. rest='' new
    if [[ -e $file || -L $file ]]; then
        [[ -f $file && ! -L $file ]] && old=$(<"$file")
        if [[ $old != "$_netns_dns_mark"* ]]; then
            [[ $part == - ]] ||
                echo "not changing $file: not written by systemd-netns"
            return 0
        fi
        mark=${old%%$'\n'*}
        rest=$(_netns_dns_without "$part" <<<"$old")
    elif [[ $part == - ]]; then
        return 0
    else
        if [[ ! -d $directory ]]; then
            mkdir -p "$directory"
            mark="$_netns_dns_mark and its directory."
        fi
    fi
    if [[ $part == - && -z $rest ]]; then
        rm -f "$file"
        if [[ $mark == *directory. ]]; then
            # Unless it holds other files by now.
            rmdir --ignore-fail-on-non-empty "$directory" /etc/netns
        fi
        return 0
    fi
    [[ $part != - ]] || part=''
    new=$mark$'\n'${rest:+$rest$'\n'}${part%$'\n'}
    # Only if it differs: while it is written, the file is empty for a moment.
    [[ $new == "$old" ]] || printf '%s\n' "${new%$'\n'}" >"$file"
}

# Prints the parts of the file, except one part, or all parts of this instance.
#   _netns_dns_without PART|-
_netns_dns_without() {
    local line owner='' drop=${1%%$'\n'*} mine="# $NSTYPE@$NSNAME"
    while IFS= read -r line; do
        [[ $line != "$_netns_dns_mark"* ]] || continue
        [[ $line != '# '*@* ]] || owner=$line
        case $drop in
            -) [[ $owner == "$mine" || $owner == "$mine "* ]] || printf '%s\n' "$line" ;;
            *) [[ $owner == "$drop" ]] || printf '%s\n' "$line" ;;
        esac
    done
}
