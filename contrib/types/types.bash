# shellcheck shell=bash
#
# What the shipped types have in common. A type of your own may use it too:
#
#     source /usr/share/systemd-netns/types.bash
#
# Functions named netns_* are for types; those named _netns_* are not, and may change.
# What a variable of a configuration holds is checked before anything is made: a function that
# finds a fault prints one line with the variable and its value, and exits with 6, which systemd
# shows as NOTCONFIGURED.
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# The group of a link that stays on the host, for `ip link add name NAME group "$netns_group" ...`. By
# it, 60-systemd-netns.rules tells networkd and NetworkManager to leave the link alone; the alias
# that netns_claim_link gives comes too late for that.
# shellcheck disable=SC2034 # for the types
netns_group=28275

# The directory of this instance, which only root can read, for what has to be known on the way
# down. netnsinit makes it before `up`, and removes it when the instance has come down.
# shellcheck disable=SC2034 # of use to types
netns_state=/run/systemd-netns/instances/$NSTYPE@$NSNAME

# Ends the run because of a fault in the configuration.
#   netns_reject VARIABLE WHY
netns_reject() {
    printf '%s=%q: %s\n' "$1" "${!1-}" "$2" >&2
    exit 6
}

# Ends the run unless all of the variables are set and not empty.
#   netns_require VARIABLE...
netns_require() {
    local _netns_variable
    for _netns_variable; do
        (trap - ERR; assert_non_empty "$_netns_variable") || exit 6
    done
}

