# shellcheck shell=bash
#
# NSTYPE wireguard: a WireGuard interface. It is created on the host, which sends its encrypted packets, and moved
# into the namespace, which has no other network.
#
# netns-variables: WIREGUARD_CONFIG WIREGUARD_IFNAME WIREGUARD_IFADDR WIREGUARD_DNS WIREGUARD_MTU
# netns-variables: WIREGUARD_ROUTES WIREGUARD_HOOKS WIREGUARD_RERESOLVE_INTERVAL
# netns-container: IFNAME=WIREGUARD_IFNAME
# netns-programs: ip wg nsenter getent
# netns-reads: /etc/wireguard

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash
# shellcheck source=contrib/types/supervise.bash
source /usr/share/systemd-netns/supervise.bash

# shellcheck disable=SC2034 # read by netnsinit: /etc/wireguard/NSNAME.conf is enough
NO_CONFIG_REQUIRED=yes

_wireguard_names() {
    WIREGUARD_CONFIG=${WIREGUARD_CONFIG:-/etc/wireguard/$NSNAME.conf}
    WIREGUARD_IFNAME=${WIREGUARD_IFNAME:-wg-$NSNAME}
    # The name on the host, before the interface is moved: another instance may use WIREGUARD_IFNAME there, and
    # the namespace may have an instance of a copy of this type. The socket of wireguard-go keeps this name.
    _wireguard_ifname_outside=wg-$NSNAME
    [[ $NSTYPE == wireguard && ${#_wireguard_ifname_outside} -le 15 ]] ||
        _wireguard_ifname_outside=wg-$(sha256sum <<<"$NSTYPE@$NSNAME" | head -c 12)
}

# Exits with 6 because of a line of WIREGUARD_CONFIG. Does not print the line, which may be secret.
_wireguard_reject() {
    netns_reject WIREGUARD_CONFIG "line $_wireguard_line: $1"
}

# Exits with 6 unless the file exists and only root can read it.
_wireguard_check_file() {
    local owner mode
    [[ $WIREGUARD_CONFIG == /* ]] || netns_reject WIREGUARD_CONFIG 'must be an absolute path'
    [[ -f $WIREGUARD_CONFIG ]] || netns_reject WIREGUARD_CONFIG 'no such file'
    read -r owner mode < <(stat --dereference --format='%u %a' -- "$WIREGUARD_CONFIG")
    [[ $owner == 0 ]] ||
        netns_reject WIREGUARD_CONFIG "not owned by root: run chown root ${WIREGUARD_CONFIG@Q}"
    ((!(8#$mode & 8#077))) ||
        netns_reject WIREGUARD_CONFIG "other users can read the keys: run chmod 600 ${WIREGUARD_CONFIG@Q}"
}

# Reads WIREGUARD_CONFIG, in the syntax of wg(8) with the additions of wg-quick(8). Sets _wireguard_wg to the
# lines for `wg setconf`, and those WIREGUARD_ variables that are not set to the other values.
_wireguard_read() {
    # Disable tracing, which would write the keys to the journal.
    { local -; set +x; } 2>/dev/null
    local line section='' key value word addresses='' dns='' mtu='' routes='' private=no peer='' endpoint=''
    local -a words
    _wireguard_wg='' _wireguard_line=0 _wireguard_port=0 _wireguard_endpoints=''
    while IFS= read -r line || [[ -n $line ]]; do
        ((_wireguard_line += 1))
        line=${line%%#*} line=${line//$'\r'/}
        [[ $line =~ ^[[:space:]]*(.*[^[:space:]])[[:space:]]*$ ]] || continue
        line=${BASH_REMATCH[1]}
        if [[ $line == '['*']' ]]; then
            section=${line,,} peer='' endpoint=''
            [[ $section == '[interface]' || $section == '[peer]' ]] ||
                _wireguard_reject 'unknown section: must be [Interface] or [Peer]'
            _wireguard_wg+=$line$'\n'
            continue
        fi
        [[ $line =~ ^([A-Za-z]+)[[:space:]]*=[[:space:]]*(.*)$ ]] ||
            _wireguard_reject 'neither a [section] nor KEY = VALUE'
        key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        IFS=$', \t' read -r -a words <<<"$value"
        case $section${key,,} in
            '[interface]address')
                for word in "${words[@]}"; do
                    netns_is_address "$word" || _wireguard_reject "Address: '$word' is not an IP address"
                done
                addresses+=" ${words[*]}"
                ;;
            '[interface]dns') dns+=" ${words[*]}" ;;
            '[interface]mtu') mtu=$value ;;
            '[interface]table')
                case ${value,,} in
                    auto) ;;
                    off) routes=off ;;
                    *) _wireguard_reject "Table=$value: must be auto or off in a namespace" ;;
                esac
                ;;
            '[interface]preup' | '[interface]postup' | '[interface]predown' | '[interface]postdown')
                [[ ${WIREGUARD_HOOKS-} == ignore ]] ||
                    _wireguard_reject "$key would not be run: remove it, or set WIREGUARD_HOOKS=ignore"
                ;;
            '[interface]saveconfig')
                [[ ${value,,} == false ]] || echo "$WIREGUARD_CONFIG: SaveConfig is ignored"
                ;;
            '[interface]privatekey' | '[peer]publickey' | '[peer]presharedkey')
                [[ $value =~ ^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$ ]] ||
                    _wireguard_reject "$key is not a key of 44 characters of base64"
                [[ ${key,,} != privatekey ]] || private=yes
                [[ ${key,,} != publickey ]] || peer=$value
                _wireguard_wg+=$line$'\n'
                ;;
            '[peer]allowedips')
                for word in "${words[@]}"; do
                    netns_is_address "$word" || _wireguard_reject "AllowedIPs: '$word' is not an IP address"
                done
                _wireguard_wg+=$line$'\n'
                ;;
            '[interface]listenport')
                [[ $value =~ ^[0-9]{1,5}$ ]] || _wireguard_reject "ListenPort=$value: not a port number"
                _wireguard_port=$((10#$value))
                _wireguard_wg+=$line$'\n'
                ;;
            '[peer]endpoint')
                # Addresses need not be resolved.
                [[ $value == '['* ]] || netns_is_ipv4 "${value%:*}" || endpoint=$value
                _wireguard_wg+=$line$'\n'
                ;;
            '[interface]fwmark' | '[peer]persistentkeepalive') _wireguard_wg+=$line$'\n' ;;
            *) _wireguard_reject "unknown key $key ${section:+in }${section:-before the first section}" ;;
        esac
        if [[ -n $peer && -n $endpoint ]]; then
            _wireguard_endpoints+=${_wireguard_endpoints:+$'\n'}"$peer $endpoint" endpoint=''
        fi
    done <"$WIREGUARD_CONFIG"
    [[ $private == yes ]] || netns_reject WIREGUARD_CONFIG 'has no PrivateKey'
    [[ -n ${WIREGUARD_IFADDR[*]-} ]] || WIREGUARD_IFADDR=$addresses
    [[ -n ${WIREGUARD_DNS[*]-} ]] || WIREGUARD_DNS=$dns
    WIREGUARD_MTU=${WIREGUARD_MTU:-$mtu}
    [[ -n ${WIREGUARD_ROUTES[*]-} ]] || WIREGUARD_ROUTES=$routes
}

_wireguard_check() {
    netns_check_ifname WIREGUARD_IFNAME
    [[ -z ${WIREGUARD_HOOKS-} || $WIREGUARD_HOOKS == ignore ]] ||
        netns_reject WIREGUARD_HOOKS "may only be 'ignore'"
    _wireguard_check_file
    _wireguard_read
    [[ -n ${WIREGUARD_IFADDR[*]// /} ]] ||
        netns_reject WIREGUARD_IFADDR 'is not set, and WIREGUARD_CONFIG has no Address'
    netns_check_addresses WIREGUARD_IFADDR
    # IPv6 requires 1280 bytes, but a tunnel need not carry IPv6.
    netns_check_number WIREGUARD_MTU 576 65535
    netns_check_dns
    netns_check_servers WIREGUARD_DNS
    netns_check_destinations WIREGUARD_ROUTES off
    [[ ${WIREGUARD_RERESOLVE_INTERVAL-} == no ]] || netns_check_number WIREGUARD_RERESOLVE_INTERVAL 0 86400
    # wireguard-go would not report this, and receive nothing.
    if ((_wireguard_port)) && [[ -n $(ss -Hlnu "sport = :$_wireguard_port") ]]; then
        netns_reject WIREGUARD_CONFIG "ListenPort=$_wireguard_port: the port is already in use"
    fi
    if ip -netns "$NSNAME" link show dev "$WIREGUARD_IFNAME" &>/dev/null; then
        netns_reject WIREGUARD_IFNAME "already exists in $NSNAME"
    fi
    if ip link show dev "$_wireguard_ifname_outside" &>/dev/null || wg show "$_wireguard_ifname_outside" &>/dev/null; then
        echo "$_wireguard_ifname_outside, the name of the interface before it is moved, already exists" >&2
        exit 6
    fi
}

# Creates the interface on the host, with the kernel or wireguard-go, and moves it inside.
_wireguard_make() {
    local output try
    netns_undo _wireguard_delete
    if output=$(ip link add name "$_wireguard_ifname_outside" type wireguard 2>&1); then
        _wireguard_configure
        return
    fi
    if ! type -P wireguard-go >/dev/null; then
        echo "this kernel does not support WireGuard (${output%%$'\n'*}), and wireguard-go is not installed" >&2
        exit 5
    fi
    [[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || :
    # netnsctl needs both names to show the peers.
    echo "$WIREGUARD_IFNAME $_wireguard_ifname_outside" >"$netns_state/wireguard-go.names"
    netns_supervise wireguard-go _wireguard_go
    for ((try = 0; try < 100; try++)); do
        if wg show "$_wireguard_ifname_outside" &>/dev/null; then
            _wireguard_configure
            return
        fi
        sleep 0.1
    done
    netns_supervise_stop wireguard-go || :
    echo "wireguard-go did not create an interface: $(timeout 2 wireguard-go -f "$_wireguard_ifname_outside" 2>&1 | tail -n 1)" >&2
    return 1
}

# Runs wireguard-go until it exits. The first time, `up` configures the interface. After a restart, this does all
# that `up` did.
_wireguard_go() {
    local daemon try
    if [[ -z ${netns_again-} ]]; then
        _wireguard_daemon silent
    fi
    _wireguard_daemon silent &
    daemon=$!
    for ((try = 0; try < 100; try++)); do
        if wg show "$_wireguard_ifname_outside" &>/dev/null; then
            # In a subshell of its own: bash ignores errexit in a condition.
            (
                set -e
                _wireguard_configure
                ip() { command ip -netns "$NSNAME" "$@"; }
                _wireguard_up
            ) &
            wait "$!" || kill "$daemon"
            break
        fi
        sleep 0.1
    done
    wait "$daemon"
}

# Replaces this process by wireguard-go, with a log level.
_wireguard_daemon() {
    # The caller may have set these for another instance.
    exec env -u WG_TUN_FD -u WG_UAPI_FD "LOG_LEVEL=$1" wireguard-go -f "$_wireguard_ifname_outside"
}

# Configures the new interface on the host, where host names of endpoints can be resolved, and moves it inside.
_wireguard_configure() {
    netns_claim_link "$_wireguard_ifname_outside"
    _wireguard_set
    [[ -z $WIREGUARD_MTU ]] || ip link set dev "$_wireguard_ifname_outside" mtu "$WIREGUARD_MTU"
    ip link set dev "$_wireguard_ifname_outside" netns "$NSNAME" name "$WIREGUARD_IFNAME"
}

# Sets the keys and peers of the interface.
_wireguard_set() {
    { local -; set +x; } 2>/dev/null
    wg setconf "$_wireguard_ifname_outside" <(printf '%s' "$_wireguard_wg") || {
        echo "wg setconf rejected $WIREGUARD_CONFIG" >&2
        return 1
    }
}

# Stops the background processes.
_wireguard_stop() {
    local status=0
    netns_supervise_stop reresolve || status=$?
    if [[ -e $netns_state/wireguard-go.pid ]]; then
        netns_supervise_stop wireguard-go || status=$?
        # It remains if wireguard-go was killed.
        rm -f "/run/wireguard/$_wireguard_ifname_outside.sock"
    fi
    return "$status"
}

# Stops the background processes and deletes the interface, inside or outside.
_wireguard_delete() {
    local status=0
    _wireguard_stop || status=$?
    netns_delete_link "$WIREGUARD_IFNAME" -netns "$NSNAME" || status=$?
    netns_delete_link "$_wireguard_ifname_outside" || status=$?
    return "$status"
}

# Runs wg in the namespace. It finds an interface of wireguard-go, in any namespace, by the name with which it was
# created.
_wireguard_inside() {
    local name=$WIREGUARD_IFNAME
    [[ ! -S /run/wireguard/$_wireguard_ifname_outside.sock ]] || name=$_wireguard_ifname_outside
    nsenter "--net=/run/netns/$NSNAME" wg "$1" "$name" "${@:2}"
}

# Resolves the host name of an endpoint again, on the host, if the peer has not answered for 135 seconds: a session
# in use would have been renewed by then. Runs until it is stopped.
_wireguard_reresolve() {
    local peer name now last current address
    set +x
    while sleep "$WIREGUARD_RERESOLVE_INTERVAL"; do
        now=$(date +%s)
        while read -r peer name; do
            last=$(_wireguard_inside show latest-handshakes | awk -v peer="$peer" '$1 == peer { print $2 }')
            [[ -n $last && $((now - last)) -ge 135 ]] || continue
            current=$(_wireguard_inside show endpoints | awk -v peer="$peer" '$1 == peer { print $2 }')
            current=${current%:*} current=${current#[} current=${current%]}
            address=$(getent ahosts "${name%:*}" | awk '{ print $1 }')
            # If the name has several addresses, any of them will do.
            [[ -n $address && $'\n'$address$'\n' != *$'\n'$current$'\n'* ]] || continue
            address=${address%%$'\n'*}
            [[ $address != *:* ]] || address=[$address]
            _wireguard_inside set peer "$peer" endpoint "$address:${name##*:}" &&
                netns_log "${name%:*} is now at $address"
        done <<<"$_wireguard_endpoints"
    done
}

# Starts _wireguard_reresolve if the endpoint of a peer has a host name.
_wireguard_watch() {
    [[ -n $_wireguard_endpoints && ${WIREGUARD_RERESOLVE_INTERVAL:=30} != @(0|no) ]] || return 0
    netns_supervise reresolve _wireguard_reresolve
}

# Sets the name servers: WIREGUARD_DNS, otherwise NETNS_DNS and NETNS_DNS_SEARCH.
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
        echo 'wg is not installed (package wireguard-tools)' >&2
        exit 5
    fi
    _wireguard_names
    _wireguard_check
    _wireguard_make
    _wireguard_watch
    _wireguard_dns
}

# Adds the routes: WIREGUARD_ROUTES, otherwise the AllowedIPs of the peers.
_wireguard_routes() {
    local known=$WIREGUARD_IFNAME route
    local -a REPLY
    netns_words WIREGUARD_ROUTES
    [[ ${REPLY[*]-} != off ]] || return 0
    if ((!${#REPLY[@]})); then
        # wg finds an interface of wireguard-go by the name with which it was created.
        [[ ! -S /run/wireguard/$_wireguard_ifname_outside.sock ]] || known=$_wireguard_ifname_outside
        IFS=$' \t\n' read -r -d '' -a REPLY < <(wg show "$known" allowed-ips | cut -f 2- | tr ' ' '\n' | sort -u) || :
    fi
    for route in "${REPLY[@]}"; do
        [[ $route != '(none)' ]] || continue
        # The subnet of an address already has a route.
        [[ -z $(ip route show exact "$route" dev "$WIREGUARD_IFNAME") ]] || continue
        ip route add "$route" dev "$WIREGUARD_IFNAME"
    done
}

# Configures the addresses and routes of the interface, inside.
_wireguard_up() {
    netns_add_addresses "$WIREGUARD_IFNAME" WIREGUARD_IFADDR
    ip link set dev "$WIREGUARD_IFNAME" up
    _wireguard_routes
}

configure_wireguard_up_inside() {
    _wireguard_names
    _wireguard_read
    ip link set dev lo up
    _wireguard_up
}

configure_wireguard_down_inside() {
    _wireguard_names
    netns_run_all _wireguard_stop netns_delete_links
}

configure_wireguard_down_outside() {
    _wireguard_names
    netns_run_all _wireguard_delete netns_dns_remove
}
