//! NSTYPE cni, with the plugins of Debian.

use anyhow::{Context, Result, ensure};

use super::support::*;
use super::type_support::*;
use crate::harness::{Case, Machine};

pub const CASES: &[Case] = &[
    ("networks", networks),
    ("publishes", publishes),
    ("failures", failures),
    ("bad_input", bad_input),
];

/// For IPv4 and IPv6, with default routes.
const IPAM: &str = r#""ipam": {"type": "host-local",
    "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "fd00:22::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}"#;

/// Writes a list of plugins, and a configuration that uses it for `web`. Version 0.4.0 is one that all releases
/// of the plugins know.
fn network(machine: &Machine, plugins: &str, more: &str) -> Result<()> {
    let list = format!(
        r#"{{"cniVersion": "0.4.0", "name": "lab", "plugins": [{}]}}"#,
        plugins.replace("IPAM", IPAM)
    );
    machine.write("/etc/cni/net.d/lab.conflist", &list)?;
    let conf = format!("CNI_CONFLIST=/etc/cni/net.d/lab.conflist\n{more}\n");
    machine.write("/etc/conf.d/netns/cni-web.conf", &conf)?;
    machine.run("netnsupdate")?;
    Ok(())
}

/// Bridges and chains of packet filters stay when plugins go: what is compared is how it looks after a first
/// time.
fn settled(machine: &Machine) -> Result<String> {
    machine.run("systemctl start netns-cni@web")?;
    // Of a bridge that stays, addresses leave duplicate address detection and routes go down later.
    machine.wait_until("no address is tentative", SOON, |machine| {
        Ok(machine
            .run("ip -6 address show tentative")?
            .stdout
            .is_empty())
    })?;
    machine.run("systemctl stop netns-cni@web")?;
    expect_instance(machine, "cni", "web", [DOWN, DOWN, DOWN])?;
    machine.wait_until("a bridge without ports has no carrier", SOON, |machine| {
        let up = "ip -oneline link show type bridge | grep -v NO-CARRIER || true";
        Ok(machine.run(up)?.stdout.is_empty())
    })?;
    look(machine)
}

const CHECK: &str = "netnsctl cni check --state /run/systemd-netns/instances/cni@web/cni.json web";

fn networks(machine: &Machine) -> Result<()> {
    make_lan(machine)?;
    let bridge = r#"{"type": "bridge", "bridge": "cni-lab", "isGateway": true, IPAM}"#;
    let loopback = r#"{"type": "loopback"}"#;
    for (plugins, gateways) in [
        (bridge, ["10.22.0.1", "fd00:22::1"]),
        (r#"{"type": "ptp", IPAM}"#, ["10.22.0.1", "fd00:22::1"]),
        (
            r#"{"type": "macvlan", "master": "lan0", "ipam": {"type": "host-local", "ranges": [
                [{"subnet": "198.51.100.0/24", "rangeStart": "198.51.100.50"}],
                [{"subnet": "2001:db8:1::/64", "rangeStart": "2001:db8:1::50"}]]}}"#,
            ["198.51.100.2", "2001:db8:1::2"],
        ),
        (
            &format!(r#"{bridge}, {{"type": "firewall"}}, {{"type": "tuning", "mtu": 1400}}"#),
            ["10.22.0.1", "fd00:22::1"],
        ),
    ] {
        let context = || format!("network {plugins}");
        network(machine, plugins, "CNI_IFNAME=net0")?;
        let before = settled(machine).with_context(context)?;
        for command in ["start", "restart"] {
            machine.run(&format!("systemctl {command} netns-cni@web"))?;
            for gateway in gateways {
                machine
                    .sh(&format!(
                        "ip netns exec web ping -c 4 -i 0.5 -W 1 {gateway}"
                    ))
                    .with_context(context)?;
            }
        }
        machine.sh("ip -n web link show net0; ip netns exec web ping -c 1 127.0.0.1")?;
        machine.sh(CHECK).with_context(context)?;
        machine.run("ip -n web link set net0 down; ip -n web address flush dev net0")?;
        let changed = machine.try_run(CHECK)?;
        ensure!(changed.status == Some(1), "{changed}");
        machine.run("systemctl stop netns-cni@web")?;
        looks_like(machine, &before).with_context(context)?;
        // Somebody else has deleted the namespace.
        machine.run(
            "systemctl start netns-cni@web; ip netns delete web; systemctl stop netns-cni@web",
        )?;
        looks_like(machine, &before).with_context(context)?;
        machine.sh("(! ls /var/lib/cni/networks/lab | grep -v '[j-t]')")?;
    }
    network(machine, loopback, "CNI_IFNAME=lo")?;
    machine.sh("systemctl start netns-cni@web; ip netns exec web ping -c 1 ::1; systemctl stop netns-cni@web")?;
    Ok(())
}

