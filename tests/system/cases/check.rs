//! `netnsctl check` and completion with systemd.

use anyhow::{Result, ensure};

use super::support::{add_type, recording_type};
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    (
        "instances_that_systemd_knows_are_checked",
        instances_are_checked,
    ),
    ("firewall_that_drops_is_told", firewall_that_drops_is_told),
    (
        "what_is_up_is_not_in_its_own_way",
        what_is_up_is_not_in_its_own_way,
    ),
];

/// The status and the output of a command that may fail.
fn run(machine: &Machine, command: &str) -> Result<(String, String)> {
    let output = machine
        .sh(&format!("set +e; {command} 2>&1; echo $?"))?
        .stdout;
    let output = output.trim_end();
    let (text, status) = output.rsplit_once('\n').unwrap_or(("", output));
    Ok((status.to_owned(), text.to_owned()))
}

fn instances_are_checked(machine: &Machine) -> Result<()> {
    add_type(machine, "rec", &recording_type("rec"))?;
    let (status, text) = run(machine, "netnsctl check")?;
    ensure!(status == "0", "{text}");
    machine.run("systemctl start netns-rec@vm-001")?;
    machine.run("systemctl enable netns-rec@two")?;
    let (status, text) = run(machine, "netnsctl check --json")?;
    ensure!(status == "0", "{text}");
    for instance in ["rec@vm-001", "rec@two"] {
        ensure!(
            text.contains(&format!("\"{instance}\"")),
            "no {instance}: {text}"
        );
    }
    let (_, words) = run(machine, "netnsctl complete netnsctl check rec@")?;
    ensure!(words == "rec@two\nrec@vm-001", "{words}");
    machine.write("/etc/conf.d/netns/rec-two.conf", "if\n")?;
    let (status, text) = run(machine, "netnsctl check")?;
    ensure!(
        status == "6" && text.contains("rec-two.conf:2: syntax error"),
        "{text}"
    );
    // A stopped instance is no longer known; stale units are reported.
    machine.run("rm /etc/conf.d/netns/rec*")?;
    let (status, text) = run(machine, "netnsctl check")?;
    ensure!(
        status != "0" && text.contains("needed to stop netns-rec@vm-001.service"),
        "{text}"
    );
    Ok(())
}

fn what_is_up_is_not_in_its_own_way(machine: &Machine) -> Result<()> {
    let conf = "VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n";
    add_type(machine, "veth-web", conf)?;
    for start in [
        "true",
        "systemctl start netns-veth@web",
        "systemctl stop netns-veth@web",
    ] {
        machine.run(start)?;
        let (status, text) = run(machine, "netnsctl check")?;
        ensure!(status == "0", "after {start}: {text}");
        let user = "setpriv --reuid 1000 --regid 1000 --clear-groups netnsctl check";
        let (status, text) = run(machine, user)?;
        let tried = !text.contains("cannot source");
        // Users may have no access to systemd.
        let clean = text.contains("no problems found") && ["0", "3"].contains(&&*status);
        ensure!(clean && tried, "after {start}, as a user: {text}");
    }
    Ok(())
}

fn firewall_that_drops_is_told(machine: &Machine) -> Result<()> {
    machine.run("netnsupdate --quiet")?;
    machine.run("systemctl enable --now netns-nat@web")?;
    let (status, text) = run(machine, "netnsctl check")?;
    ensure!(status == "0", "{text}");
    for iptables in ["iptables", "ip6tables"] {
        machine.run(&format!("{iptables} -P FORWARD DROP"))?;
        let (status, text) = run(machine, "netnsctl check nat@web")?;
        ensure!(
            status == "1" && text.contains("chain FORWARD") && text.contains("na-web0"),
            "{text}"
        );
        machine.run(&format!("{iptables} -A FORWARD -i na-web0 -j ACCEPT"))?;
        let (status, text) = run(machine, "netnsctl check nat@web")?;
        ensure!(status == "0", "{text}");
    }
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups netnsctl check";
    let (status, text) = run(machine, user)?;
    ensure!(
        status == "3" && text.contains("only root can list"),
        "{text}"
    );
    Ok(())
}
