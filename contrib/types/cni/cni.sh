# shellcheck shell=bash
#
# NSTYPE cni: any network of the Container Network Interface: runs the plugins of a configuration.
#
# netns-variables: CNI_CONFLIST CNI_PATH CNI_IFNAME CNI_IFADDR CNI_MAC CNI_PUBLISH NETNS_DNS
# netns-variables: NETNS_DNS_SEARCH
# netns-container: IFNAME=CNI_IFNAME IFADDR=CNI_IFADDR MAC=CNI_MAC PUBLISH=CNI_PUBLISH
# netns-container: DNS=NETNS_DNS DNS_SEARCH=NETNS_DNS_SEARCH
# netns-programs: ip netnsctl
# netns-forwards: yes

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash
# shellcheck source=contrib/types/dns.bash
source /usr/share/systemd-netns/dns.bash

_cni_names() {
    local -a REPLY
    CNI_IFNAME=${CNI_IFNAME:-eth0}
    CNI_PATH=${CNI_PATH:-/usr/lib/cni:/usr/libexec/cni:/opt/cni/bin}
    _cni_state=$netns_state/cni.json
    # The options of netnsctl for the network.
    _cni_network=(--conflist "${CNI_CONFLIST-}" --path "$CNI_PATH" --ifname "$CNI_IFNAME")
    [[ -z ${CNI_MAC-} ]] || _cni_network+=(--mac "$CNI_MAC")
    netns_words CNI_IFADDR
    _cni_network+=("${REPLY[@]/#/--address=}")
    netns_words CNI_PUBLISH
    _cni_network+=("${REPLY[@]/#/--publish=}")
}

_cni_check() {
    local error
    netns_require CNI_CONFLIST
    netns_check_ifname CNI_IFNAME
    netns_check_mac CNI_MAC
    netns_check_addresses CNI_IFADDR
    netns_check_dns
    [[ -f $CNI_CONFLIST ]] || netns_reject CNI_CONFLIST 'no such file'
    error=$(netns_ctl cni verify "${_cni_network[@]}" 2>&1) || netns_reject CNI_CONFLIST "${error#netnsctl: }"
}

configure_cni_up_outside() {
    local dns word
    local -a servers=() search=()
    _cni_names
    _cni_check
    netns_undo _cni_delete
    dns=$(netns_ctl cni add "${_cni_network[@]}" --state "$_cni_state" -- "$NSNAME")
    if [[ -n ${NETNS_DNS-}${NETNS_DNS_SEARCH-} ]]; then
        netns_dns_configure
    elif [[ -n $dns ]]; then
        while read -r word dns; do
            case $word in
                nameserver) servers+=("$dns") ;;
                search) read -r -a search <<<"$dns" ;;
            esac
        done <<<"$dns"
        netns_undo netns_dns_remove
        netns_dns_write "${servers[*]}" "${search[@]}"
    fi
}

configure_cni_up_inside() {
    ip link set dev lo up
}

_cni_delete() {
    _cni_names
    netns_ctl cni del --state "$_cni_state" -- "$NSNAME"
}

configure_cni_down_outside() {
    netns_run_all _cni_delete netns_dns_remove
}
