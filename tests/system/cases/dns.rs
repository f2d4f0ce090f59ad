//! The name servers that `contrib/types/dns.bash` writes, used by the type veth.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::support::{add_type, expect_in, misconfigured};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("a_running_service_sees_a_change", in_place),
    ("the_administrators_file_stays", administrators),
    ("the_last_type_removes_it", shared),
    ("what_is_no_server_is_refused", refused),
    ("every_type_that_makes_a_link_knows_them", every_type),
];

const CONFIG: &str = "VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n";
const FILE: &str = "/etc/netns/web/resolv.conf";

fn configure(machine: &Machine, more: &str) -> Result<()> {
    add_type(machine, "veth-web", &format!("{CONFIG}{more}\n"))
}

fn stopped(machine: &Machine) -> Result<()> {
    machine.wait_until("the namespace is gone", Duration::from_secs(10), |m| {
        Ok(m.run("ls /run/netns")?.stdout.is_empty())
    })
}

/// Calls a function of the library as a type does.
fn call(machine: &Machine, instance: &str, words: &str) -> Result<()> {
    machine.sh(&format!(
        "assert_non_empty() {{ :; }}; instance={instance}; NSTYPE=${{instance%@*}} NSNAME=${{instance#*@}}
         . /usr/share/systemd-netns/types.bash; . /usr/share/systemd-netns/dns.bash; {words}"
    ))?;
    Ok(())
}

fn in_place(machine: &Machine) -> Result<()> {
    configure(
        machine,
        "NETNS_DNS=(192.0.2.53 2001:db8::53)\nNETNS_DNS_SEARCH='example.com corp.example'",
    )?;
    let host = machine
        .run("cat /etc/resolv.conf; ls -il /etc/resolv.conf")?
        .stdout;
    machine.run("systemctl start netns-veth@web")?;
    let text = "# Written by systemd-netns, which removes it and its directory.\n# veth@web\n\
        nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.com corp.example\n";
    ensure!(machine.read(FILE)? == text, "{}", machine.read(FILE)?);
    // The view of a service that has it mounted.
    machine.run(&format!(
        "systemd-run --quiet --unit=reader -p BindReadOnlyPaths={FILE}:/etc/resolv.conf \
         -p BindsTo=netns-veth@web.service bash -c 'while sleep 0.1; do cat /etc/resolv.conf >/root/seen; done'"
    ))?;
    call(
        machine,
        "veth@web",
        "netns_dns_write '192.0.2.54 192.0.2.300 fe80::1%ve-web1' example.org '-x' 'a b'",
    )?;
    let expected = "nameserver 192.0.2.54\nnameserver fe80::1%ve-web1\nsearch example.org\n";
    machine.wait_until("the service sees it", Duration::from_secs(5), |m| {
        Ok(m.read("/root/seen").unwrap_or_default().ends_with(expected))
    })?;
    let inside = machine
        .run("ip netns exec web cat /etc/resolv.conf")?
        .stdout;
    ensure!(inside.ends_with(expected), "{inside}");

    machine.run("systemctl restart netns-veth@web")?;
    ensure!(machine.read(FILE)? == text, "{}", machine.read(FILE)?);
    machine.run("systemctl stop netns-veth@web")?;
    stopped(machine)?;
    machine.run("! test -e /etc/netns")?;
    let after = machine
        .run("cat /etc/resolv.conf; ls -il /etc/resolv.conf")?
        .stdout;
    ensure!(host == after, "the host's: {host} then {after}");
    // Without the variables there is none.
    configure(machine, "")?;
    machine.run("systemctl start netns-veth@web; ! test -e /etc/netns")?;
    Ok(())
}

fn administrators(machine: &Machine) -> Result<()> {
    configure(machine, "NETNS_DNS=192.0.2.53")?;
    for theirs in [
        "echo nameserver 192.0.2.9 >",
        ": >",
        "ln -s /nowhere ",
        "ln -s /etc/hosts ",
    ] {
        machine.sh(&format!("mkdir -p /etc/netns/web; {theirs}{FILE}"))?;
        let before = machine
            .run(&format!("ls -il {FILE}; cat /etc/hosts {FILE} || :"))?
            .stdout;
        machine.run("systemctl start netns-veth@web && systemctl stop netns-veth@web")?;
        stopped(machine)?;
        let after = machine
            .run(&format!("ls -il {FILE}; cat /etc/hosts {FILE} || :"))?
            .stdout;
        ensure!(before == after, "{before} then {after}");
        let journal = machine.journal("netns_outside-veth@web")?;
        expect_in(&journal, "not written by systemd-netns")?;
        machine.run(&format!("rm {FILE}"))?;
    }
    // Their directory, and what they put there, stay.
    machine.run("systemctl start netns-veth@web; systemctl stop netns-veth@web")?;
    stopped(machine)?;
    machine.run("ls -d /etc/netns/web")?;
    machine.run(
        "rmdir /etc/netns/web; systemctl start netns-veth@web; touch /etc/netns/web/hosts
         systemctl stop netns-veth@web",
    )?;
    stopped(machine)?;
    let left = machine.run("cd /etc/netns/web; echo *")?.stdout;
    ensure!(left == "hosts\n", "{left}");
    Ok(())
}

