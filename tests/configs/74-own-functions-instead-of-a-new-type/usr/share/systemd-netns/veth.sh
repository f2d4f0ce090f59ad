VETH_SCRIPT=shipped VETH=shipped
configure_veth_up_outside() { echo "shipped, $VETH"; }
configure_veth_down_outside() { echo "shipped down"; }
