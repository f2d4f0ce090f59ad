//! The test machines: properties that all other tests rely on.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("a_failed_unit_tells_why", a_failed_unit_tells_why),
    ("boots_to_running", boots_to_running),
    ("reboot_keeps_a_file", reboot_keeps_a_file),
    ("two_machines_are_apart", two_machines_are_apart),
    (
        "sysfs_belongs_to_the_namespace",
        sysfs_belongs_to_the_namespace,
    ),
];

fn boots_to_running(machine: &Machine) -> Result<()> {
    let state = machine.run("systemctl is-system-running")?;
    ensure!(state.stdout.trim() == "running", "{}", state.stdout);
    let version = machine.run("systemctl --version")?.stdout;
    let expected = match machine.suite() {
        "bullseye" => "systemd 247 ",
        "bookworm" => "systemd 252 ",
        "trixie" => "systemd 257 ",
        _ => "systemd ",
    };
    ensure!(version.starts_with(expected), "it runs {version}");
    Ok(())
}

fn a_failed_unit_tells_why(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/systemd/system/fails.service",
        "[Service]\nType=oneshot\nExecStart=sh -c 'sleep 0.2; echo because; exit 3'\n",
    )?;
    machine.run("systemctl start --no-block fails.service")?;
    machine.wait_until("fails.service fails", Duration::from_secs(10), |machine| {
        Ok(machine.unit_state("fails.service")?.to_string() == "failed/failed/exit-code")
    })?;
    let journal = machine.journal("fails.service")?;
    ensure!(journal.contains("because"), "its journal: {journal}");
    Ok(())
}

fn reboot_keeps_a_file(machine: &Machine) -> Result<()> {
    machine.write("/etc/netns-test/kept", "as it was\n")?;
    let boot = "journalctl --list-boots --no-pager | tail -n 1; cat /proc/1/stat | cut -d' ' -f22";
    let before = machine.sh(boot)?.stdout;
    machine.reboot()?;
    ensure!(machine.sh(boot)?.stdout != before, "it did not reboot");
    let kept = machine.read("/etc/netns-test/kept")?;
    ensure!(kept == "as it was\n", "the file holds {kept:?}");
    Ok(())
}

fn two_machines_are_apart(machine: &Machine) -> Result<()> {
    let other = machine.another()?;
    other.run("systemd-run --quiet --unit=apart sleep 4242")?;
    other.run("pgrep -f 'sleep 4242'")?;
    let seen = machine.try_run("pgrep -f 'sleep 4242'")?;
    ensure!(
        seen.status == Some(1),
        "the other machine's process: {seen}"
    );
    // Also for control groups, which machines of the same caller could share.
    let groups = machine.run("find /sys/fs/cgroup -name 'apart*'")?;
    ensure!(groups.stdout.is_empty(), "the other's: {}", groups.stdout);
    Ok(())
}

fn sysfs_belongs_to_the_namespace(machine: &Machine) -> Result<()> {
    machine.sh("ip netns add foo
         ip -n foo link add inner0 type veth peer name inner1
         ip link add outer0 type veth peer name outer1")?;
    let inside = machine.run("ip netns exec foo ls /sys/class/net")?.stdout;
    ensure!(
        inside.split_whitespace().collect::<Vec<_>>() == ["inner0", "inner1", "lo"],
        "in the namespace: {inside:?}"
    );
    let outside = machine.run("ls /sys/class/net")?.stdout;
    ensure!(
        outside.split_whitespace().collect::<Vec<_>>() == ["lo", "outer0", "outer1"],
        "outside of it: {outside:?}"
    );
    Ok(())
}
