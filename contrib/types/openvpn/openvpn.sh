# shellcheck shell=bash
#
# NSTYPE openvpn: an OpenVPN tunnel and no other network. openvpn runs on the host, which sends its encrypted packets;
# openvpn-up moves its interface into the namespace.
#
# netns-variables: OPENVPN_CONFIG OPENVPN_AUTH OPENVPN_IFNAME OPENVPN_DNS OPENVPN_ROUTES OPENVPN_TIMEOUT
# netns-variables: OPENVPN_HOOKS
# netns-programs: ip openvpn
# netns-reads: /etc/openvpn

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash
# shellcheck source=contrib/types/supervise.bash
source /usr/share/systemd-netns/supervise.bash

# shellcheck disable=SC2034 # read by netnsinit: /etc/openvpn/client/NSNAME.conf is enough
NO_CONFIG_REQUIRED=yes

_openvpn_names() {
    OPENVPN_CONFIG=${OPENVPN_CONFIG:-/etc/openvpn/client/$NSNAME.conf}
    # The name on the host, before the interface is moved: another instance may use OPENVPN_IFNAME there, and the
    # namespace may have an instance of a copy of this type.
    _openvpn_ifname_outside=ovpn-$NSNAME
    [[ $NSTYPE == openvpn && ${#_openvpn_ifname_outside} -le 15 ]] ||
        _openvpn_ifname_outside=ovpn-$(sha256sum <<<"$NSTYPE@$NSNAME" | head -c 10)
}

# Exits with 6 because of a line of OPENVPN_CONFIG. Does not print the line, which may be secret.
_openvpn_reject() {
    netns_reject OPENVPN_CONFIG "line $_openvpn_line: $1"
}

# Prints why a file is not safe, and the command that fixes it; nothing if it is safe.
#   _openvpn_unsafe FILE MASK
# MASK: the bits of the mode that must not be set: 077, or 022 for a file that other users may read.
_openvpn_unsafe() {
    local owner mode
    read -r owner mode < <(stat --dereference --format='%u %a' -- "$1")
    if [[ $owner != 0 ]]; then
        echo "not owned by root: run chown root ${1@Q}"
    elif ((8#$mode & 8#$2)); then
        if [[ $2 == 077 ]]; then
            echo "readable by other users: run chmod 600 ${1@Q}"
        else
            echo "writable by other users: run chmod go-w ${1@Q}"
        fi
    fi
}

# Exits with 6 unless a file with a secret, named in OPENVPN_CONFIG, exists and only root can read it.
#   _openvpn_check_secret OPTION FILE
_openvpn_check_secret() {
    local file=$2 fault
    [[ -n $file && $file != '[inline]' ]] || return 0
    [[ $file == /* ]] || file=${OPENVPN_CONFIG%/*}/$file
    [[ -f $file ]] || _openvpn_reject "$1: no such file ${file@Q}"
    fault=$(_openvpn_unsafe "$file" 077)
    [[ -z $fault ]] || _openvpn_reject "$1: $fault"
}

# Sets the array REPLY to the words of a line, as openvpn splits it. Fails if openvpn may split it in another way.
_openvpn_words() {
    local rest=$1 word
    REPLY=()
    while [[ $rest =~ ^[[:space:]]*([^[:space:]].*)$ ]]; do
        rest=${BASH_REMATCH[1]}
        case $rest in
            [\#\;]*) return 0 ;;
            \"*) [[ $rest =~ ^\"([^\"\\]*)\"(.*)$ ]] ;;
            \'*) [[ $rest =~ ^\'([^\']*)\'(.*)$ ]] ;;
            *) [[ $rest =~ ^([^[:space:]\"\'\\]+)(.*)$ ]] ;;
        esac || return 1
        word=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
        [[ -z $rest || $rest == [[:space:]]* ]] || return 1
        REPLY+=("$word")
    done
}

# Reads OPENVPN_CONFIG. Sets _openvpn_text to the lines for openvpn, and _openvpn_kind to the kind of its interface,
# tun or tap.
_openvpn_read() {
    # Disable tracing, which would write keys to the journal.
    { local -; set +x; } 2>/dev/null
    local line block='' option public
    local -a REPLY
    public=$(_openvpn_unsafe "$OPENVPN_CONFIG" 077)
    _openvpn_text='' _openvpn_kind='' _openvpn_line=0
    while IFS= read -r line || [[ -n $line ]]; do
        ((_openvpn_line += 1))
        line=${line//$'\r'/}
        if [[ -n $block ]]; then
            _openvpn_text+=$line$'\n'
            [[ $line != *([[:space:]])"</$block>"* ]] || block=''
            continue
        fi
        if [[ $line =~ ^[[:space:]]*\<([a-z0-9-]+)\>[[:space:]]*$ ]]; then
            block=${BASH_REMATCH[1]}
            case $block in
                # Its lines are options.
                connection) block='' ;;
                ca | cert | crl-verify | dh | extra-certs | peer-fingerprint | verify-hash) ;;
                *) [[ -z $public ]] || netns_reject OPENVPN_CONFIG "has <$block>, and is $public" ;;
            esac
            _openvpn_text+=$line$'\n'
            continue
        fi
        if [[ $line =~ ^[[:space:]]*\</connection\>[[:space:]]*$ ]]; then
            _openvpn_text+=$line$'\n'
            continue
        fi
        _openvpn_words "$line" || _openvpn_reject 'has quotes or backslashes in a form that is not supported'
        # Versions of openvpn that do not know the option ignore such a line.
        [[ ${REPLY[*]:0:2} != 'setenv opt' ]] || REPLY=("${REPLY[@]:2}")
        ((${#REPLY[@]})) || continue
        option=${REPLY[0]#--}
        [[ $option =~ ^[A-Za-z0-9_-]+$ ]] || _openvpn_reject 'not an option of openvpn'
        case $option in
            up | down | route-up | route-pre-down | ipchange | tls-verify | dns-updown | plugin | \
                up-restart | up-delay | down-pre | iproute | learn-address | auth-user-pass-verify | \
                client-connect | client-disconnect | client-crresponse | tls-crypt-v2-verify)
                [[ ${OPENVPN_HOOKS-} == ignore ]] ||
                    _openvpn_reject "$option would not be run: remove it, or set OPENVPN_HOOKS=ignore"
                continue
                ;;
            config | cd | chroot) _openvpn_reject "$option is not supported in a namespace" ;;
            # This type sets these itself.
            daemon | inetd | log | log-append | syslog | writepid | script-security | ifconfig-noexec | \
                route-noexec | mktun | rmtun | enable-dco | disable-dco | suppress-timestamps | \
                machine-readable-output | lladdr | dev-node | setenv-safe) continue ;;
            dev)
                [[ -n $_openvpn_kind || ${REPLY[1]-} != @(tun|tap)* ]] || _openvpn_kind=${REPLY[1]:0:3}
                continue
                ;;
            dev-type)
                _openvpn_kind=${REPLY[1]-}
                [[ $_openvpn_kind == @(tun|tap) ]] || _openvpn_reject 'dev-type must be tun or tap'
                continue
                ;;
            auth-user-pass)
                [[ -z ${OPENVPN_AUTH-} ]] || continue
                [[ -n ${REPLY[1]-} ]] ||
                    _openvpn_reject 'auth-user-pass would prompt for a password: write the user name and password to a file, and set OPENVPN_AUTH'
                _openvpn_check_secret auth-user-pass "${REPLY[1]}"
                ;;
            askpass)
                [[ -n ${REPLY[1]-} ]] || _openvpn_reject 'askpass would prompt for a password: name a file that contains it'
                _openvpn_check_secret askpass "${REPLY[1]}"
                ;;
            key | pkcs12 | secret | tls-auth | tls-crypt | tls-crypt-v2 | http-proxy-user-pass)
                _openvpn_check_secret "$option" "${REPLY[1]-}"
                ;;
            http-proxy | socks-proxy)
                [[ ${REPLY[3]-} == auto* || ${REPLY[3]-} == none ]] ||
                    _openvpn_check_secret "$option" "${REPLY[3]-}"
                ;;
        esac
        _openvpn_text+=$line$'\n'
    done <"$OPENVPN_CONFIG"
    [[ -z $block ]] || netns_reject OPENVPN_CONFIG "<$block> is not closed"
    [[ -n $_openvpn_kind ]] || netns_reject OPENVPN_CONFIG "has no option dev, such as 'dev tun'"
    OPENVPN_IFNAME=${OPENVPN_IFNAME:-${_openvpn_kind}0}
}

_openvpn_check() {
    local fault
    [[ -z ${OPENVPN_HOOKS-} || $OPENVPN_HOOKS == ignore ]] || netns_reject OPENVPN_HOOKS "may only be 'ignore'"
    netns_check_ifname OPENVPN_IFNAME
    netns_check_number OPENVPN_TIMEOUT 0 240
    netns_check_dns
    netns_check_servers OPENVPN_DNS
    netns_check_destinations OPENVPN_ROUTES off pushed
    [[ $OPENVPN_CONFIG == /* ]] || netns_reject OPENVPN_CONFIG 'must be an absolute path'
    [[ -f $OPENVPN_CONFIG ]] || netns_reject OPENVPN_CONFIG 'no such file'
    fault=$(_openvpn_unsafe "$OPENVPN_CONFIG" 022)
    [[ -z $fault ]] || netns_reject OPENVPN_CONFIG "$fault"
    if [[ -n ${OPENVPN_AUTH-} ]]; then
        [[ $OPENVPN_AUTH == /* ]] || netns_reject OPENVPN_AUTH 'must be an absolute path'
        [[ -f $OPENVPN_AUTH ]] || netns_reject OPENVPN_AUTH 'no such file'
        fault=$(_openvpn_unsafe "$OPENVPN_AUTH" 077)
        [[ -z $fault ]] || netns_reject OPENVPN_AUTH "$fault"
    fi
    _openvpn_read
    if ip -netns "$NSNAME" link show dev "$OPENVPN_IFNAME" &>/dev/null; then
        netns_reject OPENVPN_IFNAME "already exists in $NSNAME"
    fi
    if ip link show dev "$_openvpn_ifname_outside" &>/dev/null; then
        echo "$_openvpn_ifname_outside, the name of the interface before it is moved, already exists" >&2
        exit 6
    fi
}

# Writes the files for openvpn and openvpn-up, which only root can read.
_openvpn_write() {
    { local -; set +x; } 2>/dev/null
    (
        umask 077
        printf '%s' "$_openvpn_text" >"$netns_state/openvpn.conf"
        declare -p OPENVPN_IFNAME OPENVPN_DNS OPENVPN_ROUTES NETNS_DNS NETNS_DNS_SEARCH _openvpn_kind \
            2>/dev/null >"$netns_state/openvpn.settings" || :
    )
}

# Runs openvpn until it exits. Writes its output to the journal, and its first error to a file for `up`.
_openvpn_run() {
    local line help log
    local -a options=(
        --suppress-timestamps --cd "${OPENVPN_CONFIG%/*}/" --config "$netns_state/openvpn.conf"
        --dev "$_openvpn_ifname_outside" --dev-type "$_openvpn_kind"
        # openvpn-up does this in the namespace.
        --ifconfig-noexec --route-noexec
        --script-security 2 --up "/usr/share/systemd-netns/openvpn-up $NSNAME"
    )
    [[ -z ${OPENVPN_AUTH-} ]] || options+=(--auth-user-pass "$OPENVPN_AUTH")
    help=$(openvpn --help)
    # A tunnel in the kernel (since 2.6) would have another kind of interface.
    [[ $help != *--disable-dco* ]] || options+=(--disable-dco)
    # By default, openvpn 2.7 and later set the name servers of the host.
    [[ $help != *--dns-updown* ]] || options+=(--dns-updown disable)
    rm -f "$netns_state/openvpn.up" "$netns_state/openvpn.fault"
    exec {log}> >(
        trap '' TERM
        while IFS= read -r line; do
            printf '%s\n' "$line"
            # Only the first error: others follow from it.
            [[ -e $netns_state/openvpn.fault || $line != *@(rror|ERROR|annot|CANNOT|ailed|FAILED|refused)* ]] ||
                printf '%s\n' "$line" >"$netns_state/openvpn.fault" 2>/dev/null
        done | logger -t "openvpn-$NSNAME"
    )
    exec openvpn "${options[@]}" >&"$log" 2>&1
}

# Waits until openvpn-up has set up the interface. Fails after OPENVPN_TIMEOUT seconds, or at once if
# openvpn rejects the configuration.
_openvpn_wait() {
    local seconds=$((10#${OPENVPN_TIMEOUT:-30})) end fault=''
    ((seconds)) || return 0
    end=$((SECONDS + seconds))
    until [[ -e $netns_state/openvpn.up ]]; do
        [[ ! -s $netns_state/openvpn.fault ]] || fault=$(<"$netns_state/openvpn.fault")
        # openvpn also prints such a line for an option that the server pushes, and does not exit then.
        if [[ $fault == *'Options error: '* && $fault != *'[PUSH-OPTIONS]'* ]]; then
            netns_reject_file "$OPENVPN_CONFIG" "rejected by openvpn: ${fault//"$netns_state/openvpn.conf"/the file}"
        elif ((SECONDS >= end)); then
            echo "no tunnel within $seconds seconds (OPENVPN_TIMEOUT)${fault:+: $fault} (journalctl -t openvpn-$NSNAME)" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Stops openvpn. The kernel deletes its interface then.
_openvpn_delete() {
    local status=0
    netns_supervise_stop openvpn || status=$?
    netns_delete_links -netns "$NSNAME" || status=$?
    netns_delete_link "$_openvpn_ifname_outside" || status=$?
    return "$status"
}

configure_openvpn_up_outside() {
    if ! type -P openvpn >/dev/null; then
        echo 'openvpn is not installed (package openvpn)' >&2
        exit 5
    fi
    _openvpn_names
    _openvpn_check
    [[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || :
    _openvpn_write
    # Before the tunnel is up: with an empty file, nothing in the namespace uses the name servers of the host.
    if [[ ${OPENVPN_DNS[*]-} != off ]]; then
        netns_undo netns_dns_remove
        netns_dns_prepare
    fi
    netns_undo _openvpn_delete
    netns_supervise openvpn _openvpn_run
    _openvpn_wait
}

configure_openvpn_up_inside() {
    ip link set dev lo up
}

configure_openvpn_down_inside() {
    netns_supervise_stop openvpn
}

configure_openvpn_down_outside() {
    _openvpn_names
    netns_run_all _openvpn_delete netns_dns_remove
}
