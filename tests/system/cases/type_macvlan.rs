//! NSTYPE macvlan, and its common parts with ipvlan, vlan and phys: parents, addresses, DHCP.

use anyhow::{Result, ensure};

use super::lan::{self, configure, expect_as_before, expect_rejected, ping, traces};
use super::support::{DOWN, FAILED, SOON, UP, expect_in, expect_instance, units};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    (
        "two_instances_reach_the_network",
        two_instances_reach_the_network,
    ),
    ("dhcp_for_both_families", dhcp_for_both_families),
    (
        "only_listed_senders_are_heard",
        only_listed_senders_are_heard,
    ),
    ("leases_for_ever", leases_for_ever),
    ("dhcpv6_gives_the_address", dhcpv6_gives_the_address),
    ("without_a_server_start_fails", without_a_server_start_fails),
    (
        "bad_configuration_is_rejected",
        bad_configuration_is_rejected,
    ),
    ("a_parent_that_is_down", a_parent_that_is_down),
    ("the_kernel_refuses", the_kernel_refuses),
    ("deleted_behind_its_back", deleted_behind_its_back),
    ("reboot_with_a_late_parent", reboot_with_a_late_parent),
];

fn two_instances_reach_the_network(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.write(
        "/etc/conf.d/netns/default.conf",
        "HOST_IFNAME=eth9\nHOST_GATEWAY=192.0.2.1\n",
    )?;
    // The sample as it is.
    machine.run(
        "cp /usr/share/doc/systemd-netns/examples/macvlan.conf /etc/conf.d/netns/macvlan-one.conf",
    )?;
    configure(
        machine,
        "macvlan",
        "one2",
        "MACVLAN_PARENT_IFNAME=eth9
         MACVLAN_MODE=bridge
         MACVLAN_IFNAME=uplink
         MACVLAN_MAC=02:00:00:00:00:22
         MACVLAN_MTU=1300
         MACVLAN_IFADDR=('192.0.2.22/24 broadcast 192.0.2.255' 2001:db8::22/64)
         MACVLAN_GATEWAY='192.0.2.1 2001:db8::1'\n",
    )?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-macvlan@one netns-macvlan@one2")?;
    ping(machine, "one", "192.0.2.1")?;
    ping(machine, "one", "192.0.2.22")?;
    ping(machine, "one2", "2001:db8::1")?;
    let route = machine.run("ip -n one route get 198.51.100.1")?.stdout;
    expect_in(&route, "via 192.0.2.1 dev mv-one ")?;
    let route = machine.run("ip -n one2 route get 2001:db8:1::1")?.stdout;
    expect_in(&route, "via 2001:db8::1 dev uplink ")?;
    let link = machine.run("ip -n one2 -details link show dev uplink")?;
    expect_in(&link.stdout, " mtu 1300 ")?;
    expect_in(&link.stdout, "link/ether 02:00:00:00:00:22 ")?;
    expect_in(&link.stdout, "macvlan mode bridge")?;
    let lo = machine.run("ip -n one -oneline link show dev lo")?.stdout;
    expect_in(&lo, ",UP,")?;

    // `down` deletes the link even if the configured name has changed since `up`.
    machine.run("sed -i s/uplink/other/ /etc/conf.d/netns/macvlan-one2.conf")?;
    machine.run("systemctl restart netns-macvlan@one2")?;
    ping(machine, "one2", "192.0.2.10")?;
    let links = machine.run("ip -n one2 link")?.stdout;
    ensure!(!links.contains("uplink"), "{links}");
    machine.run("systemctl stop netns-macvlan@one netns-macvlan@one2")?;
    expect_instance(machine, "macvlan", "one2", [DOWN; 3])?;
    expect_as_before(machine, &before)
}

