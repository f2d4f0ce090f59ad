//! `netnsctl pods` on two nodes, as in docs/pods.md, and with many pods.

use std::time::Instant;

use anyhow::{Context, Result};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("topologies_of_the_documentation", topologies),
    ("units_and_restart", units_and_restart),
    ("failure_leaves_nothing", failure_leaves_nothing),
    ("many", many),
];

const PAGE: &str = include_str!("../../../docs/pods.md");
/// Has two nodes, and runs the commands below a heading on both.
const NODES: &str = include_str!("../../vm/pods.bash");

/// Those that need another kernel are in `tests/vm/pods`.
const HEADINGS: [&str; 5] = [
    "Bridge",
    "Layer 3",
    "Layer 2",
    "Dual bridges",
    "A physical interface in a pod",
];

fn topologies(machine: &Machine) -> Result<()> {
    machine.write("/root/pods.md", PAGE)?;
    machine.write("/root/pods.bash", NODES)?;
    for heading in HEADINGS {
        machine
            .sh(&format!(
                "source /root/pods.bash
                 make_nodes; trap remove_nodes EXIT
                 blocks /root/pods.md Topologies
                 bash -e /run/blocks/*
                 topology /root/pods.md '{heading}' >&2"
            ))
            .with_context(|| format!("below '{heading}'"))?;
        nothing_left(machine)?;
    }
    Ok(())
}

fn units_and_restart(machine: &Machine) -> Result<()> {
    machine.sh("hostname vm-001
         netnsctl pods create 3 --bridge --gateway
         netnsctl pods ping 3
         systemctl restart netns-pod@vm-001-ns02
         netnsctl pods ping 3
         [[ $(netnsctl pods exec vm-001-ns02 -- hostname) == vm-001-ns02 ]]
         netnsctl list --json | grep vm-001-ns03
         netnsctl check >&2")?;
    expect_instance(machine, "pod", "vm-001-ns02", [UP, UP, UP])?;
    // The namespace was deleted by somebody else.
    machine.sh("ip netns delete vm-001-ns01; systemctl stop netns-pod@vm-001-ns03")?;
    machine.wait_until("two of three pods are not up", SOON, |machine| {
        let list = machine.run("netnsctl pods list --no-legend")?.stdout;
        let states: Vec<&str> = list
            .lines()
            .filter_map(|line| line.split("  ").nth(1))
            .collect();
        Ok(states == ["partly up", "up", "down"])
    })?;
    machine.run("netnsctl pods delete")?;
    machine.sh("[[ ! -e /run/utsns ]]")?;
    nothing_left(machine)
}

fn failure_leaves_nothing(machine: &Machine) -> Result<()> {
    machine.sh("hostname vm-001
         ip link add lan type bridge; ip address add 172.16.1.26/24 dev lan")?;
    let before = left(machine)?;
    let failed = machine.fails("netnsctl pods create 50 --bridge", 1)?;
    failed.says("lan already has the address 172.16.1.26")?;
    failed.says("could not create 50 pods: 1 of 50 pods failed; cleaned up")?;
    comes_to(machine, &before, left)?;
    machine.sh("[[ -z $(systemctl list-units --failed --no-legend --plain) ]]")?;
    let failed = machine.fails("netnsctl pods create 30 --bridge --gateway --keep-going", 1)?;
    failed.says("created vm-001-ns01 ")?;
    machine.run("netnsctl pods ping 25; netnsctl pods ping 4 27")?;
    machine.run("netnsctl pods delete")?;
    comes_to(machine, &before, left)?;
    // Interrupted while systemd starts units.
    machine.sh(
        "systemd-run --quiet --unit=pods --service-type=exec netnsctl pods create 100 --bridge
         for i in $(seq 200); do (($(ls /run/netns | wc -l) < 10)) || break; sleep 0.1; done
         systemctl kill --kill-whom=main --signal=TERM pods || systemctl kill --kill-who=main --signal=TERM pods
         for i in $(seq 300); do systemctl is-active --quiet pods || break; sleep 0.1; done
         ! systemctl is-active --quiet pods",
    )?;
    comes_to(machine, &before, left)
}

fn many(machine: &Machine) -> Result<()> {
    // The first one has netnsupdate make the units.
    machine.sh("hostname vm-001; netnsctl pods create 1; netnsctl pods delete")?;
    let create = |count: u32| -> Result<f64> {
        let begin = Instant::now();
        machine.run(&format!("netnsctl pods create {count} --bridge --gateway"))?;
        Ok(begin.elapsed().as_secs_f64() / f64::from(count))
    };
    let few = create(10)?;
    machine.run("netnsctl pods delete")?;
    let many = create(250)?;
    eprintln!("a pod takes {few:.3} s of 10, and {many:.3} s of 250");
    machine.sh(
        "(($(ls /run/netns | wc -l) == 250 && $(ls /run/utsns | wc -l) == 250))
         netnsctl pods ping 250
         netnsctl pods delete",
    )?;
    nothing_left(machine)
}
