# shellcheck shell=bash
#
# NSTYPE ifupdown: a namespace whose network is described by stanzas of Debian's interfaces(5):
# /etc/network/namespaces/NSNAME inside, and outside those of /etc/network/services/* that name it.
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
    # Copies of the files at `up`, so that `down` uses the same stanzas.
    _ifupdown_inside=$netns_state/interfaces-inside
    _ifupdown_outside=$netns_state/interfaces-outside
    # A line for each interface outside that is up: its name, and ifupdown's state directory for it.
    _ifupdown_up=$netns_state/interfaces-up
    # Separate state directories: otherwise ifupdown would consider an interface of the same name on the host
    # or in another namespace.
    _ifupdown_state_inside=$netns_state/ifstate-inside
    _ifupdown_state_outside=$netns_state/ifstate-outside
}

# Finds the stanzas outside: their interfaces in order, and the peer and the file of each.
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
        # Without -r: ifupdown joins lines that end with a backslash.
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

# Prints files of stanzas, with absolute instead of relative file names.
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
    [[ -f $_ifupdown_namespace ]] || netns_reject_file "$_ifupdown_namespace" 'no such file'
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
            netns_reject_file "${_ifupdown_ours[$interface]}" "the interface $interface already exists"
        elif ip -n "$NSNAME" link show dev "$peer" &>/dev/null; then
            netns_reject_file "${_ifupdown_ours[$interface]}" "the interface $peer already exists in $NSNAME"
        fi
    done
}

# Exits with 6 and ifupdown's message unless ifupdown can parse a copy.
_ifupdown_parse() {
    local message
    message=$(ifquery --list -i "$1" 2>&1 >/dev/null) && return
    message=${message%%$'\n'*} message=${message#ifquery: }
    netns_reject_file "$2" "${message#"$1:"}"
}

_ifupdown_check_name() {
    local LC_ALL=C
    if ((${#2} > 15)); then
        netns_reject_file "${_ifupdown_ours[$1]}" "$2: an interface name has at most 15 characters, this has ${#2}"
    fi
    case $2 in
        *[/:[:space:][:cntrl:]]* | . | ..) netns_reject_file "${_ifupdown_ours[$1]}" "$2: not a valid interface name" ;;
    esac
}

# Whether the stanzas inside mention an interface outside.
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
    # The host's ifupdown may set it up when it appears; use the same state, so that it is not set up twice.
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

# Takes down an interface that was set up, or partly.
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
        # A stanza inside creates the link and moves it out.
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

# The unit stops when no other unit needs it (StopWhenUnneeded=). If the administrator has started or enabled it,
# start netns_keep-ifupdown@, which needs it until it is stopped.
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
    _ifupdown_names
    netns_run_all _ifupdown_ifdown netns_delete_links
}

_ifupdown_ifdown() {
    local i status=0
    local -a lines=()
    [[ ! -e $_ifupdown_up ]] || mapfile -t lines <"$_ifupdown_up"
    for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
        ifdown --state-dir="${lines[i]#* }" -i "$_ifupdown_outside" "${lines[i]%% *}" || {
            status=$?
            echo "ifdown ${lines[i]%% *} failed with status $status" >&2
        }
    done
    rm -f "$_ifupdown_up"
    return "$status"
}