fn dhcp_for_both_families(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_ALL, "0")?;
    machine.write(
        "/etc/netns/kept/resolv.conf",
        "# the administrator's\nnameserver 192.0.2.99\n",
    )?;
    for name in ["dyn", "kept"] {
        let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=both\nMACVLAN_MODE=bridge\n";
        configure(machine, "macvlan", name, conf)?;
    }
    let before = traces(machine)?;
    machine.run("systemctl start netns-macvlan@dyn netns-macvlan@kept")?;
    let link = "ip -n dyn -oneline address show dev mv-dyn scope global dynamic";
    let addresses = machine.run(link)?.stdout;
    expect_in(&addresses, " 192.0.2.1")?;
    expect_in(&addresses, " 2001:db8::")?;
    let routes = machine.run("ip -n dyn route; ip -n dyn -6 route")?.stdout;
    expect_in(&routes, "default via 192.0.2.1 dev mv-dyn ")?;
    expect_in(&routes, "default via fe80::")?;
    ping(machine, "dyn", "192.0.2.1")?;
    ping(machine, "dyn", "2001:db8::1")?;
    expect_in(
        &machine.run("ip -n dyn link show mv-dyn")?.stdout,
        "mtu 1400",
    )?;
    // Visible inside, and not outside.
    let seen = machine
        .run("ip netns exec dyn cat /etc/resolv.conf")?
        .stdout;
    expect_in(&seen, "nameserver 192.0.2.53\nsearch example.org\n")?;
    if !["bullseye", "bookworm"].contains(&machine.suite()) {
        expect_in(&seen, "nameserver 2001:0db8:")?;
    }
    let kept = machine.read("/etc/netns/kept/resolv.conf")?;
    ensure!(
        kept.starts_with("# the admin") && !kept.contains(".53"),
        "{kept}"
    );
    let hosts = machine.read("/etc/resolv.conf")?;
    ensure!(!hosts.contains("192.0.2.53"), "the host's: {hosts}");

    // The client renews the lease, in the control group of the unit.
    let client = "pgrep -x udhcpc -g \
        $(cut -d ' ' -f 1 /run/systemd-netns/instances/macvlan@dyn/udhcpc.pid)";
    let group = machine
        .run(&format!("cat /proc/$({client})/cgroup"))?
        .stdout;
    expect_in(&group, "netns-macvlan@dyn.service")?;
    machine.sh(&format!(
        "ip -n dyn address flush dev mv-dyn scope global; kill -USR1 $({client})"
    ))?;
    machine.wait_until("the lease is renewed", SOON, |machine| {
        Ok(machine.run(link)?.stdout.contains(" 192.0.2.1"))
    })?;

    let leases = machine.read("/run/lan.leases")?;
    ensure!(leases.matches(" 192.0.2.1").count() == 2, "{leases}");
    machine.run("systemctl stop netns-macvlan@dyn netns-macvlan@kept")?;
    expect_as_before(machine, &before)?;
    expect_released(machine, " 192.0.2.1")?;
    machine.run("systemctl start netns-macvlan@dyn && systemctl restart netns-macvlan@dyn")?;
    ping(machine, "dyn", "192.0.2.1")
}

fn only_listed_senders_are_heard(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.run("ip -n lan link set lan0 address 02:00:00:00:00:99")?;
    for (name, number) in [("hears", "99"), ("deaf", "98")] {
        let conf = format!(
            "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_MODE=source\n\
             MACVLAN_SOURCE_MAC=(02:00:00:00:00:97 02:00:00:00:00:{number})\n\
             MACVLAN_IFADDR=192.0.2.{number}/24\n"
        );
        configure(machine, "macvlan", name, &conf)?;
        machine.run(&format!("systemctl start netns-macvlan@{name}"))?;
    }
    ping(machine, "hears", "192.0.2.1")?;
    let deaf = machine.try_run("ip netns exec deaf ping -q -c 1 -w 1 192.0.2.1")?;
    ensure!(deaf.status == Some(1), "{deaf}");
    machine.run("sed -i /SOURCE/d /etc/conf.d/netns/macvlan-deaf.conf")?;
    machine.run("systemctl restart netns-macvlan@deaf")?;
    let journal = machine.journal("netns_outside-macvlan@deaf")?;
    expect_in(&journal, "mv-deaf receives nothing")?;
    Ok(())
}

fn leases_for_ever(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_FOR_EVER, "0")?;
    let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=both\nNETNS_DHCP_TIMEOUT=10\n\
        MACVLAN_MTU=1350\nMACVLAN_GATEWAY='192.0.2.7 fe80::7'\n";
    configure(machine, "macvlan", "ever", conf)?;
    machine.run("systemctl start netns-macvlan@ever")?;
    ping(machine, "ever", "192.0.2.1")?;
    ping(machine, "ever", "2001:db8::1")?;
    // The configuration takes precedence over the network.
    let link = machine.run("ip -n ever link show mv-ever")?.stdout;
    expect_in(&link, "mtu 1350")?;
    let routes = machine.run("ip -n ever route; ip -n ever -6 route")?.stdout;
    ensure!(routes.matches("default via").count() == 2, "{routes}");
    expect_in(&routes, "default via 192.0.2.7 ")?;
    expect_in(&routes, "default via fe80::7 ")
}

/// Fails unless the server has no lease of an address with this prefix within [`SOON`].
fn expect_released(machine: &Machine, address: &str) -> Result<()> {
    machine.wait_until("the lease is given back", SOON, |machine| {
        Ok(!machine.read("/run/lan.leases")?.contains(address))
    })
}

