# shellcheck shell=bash
#
# The name servers of a namespace: /etc/netns/NSNAME/resolv.conf, which `ip netns exec`, netnsinit
# and attached services bind over /etc/resolv.conf. The host's own is never touched. For types:
#
#     source /usr/share/systemd-netns/types.bash
#     source /usr/share/systemd-netns/dns.bash
#
# The file is made before anybody enters the namespace, and is then only ever written in place: a
# bind mount shows an inode, and would stay on the old one if a new file took its place.
# Several instances may share it (veth@web and wireguard@web): each has a part of its own, and the
# last one removes it. A file without our first line is the administrator's, and left alone.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# Makes sure that the file exists, in `up outside`; a new one holds no server.
netns_dns_prepare() {
    _netns_dns_change "# $NSTYPE@$NSNAME"
}

# Replaces the servers and search domains that this instance has in the file.
#   netns_dns_write NAMESERVERS [SEARCH_DOMAIN...]
# The servers are one string: netns_dns_write '192.0.2.53 2001:db8::53' example.com
netns_dns_write() {
    netns_dns_write_from '' "$@"
}

# The same for one of several sources within an instance, a word such as dhcp4 or dhcp6; all of
# them count.
#   netns_dns_write_from SOURCE NAMESERVERS [SEARCH_DOMAIN...]
netns_dns_write_from() {
    local word search='' part
    part="# $NSTYPE@$NSNAME${1:+ $1}"$'\n'
    local -a servers
    IFS=$' \t\n' read -r -d '' -a servers <<<"$2" || :
    for word in "${servers[@]}"; do
        # Such as fe80::1%eth0, what a router announces.
        if netns_is_address "${word%%%*}" && [[ $word =~ ^[^/%]+(%[A-Za-z0-9._-]+)?$ ]]; then
            part+="nameserver $word"$'\n'
        else
            printf 'name server %q is left out: it is no IP address\n' "$word" >&2
        fi
    done
    for word in "${@:3}"; do
        if netns_is_domain "$word"; then
            search+=" $word"
        else
            printf 'search domain %q is left out: it is no name of a domain\n' "$word" >&2
        fi
    done
    _netns_dns_change "$part${search:+search$search$'\n'}"
}

# Takes the part of this instance out, in `down outside`; the last one removes the file, and its
# directory if that was made with it.
netns_dns_remove() {
    _netns_dns_change -
}

# For every type: the variables NETNS_DNS (servers) and NETNS_DNS_SEARCH (domains), each a string
# or an array. Ends the run unless they hold such, if anything.
netns_check_dns() {
    local word
    local -a REPLY
    netns_words NETNS_DNS
    for word in "${REPLY[@]}"; do
        if [[ $word == */* ]] || ! netns_is_address "$word"; then
            netns_reject NETNS_DNS "'$word' is no IP address"
        fi
    done
    netns_words NETNS_DNS_SEARCH
    for word in "${REPLY[@]}"; do
        netns_is_domain "$word" || netns_reject NETNS_DNS_SEARCH "'$word' is no name of a domain"
    done
}

# Puts NETNS_DNS and NETNS_DNS_SEARCH into force, if one is set; the end of `up outside`.
# netns_dns_remove is the opposite.
netns_dns_configure() {
    local -a REPLY search
    netns_words NETNS_DNS_SEARCH
    search=("${REPLY[@]}")
    netns_words NETNS_DNS
    ((${#REPLY[@]} + ${#search[@]})) || return 0
    netns_undo netns_dns_remove
    netns_dns_write "${REPLY[*]}" "${search[@]}"
}

netns_is_domain() {
    local label='[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?'
    [[ ${#1} -le 253 && $1 =~ ^$label(\.$label)*\.?$ ]]
}

# The first line of a file of ours; it tells whether the directory came with it.
_netns_dns_mark='# Written by systemd-netns, which removes it'

# Changes the file, one process at a time: the types of a namespace start in parallel.
#   _netns_dns_change PART|-   puts in a part, of which the first line, a comment, tells whose it is,
#                              in place of the one that was; or takes out all of this instance
_netns_dns_change() {
    # The lock is on a directory that every system has, so that none is left behind.
    (flock --timeout 30 9 && _netns_dns_change_locked "$1") 9</run
}

_netns_dns_change_locked() {
    local directory=/etc/netns/$NSNAME file=/etc/netns/$NSNAME/resolv.conf part=$1
    local old='' mark=$_netns_dns_mark. rest='' new
    if [[ -e $file || -L $file ]]; then
        [[ -f $file && ! -L $file ]] && old=$(<"$file")
        if [[ $old != "$_netns_dns_mark"* ]]; then
            [[ $part == - ]] ||
                echo "$file is left as it is: systemd-netns has not written it"
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
            # Others may have put something there since; an empty /etc/netns means nothing.
            rmdir --ignore-fail-on-non-empty "$directory" /etc/netns
        fi
        return 0
    fi
    [[ $part != - ]] || part=''
    new=$mark$'\n'${rest:+$rest$'\n'}${part%$'\n'}
    # Not if it is the same: to write means that for a moment there is nothing in it.
    [[ $new == "$old" ]] || printf '%s\n' "${new%$'\n'}" >"$file"
}

# Prints the parts of a file, without the mark and without one part, or all those of an instance.
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
