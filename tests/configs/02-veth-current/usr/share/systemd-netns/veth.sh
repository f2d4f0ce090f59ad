# Current generation: functions here, settings in veth.conf and veth-NAME.conf.
configure_veth_up_outside() {
    local name=$1
    ip link add "ve-$name" type veth peer name host0 netns "$name"
    ip link set "ve-$name" up ${VETH_MTU:+mtu "$VETH_MTU"}
}

configure_veth_up_inside() {
    assert_non_empty VETH_ADDR
    ip address add "$VETH_ADDR" dev host0
}

configure_veth_down_outside() {
    ip link delete "ve-$1"
}
