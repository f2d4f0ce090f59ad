//! Failures in each phase leave nothing behind.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("up_outside_fails", up_outside_fails),
    ("up_inside_fails", up_inside_fails),
    ("down_inside_fails", down_inside_fails),
    ("down_outside_fails", down_outside_fails),
    ("start_takes_too_long", start_takes_too_long),
    ("stopped_while_it_starts", stopped_while_it_starts),
    ("killed", killed),
    ("unknown_type", unknown_type),
    ("config_is_gone_before_start", config_is_gone_before_start),
    ("config_is_gone_while_up", config_is_gone_while_up),
    ("config_is_broken_while_up", config_is_broken_while_up),
    (
        "namespace_deleted_behind_its_back",
        namespace_deleted_behind_its_back,
    ),
    (
        "namespace_replaced_behind_its_back",
        namespace_replaced_behind_its_back,
    ),
    (
        "restart_of_a_deleted_namespace",
        restart_of_a_deleted_namespace,
    ),
    ("namespace_exists_already", namespace_exists_already),
    ("sandboxed_by_a_drop_in", sandboxed_by_a_drop_in),
    ("untrusted_file", untrusted_file),
    ("upgraded_while_up", upgraded_while_up),
    ("killed_last_resort", killed_last_resort),
    ("clean_up_unit_stays_loaded", clean_up_unit_stays_loaded),
];

/// The recording type, with a command appended to the function of one phase.
fn type_failing_in(phase: &str) -> String {
    let function = format!("configure_t_{phase}");
    recording_type("t")
        + &format!(
            "eval \"ok_$(declare -f {function})\"\n{function}() {{ ok_{function} \"$@\"; false; }}\n"
        )
}

/// The log of `t@a`, which must not start.
fn start_fails(machine: &Machine) -> Result<String> {
    machine.fails("systemctl start netns-t@a", 1)?;
    units("t", "a")
        .iter()
        .map(|unit| machine.journal(unit))
        .collect()
}

fn recovers(machine: &Machine) -> Result<()> {
    calls(machine)?;
    start(machine)?;
    stop(machine)
}

fn up_outside_fails(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &type_failing_in("up_outside"))?;
    let log = start_fails(machine)?;
    expect_in(
        &log,
        "configure_t_up_outside failed with status 1 at /etc/conf.d/netns/t.conf:",
    )?;
    expect_instance(machine, "t", "a", [DOWN, FAILED, DOWN])?;
    expect_calls(machine, "up outside a, down outside a")?;
    nothing_left(machine)?;
    recovers(machine)
}

fn up_inside_fails(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &type_failing_in("up_inside"))?;
    let log = start_fails(machine)?;
    expect_in(
        &log,
        "configure_t_up_inside failed with status 1 at /etc/conf.d/netns/t.conf:",
    )?;
    expect_instance(machine, "t", "a", [FAILED, DOWN, DOWN])?;
    expect_calls(machine, LIFE)?;
    nothing_left(machine)?;
    recovers(machine)
}

fn down_inside_fails(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &type_failing_in("down_inside"))?;
    machine.run("systemctl start netns-t@a; systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [FAILED, DOWN, DOWN])?;
    expect_calls(machine, LIFE)?;
    nothing_left(machine)?;
    recovers(machine)
}

fn down_outside_fails(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &type_failing_in("down_outside"))?;
    machine.run("systemctl start netns-t@a; systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, FAILED, DOWN])?;
    expect_calls(machine, LIFE)?;
    // The files for another `down` are kept until it succeeds.
    machine.sh(
        "test -e /run/systemd-netns/instances/t@a/outside; rm -r /run/systemd-netns/instances/t@a",
    )?;
    nothing_left(machine)?;
    recovers(machine)
}

fn start_takes_too_long(machine: &Machine) -> Result<()> {
    let slow = recording_type("t") + "configure_t_up_inside() { record slow; sleep 1000; }\n";
    add_type(machine, "t", &slow)?;
    machine.write(
        "/etc/systemd/system/netns-t@.service.d/time.conf",
        "[Service]\nTimeoutStartSec=1\n",
    )?;
    machine.run("systemctl daemon-reload")?;
    let log = start_fails(machine)?;
    expect_in(&log, "configure_t_up_inside was ended by SIGTERM")?;
    expect_instance(machine, "t", "a", ["failed/failed/timeout", DOWN, DOWN])?;
    expect_calls(machine, "up outside a, slow, down inside a, down outside a")?;
    machine.run("! pgrep -f '[s]leep 1000'")?;
    nothing_left(machine)
}

