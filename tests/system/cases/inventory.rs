//! Units, services and processes in the output of netnsctl.

use anyhow::{Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("states_of_units", states_of_units),
    ("attached_and_stale_services", attached_and_stale_services),
];

fn up(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a")?;
    Ok(())
}

fn states_of_units(machine: &Machine) -> Result<()> {
    up(machine)?;
    machine.run("ip netns add b")?;
    let list = machine.run("netnsctl list")?.stdout;
    expect_in(&list, "t:active")?;
    expect_in(&list, "other")?;
    expect_in(&machine.run("netnsctl graph")?.stdout, "a ─ t active")?;
    let status = machine.run("netnsctl status a")?.stdout;
    expect_in(&status, "owner: systemd-netns")?;
    expect_in(
        &status,
        "netns_outside-t@a.service  active (exited), since ",
    )?;
    expect_in(&status, "peer host:h-a")?;
    expect_in(&status, "netnsinit[")?;

    machine.run("ip netns del a")?;
    let list = machine.run("netnsctl list")?.stdout;
    expect_in(&list, "missing, t:active")?;
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    let list = machine.run("netnsctl list --json")?.stdout;
    expect_in(&list, "\"name\": \"b\"")?;
    ensure!(
        !list.contains("\"name\": \"a\""),
        "a is still there: {list}"
    );
    Ok(())
}

fn attached_and_stale_services(machine: &Machine) -> Result<()> {
    up(machine)?;
    let unit = "[Service]\nNetworkNamespacePath=/run/netns/a\nExecStart=/bin/sleep infinity\n";
    machine.write("/etc/systemd/system/member.service", unit)?;
    machine.write("/etc/systemd/system/idle.service", unit)?;
    // systemd knows a unit only while something refers to it.
    machine.write(
        "/etc/systemd/system/t.target",
        "[Unit]\nWants=idle.service\n",
    )?;
    machine.run("systemctl daemon-reload; systemctl start member t.target; systemctl stop idle")?;
    expect_in(&machine.run("netnsctl list")?.stdout, "member")?;
    expect_in(&machine.run("netnsctl graph")?.stdout, "● member.service")?;
    let status = machine.run("netnsctl status a")?.stdout;
    expect_in(&status, "member.service  active, 1 process")?;
    expect_in(
        &status,
        "idle.service  inactive, no processes in the namespace",
    )?;

    machine.run("ip netns del a; ip netns add a")?;
    let status = machine.run("netnsctl status a")?.stdout;
    expect_in(&status, "Stale processes")?;
    expect_in(&status, "sleep  member.service")?;
    expect_in(
        &status,
        "member.service  active, no processes in the namespace",
    )?;
    Ok(())
}
