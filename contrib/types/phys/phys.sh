# shellcheck shell=bash
#
# NSTYPE phys: an interface of the host, moved into the namespace and back.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH PHYS_IFNAME PHYS_IFNAME_INSIDE PHYS_IFADDR
# netns-variables: PHYS_GATEWAY PHYS_DHCP PHYS_MAC PHYS_MTU
# netns-container: IFNAME=PHYS_IFNAME_INSIDE IFADDR=PHYS_IFADDR GATEWAY=PHYS_GATEWAY MAC=PHYS_MAC
# netns-container: DNS=NETNS_DNS DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip
# netns-parents: PHYS_IFNAME

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

_phys_names() {
    PHYS_IFNAME_INSIDE=${PHYS_IFNAME_INSIDE:-${PHYS_IFNAME-}}
    # The state of the interface on the host, which `down` restores.
    _phys_file=$netns_state/phys
}

_phys_check() {
    local line
    netns_require PHYS_IFNAME
    netns_link_check PHYS PHYS_IFNAME_INSIDE
    netns_wait_for_link PHYS_IFNAME
    line=$(ip -oneline link show dev "$PHYS_IFNAME")
    if [[ $line == *[\<,]LOOPBACK[,\>]* ]]; then
        netns_reject PHYS_IFNAME 'every namespace has a loopback interface of its own'
    elif [[ $line == *'alias systemd-netns '* ]]; then
        line=${line#*alias systemd-netns }
        netns_reject PHYS_IFNAME "belongs to ${line%%[[:space:]\\]*}"
    elif [[ -e /sys/class/net/$PHYS_IFNAME/phy80211 ]]; then
        netns_reject PHYS_IFNAME 'a wireless interface can only be moved with its radio (iw phy PHY set netns)'
    elif compgen -G "/sys/class/net/$PHYS_IFNAME/upper_*" >/dev/null; then
        # The kernel would delete the interfaces on it, and remove it from its bridge or bond.
        netns_reject PHYS_IFNAME 'other interfaces are stacked on it, or it is part of a bridge or bond'
    fi
}

configure_phys_up_outside() {
    _phys_names
    _phys_check
    # From an earlier start.
    rm -f "$_phys_file"
    _phys_save >"$_phys_file"
    netns_undo _phys_back
    # Mark it before it is moved, so that `down` always finds it.
    netns_claim_link "$PHYS_IFNAME"
    ip link set dev "$PHYS_IFNAME" netns "$NSNAME" name "$PHYS_IFNAME_INSIDE"
    if [[ -n ${PHYS_MAC-}${PHYS_MTU-} ]]; then
        ip -n "$NSNAME" link set dev "$PHYS_IFNAME_INSIDE" \
            ${PHYS_MAC:+address "$PHYS_MAC"} ${PHYS_MTU:+mtu "$PHYS_MTU"}
    fi
    netns_dhcp_prepare PHYS
}

configure_phys_up_inside() {
    _phys_names
    netns_link_up PHYS "$PHYS_IFNAME_INSIDE"
}

configure_phys_down_inside() {
    local link
    local -a REPLY
    netns_dhcp_stop
    # No command outside can reach the interface, and the kernel deletes virtual ones with the namespace.
    if netns_is_nameless; then
        netns_claimed_links
        for link in "${REPLY[@]}"; do
            ip link set dev "$link" netns 1
        done
    fi
}

configure_phys_down_outside() {
    _phys_names
    netns_run_all netns_dhcp_remove _phys_back
}

# Prints the state of the interface as assignments.
_phys_save() {
    local name mtu mac up=down alias='' line word
    local -a REPLY altnames=() addresses=() routes=() sysctls=()
    line=$(ip -oneline link show dev "$PHYS_IFNAME")
    [[ $line != *'    alias '* ]] || alias=${line##*'    alias '} alias=${alias%%\\*}
    [[ $line != *[\<,]UP[,\>]* ]] || up=up
    # PHYS_IFNAME may be one of its other names.
    read -r _ name _ <<<"$line"
    name=${name%:} name=${name%@*}
    _phys_after ' mtu '
    mtu=$REPLY
    _phys_after ' link/ether '
    mac=$REPLY
    while [[ $line == *' altname '* ]]; do
        line=${line#*' altname '}
        altnames+=("${line%%[ \\]*}")
    done
    _phys_addresses "$name"
    addresses=("${REPLY[@]}")
    _phys_routes "$name"
    routes=("${REPLY[@]}")
    # Some of them are write-only.
    mapfile -t sysctls < <(grep -s . "/proc/sys/net/ipv4/conf/$name"/* "/proc/sys/net/ipv6/conf/$name"/* 2>/dev/null)
    declare -p name mtu mac up alias altnames addresses routes sysctls
    if ((${#addresses[@]})); then
        word=${addresses[*]/%[ ]*/}
        echo "$name and its addresses leave the host until $NSTYPE@$NSNAME stops: $word" >&2
    fi
}

# Sets REPLY to the word that follows a text in the variable `line`, or to nothing.
_phys_after() {
    REPLY=''
    [[ $line == *"$1"* ]] || return 0
    REPLY=${line#*"$1"} REPLY=${REPLY%%[ \\]*}
}

# Sets REPLY to the addresses that do not expire, as words for `ip address add`. The others are from DHCP or
# router advertisements, which will assign them again.
_phys_addresses() {
    local line word keep address
    local -a words found=()
    while read -r _ _ _ line; do
        read -r -a words <<<"${line%%\\*}"
        address=${words[0]} keep=''
        for word in "${words[@]:1}"; do
            case $keep:$word in
                yes:*) address+=" $word" keep='' ;;
                no:*) keep='' ;;
                :peer | :brd | :metric | :scope) address+=" $word" keep=yes ;;
                :proto) keep=no ;;
                :noprefixroute | :nodad | :autojoin | :home | :mngtmpaddr) address+=" $word" ;;
                :"$1":*) address+=" label $word" ;;
            esac
        done
        found+=("$address")
    done < <(ip -oneline address show dev "$1" scope global permanent)
    REPLY=("${found[@]}")
}

