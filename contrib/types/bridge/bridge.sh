# shellcheck shell=bash
#
# NSTYPE bridge: a cable from the namespace to a bridge of the host.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH BRIDGE BRIDGE_IFADDR BRIDGE_GATEWAY BRIDGE_ROUTES
# netns-variables: BRIDGE_DHCP BRIDGE_VLAN BRIDGE_IFNAME BRIDGE_IFNAME_OUTSIDE BRIDGE_IFNAME_INSIDE
# netns-variables: BRIDGE_MAC BRIDGE_MTU
# netns-programs: ip bridge
# netns-parents: BRIDGE

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

# Here, so that a configuration file can make use of it. It may be empty.
: "${BRIDGE_IFNAME=bp-}"

_bridge_names() {
    BRIDGE_IFNAME_OUTSIDE=${BRIDGE_IFNAME_OUTSIDE:-$BRIDGE_IFNAME${NSNAME}0}
    BRIDGE_IFNAME_INSIDE=${BRIDGE_IFNAME_INSIDE:-$BRIDGE_IFNAME${NSNAME}1}
}

_bridge_check() {
    netns_link_check BRIDGE BRIDGE_IFNAME_INSIDE
    netns_check_ifname BRIDGE_IFNAME_OUTSIDE
    netns_check_number BRIDGE_VLAN 1 4094
    netns_check_routes BRIDGE_ROUTES
    netns_wait_for_link BRIDGE
    # In the network of the bridge, the host answers for all addresses that it has.
    netns_check_addresses_free BRIDGE_IFADDR
    [[ $(ip -details link show dev "$BRIDGE") == *$'\n    bridge '* ]] ||
        netns_reject BRIDGE 'is an interface, and no bridge'
    if [[ -n ${BRIDGE_VLAN-} && $(cat "/sys/class/net/$BRIDGE/bridge/vlan_filtering" 2>&1) != 1 ]]; then
        netns_reject BRIDGE_VLAN "$BRIDGE knows no VLANs: 'ip link set $BRIDGE type bridge vlan_filtering 1'"
    fi
    if ip link show dev "$BRIDGE_IFNAME_OUTSIDE" &>/dev/null; then
        netns_reject BRIDGE_IFNAME_OUTSIDE 'there is such an interface already'
    fi
}

configure_bridge_up_outside() {
    local vlan
    _bridge_names
    _bridge_check
    # The bridge has the MTU of its smallest port, unless set: that is not to become ours.
    netns_add_pair "$BRIDGE_IFNAME_OUTSIDE" "$BRIDGE_IFNAME_INSIDE" '' "${BRIDGE_MAC-}" \
        "${BRIDGE_MTU:-$(<"/sys/class/net/$BRIDGE/mtu")}"
    # Only the bridge has addresses.
    if [[ -e /proc/sys/net/ipv6/conf/$BRIDGE_IFNAME_OUTSIDE ]]; then
        echo 1 >"/proc/sys/net/ipv6/conf/$BRIDGE_IFNAME_OUTSIDE/disable_ipv6"
    fi
    ip link set dev "$BRIDGE_IFNAME_OUTSIDE" master "$BRIDGE"
    if [[ -n ${BRIDGE_VLAN-} ]]; then
        # The VLAN that the bridge gives to every new port.
        vlan=$(<"/sys/class/net/$BRIDGE/bridge/default_pvid")
        ((vlan == 0)) || bridge vlan delete dev "$BRIDGE_IFNAME_OUTSIDE" vid "$vlan"
        bridge vlan add dev "$BRIDGE_IFNAME_OUTSIDE" vid "$BRIDGE_VLAN" pvid untagged
    fi
    ip link set dev "$BRIDGE_IFNAME_OUTSIDE" up
    netns_dhcp_prepare BRIDGE
}

configure_bridge_up_inside() {
    _bridge_names
    netns_link_up BRIDGE "$BRIDGE_IFNAME_INSIDE"
    netns_add_routes "$BRIDGE_IFNAME_INSIDE" BRIDGE_ROUTES
}

configure_bridge_down_inside() {
    netns_dhcp_stop
}

configure_bridge_down_outside() {
    local status=0
    # shellcheck disable=SC2119 # those on the host
    netns_delete_links || status=$?
    netns_dhcp_remove || status=$?
    return "$status"
}
