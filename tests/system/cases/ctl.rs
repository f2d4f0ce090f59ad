//! The verbs of netnsctl that control units, and those that show namespaces of systemd.

use anyhow::{Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("up_and_down", up_and_down),
    ("types_share", types_share),
    ("up_fails", up_fails),
    ("down_fails", down_fails),
    ("up_refuses", up_refuses),
    ("progress_on_a_terminal", progress_on_a_terminal),
    ("many_ups_and_downs_at_once", many_ups_and_downs_at_once),
    ("new_type_to_namespace", new_type_to_namespace),
    ("exec_as_a_user", exec_as_a_user),
    ("gc_removes_leftovers_only", gc_removes_leftovers_only),
];

/// Checks states immediately after a command has returned.
fn nothing_left_now(machine: &Machine) -> Result<()> {
    let left = left(machine)?;
    ensure!(left.is_empty(), "left behind:\n{left}");
    Ok(())
}

fn up_and_down(machine: &Machine) -> Result<()> {
    // netnsupdate has not been run for it.
    machine.write("/etc/conf.d/netns/t.conf", &recording_type("t"))?;
    let up = machine.run("netnsctl up t@vm-001")?;
    up.says("netnsctl: NSTYPE t has no units yet")?;
    up.says("netnsctl: t@vm-001 is up")?;
    expect_instance(machine, "t", "vm-001", [UP, UP, UP])?;
    let again = machine.run("netnsctl up t@vm-001")?;
    again.says("t@vm-001 is already up")?;
    machine.run("netnsctl exec vm-001 -- ip link show i-vm-001")?;
    let down = machine.run("netnsctl down t@vm-001")?;
    down.says("netnsctl: t@vm-001 is down")?;
    nothing_left_now(machine)?;
    expect_calls(
        machine,
        "up outside vm-001, up inside vm-001, down inside vm-001, down outside vm-001",
    )?;
    let again = machine.run("netnsctl down t@vm-001")?;
    again.says("t@vm-001 is not up")
}

fn types_share(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("netnsctl up t@a; netnsctl up lo@a; ip -n a link show i-a")?;
    let id = machine.run("stat -c %i /run/netns/a")?.stdout;
    machine.run("netnsctl down t@a")?;
    ensure!(machine.run("stat -c %i /run/netns/a")?.stdout == id);
    expect_instance(machine, "lo", "a", [UP, UP, UP])?;
    machine.run("! ip link show h-a")?;
    machine.run("netnsctl down lo@a")?;
    nothing_left_now(machine)
}

fn up_fails(machine: &Machine) -> Result<()> {
    let failing = recording_type("t") + "configure_t_up_inside() { echo tell-tale; exit 9; }\n";
    add_type(machine, "t", &failing)?;
    let up = machine.fails("netnsctl up t@a", 9)?;
    for part in [
        "netnsctl: netns-t@a failed (exit-code):",
        "    tell-tale",
        "configure_t_up_inside failed with status 9 at /etc/conf.d/netns/t.conf:",
        "netnsctl: could not bring up t@a",
    ] {
        up.says(part)?;
    }
    nothing_left_now(machine)?;
    // The log does not include that of the previous failure.
    let failing =
        recording_type("t") + "configure_t_up_outside() { ip link add h-a type bridge; exit 7; }\n";
    add_type(machine, "t", &failing)?;
    let up = machine.fails("netnsctl up t@a", 7)?;
    up.says("netns_outside-t@a failed (exit-code):")?;
    ensure!(!up.stderr.contains("tell-tale"), "{up}");
    up.says("could not bring up t@a; cleaned up")?;
    nothing_left_now(machine)?;
    // It cannot be undone: there is no such link.
    let failing = recording_type("t") + "configure_t_up_outside() { exit 7; }\n";
    add_type(machine, "t", &failing)?;
    let up = machine.try_run("netnsctl up t@a")?;
    up.says("could not bring up t@a; cleaning up failed, too")?;
    machine.run("netnsctl gc")?;
    nothing_left_now(machine)?;
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("netnsctl up t@a && netnsctl down t@a")?;
    nothing_left_now(machine)
}

fn down_fails(machine: &Machine) -> Result<()> {
    let failing = recording_type("t") + "configure_t_down_inside() { false; }\n";
    add_type(machine, "t", &failing)?;
    machine.run("netnsctl up t@a")?;
    let down = machine.fails("netnsctl down t@a", 1)?;
    down.says("configure_t_down_inside failed with status 1")?;
    down.says("netnsctl: t@a is down, with errors")?;
    nothing_left_now(machine)?;
    // The failed state was reset.
    let down = machine.run("netnsctl down t@a")?;
    down.says("t@a is not up")
}

