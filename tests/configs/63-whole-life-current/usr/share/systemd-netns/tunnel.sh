# A veth pair with checks, arrays and a lock, as a shipped script has it.
set -u
declare -a TUNNEL_ADDRS=()
declare -A TUNNEL_ROUTES=()

_tunnel_if() {
    local name=t-${1:0:10}
    printf '%s' "$name"
}

configure_tunnel_up_outside() {
    local nsname=$1 mtu=${2:-1500} dev
    shift
    (($# == 0)) || shift
    dev=$(_tunnel_if "$nsname")
    exec 9>/run/tunnel.lock
    flock 9
    ip link add "$dev" mtu "$mtu" type veth peer name tun0 netns "$nsname"
    ip link set "$dev" up
    for word; do ip address add "$word" dev "$dev"; done
    [[ ! -v TUNNEL_HOOK ]] || "$TUNNEL_HOOK" up
}

configure_tunnel_up_inside() {
    local address target
    ip link set tun0 up
    for address in "${TUNNEL_ADDRS[@]}"; do
        ip address add "$address" dev tun0
    done
    for target in "${!TUNNEL_ROUTES[@]}"; do
        ip route add "$target" via "${TUNNEL_ROUTES[$target]}"
    done
}

configure_tunnel_down_inside() {
    ip address flush dev tun0 || :
}

configure_tunnel_down_outside() {
    ip link delete "$(_tunnel_if "$1")" 2>/dev/null || true
}