fn stopped_while_it_starts(machine: &Machine) -> Result<()> {
    let slow = recording_type("t") + "configure_t_up_inside() { record slow; sleep 1000; }\n";
    add_type(machine, "t", &slow)?;
    machine.run("systemctl start --no-block netns-t@a")?;
    called(machine, "slow")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [FAILED, DOWN, DOWN])?;
    expect_calls(machine, "up outside a, slow, down inside a, down outside a")?;
    machine.run("! pgrep -f '[s]leep 1000'")?;
    nothing_left(machine)
}

/// Another type keeps the namespace, whose deletion would also clean up.
fn killed(machine: &Machine) -> Result<()> {
    for (phase, expected) in [
        ("up_outside", "up outside a, down outside a"),
        ("up_inside", LIFE),
    ] {
        let kill = format!(
            "configure_t_{phase}() {{ ok_configure_t_{phase} \"$@\"; kill -KILL $PPID $$; }}\n"
        );
        add_type(machine, "t", &(type_failing_in(phase) + &kill))?;
        machine.run("systemctl start netns-lo@a")?;
        start_fails(machine)?;
        called(machine, "down outside")?;
        machine.run("systemctl stop netns-lo@a")?;
        expect_calls(machine, expected)?;
        nothing_left(machine)?;
    }
    recovers(machine)
}

/// Waits until a function has recorded this.
fn called(machine: &Machine, what: &str) -> Result<()> {
    machine.wait_until(what, Duration::from_secs(10), |machine| {
        let found = machine.try_run(&format!("grep -q '^{what}' /run/calls"))?;
        Ok(found.status == Some(0))
    })
}

fn unknown_type(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate")?;
    machine
        .fails("systemctl start netns-nosuch@a", 5)?
        .says("not found")?;
    nothing_left(machine)
}

fn config_is_gone_before_start(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("rm /etc/conf.d/netns/t.conf")?;
    let log = start_fails(machine)?;
    expect_in(
        &log,
        "unknown NSTYPE 't': there is no /etc/conf.d/netns/t.sh",
    )?;
    let status = machine
        .run("systemctl show --value -p ExecMainStatus netns_outside-t@a")?
        .stdout;
    ensure!(status.trim() == "6", "it ended with {status}");
    expect_instance(machine, "t", "a", [DOWN, FAILED, DOWN])?;
    nothing_left(machine)
}

fn config_is_gone_while_up(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a; rm /etc/conf.d/netns/t.conf")?;
    // netnsupdate before the stop makes no difference.
    machine.fails("netnsupdate", 1)?.says("netns-t@a.service")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    expect_calls(machine, LIFE)?;
    nothing_left(machine)?;
    machine.run("netnsupdate; test ! -e /etc/systemd/system/netns-t@.service")?;
    Ok(())
}

fn config_is_broken_while_up(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a; echo 'if then' >>/etc/conf.d/netns/t.conf")?;
    stop(machine)?;
    let log = start_fails(machine)?;
    expect_in(&log, "syntax error in /etc/conf.d/netns/t.conf")?;
    nothing_left(machine)
}

fn namespace_deleted_behind_its_back(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a; ip netns del a")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    expect_calls(machine, LIFE)?;
    nothing_left(machine)?;
    recovers(machine)
}

/// A namespace that somebody else has created in the meantime is neither changed nor deleted.
fn namespace_replaced_behind_its_back(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a; ip netns del a; ip netns add a")?;
    machine.run("ip -n a link add i-a type veth; ip -n a link set i-a up")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    machine.run("ip -n a link show i-a up | grep i-a")?;
    machine.run("ip netns del a")?;
    nothing_left(machine)
}

/// netns_name@ is not started again then, because it stays needed.
fn restart_of_a_deleted_namespace(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a netns-lo@a")?;
    for _ in 0..2 {
        machine.run("ip netns del a; systemctl restart netns-t@a")?;
        expect_instance(machine, "t", "a", [UP, UP, UP])?;
        machine.run("ip -n a link show i-a up | grep i-a; ip link show h-a")?;
        machine.run("systemctl restart netns-lo@a; ip netns exec a ping -c 1 -W 1 127.0.0.1")?;
    }
    machine.run("ip netns del a; ip netns add a; ip -n a link add theirs type bridge")?;
    machine.run("systemctl restart netns-t@a")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])?;
    machine.run("ip -n a link show i-a; systemctl stop netns-t@a netns-lo@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    // We do not delete it.
    machine.run("ip -n a link show theirs; ip netns del a")?;
    nothing_left(machine)?;
    recovers(machine)
}

