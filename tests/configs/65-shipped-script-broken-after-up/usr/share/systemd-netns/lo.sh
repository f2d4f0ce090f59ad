NO_CONFIG_REQUIRED=yes
configure_lo_up_outside() { echo up; }
configure_lo_down_outside() { echo "down as it was"; }
