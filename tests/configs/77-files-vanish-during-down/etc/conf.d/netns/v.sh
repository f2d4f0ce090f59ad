# Removes a file that netnsinit has just checked, as an administrator may at any moment.
[[ ! -e /run/vanish ]] || rm -f /etc/conf.d/netns/v.conf /etc/conf.d/netns/v-changed.conf
configure_v_up_outside() { echo "up $1 $V"; }
configure_v_down_outside() { echo "down $1 $V"; }
