# shellcheck shell=bash
#
# NSTYPE ifupdown: a namespace whose network is written as stanzas of Debian's interfaces(5):
# /etc/network/namespaces/NSNAME inside, and those of /etc/network/services/* that name it outside.
#
# netns-variables:
# netns-programs: ip ifup ifdown

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash

_ifupdown_names() {
    _ifupdown_namespace=/etc/network/namespaces/$NSNAME
    _ifupdown_services=/etc/network/services
    # As the files were at `up`: a stanza goes down as it came up.
    _ifupdown_inside=$netns_state/interfaces-inside
    _ifupdown_outside=$netns_state/interfaces-outside
    # A line for each interface outside that is up: its name, and where ifupdown knows that.
    _ifupdown_up=$netns_state/interfaces-up
    # With a state of the host's, or of another namespace, an interface of the same name would be
    # taken for configured already.
    _ifupdown_state_inside=$netns_state/ifstate-inside
    _ifupdown_state_outside=$netns_state/ifstate-outside
}

_ifupdown_reject() {
    echo "$1: $2" >&2
    exit 6
}

# Finds the stanzas outside: _ifupdown_interfaces in their order, and of each what is known.
declare -a _ifupdown_interfaces=() _ifupdown_files=()
declare -A _ifupdown_peer=() _ifupdown_ours=()

