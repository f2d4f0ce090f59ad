//! An instance from start to stop, with the commands that administrators use.

use anyhow::{Context, Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("start_and_stop", start_and_stop),
    ("restart", restart),
    ("enable_and_reboot", enable_and_reboot),
    ("two_types_share_a_name", two_types_share_a_name),
    ("hyphens_in_the_name", hyphens_in_the_name),
    ("escaped_name_is_refused", escaped_name_is_refused),
    (
        "helpers_cannot_be_started_by_hand",
        helpers_cannot_be_started_by_hand,
    ),
    ("joins_namespace_of", joins_namespace_of),
    ("hundred_at_once", hundred_at_once),
    ("units_are_sound", units_are_sound),
    ("inside_sees_the_namespace", inside_sees_the_namespace),
    ("veth_of_the_library", veth_of_the_library),
];

fn start_and_stop(machine: &Machine) -> Result<()> {
    start(machine)?;
    machine.run("systemctl is-active netns-t@a; ip -n a link show i-a; ip link show h-a")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    expect_calls(machine, LIFE)?;
    nothing_left(machine)
}

fn restart(machine: &Machine) -> Result<()> {
    start(machine)?;
    let namespace = "stat -L -c %i /run/netns/a";
    let before = machine.run(namespace)?.stdout;
    calls(machine)?;
    for _ in 0..3 {
        machine.run("systemctl restart netns-t@a")?;
        expect_instance(machine, "t", "a", [UP, UP, UP])?;
        expect_calls(
            machine,
            "down inside a, down outside a, up outside a, up inside a",
        )?;
    }
    // The name is needed all the time: services that were bound to the namespace keep theirs.
    let after = machine.run(namespace)?.stdout;
    ensure!(
        before == after,
        "the namespace was {before}, and is {after}"
    );
    machine.run("systemctl stop netns-t@a")?;
    nothing_left(machine)
}

fn enable_and_reboot(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl enable netns-t@a netns-t@vm-001")?;
    machine.reboot()?;
    for name in ["a", "vm-001"] {
        expect_instance(machine, "t", name, [UP, UP, UP])?;
    }
    machine.run("systemctl disable --now netns-t@a netns-t@vm-001")?;
    nothing_left(machine)?;
    machine.reboot()?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])
}

fn two_types_share_a_name(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-lo@a netns-t@a")?;
    expect_instance(machine, "lo", "a", [UP, UP, UP])?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    let links = machine.run("ip -n a -br link")?.stdout;
    expect_in(&links, "i-a")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, UP])?;
    expect_instance(machine, "lo", "a", [UP, UP, UP])?;
    machine.run("ip netns exec a ping -c 1 -W 1 127.0.0.1")?;
    machine.run("systemctl stop netns-lo@a")?;
    nothing_left(machine)
}

fn hyphens_in_the_name(machine: &Machine) -> Result<()> {
    add_type(
        machine,
        "t",
        "configure_t_up_inside() { echo \"$1 $X\" >>/run/calls; }",
    )?;
    for name in ["vm-001", "a-b-c", "x.y_z:1"] {
        machine.write(
            &format!("/etc/conf.d/netns/t-{name}.conf"),
            &format!("X={name}!"),
        )?;
        machine.run(&format!("systemctl start netns-t@{name}"))?;
        expect_instance(machine, "t", name, [UP, UP, UP])?;
        let calls = calls(machine)?;
        ensure!(calls == format!("{name} {name}!"), "{calls}");
        machine.run(&format!("systemctl stop netns-t@{name}"))?;
    }
    nothing_left(machine)
}

fn escaped_name_is_refused(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.fails(r"systemctl start 'netns-t@vm\x2d001'", 1)?;
    let journal = machine.journal(r"netns_name@vm\x2d001.service")?;
    expect_in(&journal, "use the plain name")?;
    machine.run("systemctl reset-failed")?;
    ensure!(calls(machine)?.is_empty(), "a function was called");
    nothing_left(machine)
}

fn helpers_cannot_be_started_by_hand(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    for unit in ["netns_outside-t@a", "netns_name@a"] {
        let why = "may be requested by dependency only";
        machine
            .fails(&format!("systemctl start {unit}"), 4)?
            .says(why)?;
    }
    nothing_left(machine)
}

