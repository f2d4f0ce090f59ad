NO_CONFIG_REQUIRED=
configure_empty_up_outside() { echo called; }
