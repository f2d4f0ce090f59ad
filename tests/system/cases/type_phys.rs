//! NSTYPE phys, with an end of a veth pair instead of a physical interface.

use anyhow::{Result, ensure};

use super::lan::{self, configure, expect_as_before, expect_rejected, ping, traces};
use super::support::{DOWN, FAILED, UP, expect_in, expect_instance};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("moved_in_and_back", moved_in_and_back),
    ("dhcp_and_its_failure", dhcp_and_its_failure),
    (
        "bad_configuration_is_rejected",
        bad_configuration_is_rejected,
    ),
    ("a_failed_up_brings_it_back", a_failed_up_brings_it_back),
    ("deleted_behind_its_back", deleted_behind_its_back),
    ("reboot_brings_it_back", reboot_brings_it_back),
];

fn moved_in_and_back(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.sh("ip link set eth9 mtu 1450 alias 'the card'
         ip link property add dev eth9 altname card9
         ip address add 192.0.2.9/24 broadcast 192.0.2.255 dev eth9
         ip address add 192.0.2.19/32 label eth9:19 dev eth9
         ip address add 2001:db8::9/64 dev eth9 nodad
         ip route add 198.51.100.0/24 via 192.0.2.1
         ip route add 2001:db8:5::/48 via 2001:db8::1
         ip route add default via 192.0.2.1 metric 50")?;
    // The address that it has on the host may go with it.
    configure(
        machine,
        "phys",
        "nic",
        "PHYS_IFNAME=card9
         PHYS_IFNAME_INSIDE=lan0
         PHYS_IFADDR=(192.0.2.9/24 2001:db8::9/64)
         PHYS_GATEWAY='192.0.2.1 2001:db8::1'
         PHYS_MAC=02:00:00:00:00:77
         PHYS_MTU=1400\n",
    )?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-phys@nic")?;
    ping(machine, "nic", "192.0.2.1")?;
    ping(machine, "nic", "2001:db8::1")?;
    let link = machine.run("ip -n nic link show dev lan0")?.stdout;
    expect_in(&link, " mtu 1400 ")?;
    expect_in(&link, "02:00:00:00:00:77")?;
    let gone = machine.try_run("ip link show dev eth9")?;
    ensure!(gone.status != Some(0), "still on the host: {gone}");
    let journal = machine.journal("netns_outside-phys@nic")?;
    expect_in(&journal, "eth9 and its addresses leave the host")?;
    machine.run("systemctl restart netns-phys@nic")?;
    ping(machine, "nic", "192.0.2.1")?;
    machine.run("systemctl stop netns-phys@nic")?;
    expect_instance(machine, "phys", "nic", [DOWN; 3])?;
    expect_as_before(machine, &before)?;

    // An interface that was down is down again.
    machine.run("ip link set eth9 down")?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-phys@nic")?;
    machine.run("systemctl stop netns-phys@nic")?;
    expect_as_before(machine, &before)
}

fn dhcp_and_its_failure(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_ALL, "0")?;
    let conf = "PHYS_IFNAME=eth9\nPHYS_DHCP=both\nNETNS_DHCP_TIMEOUT=10\n";
    configure(machine, "phys", "nic", conf)?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-phys@nic")?;
    ping(machine, "nic", "192.0.2.1")?;
    ping(machine, "nic", "2001:db8::1")?;
    machine.run("systemctl stop netns-phys@nic")?;
    expect_as_before(machine, &before)?;

    let conf = "PHYS_IFNAME=eth9\nPHYS_DHCP=ipv4\nNETNS_DHCP_TIMEOUT=2\n";
    configure(machine, "phys", "nic", conf)?;
    machine.run("pkill dnsmasq")?;
    let failed = machine.try_run("systemctl start netns-phys@nic")?;
    ensure!(failed.status == Some(1), "{failed}");
    expect_instance(machine, "phys", "nic", [FAILED, DOWN, DOWN])?;
    expect_as_before(machine, &before)
}