# Ends the run unless the variable, if it is set, can name an interface: at most 15 bytes, for the
# kernel holds names in 16 (IFNAMSIZ), none of them white, a slash or a colon.
#   netns_check_ifname VARIABLE...
netns_check_ifname() {
    local _netns_variable _netns_name LC_ALL=C
    for _netns_variable; do
        _netns_name=${!_netns_variable-}
        ((${#_netns_name} <= 15)) ||
            netns_reject "$_netns_variable" "an interface name has at most 15 characters, this has ${#_netns_name}"
        case $_netns_name in
            *[/:[:space:][:cntrl:]]* | . | ..) netns_reject "$_netns_variable" 'is no name of an interface' ;;
        esac
    done
}

# Ends the run unless the variable, if it is set, is an Ethernet address of one station.
#   netns_check_mac VARIABLE...
netns_check_mac() {
    local _netns_variable
    for _netns_variable; do
        [[ -z ${!_netns_variable-} ]] || netns_is_mac "${!_netns_variable}" ||
            netns_reject "$_netns_variable" 'is no MAC address of an interface, such as 02:00:00:00:00:01'
    done
}

# Whether a word is an Ethernet address of one station.
netns_is_mac() {
    local pair='[0-9A-Fa-f]{2}'
    [[ $1 =~ ^[0-9A-Fa-f][02468ACEace](:$pair){5}$ ]]
}

# Ends the run unless the variable, if it is set, is a number in a range.
#   netns_check_number VARIABLE LOWEST HIGHEST
netns_check_number() {
    [[ -n ${!1-} ]] || return 0
    if [[ ! ${!1} =~ ^[0-9]{1,9}$ ]] || ((10#${!1} < $2 || 10#${!1} > $3)); then
        netns_reject "$1" "must be a number from $2 to $3"
    fi
}

# Whether a word is an IPv4 address, with a prefix length or without.
netns_is_ipv4() {
    local octet='(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
    [[ $1 =~ ^$octet(\.$octet){3}(/([12]?[0-9]|3[0-2]))?$ ]]
}

# Whether a word is an IPv6 address, with a prefix length or without.
netns_is_ipv6() {
    local address=${1%%/*} part count=0
    [[ $1 != */* || ${1#*/} =~ ^([1-9]?[0-9]|1[01][0-9]|12[0-8])$ ]] || return 1
    [[ $address == *:*:* && $address != *:::* && $address != *::*::* ]] || return 1
    [[ $address != :[^:]* && $address != *[^:]: ]] || return 1
    if [[ $address == *.* ]]; then
        netns_is_ipv4 "${address##*:}" || return 1
        address=${address%:*}:0:0
    fi
    for part in ${address//:/ }; do
        [[ $part =~ ^[0-9A-Fa-f]{1,4}$ ]] || return 1
        ((count += 1))
    done
    if [[ $address == *::* ]]; then ((count < 8)); else ((count == 8)); fi
}

netns_is_address() {
    netns_is_ipv4 "$1" || netns_is_ipv6 "$1"
}

# Splits a variable, an array or a string, into its words, in the array REPLY.
netns_words() {
    local -n _netns_array=$1
    IFS=$' \t\n' read -r -d '' -a REPLY <<<"${_netns_array[*]-}" || :
}

# Splits a variable of addresses into one string for each address: the address and the words of
# `ip address add` that follow it, such as `broadcast 192.0.2.255`. The variable is an array or a
# string, and each string holds one or more addresses. The result is in the array REPLY.
#   netns_addresses VARIABLE
netns_addresses() {
    local word value=no
    local -a words
    netns_words "$1"
    words=("${REPLY[@]}")
    REPLY=()
    for word in "${words[@]}"; do
        if [[ $value == no ]] && netns_is_address "$word"; then
            REPLY+=("$word")
            continue
        fi
        ((${#REPLY[@]})) || netns_reject "$1" "'$word' is no IP address"
        REPLY[-1]+=" $word"
        case $value:$word in
            no:peer | no:remote | no:broadcast | no:brd | no:anycast | no:label | no:scope | \
                no:metric | no:valid_lft | no:preferred_lft | no:proto) value=yes ;;
            no:home | no:mngtmpaddr | no:nodad | no:optimistic | no:noprefixroute | no:autojoin) ;;
            no:*) netns_reject "$1" "'$word' is no IP address and no word of 'ip address add'" ;;
            yes:*) value=no ;;
        esac
    done
    [[ $value == no ]] || netns_reject "$1" "a value is missing after '${words[-1]}'"
}

# Ends the run unless a variable holds addresses as netns_addresses takes them.
#   netns_check_addresses VARIABLE...
netns_check_addresses() {
    local _netns_variable
    local -a REPLY
    for _netns_variable; do
        netns_addresses "$_netns_variable"
    done
}

# Ends the run unless a variable, if it is set, holds at most one gateway of each family.
#   netns_check_gateways VARIABLE
netns_check_gateways() {
    local word v4=0 v6=0
    local -a REPLY
    netns_words "$1"
    for word in "${REPLY[@]}"; do
        if [[ $word == */* ]]; then
            netns_reject "$1" "'$word' must be an address without a prefix length"
        elif netns_is_ipv4 "$word"; then
            ((v4 += 1))
        elif netns_is_ipv6 "$word"; then
            ((v6 += 1))
        else
            netns_reject "$1" "'$word' is no IP address"
        fi
    done
    ((v4 <= 1 && v6 <= 1)) || netns_reject "$1" 'holds more than one gateway of a family'
}

# Whether a variable says yes. Ends the run where it says neither yes nor no; unset is no.
#   netns_is_on VARIABLE
netns_is_on() {
    case ${!1-} in
        [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee] | [Oo][Nn] | 1) return 0 ;;
        '' | [Nn][Oo] | [Ff][Aa][Ll][Ss][Ee] | [Oo][Ff][Ff] | 0) return 1 ;;
    esac
    netns_reject "$1" 'must be yes or no'
}

# Ends the run if an address of the variable is in use on an interface already: of the host, or of
# another namespace by options of ip(8).
#   netns_check_addresses_free VARIABLE [IP_OPTION...]
netns_check_addresses_free() {
    local address line where
    local -a REPLY
    netns_addresses "$1"
    for address in "${REPLY[@]}"; do
        address=${address%%[ /]*}
        # Each link has link-local addresses of its own.
        [[ ${address,,} != fe[89ab]?:* ]] || continue
        line=$(ip "${@:2}" -oneline address show to "$address" 2>/dev/null) || continue
        read -r _ where _ <<<"$line"
        [[ -z $line ]] || netns_reject "$1" "$where has the address $address already"
    done
}

# Makes a veth pair, one end here and one in the namespace, claims it, and takes it back if the
# function fails later. MAC and MTU may be empty.
#   netns_add_pair OUTSIDE INSIDE MAC_OUTSIDE MAC_INSIDE MTU [IP_OPTION...]
netns_add_pair() {
    local mac=$3 random
    if [[ -z $mac ]]; then
        # udev replaces an address that the kernel has chosen, when the inside end may have learned
        # it already. A high one, for a bridge takes the lowest of its ports for itself.
        read -r random </proc/sys/kernel/random/uuid
        mac=fe:${random:0:2}:${random:2:2}:${random:4:2}:${random:6:2}:${random:9:2}
    fi
    ip "${@:6}" link add name "$1" group "$netns_group" address "$mac" ${5:+mtu "$5"} \
        type veth peer name "$2" ${4:+address "$4"} ${5:+mtu "$5"} netns "$NSNAME"
    netns_undo ip "${@:6}" link delete dev "$1"
    netns_claim_link "$1" "${@:6}"
}

# Adds the addresses of a variable to an interface.
#   netns_add_addresses INTERFACE VARIABLE [IP_OPTION...]
netns_add_addresses() {
    local interface=$1 address
    local -a REPLY words
    netns_addresses "$2"
    for address in "${REPLY[@]}"; do
        read -r -a words <<<"$address"
        ip "${@:3}" address add "${words[@]}" dev "$interface"
    done
}

# Adds the default routes of a variable by an interface.
#   netns_add_gateways INTERFACE VARIABLE [IP_OPTION...]
netns_add_gateways() {
    local gateway
    local -a REPLY
    netns_words "$2"
    for gateway in "${REPLY[@]}"; do
        # onlink: a gateway need not be in the subnet of an address, as with a /32.
        ip "${@:3}" route add default via "$gateway" dev "$1" onlink
    done
}

# Splits a variable of routes into one string for each: the words of `ip route add`, which begin with
# an address of a network or `default`. The variable is an array with a route in each element, or a
# string with a route in each line. The result is in the array REPLY.
_netns_routes() {
    local -n _netns_array=$1
    local -a words
    local line
    REPLY=()
    while read -r line; do
        [[ -n $line ]] || continue
        read -r -a words <<<"$line"
        [[ ${words[0]} == default ]] || netns_is_address "${words[0]}" ||
            netns_reject "$1" "'${words[0]}' is no destination of a route"
        REPLY+=("${words[*]}")
    done < <(printf '%s\n' "${_netns_array[@]}")
}

# Ends the run unless a variable, if it is set, holds routes: DESTINATION [via GATEWAY] [WORD...]
#   netns_check_routes VARIABLE
netns_check_routes() {
    local route gateway
    local -a REPLY words
    _netns_routes "$1"
    for route in "${REPLY[@]}"; do
        read -r -a words <<<"$route"
        gateway=${words[2]-}
        [[ ${words[1]-} != via ]] || { netns_is_address "$gateway" && [[ $gateway != */* ]]; } ||
            netns_reject "$1" "'$gateway' is no gateway, in '$route'"
        if [[ ${words[1]-} == via && ${words[0]} == *:* && $gateway != *:* ||
            ${words[0]} == *.* && $gateway == *:* ]]; then
            netns_reject "$1" "network and gateway are of two families in '$route'"
        fi
    done
}

# Adds the routes of a variable by an interface.
#   netns_add_routes INTERFACE VARIABLE [IP_OPTION...]
netns_add_routes() {
    local route
    local -a REPLY words family
    _netns_routes "$2"
    for route in "${REPLY[@]}"; do
        read -r -a words <<<"$route"
        # For `default dev X`, the only kind without an address.
        family=()
        [[ $route != *:* ]] || family=(-6)
        ip "${family[@]}" "${@:3}" route add "${words[@]}" dev "$1"
    done
}

# Runs commands, last one first, if the function does not succeed. To be called with the command
# that takes back what has just been made.
#   netns_undo COMMAND [ARGUMENT...]
netns_undo() {
    ((${#_netns_undo[@]})) || trap _netns_unwind EXIT
    _netns_undo+=("${*@Q}")
}

_netns_undo=()

_netns_unwind() {
    local status=$? step
    ((status)) || return 0
    for ((step = ${#_netns_undo[@]} - 1; step >= 0; step--)); do
        eval "${_netns_undo[step]}" || echo "undoing failed: ${_netns_undo[step]}" >&2
    done
}

# Marks a link as made by this instance, so that nobody else's is ever taken for it.
#   netns_claim_link INTERFACE [IP_OPTION...]
netns_claim_link() {
    ip "${@:2}" link set dev "$1" alias "systemd-netns $NSTYPE@$NSNAME"
}

# Puts the links that this instance has made into the array REPLY, whatever they are called now.
#   netns_claimed_links [IP_OPTION...]
netns_claimed_links() {
    local line name
    REPLY=()
    while read -r _ name line; do
        name=${name%:}
        # The text of the mark has to end there: NSNAME may begin that of another instance.
        [[ "$line\\" != *"alias systemd-netns $NSTYPE@$NSNAME"*([[:space:]])\\* ]] || REPLY+=("${name%@*}")
    done < <(ip "$@" -oneline link show 2>/dev/null)
}

# Deletes a link that this instance has made. That it is gone, or somebody else's, is no error.
#   netns_delete_link INTERFACE [IP_OPTION...]
netns_delete_link() {
    local link
    local -a REPLY
    netns_claimed_links "${@:2}"
    for link in "${REPLY[@]}"; do
        [[ $link != "$1" ]] || ip "${@:2}" link delete dev "$1"
    done
}

# Deletes all links that this instance has made, also if the configuration names others by now.
#   netns_delete_links [IP_OPTION...]
netns_delete_links() {
    local link
    local -a REPLY
    netns_claimed_links "$@"
    for link in "${REPLY[@]}"; do
        ip "$@" link delete dev "$link"
    done
}
