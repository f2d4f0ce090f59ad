configure_s_up_outside() { echo called; }
