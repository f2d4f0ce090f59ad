# shellcheck shell=bash
#
# NSTYPE ipvlan: an interface in the network of a parent interface, with the parent's MAC address and
# its own IP addresses.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH IPVLAN_PARENT_IFNAME IPVLAN_IFADDR IPVLAN_GATEWAY
# netns-variables: IPVLAN_DHCP IPVLAN_MODE IPVLAN_FLAG IPVLAN_IFNAME IPVLAN_MTU
# netns-container: IFNAME=IPVLAN_IFNAME IFADDR=IPVLAN_IFADDR GATEWAY=IPVLAN_GATEWAY DNS=NETNS_DNS
# netns-container: DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

_ipvlan_names() {
    IPVLAN_IFNAME=${IPVLAN_IFNAME:-iv-$NSNAME}
}

_ipvlan_check() {
    netns_require IPVLAN_PARENT_IFNAME
    netns_link_check IPVLAN IPVLAN_IFNAME
    [[ -z ${IPVLAN_MAC-} ]] || netns_reject IPVLAN_MAC 'an ipvlan interface has the MAC address of its parent'
    case ${IPVLAN_MODE-} in
        '' | l2 | l3 | l3s) ;;
        *) netns_reject IPVLAN_MODE 'must be l2, l3 or l3s' ;;
    esac
    case ${IPVLAN_FLAG-} in
        '' | bridge | private | vepa) ;;
        *) netns_reject IPVLAN_FLAG 'must be bridge, private or vepa' ;;
    esac
    if [[ -n ${IPVLAN_DHCP-} && ${IPVLAN_MODE:-l2} != l2 ]]; then
        netns_reject IPVLAN_DHCP "needs IPVLAN_MODE=l2: $IPVLAN_MODE does not forward broadcasts"
    fi
    netns_parent_check IPVLAN
    # The host answers ARP for all of its addresses in the parent's network.
    netns_check_addresses_free IPVLAN_IFADDR
}

configure_ipvlan_up_outside() {
    _ipvlan_names
    _ipvlan_check
    netns_link_make IPVLAN "$IPVLAN_PARENT_IFNAME" "$IPVLAN_IFNAME" ipvlan \
        mode "${IPVLAN_MODE:-l2}" ${IPVLAN_FLAG:+"$IPVLAN_FLAG"}
    netns_dhcp_prepare IPVLAN
}

configure_ipvlan_up_inside() {
    _ipvlan_names
    local hash
    # The MAC address is the parent's, so a DHCP server needs a client identifier (option 61) to tell
    # clients apart. Without an address, only broadcast replies (-B) reach the namespace.
    read -r hash _ < <(printf '%s' "$(<"/sys/class/net/$IPVLAN_IFNAME/address") $NSNAME" | sha256sum)
    netns_link_up IPVLAN "$IPVLAN_IFNAME" -B -C -x "0x3d:00${hash:0:24}"
}

configure_ipvlan_down_inside() {
    netns_dhcp_stop
}

configure_ipvlan_down_outside() {
    netns_run_all netns_dhcp_remove netns_link_delete
}
