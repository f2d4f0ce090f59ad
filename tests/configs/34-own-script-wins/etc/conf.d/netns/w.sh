configure_w_up_outside() { echo own; }
