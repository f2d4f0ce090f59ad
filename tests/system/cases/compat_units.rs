//! The units systemd-netns@ and systemd-netns-access@: a drop-in that joins them, as it was written for
//! others of that name.

use anyhow::{Result, ensure};

use super::lan;
use super::support::{FAILED, expect_in, expect_states, nothing_left};
use super::type_vip::script;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("haproxy_with_two_addresses", haproxy_with_two_addresses),
    ("comes_back_after_a_reboot", comes_back_after_a_reboot),
    ("a_namespace_of_somebody_else", a_namespace_of_somebody_else),
    ("without_a_gateway_device", without_a_gateway_device),
    ("names_with_hyphens", names_with_hyphens),
];

const DROP_IN: &str = "[Unit]
BindsTo = systemd-netns@NAME.service
JoinsNamespaceOf = systemd-netns@NAME.service
After = systemd-netns@NAME.service

[Service]
CPUAccounting = true
BlockIOAccounting = true
MemoryAccounting = true
TasksAccounting = true
PrivateNetwork = true
PrivateTmp = true
Slice = haproxy.slice
";

fn install(machine: &Machine) -> Result<()> {
    for (name, text) in [
        (
            "systemd-netns@.service",
            include_str!("../../../contrib/compat-systemd-netns/systemd-netns@.service"),
        ),
        (
            "systemd-netns-access@.service",
            include_str!("../../../contrib/compat-systemd-netns/systemd-netns-access@.service"),
        ),
    ] {
        machine.write(&format!("/usr/lib/systemd/system/{name}"), text)?;
    }
    lan::make(machine, lan::GIVES_NOTHING, "0")?;
    // Written to the file of the network, so that it has the address after a reboot.
    machine.run(
        "echo 'ip address add 192.0.2.9/24 dev eth9' >>/usr/local/sbin/make-lan && ip address add 192.0.2.9/24 dev eth9",
    )?;
    machine.write("/etc/default/systemd-netns", "GATEWAY_DEVICE=eth9\n")?;
    machine.write(
        "/etc/systemd/system/haproxy.service.d/haproxy.conf",
        &DROP_IN.replace("NAME", "haproxy"),
    )?;
    machine.write("/usr/local/bin/ns-haproxy", &script("haproxy"))?;
    machine.write(
        "/etc/haproxy/haproxy.cfg",
        "defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend one
    bind 192.0.2.71:8004
    http-request return status 200 content-type text/plain string one
frontend two
    bind 192.0.2.72:8004
    http-request return status 200 content-type text/plain string two
",
    )?;
    machine.run("systemctl daemon-reload")?;
    Ok(())
}

/// The host and another one can reach each address; nothing listens on the host.
fn expect_answers(machine: &Machine) -> Result<()> {
    for (address, answer) in [("192.0.2.71", "one"), ("192.0.2.72", "two")] {
        for from in ["", "ip netns exec lan "] {
            let got = machine
                .run(&format!(
                    "{from}curl -sS --max-time 5 http://{address}:8004/"
                ))?
                .stdout;
            ensure!(got == answer, "{address} answers {got:?}");
        }
    }
    let listening = machine.run("ss -Hlnt 'sport = 8004'")?.stdout;
    ensure!(listening.is_empty(), "on the host: {listening}");
    Ok(())
}

fn expect_up(machine: &Machine) -> Result<()> {
    expect_states(
        machine,
        &[
            ("systemd-netns@haproxy.service", "active/exited/success"),
            (
                "systemd-netns-access@haproxy.service",
                "active/exited/success",
            ),
            ("haproxy.service", "active/running/success"),
        ],
    )?;
    expect_answers(machine)
}

