# shellcheck shell=bash
#
# NSTYPE vlan: an 802.1Q VLAN interface of a parent interface.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH VLAN_PARENT_IFNAME VLAN_ID VLAN_IFADDR VLAN_GATEWAY
# netns-variables: VLAN_DHCP VLAN_IFNAME VLAN_MAC VLAN_MTU
# netns-container: IFNAME=VLAN_IFNAME IFADDR=VLAN_IFADDR GATEWAY=VLAN_GATEWAY MAC=VLAN_MAC
# netns-container: DNS=NETNS_DNS DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

_vlan_names() {
    VLAN_IFNAME=${VLAN_IFNAME:-${VLAN_PARENT_IFNAME-}.${VLAN_ID-}}
}

_vlan_check() {
    netns_require VLAN_PARENT_IFNAME VLAN_ID
    netns_check_number VLAN_ID 1 4094
    netns_link_check VLAN VLAN_IFNAME
    netns_parent_check VLAN
}

configure_vlan_up_outside() {
    _vlan_names
    _vlan_check
    netns_link_make VLAN "$VLAN_PARENT_IFNAME" "$VLAN_IFNAME" vlan id "$VLAN_ID"
    netns_dhcp_prepare VLAN
}

configure_vlan_up_inside() {
    _vlan_names
    netns_link_up VLAN "$VLAN_IFNAME"
}

configure_vlan_down_inside() {
    netns_dhcp_stop
}

configure_vlan_down_outside() {
    netns_run_all netns_dhcp_remove netns_link_delete
}
