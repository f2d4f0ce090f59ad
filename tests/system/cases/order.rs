//! Requirements between instances, and published ports.

use anyhow::{Result, ensure};

use super::attach::{service, veth};
use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("requires_in_a_file", requires_in_a_file),
    ("requires_by_hand", requires_by_hand),
    ("publish", publish),
    ("publish_from_a_namespace", publish_from_a_namespace),
    ("publish_udp", publish_udp),
    ("publish_ranges", publish_ranges),
    (
        "an_interrupted_change_is_undone",
        an_interrupted_change_is_undone,
    ),
    (
        "publish_takes_back_what_fails",
        publish_takes_back_what_fails,
    ),
];

fn requires_in_a_file(machine: &Machine) -> Result<()> {
    add_type(machine, "store", &recording_type("store"))?;
    add_type(machine, "t", &recording_type("t"))?;
    machine.write(
        "/etc/conf.d/netns/t-a.conf",
        "NETNS_REQUIRES=\"netns-store@s netns_name@other\"\n",
    )?;
    machine.run("netnsupdate")?;
    machine.run("systemctl start netns-t@a")?;
    expect_instance(machine, "store", "s", [UP, UP, UP])?;
    expect_states(machine, &[("netns_name@other.service", UP)])?;
    let order = calls(machine)?;
    ensure!(
        order == "up outside s, up inside s, up outside a, up inside a",
        "{order}"
    );
    machine.run("systemctl restart netns-store@s")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    soon(machine, "test $(wc -l </run/calls) = 8")?;
    let order = calls(machine)?;
    ensure!(
        order
            == "down inside a, down outside a, down inside s, down outside s, \
                up outside s, up inside s, up outside a, up inside a",
        "{order}"
    );
    machine.run("systemctl stop netns-store@s")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    nothing_left(machine)?;
    machine.run("rm /etc/conf.d/netns/t-a.conf; netnsupdate; ! ls -d /etc/systemd/system/*.d")?;
    machine.run("systemctl start netns-t@a")?;
    expect_instance(machine, "store", "s", [DOWN, DOWN, DOWN])
}

fn requires_by_hand(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("netnsctl require t@a lo@b t@c; netnsctl require t@c netns_name@d")?;
    let cycle = machine.fails("netnsctl require lo@b t@a", 1)?;
    cycle.says("dependency cycle")?;
    cycle
        .says("t@a -> lo@b")
        .or_else(|_| cycle.says("lo@b -> t@a"))?;
    machine.run("netnsupdate; systemctl start netns-t@a")?;
    expect_instance(machine, "lo", "b", [UP, UP, UP])?;
    expect_instance(machine, "t", "c", [UP, UP, UP])?;
    expect_states(machine, &[("netns_name@d.service", UP)])?;
    machine.run("systemctl stop netns-t@a netns-t@c netns-lo@b")?;
    machine.run("netnsctl require t@a t@c --remove; systemctl start netns-t@a")?;
    expect_instance(machine, "lo", "b", [UP, UP, UP])?;
    expect_instance(machine, "t", "c", [DOWN, DOWN, DOWN])?;
    machine
        .run("netnsctl require t@a lo@b --remove; netnsctl require t@c netns_name@d --remove")?;
    machine.run("! ls -d /etc/systemd/system/*.d")?;
    Ok(())
}

/// nginx in the namespace `web`, on port 80.
fn web(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    machine.run("netnsctl attach nginx veth@web --now")?;
    soon(machine, "curl -sf http://10.9.1.2/")
}

