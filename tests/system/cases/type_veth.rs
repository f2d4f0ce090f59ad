//! NSTYPE veth, and the functions of the library that all types use.

use anyhow::{Result, ensure};

use super::lan::{self, configure, expect_as_before, expect_rejected, ping, traces};
use super::support::{DOWN, FAILED, UP, expect_in, expect_instance, nothing_left};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("addresses_as_ip_takes_them", addresses_as_ip_takes_them),
    ("a_fault_is_one_line", a_fault_is_one_line),
    ("overriding_functions", overriding_functions),
    ("upgrade_while_up", upgrade_while_up),
    ("and_the_way_back", and_the_way_back),
    ("links_of_others_stay", links_of_others_stay),
    ("lo_stays_up_for_others", lo_stays_up_for_others),
    ("down_goes_on_after_a_failure", down_goes_on_after_a_failure),
];

const WEB: &str = "VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n";

fn addresses_as_ip_takes_them(machine: &Machine) -> Result<()> {
    configure(
        machine,
        "veth",
        "web",
        "VETH_IFADDR_OUTSIDE=('local 192.0.2.1 peer 192.0.2.2' 10.9/16
            '10.0.0.1/255.255.255.0 broadcast + scope link label ve-web0:x' '2001:db8::1/64 nodad'
            'fd00::1 peer fd00::2 nodad')
         VETH_IFADDR_INSIDE='192.0.2.2 peer 192.0.2.1/32 10.0.0.2/24 brd 10.0.0.255 metric 7
            2001:db8::2/64 nodad 2001:db8:1::2/64 valid_lft 1000 preferred_lft 900 fd00::2/128 peer fd00::1/128 nodad'\n",
    )?;
    machine.run("systemctl start netns-veth@web")?;
    for address in ["192.0.2.2", "10.0.0.2", "2001:db8::2"] {
        machine.run(&format!("ping -c 1 -w 5 {address}"))?;
    }
    let outside = machine.run("ip -oneline address show dev ve-web0")?.stdout;
    for part in [
        "192.0.2.1 peer 192.0.2.2/32",
        "10.9.0.0/16",
        "10.0.0.1/24 brd 10.0.0.255 scope link ve-web0:x",
        "fd00::1 peer fd00::2/128",
    ] {
        expect_in(&outside, part)?;
    }
    machine.run("systemctl restart netns-veth@web; systemctl stop netns-veth@web")?;
    nothing_left(machine)?;

    machine.run("ip netns add bad")?;
    for (value, says) in [
        ("10.0.0.300/24", "'10.0.0.300/24' is neither an IP address"),
        (
            "10.0.0.1/255.0.255.0",
            "is neither an IP address nor a word",
        ),
        ("'10.0.0.1 peer'", "a value is missing after 'peer'"),
        ("'10.0.0.1 peer fd00::1'", "not of the address family"),
        ("'fd00::1/64 brd +'", "IPv6 has no broadcast"),
        ("'10.0.0.1/24 scope wide'", "'wide' cannot follow 'scope'"),
        ("nodad", "there is no address with 'nodad'"),
        ("'10.0.0.1/24 dev eth0'", "'dev' is neither an IP address"),
    ] {
        let conf = format!("{WEB}VETH_IFADDR_INSIDE={value}\n");
        let place = format!("/etc/conf.d/netns/veth-bad.conf:3: VETH_IFADDR_INSIDE={value}: ");
        expect_rejected(machine, "veth", &conf, &place)?;
        expect_rejected(machine, "veth", &conf, says)?;
    }
    Ok(())
}

