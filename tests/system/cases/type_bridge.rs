//! NSTYPE bridge.

use anyhow::{Result, ensure};

use super::support::*;
use super::type_support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("in_the_network_of_the_bridge", in_the_network),
    ("comes_back_after_a_reboot", comes_back),
    ("bad_input", bad_input),
    ("address_by_dhcp", address_by_dhcp),
];

/// A bridge `lan` of the host with the addresses 192.0.2.1 and 2001:db8::1.
fn make_bridge(machine: &Machine) -> Result<()> {
    machine.sh("
        ip link add lan address 02:00:00:00:01:00 type bridge
        ip address add 192.0.2.1/24 dev lan
        ip address add 2001:db8::1/64 dev lan nodad
        ip link set lan up")?;
    Ok(())
}

fn in_the_network(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    machine.write("/etc/conf.d/netns/bridge.conf", "BRIDGE=lan\n")?;
    machine.write(
        "/etc/conf.d/netns/bridge-a.conf",
        "BRIDGE_IFADDR=(192.0.2.10/24 '2001:db8::10/64 nodad')\n\
         BRIDGE_GATEWAY='192.0.2.1 2001:db8::1'\n\
         BRIDGE_MAC=02:00:00:00:00:10 BRIDGE_MTU=1400\n\
         BRIDGE_ROUTES=('203.0.113.0/24 via 192.0.2.11 metric 5' '2001:db8:9::/48 via 2001:db8::11')\n",
    )?;
    machine.write(
        "/etc/conf.d/netns/bridge-b.conf",
        "BRIDGE_IFADDR=(192.0.2.11/24 '2001:db8::11/64 nodad')\nBRIDGE_IFNAME_INSIDE=eth0\n\
         BRIDGE_IFNAME_OUTSIDE=port-b\n",
    )?;
    machine.run("netnsupdate")?;
    let before = look(machine)?;
    machine.run("systemctl start netns-bridge@a netns-bridge@b")?;
    let works = "
        ping -c 1 -W 2 192.0.2.10; ping -c 1 -W 2 2001:db8::10
        ip netns exec a ping -c 1 -W 2 192.0.2.11; ip netns exec a ping -c 1 -W 2 2001:db8::11
        ip netns exec a ping -c 1 -W 2 127.0.0.1
        ip -n a route | grep 'default via 192.0.2.1 '
        ip -n a route | grep '203.0.113.0/24 via 192.0.2.11 .*metric 5'
        ip -n a -6 route | grep 'default via 2001:db8::1 '
        ip -n a -6 route | grep '2001:db8:9::/48 via 2001:db8::11 '
        ip -n a link show bp-a1 | grep 'mtu 1400'
        ip -n a link show bp-a1 | grep 02:00:00:00:00:10
        ip link show bp-a0 | grep 'master lan'
        ip link show lan | grep 02:00:00:00:01:00
        [[ -z $(ip address show dev port-b scope link | grep inet) ]]";
    machine.sh(works)?;
    machine.run("systemctl restart netns-bridge@a")?;
    machine.sh(works)?;
    machine.run("systemctl stop netns-bridge@a")?;
    machine.run("ping -c 1 -W 2 192.0.2.11")?;
    // The bridge is deleted before the instance stops.
    machine.run("systemctl stop netns-bridge@b")?;
    looks_like(machine, &before)?;
    machine
        .sh("systemctl start netns-bridge@b; ip link delete lan; systemctl stop netns-bridge@b")?;
    nothing_left(machine)
}

fn comes_back(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/systemd/system/lan.service",
        "[Unit]\nBefore=network.target\nWants=network.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=ip link add lan type bridge\nExecStart=ip address add 192.0.2.1/24 dev lan\n\
         ExecStart=ip link set lan up\n[Install]\nWantedBy=multi-user.target\n",
    )?;
    machine.write(
        "/etc/conf.d/netns/bridge-a.conf",
        "BRIDGE=lan BRIDGE_IFADDR=192.0.2.10/24\n",
    )?;
    machine.run("netnsupdate; systemctl enable lan netns-bridge@a")?;
    machine.reboot()?;
    expect_instance(machine, "bridge", "a", [UP, UP, UP])?;
    machine.run("ping -c 1 -W 2 192.0.2.10")?;
    Ok(())
}

