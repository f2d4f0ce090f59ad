configure_strict_up_outside() { echo called; }
