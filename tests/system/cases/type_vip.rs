//! NSTYPE vip: virtual addresses that the network and the host can reach.

use anyhow::{Result, ensure};

use super::lan::{self, configure, expect_as_before, expect_rejected, ping, traces};
use super::support::{DOWN, FAILED, SOON, UP, expect_in, expect_instance, units};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("network_and_host_reach_both", network_and_host_reach_both),
    ("the_script_of_the_namespace", the_script_of_the_namespace),
    ("a_failing_script", a_failing_script),
    ("two_parents", two_parents),
    ("a_macvlan_of_somebody_else", a_macvlan_of_somebody_else),
    (
        "bad_configuration_is_rejected",
        bad_configuration_is_rejected,
    ),
    ("the_network_has_the_address", the_network_has_the_address),
    ("deleted_behind_its_back", deleted_behind_its_back),
    ("comes_back_after_a_reboot", comes_back_after_a_reboot),
];

/// The network, where the host has the addresses 192.0.2.9 and 2001:db8::9.
fn make_lan(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.sh("ip address add 192.0.2.9/24 dev eth9
         ip address add 2001:db8::9/64 dev eth9 nodad")?;
    Ok(())
}

/// Traces that lan does not look at: routes of table local, and proxies.
fn hidden_traces(machine: &Machine) -> Result<String> {
    let look =
        "ip -4 route show table local; ip -6 route show table local; ip -6 neighbour show proxy
        ip -4 route show table all | grep mv || :";
    Ok(machine.sh(look)?.stdout)
}

fn expect_no_trace(machine: &Machine, before: &(String, String)) -> Result<()> {
    expect_as_before(machine, &before.0)?;
    let hidden = hidden_traces(machine)?;
    ensure!(hidden == before.1, "was\n{}\nis\n{hidden}", before.1);
    Ok(())
}

fn all_traces(machine: &Machine) -> Result<(String, String)> {
    Ok((traces(machine)?, hidden_traces(machine)?))
}

fn ping_from_host(machine: &Machine, options: &str) -> Result<()> {
    machine.run(&format!("ping -q -c 1 -w 5 {options}"))?;
    Ok(())
}

fn network_and_host_reach_both(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.write(
        "/etc/conf.d/netns/default.conf",
        "HOST_IFNAME=eth9\nHOST_GATEWAY=192.0.2.1\n",
    )?;
    // The sample as it is.
    machine
        .run("cp /usr/share/doc/systemd-netns/examples/vip.conf /etc/conf.d/netns/vip-one.conf")?;
    configure(
        machine,
        "vip",
        "two",
        "GATEWAY_DEVICE=eth9
         VIP_ADDRESSES=(192.0.2.91/24 '192.0.2.92/32 label mv0:b' 2001:db8::91/64)
         VIP_GATEWAY='192.0.2.1 2001:db8::1'
         VIP_MAC=02:00:00:00:00:91
         VIP_MTU=1300\n",
    )?;
    let before = all_traces(machine)?;
    machine.run("systemctl start netns-vip@one netns-vip@two")?;
    for address in ["192.0.2.81", "192.0.2.91", "192.0.2.92", "2001:db8::91"] {
        ping_from_host(machine, address)?;
        ping(machine, "lan", address)?;
    }
    // From and to each address of the host.
    ping_from_host(machine, "-I 192.0.2.9 192.0.2.91")?;
    ping_from_host(machine, "-I 2001:db8::9 2001:db8::91")?;
    ping(machine, "two", "192.0.2.9")?;
    ping(machine, "two", "2001:db8::9")?;
    ping(machine, "two", "192.0.2.81")?;
    ping(machine, "lan", "2001:db8::9")?;

    let link = machine.run("ip -n two link show dev mv0; ip -n two link show dev lo")?;
    expect_in(&link.stdout, "link/ether 02:00:00:00:00:91 ")?;
    expect_in(&link.stdout, " mtu 1300 ")?;
    expect_in(&link.stdout, "LOOPBACK,UP")?;
    let routes = machine.run("ip -n two route; ip -n two -6 route; ip -n one route")?;
    expect_in(&routes.stdout, "default via 192.0.2.1 dev mv0")?;
    expect_in(&routes.stdout, "default via 2001:db8::1 dev mv0")?;
    let sysctls = machine.run(
        "ip netns exec two sysctl -n net.ipv4.conf.mv0.{arp_notify,arp_announce} \
         net.ipv6.conf.mv0.{ndisc_notify,use_tempaddr} | paste -sd,",
    )?;
    ensure!(sysctls.stdout == "1,2,1,0\n", "{}", sysctls.stdout);
    let macvlans = machine.run("ip -brief link show type macvlan")?.stdout;
    ensure!(macvlans.lines().count() == 1, "one for both: {macvlans}");

    machine.run("systemctl restart netns-vip@two")?;
    ping(machine, "lan", "192.0.2.91")?;
    machine.run("systemctl stop netns-vip@one")?;
    expect_instance(machine, "vip", "one", [DOWN; 3])?;
    ping_from_host(machine, "2001:db8::91")?;
    machine.run("systemctl stop netns-vip@two")?;
    expect_no_trace(machine, &before)
}

/// As administrators have written it for systemd-netns@haproxy.service, with another name.
pub fn script(nsname: &str) -> String {
    format!(
        r#"#!/usr/bin/env bash
function start {{
  /usr/bin/env ip netns exec {nsname} sysctl -w net.ipv4.conf.mv0.forwarding=1
  /usr/bin/env ip netns exec {nsname} sysctl -w net.ipv4.conf.mv0.arp_notify=1
  /usr/bin/env ip netns exec {nsname} sysctl -w net.ipv4.conf.mv0.arp_announce=2
  /usr/bin/env ip netns exec {nsname} sysctl -w net.ipv4.conf.mv0.use_tempaddr=0
  /usr/bin/env ip netns exec {nsname} ip address add 192.0.2.71/24 dev mv0
  /usr/bin/env ip netns exec {nsname} ip address add 192.0.2.72/24 dev mv0
  /usr/bin/env ip route add 192.0.2.71/32 dev mv-int metric 100 table local
  /usr/bin/env ip route add 192.0.2.72/32 dev mv-int metric 100 table local
}}
function stop {{
  /usr/bin/env ip route del 192.0.2.71/32 dev mv-int metric 100 table local
  /usr/bin/env ip route del 192.0.2.72/32 dev mv-int metric 100 table local
}}
echo "$1 $2 $GATEWAY_DEVICE $VIP_IFNAME_OUTSIDE" >>/run/script
case "$1" in
   start) start ;;
   stop) stop ;;
   *) echo "Usage: $0 {{start|stop}}" ;;