_ifupdown_find() {
    local file name line previous word interface
    local -a words ours
    for file in "$_ifupdown_services"/*; do
        name=${file##*/}
        [[ -f $file && $name != *~ && $name != *.dpkg-* ]] || continue
        ours=()
        interface=
        # Without -r, as ifupdown joins lines that end with a backslash.
        # shellcheck disable=SC2162
        while read line || [[ -n $line ]]; do
            read -r -a words <<<"${line//[;&|\"\']/ }"
            case ${words[0]-} in
                '' | '#'*) continue ;;
                iface)
                    interface=${words[1]-}
                    # The file of this namespace.
                    if [[ $name == "$NSNAME" ]]; then ours+=("$interface"); fi
                    continue
                    ;;
                auto | allow-* | no-auto-down | no-scripts | mapping | source | source-directory | rename | template)
                    interface=
                    ;;
            esac
            [[ -n $interface ]] || continue
            if [[ ${words[0]} == netns-peer ]]; then
                _ifupdown_peer[$interface]=${words[1]-}
            fi
            previous=
            for word in "${words[@]}"; do
                case $previous:$word in
                    netns:exec) continue ;;
                    "netns:$NSNAME" | "-n:$NSNAME" | "-netns:$NSNAME" | *:/*/netns/"$NSNAME") ours+=("$interface") ;;
                esac
                previous=$word
            done
        done <"$file"
        ((${#ours[@]} == 0)) || _ifupdown_files+=("$file")
        for interface in "${ours[@]}"; do
            [[ -z ${_ifupdown_ours[$interface]-} ]] || continue
            _ifupdown_ours[$interface]=$file
            _ifupdown_interfaces+=("$interface")
        done
    done
}

# Copies files of stanzas, with their own relative names made whole.
_ifupdown_copy() {
    local file
    for file; do
        sed -E "s,^([[:space:]]*source(-directory)?[[:space:]]+)([^/[:space:]]),\\1${file%/*}/\\3," "$file"
        echo
    done
}

_ifupdown_check() {
    local interface peer
    if ! type -P ifup >/dev/null; then
        echo 'ifup is missing: install ifupdown' >&2
        exit 5
    fi
    [[ -f $_ifupdown_namespace ]] || _ifupdown_reject "$_ifupdown_namespace" 'there is no such file'
    _ifupdown_copy "$_ifupdown_namespace" >"$_ifupdown_inside"
    _ifupdown_find
    _ifupdown_copy "${_ifupdown_files[@]}" >"$_ifupdown_outside"
    _ifupdown_parse "$_ifupdown_inside" "$_ifupdown_namespace"
    _ifupdown_parse "$_ifupdown_outside" "${_ifupdown_files[*]}"
    for interface in "${_ifupdown_interfaces[@]}"; do
        peer=${_ifupdown_peer[$interface]-}
        [[ -n $peer ]] || continue
        _ifupdown_check_name "$interface" "$interface"
        _ifupdown_check_name "$interface" "$peer"
        if ip link show dev "$interface" &>/dev/null; then
            _ifupdown_reject "${_ifupdown_ours[$interface]}" "there is an interface $interface already"
        elif ip -n "$NSNAME" link show dev "$peer" &>/dev/null; then
            _ifupdown_reject "${_ifupdown_ours[$interface]}" "there is an interface $peer in $NSNAME already"
        fi
    done
}

# Ends the run unless ifupdown understands a copy, with its message about the file.
_ifupdown_parse() {
    local message
    message=$(ifquery --list -i "$1" 2>&1 >/dev/null) && return
    message=${message%%$'\n'*} message=${message#ifquery: }
    _ifupdown_reject "$2" "${message#"$1:"}"
}

_ifupdown_check_name() {
    local LC_ALL=C
    if ((${#2} > 15)); then
        _ifupdown_reject "${_ifupdown_ours[$1]}" "$2: an interface name has at most 15 characters, this has ${#2}"
    fi
    case $2 in
        *[/:[:space:][:cntrl:]]* | . | ..) _ifupdown_reject "${_ifupdown_ours[$1]}" "$2 is no name of an interface" ;;
    esac
}

# Whether a line of the stanzas inside speaks of an interface outside.
_ifupdown_is_named_inside() {
    grep -v '^[[:space:]]*#' "$_ifupdown_inside" | grep -qwF -e "$1"
}

_ifupdown_run_inside() {
    mkdir -p "$_ifupdown_state_inside"
    "${@:2}" "$1" --state-dir="$_ifupdown_state_inside" -i "$_ifupdown_inside" -a
}

# Sets an interface outside up.
_ifupdown_ifup() {
    local interface=$1 link=${1%%[:=]*} state=$_ifupdown_state_outside existed=yes
    # The host's ifupdown may set it up by itself as soon as it appears: it must not be done twice.
    if ifquery "$interface" &>/dev/null; then
        state=/run/network
    fi
    mkdir -p "$state"
    ip link show dev "$link" &>/dev/null || existed=no
    netns_undo _ifupdown_undo "$interface" "$state" "$existed"
    ifup --state-dir="$state" -i "$_ifupdown_outside" "$interface"
    echo "$interface $state" >>"$_ifupdown_up"
    if [[ $existed == no ]] && ip link show dev "$link" &>/dev/null; then
        netns_claim_link "$link"
    fi
}

# Takes back an interface that has come up, or not quite.
_ifupdown_undo() {
    ifdown --force --state-dir="$2" -i "$_ifupdown_outside" "$1" || :
    [[ $3 == yes ]] || ip link delete dev "${1%%[:=]*}" 2>/dev/null || :
}

configure_ifupdown_up_outside() {
    local interface early=no
    _ifupdown_names
    _ifupdown_check
    : >"$_ifupdown_up"
    for interface in "${_ifupdown_interfaces[@]}"; do
        if [[ -n ${_ifupdown_peer[$interface]-} ]]; then
            netns_add_pair "$interface" "${_ifupdown_peer[$interface]}" '' '' ''
        elif ! ip link show dev "$interface" &>/dev/null && _ifupdown_is_named_inside "$interface"; then
            early=yes
        fi
    done
    ip -n "$NSNAME" link set dev lo up
    if [[ $early == yes ]]; then
        # The link is made inside, and sent out.
        netns_undo _ifupdown_run_inside ifdown ip netns exec "$NSNAME"
        _ifupdown_run_inside ifup ip netns exec "$NSNAME"
    fi
    for interface in "${_ifupdown_interfaces[@]}"; do
        _ifupdown_ifup "$interface"
    done
}

configure_ifupdown_up_inside() {
    _ifupdown_names
    netns_undo _ifupdown_run_inside ifdown
    _ifupdown_run_inside ifup
    _ifupdown_keep
}

# The unit stops when nothing needs it. When nobody has asked for it but the administrator, it is
# kept until he stops it.
_ifupdown_keep() {
    local unit=netns-ifupdown@$NSNAME.service user
    [[ -n ${INVOCATION_ID-} && -d /run/systemd/system ]] || return 0
    for user in $(systemctl show --property=RequiredBy,BoundBy,WantedBy --value -- "$unit"); do
        case $(systemctl show --property=ActiveState,Job -- "$user") in
            *ActiveState=active* | *ActiveState=activating* | *ActiveState=reloading* | *Job=[1-9]*) return 0 ;;
        esac
    done
    systemctl start --no-block -- "netns_keep-ifupdown@$NSNAME.service"
}

configure_ifupdown_down_inside() {
    _ifupdown_names
    [[ -e $_ifupdown_inside ]] || return 0
    _ifupdown_run_inside ifdown
}

configure_ifupdown_down_outside() {
    local i line interface
    local -a lines=()
    _ifupdown_names
    [[ ! -e $_ifupdown_up ]] || mapfile -t lines <"$_ifupdown_up"
    for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
        line=${lines[i]} interface=${line%% *}
        ifdown --state-dir="${line#* }" -i "$_ifupdown_outside" "$interface" ||
            echo "$interface: ifdown failed with status $?" >&2
    done
    local -a REPLY
    netns_claimed_links
    for interface in "${REPLY[@]}"; do
        ip link delete dev "$interface"
    done
    rm -f "$_ifupdown_up"
}
