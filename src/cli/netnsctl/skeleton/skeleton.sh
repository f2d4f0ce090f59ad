# shellcheck shell=bash
#
# NSTYPE skeleton: describe here what kind of network it is. `netnsctl up skeleton@web` creates the
# namespace web and runs the two functions for `up`; `netnsctl down skeleton@web` runs the two for `down`.
#
# Each function gets NSNAME (web) as $1, and can use $NSTYPE and $NSNAME. It runs under `set -e`: the
# first command that fails ends the function and the start, and everything that was set up is taken
# down again. Remove the functions that you do not need. Settings for the administrator belong in
# skeleton.conf (for all namespaces) and skeleton-NSNAME.conf (for one).

# Checks and helpers that the types of the package use, too. They are described in
# /usr/share/doc/systemd-netns/types/README.md.
# shellcheck source=/dev/null
source /usr/share/systemd-netns/types.bash

# Runs in the network of the host, while the namespace is still empty: create links here.
configure_skeleton_up_outside() {
    # Require a variable:
    #     assert_non_empty SKELETON_IFADDR_OUTSIDE
    # Create a veth pair, one end here and one in the namespace. The claim allows `netnsctl gc` to
    # remove it if it is left over.
    #     ip link add "sk-$NSNAME" type veth peer name eth0 netns "$NSNAME"
    #     netns_claim_link "sk-$NSNAME"
    #     ip address add "$SKELETON_IFADDR_OUTSIDE" dev "sk-$NSNAME"
    #     ip link set "sk-$NSNAME" up
    :
}

# Runs in the namespace: /sys shows its interfaces, and /etc/netns/NSNAME/* replace /etc/*.
configure_skeleton_up_inside() {
    ip link set lo up
    #     ip address add "$SKELETON_IFADDR_INSIDE" dev eth0
    #     ip link set eth0 up
}

# Runs in the namespace. Its links are deleted with it, so there is often nothing to do.
configure_skeleton_down_inside() {
    :
}

# Runs in the network of the host, last. It should not fail if something is already gone.
configure_skeleton_down_outside() {
    #     netns_delete_link "sk-$NSNAME"
    :
}
