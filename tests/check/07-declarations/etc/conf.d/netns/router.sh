# A type that declares what it needs.
# netns-variables: ROUTER_PARENT_IFNAME ROUTER_BRIDGE ROUTER_IFNAME_OUTSIDE
# netns-programs: ip no-such-program
# netns-parents: ROUTER_BRIDGE
# netns-forwards: yes
_router_names() { ROUTER_IFNAME_OUTSIDE=${ROUTER_IFNAME_OUTSIDE:-ro-${NSNAME}0}; }
_router_check() { [[ -n ${ROUTER_BRIDGE-} ]] || { echo "ROUTER_BRIDGE=: is needed" >&2; exit 6; }; }
configure_router_up_outside() { :; }
