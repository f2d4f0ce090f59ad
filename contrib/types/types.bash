# shellcheck shell=bash
#
# Functions that all types have in common. Your own type can use them, too:
#
#     source /usr/share/systemd-netns/types.bash
#
# /usr/share/doc/systemd-netns/types/README.md lists the functions and variables that a type can use, here
# and in the other *.bash files. Names that begin with _netns_ are internal and may change.
#
# Check the whole configuration before you create anything. A check that fails prints one line with the
# variable, its value and the line that set it, and exits with 6 (NOTCONFIGURED in systemd).
# shellcheck disable=SC2154 # NSTYPE and NSNAME are set by netnsinit

# The group of a link that stays on the host, for `ip link add name NAME group "$netns_group" ...`.
# It makes networkd and NetworkManager ignore the link (60-systemd-netns.rules) from its first udev event.
# The alias that netns_claim_link sets would be too late.
# shellcheck disable=SC2034 # for the types
netns_group=28275

# A directory of this instance for data that `down` needs. Only root can read it. netnsinit creates it before
# `up` and removes it after `down`.
# shellcheck disable=SC2034 # for the types
netns_state=/run/systemd-netns/instances/$NSTYPE@$NSNAME
# A directory to lock while instances of several namespaces must not do the same thing at once. Only root
# can open it, so no other user can hold the lock.
netns_lock=/run/systemd-netns

# Runs a command in a subshell, while no other instance runs one.
#   netns_locked COMMAND [ARGUMENT...]
netns_locked() {
    # Daemons that the command starts must not inherit the lock.
    (flock --timeout 30 9 && "$@" 9<&-) 9<"$netns_lock"
}

# Runs netnsctl, which may be installed in another directory.
#   netns_ctl VERB [ARGUMENT...]
netns_ctl() {
    local netnsctl=/usr/sbin/netnsctl
    [[ -x $netnsctl ]] || netnsctl=netnsctl
    "$netnsctl" "$@"
}