fn a_fault_is_one_line(machine: &Machine) -> Result<()> {
    let said = |conf: &str| -> Result<String> {
        machine.write("/etc/conf.d/netns/veth-bad.conf", conf)?;
        let output = machine.try_run("netnsinit veth bad up outside")?;
        ensure!(output.status == Some(6), "{output}");
        Ok(output.stderr)
    };
    machine.run("ip netns add bad; mkdir -p /etc/conf.d/netns")?;
    let fault = "VETH_IFADDR_INSIDE=nonsense: 'nonsense' is neither an IP address nor a word of 'ip address add'\n";
    let expected = format!("netnsinit: veth@bad: /etc/conf.d/netns/veth-bad.conf:3: {fault}");
    let found = said(
        "VETH_IFADDR_INSIDE=1\n# VETH_IFADDR_INSIDE=2\nVETH_IFADDR_INSIDE=nonsense\nVETH_IFADDR_OUTSIDE=192.0.2.1/30\n",
    )?;
    ensure!(found == expected, "{found}");
    // The last file that sets it counts, and a trap and what is undone change nothing.
    machine.write(
        "/etc/conf.d/netns/veth.conf",
        "VETH_IFADDR_INSIDE=nonsense\ntrap 'false || echo ended >&2' EXIT\n",
    )?;
    let found = said("VETH_IFADDR_OUTSIDE=192.0.2.1/30\n")?;
    let expected = format!("ended\nnetnsinit: veth@bad: /etc/conf.d/netns/veth.conf:1: {fault}");
    ensure!(found == expected, "{found}");
    machine.run("rm /etc/conf.d/netns/veth.conf")?;
    // Not set by any file: the file to set it in.
    let found = said("VETH_IFADDR_OUTSIDE=192.0.2.1/30\n")?;
    let expected = "netnsinit: veth@bad: Variable VETH_IFADDR_INSIDE is not set! \
        (set it in /etc/conf.d/netns/veth-bad.conf)\n";
    ensure!(found == expected, "{found}");
    // The same fault, as netnsctl check sees it.
    machine.write(
        "/etc/conf.d/netns/veth-bad.conf",
        &format!("{WEB}VETH_MTU=x\n"),
    )?;
    let checked = machine.try_run(
        "netnsinit --undo veth bad down outside; ip netns delete bad; netnsctl check veth@bad",
    )?;
    let line = "veth@bad: /etc/conf.d/netns/veth-bad.conf:3: VETH_MTU=x: must be a number";
    expect_in(&checked.stdout, line)
}

fn overriding_functions(machine: &Machine) -> Result<()> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    let before = traces(machine)?;
    configure(
        machine,
        "veth",
        "web",
        "configure_veth_up_outside() {
            set_ifnames
            ip link add $VETH_IFNAME_OUTSIDE type veth peer name $VETH_IFNAME_INSIDE netns $1
            ip address add 192.0.2.1/30 dev $VETH_IFNAME_OUTSIDE || { cleanup_veth_up_outside; return 1; }
            ip link set $VETH_IFNAME_OUTSIDE up
            [[ ! -e /run/fail ]] || { cleanup_veth_up_outside; cleanup_veth_up_outside; ip link show; return 1; }
         }
         VETH_IFADDR_INSIDE=192.0.2.2/30\n",
    )?;
    configure(
        machine,
        "macvlan",
        "mac",
        "MACVLAN_PARENT_IFNAME=eth9 MACVLAN_IFADDR=198.51.100.9/24
         configure_macvlan_up_outside() {
            ip link add mv-$1 link eth9 netns $1 type macvlan mode bridge
            [[ ! -e /run/fail ]] || { cleanup_macvlan_up_outside; ip -n $1 link show; return 1; }
         }\n",
    )?;
    machine.run("systemctl start netns-veth@web netns-macvlan@mac; ping -c 1 -W 2 192.0.2.2")?;
    machine.run("ip -n mac address show dev mv-mac | grep 198.51.100.9")?;
    machine.run("systemctl restart netns-veth@web; ping -c 1 -W 2 192.0.2.2")?;
    machine.run("systemctl stop netns-veth@web netns-macvlan@mac")?;
    expect_instance(machine, "veth", "web", [DOWN; 3])?;
    expect_as_before(machine, &before)?;
    machine.run("touch /run/fail; ip netns add web; ip netns add mac")?;
    for instance in ["veth web", "macvlan mac"] {
        let failed = machine.try_run(&format!("netnsinit {instance} up outside"))?;
        ensure!(failed.status == Some(1), "{failed}");
        expect_in(&failed.stdout, " lo: ")?;
        let left = failed.stdout.contains("ve-web") || failed.stdout.contains("mv-mac");
        ensure!(!left, "{failed}");
    }
    Ok(())
}

/// A stand-in for the shell package: units of the same structure, with plain commands.
const OLD: &str = r#"#!/bin/bash -ex
case "$1 $3 $4" in
    'veth up outside')
        ip link add ve-${2}0 type veth peer name ve-${2}1 netns $2
        ip address add 192.0.2.1/30 dev ve-${2}0
        ip link set ve-${2}0 up ;;
    'veth up inside')
        ip address add 192.0.2.2/30 dev ve-${2}1
        ip link set ve-${2}1 up ;;
    'veth down outside') ip link del ve-${2}0 ;;
    'macvlan up outside') ip link add mv-$2 link eth9 netns $2 type macvlan mode bridge ;;
    'macvlan up inside')
        ip address add 192.0.2.9/24 dev mv-$2
        ip link set mv-$2 up ;;
    'macvlan down inside') ip link del mv-$2 ;;
esac
"#;