fn bad_configuration_is_rejected(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.sh("ip netns add bad
         ip -n bad link add taken type veth peer name peer
         ip link add eth8 type veth peer name eth7
         ip link add br0 type bridge
         ip link set eth7 master br0
         ip link add link eth8 name mv8 type macvlan
         ip link add eth6 type veth peer name eth5
         ip link set eth6 alias 'systemd-netns phys@other'
         mkdir -p /etc/conf.d/netns
         echo NETNS_LINK_TIMEOUT=0 >/etc/conf.d/netns/default.conf")?;
    for (conf, says) in [
        ("", "Variable PHYS_IFNAME is not set!"),
        ("PHYS_IFNAME=eth10", "PHYS_IFNAME=eth10: no such interface"),
        ("PHYS_IFNAME=lo", "PHYS_IFNAME"),
        (
            "PHYS_IFNAME=eth8",
            "PHYS_IFNAME=eth8: other interfaces are stacked on it",
        ),
        (
            "PHYS_IFNAME=eth7",
            "PHYS_IFNAME=eth7: other interfaces are stacked on it",
        ),
        (
            "PHYS_IFNAME=eth6",
            "PHYS_IFNAME=eth6: belongs to phys@other",
        ),
        (
            "PHYS_IFNAME=eth9 PHYS_IFNAME_INSIDE=taken",
            "PHYS_IFNAME_INSIDE=taken: the interface already exists in bad",
        ),
        ("PHYS_IFNAME=eth9 PHYS_MTU=0", "PHYS_MTU=0: "),
    ] {
        expect_rejected(machine, "phys", conf, says)?;
    }
    Ok(())
}

fn a_failed_up_brings_it_back(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    machine.run("ip address add 192.0.2.9/24 dev eth9")?;
    let conf = "PHYS_IFNAME=eth9\nnetns_dhcp_prepare() { false; }\n";
    configure(machine, "phys", "nic", conf)?;
    let before = traces(machine)?;
    let failed = machine.try_run("systemctl start netns-phys@nic")?;
    ensure!(failed.status == Some(1), "{failed}");
    expect_as_before(machine, &before)?;
    // Killed after the move: systemd's call to take down what is left brings it back.
    let conf = "PHYS_IFNAME=eth9\nnetns_dhcp_prepare() { kill -KILL $$ $PPID; }\n";
    configure(machine, "phys", "nic", conf)?;
    let failed = machine.try_run("systemctl start netns-phys@nic")?;
    ensure!(failed.status == Some(1), "{failed}");
    expect_as_before(machine, &before)
}

fn deleted_behind_its_back(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    let conf = "PHYS_IFNAME=eth9\nPHYS_IFNAME_INSIDE=in0\nPHYS_IFADDR=192.0.2.7/24\n";
    configure(machine, "phys", "nic", conf)?;
    let before = traces(machine)?;
    machine.run("systemctl start netns-phys@nic")?;
    machine.run("ip netns delete nic")?;
    machine.run("systemctl stop netns-phys@nic")?;
    expect_instance(machine, "phys", "nic", [DOWN; 3])?;
    expect_as_before(machine, &before)?;

    // A virtual interface is deleted with its namespace; down reports it and continues.
    machine.run("systemctl start netns-phys@nic")?;
    machine.run("ip -n nic link delete in0")?;
    machine.run("systemctl stop netns-phys@nic")?;
    expect_instance(machine, "phys", "nic", [DOWN; 3])?;
    let journal = machine.journal("netns_outside-phys@nic")?;
    expect_in(&journal, "eth9 no longer exists")
}

fn reboot_brings_it_back(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "1")?;
    let conf = "PHYS_IFNAME=eth9\nPHYS_IFADDR=192.0.2.7/24\n";
    configure(machine, "phys", "nic", conf)?;
    machine.run("systemctl enable --quiet netns-phys@nic")?;
    machine.reboot()?;
    expect_instance(machine, "phys", "nic", [UP; 3])?;
    ping(machine, "nic", "192.0.2.1")
}
