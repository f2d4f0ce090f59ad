//! The capabilities of the units: what a function is denied, what it can still do, and how that is widened.

use anyhow::{Context, Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("functions_are_bounded", functions_are_bounded),
    ("a_drop_in_widens", a_drop_in_widens),
    ("a_list_stays_in_force", a_list_stays_in_force),
    ("units_are_sound", units_are_sound),
];

/// The capabilities that units with functions do not have, as bits (linux/capability.h).
const DENIED: [u32; 8] = [
    20, // CAP_SYS_PACCT
    22, // CAP_SYS_BOOT
    26, // CAP_SYS_TTY_CONFIG
    30, // CAP_AUDIT_CONTROL
    32, // CAP_MAC_OVERRIDE
    35, // CAP_WAKE_ALARM
    36, // CAP_BLOCK_SUSPEND
    37, // CAP_AUDIT_READ
];

/// Functions that do what those of administrators do, leave a daemon behind, and record their capabilities.
const TYPE: &str = r#"
bounds() { grep CapBnd /proc/self/status >"/run/bounds-$UPDOWN-$INOUT"; }
usual() {
    ip link add "usual-$INOUT" type veth
    ip link delete "usual-$INOUT"
    nft add table inet usual
    nft delete table inet usual
    sysctl -q -w net.ipv4.ip_forward="$(sysctl -n net.ipv4.ip_forward)"
    local directory=/run/usual
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
    touch "$directory/file" "$directory/over"
    mount --bind "$directory/file" "$directory/over"
    chown nobody "$directory/file"
    chmod 4711 "$directory/file"
    su -s /bin/sh nobody -c 'test "$(id -un)" = nobody'
    setpriv --reuid nobody --clear-groups --inh-caps -all -- true
    unshare --net --uts --ipc --pid --fork -- hostname other
    unshare --user --map-root-user -- true
    nsenter --target 1 --net --mount -- true
    chroot / true
    ulimit -n 4096
    renice -n -5 $BASHPID >/dev/null
    setpriv --reuid nobody --clear-groups -- sleep 1000 &
    kill -KILL $!
    wait $! || :
    umount --recursive "$directory"
}
configure_t_up_outside() {
    bounds
    usual
    ip link add "h-$1" type veth peer name "i-$1" netns "$1"
    ip netns exec "$1" ip link set lo up
}
configure_t_up_inside() {
    bounds
    usual
    ping -c 1 127.0.0.1 >/dev/null
    sleep 1d &
    echo $! >/run/daemon
}
configure_t_down_inside() { bounds; kill "$(</run/daemon)"; }
configure_t_down_outside() { bounds; usual; ip link delete "h-$1"; }
"#;

const DAEMON: &str = "/proc/$(cat /run/daemon)/status";
const RECORDED: [&str; 2] = ["/run/bounds-up-outside", "/run/bounds-up-inside"];

/// The bounding set of a process, from the lines of proc(5).
fn bounds(machine: &Machine, file: &str) -> Result<u64> {
    let line = machine.run(&format!("grep CapBnd {file}"))?.stdout;
    let digits = line.trim().rsplit('\t').next().unwrap_or_default();
    u64::from_str_radix(digits, 16).with_context(|| format!("{file}: {line}"))
}

fn mask(bits: &[u32]) -> u64 {
    bits.iter().fold(0, |mask, bit| mask | 1 << bit)
}

/// Fails unless each of these processes has all that PID 1 has, less `denied`.
fn expect_denied(machine: &Machine, files: &[&str], denied: u64) -> Result<()> {
    let all = bounds(machine, "/proc/1/status")?;
    ensure!(all & denied == denied, "this machine has {all:x} only");
    for file in files {
        let found = bounds(machine, file)?;
        ensure!(found == all & !denied, "{file}: {found:x} of {all:x}");
    }
    Ok(())
}

fn functions_are_bounded(machine: &Machine) -> Result<()> {
    add_type(machine, "t", TYPE)?;
    machine.run("systemctl start netns-t@a")?;
    expect_denied(machine, &[RECORDED[0], RECORDED[1], DAEMON], mask(&DENIED))?;
    stop(machine)?;
    let recorded = ["/run/bounds-down-outside", "/run/bounds-down-inside"];
    expect_denied(machine, &recorded, mask(&DENIED))
}

/// The drop-in of docs/reliability.md, for all types, and for one.
fn a_drop_in_widens(machine: &Machine) -> Result<()> {
    add_type(machine, "t", TYPE)?;
    let still_denied = mask(&DENIED) & !mask(&[22]);
    let drop_ins = [
        (
            "CAP_SYS_BOOT",
            "t@.service.d/zzz-capabilities",
            still_denied,
        ),
        ("~", ".service.d/zzzz-everything", 0),
    ];
    for (setting, name, denied) in drop_ins {
        for unit in ["netns-", "netns_outside-"] {
            let file = format!("/etc/systemd/system/{unit}{name}.conf");
            let text = format!("[Service]\nCapabilityBoundingSet={setting}\n");
            machine.write(&file, &text)?;
        }
        machine.run("systemctl daemon-reload; systemctl start netns-t@a")?;
        expect_denied(machine, &RECORDED, denied)?;
        stop(machine)?;
    }
    Ok(())
}

/// A list in a drop-in, of any other name, is not widened by ours.
fn a_list_stays_in_force(machine: &Machine) -> Result<()> {
    add_type(machine, "t", TYPE)?;
    for unit in ["netns-t@", "netns_outside-t@", "netns_name@"] {
        machine.write(
            &format!("/etc/systemd/system/{unit}.service.d/override.conf"),
            "[Service]\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_BOOT\n",
        )?;
        let shown = machine.run(&format!(
            "systemctl daemon-reload; systemctl show --property=CapabilityBoundingSet {unit}a"
        ))?;
        ensure!(
            shown.stdout == "CapabilityBoundingSet=cap_net_admin\n",
            "{shown}"
        );
    }
    Ok(())
}

/// Each unit that is installed loads without a warning.
fn units_are_sound(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate --quiet")?;
    let said = machine.run(
        "cd /usr/lib/systemd/system
         units=(netns_*.service netns_*.socket netns_*.path)
         ((${#units[@]} > 5))
         systemd-analyze verify --man=no \"${units[@]/@./@a.}\" /etc/systemd/system/netns_outside-lo@a.service 2>&1",
    )?;
    ensure!(said.stdout.is_empty(), "{}", said.stdout);
    Ok(())
}
