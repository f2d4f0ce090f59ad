//! The state after a phase has failed: the table in docs/reliability.md, row by row.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::support::{add_type, expect_in};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[("table", table)];

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
const PHASES: [&str; 4] = ["up outside", "up inside", "down inside", "down outside"];
/// How a phase fails, and the commands at the beginning of its function that make it fail.
const ENDS: [(&str, &str); 4] = [
    ("exits with status 3", "exit 3"),
    ("is killed: the function", "kill -KILL $$"),
    ("is killed: netnsinit", "kill -KILL $PPID; sleep 10"),
    ("takes too long", "sleep 1000"),
];

/// A link and a bridge, which stays if nobody deletes it. `fault` runs in the phase of /run/phase.
const TYPE: &str = r#"
fault() { if [[ -e /run/phase && $(</run/phase) == "$UPDOWN $INOUT" ]]; then FAULT; fi; }
configure_t_up_outside() {
    ip link add "br-$1" type bridge
    fault
    ip link add "h-$1" type veth peer name "i-$1" netns "$1"
}
configure_t_up_inside() { fault; ip link set "i-$1" up; }
configure_t_down_inside() { fault; ip link set "i-$1" down; }
configure_t_down_outside() {
    fault
    ! ip link show "h-$1" &>/dev/null || ip link delete "h-$1"
    ! ip link show "br-$1" &>/dev/null || ip link delete "br-$1"
}
"#;

fn table(machine: &Machine) -> Result<()> {
    machine.write(
        "/etc/systemd/system/netns-t@.service.d/time.conf",
        "[Service]\nTimeoutStartSec=1\nTimeoutStopSec=1\n",
    )?;
    machine.run(
        "mkdir /etc/systemd/system/netns_outside-t@.service.d
         cp /etc/systemd/system/netns-t@.service.d/time.conf /etc/systemd/system/netns_outside-t@.service.d",
    )?;
    let mut rows = String::new();
    for phase in PHASES {
        for (end, command) in ENDS {
            let row = row(machine, phase, command).with_context(|| format!("'{phase}' {end}"))?;
            rows += &format!("| `{phase}` | {end} | {row} |\n");
        }
    }
    let page = fs::read_to_string(PAGE)?;
    if std::env::var_os("NETNS_BLESS").is_some() {
        let (head, rest) = page
            .split_once("|---|---|---|---|---|---|---|\n")
            .context("no table")?;
        let tail: String = rest
            .lines()
            .skip_while(|line| line.starts_with('|'))
            .fold(String::new(), |text, line| text + line + "\n");
        return Ok(fs::write(
            PAGE,
            format!("{head}|---|---|---|---|---|---|---|\n{rows}{tail}"),
        )?);
    }
    rows.lines().try_for_each(|row| expect_in(&page, row))
}

/// The states of the units of `t@a` after a start and, if it came up, a stop; what is left; what the next start and
/// stop, without a fault, come to.
fn row(machine: &Machine, phase: &str, command: &str) -> Result<String> {
    add_type(machine, "t", &TYPE.replace("FAULT", command))?;
    let script = r#"
        phase=$1
        units='netns-t@a netns_outside-t@a netns_name@a'
        settle() {
            for _ in {1..100}; do
                systemctl list-jobs --no-legend | grep -q netns ||
                    systemctl list-units --no-legend --state=activating,deactivating 'netns*' | grep -q . || return 0
                sleep 0.1
            done
            echo 'it does not settle' >&2
            return 1
        }
        left() {
            local what=()
            [[ ! -e /run/netns/a ]] || what+=(namespace)
            ! ip link show h-a &>/dev/null || what+=(veth)
            ! ip link show br-a &>/dev/null || what+=(bridge)
            [[ ! -e /run/systemd-netns/instances/t@a ]] || what+=(record)
            ((${#what[@]})) || what=(nothing)
            printf '%s' "${what[0]}" "${what[@]/#/, }" | sed "s/, ${what[0]}//"
        }
        echo "$phase" >/run/phase
        if systemctl start netns-t@a 2>/dev/null; then systemctl stop netns-t@a; fi
        settle
        sleep 0.3
        settle
        for unit in $units; do
            state=$(systemctl show -P ActiveState "$unit") result=$(systemctl show -P Result "$unit")
            case $state:$result in
                inactive:success) printf 'inactive | ' ;;
                *) printf '%s | ' "$state: $result" ;;
            esac
        done
        printf '%s | ' "$(left)"
        rm /run/phase
        if systemctl start netns-t@a 2>/dev/null && systemctl stop netns-t@a; then
            settle
            sleep 0.3
            settle
            [[ $(left) == nothing ]] && echo 'start it again' || echo "a start leaves $(left)"
        else
            echo 'a start fails'
        fi
    "#;
    machine.write("/root/row", script)?;
    let row = machine.run(&format!("bash /root/row '{phase}'"))?;
    machine.run("ip link delete br-a 2>/dev/null || :; systemctl reset-failed; rm -rf /run/systemd-netns/instances")?;
    let row = row.stdout.trim().to_owned();
    ensure!(row.lines().count() == 1, "{row}");
    Ok(row)
}
