# shellcheck shell=bash
#
# NSTYPE skeleton: what kind of network a namespace gets. `netnsctl up skeleton@web` makes the
# namespace web and runs the two functions for `up`; `netnsctl down skeleton@web` the others.
#
# All of them get NSNAME (web) as $1, and have $NSTYPE and $NSNAME. They run under `set -e`: the
# first command that fails ends a function and the start, and what was set up is taken down again.
# A function that you do not need, you can remove. What an administrator may change belongs into
# skeleton.conf (for all namespaces) and skeleton-NSNAME.conf (for one).

# Checks and helpers that the types of the package use too; the list of them is
# /usr/share/doc/systemd-netns/types/README.md.
# shellcheck source=/dev/null
source /usr/share/systemd-netns/types.bash

# In the network of the host, before anything is in the namespace: make links here.
configure_skeleton_up_outside() {
    # A variable that has to be set:
    #     assert_non_empty SKELETON_IFADDR_OUTSIDE
    # A cable, one end here and one in the namespace. The claim lets `netnsctl gc` know it as ours.
    #     ip link add "sk-$NSNAME" type veth peer name eth0 netns "$NSNAME"
    #     netns_claim_link "sk-$NSNAME"
    #     ip address add "$SKELETON_IFADDR_OUTSIDE" dev "sk-$NSNAME"
    #     ip link set "sk-$NSNAME" up
    :
}

# In the namespace: /sys shows its interfaces, /etc/netns/NSNAME/* stand in for /etc/*.
configure_skeleton_up_inside() {
    ip link set lo up
    #     ip address add "$SKELETON_IFADDR_INSIDE" dev eth0
    #     ip link set eth0 up
}

# In the namespace again, on the way down. Links in it go with it: often there is nothing to do.
configure_skeleton_down_inside() {
    :
}

# In the network of the host, at last. What is gone already should be no error.
configure_skeleton_down_outside() {
    #     netns_delete_link "sk-$NSNAME"
    :
}
