//! Name resolution of services in namespaces.

use anyhow::{Result, ensure};

use super::attach::{service, veth};
use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("own_name_servers", own_name_servers),
    ("types_and_services_share_it", types_and_services_share_it),
    ("stub_of_resolved", stub_of_resolved),
    ("replaced_on_the_host", replaced_on_the_host),
    ("strict_dns_leaks_nothing", strict_dns_leaks_nothing),
];

/// A service that looks names up: who connects to 10.9.1.2:9000 and writes one gets the answer.
const ASK: &str = "/usr/bin/socat -t 9 TCP-LISTEN:9000,fork,reuseaddr SYSTEM:'read name; getent hosts $$name; cat /etc/resolv.conf'";

fn ask(machine: &Machine, name: &str) -> Result<String> {
    soon(machine, "ip netns exec web ss -Hltn | grep -q :9000")?;
    let asked = machine.run(&format!("echo {name} | socat -t 9 - TCP:10.9.1.2:9000"))?;
    Ok(asked.stdout)
}

/// A name server in the namespace that knows every name below `test`.
fn name_server(machine: &Machine) -> Result<()> {
    service(
        machine,
        "names",
        "/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
         --address=/test/198.51.100.7 --listen-address=127.0.0.1 --bind-interfaces --pid-file= --user=root",
    )?;
    machine.run("netnsctl attach names veth@web --dns 127.0.0.1 --now")?;
    soon(machine, "ip netns exec web ss -Hlun | grep -q 127.0.0.1:53")
}

fn own_name_servers(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    service(machine, "ask", ASK)?;
    let host = machine.read("/etc/resolv.conf")?;
    // The namespace is down, and there is no file: an empty one is created, with a warning.
    machine
        .run("netnsctl attach ask veth@web")?
        .says("/etc/netns/web/resolv.conf names no server yet")?;
    machine.run("systemctl start ask")?;
    let seen = ask(machine, "")?;
    ensure!(!seen.contains("nameserver"), "{seen}");
    // The file is written in place, so that it changes where it is mounted.
    name_server(machine)?;
    let seen = ask(machine, "www.test")?;
    expect_in(&seen, "198.51.100.7")?;
    expect_in(&seen, "nameserver 127.0.0.1")?;
    machine.run("systemctl restart netns-veth@web")?;
    expect_states(
        machine,
        &[
            ("ask.service", "active/running/success"),
            ("names.service", "active/running/success"),
        ],
    )?;
    expect_in(&ask(machine, "again.test")?, "198.51.100.7")?;
    ensure!(
        machine.read("/etc/resolv.conf")? == host,
        "the host's was touched"
    );
    machine.run("netnsctl detach ask; test -e /etc/netns/web/resolv.conf; netnsctl detach names; test ! -e /etc/netns")?;
    // Only --host-dns uses the host's file.
    machine.run("netnsctl attach ask veth@web --host-dns --now; test ! -e /etc/netns")?;
    expect_in(&ask(machine, "")?, host.trim_end())
}

fn types_and_services_share_it(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    service(machine, "ask", ASK)?;
    machine.run("echo NETNS_DNS=192.0.2.99 >>/etc/conf.d/netns/veth-web.conf")?;
    // The type has not written anything yet, and when it does, it is into the file that is bound.
    machine.run("netnsctl attach ask veth@web; systemctl start ask")?;
    expect_in(&ask(machine, "")?, "nameserver 192.0.2.99")?;
    machine.run("netnsctl attach ask veth@web --dns 2001:db8::53 --dns 192.0.2.1")?;
    let seen = ask(machine, "")?;
    for server in ["192.0.2.99", "2001:db8::53", "192.0.2.1"] {
        expect_in(&seen, &format!("nameserver {server}\n"))?;
    }
    // What the type takes out is its own, and the next start finds the file.
    machine.run("systemctl stop netns-veth@web")?;
    expect_instance(machine, "veth", "web", [DOWN, DOWN, DOWN])?;
    let left = machine.read("/etc/netns/web/resolv.conf")?;
    ensure!(
        left.contains("2001:db8::53") && !left.contains("192.0.2.99"),
        "{left}"
    );
    machine.run("systemctl start ask")?;
    expect_in(&ask(machine, "")?, "nameserver 192.0.2.99")?;
    machine.run("netnsctl detach ask")?;
    let left = machine.read("/etc/netns/web/resolv.conf")?;
    ensure!(
        left.contains("# veth@web\nnameserver 192.0.2.99\n") && !left.contains("2001"),
        "{left}"
    );
    machine.run("systemctl stop ask netns-veth@web")?;
    expect_instance(machine, "veth", "web", [DOWN, DOWN, DOWN])?;
    machine.run("test ! -e /etc/netns")?;
    Ok(())
}

