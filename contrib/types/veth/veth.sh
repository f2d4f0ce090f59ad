# shellcheck shell=bash
#
# NSTYPE veth: a veth pair between the namespace and the host, or another namespace.
#
# netns-variables: VETH_IFADDR_OUTSIDE VETH_IFADDR_INSIDE VETH_GATEWAY VETH_IFNAME
# netns-variables: VETH_IFNAME_OUTSIDE VETH_IFNAME_INSIDE VETH_MAC_OUTSIDE VETH_MAC_INSIDE VETH_MTU
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH VETH_NSNAME_OUTSIDE
# netns-container: IFNAME=VETH_IFNAME_INSIDE IFADDR_HOST=VETH_IFADDR_INSIDE
# netns-container: IFADDR_OUTSIDE=VETH_IFADDR_OUTSIDE GATEWAY=VETH_GATEWAY MAC=VETH_MAC_INSIDE
# netns-container: DNS=NETNS_DNS DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash

# Set here, so that configuration files can use it. It may be empty.
: "${VETH_IFNAME=ve-}"

# For functions that override those below: sets the names that the configuration leaves out.
set_ifnames() {
    VETH_IFNAME=${VETH_IFNAME-ve-}
    VETH_IFNAME_OUTSIDE=${VETH_IFNAME_OUTSIDE:-$VETH_IFNAME${NSNAME}0}
    VETH_IFNAME_INSIDE=${VETH_IFNAME_INSIDE:-$VETH_IFNAME${NSNAME}1}
}

# For the same functions: deletes what up_outside has created, even if it failed.
cleanup_veth_up_outside() {
    _veth_names
    netns_delete_link "$VETH_IFNAME_OUTSIDE" "${_veth_outside[@]}"
    _veth_delete_unmarked
}

_veth_delete_unmarked() {
    ! netns_is_unmarked_pair "$VETH_IFNAME_OUTSIDE" "$VETH_IFNAME_INSIDE" "${_veth_outside[@]}" ||
        ip "${_veth_outside[@]}" link delete dev "$VETH_IFNAME_OUTSIDE"
}

_veth_names() {
    set_ifnames
    # The options of ip(8) that reach the outside end.
    _veth_outside=()
    [[ -z ${VETH_NSNAME_OUTSIDE-} ]] || _veth_outside=(-netns "$VETH_NSNAME_OUTSIDE")
}

_veth_check() {
    netns_require VETH_IFADDR_OUTSIDE VETH_IFADDR_INSIDE
    netns_check_ifname VETH_IFNAME_OUTSIDE VETH_IFNAME_INSIDE
    netns_check_addresses VETH_IFADDR_OUTSIDE VETH_IFADDR_INSIDE
    netns_check_mac VETH_MAC_OUTSIDE VETH_MAC_INSIDE
    netns_check_number VETH_MTU 68 65535
    netns_check_gateways VETH_GATEWAY
    netns_check_dns
    if [[ -n ${VETH_NSNAME_OUTSIDE-} && ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]]; then
        netns_reject VETH_NSNAME_OUTSIDE 'no such network namespace'
    fi
    if ip "${_veth_outside[@]}" link show dev "$VETH_IFNAME_OUTSIDE" &>/dev/null &&
        ! netns_is_unmarked_pair "$VETH_IFNAME_OUTSIDE" "$VETH_IFNAME_INSIDE" "${_veth_outside[@]}"; then
        netns_reject VETH_IFNAME_OUTSIDE 'the interface already exists'
    fi
}

configure_veth_up_outside() {
    _veth_names
    _veth_check
    _veth_delete_unmarked
    netns_add_pair "$VETH_IFNAME_OUTSIDE" "$VETH_IFNAME_INSIDE" \
        "${VETH_MAC_OUTSIDE-}" "${VETH_MAC_INSIDE-}" "${VETH_MTU-}" "${_veth_outside[@]}"
    netns_add_addresses "$VETH_IFNAME_OUTSIDE" VETH_IFADDR_OUTSIDE "${_veth_outside[@]}"
    ip "${_veth_outside[@]}" link set dev "$VETH_IFNAME_OUTSIDE" up
    # Containers have addresses in a common subnet, so each needs a route of its own.
    [[ -z ${CONTAINER_ID-} ]] ||
        netns_add_host_routes "$VETH_IFNAME_OUTSIDE" VETH_IFADDR_INSIDE "${_veth_outside[@]}"
    netns_dns_configure
}

configure_veth_up_inside() {
    _veth_names
    netns_add_addresses "$VETH_IFNAME_INSIDE" VETH_IFADDR_INSIDE
    ip link set dev lo up
    ip link set dev "$VETH_IFNAME_INSIDE" up
    netns_add_gateways "$VETH_IFNAME_INSIDE" VETH_GATEWAY
}

configure_veth_down_outside() {
    netns_run_all cleanup_veth_up_outside netns_dns_remove
}
