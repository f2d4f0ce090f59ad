configure_w_up_outside() { echo shipped; }