esac
"#
    )
}

fn the_script_of_the_namespace(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    // Not executable.
    machine.write("/usr/local/bin/ns-web", &script("web"))?;
    configure(machine, "vip", "web", "GATEWAY_DEVICE=eth9\n")?;
    let before = all_traces(machine)?;
    machine.run("systemctl start netns-vip@web")?;
    for address in ["192.0.2.71", "192.0.2.72"] {
        ping_from_host(machine, address)?;
        ping(machine, "lan", address)?;
    }
    machine.run("chmod 755 /usr/local/bin/ns-web")?;
    machine.run("systemctl restart netns-vip@web")?;
    ping(machine, "lan", "192.0.2.72")?;
    machine.run("systemctl stop netns-vip@web")?;
    expect_no_trace(machine, &before)?;
    let ran = machine.read("/run/script")?;
    let expected = "start web eth9 mv-int\nstop web eth9 mv-int\n".repeat(2);
    ensure!(ran == expected, "it ran\n{ran}");
    let states = machine.run("systemctl list-units --failed --plain --no-legend")?;
    ensure!(states.stdout.is_empty(), "{}", states.stdout);

    // If it fails with stop, everything else is still taken down, and the unit fails.
    machine.run("systemctl start netns-vip@web")?;
    machine.run(
        "sed -i '2i[[ $1 != stop ]] || exit 3' /usr/local/bin/ns-web; systemctl stop netns-vip@web",
    )?;
    expect_instance(machine, "vip", "web", [DOWN, FAILED, DOWN])?;
    let journal = machine.journal(&units("vip", "web")[1])?;
    expect_in(
        &journal,
        "/usr/local/bin/ns-web stop web failed with exit status 3",
    )?;
    machine.write("/usr/local/bin/ns-web", &script("web"))?;
    machine.run(
        "systemctl reset-failed; systemctl start netns-vip@web; systemctl stop netns-vip@web",
    )?;
    expect_no_trace(machine, &before)?;
    machine.write("/run/script", "")?;
    let expected = "";

    let conf = "GATEWAY_DEVICE=eth9\nVIP_HOOK=\n";
    configure(machine, "vip", "web", conf)?;
    machine.run("systemctl start netns-vip@web")?;
    ensure!(machine.read("/run/script")? == expected, "it ran with none");
    Ok(())
}

