# shellcheck shell=bash
#
# NSTYPE lo: the loopback interface, up.
#
# netns-variables:
# netns-programs: ip

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

configure_lo_up_inside() {
    ip link set dev lo up
}

configure_lo_down_inside() {
    ip link set dev lo down
}
