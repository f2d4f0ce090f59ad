# shellcheck shell=bash
#
# NSTYPE macvlan: an interface in the network of a parent interface, with its own MAC address.
#
# netns-variables: NETNS_DNS NETNS_DNS_SEARCH MACVLAN_PARENT_IFNAME MACVLAN_IFADDR MACVLAN_GATEWAY
# netns-variables: MACVLAN_DHCP MACVLAN_MODE MACVLAN_SOURCE_MAC MACVLAN_IFNAME MACVLAN_MAC
# netns-variables: MACVLAN_MTU
# netns-container: IFNAME=MACVLAN_IFNAME IFADDR=MACVLAN_IFADDR GATEWAY=MACVLAN_GATEWAY
# netns-container: MAC=MACVLAN_MAC DNS=NETNS_DNS DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

_macvlan_names() {
    MACVLAN_IFNAME=${MACVLAN_IFNAME:-mv-$NSNAME}
    read -r -a _macvlan_sources <<<"${MACVLAN_SOURCE_MAC[*]-}"
}

_macvlan_check() {
    local mac
    netns_require MACVLAN_PARENT_IFNAME
    netns_link_check MACVLAN MACVLAN_IFNAME "$(_macvlan_if_unmarked echo replace)"
    case ${MACVLAN_MODE-} in
        '' | private | vepa | bridge | passthru | source) ;;
        *) netns_reject MACVLAN_MODE 'must be private, vepa, bridge, passthru or source' ;;
    esac
    for mac in "${_macvlan_sources[@]}"; do
        netns_is_mac "$mac" || netns_reject MACVLAN_SOURCE_MAC "'$mac' is not a unicast MAC address"
    done
    if [[ ${MACVLAN_MODE-} == source && ${#_macvlan_sources[@]} == 0 ]]; then
        # Not an error: senders can be added later with `ip link set`.
        echo "$MACVLAN_IFNAME receives nothing: MACVLAN_SOURCE_MAC is not set"
    fi
    netns_parent_check MACVLAN
    # The host answers ARP for all of its addresses in the parent's network.
    netns_check_addresses_free MACVLAN_IFADDR
}

# Runs a command if the link exists without a mark.
_macvlan_if_unmarked() {
    ! netns_is_unmarked_link macvlan "$MACVLAN_IFNAME" "${MACVLAN_PARENT_IFNAME-}" || "$@"
}

_macvlan_delete_unmarked() {
    _macvlan_if_unmarked ip -netns "$NSNAME" link delete dev "$MACVLAN_IFNAME"
}

# For functions that override those below: deletes what up_outside has created, even if it failed.
cleanup_macvlan_up_outside() {
    _macvlan_names
    netns_run_all netns_link_delete _macvlan_delete_unmarked
}

configure_macvlan_up_outside() {
    local -a mode=(${MACVLAN_MODE:+mode "$MACVLAN_MODE"})
    _macvlan_names
    _macvlan_check
    _macvlan_delete_unmarked
    [[ ${MACVLAN_MODE-} != source || ${#_macvlan_sources[@]} == 0 ]] ||
        mode+=(macaddr set "${_macvlan_sources[@]}")
    netns_link_make MACVLAN "$MACVLAN_PARENT_IFNAME" "$MACVLAN_IFNAME" macvlan "${mode[@]}"
    netns_dhcp_prepare MACVLAN
}

configure_macvlan_up_inside() {
    _macvlan_names
    netns_link_up MACVLAN "$MACVLAN_IFNAME"
}

configure_macvlan_down_inside() {
    netns_dhcp_stop
}

configure_macvlan_down_outside() {
    netns_run_all netns_dhcp_remove cleanup_macvlan_up_outside
}
