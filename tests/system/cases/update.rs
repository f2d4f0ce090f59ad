//! netnsupdate on a running systemd.

use anyhow::{Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    (
        "reloads_once_and_only_after_a_change",
        reloads_once_and_only_after_a_change,
    ),
    ("resets_failed_units_of_ours", resets_failed_units_of_ours),
    ("keeps_what_runs", keeps_what_runs),
    (
        "replaces_the_copies_of_the_original",
        replaces_the_copies_of_the_original,
    ),
];

/// The number of reloads of systemd since the boot.
fn reloads(machine: &Machine) -> Result<usize> {
    let journal = machine.run("journalctl --no-pager -o cat _PID=1 + SYSLOG_IDENTIFIER=systemd")?;
    // 252 and before write the first, newer ones the second.
    let reload = |line: &&str| matches!(*line, "Reloading." | "Reloading...");
    Ok(journal.stdout.lines().filter(reload).count())
}

fn reloads_once_and_only_after_a_change(machine: &Machine) -> Result<()> {
    let reloads_of = |command: &str| -> Result<usize> {
        let before = reloads(machine)?;
        machine.run(command)?;
        machine.run("journalctl --sync")?;
        Ok(reloads(machine)? - before)
    };
    for (command, expected) in [
        ("netnsupdate", 1),
        ("netnsupdate", 0),
        ("netns-update --daemon-reload", 1),
        ("echo >/etc/conf.d/netns/t.conf; netnsupdate --dry-run", 0),
        ("netnsupdate --no-reload", 0),
        ("rm /etc/conf.d/netns/t.conf; netnsupdate", 1),
        ("netnsupdate --clean", 1),
    ] {
        machine.run("mkdir -p /etc/conf.d/netns")?;
        let count = reloads_of(command)?;
        ensure!(
            count == expected,
            "{command}: {count} reloads, not {expected}"
        );
    }
    Ok(())
}

fn resets_failed_units_of_ours(machine: &Machine) -> Result<()> {
    add_type(machine, "t", "configure_t_up_outside() { false; }")?;
    machine.write(
        "/etc/systemd/system/other.service",
        "[Service]\nExecStart=/bin/false\n",
    )?;
    machine.run("systemctl daemon-reload; systemctl start netns-t@a other || :")?;
    expect_instance(machine, "t", "a", [DOWN, FAILED, DOWN])?;
    expect_states(machine, &[("other.service", FAILED)])?;
    machine.run("netnsupdate")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    expect_states(machine, &[("other.service", FAILED)])
}

fn keeps_what_runs(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a netns-t@b; rm /etc/conf.d/netns/t.conf")?;
    for command in ["netnsupdate", "netnsupdate --clean"] {
        let update = machine.try_run(command)?;
        ensure!(update.status == Some(1), "{command}: {update}");
        for name in ["netns-t@a.service", "netns-t@b.service", "--force"] {
            update.says(name)?;
        }
        machine.run("test -e /etc/systemd/system/netns-t@.service")?;
        machine.run("test -e /etc/systemd/system/netns_outside-t@.service")?;
    }
    machine.run("systemctl stop netns-t@a netns-t@b")?;
    nothing_left(machine)?;
    machine.run("netnsupdate; test ! -e /etc/systemd/system/netns-t@.service")?;
    // With --force, they are removed.
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a; netnsupdate --clean --force")?;
    machine.run("test ! -e /etc/systemd/system/netns-t@.service")?;
    Ok(())
}

/// This package takes down an instance that the shell package has brought up.
fn replaces_the_copies_of_the_original(machine: &Machine) -> Result<()> {
    machine.write("/etc/conf.d/netns/t.conf", &recording_type("t"))?;
    machine.write(
        "/etc/systemd/system/netns-t@.service",
        "[Unit]\nDescription=old\n[Service]\nType=oneshot\n\
         ExecStart=/usr/sbin/netnsinit \"%J\" \"%I\" up inside\n",
    )?;
    machine.write(
        "/etc/systemd/system/netns-gone@.service",
        "[Service]\nExecStart=/usr/sbin/netnsinit \"%J\" \"%I\" up inside\n",
    )?;
    machine.write(
        "/etc/systemd/system/netns-mine@.service",
        "[Service]\nExecStart=/bin/true\n",
    )?;
    machine.run("systemctl daemon-reload")?;
    let update = machine.run("netnsupdate")?;
    expect_in(
        &update.stdout,
        "updated /etc/systemd/system/netns-t@.service",
    )?;
    expect_in(
        &update.stdout,
        "removed /etc/systemd/system/netns-gone@.service",
    )?;
    update.says("/etc/systemd/system/netns-mine@.service was not written by netnsupdate")?;
    machine.run("test -e /etc/systemd/system/netns-mine@.service")?;
    // What the original's units leave is a namespace and functions that were called, no record.
    machine.run("ip netns add b; netnsinit t b up outside; netnsinit t b up inside; rm -r /run/systemd-netns")?;
    machine.run("netnsinit t b down inside; netnsinit t b down outside; netnsctl delete b")?;
    machine.run("systemctl start netns-t@a; systemctl stop netns-t@a")?;
    nothing_left(machine)
}