fn publishes(machine: &Machine) -> Result<()> {
    let plugins = r#"{"type": "bridge", "bridge": "cni-lab", "isGateway": true, "ipMasq": true, IPAM,
        "capabilities": {"mac": true, "ips": true}, "dns": {"nameservers": ["192.0.2.53"], "search": ["example.com"]}},
        {"type": "portmap", "capabilities": {"portMappings": true}}"#;
    let more = "CNI_PUBLISH=(8080:80/tcp 5007:7/udp) CNI_MAC=02:00:00:00:00:22";
    network(machine, plugins, more)?;
    let before = settled(machine)?;
    machine.run("systemctl start netns-cni@web")?;
    serve(machine, "web", 80, 7)?;
    machine.sh("ip -n web link show eth0 | grep 02:00:00:00:00:22
         address=$(ip -n web -4 -oneline address show dev eth0 | sed 's,.*inet \\([^/]*\\)/.*,\\1,')
         curl --silent --fail http://127.0.0.1:8080/
         curl --silent --fail http://$address/
         grep -x 'nameserver 192.0.2.53' /etc/netns/web/resolv.conf
         systemctl stop serve-web echo-web netns-cni@web
         (! curl --silent --max-time 2 http://127.0.0.1:8080/)")?;
    looks_like(machine, &before)?;
    // After a power failure, the addresses are still reserved.
    machine.run(
        "systemctl start netns-cni@web; cp -a /var/lib/cni /root/kept; systemctl stop netns-cni@web
         rm -r /var/lib/cni; mv /root/kept /var/lib/cni
         systemctl start netns-cni@web; systemctl stop netns-cni@web",
    )?;
    looks_like(machine, &before)
}

fn failures(machine: &Machine) -> Result<()> {
    machine.write(
        "/opt/cni/bin/broken",
        "#!/bin/bash\necho \"$CNI_COMMAND\" >>/run/calls\n\
         [[ ! -e /run/fail-$CNI_COMMAND ]] || { echo '{\"code\": 99, \"msg\": \"it is broken\"}'; exit 1; }\n\
         [[ $CNI_COMMAND != ADD ]] || sed 's/.*\"prevResult\": *//' >/dev/null\n",
    )?;
    machine.run("chmod +x /opt/cni/bin/broken")?;
    let plugins = r#"{"type": "bridge", "bridge": "cni-lab", IPAM}, {"type": "broken"}"#;
    network(machine, plugins, "")?;
    let before = settled(machine)?;
    // DEL before ADD, and DEL at the end.
    expect_calls(machine, "DEL, ADD, DEL")?;
    machine.run("touch /run/fail-ADD")?;
    machine.fails("systemctl start netns-cni@web", 1)?;
    let journal = machine.journal("netns_outside-cni@web")?;
    expect_in(&journal, "plugin 'broken' failed for ADD: it is broken")?;
    machine.run("systemctl reset-failed; rm /run/fail-ADD")?;
    looks_like(machine, &before)?;
    // If a plugin fails at DEL, the others are still run, and DEL can be repeated.
    machine
        .run("systemctl start netns-cni@web; touch /run/fail-DEL; systemctl stop netns-cni@web")?;
    expect_instance(machine, "cni", "web", [DOWN, FAILED, DOWN])?;
    machine.sh("(! ls /var/lib/cni/networks/lab | grep -v '[j-t]')")?;
    machine.run("rm /run/fail-DEL; systemctl reset-failed")?;
    machine.run("systemctl start netns-cni@web; systemctl stop netns-cni@web")?;
    looks_like(machine, &before)
}

fn bad_input(machine: &Machine) -> Result<()> {
    network(machine, r#"{"type": "bridge", IPAM}"#, "")?;
    for (line, text) in [
        ("CNI_CONFLIST=", "Variable CNI_CONFLIST is empty!"),
        ("CNI_CONFLIST=/nowhere", "no such file"),
        ("CNI_CONFLIST=/etc/passwd", "/etc/passwd: expected value"),
        (
            "CNI_PATH=/nowhere",
            "there is no plugin 'bridge' in /nowhere",
        ),
        ("CNI_IFNAME=much-too-long-a-name", "at most 15 characters"),
        ("CNI_MAC=x", "not a unicast MAC address"),
        (
            "CNI_PUBLISH=80",
            "no plugin has the capability 'portMappings'",
        ),
    ] {
        refuses(machine, "cni@web", line, text)?;
    }
    network(machine, r#"{"type": "../bridge"}"#, "")?;
    refuses(machine, "cni@web", "", "there is no plugin '../bridge'")
}
