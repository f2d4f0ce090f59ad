# shellcheck shell=bash
#
# NSTYPE tunnel: one end of a tunnel between hosts. It is created on the host, which sends its packets, and
# moved into the namespace.
#
# netns-variables: TUNNEL_KIND TUNNEL_LOCAL TUNNEL_REMOTE TUNNEL_ID TUNNEL_PORT TUNNEL_TTL
# netns-variables: TUNNEL_PARENT_IFNAME TUNNEL_IFNAME TUNNEL_IFADDR TUNNEL_GATEWAY TUNNEL_ROUTES TUNNEL_MAC
# netns-variables: TUNNEL_MTU NETNS_DNS NETNS_DNS_SEARCH
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/link.bash
source /usr/share/systemd-netns/link.bash

_tunnel_names() {
    # The name on the host, before the interface is moved: another instance may use TUNNEL_IFNAME there.
    _tunnel_ifname_outside=tn-$NSNAME
    ((${#_tunnel_ifname_outside} <= 15)) || _tunnel_ifname_outside=tn-$(sha256sum <<<"$NSNAME" | head -c 12)
    TUNNEL_IFNAME=${TUNNEL_IFNAME:-tn-$NSNAME}
}

# Exits with 6 unless a variable is unset or an address of the family that carries the tunnel.
_tunnel_check_end() {
    [[ -n ${!1-} ]] || return 0
    if [[ ${!1} == */* ]] || ! netns_is_address "${!1}"; then
        netns_reject "$1" 'not an IP address'
    fi
    case ${TUNNEL_KIND-}:${!1} in
        ip6*:*:*:* | vxlan:*) ;;
        ip6*) netns_reject "$1" "$TUNNEL_KIND needs an IPv6 address" ;;
        *:*:*:*) netns_reject "$1" "$TUNNEL_KIND needs an IPv4 address" ;;
    esac
}

_tunnel_is_multicast() {
    [[ ${1,,} == ff*:* || $1 =~ ^2(2[4-9]|3[0-9])\. ]]
}

_tunnel_check() {
    local word
    local -a REPLY
    netns_require TUNNEL_KIND TUNNEL_REMOTE
    case $TUNNEL_KIND in
        vxlan)
            netns_require TUNNEL_ID
            netns_check_number TUNNEL_ID 0 16777215
            netns_check_number TUNNEL_PORT 1 65535
            ;;
        gre | gretap | ip6gre | ip6gretap) netns_check_number TUNNEL_ID 0 999999999 ;;
        ipip | sit | ip6tnl) [[ -z ${TUNNEL_ID-} ]] || netns_reject TUNNEL_ID "$TUNNEL_KIND has none" ;;
        *) netns_reject TUNNEL_KIND 'must be vxlan, gre, gretap, ip6gre, ip6gretap, ipip, sit or ip6tnl' ;;
    esac
    [[ -z ${TUNNEL_PORT-} || $TUNNEL_KIND == vxlan ]] || netns_reject TUNNEL_PORT "$TUNNEL_KIND has none"
    _tunnel_check_end TUNNEL_LOCAL
    _tunnel_check_end TUNNEL_REMOTE
    if [[ -n ${TUNNEL_LOCAL-} && ($TUNNEL_LOCAL == *:* && $TUNNEL_REMOTE != *:* ||
        $TUNNEL_LOCAL != *:* && $TUNNEL_REMOTE == *:*) ]]; then
        netns_reject TUNNEL_LOCAL 'not of the address family of TUNNEL_REMOTE'
    fi
    netns_check_number TUNNEL_TTL 1 255
    netns_check_routes TUNNEL_ROUTES
    if [[ $TUNNEL_KIND == @(ipip|sit|gre|ip6gre|ip6tnl) && -n ${TUNNEL_MAC-} ]]; then
        netns_reject TUNNEL_MAC "$TUNNEL_KIND has no MAC address"
    fi
    netns_addresses TUNNEL_IFADDR
    for word in "${REPLY[@]}"; do
        [[ $TUNNEL_KIND != ipip || $word != *:* ]] || netns_reject TUNNEL_IFADDR 'ipip carries only IPv4'
    done
    netns_link_check TUNNEL TUNNEL_IFNAME
    [[ -z ${TUNNEL_PARENT_IFNAME-} ]] || netns_wait_for_link TUNNEL_PARENT_IFNAME
    if _tunnel_is_multicast "$TUNNEL_REMOTE"; then
        [[ $TUNNEL_KIND == vxlan ]] || netns_reject TUNNEL_REMOTE 'only vxlan has a multicast group'
        netns_require TUNNEL_PARENT_IFNAME
    fi
    if ip link show dev "$_tunnel_ifname_outside" &>/dev/null; then
        echo "$_tunnel_ifname_outside, the name of the interface before it is moved, already exists" >&2
        exit 6
    fi
}

configure_tunnel_up_outside() {
    local said remote=remote
    local -a arguments
    _tunnel_names
    _tunnel_check
    ! _tunnel_is_multicast "$TUNNEL_REMOTE" || remote=group
    arguments=("$TUNNEL_KIND" ${TUNNEL_LOCAL:+local "$TUNNEL_LOCAL"} "$remote" "$TUNNEL_REMOTE"
        ${TUNNEL_TTL:+ttl "$TUNNEL_TTL"} ${TUNNEL_PARENT_IFNAME:+dev "$TUNNEL_PARENT_IFNAME"})
    case $TUNNEL_KIND in
        # The port assigned by IANA. The kernel's default is older.
        vxlan) arguments+=(id "$TUNNEL_ID" dstport "${TUNNEL_PORT:-4789}") ;;
        # Both address families.
        sit | ip6tnl) arguments+=(mode any) ;;
        *) arguments+=(${TUNNEL_ID:+key "$TUNNEL_ID"}) ;;
    esac
    said=$(ip link add name "$_tunnel_ifname_outside" group "$netns_group" ${TUNNEL_MAC:+address "$TUNNEL_MAC"} \
        ${TUNNEL_MTU:+mtu "$TUNNEL_MTU"} type "${arguments[@]}" 2>&1) ||
        netns_reject TUNNEL_KIND "the kernel refuses '${arguments[*]}': ${said//$'\n'/ }"
    netns_undo ip link delete dev "$_tunnel_ifname_outside"
    netns_claim_link "$_tunnel_ifname_outside"
    ip link set dev "$_tunnel_ifname_outside" netns "$NSNAME" name "$TUNNEL_IFNAME"
    netns_undo ip -n "$NSNAME" link delete dev "$TUNNEL_IFNAME"
    netns_dhcp_prepare TUNNEL
}

configure_tunnel_up_inside() {
    _tunnel_names
    netns_link_up TUNNEL "$TUNNEL_IFNAME"
    netns_add_routes "$TUNNEL_IFNAME" TUNNEL_ROUTES
}

configure_tunnel_down_outside() {
    netns_run_all netns_link_delete netns_delete_links netns_dhcp_remove
}
