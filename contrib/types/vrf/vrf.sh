# shellcheck shell=bash
#
# NSTYPE vrf: a separate routing table for some of the interfaces of a namespace.
#
# netns-variables: VRF_TABLE VRF_PORTS VRF_IFNAME VRF_GATEWAY VRF_ROUTES
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash

# A route with the lowest precedence.
_vrf_no_route=(unreachable default metric 4278198272)

_vrf_names() {
    VRF_IFNAME=${VRF_IFNAME:-vrf0}
}

_vrf_check() {
    netns_require VRF_TABLE
    netns_check_number VRF_TABLE 1 999999999
    # default, main and local
    ((10#$VRF_TABLE < 253 || 10#$VRF_TABLE > 255)) || netns_reject VRF_TABLE 'reserved for the kernel'
    netns_check_ifname VRF_IFNAME
    netns_check_gateways VRF_GATEWAY
    netns_check_routes VRF_ROUTES
    if ip -n "$NSNAME" link show dev "$VRF_IFNAME" &>/dev/null; then
        netns_reject VRF_IFNAME "the interface already exists in $NSNAME"
    fi
}

configure_vrf_up_outside() {
    local said
    _vrf_names
    _vrf_check
    said=$(ip -n "$NSNAME" link add name "$VRF_IFNAME" type vrf table "$VRF_TABLE" 2>&1) ||
        netns_reject VRF_TABLE "the kernel refuses a VRF with this table: ${said//$'\n'/ }"
    netns_undo ip -n "$NSNAME" link delete dev "$VRF_IFNAME"
    netns_claim_link "$VRF_IFNAME" -n "$NSNAME"
}

configure_vrf_up_inside() {
    local port gateway
    local -a REPLY words
    _vrf_names
    ip link set dev lo up
    ip link set dev "$VRF_IFNAME" up
    # Without this, packets without a route here would use the main table.
    ip route add table "$VRF_TABLE" "${_vrf_no_route[@]}"
    ip -6 route add table "$VRF_TABLE" "${_vrf_no_route[@]}"
    netns_words VRF_PORTS
    for port in "${REPLY[@]}"; do
        ip link show dev "$port" &>/dev/null ||
            netns_reject VRF_PORTS "$NSNAME has no interface $port: NETNS_REQUIRES orders types"
        # The kernel sets a port down and up again, which would remove its IPv6 addresses.
        [[ ! -e /proc/sys/net/ipv6/conf/$port ]] || echo 1 >"/proc/sys/net/ipv6/conf/$port/keep_addr_on_down"
        ip link set dev "$port" master "$VRF_IFNAME"
    done
    netns_words VRF_GATEWAY
    for gateway in "${REPLY[@]}"; do
        words=()
        [[ $gateway != *:* ]] || words=(-6)
        ip "${words[@]}" route add vrf "$VRF_IFNAME" default via "$gateway"
    done
    [[ -z ${VRF_ROUTES[*]-} ]] || while read -r -a words; do
        ((${#words[@]} == 0)) || ip route add vrf "$VRF_IFNAME" "${words[@]}"
    done < <(printf '%s\n' "${VRF_ROUTES[@]}")
}

# Another type may still use the namespace, and a route without an interface is not deleted with the VRF.
_vrf_delete_routes() {
    ip route delete table "$VRF_TABLE" "${_vrf_no_route[@]}" 2>/dev/null || :
    ip -6 route delete table "$VRF_TABLE" "${_vrf_no_route[@]}" 2>/dev/null || :
}

configure_vrf_down_inside() {
    netns_run_all _vrf_delete_routes netns_delete_links
}

configure_vrf_down_outside() {
    netns_delete_links -netns "$NSNAME"
}
