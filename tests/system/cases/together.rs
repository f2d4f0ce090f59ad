//! Concurrent programs.

use anyhow::Result;

use super::support::{add_type, nothing_left, recording_type};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("updates", updates),
    ("updates_and_starts", updates_and_starts),
    ("up_twice", up_twice),
    ("up_against_down", up_against_down),
    ("changes_of_one_service", changes_of_one_service),
    ("hundred_at_boot", hundred_at_boot),
];

/// The unit directory, without times.
const UNITS: &str = "units() { (cd /etc/systemd/system && find . -name '*netns*' -type f -exec md5sum {} + | sort); }
    at_once() { local job jobs=(); for ((i = 0; i < $1; i++)); do \"${@:2}\" & jobs+=($!); done
        for job in \"${jobs[@]}\"; do wait \"$job\"; done; }
    ";

fn sh(machine: &Machine, script: &str) -> Result<()> {
    machine.run(&(UNITS.to_owned() + script)).map(drop)
}

fn updates(machine: &Machine) -> Result<()> {
    machine.run(
        "netnsupdate --quiet --clean; for n in {1..20}; do : >/etc/conf.d/netns/t$n.conf; done",
    )?;
    sh(
        machine,
        "at_once 32 netnsupdate --quiet
         many=$(units)
         netnsupdate --quiet --clean
         [[ -z $(units) ]]
         netnsupdate --quiet
         diff <(echo \"$many\") <(units)
         [[ -z $(find /etc/systemd/system -name '.systemd-netns-*') ]]
         [[ $(systemctl show -P NeedDaemonReload netns-t7@a) == no ]]",
    )
}

fn updates_and_starts(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    sh(
        machine,
        "at_once 32 netnsupdate --quiet & updates=$!
         for n in {1..40}; do systemctl start --no-block netns-t@n$n; done
         wait $updates
         systemctl start netns-t@n{1..40}
         [[ $(systemctl list-units --plain --no-legend --state=active 'netns-t@*' | wc -l) == 40 ]]
         systemctl stop 'netns-t@*'",
    )?;
    nothing_left(machine)
}

fn up_twice(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    for _ in 0..5 {
        sh(
            machine,
            "at_once 4 netnsctl up t@a
             systemctl is-active --quiet netns-t@a
             ip -n a link show i-a up >/dev/null
             at_once 4 netnsctl down t@a",
        )?;
        nothing_left(machine)?;
    }
    // Without a second one that came too late to be needed.
    machine.run("[[ $(grep -c 'up outside' /run/calls) == 5 ]]")?;
    Ok(())
}

/// The last of two commands wins. If it replaces the job of the other one, that one fails.
fn up_against_down(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    for _ in 0..10 {
        sh(
            machine,
            "netnsctl up t@a & up=$!
             netnsctl down t@a & down=$!
             wait $up || [[ $? != 127 ]]
             wait $down || [[ $? != 127 ]]
             netnsctl down t@a
             [[ $(systemctl list-units --plain --no-legend --state=failed) == '' ]]",
        )?;
        nothing_left(machine)?;
    }
    Ok(())
}

fn changes_of_one_service(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.write(
        "/etc/systemd/system/web.service",
        "[Service]\nExecStart=/bin/sleep 1000\n",
    )?;
    machine.run("systemctl daemon-reload")?;
    sh(
        machine,
        "require() { local i=$i; netnsctl require t@a lo@n$i; }
         publish() { local i=$i; netnsctl publish t@a 80$((10 + i)):80; }
         attach() { netnsctl attach web t@a --dns 192.0.2.53; }
         at_once 8 require & requires=$!
         at_once 8 publish & publishes=$!
         at_once 8 attach
         wait $requires
         wait $publishes
         for i in {0..7}; do
             systemctl show -P Requires netns_outside-t@a | grep -w netns-lo@n$i.service
             [[ -s /etc/systemd/system/netns_publish-80$((10 + i))@a.socket ]]
         done
         [[ $(ls /etc/systemd/system/web.service.d) == 50-netns.conf ]]
         systemctl show -P NetworkNamespacePath web | grep -x /run/netns/a
         detach() { netnsctl detach web || :; }
         at_once 4 detach
         unpublish() { local i=$i; netnsctl unpublish a 80$((10 + i)); }
         at_once 8 unpublish
         release() { local i=$i; netnsctl require t@a lo@n$i --remove; }
         at_once 8 release
         [[ -z $(find /etc/systemd/system -name '*publish*' -o -name '60-netns*' -o -name 50-netns.conf) ]]
         [[ -z $(find /etc/systemd/system -name '.systemd-netns-*') ]]",
    )
}

fn hundred_at_boot(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    machine.run("for n in {1..100}; do systemctl enable --quiet netns-t@n$n; done")?;
    // Fails if a unit does.
    machine.reboot()?;
    sh(
        machine,
        "[[ $(systemctl list-units --plain --no-legend --state=active 'netns-t@*' | wc -l) == 100 ]]
         for n in {1..100}; do ip -n n$n link show i-n$n up >/dev/null; done
         [[ $(grep -c ' /run/netns ' /proc/self/mountinfo) == 1 ]]
         systemctl stop 'netns-t@*'",
    )?;
    nothing_left(machine)
}