# Sets REPLY to the static routes of the interface, as words for ip(8).
_phys_routes() {
    local family line
    REPLY=()
    for family in -4 -6; do
        while read -r line; do
            case " $line " in
                *' proto kernel '* | *' proto ra '* | *' proto dhcp '* | *' proto redirect '*) ;;
                *) REPLY+=("$family ${line//@(linkdown|dead)/}") ;;
            esac
        done < <(ip "$family" route show dev "$1")
    done
}

# Moves the interface back to the host and restores its state. Only prints a message if it no longer exists.
_phys_back() {
    local name mtu mac up alias try link='' status=0
    local -a REPLY altnames addresses routes sysctls
    [[ -e $_phys_file ]] || return 0
    # shellcheck disable=SC1090
    source "$_phys_file"
    netns_claimed_links -n "$NSNAME"
    if ((${#REPLY[@]})); then
        ip -n "$NSNAME" link set dev "${REPLY[0]}" netns $$
    fi
    # The kernel returns a physical interface shortly after its namespace is gone.
    for ((try = 0; try < 20; try++)); do
        netns_claimed_links
        link=${REPLY[0]-}
        [[ -z $link ]] || break
        sleep 0.1
    done
    if [[ -z $link ]]; then
        echo "$name no longer exists: the kernel deletes a virtual interface with its namespace" >&2
        rm -f "$_phys_file"
        return 0
    fi
    _phys_restore
    rm -f "$_phys_file"
    return "$status"
}

# Restores the state that _phys_save printed to the interface `link`. Reports each error and sets `status`,
# but continues.
_phys_restore() {
    local line words
    _phys_try link set dev "$link" down
    if [[ $link != "$name" ]]; then
        _phys_try link set dev "$link" name "$name"
        ip link show dev "$name" &>/dev/null || name=$link
    fi
    _phys_try link set dev "$name" mtu "$mtu"
    [[ -z $mac ]] || _phys_try link set dev "$name" address "$mac"
    for words in "${altnames[@]}"; do
        ip link show dev "$words" &>/dev/null || _phys_try link property add dev "$name" altname "$words"
    done
    _phys_restore_sysctls
    _phys_try link set dev "$name" "$up"
    for line in "${addresses[@]}"; do
        read -r -a words <<<"$line"
        _phys_try address replace "${words[@]}" dev "$name"
    done
    # Twice, because a gateway may be reachable only through a later route.
    for line in "${routes[@]}" "${routes[@]}"; do
        read -r -a words <<<"$line"
        ip "${words[0]}" route replace "${words[@]:1}" dev "$name" 2>/dev/null || :
    done
    # Last, because the alias is the mark by which `down` finds the interface.
    _phys_try link set dev "$name" alias "$alias"
}

# The kernel resets the sysctls of an interface that changes its namespace.
_phys_restore_sysctls() {
    local line file value
    for line in "${sysctls[@]}"; do
        file=${line%%:*} value=''
        # The name may have changed.
        file=${file%/*/*}/$name/${file##*/}
        { read -r value <"$file"; } 2>/dev/null || continue
        [[ $value == "${line#*:}" ]] || { echo "${line#*:}" >"$file"; } 2>/dev/null || :
    done
}

_phys_try() {
    ip "$@" || {
        echo "could not restore $name: ip $*" >&2
        status=1
    }
}
