# shellcheck shell=bash
#
# Functions for types that connect a namespace to the host with a subnet that nothing else uses:
#
#     source /usr/share/systemd-netns/subnet.bash
#
# Each instance keeps its subnet across reboots, in /var/lib/systemd-netns/subnets/NSTYPE@NSNAME.
# Remove that file to free the subnet.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

_netns_subnet_state=/var/lib/systemd-netns/subnets

_netns_ipv4_number() {
    local -a octets
    IFS=. read -r -a octets <<<"$1"
    REPLY=$((octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]))
}

_netns_ipv4_text() {
    REPLY=$(($1 >> 24)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))
}

# Sets REPLY to the first and the last address of a subnet, as numbers: "FIRST LAST".
_netns_ipv4_range() {
    local length=32 mask
    [[ $1 != */* ]] || length=${1#*/}
    _netns_ipv4_number "${1%/*}"
    mask=$((0xffffffff << (32 - length) & 0xffffffff))
    REPLY="$((REPLY & mask)) $((REPLY | 0xffffffff ^ mask))"
}

# Exits with 6 unless the variable is an IPv4 subnet with a prefix length from 8 to 30.
#   netns_check_pool VARIABLE
netns_check_pool() {
    local range
    if ! netns_is_ipv4 "${!1}" || [[ ${!1} != */* ]]; then
        netns_reject "$1" 'not an IPv4 subnet such as 100.64.0.0/10'
    fi
    ((${!1#*/} >= 8 && ${!1#*/} <= 30)) || netns_reject "$1" 'must have a prefix length from 8 to 30'
    _netns_ipv4_range "${!1}"
    range=$REPLY
    _netns_ipv4_number "${!1%/*}"
    [[ $range == "$REPLY "* ]] || netns_reject "$1" 'not the first address of a subnet'
}

# Prints the ranges of the host's routes and addresses that overlap a pool. Ignores routes with a prefix
# length below 8: they are default routes, or halves of one.
_netns_host_ranges() {
    local line word
    {
        # All tables, for policy routing and VPNs.
        ip -4 route show table all root "$1"
        ip -4 route show table all match "$1"
        ip -4 -oneline address show
    } | while read -r line; do
        for word in $line; do
            netns_is_ipv4 "$word" || continue
            [[ $word != */[0-7] ]] || break
            _netns_ipv4_range "$word"
            echo "$REPLY"
            break
        done
    done
}

_netns_subnet_ranges() {
    local file subnet
    for file in "$_netns_subnet_state"/*; do
        [[ -f $file && $file != "$_netns_subnet_state/$NSTYPE@$NSNAME" ]] || continue
        subnet=$(<"$file")
        netns_is_ipv4 "$subnet" || continue
        _netns_ipv4_range "$subnet"
        echo "$REPLY"
    done
}

# Reserves a /30 of a pool that neither another instance nor the host uses. An instance keeps its previous
# subnet if that is still free.
#   netns_take_subnet VARIABLE_OF_THE_POOL
netns_take_subnet() {
    local pool=${!1} file=$_netns_subnet_state/$NSTYPE@$NSNAME had='' lock ranges first last begin end
    mkdir -p "$_netns_subnet_state"
    exec {lock}<"$netns_lock"
    flock "$lock"
    ranges=$({ _netns_subnet_ranges; _netns_host_ranges "$pool"; } | sort -n)
    _netns_ipv4_range "$pool"
    read -r first last <<<"$REPLY"
    [[ ! -e $file ]] || had=$(<"$file")
    if [[ $had == */30 ]] && netns_is_ipv4 "$had"; then
        _netns_ipv4_number "${had%/*}"
        begin=$REPLY
        if ((begin >= first && begin + 3 <= last)) && _netns_is_free "$begin" "$ranges"; then
            exec {lock}<&-
            return
        fi
        echo "cannot use $had again: it is in use, or not in $pool"
    fi
    local candidate=$first
    while read -r begin end; do
        # The ranges are sorted, so a range that was skipped cannot overlap a later candidate.
        ((${end:-0} >= candidate)) || continue
        ((begin <= candidate + 3)) || break
        candidate=$(((end + 4) / 4 * 4))
    done <<<"$ranges"
    ((candidate + 3 <= last)) ||
        netns_reject "$1" "no free /30: see 'ip route show table all' and $_netns_subnet_state"
    _netns_ipv4_text "$candidate"
    _netns_write "$file" "$REPLY/30"
    exec {lock}<&-
}

# Releases the subnet of this instance, if it will not be started again.
netns_release_subnet() {
    rm -f "$_netns_subnet_state/$NSTYPE@$NSNAME"
}

_netns_is_free() {
    local begin end
    while read -r begin end; do
        [[ -z $begin ]] || ((end < $1 || begin > $1 + 3)) || return 1
    done <<<"$2"
}

# Writes a file atomically.
_netns_write() {
    local temporary
    temporary=$(mktemp "${1%/*}/.new.XXXXXX")
    echo "$2" >"$temporary"
    chmod 0644 "$temporary"
    sync "$temporary"
    mv "$temporary" "$1"
}

# Sets two arrays to the addresses of both ends in the subnet of this instance: an IPv4 address and, if the
# kernel has IPv6, an IPv6 address that ends with the same 32 bits.
#   netns_subnet_addresses ARRAY_OUTSIDE ARRAY_INSIDE
netns_subnet_addresses() {
    local -n _netns_outside=$1 _netns_inside=$2
    local file=$_netns_subnet_state/$NSTYPE@$NSNAME number prefix end
    [[ -e $file ]] || { echo "the subnet of this instance is missing: $file" >&2; return 1; }
    end=$(<"$file")
    _netns_ipv4_number "${end%/*}"
    number=$REPLY
    _netns_ipv4_text $((number + 1))
    _netns_outside=("$REPLY/30")
    _netns_ipv4_text $((number + 2))
    _netns_inside=("$REPLY/30")
    [[ -e /proc/sys/net/ipv6 ]] || return 0
    prefix=$(_netns_ula)
    # nodad: nothing else can have these addresses.
    printf -v end '%x:%x' $((number >> 16)) $(((number & 0xffff) + 1))
    _netns_outside+=("$prefix::$end/126 nodad")
    printf -v end '%x:%x' $((number >> 16)) $(((number & 0xffff) + 2))
    _netns_inside+=("$prefix::$end/126 nodad")
}

# Prints the unique local prefix (/48) of this host: fd and 40 random bits (RFC 4193).
_netns_ula() {
    local file=$_netns_subnet_state/../ula lock bits
    exec {lock}<"$netns_lock"
    flock "$lock"
    if [[ ! -e $file ]]; then
        bits=$(</proc/sys/kernel/random/uuid)
        _netns_write "$file" "fd${bits:0:2}:${bits:2:4}:${bits:9:4}"
    fi
    cat "$file"
    exec {lock}<&-
}