fn dhcpv6_gives_the_address(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_DHCPV6, "0")?;
    let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=ipv6\nNETNS_DHCP_TIMEOUT=8\n";
    configure(machine, "macvlan", "six", conf)?;
    let before = traces(machine)?;
    let started = machine.try_run("systemctl start netns-macvlan@six")?;
    if machine.try_run("busybox --list | grep -x udhcpc6")?.status == Some(0) {
        ensure!(started.status == Some(0), "{started}");
        ping(machine, "six", "2001:db8::1")?;
        let seen = machine
            .run("ip netns exec six cat /etc/resolv.conf")?
            .stdout;
        expect_in(&seen, "nameserver 2001:0db8:")?;
        expect_in(&machine.read("/run/lan.leases")?, "2001:db8::1")?;
        // On the wire, as dnsmasq 2.93 drops a release that is sent to it alone.
        machine.run(
            "systemd-run --quiet --unit=dump ip netns exec lan tcpdump -lni lan0 udp port 547",
        )?;
        let dumped = |text: &str| {
            machine.wait_until(text, SOON, |machine| {
                Ok(machine.journal("dump")?.contains(text))
            })
        };
        dumped("listening on lan0")?;
        machine.run("systemctl stop netns-macvlan@six")?;
        dumped("dhcp6 release")?;
        machine.run("systemctl stop dump")?;
    } else {
        ensure!(started.status == Some(1), "{started}");
        let journal = machine.journal("netns-macvlan@six")?;
        expect_in(&journal, "udhcpc6, the client for DHCPv6, is not installed")?;
    }
    expect_as_before(machine, &before)
}

fn without_a_server_start_fails(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    for (name, family) in [("four", "ipv4"), ("six", "ipv6")] {
        let conf =
            format!("MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP={family}\nNETNS_DHCP_TIMEOUT=3\n");
        configure(machine, "macvlan", name, &conf)?;
    }
    let before = traces(machine)?;
    machine.try_run("systemctl start netns-macvlan@four netns-macvlan@six")?;
    for (name, says) in [
        (
            "four",
            "no IPv4 address from a DHCP server on mv-four within 3 seconds",
        ),
        (
            "six",
            "no IPv6 address from a router or a DHCPv6 server on mv-six",
        ),
    ] {
        expect_instance(machine, "macvlan", name, [FAILED, DOWN, DOWN])?;
        expect_in(&machine.journal(&units("macvlan", name)[0])?, says)?;
    }
    expect_as_before(machine, &before)
}

