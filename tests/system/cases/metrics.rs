//! `netnsctl metrics` in its socket-activated unit, with its restrictions.

use anyhow::{Result, ensure};

use super::support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[("requests_are_answered", requests)];

const GET: &str = "curl --silent --show-error --fail http://127.0.0.1:9975/metrics";

fn requests(machine: &Machine) -> Result<()> {
    add_type(machine, "t", &recording_type("t"))?;
    add_type(machine, "bad", "configure_bad_up_inside() { false; }")?;
    machine.run("systemctl enable netns-t@idle; systemctl start netns-t@a")?;
    machine.fails("systemctl start netns-bad@b", 1)?;
    machine.run("systemctl enable --now netns_metrics.socket")?;
    machine
        .run("ip netns add other; systemd-run -p NetworkNamespacePath=/run/netns/other sleep 1d")?;
    let metrics = machine.run(GET)?.stdout;
    for sample in [
        r#"netns_instance_state{namespace="a",type="t",state="active"} 1"#,
        r#"netns_instance_state{namespace="a",type="t",state="failed"} 0"#,
        r#"netns_instance_state{namespace="b",type="bad",state="failed"} 1"#,
        r#"netns_instance_state{namespace="idle",type="t",state="inactive"} 1"#,
        r#"netns_processes{namespace="other"} 1"#,
        r#"netns_conntrack_entries{namespace="a"} 0"#,
        "netns_unreadable 0",
    ] {
        expect_in(&metrics, sample)?;
    }
    expect_in(
        &metrics,
        r#"netns_link_transmit_bytes_total{namespace="a",link="#,
    )?;

    // A client that disconnects, and one that sends an invalid request.
    machine.run("exec 3<>/dev/tcp/127.0.0.1/9975; echo GET >&3; exec 3>&-")?;
    machine.fails("curl --silent --fail http://127.0.0.1:9975/", 22)?;
    let asked = format!("{GET} --header 'Accept: application/openmetrics-text' | tail -n 1");
    ensure!(machine.run(&asked)?.stdout == "# EOF\n");
    machine.reboot()?;
    expect_in(&machine.run(GET)?.stdout, "netns_unreadable 0")?;
    machine.run(
        "journalctl --sync; (! journalctl --boot --quiet --unit='netns_metrics@*' | grep .)",
    )?;
    Ok(())
}