fn a_failing_script(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.write(
        "/usr/local/bin/ns-web",
        "echo $1 >>/run/script\nip route add 192.0.2.71/32 dev $VIP_IFNAME_OUTSIDE table local\nexit 3\n",
    )?;
    configure(
        machine,
        "vip",
        "web",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES='192.0.2.91/24 2001:db8::91/64'\n",
    )?;
    let before = all_traces(machine)?;
    let started = machine.try_run("systemctl start netns-vip@web")?;
    ensure!(started.status == Some(1), "{started}");
    expect_instance(machine, "vip", "web", [DOWN, FAILED, DOWN])?;
    expect_no_trace(machine, &before)?;
    let ran = machine.read("/run/script")?;
    ensure!(ran == "start\nstop\n", "it ran {ran}");
    let journal = machine.journal(&units("vip", "web")[1])?;
    expect_in(&journal, "configure_vip_up_outside failed with status 3")
}

fn two_parents(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.sh("ip link add eth8 type veth peer name lan8 netns lan
         ip -n lan address add 198.51.100.1/24 dev lan8
         ip -n lan link set lan8 up
         ip link set eth8 addrgenmode none up
         ip address add 198.51.100.9/24 dev eth8")?;
    configure(
        machine,
        "vip",
        "nine",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES=192.0.2.91/24\n",
    )?;
    configure(
        machine,
        "vip",
        "eight",
        "GATEWAY_DEVICE=eth8\nVIP_ADDRESSES=198.51.100.81/24\n",
    )?;
    machine.run("systemctl start netns-vip@nine")?;
    let before = all_traces(machine)?;
    machine.run("systemctl start netns-vip@eight")?;
    ping_from_host(machine, "192.0.2.91")?;
    ping_from_host(machine, "198.51.100.81")?;
    ping(machine, "lan", "198.51.100.81")?;
    let link = machine.run("ip link show dev mv-int1")?.stdout;
    expect_in(&link, "mv-int1@eth8")?;
    machine.run("systemctl stop netns-vip@eight")?;
    expect_no_trace(machine, &before)
}

fn a_macvlan_of_somebody_else(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.sh("ip link add mv-int link eth9 type macvlan mode bridge
         ip link set mv-int up")?;
    configure(
        machine,
        "vip",
        "web",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES=(192.0.2.91/24 2001:db8::91/64)\n",
    )?;
    machine.wait_until("mv-int is ready", SOON, |machine| {
        let address = "ip -oneline address show dev mv-int scope link -tentative | grep fe80";
        Ok(machine.try_run(address)?.status == Some(0))
    })?;
    let before = machine
        .sh("ip link show mv-int; ip route show table local; ip -6 route show table local")?;
    machine.run("systemctl start netns-vip@web")?;
    ping_from_host(machine, "192.0.2.91")?;
    ping_from_host(machine, "2001:db8::91")?;
    machine.run("systemctl stop netns-vip@web")?;
    expect_instance(machine, "vip", "web", [DOWN; 3])?;
    let after = machine
        .sh("ip link show mv-int; ip route show table local; ip -6 route show table local")?;
    ensure!(before.stdout == after.stdout, "{before}\n{after}");
    Ok(())
}

fn bad_configuration_is_rejected(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.sh("ip netns add bad
         ip -n bad link add taken type veth peer name peer
         ip link add host0 type veth peer name host1
         mkdir -p /etc/conf.d/netns
         echo NETNS_LINK_TIMEOUT=0 >/etc/conf.d/netns/default.conf")?;
    configure(
        machine,
        "vip",
        "other",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES=(192.0.2.91/24 2001:db8::91/64)\n",
    )?;
    machine.run("systemctl start netns-vip@other")?;
    for (conf, says) in [
        ("", "Variable GATEWAY_DEVICE is not set!"),
        (
            "GATEWAY_DEVICE=eth8",
            "GATEWAY_DEVICE=eth8: no such interface",
        ),
        (
            "GATEWAY_DEVICE=lo",
            "GATEWAY_DEVICE=lo: not an Ethernet interface",
        ),
        (
            "VIP_ADDRESSES=192.0.2.300",
            "'192.0.2.300' is neither an IP address",
        ),
        (
            "VIP_ADDRESSES=192.0.2.9/24",
            "eth9 already has the address 192.0.2.9",
        ),
        (
            "VIP_ADDRESSES=192.0.2.91/24",
            "the host already has a route to 192.0.2.91: ",
        ),
        (
            "VIP_ADDRESSES=2001:db8::91/64",
            "the host already has a route to 2001:db8::91: ",
        ),
        (
            "VIP_GATEWAY='192.0.2.1 192.0.2.2'",
            "more than one gateway of an address family",
        ),
        ("VIP_MAC=01:00:00:00:00:01", "VIP_MAC=01:00:00:00:00:01: "),
        ("VIP_MTU=9000", "VIP_MTU=9000: the MTU of eth9 is 1500"),
        ("VIP_IFNAME=taken", "the interface already exists in bad"),
        ("VIP_IFNAME=interface-name-16", "at most 15 characters"),
        (
            "VIP_IFNAME_OUTSIDE=host0",
            "VIP_IFNAME_OUTSIDE=host0: already exists",
        ),
        (
            "VIP_IFNAME_OUTSIDE=interface-name-16",
            "at most 15 characters",
        ),
    ] {
        let mut conf = conf.to_owned();
        if !conf.is_empty() && !conf.contains("GATEWAY_DEVICE") {
            conf.push_str("\nGATEWAY_DEVICE=eth9");
        }
        expect_rejected(machine, "vip", &format!("{conf}\n"), says)?;
    }
    Ok(())
}

fn the_network_has_the_address(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.run("ip -n lan address add 2001:db8::91/64 dev lan0 nodad")?;
    configure(
        machine,
        "vip",
        "web",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES=(192.0.2.91/24 2001:db8::91/64)\n",
    )?;
    let before = all_traces(machine)?;
    let started = machine.try_run("systemctl start netns-vip@web")?;
    ensure!(started.status == Some(1), "{started}");
    expect_instance(machine, "vip", "web", [DOWN, FAILED, DOWN])?;
    let journal = machine.journal(&units("vip", "web")[1])?;
    expect_in(
        &journal,
        "another host already has an address of VIP_ADDRESSES: ",
    )?;
    expect_no_trace(machine, &before)
}

fn deleted_behind_its_back(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    machine.write("/usr/local/bin/ns-web", &script("web"))?;
    configure(
        machine,
        "vip",
        "web",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES=192.0.2.91/24\n",
    )?;
    let before = all_traces(machine)?;
    machine.run("systemctl start netns-vip@web")?;
    machine.run("ip netns delete web; ip link delete mv-int; systemctl stop netns-vip@web")?;
    expect_instance(machine, "vip", "web", [DOWN; 3])?;
    expect_no_trace(machine, &before)?;
    machine.run("systemctl start netns-vip@web")?;
    ping_from_host(machine, "192.0.2.91")
}

fn comes_back_after_a_reboot(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "2")?;
    configure(
        machine,
        "vip",
        "web",
        "GATEWAY_DEVICE=eth9\nVIP_ADDRESSES=(192.0.2.91/24 2001:db8::91/64)\n",
    )?;
    machine.run("systemctl enable --quiet netns-vip@web")?;
    machine.reboot()?;
    expect_instance(machine, "vip", "web", [UP; 3])?;
    ping(machine, "lan", "192.0.2.91")?;
    ping_from_host(machine, "2001:db8::91")
}