/// Replaces our package by the old one, and keeps our files.
fn install_old(machine: &Machine) -> Result<()> {
    let unit = |part: &str, after: &str, more: &str| {
        format!(
            "[Unit]\nRequires={after}\nAfter={after}\n{more}\n[Service]\nType=oneshot\n\
             RemainAfterExit=yes\nExecStart=/usr/sbin/netnsinit \"%J\" \"%I\" up {part}\n\
             ExecStop=/usr/sbin/netnsinit \"%J\" \"%I\" down {part}\n"
        )
    };
    let inside = unit("inside", "netns_outside-%j@%i.service", "");
    let inside = format!("{inside}NetworkNamespacePath=/run/netns/%I\n");
    let outside = unit("outside", "netns_name@%i.service", "StopWhenUnneeded=yes");
    let name = "[Unit]\nStopWhenUnneeded=yes\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
        ExecStart=/sbin/ip netns add %I\nExecStop=/sbin/ip netns del %I\n";
    machine.run(
        "mkdir -p /root/ours && cp -a /usr/sbin/netnsinit /usr/lib/systemd/system/netns@.service          /usr/lib/systemd/system/netns_outside@.service /usr/lib/systemd/system/netns_name@.service /root/ours",
    )?;
    machine.write("/usr/sbin/netnsinit", OLD)?;
    machine.run("chmod 755 /usr/sbin/netnsinit")?;
    for nstype in ["", "-veth", "-macvlan"] {
        let directory = match nstype {
            "" => "/usr/lib/systemd/system",
            _ => "/etc/systemd/system",
        };
        machine.write(&format!("{directory}/netns{nstype}@.service"), &inside)?;
        machine.write(
            &format!("{directory}/netns_outside{nstype}@.service"),
            &outside,
        )?;
    }
    machine.write("/usr/lib/systemd/system/netns_name@.service", name)?;
    machine.run("systemctl daemon-reload")?;
    Ok(())
}

fn install_ours(machine: &Machine) -> Result<()> {
    machine.run(
        "cp -a /root/ours/netnsinit /usr/sbin/ && cp -a /root/ours/*.service /usr/lib/systemd/system/ &&          netnsupdate --daemon-reload",
    )?;
    Ok(())
}

/// The configuration of what the old package brings up, and whether it works.
const BOTH: &str = "netns-veth@web netns-macvlan@mac";

fn both_configured(machine: &Machine) -> Result<String> {
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    configure(machine, "veth", "web", WEB)?;
    let conf = "MACVLAN_PARENT_IFNAME=eth9 MACVLAN_MODE=bridge MACVLAN_IFADDR=192.0.2.9/24\n";
    configure(machine, "macvlan", "mac", conf)?;
    traces(machine)
}

fn both_work(machine: &Machine) -> Result<()> {
    machine.run("ping -c 1 -W 2 192.0.2.2")?;
    ping(machine, "mac", "192.0.2.1")
}

fn expect_both(machine: &Machine, states: [&str; 3]) -> Result<()> {
    expect_instance(machine, "veth", "web", states)?;
    expect_instance(machine, "macvlan", "mac", states)
}

fn upgrade_while_up(machine: &Machine) -> Result<()> {
    let before = both_configured(machine)?;
    for verb in ["restart", "stop"] {
        install_old(machine)?;
        machine.run(&format!("systemctl start {BOTH}"))?;
        both_work(machine)?;
        install_ours(machine)?;
        both_work(machine)?;
        machine.run(&format!("systemctl {verb} {BOTH}"))?;
        if verb == "restart" {
            both_work(machine)?;
            expect_both(machine, [UP; 3])?;
            machine.run(&format!("systemctl stop {BOTH}"))?;
        }
        expect_both(machine, [DOWN; 3])?;
        expect_as_before(machine, &before)?;
    }
    // A namespace that another type keeps, with the links of the old package in it.
    configure(machine, "lo", "web", "")?;
    configure(machine, "lo", "mac", "")?;
    machine.run("systemctl start netns-lo@web netns-lo@mac")?;
    machine.sh(
        "ip link add ve-web0 type veth peer name ve-web1 netns web; ip address add 192.0.2.1/30 dev ve-web0
         ip link add mv-mac link eth9 netns mac type macvlan; ip -n mac address add 192.0.2.9/24 dev mv-mac",
    )?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    both_work(machine)?;
    machine.run(&format!("systemctl stop {BOTH} netns-lo@web netns-lo@mac"))?;
    expect_both(machine, [DOWN; 3])?;
    expect_as_before(machine, &before)
}

