WHO=script
configure_o_up_outside() { echo "script's function, $WHO"; }