fn up_refuses(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.fails("netnsctl up nosuch@a", 6)?;
    machine
        .fails("netnsctl up 't@a b'", 2)?
        .says("NSNAME 'a b' must be letters")?;
    machine.run("ip netns add theirs; ip -n theirs link add mine type bridge")?;
    machine
        .fails("netnsctl up t@theirs", 1)?
        .says("network namespace 'theirs' already exists")?;
    machine.run("ip -n theirs link show mine; ip netns del theirs")?;
    machine.run("systemctl mask netns-t@b")?;
    machine.fails("netnsctl up t@b", 1)?.says("masked")?;
    ensure!(calls(machine)?.is_empty(), "a function was called");
    machine.fails("setpriv --reuid 65534 --clear-groups netnsctl up t@a", 4)?;
    nothing_left_now(machine)
}

fn progress_on_a_terminal(machine: &Machine) -> Result<()> {
    let slow = recording_type("t")
        + "configure_t_up_outside() { sleep 2.5; }\nconfigure_t_down_outside() { sleep 2.5; }\n\
           configure_t_up_inside() { :; }\nconfigure_t_down_inside() { :; }\n";
    add_type(machine, "t", &slow)?;
    for (verb, word) in [("up", "is up"), ("down", "is down")] {
        let line = format!("script -qec 'netnsctl {verb} t@a' /dev/null </dev/null");
        let shown = machine.run(&line)?.stdout;
        for second in [1, 2] {
            let part = format!("\r\u{1b}[Kwaiting for netns_outside-t@a ... {second} s");
            expect_in(&shown, &part)?;
        }
        expect_in(&shown, &format!("\r\u{1b}[Knetnsctl: t@a {word}"))?;
    }
    let quiet = machine
        .run("netnsctl up t@a 2>&1; netnsctl down t@a 2>&1")?
        .stdout;
    ensure!(!quiet.contains("waiting"), "{quiet}");
    nothing_left_now(machine)
}

fn many_ups_and_downs_at_once(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.sh(
        "for n in 1 2 3 4 5 6; do
             { netnsctl up t@n$n && netnsctl up lo@n$n && netnsctl down t@n$n && netnsctl down lo@n$n; } &
             pids[n]=$!
         done
         for n in 1 2 3; do netnsctl gc; done
         for n in 1 2 3 4 5 6; do wait ${pids[n]}; done",
    )?;
    nothing_left_now(machine)
}

fn new_type_to_namespace(machine: &Machine) -> Result<()> {
    machine.run("netnsctl new cable --from veth && netnsctl up cable@web")?;
    machine.run("ip netns exec web ping -c 1 -W 2 192.0.2.1")?;
    machine.run("netnsctl down cable@web")?;
    machine.run("netnsctl new plain && netnsctl up plain@web && netnsctl down plain@web")?;
    nothing_left_now(machine)
}

fn exec_as_a_user(machine: &Machine) -> Result<()> {
    machine.run("useradd --create-home alice; netnsctl up lo@web")?;
    let id = machine.run(
        "netnsctl exec --user alice --hostname web -- sh -c 'id -un; hostname; pwd; echo $HOME'",
    )?;
    ensure!(id.stdout == "alice\nweb\n/\n/home/alice\n", "{id}");
    let status = machine.try_run("netnsctl exec web -- sh -c 'kill -TERM $$'")?;
    ensure!(
        status.status == Some(143) || status.status.is_none(),
        "{status}"
    );
    machine.run("netnsctl down lo@web")?;
    nothing_left_now(machine)
}

fn gc_removes_leftovers_only(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("netnsctl up t@up; netnsctl up lo@up")?;
    machine.sh("for name in up gone; do
             ip link add mark-$name type veth peer name peer-$name
             ip link set mark-$name alias \"systemd-netns t@$name\"
         done
         ip link add theirs type bridge
         netnsctl create byhand
         netnsctl create nameless; ip netns del nameless
         install -m 0444 /dev/null /run/netns/leftover")?;
    // A failed stop leaves its record.
    let failing = recording_type("f") + "configure_f_down_outside() { false; }\n";
    add_type(machine, "f", &failing)?;
    machine.try_run("netnsctl up f@failed; netnsctl down f@failed")?;
    machine.run("test -e /run/systemd-netns/instances/f@failed")?;
    let expected = "link mark-gone of the host, of t@gone\nrecord of f@failed\n\
        file /run/netns/leftover, which is not a namespace\nnamespace nameless, whose name was deleted\n";
    let dry = machine
        .run("netnsctl gc --dry-run | sed 's/^would remove //'")?
        .stdout;
    ensure!(dry == expected, "{dry}");
    let gone = machine.run("netnsctl gc | sed 's/^removed //'")?.stdout;
    ensure!(gone == expected, "{gone}");
    machine.run("netnsctl gc")?.says("no leftovers found")?;
    machine.run("ip link show theirs; ip link show mark-up; test -e /run/netns/byhand")?;
    expect_instance(machine, "t", "up", [UP, UP, UP])?;
    machine.run("ip link del h-failed || :; ip link del theirs; ip link del mark-up")?;
    machine.run("netnsctl delete byhand; netnsctl down t@up; netnsctl down lo@up")?;
    nothing_left_now(machine)
}