fn namespace_exists_already(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("ip netns add a; ip -n a link add mine type veth")?;
    let log = start_fails(machine)?;
    expect_in(&log, "network namespace 'a' already exists")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, FAILED])?;
    machine.run("ip -n a link show mine; ip netns del a")?;
    ensure!(calls(machine)?.is_empty(), "a function was called");
    nothing_left(machine)?;
    machine.run("systemctl reset-failed")?;
    recovers(machine)
}

fn sandboxed_by_a_drop_in(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.write(
        "/etc/systemd/system/netns_name@.service.d/sandbox.conf",
        "[Service]\nProtectSystem=yes\n",
    )?;
    machine.run("systemctl daemon-reload")?;
    let log = start_fails(machine)?;
    expect_in(&log, "systemd would not see it")?;
    machine.run("rm -r /etc/systemd/system/netns_name@.service.d; systemctl daemon-reload")?;
    nothing_left(machine)?;
    recovers(machine)
}

fn untrusted_file(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("chmod o+w /etc/conf.d/netns/t.conf")?;
    let log = start_fails(machine)?;
    expect_in(&log, "run 'chmod go-w /etc/conf.d/netns/t.conf'")?;
    nothing_left(machine)?;
    machine.run("chmod go-w /etc/conf.d/netns/t.conf")?;
    recovers(machine)
}

/// Records of older releases do not contain the owner, and the shell package writes none.
fn upgraded_while_up(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    for forget in [
        "sed -i '1s/ by systemd$//' /run/systemd-netns/instances/t@a/*; rm -r /run/systemd-netns/by-systemd",
        "umount /run/systemd-netns/namespaces/a; rm -r /run/systemd-netns",
    ] {
        for next in ["restart", "stop"] {
            machine.run("systemctl start netns-t@a")?;
            machine.run(forget)?;
            machine.run(&format!(
                "systemctl daemon-reload; systemctl {next} netns-t@a"
            ))?;
            machine.run("systemctl stop netns-t@a")?;
            expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
            nothing_left(machine)?;
        }
    }
    recovers(machine)
}

/// If the clean-up is killed, too, gc finds the leftovers, and so does the next start.
fn killed_last_resort(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    for (unit, setting) in [
        ("netns-t@", "ExecStop"),
        ("netns_outside-t@", "ExecStop"),
        ("netns_name@", "ExecStop"),
        ("netns_undo", "ExecStart"),
    ] {
        let die = format!("[Service]\n{setting}=\n{setting}=/bin/sh -c 'kill -KILL $$$$'\n");
        machine.write(&format!("/root/die/{unit}.service.d/die.conf"), &die)?;
    }
    for clean_up in [
        "netnsctl gc",
        "systemctl start netns-t@a; systemctl stop netns-t@a",
    ] {
        machine.run("cp -r /root/die/. /run/systemd/system; systemctl daemon-reload")?;
        machine.run("systemctl start netns-t@a; systemctl stop netns-t@a")?;
        machine.wait_until("all units have failed", SOON, |machine| {
            let failed = "systemctl list-units --plain --no-legend --state=failed 'netns*' | wc -l";
            Ok(machine.run(failed)?.stdout.trim() == "4")
        })?;
        machine.run("test -e /run/netns/a; systemctl reset-failed")?;
        machine.run("rm /run/systemd/system/*/die.conf; systemctl daemon-reload")?;
        machine.run(clean_up)?;
        nothing_left(machine)?;
    }
    Ok(())
}

/// Otherwise systemd loads it with each unit that refers to it, and unloads it again.
fn clean_up_unit_stays_loaded(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a; systemctl stop netns-t@a")?;
    machine.wait_until("netns_name@a is unloaded", SOON, |machine| {
        let units = machine.run("systemctl list-units --all --plain --no-legend 'netns*'")?;
        Ok(!units.stdout.contains("netns_name@a"))
    })?;
    // `systemctl show` would load it.
    let undo = "systemctl list-units --all --plain --no-legend | grep -E '^netns_undo.service +loaded +inactive'";
    machine.run(undo).map(drop)
}
