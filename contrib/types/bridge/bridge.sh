# shellcheck shell=bash
#
# NSTYPE bridge: a veth pair from the namespace to a bridge of the host.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH BRIDGE BRIDGE_IFADDR BRIDGE_GATEWAY BRIDGE_ROUTES
# netns-variables: BRIDGE_DHCP BRIDGE_VLAN BRIDGE_IFNAME BRIDGE_IFNAME_OUTSIDE BRIDGE_IFNAME_INSIDE
# netns-variables: BRIDGE_MAC BRIDGE_MTU BRIDGE_CREATE BRIDGE_CREATE_IFADDR
# netns-container: IFNAME=BRIDGE_IFNAME_INSIDE IFADDR=BRIDGE_IFADDR GATEWAY=BRIDGE_GATEWAY
# netns-container: ROUTES=BRIDGE_ROUTES MAC=BRIDGE_MAC DNS=NETNS_DNS DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip bridge
# netns-parents: BRIDGE

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash
# shellcheck source=contrib/types/bridge.bash
source /usr/share/systemd-netns/bridge.bash

# Set here, so that configuration files can use it. It may be empty.
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
    netns_check_addresses BRIDGE_CREATE_IFADDR
    netns_is_on BRIDGE_CREATE || netns_wait_for_link BRIDGE
    # The host answers ARP for all of its addresses in the network of the bridge.
    netns_check_addresses_free BRIDGE_IFADDR
    netns_bridge_check BRIDGE
    if [[ -n ${BRIDGE_VLAN-} && -e /sys/class/net/$BRIDGE && $(cat "/sys/class/net/$BRIDGE/bridge/vlan_filtering" 2>&1) != 1 ]]; then
        netns_reject BRIDGE_VLAN "$BRIDGE does not filter VLANs: run 'ip link set $BRIDGE type bridge vlan_filtering 1'"
    fi
    if ip link show dev "$BRIDGE_IFNAME_OUTSIDE" &>/dev/null; then
        netns_reject BRIDGE_IFNAME_OUTSIDE 'the interface already exists'
    fi
}

configure_bridge_up_outside() {
    local vlan
    _bridge_names
    _bridge_check
    if netns_is_on BRIDGE_CREATE; then
        netns_bridge_create "$BRIDGE" BRIDGE_CREATE_IFADDR ${BRIDGE_VLAN:+vlan_filtering 1}
    fi
    # A bridge takes the smallest MTU of its ports, unless its own was set. Do not change it.
    netns_add_pair "$BRIDGE_IFNAME_OUTSIDE" "$BRIDGE_IFNAME_INSIDE" '' "${BRIDGE_MAC-}" \
        "${BRIDGE_MTU:-$(<"/sys/class/net/$BRIDGE/mtu")}"
    netns_bridge_join "$BRIDGE" "$BRIDGE_IFNAME_OUTSIDE"
    if [[ -n ${BRIDGE_VLAN-} ]]; then
        # The bridge adds each new port to this VLAN.
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
    netns_run_all netns_delete_links netns_bridge_release netns_dhcp_remove
}