fn and_the_way_back(machine: &Machine) -> Result<()> {
    let before = both_configured(machine)?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    install_old(machine)?;
    machine.run(&format!("systemctl stop {BOTH}"))?;
    expect_both(machine, [DOWN; 3])?;
    machine.run(&format!("systemctl start {BOTH}"))?;
    both_work(machine)?;
    machine.run(&format!("systemctl stop {BOTH}"))?;
    expect_both(machine, [DOWN; 3])?;
    install_ours(machine)?;
    // Records of the first start are of no consequence.
    machine.run(&format!("systemctl start {BOTH}"))?;
    both_work(machine)?;
    machine.run(&format!("systemctl stop {BOTH}"))?;
    expect_both(machine, [DOWN; 3])?;
    expect_as_before(machine, &before)
}

fn links_of_others_stay(machine: &Machine) -> Result<()> {
    configure(machine, "veth", "web", WEB)?;
    // The name, but the peer on the host, in another namespace, of another name, or another kind, or a mark.
    for (make, place) in [
        ("ip link add ve-web0 type veth peer name ve-web1", ""),
        (
            "ip link add ve-web0 type veth peer name ve-web1 netns other",
            "",
        ),
        ("ip link add ve-web0 type veth peer name eth0 netns web", ""),
        ("ip link add ve-web0 type bridge", ""),
        (
            "ip link add ve-web0 type veth peer name ve-web1 netns other;              ip -n web link add ve-web1 type veth peer name x netns other",
            "",
        ),
        (
            "ip link add ve-web0 type veth peer name ve-web1 netns web; ip link set ve-web0 alias mine",
            "",
        ),
        (
            "ip link add ve-web0 type veth peer name ve-web1 netns web",
            "VETH_NSNAME_OUTSIDE=other",
        ),
    ] {
        machine.write(
            "/etc/conf.d/netns/veth-web.conf",
            &format!("{WEB}{place}\n"),
        )?;
        machine.sh(&format!("ip netns add web; ip netns add other; {make}"))?;
        let index = "cat /sys/class/net/ve-web0/ifindex";
        let was = machine.run(index)?.stdout;
        let up = machine.try_run("netnsinit veth web up outside")?;
        ensure!((up.status == Some(6)) == place.is_empty(), "{make}: {up}");
        machine.run("netnsinit --undo veth web down outside; netnsinit veth web down outside")?;
        let is = machine.run(index)?.stdout;
        ensure!(was == is, "{make}: replaced");
        machine.sh("ip link delete ve-web0; ip netns delete web; ip netns delete other")?;
    }
    Ok(())
}

fn lo_stays_up_for_others(machine: &Machine) -> Result<()> {
    configure(machine, "veth", "web", WEB)?;
    configure(machine, "lo", "web", "")?;
    machine.run("systemctl start netns-lo@web netns-veth@web")?;
    machine.run("systemctl stop netns-lo@web")?;
    expect_instance(machine, "lo", "web", [DOWN, DOWN, UP])?;
    machine.run("ip netns exec web ping -c 1 -W 2 127.0.0.1")?;
    machine.run("systemctl start netns-lo@web; systemctl stop netns-veth@web")?;
    machine.run("ip netns exec web ping -c 1 -W 2 127.0.0.1")?;
    machine.run("systemctl stop netns-lo@web")?;
    nothing_left(machine)?;
    // Of another namespace that ends in the same letters.
    configure(
        machine,
        "veth",
        "a@web",
        "VETH_IFNAME_OUTSIDE=x0 VETH_IFNAME_INSIDE=x1 VETH_IFADDR_OUTSIDE=10.0.0.1/30 VETH_IFADDR_INSIDE=10.0.0.2/30\n",
    )?;
    machine
        .run("systemctl start netns-veth@a@web; ip netns add web; netnsinit lo web up inside")?;
    machine.run("netnsinit lo web down inside; ! ip -n web link show dev lo | grep ,UP")?;
    Ok(())
}

fn down_goes_on_after_a_failure(machine: &Machine) -> Result<()> {
    let conf =
        format!("{WEB}NETNS_DNS=192.0.2.53\nnetns_delete_link() {{ echo broken >&2; false; }}\n");
    configure(machine, "veth", "web", &conf)?;
    machine.run("systemctl start netns-veth@web; systemctl stop netns-veth@web")?;
    expect_instance(machine, "veth", "web", [DOWN, FAILED, DOWN])?;
    let journal = machine.journal("netns_outside-veth@web")?;
    expect_in(&journal, "cleanup_veth_up_outside failed with status 1")?;
    let left = machine.try_run("ls /etc/netns")?;
    ensure!(left.status != Some(0), "{left}");
    Ok(())
}
