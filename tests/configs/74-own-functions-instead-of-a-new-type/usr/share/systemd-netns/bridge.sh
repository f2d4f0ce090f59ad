BRIDGE_SCRIPT=shipped BRIDGE=shipped
configure_bridge_up_outside() { echo "shipped, $BRIDGE"; }
configure_bridge_down_outside() { echo "shipped down"; }
