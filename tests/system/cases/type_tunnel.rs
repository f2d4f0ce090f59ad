//! NSTYPE tunnel: one end of a tunnel to another host. Other kinds than vxlan are in `tests/vm/type-tunnel`.

use anyhow::Result;

use super::type_support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("to_another_host", to_another_host),
    ("bad_input", bad_input),
];

/// Another host, the namespace `peer`, which is 192.0.2.2 and 2001:db8::2, and has the other ends of a tunnel
/// over each of them.
fn make_peer(machine: &Machine) -> Result<()> {
    machine.sh("
        ip netns add peer
        ip link add wire type veth peer name wire netns peer
        ip address add 192.0.2.1/24 dev wire; ip -n peer address add 192.0.2.2/24 dev wire
        ip address add 2001:db8::1/64 dev wire nodad; ip -n peer address add 2001:db8::2/64 dev wire nodad
        ip link set wire up; ip -n peer link set wire up
        ip -n peer link add four type vxlan id 42 local 192.0.2.2 remote 192.0.2.1 dstport 4789
        ip -n peer link add six type vxlan id 43 local 2001:db8::2 remote 2001:db8::1 dstport 4790
        ip -n peer address add 198.51.100.2/24 dev four; ip -n peer address add 2001:db8:42::2/64 dev four nodad
        ip -n peer address add 203.0.113.2/24 dev six; ip -n peer address add 2001:db8:43::2/64 dev six nodad
        ip -n peer link set four up; ip -n peer link set six up; ip -n peer link set lo up")?;
    Ok(())
}

fn to_another_host(machine: &Machine) -> Result<()> {
    make_peer(machine)?;
    machine.write(
        "/etc/conf.d/netns/tunnel-a.conf",
        "TUNNEL_KIND=vxlan TUNNEL_ID=42 TUNNEL_LOCAL=192.0.2.1 TUNNEL_REMOTE=192.0.2.2\n\
         TUNNEL_IFADDR=(198.51.100.1/24 '2001:db8:42::1/64 nodad') TUNNEL_GATEWAY='198.51.100.2 2001:db8:42::2'\n\
         TUNNEL_MAC=02:00:00:00:00:42 TUNNEL_IFNAME=eth0\n",
    )?;
    machine.write(
        "/etc/conf.d/netns/tunnel-a-very-long-name.conf",
        "TUNNEL_KIND=vxlan TUNNEL_ID=43 TUNNEL_PORT=4790 TUNNEL_REMOTE=2001:db8::2 TUNNEL_IFNAME=eth0\n\
         TUNNEL_IFADDR=(203.0.113.1/24 '2001:db8:43::1/64 nodad') TUNNEL_ROUTES=('10.0.0.0/8 via 203.0.113.2')\n\
         TUNNEL_PARENT_IFNAME=wire TUNNEL_MTU=1300 TUNNEL_TTL=9\n",
    )?;
    machine.run("netnsupdate")?;
    let before = look(machine)?;
    let works = "
        ip netns exec a ping -q -c 1 -w 5 198.51.100.2; ip netns exec a ping -q -c 1 -w 5 2001:db8:42::2
        ip -n a link show eth0 | grep 02:00:00:00:00:42
        ip -n a route | grep 'default via 198.51.100.2'
        ip netns exec a-very-long-name ping -q -c 1 -w 5 203.0.113.2
        ip netns exec a-very-long-name ping -q -c 1 -w 5 2001:db8:43::2
        ip -n a-very-long-name link show eth0 | grep 'mtu 1300'
        ip -n a-very-long-name route | grep '10.0.0.0/8 via 203.0.113.2'";
    machine.sh("systemctl start netns-tunnel@a netns-tunnel@a-very-long-name")?;
    machine.sh(works)?;
    machine.sh("systemctl restart netns-tunnel@a netns-tunnel@a-very-long-name")?;
    machine.sh(works)?;
    machine.sh("systemctl stop netns-tunnel@a netns-tunnel@a-very-long-name")?;
    looks_like(machine, &before)?;
    // Its link or its namespace was deleted meanwhile.
    machine.sh(
        "systemctl start netns-tunnel@a netns-tunnel@a-very-long-name
         ip -n a link delete eth0; ip netns delete a-very-long-name
         systemctl stop netns-tunnel@a netns-tunnel@a-very-long-name",
    )?;
    looks_like(machine, &before)
}

fn bad_input(machine: &Machine) -> Result<()> {
    make_peer(machine)?;
    machine.write(
        "/etc/conf.d/netns/tunnel-a.conf",
        "TUNNEL_KIND=vxlan TUNNEL_ID=42 TUNNEL_REMOTE=192.0.2.2 NETNS_LINK_TIMEOUT=0\n",
    )?;
    machine.run(
        "netnsupdate; ip link add tn-a type veth peer name other; ip link set tn-a name kept",
    )?;
    for (line, text) in [
        ("TUNNEL_KIND=", "Variable TUNNEL_KIND is empty!"),
        ("TUNNEL_KIND=l2tp", "TUNNEL_KIND=l2tp: must be vxlan, gre"),
        ("TUNNEL_REMOTE=", "Variable TUNNEL_REMOTE is empty!"),
        (
            "TUNNEL_REMOTE=192.0.2.2/24",
            "TUNNEL_REMOTE=192.0.2.2/24: not an IP address",
        ),
        (
            "TUNNEL_LOCAL=2001:db8::1",
            "not of the address family of TUNNEL_REMOTE",
        ),
        (
            "TUNNEL_KIND=ip6tnl TUNNEL_ID=",
            "ip6tnl needs an IPv6 address",
        ),
        (
            "TUNNEL_KIND=gre TUNNEL_REMOTE=2001:db8::2",
            "gre needs an IPv4 address",
        ),
        ("TUNNEL_ID=", "Variable TUNNEL_ID is empty!"),
        (
            "TUNNEL_ID=16777216",
            "TUNNEL_ID=16777216: must be a number from 0 to 16777215",
        ),
        ("TUNNEL_PORT=0", "TUNNEL_PORT=0: "),
        ("TUNNEL_KIND=sit", "TUNNEL_ID=42: sit has none"),
        (
            "TUNNEL_KIND=gre TUNNEL_PORT=5",
            "TUNNEL_PORT=5: gre has none",
        ),
        (
            "TUNNEL_KIND=gre TUNNEL_MAC=02:00:00:00:00:01",
            "gre has no MAC address",
        ),
        (
            "TUNNEL_KIND=ipip TUNNEL_ID= TUNNEL_IFADDR=2001:db8::9/64",
            "ipip carries only IPv4",
        ),
        (
            "TUNNEL_KIND=gre TUNNEL_REMOTE=239.0.0.1 TUNNEL_PARENT_IFNAME=wire",
            "only vxlan has a multicast group",
        ),
        (
            "TUNNEL_REMOTE=239.0.0.1",
            "Variable TUNNEL_PARENT_IFNAME is not set!",
        ),
        (
            "TUNNEL_PARENT_IFNAME=nowhere",
            "TUNNEL_PARENT_IFNAME=nowhere: no such interface",
        ),
        (
            "TUNNEL_IFNAME=longer-than-fifteen",
            "TUNNEL_IFNAME=longer-than-fifteen: ",
        ),
        ("TUNNEL_TTL=256", "TUNNEL_TTL=256: "),
        (
            "TUNNEL_ROUTES='lan via 192.0.2.1'",
            "'lan' is not the destination of a route",
        ),
        // This kernel has no such tunnels.
        (
            "TUNNEL_KIND=gre",
            "the kernel refuses 'gre remote 192.0.2.2 key 42'",
        ),
    ] {
        refuses(machine, "tunnel@a", line, text)?;
    }
    // One that exists already.
    machine.sh("ip link add there type vxlan id 42 remote 192.0.2.2 dstport 4789")?;
    refuses(
        machine,
        "tunnel@a",
        "TUNNEL_MTU=1400",
        "the kernel refuses 'vxlan ",
    )?;
    machine.sh("ip link delete there; ip link set kept name tn-a")?;
    refuses(
        machine,
        "tunnel@a",
        "TUNNEL_MTU=1400",
        "tn-a, the name of the interface before it is moved, already exists",
    )
}
