# shellcheck shell=bash
#
# NSTYPE wireguard: a WireGuard interface that is born on the host, where its encrypted packets
# leave, and moved into the namespace. Nothing else leads out of there.
#
# netns-variables: WIREGUARD_CONFIG WIREGUARD_IFNAME WIREGUARD_IFADDR WIREGUARD_DNS WIREGUARD_MTU
# netns-variables: WIREGUARD_ROUTES WIREGUARD_HOOKS
# netns-programs: ip wg

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash

# shellcheck disable=SC2034 # read by netnsinit: /etc/wireguard/NSNAME.conf is enough
NO_CONFIG_REQUIRED=yes

_wireguard_names() {
    WIREGUARD_CONFIG=${WIREGUARD_CONFIG:-/etc/wireguard/$NSNAME.conf}
    WIREGUARD_IFNAME=${WIREGUARD_IFNAME:-wg-$NSNAME}
    # The name while it is on the host, where that of another instance may be the same. It stays
    # that of wireguard-go's socket.
    _wireguard_born=wg-$NSNAME
    ((${#_wireguard_born} <= 15)) || _wireguard_born=wg-$(sha256sum <<<"$NSNAME" | head -c 12)
}

# Ends the run because of a line of WIREGUARD_CONFIG, whose text may be secret.
_wireguard_reject() {
    netns_reject WIREGUARD_CONFIG "line $_wireguard_line: $1"
}

# Ends the run unless the file is there and only root can read it.
_wireguard_check_file() {
    local owner mode
    [[ $WIREGUARD_CONFIG == /* ]] || netns_reject WIREGUARD_CONFIG 'must be an absolute path'
    [[ -f $WIREGUARD_CONFIG ]] || netns_reject WIREGUARD_CONFIG 'there is no such file'
    read -r owner mode < <(stat --dereference --format='%u %a' -- "$WIREGUARD_CONFIG")
    [[ $owner == 0 ]] ||
        netns_reject WIREGUARD_CONFIG "others than root can read the keys: chown root ${WIREGUARD_CONFIG@Q}"
    ((!(8#$mode & 8#077))) ||
        netns_reject WIREGUARD_CONFIG "others than root can read the keys: chmod 600 ${WIREGUARD_CONFIG@Q}"
}

# Reads WIREGUARD_CONFIG, in the syntax of wg(8) with the additions of wg-quick(8): what is for
# `wg setconf` into _wireguard_wg, the rest into WIREGUARD_ variables that are not set.
_wireguard_read() {
    # No trace: it would put the keys into the journal.
    { local -; set +x; } 2>/dev/null
    local line section='' key value word addresses='' dns='' mtu='' routes='' private=no
    local -a words
    _wireguard_wg='' _wireguard_line=0 _wireguard_port=0
    while IFS= read -r line || [[ -n $line ]]; do
        ((_wireguard_line += 1))
        line=${line%%#*} line=${line//$'\r'/}
        [[ $line =~ ^[[:space:]]*(.*[^[:space:]])[[:space:]]*$ ]] || continue
        line=${BASH_REMATCH[1]}
        if [[ $line == '['*']' ]]; then
            section=${line,,}
            [[ $section == '[interface]' || $section == '[peer]' ]] ||
                _wireguard_reject 'this section is neither [Interface] nor [Peer]'
            _wireguard_wg+=$line$'\n'
            continue
        fi
        [[ $line =~ ^([A-Za-z]+)[[:space:]]*=[[:space:]]*(.*)$ ]] ||
            _wireguard_reject 'this is neither a [section] nor KEY = VALUE'
        key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        IFS=$', \t' read -r -a words <<<"$value"
        case $section${key,,} in
            '[interface]address')
                for word in "${words[@]}"; do
                    netns_is_address "$word" || _wireguard_reject "Address: '$word' is no IP address"
                done
                addresses+=" ${words[*]}"
                ;;
            '[interface]dns') dns+=" ${words[*]}" ;;
            '[interface]mtu') mtu=$value ;;
            '[interface]table')
                case ${value,,} in
                    auto) ;;
                    off) routes=off ;;
                    *) _wireguard_reject "Table=$value: only auto and off have a meaning in a namespace" ;;
                esac
                ;;
            '[interface]preup' | '[interface]postup' | '[interface]predown' | '[interface]postdown')
                [[ ${WIREGUARD_HOOKS-} == ignore ]] ||
                    _wireguard_reject "$key is not run: take it out, or set WIREGUARD_HOOKS=ignore"
                ;;
            '[interface]saveconfig')
                [[ ${value,,} == false ]] || echo "$WIREGUARD_CONFIG: SaveConfig: nothing is ever saved"
                ;;
            '[interface]privatekey' | '[peer]publickey' | '[peer]presharedkey')
                [[ $value =~ ^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$ ]] ||
                    _wireguard_reject "$key is no key, 44 characters of base64"
                [[ ${key,,} != privatekey ]] || private=yes
                _wireguard_wg+=$line$'\n'
                ;;
            '[peer]allowedips')
                for word in "${words[@]}"; do
                    netns_is_address "$word" || _wireguard_reject "AllowedIPs: '$word' is no IP address"
                done
                _wireguard_wg+=$line$'\n'
                ;;
            '[interface]listenport')
                [[ $value =~ ^[0-9]{1,5}$ ]] || _wireguard_reject "ListenPort=$value: is no number of a port"
                _wireguard_port=$((10#$value))
                _wireguard_wg+=$line$'\n'
                ;;
            '[interface]fwmark' | '[peer]endpoint' | '[peer]persistentkeepalive')
                _wireguard_wg+=$line$'\n'
                ;;
            *) _wireguard_reject "$key is not known in ${section:-front of a section}" ;;
        esac
    done <"$WIREGUARD_CONFIG"
    [[ $private == yes ]] || netns_reject WIREGUARD_CONFIG 'there is no PrivateKey in it'
    [[ -n ${WIREGUARD_IFADDR[*]-} ]] || WIREGUARD_IFADDR=$addresses
    [[ -n ${WIREGUARD_DNS[*]-} ]] || WIREGUARD_DNS=$dns
    WIREGUARD_MTU=${WIREGUARD_MTU:-$mtu}
    [[ -n ${WIREGUARD_ROUTES[*]-} ]] || WIREGUARD_ROUTES=$routes
}

_wireguard_check() {
    local word
    local -a REPLY
    netns_check_ifname WIREGUARD_IFNAME
    [[ -z ${WIREGUARD_HOOKS-} || $WIREGUARD_HOOKS == ignore ]] ||
        netns_reject WIREGUARD_HOOKS "may only be 'ignore'"
    _wireguard_check_file
    _wireguard_read
    [[ -n ${WIREGUARD_IFADDR[*]// /} ]] ||
        netns_reject WIREGUARD_IFADDR 'is not set, and WIREGUARD_CONFIG has no Address'
    netns_check_addresses WIREGUARD_IFADDR
    # IPv6 needs 1280 bytes, but a tunnel may be without.
    netns_check_number WIREGUARD_MTU 576 65535
    netns_check_dns
    netns_words WIREGUARD_DNS
    for word in "${REPLY[@]}"; do
        { [[ $word != */* ]] && netns_is_address "$word"; } || netns_is_domain "$word" ||
            netns_reject WIREGUARD_DNS "'$word' is neither an IP address nor a domain"
    done
    netns_words WIREGUARD_ROUTES
    for word in "${REPLY[@]}"; do
        [[ ${#REPLY[@]}:$word == 1:off ]] || netns_is_address "$word" ||
            netns_reject WIREGUARD_ROUTES "'$word' is no IP address"
    done
    # wireguard-go would say nothing, and be deaf.
    if ((_wireguard_port)) && [[ -n $(ss -Hlnu "sport = :$_wireguard_port") ]]; then
        netns_reject WIREGUARD_CONFIG "ListenPort=$_wireguard_port: somebody listens there already"
    fi
    if ip -netns "$NSNAME" link show dev "$WIREGUARD_IFNAME" &>/dev/null; then
        netns_reject WIREGUARD_IFNAME "there is such an interface already in $NSNAME"
    fi
    if ip link show dev "$_wireguard_born" &>/dev/null || wg show "$_wireguard_born" &>/dev/null; then
        echo "$_wireguard_born, what it is called before it is moved: there is such an interface already" >&2
        exit 6
    fi
}

# Makes the interface on the host, by the kernel or by wireguard-go.
_wireguard_create() {
    local output
    if output=$(ip link add name "$_wireguard_born" type wireguard 2>&1); then
        netns_undo _wireguard_undo
        return 0
    fi
    if ! type -P wireguard-go >/dev/null; then
        echo "neither this kernel (${output%%$'\n'*}) nor a program wireguard-go can make a WireGuard interface" >&2
        exit 5
    fi
    [[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || :
    # Its daemon stays in the control group of the unit. With LOG_LEVEL set to anything, it would keep
    # the output open until it ends; with WG_PROCESS_FOREGROUND, there would be no daemon.
    if ! output=$(env -u LOG_LEVEL -u WG_PROCESS_FOREGROUND -u WG_TUN_FD -u WG_UAPI_FD \
        wireguard-go "$_wireguard_born" 2>&1); then
        printf '%s\n' "$output" >&2
        return 1
    fi
    netns_undo _wireguard_undo
    # An answer says that the daemon has looked at the interface: it would end if that were gone.
    wg show "$_wireguard_born" >/dev/null
}

_wireguard_undo() {
    ip link delete dev "$_wireguard_born" 2>/dev/null ||
        netns_delete_link "$WIREGUARD_IFNAME" -netns "$NSNAME"
    _wireguard_wait_for_daemon
}

# Waits until the daemon has ended, if there was one: it takes its socket along, which the next one
# of this name must not have made before.
_wireguard_wait_for_daemon() {
    local try
    # An interface of that name on the host, with a daemon or not, is somebody else's.
    ! ip link show dev "$_wireguard_born" &>/dev/null || return 0
    for try in {1..30}; do
        [[ -S /run/wireguard/$_wireguard_born.sock ]] && wg show "$_wireguard_born" &>/dev/null || return 0
        sleep 0.1
    done
    echo "wireguard-go $_wireguard_born still runs after $((try / 10)) seconds" >&2
}

# Gives keys and peers to the interface. Names of endpoints are looked up here, on the host.
_wireguard_set() {
    { local -; set +x; } 2>/dev/null
    wg setconf "$_wireguard_born" <(printf '%s' "$_wireguard_wg") || {
        echo "wg setconf does not take $WIREGUARD_CONFIG" >&2
        return 1
    }
}

# Name servers: WIREGUARD_DNS, or else NETNS_DNS and NETNS_DNS_SEARCH.
_wireguard_dns() {
    local word servers='' search=()
    local -a REPLY
    netns_words WIREGUARD_DNS
    ((${#REPLY[@]})) || { netns_dns_configure; return 0; }
    [[ ${REPLY[*]} != off ]] || return 0
    for word in "${REPLY[@]}"; do
        if netns_is_address "$word"; then servers+=" $word"; else search+=("$word"); fi
    done
    netns_undo netns_dns_remove
    netns_dns_write "$servers" "${search[@]}"
}

configure_wireguard_up_outside() {
    if ! type -P wg >/dev/null; then
        echo 'there is no program wg: install wireguard-tools' >&2
        exit 5
    fi
    _wireguard_names
    _wireguard_check
    _wireguard_create
    netns_claim_link "$_wireguard_born"
    _wireguard_set
    [[ -z $WIREGUARD_MTU ]] || ip link set dev "$_wireguard_born" mtu "$WIREGUARD_MTU"
    ip link set dev "$_wireguard_born" netns "$NSNAME" name "$WIREGUARD_IFNAME"
    _wireguard_dns
}

# Adds the routes: WIREGUARD_ROUTES, or else what the peers may send (AllowedIPs).
_wireguard_routes() {
    local known=$WIREGUARD_IFNAME route
    local -a REPLY
    netns_words WIREGUARD_ROUTES
    [[ ${REPLY[*]-} != off ]] || return 0
    if ((!${#REPLY[@]})); then
        # wireguard-go knows the interface by the name that it was born with.
        [[ ! -S /run/wireguard/$_wireguard_born.sock ]] || known=$_wireguard_born
        IFS=$' \t\n' read -r -d '' -a REPLY < <(wg show "$known" allowed-ips | cut -f 2- | tr ' ' '\n' | sort -u) || :
    fi
    for route in "${REPLY[@]}"; do
        [[ $route != '(none)' ]] || continue
        # There already is one to the network of an address.
        [[ -z $(ip route show exact "$route" dev "$WIREGUARD_IFNAME") ]] || continue
        ip route add "$route" dev "$WIREGUARD_IFNAME"
    done
}

configure_wireguard_up_inside() {
    _wireguard_names
    _wireguard_read
    ip link set dev lo up
    netns_add_addresses "$WIREGUARD_IFNAME" WIREGUARD_IFADDR
    ip link set dev "$WIREGUARD_IFNAME" up
    _wireguard_routes
}

configure_wireguard_down_inside() {
    _wireguard_names
    netns_delete_link "$WIREGUARD_IFNAME"
}

configure_wireguard_down_outside() {
    _wireguard_names
    netns_delete_link "$WIREGUARD_IFNAME" -netns "$NSNAME"
    netns_delete_link "$_wireguard_born"
    _wireguard_wait_for_daemon
    netns_dns_remove
}