# Exits with 6 because of the value of a variable.
#   netns_reject VARIABLE REASON
netns_reject() {
    local -n _netns_value=$1
    local shown=${_netns_value[*]-}
    # Show simple values without quotes, and arrays like strings: both are read in the same way.
    [[ ${shown// /} =~ ^[A-Za-z0-9_.:/@%+,-]+$ && (${#_netns_value[@]} != 1 || $shown != *' '*) ]] ||
        shown=${_netns_value[*]@Q}
    _netns_reject "$1" "$1=${shown:-"''"}: $2"
}

# Exits with 6 because of a file that the configuration names, or a line of it.
#   netns_reject_file FILE[:LINE] REASON
netns_reject_file() {
    _netns_reject '' "$1: $2"
}

_netns_reject() {
    local _netns_source=_netns_source_of_$1
    [[ -z ${!_netns_source-} ]] || set -- '' "$2 (set by ${!_netns_source})"
    # The driver of netnsinit adds the line that set the variable, but not in a subshell.
    ! declare -F __netns_fault >/dev/null || __netns_fault "$@"
    printf '%s\n' "$2" >&2
    exit 6
}

# Sets a variable to what no file of the configuration says, for messages about it to name SOURCE instead.
#   netns_set VARIABLE VALUE SOURCE
netns_set() {
    printf -v "$1" %s "$2"
    printf -v "_netns_source_of_$1" %s "$3"
}

# Exits with 6 unless all of the variables are set and not empty.
#   netns_require VARIABLE...
netns_require() {
    local _netns_variable
    for _netns_variable; do
        local -n _netns_value=$_netns_variable
        if [[ -z ${_netns_value[*]+set} ]]; then
            _netns_reject "$_netns_variable" "Variable $_netns_variable is not set!"
        elif [[ -z ${_netns_value[*]} ]]; then
            _netns_reject "$_netns_variable" "Variable $_netns_variable is empty!"
        fi
    done
}

# Exits with 6 unless the variable is unset or a valid interface name: at most 15 bytes (the kernel's
# IFNAMSIZ is 16), without white space, slash or colon.
#   netns_check_ifname VARIABLE...
netns_check_ifname() {
    local _netns_variable _netns_name LC_ALL=C
    for _netns_variable; do
        _netns_name=${!_netns_variable-}
        ((${#_netns_name} <= 15)) ||
            netns_reject "$_netns_variable" "an interface name has at most 15 characters, this has ${#_netns_name}"
        case $_netns_name in
            *[/:[:space:][:cntrl:]]* | . | ..) netns_reject "$_netns_variable" 'not a valid interface name' ;;
        esac
    done
}

# Exits with 6 unless the variable is unset or a unicast MAC address.
#   netns_check_mac VARIABLE...
netns_check_mac() {
    local _netns_variable
    for _netns_variable; do
        [[ -z ${!_netns_variable-} ]] || netns_is_mac "${!_netns_variable}" ||
            netns_reject "$_netns_variable" 'not a unicast MAC address such as 02:00:00:00:00:01'
    done
}

# Whether a word is a unicast MAC address.
netns_is_mac() {
    local pair='[0-9A-Fa-f]{2}'
    [[ $1 =~ ^[0-9A-Fa-f][02468ACEace](:$pair){5}$ ]]
}

# Exits with 6 unless the variable is unset or a number in a range.
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

# Splits a variable, an array or a string, into words: the array REPLY.
#   netns_words VARIABLE
netns_words() {
    local -n _netns_array=$1
    IFS=$' \t\n' read -r -d '' -a REPLY <<<"${_netns_array[*]-}" || :
}

# Splits a variable of addresses, an array or a string, into the array REPLY. Each element is one
# address with its prefix length, followed by the words of `ip address add` that belong to it, such as
# `broadcast 192.0.2.255`. Everything that ip(8) accepts is allowed: also `local ADDRESS`, a netmask instead
# of a prefix length, and 10.9/16 for 10.9.0.0/16.
#   netns_addresses VARIABLE
netns_addresses() {
    local word value='' address='' options='' REPLY_ADDRESS
    local -a words found=()
    netns_words "$1"
    words=("${REPLY[@]}")
    for word in "${words[@]}"; do
        if [[ -n $value ]]; then
            _netns_check_option "$1" "$value" "$word"
            [[ $value == local ]] || options+=" $word"
        fi
        case $value:$word in
            :peer | :remote | :broadcast | :brd | :anycast | :label | :scope | :metric | :priority | \
                :preference | :valid_lft | :preferred_lft | :proto)
                [[ " $options " != *" $word "* ]] || _netns_end_of_address "$1"
                options+=" $word" value=$word
                continue
                ;;
            :home | :mngtmpaddr | :nodad | :optimistic | :noprefixroute | :autojoin) options+=" $word" ;;
            :local)
                value=local
                continue
                ;;
            local:* | :*)
                _netns_normalize_address "$word" || netns_reject "$1" \
                    "'$word' is neither an IP address nor a word of 'ip address add'"
                [[ -z $address ]] || _netns_end_of_address "$1"
                address=$REPLY_ADDRESS
                ;;
        esac
        value=''
    done
    [[ -z $value ]] || netns_reject "$1" "a value is missing after '$value'"
    [[ -z $address$options ]] || _netns_end_of_address "$1"
    REPLY=("${found[@]}")
}

# Adds `address` and its `options` to the array `found`.
_netns_end_of_address() {
    [[ -n $address ]] || netns_reject "$1" "there is no address with '${options# }'"
    local word previous=''
    for word in $options; do
        case $previous:$word in
            broadcast:* | brd:*) [[ $address != *:* ]] || netns_reject "$1" "IPv6 has no broadcast: '$address'" ;;&
            *:+ | *:-) ;;
            peer:* | remote:* | broadcast:* | brd:* | anycast:*)
                if [[ $address == *:* && $word != *:* || $address != *:* && $word == *:* ]]; then
                    netns_reject "$1" "'$word' is not of the address family of '$address'"
                fi
                ;;
        esac
        previous=$word
    done
    found+=("$address$options")
    address='' options=''
}