fn publish(machine: &Machine) -> Result<()> {
    web(machine)?;
    let units = "ls /etc/systemd/system | grep -v nginx";
    let before = machine.run(units)?.stdout;
    machine.run(
        "netnsctl publish web 8080:80; netnsctl publish veth@web '[::1]:8081:80' --to 10.9.1.2",
    )?;
    machine.run("curl -sf http://127.0.0.1:8080/; curl -sf http://10.9.1.1:8080/; curl -sf http://[::1]:8080/; curl -sf http://[::1]:8081/")?;
    machine
        .fails("netnsctl publish web 8080:81", 1)?
        .says("is already published to 'web'")?;
    // It follows the namespace when it restarts, and stops with it.
    machine.run("systemctl restart netns-veth@web")?;
    soon(machine, "curl -sf http://127.0.0.1:8080/")?;
    machine.run("systemctl stop netns-veth@web; ! curl -s http://127.0.0.1:8080/")?;
    expect_instance(machine, "veth", "web", [DOWN, DOWN, DOWN])?;
    machine.run("systemctl start nginx")?;
    soon(machine, "curl -sf http://127.0.0.1:8080/")?;
    machine.run("netnsctl unpublish web 8080; netnsctl unpublish web 8081; ! curl -s http://127.0.0.1:8080/")?;
    let after = machine.run(units)?.stdout;
    ensure!(before == after, "{before}{after}");
    let left = machine
        .run("systemctl list-units --all --plain --no-legend 'netns_publish*'")?
        .stdout;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

fn publish_from_a_namespace(machine: &Machine) -> Result<()> {
    web(machine)?;
    veth(machine, "front", 2)?;
    machine.run("systemctl start netns-veth@front")?;
    machine.run("netnsctl publish web 80:80 --from front")?;
    machine.run("curl -sf http://10.9.2.2/; ip netns exec front curl -sf http://127.0.0.1/")?;
    machine.run("systemctl stop netns-veth@front; systemctl is-active nginx; systemctl start netns-veth@front")?;
    soon(machine, "curl -sf http://10.9.2.2/")?;
    machine.run("netnsctl unpublish web 80 --from front; ! curl -s http://10.9.2.2/")?;
    Ok(())
}

/// Sends a datagram to ADDRESS:PORT, on the host or after `ip netns exec NAME`, and gives the answer.
/// The socket is connected: an answer from another address would not be seen.
fn datagram(machine: &Machine, place: &str, to: &str) -> Result<String> {
    let ask = format!("echo hello | {place} timeout 5 socat -t 1 - UDP:{to}");
    Ok(machine.run(&ask)?.stdout)
}

/// A server of UDP in the namespace `quiet`, which has nothing but its loopback interface.
fn echo_server(machine: &Machine) -> Result<()> {
    service(
        machine,
        "echo",
        "/usr/bin/socat UDP4-RECVFROM:53,bind=127.0.0.1,fork SYSTEM:'echo echo; cat'",
    )?;
    machine.run("netnsupdate; netnsctl attach echo lo@quiet --now")?;
    soon(machine, "ip netns exec quiet ss -Hlun | grep -q :53")
}

fn publish_udp(machine: &Machine) -> Result<()> {
    echo_server(machine)?;
    veth(machine, "front", 2)?;
    machine.run("systemctl start netns-veth@front; ip address add 10.9.2.9/24 dev $(ip -o -4 route get 10.9.2.2 | grep -o 'dev [^ ]*' | cut -d' ' -f2)")?;
    let units = "find /etc/systemd/system | sort";
    let before = machine.run(units)?.stdout;
    machine
        .run("netnsctl publish quiet 8053:53/udp; netnsctl publish quiet 127.0.0.1:8054:53/udp")?;
    for to in [
        "127.0.0.1:8053",
        "10.9.2.1:8053",
        "10.9.2.9:8053",
        "[::1]:8053",
        "127.0.0.1:8054",
    ] {
        let answer = datagram(machine, "", to)?;
        ensure!(answer == "echo\nhello\n", "{to}: {answer}");
    }
    // As from another machine, and only at the given address.
    let answer = datagram(machine, "ip netns exec front", "10.9.2.9:8053")?;
    ensure!(answer == "echo\nhello\n", "{answer}");
    let other = machine.run("ss -Hlun sport = :8054")?.stdout;
    ensure!(
        other.contains("127.0.0.1:8054") && other.lines().count() == 1,
        "{other}"
    );
    machine.run("netnsctl publish quiet 8053:53/udp --from front")?;
    let answer = datagram(machine, "ip netns exec front", "127.0.0.1:8053")?;
    ensure!(answer == "echo\nhello\n", "{answer}");
    // It follows the namespace, and a reboot changes nothing.
    machine.run("systemctl restart netns-lo@quiet")?;
    soon(
        machine,
        "ip netns exec quiet ss -Hlun | grep -q :53 && ss -Hlun | grep -q :8053",
    )?;
    ensure!(datagram(machine, "", "127.0.0.1:8053")? == "echo\nhello\n");
    machine.run("netnsctl gc; netnsctl status quiet; systemctl stop netns-lo@quiet")?;
    soon(machine, "! ss -Hlun | grep -q :805")?;
    machine.run("systemctl enable netns-lo@quiet")?;
    machine.reboot()?;
    soon(machine, "systemctl start echo && ss -Hlun | grep -q :8053")?;
    soon(
        machine,
        "echo hello | timeout 5 socat -t 1 - UDP:127.0.0.1:8053 | grep -q hello",
    )?;
    machine.run(
        "netnsctl unpublish quiet 8053/udp; netnsctl unpublish quiet 8054/udp
        netnsctl unpublish quiet 8053/udp --from front; systemctl disable netns-lo@quiet",
    )?;
    let after = machine.run(units)?.stdout;
    ensure!(before == after, "{before}{after}");
    soon(machine, "! ss -Hlun | grep -q :805; ! pgrep -x netnsctl")
}

fn publish_ranges(machine: &Machine) -> Result<()> {
    echo_server(machine)?;
    web(machine)?;
    let units = "find /etc/systemd/system | sort";
    let before = machine.run(units)?.stdout;
    machine
        .run("netnsctl publish quiet 8050-8053:50-53/udp; netnsctl publish web 8078-8080:78-80")?;
    ensure!(datagram(machine, "", "[::1]:8053")? == "echo\nhello\n");
    machine.run("curl -sf http://127.0.0.1:8080/; ! curl -s http://127.0.0.1:8079/")?;
    let listening = machine.run("ss -Hln | grep -c ':80[578]'")?.stdout;
    ensure!(listening.trim() == "7", "{listening}");
    machine.run("netnsctl unpublish quiet 8050-8053/udp; netnsctl unpublish web 8078-8080")?;
    let after = machine.run(units)?.stdout;
    ensure!(before == after, "{before}{after}");
    Ok(())
}

/// After a verb was killed at any time, the next one undoes its changes, so that it can be run again.
fn an_interrupted_change_is_undone(machine: &Machine) -> Result<()> {
    veth(machine, "web", 1)?;
    service(machine, "s", "/bin/sleep infinity")?;
    machine.run("systemctl start netns-veth@web")?;
    let state = "(find /etc/systemd /etc/netns 2>/dev/null || :) | sort; systemctl list-units --no-legend 'netns_publish*'";
    let pairs = [
        ("attach s veth@web --strict-dns --dns 192.0.2.1", "detach s"),
        ("publish web 8080-8082:80-82", "unpublish web 8080-8082"),
        (
            "require veth@web lo@other",
            "require veth@web lo@other --remove",
        ),
    ];
    for (make, undo) in pairs {
        let before = machine.run(state)?.stdout;
        machine.run(&format!("netnsctl {make}"))?;
        let after = machine.run(state)?.stdout;
        for delay in ["0.005", "0.02", "0.05", "0.1", "0.2", "0.4"] {
            machine.run(&format!(
                "timeout -s KILL {delay} netnsctl {undo} || :; netnsctl {undo} || test {delay} != 0.005"
            ))?;
            let now = machine.run(state)?.stdout;
            ensure!(now == before, "{undo}, {delay}: {before}then\n{now}");
            machine.run(&format!(
                "timeout -s KILL {delay} netnsctl {make} || :; netnsctl {make} || test {delay} != 0.005"
            ))?;
            let now = machine.run(state)?.stdout;
            ensure!(now == after, "{make}, {delay}: {after}then\n{now}");
        }
        machine.run(&format!("netnsctl {undo}"))?;
    }
    Ok(())
}

fn publish_takes_back_what_fails(machine: &Machine) -> Result<()> {
    web(machine)?;
    machine.run("systemd-run -q --property=Type=exec socat TCP-LISTEN:8080,fork PIPE")?;
    soon(machine, "ss -Hltn | grep -q :8080")?;
    let units = "find /etc/systemd/system | sort";
    let before = machine.run(units)?.stdout;
    let refused = machine.fails("netnsctl publish web 8080:80", 1)?;
    refused.says("cannot listen")?;
    ensure!(refused.stderr.lines().count() == 1, "{refused}");
    let after = machine.run(units)?.stdout;
    ensure!(before == after, "{after}");
    Ok(())
}