fn stub_of_resolved(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    service(machine, "ask", ASK)?;
    // systemd-resolved has not started, as early at boot: the link is broken.
    machine.run("systemctl stop systemd-resolved; rm -rf /run/systemd/resolve")?;
    machine.run("ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf")?;
    machine.run("netnsctl attach ask veth@web --dns 192.0.2.99 --now")?;
    expect_in(&ask(machine, "")?, "nameserver 192.0.2.99")?;
    machine.run("test ! -e /run/systemd/resolve/stub-resolv.conf")?;
    for command in ["start", "restart"] {
        machine.run(&format!("systemctl {command} systemd-resolved"))?;
        soon(machine, "test -s /run/systemd/resolve/stub-resolv.conf")?;
        let seen = ask(machine, "")?;
        expect_in(&seen, "nameserver 192.0.2.99")?;
        ensure!(!seen.contains("127.0.0.53"), "{seen}");
    }
    machine.run("systemctl restart ask")?;
    expect_in(&ask(machine, "")?, "nameserver 192.0.2.99")
}

fn replaced_on_the_host(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    service(machine, "ask", ASK)?;
    machine.run("netnsctl attach ask veth@web --dns 192.0.2.99 --now")?;
    machine.run("systemctl is-active netns_rebind.path")?;
    expect_in(&ask(machine, "")?, "nameserver 192.0.2.99")?;
    for number in 1..=3 {
        machine.run(&format!(
            "echo nameserver 203.0.113.{number} >/etc/new; mv /etc/new /etc/resolv.conf"
        ))?;
        let mut seen = String::new();
        machine.wait_until("it sees its own file again", SOON, |machine| {
            seen = ask(machine, "")?;
            Ok(seen.contains("192.0.2.99") && !seen.contains("203.0.113"))
        })?;
    }
    machine.run("netnsctl detach ask --now")?;
    soon(machine, "! systemctl is-active --quiet netns_rebind.path")
}

/// The DNS packets that have left the host or a namespace, as printed by tcpdump.
fn packets(machine: &Machine) -> Result<String> {
    // Wait for late packets.
    let read = "sleep 0.3; tcpdump -n -r /run/names.pcap 2>/dev/null || :";
    Ok(machine.run(read)?.stdout)
}

/// Fails if there are any for a name that was looked up in the namespace. Daemons that start have questions of
/// their own, and lookups that were meant to be seen are tried again.
fn nothing_leaked(machine: &Machine, daemons: &str) -> Result<()> {
    let packets = packets(machine)?;
    let leaked = ["strict.test", "later.test"].map(|name| packets.contains(name));
    ensure!(leaked == [false; 2], "with '{daemons}':\n{packets}");
    Ok(())
}

fn capture(machine: &Machine) -> Result<()> {
    machine.run(
        "systemctl stop capture 2>/dev/null || :; rm -f /run/names.pcap
        systemd-run -q --unit capture --property=Type=exec tcpdump -U -Z root -n -i any -w /run/names.pcap \
            'port 53 or port 5353 or port 5355'",
    )?;
    soon(machine, "test -s /run/names.pcap")
}

fn strict_dns_leaks_nothing(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    name_server(machine)?;
    service(machine, "ask", ASK)?;
    // The host has a name server that never answers.
    machine.run(
        "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
        ip address add 192.0.2.1/24 dev up0; ip route add default via 192.0.2.53
        ip neighbour add 192.0.2.53 lladdr 02:00:00:00:00:53 dev up0
        echo 'nameserver 192.0.2.53\noptions timeout:1 attempts:1' | sed 's/\\\\n/\\n/' >/etc/resolv.conf
        mkdir -p /etc/systemd/resolved.conf.d
        printf '[Resolve]\\nDNS=192.0.2.53\\n' >/etc/systemd/resolved.conf.d/test.conf",
    )?;
    let runs = ["", "nscd", "systemd-resolved", "nscd systemd-resolved"];
    for (run, daemons) in runs.into_iter().enumerate() {
        machine.run("systemctl stop ask nscd systemd-resolved; rm -rf /run/systemd/resolve")?;
        if !daemons.is_empty() {
            machine.run(&format!("systemctl restart {daemons}"))?;
        }
        // The capture works: queries of the host are seen.
        capture(machine)?;
        // Another name each time: nscd also caches negative answers.
        machine.try_run(&format!("timeout 3 getent hosts control-{run}.test"))?;
        let seen = packets(machine)?;
        ensure!(seen.contains("control-"), "with '{daemons}': {seen}");
        if daemons.contains("nscd") {
            // Without --strict-dns, so are queries that the service sends through nscd.
            machine.run("netnsctl attach ask veth@web --now")?;
            soon(machine, "ip netns exec web ss -Hltn | grep -q :9000")?;
            capture(machine)?;
            let asked = machine.try_run(&format!(
                "echo loose-{run}.test | timeout 9 socat -t 9 - TCP:10.9.1.2:9000"
            ))?;
            machine
                .wait_until("nscd asks", SOON, |machine| {
                    Ok(packets(machine)?.contains("loose-"))
                })
                .map_err(|error| error.context(format!("with '{daemons}': {asked}")))?;
        }
        machine.run("netnsctl attach ask veth@web --strict-dns --now")?;
        capture(machine)?;
        let seen = ask(machine, "strict.test")?;
        expect_in(&seen, "198.51.100.7")?;
        nothing_leaked(machine, daemons)?;
        // Also when they come later, or anew.
        machine.run("systemctl restart nscd systemd-resolved")?;
        capture(machine)?;
        expect_in(&ask(machine, "later.test")?, "198.51.100.7")?;
        nothing_leaked(machine, daemons)?;
        machine.run("netnsctl detach ask")?;
    }
    Ok(())
}