fn bad_input(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    machine.write(
        "/etc/conf.d/netns/bridge-a.conf",
        "BRIDGE=lan BRIDGE_IFADDR=192.0.2.10/24 NETNS_LINK_TIMEOUT=0\n",
    )?;
    machine.run("netnsupdate; ip link add port type veth peer name other")?;
    for (line, text) in [
        ("BRIDGE=", "Variable BRIDGE is empty!"),
        ("BRIDGE=nowhere", "BRIDGE=nowhere: no such interface"),
        ("BRIDGE=port", "BRIDGE=port: not a bridge"),
        (
            "BRIDGE_IFADDR=192.0.2.300/24",
            "BRIDGE_IFADDR=192.0.2.300/24: ",
        ),
        (
            "BRIDGE_IFADDR=192.0.2.1/24",
            "lan already has the address 192.0.2.1",
        ),
        (
            "BRIDGE_GATEWAY=192.0.2.1/24",
            "BRIDGE_GATEWAY=192.0.2.1/24: ",
        ),
        (
            "BRIDGE_MAC=01:00:00:00:00:01",
            "BRIDGE_MAC=01:00:00:00:00:01: ",
        ),
        ("BRIDGE_MTU=1", "BRIDGE_MTU=1: "),
        (
            "BRIDGE_VLAN=4095",
            "BRIDGE_VLAN=4095: must be a number from 1 to 4094",
        ),
        (
            "BRIDGE_VLAN=10",
            "BRIDGE_VLAN=10: lan does not filter VLANs",
        ),
        (
            "BRIDGE_ROUTES=('lan via 192.0.2.1')",
            "'lan' is not the destination of a route",
        ),
        (
            "BRIDGE_ROUTES='10.0.0.0/8 via 2001:db8::1'",
            "are of different address families",
        ),
        (
            "BRIDGE_IFNAME_OUTSIDE=port",
            "BRIDGE_IFNAME_OUTSIDE=port: the interface already exists",
        ),
        (
            "BRIDGE_IFNAME_OUTSIDE=longer-than-fifteen",
            "BRIDGE_IFNAME_OUTSIDE=longer-than-fifteen: ",
        ),
        ("BRIDGE_DHCP=perhaps", "BRIDGE_DHCP=perhaps: "),
    ] {
        refuses(machine, "bridge@a", line, text)?;
    }
    // A later error of the kernel is also undone.
    let before = look(machine)?;
    machine.sh(
        "echo \"BRIDGE_ROUTES='203.0.113.0/24 via 198.51.100.9'\" >>/etc/conf.d/netns/bridge-a.conf
         (! systemctl start netns-bridge@a)
         systemctl reset-failed",
    )?;
    looks_like(machine, &before)
}

fn address_by_dhcp(machine: &Machine) -> Result<()> {
    make_bridge(machine)?;
    machine.write(
        "/etc/conf.d/netns/bridge-a.conf",
        "BRIDGE=lan BRIDGE_DHCP=ipv4\n",
    )?;
    machine.run("netnsupdate")?;
    machine.run(
        "systemd-run --quiet --collect --unit=server dnsmasq --keep-in-foreground --no-ping --port=0 --interface=lan \
         --bind-interfaces --dhcp-range=192.0.2.50,192.0.2.60 --dhcp-leasefile=/run/leases; sleep 0.5",
    )?;
    let before = look(machine)?;
    machine.run("systemctl start netns-bridge@a")?;
    let address = machine
        .run("ip -n a -4 -oneline address show dev bp-a1")?
        .stdout;
    ensure!(
        address.contains(" 192.0.2.5") || address.contains(" 192.0.2.60"),
        "{address}"
    );
    machine.sh(
        "ip netns exec a ping -c 1 -W 2 192.0.2.1; systemctl restart netns-bridge@a
         ip netns exec a ping -c 1 -W 2 192.0.2.1; systemctl stop netns-bridge@a",
    )?;
    looks_like(machine, &before)
}