# Exits with 6 unless a word can be the value of an option of `ip address add`.
#   _netns_check_option VARIABLE OPTION WORD
_netns_check_option() {
    case $2 in
        local | peer | remote) _netns_normalize_address "$3" ;;
        broadcast | brd) [[ $3 == [+-] ]] || netns_is_address "$3" ;;
        anycast) netns_is_address "$3" ;;
        scope) [[ $3 =~ ^(global|site|link|host|nowhere|[0-9]+)$ ]] ;;
        label) ((${#3} <= 15)) ;;
        valid_lft | preferred_lft) [[ $3 =~ ^(forever|[0-9]+(sec)?)$ ]] ;;
        metric | priority | preference) [[ $3 =~ ^[0-9]+$ ]] ;;
    esac || netns_reject "$1" "'$3' cannot follow '$2'"
}

# Sets REPLY_ADDRESS to the usual form of an address of ip(8): an IPv4 address with all four numbers, and a
# prefix length instead of a netmask.
_netns_normalize_address() {
    local address=${1%%/*} length='' mask
    if [[ $1 == *:* ]]; then
        REPLY_ADDRESS=$1
        netns_is_ipv6 "$1"
        return
    fi
    # ip(8) reads 10.9 as 10.9.0.0, and not as inet_aton(3) does.
    while [[ $address =~ ^[0-9]+(\.[0-9]+){0,2}$ ]]; do address+=.0; done
    if [[ $1 == */*.* ]]; then
        netns_is_ipv4 "${1#*/}" && [[ $1 != */*/* ]] || return 1
        local -a octets
        IFS=. read -r -a octets <<<"${1#*/}"
        mask=$((octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]))
        for ((length = 32; length >= 0; length--)); do
            ((mask != (0xffffffff << (32 - length) & 0xffffffff))) || break
        done
        ((length >= 0)) || return 1
        length=/$length
    elif [[ $1 == */* ]]; then
        length=/${1#*/}
    fi
    REPLY_ADDRESS=$address$length
    netns_is_ipv4 "$REPLY_ADDRESS"
}

# Exits with 6 unless the variables contain addresses in the notation of netns_addresses.
#   netns_check_addresses VARIABLE...
netns_check_addresses() {
    local _netns_variable
    local -a REPLY
    for _netns_variable; do
        netns_addresses "$_netns_variable"
    done
}

# Exits with 6 unless the variable holds at most one gateway of each address family.
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
            netns_reject "$1" "'$word' is not an IP address"
        fi
    done
    ((v4 <= 1 && v6 <= 1)) || netns_reject "$1" 'more than one gateway of an address family'
}

# Whether a Boolean variable is true; unset is false. Exits with 6 if it is not a Boolean.
#   netns_is_on VARIABLE
netns_is_on() {
    case ${!1-} in
        [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee] | [Oo][Nn] | 1) return 0 ;;
        '' | [Nn][Oo] | [Ff][Aa][Ll][Ss][Ee] | [Oo][Ff][Ff] | 0) return 1 ;;
    esac
    netns_reject "$1" 'must be yes or no'
}

# Exits with 6 if an interface already has an address of the variable. Options of ip(8) select another
# namespace.
#   netns_check_addresses_free VARIABLE [IP_OPTION...]
netns_check_addresses_free() {
    local address line where
    local -a REPLY
    netns_addresses "$1"
    for address in "${REPLY[@]}"; do
        address=${address%%[ /]*}
        # Link-local addresses are unique only on their link.
        [[ ${address,,} != fe[89ab]?:* ]] || continue
        line=$(ip "${@:2}" -oneline address show to "$address" 2>/dev/null) || continue
        read -r _ where _ <<<"$line"
        [[ -z $line ]] || netns_reject "$1" "$where already has the address $address"
    done
}