/// The drop-in that users of the shell package have written for their services.
fn joins_namespace_of(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.write(
        "/etc/systemd/system/web.service",
        "[Service]\nExecStart=/bin/sleep 1000\n",
    )?;
    machine.write(
        "/etc/systemd/system/web.service.d/netns.conf",
        "[Unit]\nRequires=netns-t@a.service\nAfter=netns-t@a.service\n\
         JoinsNamespaceOf=netns-t@a.service\n[Service]\nPrivateNetwork=yes\n",
    )?;
    machine.run("systemctl daemon-reload; systemctl start web")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    machine.sh("pid=$(systemctl show --value -p MainPID web)
         test /proc/$pid/ns/net -ef /run/netns/a
         nsenter -t $pid -n ip link show i-a")?;
    // With Requires=, the service stops with the namespace.
    machine.run("systemctl stop netns-t@a")?;
    expect_states(machine, &[("web.service", DOWN)])?;
    nothing_left(machine)
}

fn hundred_at_once(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.sh("systemctl start $(printf 'netns-t@n%d ' {1..100})")?;
    let count = machine
        .run("ls /run/netns | wc -l; ip -o link | grep -c h-n")?
        .stdout;
    ensure!(count == "100\n100\n", "{count}");
    // Two concurrent first starts used to mount the directory over itself repeatedly.
    let mounts = machine
        .run("grep -c ' /run/netns ' /proc/self/mountinfo")?
        .stdout;
    ensure!(mounts.trim() == "1", "/run/netns is mounted {mounts} times");
    let broken = machine.sh("for n in {1..100}; do ip -n n$n link show i-n$n >/dev/null; done")?;
    ensure!(
        broken.stderr.contains("ip -n n100"),
        "not all were looked at"
    );
    machine.sh("systemctl stop $(printf 'netns-t@n%d ' {1..100})")?;
    nothing_left(machine)?;
    let failed = machine
        .run("systemctl list-units --failed --no-legend --plain")?
        .stdout;
    ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

fn units_are_sound(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    let units = units("lo", "a");
    let verify = machine.run(&format!(
        "systemd-analyze verify --man=no {}",
        units.join(" ")
    ))?;
    let said = verify.stdout + &verify.stderr;
    ensure!(said.is_empty(), "systemd-analyze verify: {said}");
    for unit in units {
        let shown = format!("systemctl show --value -p TimeoutStartUSec {unit}");
        let bound = machine.run(&shown)?.stdout;
        ensure!(bound.trim() == "5min", "{unit} may take {bound} to start");
    }
    Ok(())
}

fn inside_sees_the_namespace(machine: &Machine) -> Result<()> {
    machine.write("/etc/netns/a/resolv.conf", "nameserver 192.0.2.53\n")?;
    machine.write("/etc/resolv.conf", "nameserver 192.0.2.1\n")?;
    add_type(
        machine,
        "t",
        "see() { ls /sys/class/net | xargs; cat /etc/resolv.conf; readlink /proc/self/ns/net; }
         configure_t_up_inside() { see >/run/inside; ip link add only-here type veth; ls /sys/class/net >>/run/inside; }
         configure_t_up_outside() { see >/run/outside; }",
    )?;
    machine.run("systemctl start netns-t@a")?;
    let inside = machine.read("/run/inside")?;
    for part in ["lo\nnameserver 192.0.2.53\n", "only-here"] {
        expect_in(&inside, part)?;
    }
    let outside = machine.read("/run/outside")?;
    expect_in(&outside, "lo\nnameserver 192.0.2.1\n")?;
    let host = machine
        .run("readlink /proc/1/ns/net; cat /etc/resolv.conf")?
        .stdout;
    for line in host.lines() {
        expect_in(&outside, line)?;
        ensure!(!inside.contains(line), "{line} is seen inside");
    }
    machine.run("systemctl stop netns-t@a")?;
    nothing_left(machine)
}

fn veth_of_the_library(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/conf.d/netns/veth-demo.conf",
        "VETH_IFADDR_OUTSIDE=(192.0.2.1/30 '2001:db8::1/64 nodad')\n\
         VETH_IFADDR_INSIDE=(192.0.2.2/30 '2001:db8::2/64 nodad')\n\
         VETH_MAC_INSIDE=02:00:00:00:00:02 VETH_MTU=1400\n\
         VETH_GATEWAY='192.0.2.1 2001:db8::1'\n",
    )?;
    machine.run("netnsupdate; systemctl start netns-veth@demo")?;
    machine.sh("ping -c 1 -W 2 192.0.2.2; ping -c 1 -W 2 2001:db8::2
         ip netns exec demo ping -c 1 -W 2 127.0.0.1
         ip -n demo link show ve-demo1 | grep 'mtu 1400'
         ip -n demo link show ve-demo1 | grep 02:00:00:00:00:02
         ip -n demo route | grep 'default via 192.0.2.1'
         ip -n demo -6 route | grep 'default via 2001:db8::1'")?;
    machine.run("systemctl restart netns-veth@demo; ping -c 1 -W 2 192.0.2.2")?;
    machine.run("systemctl stop netns-veth@demo")?;
    nothing_left(machine)?;
    for (line, names) in [
        (
            "VETH_IFADDR_INSIDE=192.0.2.300/30",
            "VETH_IFADDR_INSIDE=192.0.2.300/30",
        ),
        (
            "unset VETH_IFADDR_OUTSIDE",
            "Variable VETH_IFADDR_OUTSIDE is not set!",
        ),
        (
            "VETH_IFNAME_INSIDE=longer-than-fifteen",
            "VETH_IFNAME_INSIDE=longer-than-fifteen",
        ),
        ("VETH_MAC_INSIDE=1:2", "VETH_MAC_INSIDE=1:2"),
        ("VETH_NSNAME_OUTSIDE=nowhere", "VETH_NSNAME_OUTSIDE=nowhere"),
    ] {
        machine.sh(&format!("echo '{line}' >>/etc/conf.d/netns/veth-demo.conf"))?;
        misconfigured(machine, "veth", "demo", names).with_context(|| format!("with {line}"))?;
        machine.run("sed -i '$d' /etc/conf.d/netns/veth-demo.conf")?;
        nothing_left(machine)?;
    }
    Ok(())
}
