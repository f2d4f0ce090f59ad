configure_k_up_outside() { echo "up with $MTU $PORT"; }
configure_k_down_outside() { echo "down with $MTU $PORT"; }