# Creates a veth pair, with one end here and one in the namespace, and claims it; if the function fails
# later, the pair is deleted. MAC addresses and MTU may be empty.
#   netns_add_pair OUTSIDE INSIDE MAC_OUTSIDE MAC_INSIDE MTU [IP_OPTION...]
netns_add_pair() {
    local mac=$3 random
    if [[ -z $mac ]]; then
        # udev would replace an address that the kernel chose, possibly after the inside end has learned
        # it. The address is high, because a bridge takes the lowest address of its ports.
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

# Adds the default routes of a variable through an interface.
#   netns_add_gateways INTERFACE VARIABLE [IP_OPTION...]
netns_add_gateways() {
    local gateway
    local -a REPLY
    netns_words "$2"
    for gateway in "${REPLY[@]}"; do
        # A container may have several networks. The first one has the default route.
        if [[ -n ${CONTAINER_ID-} && -n $(ip "$(netns_ip_family "$gateway")" "${@:3}" route show default) ]]; then
            echo "$1: not adding a default route via $gateway, because there is another"
            continue
        fi
        # onlink: a gateway need not be in the subnet of an address, as with a /32.
        ip "${@:3}" route add default via "$gateway" dev "$1" onlink
    done
}

# Prints the option of ip(8) for the family of an address: -4 or -6.
#   netns_ip_family ADDRESS
netns_ip_family() {
    if [[ $1 == *:* ]]; then echo -6; else echo -4; fi
}

# Adds routes through an interface to those addresses of a variable that have no subnet.
#   netns_add_host_routes INTERFACE VARIABLE [IP_OPTION...]
netns_add_host_routes() {
    local address
    local -a REPLY
    netns_addresses "$2"
    for address in "${REPLY[@]}"; do
        address=${address%% *}
        [[ $address == */* && $address != */32 && $address != *:*/128 ]] ||
            ip "${@:3}" route add "${address%/*}" dev "$1"
    done
}

# Splits a variable of routes, an array or a string with one route in each line, into the array REPLY. A route
# has the words of `ip route add`, with the destination first.
_netns_routes() {
    local -n _netns_array=$1
    local -a words
    local line
    REPLY=()
    while read -r line; do
        [[ -n $line ]] || continue
        read -r -a words <<<"$line"
        [[ ${words[0]} == default ]] || netns_is_address "${words[0]}" ||
            netns_reject "$1" "'${words[0]}' is not the destination of a route"
        REPLY+=("${words[*]}")
    done < <(printf '%s\n' "${_netns_array[@]}")
}

# Exits with 6 unless the variable is unset or holds routes: DESTINATION [via GATEWAY] [WORD...]
#   netns_check_routes VARIABLE
netns_check_routes() {
    local route gateway
    local -a REPLY words
    _netns_routes "$1"
    for route in "${REPLY[@]}"; do
        read -r -a words <<<"$route"
        gateway=${words[2]-}
        [[ ${words[1]-} != via ]] || { netns_is_address "$gateway" && [[ $gateway != */* ]]; } ||
            netns_reject "$1" "'$gateway' is not a gateway, in '$route'"
        if [[ ${words[1]-} == via && ${words[0]} == *:* && $gateway != *:* ||
            ${words[0]} == *.* && $gateway == *:* ]]; then
            netns_reject "$1" "destination and gateway are of different address families in '$route'"
        fi
    done
}

# Exits with 6 unless the variable is unset, or one of WORD alone, or holds addresses, each with a prefix
# length or without.
#   netns_check_destinations VARIABLE [WORD...]
netns_check_destinations() {
    local word
    local -a REPLY
    netns_words "$1"
    for word in "${@:2}"; do
        [[ ${REPLY[*]-} != "$word" ]] || return 0
    done
    for word in "${REPLY[@]}"; do
        netns_is_address "$word" || netns_reject "$1" "'$word' is not an IP address"
    done
}

# Adds the routes of a variable through an interface.
#   netns_add_routes INTERFACE VARIABLE [IP_OPTION...]
netns_add_routes() {
    local route
    local -a REPLY words family
    _netns_routes "$2"
    for route in "${REPLY[@]}"; do
        read -r -a words <<<"$route"
        # For `default via X`: the family does not follow from the destination.
        family=()
        [[ $route != *:* ]] || family=(-6)
        ip "${family[@]}" "${@:3}" route add "${words[@]}" dev "$1"
    done
}

# Registers a command that undoes the previous step. If the function fails later, the registered commands
# run, the last one first.
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
        eval "${_netns_undo[step]}" || echo "could not undo: ${_netns_undo[step]}" >&2
    done
}

# Runs functions one after another, for `down outside`: each runs even if a previous one failed. Fails if one
# of them failed.
#   netns_run_all FUNCTION...
netns_run_all() {
    local - function status result=0
    # Not `|| status=$?`: bash would then ignore commands that fail within the function.
    set +e
    for function; do
        (
            set -e
            "$function"
        )
        status=$?
        ((status == 0)) || {
            echo "$function failed with status $status" >&2
            result=$status
        }
    done
    return "$result"
}

# Whether an instance of another type also uses the namespace.
netns_is_shared() {
    local other
    for other in /run/systemd-netns/instances/*; do
        [[ ${other##*/} == "$NSTYPE@$NSNAME" || ${other#*@} != "$NSNAME" ]] || return 0
    done
    return 1
}

# Marks a link as created by this instance: down and `netnsctl gc` delete no others.
#   netns_claim_link INTERFACE [IP_OPTION...]
netns_claim_link() {
    ip "${@:2}" link set dev "$1" alias "systemd-netns $NSTYPE@$NSNAME"
}

# Puts the names of the links that this instance has claimed into the array REPLY.
#   netns_claimed_links [IP_OPTION...]
netns_claimed_links() {
    local line name
    REPLY=()
    while read -r _ name line; do
        name=${name%:}
        # Compare the whole alias: NSNAME may be a prefix of another name.
        [[ "$line\\" != *"alias systemd-netns $NSTYPE@$NSNAME"*([[:space:]])\\* ]] || REPLY+=("${name%@*}")
    done < <(ip "$@" -oneline link show 2>/dev/null)
}

# Deletes a link if this instance has claimed it. Otherwise does nothing.
#   netns_delete_link INTERFACE [IP_OPTION...]
netns_delete_link() {
    local link
    local -a REPLY
    netns_claimed_links "${@:2}"
    for link in "${REPLY[@]}"; do
        [[ $link != "$1" ]] || _netns_delete "$link" "${@:2}"
    done
}

# Deletes all links that this instance has claimed, even if the configuration has other names now.
#   netns_delete_links [IP_OPTION...]
netns_delete_links() {
    local link status=0
    local -a REPLY
    netns_claimed_links "$@"
    for link in "${REPLY[@]}"; do
        _netns_delete "$link" "$@" || status=$?
    done
    return "$status"
}

# Deletes a link. It is no error if the link has disappeared with its namespace.
_netns_delete() {
    local error
    error=$(ip "${@:2}" link delete dev "$1" 2>&1) || ! ip "${@:2}" link show dev "$1" &>/dev/null || {
        echo "could not delete the link $1: $error" >&2
        return 1
    }
}

# Whether there is a veth pair without a mark that is exactly what this instance would create: the ends have
# these names, one here and one in the namespace. It was created by the shell package, or by a function that
# overrides ours. This instance may delete it.
#   netns_is_unmarked_pair OUTSIDE INSIDE [IP_OPTION...]
netns_is_unmarked_pair() {
    local outside inside
    outside=$(_netns_unmarked_link veth "$1" "${@:3}")
    [[ -n $outside ]] || return 1
    inside=$(_netns_unmarked_link veth "$2" -netns "$NSNAME")
    [[ $inside == "${outside#* } ${outside% *}" ]]
}

# The same for a link in the namespace with a parent on the host.
#   netns_is_unmarked_link KIND INTERFACE PARENT
netns_is_unmarked_link() {
    local link parent
    link=$(_netns_unmarked_link "$1" "$2" -netns "$NSNAME")
    parent=$(ip -oneline link show dev "$3" 2>/dev/null) || return
    [[ -n $link && ${link#* } == "${parent%%:*}" ]]
}

# Prints the index of a link that has no alias, and the index of its peer or parent in another namespace.
#   _netns_unmarked_link KIND INTERFACE [IP_OPTION...]
_netns_unmarked_link() {
    local line name
    line=$(ip "${@:3}" -oneline -details link show dev "$2" 2>/dev/null) || return 0
    read -r _ name _ <<<"$line"
    # "$2" may be an alternative name.
    if [[ $name == "$2@if"*: && $line != *'    alias '* && $line == *"    $1 "* ]]; then
        name=${name#*@if}
        echo "${line%%:*} ${name%:}"
    fi
}
