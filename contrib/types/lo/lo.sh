# shellcheck shell=bash
#
# NSTYPE lo: the loopback interface, up.
#
# netns-variables:
# netns-programs: ip

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

configure_lo_up_inside() {
    ip link set dev lo up
}

configure_lo_down_inside() {
    netns_is_shared || ip link set dev lo down
}
