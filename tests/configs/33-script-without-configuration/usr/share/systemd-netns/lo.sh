NO_CONFIG_REQUIRED=yes
configure_lo_up_inside() { ip link set lo up; }
