//! Helpers of all cases.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::Machine;

/// The time for systemd to stop units that are no longer needed.
pub const SOON: Duration = Duration::from_secs(10);

/// Fails unless a command line succeeds within [`SOON`].
pub fn soon(machine: &Machine, command: &str) -> Result<()> {
    machine.wait_until(command, SOON, |machine| {
        Ok(machine.try_run(command)?.status == Some(0))
    })
}

/// The units of an instance: inside, outside, and the one that creates the namespace.
pub fn units(nstype: &str, nsname: &str) -> [String; 3] {
    [
        format!("netns-{nstype}@{nsname}.service"),
        format!("netns_outside-{nstype}@{nsname}.service"),
        format!("netns_name@{nsname}.service"),
    ]
}

/// Writes `/etc/conf.d/netns/NSTYPE.conf` and runs netnsupdate.
pub fn add_type(machine: &Machine, nstype: &str, conf: &str) -> Result<()> {
    machine.write(&format!("/etc/conf.d/netns/{nstype}.conf"), conf)?;
    machine.run("netnsupdate --quiet")?;
    Ok(())
}

/// A type that creates a link and writes a line to `/run/calls` for each phase.
pub fn recording_type(nstype: &str) -> String {
    format!(
        r#"
record() {{ echo "$*" >>/run/calls; }}
configure_{nstype}_up_outside() {{
    record up outside "$@"
    ip link add "h-$1" type veth peer name "i-$1" netns "$1"
}}
configure_{nstype}_up_inside() {{ record up inside "$@"; ip link set "i-$1" up; }}
configure_{nstype}_down_inside() {{ record down inside "$@"; ip link set "i-$1" down; }}
configure_{nstype}_down_outside() {{ record down outside "$@"; ip link del "h-$1"; }}
"#
    )
}

/// Returns the recorded phases in order, separated by commas, and clears the record.
pub fn calls(machine: &Machine) -> Result<String> {
    let calls = machine
        .sh("touch /run/calls; cat /run/calls; rm /run/calls")?
        .stdout;
    Ok(calls.lines().collect::<Vec<_>>().join(", "))
}

/// The phases of a start and a stop of the instance `a`.
pub const LIFE: &str = "up outside a, up inside a, down inside a, down outside a";

/// Fails unless exactly these phases were run. Clears the record.
pub fn expect_calls(machine: &Machine, expected: &str) -> Result<()> {
    let found = calls(machine)?;
    ensure!(found == expected, "ran {found}; expected {expected}");
    Ok(())
}

/// Starts the instance `t@a` of the recording type.
pub fn start(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("systemctl start netns-t@a")?;
    expect_instance(machine, "t", "a", [UP, UP, UP])
}

/// Stops `t@a`, and checks that nothing is left.
pub fn stop(machine: &Machine) -> Result<()> {
    machine.run("systemctl stop netns-t@a")?;
    expect_instance(machine, "t", "a", [DOWN, DOWN, DOWN])?;
    nothing_left(machine)
}

/// Fails unless the instance does not start, as its configuration is at fault (exit code 6), which the log
/// of its outside part tells with `text`.
pub fn misconfigured(machine: &Machine, nstype: &str, nsname: &str, text: &str) -> Result<()> {
    machine.fails(&format!("systemctl start netns-{nstype}@{nsname}"), 1)?;
    let journal = machine.journal(&units(nstype, nsname)[1])?;
    expect_in(&journal, text)?;
    expect_in(&journal, "status=6/NOTCONFIGURED")?;
    machine.run("systemctl reset-failed")?;
    Ok(())
}

/// Fails unless `units` are in these states, written `active/sub/result`, within [`SOON`].
pub fn expect_states(machine: &Machine, expected: &[(&str, &str)]) -> Result<()> {
    let mut found = String::new();
    let outcome = machine.wait_until("the units settle", SOON, |machine| {
        found.clear();
        for (unit, _) in expected {
            found += &format!("{unit}: {}\n", machine.unit_state(unit)?);
        }
        let wanted: String = expected
            .iter()
            .map(|(unit, state)| format!("{unit}: {state}\n"))
            .collect();
        Ok(found == wanted)
    });
    outcome.map_err(|error| error.context(format!("expected {expected:?}, found\n{found}")))
}

/// Fails unless the three units of the instance are in these states within [`SOON`].
pub fn expect_instance(
    machine: &Machine,
    nstype: &str,
    nsname: &str,
    states: [&str; 3],
) -> Result<()> {
    let units = units(nstype, nsname);
    let expected: Vec<(&str, &str)> = units.iter().map(String::as_str).zip(states).collect();
    expect_states(machine, &expected)
}

pub const UP: &str = "active/exited/success";
pub const DOWN: &str = "inactive/dead/success";
pub const FAILED: &str = "failed/failed/exit-code";

/// All namespaces, links, records and running units.
pub fn left(machine: &Machine) -> Result<String> {
    let look = "
        ls -A /run/netns 2>/dev/null || :
        find /run/systemd-netns -type f 2>/dev/null || :
        ip -o link | grep -v ' lo: ' || :
        grep /run/netns/ /proc/self/mountinfo || :
        systemctl list-units --plain --no-legend --state=active,activating,deactivating 'netns*'
    ";
    Ok(machine.sh(look)?.stdout)
}

/// Fails unless nothing of that is left within [`SOON`].
pub fn nothing_left(machine: &Machine) -> Result<()> {
    comes_to(machine, "", left)
}

/// Fails unless the state of the machine is `before` again within [`SOON`].
pub fn comes_to(
    machine: &Machine,
    before: &str,
    look: fn(&Machine) -> Result<String>,
) -> Result<()> {
    let mut now = String::new();
    let outcome = machine.wait_until("it looks as before", SOON, |machine| {
        now = look(machine)?;
        Ok(now == before)
    });
    outcome.with_context(|| {
        let only_in = |text: &str, other: &str, mark: char| -> String {
            let others: Vec<&str> = other.lines().collect();
            let lines = text.lines().filter(|line| !others.contains(line));
            lines.map(|line| format!("{mark} {line}\n")).collect()
        };
        let (gone, new) = (only_in(before, &now, '-'), only_in(&now, before, '+'));
        if gone.is_empty() && new.is_empty() {
            return format!("the same lines, in another order or number:\n{before}now:\n{now}");
        }
        format!("what differs from before:\n{gone}{new}")
    })
}

/// Fails unless `text` contains `part`.
pub fn expect_in(text: &str, part: &str) -> Result<()> {
    ensure!(text.contains(part), "'{part}' is not in:\n{text}");
    Ok(())
}