fn expect_down(machine: &Machine) -> Result<()> {
    let down = "inactive/dead/success";
    expect_states(
        machine,
        &[
            ("haproxy.service", down),
            ("systemd-netns-access@haproxy.service", down),
            ("systemd-netns@haproxy.service", down),
        ],
    )?;
    let left = machine.sh("ls /run/netns; ip route show table local | grep mv || :
        ip -brief link show type macvlan; find /run/systemd-netns -type f")?;
    ensure!(left.stdout == "lan\n", "left behind:\n{}", left.stdout);
    Ok(())
}

fn haproxy_with_two_addresses(machine: &Machine) -> Result<()> {
    install(machine)?;
    machine.run("systemctl start haproxy")?;
    expect_up(machine)?;
    let inside = machine.run("ip netns exec haproxy ss -Hlnt 'sport = 8004'")?;
    ensure!(inside.stdout.lines().count() == 2, "{}", inside.stdout);
    let listed = machine.run("ip netns list")?.stdout;
    expect_in(&listed, "haproxy")?;

    machine.run("systemctl restart haproxy")?;
    expect_up(machine)?;
    let ran = machine.read("/run/script")?;
    ensure!(ran.starts_with("start haproxy eth9 "), "it ran\n{ran}");
    ensure!(ran.contains("\nstop haproxy eth9 "), "it ran\n{ran}");
    machine.run("systemctl reload haproxy")?;
    expect_up(machine)?;
    // The service also starts with it.
    machine.run("systemctl restart systemd-netns@haproxy")?;
    expect_up(machine)?;
    machine.run("systemctl stop haproxy")?;
    expect_down(machine)?;

    machine.run("systemctl start haproxy && ip netns delete haproxy && systemctl stop haproxy")?;
    expect_down(machine)?;
    machine.run("systemctl start haproxy && systemctl stop systemd-netns@haproxy")?;
    expect_down(machine)?;
    machine.run("systemctl start haproxy")?;
    expect_up(machine)
}

fn comes_back_after_a_reboot(machine: &Machine) -> Result<()> {
    install(machine)?;
    machine.run("systemctl enable --quiet haproxy")?;
    machine.reboot()?;
    expect_up(machine)
}

fn a_namespace_of_somebody_else(machine: &Machine) -> Result<()> {
    install(machine)?;
    machine.run("ip netns add haproxy; ip -n haproxy link add theirs type veth peer name too")?;
    machine.fails("systemctl start haproxy", 1)?;
    expect_states(
        machine,
        &[
            ("systemd-netns@haproxy.service", FAILED),
            ("haproxy.service", "inactive/dead/success"),
        ],
    )?;
    machine.run("ip -n haproxy link show theirs")?;
    let journal = machine.journal("systemd-netns@haproxy.service")?;
    expect_in(&journal, "File exists")
}

fn without_a_gateway_device(machine: &Machine) -> Result<()> {
    install(machine)?;
    machine.run("rm /etc/default/systemd-netns")?;
    machine.fails("systemctl start haproxy", 1)?;
    expect_states(
        machine,
        &[
            ("systemd-netns-access@haproxy.service", FAILED),
            ("systemd-netns@haproxy.service", "inactive/dead/success"),
        ],
    )?;
    let journal = machine.journal("systemd-netns-access@haproxy.service")?;
    expect_in(&journal, "vip@haproxy is not configured: there is no ")?;
    let left = machine.run("ls /run/netns")?.stdout;
    ensure!(left == "lan\n", "{left}");
    Ok(())
}

fn names_with_hyphens(machine: &Machine) -> Result<()> {
    install(machine)?;
    machine.write(
        "/etc/systemd/system/my-app.service",
        "[Service]\nExecStart=sleep infinity\n",
    )?;
    machine.write(
        "/etc/systemd/system/my-app.service.d/netns.conf",
        &DROP_IN.replace("NAME", "my-app"),
    )?;
    machine.run("systemctl daemon-reload && systemctl start my-app")?;
    let same =
        "[[ /run/netns/my-app -ef /proc/$(systemctl show -p MainPID --value my-app)/ns/net ]]";
    machine.run(same)?;
    machine.run("systemctl stop my-app lan && ip netns delete lan")?;
    nothing_left(machine)
}