fn shared(machine: &Machine) -> Result<()> {
    call(
        machine,
        "veth@web",
        "netns_dns_prepare; netns_dns_write 192.0.2.1",
    )?;
    call(machine, "veth@web2", "netns_dns_write 192.0.2.9")?;
    call(
        machine,
        "nat@web",
        "netns_dns_write_from dhcp4 192.0.2.2; netns_dns_write_from dhcp6 2001:db8::2
         netns_dns_write_from dhcp4 192.0.2.3",
    )?;
    let servers = format!("grep -o '[^ ]*$' {FILE} | tail -n +2 | grep '[.:]' | xargs");
    let all = machine.run(&servers)?.stdout;
    ensure!(all == "192.0.2.1 192.0.2.3 2001:db8::2\n", "{all}");
    call(machine, "veth@web", "netns_dns_remove; netns_dns_remove")?;
    let rest = machine.run(&servers)?.stdout;
    ensure!(rest == "192.0.2.3 2001:db8::2\n", "{rest}");
    call(machine, "nat@web", "netns_dns_remove")?;
    machine.run("test ! -e /etc/netns/web; ls /etc/netns/web2")?;
    call(machine, "veth@web2", "netns_dns_remove")?;
    // Concurrent changes are not lost.
    call(
        machine,
        "veth@web",
        "for i in {1..20}; do NSTYPE=t$i netns_dns_write 192.0.2.$i & done; wait",
    )?;
    let count = machine.run(&format!("grep -c nameserver {FILE}"))?.stdout;
    ensure!(count == "20\n", "{count}");
    Ok(())
}

fn refused(machine: &Machine) -> Result<()> {
    for (config, line) in [
        (
            "NETNS_DNS=192.0.2.53/24",
            "'192.0.2.53/24' is not an IP address",
        ),
        (
            "NETNS_DNS='::1 dns.example'",
            "'dns.example' is not an IP address",
        ),
        ("NETNS_DNS_SEARCH='a.b -c'", "'-c' is not a domain name"),
        ("NETNS_DNS_SEARCH=$'a\\tx;y'", "'x;y' is not a domain name"),
    ] {
        configure(machine, config)?;
        let run = machine.try_run("ip netns add web; netnsinit veth web up outside")?;
        ensure!(run.status == Some(6) && run.stderr.contains(line), "{run}");
        machine.run("! test -e /etc/netns; ! ip link show ve-web0")?;
    }
    Ok(())
}

fn every_type(machine: &Machine) -> Result<()> {
    machine.sh(
        "ip link add uplink type veth peer name lan; ip link set uplink up
         ip link add br0 type bridge; ip link set br0 up",
    )?;
    for (nstype, config) in [
        ("nat", ""),
        ("bridge", "BRIDGE=br0"),
        ("macvlan", "MACVLAN_PARENT_IFNAME=uplink"),
        ("phys", "PHYS_IFNAME=uplink"),
    ] {
        let path = format!("/etc/conf.d/netns/{nstype}-web.conf");
        machine.write(&path, &format!("{config}\nNETNS_DNS=192.0.2.53\n"))?;
        machine.run(&format!(
            "netnsupdate --quiet; systemctl start netns-{nstype}@web"
        ))?;
        let file = machine.read(FILE)?;
        ensure!(file.contains("nameserver 192.0.2.53\n"), "{nstype}: {file}");
        machine.run(&format!("systemctl stop netns-{nstype}@web"))?;
        stopped(machine)?;
        machine.run("test ! -e /etc/netns")?;
        machine.write(&path, &format!("{config}\nNETNS_DNS=nobody\n"))?;
        let fault = "NETNS_DNS=nobody: 'nobody' is not an IP address";
        misconfigured(machine, nstype, "web", fault)?;
    }
    Ok(())
}