fn bad_configuration_is_rejected(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.sh("ip netns add bad
         ip -n bad link add taken type veth peer name peer
         ip -n bad address add 192.0.2.5/24 dev taken
         ip link set eth9 mtu 1400
         ip address add 192.0.2.9/24 dev eth9
         ip address add 2001:db8::9/64 dev eth9 nodad
         mkdir -p /etc/conf.d/netns
         echo NETNS_LINK_TIMEOUT=0 >/etc/conf.d/netns/default.conf")?;
    for (conf, says) in [
        ("", "Variable MACVLAN_PARENT_IFNAME is not set!"),
        (
            "PARENT=eth8",
            "MACVLAN_PARENT_IFNAME=eth8: no such interface",
        ),
        (
            "PARENT=lo",
            "MACVLAN_PARENT_IFNAME=lo: not an Ethernet interface",
        ),
        (
            "PARENT=a/b",
            "MACVLAN_PARENT_IFNAME=a/b: not a valid interface name",
        ),
        (
            "IFNAME=interface-name-16",
            "MACVLAN_IFNAME=interface-name-1",
        ),
        (
            "IFNAME=taken",
            "MACVLAN_IFNAME=taken: the interface already exists in bad",
        ),
        ("MODE=brigde", "MACVLAN_MODE=brigde: must be private, vepa"),
        (
            "SOURCE_MAC='02:00:00:00:00:01 x'",
            "'x' is not a unicast MAC address",
        ),
        ("MAC=01:00:00:00:00:01", "MACVLAN_MAC=01:00:00:00:00:01: "),
        ("MTU=1500", "MACVLAN_MTU=1500: the MTU of eth9 is 1400"),
        ("MTU=big", "MACVLAN_MTU=big: must be a number"),
        ("IFADDR=192.0.2.300/24", "MACVLAN_IFADDR=192.0.2.300/24: "),
        (
            "IFADDR='192.0.2.7/24 192.0.2.9/24'",
            "eth9 already has the address 192.0.2.9",
        ),
        (
            "IFADDR=2001:db8:0::9/64",
            "eth9 already has the address 2001:db8:0::9",
        ),
        (
            "IFADDR=192.0.2.5/24",
            "taken already has the address 192.0.2.5",
        ),
        ("GATEWAY=192.0.2.1/24", "without a prefix length"),
        ("DHCP=yes", "MACVLAN_DHCP=yes: must be ipv4, ipv6 or both"),
    ] {
        let mut conf = conf.replace("PARENT=", "PARENT_IFNAME=");
        if !conf.is_empty() {
            conf = format!("MACVLAN_{conf}\n");
            if !conf.contains("PARENT") {
                conf.push_str("MACVLAN_PARENT_IFNAME=eth9\n");
            }
        }
        expect_rejected(machine, "macvlan", &conf, says)?;
    }
    let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=ipv4\nNETNS_DHCP_TIMEOUT=0\n";
    expect_rejected(machine, "macvlan", conf, "NETNS_DHCP_TIMEOUT=0: ")?;
    // Also with the default name.
    machine.sh("ip netns add a-name-of-15-ch
         echo MACVLAN_PARENT_IFNAME=eth9 >/etc/conf.d/netns/macvlan.conf")?;
    let long = machine.try_run("netnsinit macvlan a-name-of-15-ch up outside")?;
    ensure!(long.status == Some(6), "{long}");
    expect_in(&long.stderr, "MACVLAN_IFNAME=mv-a-name-of-15-ch: ")?;
    // A program that is missing.
    machine.write(
        "/etc/conf.d/netns/macvlan-bad.conf",
        "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=both\n",
    )?;
    let missing = machine.try_run(
        "rm -f /usr/bin/busybox /bin/busybox /usr/sbin/udhcpc; netnsinit macvlan bad up outside",
    )?;
    ensure!(missing.status == Some(5), "{missing}");
    expect_in(&missing.stderr, "MACVLAN_DHCP=both: requires udhcpc")
}

fn a_parent_that_is_down(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.run("ip link set eth9 down")?;
    for (name, number) in [("one", 11), ("two", 12)] {
        let conf = format!(
            "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_MODE=bridge\nMACVLAN_IFADDR=192.0.2.{number}/24\n"
        );
        configure(machine, "macvlan", name, &conf)?;
    }
    let before = traces(machine)?;
    machine.run("systemctl start netns-macvlan@one netns-macvlan@two")?;
    let says = machine.run("journalctl --no-pager -u 'netns_outside-macvlan@*'")?;
    expect_in(&says.stdout, "eth9 is down: setting it up")?;
    ping(machine, "one", "192.0.2.1")?;
    machine.run("systemctl stop netns-macvlan@one")?;
    expect_instance(machine, "macvlan", "one", [DOWN; 3])?;
    ping(machine, "two", "192.0.2.1")?;
    machine.run("systemctl stop netns-macvlan@two")?;
    expect_as_before(machine, &before)?;

    // If the host uses it now, it stays up.
    machine.sh("systemctl start netns-macvlan@one
         ip address add 192.0.2.9/24 dev eth9
         systemctl stop netns-macvlan@one")?;
    expect_instance(machine, "macvlan", "one", [DOWN; 3])?;
    expect_in(&machine.run("ip link show eth9")?.stdout, ",UP")
}

fn the_kernel_refuses(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    for name in ["one", "two"] {
        let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_MODE=passthru\nMACVLAN_DHCP=ipv4\n\
            configure_macvlan_up_inside() { :; }\n";
        configure(machine, "macvlan", name, conf)?;
    }
    machine.run("systemctl start netns-macvlan@one")?;
    let before = traces(machine)?;
    // An interface in mode passthru uses the parent exclusively.
    let two = machine.try_run("systemctl start netns-macvlan@two")?;
    ensure!(two.status == Some(1), "{two}");
    expect_instance(machine, "macvlan", "two", [DOWN, FAILED, DOWN])?;
    let journal = machine.journal("netns_outside-macvlan@two")?;
    expect_in(
        &journal,
        "MACVLAN_PARENT_IFNAME=eth9: the kernel refuses 'macvlan mode passthru' on it",
    )?;
    expect_in(&journal, "status=6/NOTCONFIGURED")?;
    expect_as_before(machine, &before)
}

fn deleted_behind_its_back(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_ALL, "0")?;
    let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=ipv4\n";
    configure(machine, "macvlan", "gone", conf)?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-macvlan@gone")?;
    machine.run("ip netns delete gone")?;
    machine.run("systemctl stop netns-macvlan@gone")?;
    expect_instance(machine, "macvlan", "gone", [DOWN; 3])?;
    expect_as_before(machine, &before)?;
    machine.run("systemctl start netns-macvlan@gone")?;
    ping(machine, "gone", "192.0.2.1")
}

fn reboot_with_a_late_parent(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_ALL, "2")?;
    let conf = "MACVLAN_PARENT_IFNAME=eth9\nMACVLAN_DHCP=ipv4\n";
    configure(machine, "macvlan", "boot", conf)?;
    machine.run("systemctl enable --quiet netns-macvlan@boot")?;
    machine.reboot()?;
    expect_instance(machine, "macvlan", "boot", [UP; 3])?;
    ping(machine, "boot", "192.0.2.1")
}
