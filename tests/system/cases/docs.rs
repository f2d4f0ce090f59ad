//! Runs the commands of the documentation, and checks their effects.
//!
//! A page is run from top to bottom on a machine of its own: its blocks of `sh`, and comments that readers do
//! not see, `<!-- test` … `-->`, which prepare the machine or check what a block has done. A block that cannot
//! be run here follows a comment `<!-- not run: why -->`, one for some suites `<!-- run on SUITE...: why -->`;
//! `<!-- test on SUITE...` begins a comment for some suites. `tests/sources` looks after what is forgotten.

use std::mem;

use anyhow::{Context, Result, ensure};

use super::{containers, type_openvpn};
use crate::harness::{Case, Machine};

macro_rules! pages {
    ($($name:ident $path:literal)*) => {
        pub const CASES: &[Case] = &[
            $((stringify!($name), |machine| run(machine, include_str!(concat!("../../../", $path))))),*
        ];
    };
}

pages! {
    readme "README.md"
    services "docs/services.md"
    tutorial "docs/tutorial.md"
    cookbook "docs/cookbook.md"
    types "docs/types.md"
    metrics "docs/metrics.md"
    migration "docs/migration/README.md"
    from_systemd_named_netns "docs/migration/systemd-named-netns.md"
    from_systemd_netns "docs/migration/systemd-netns.md"
    from_wg_netns "docs/migration/wg-netns.md"
    from_wg_quick "docs/migration/wg-quick.md"
    from_vopono "docs/migration/vopono.md"
    from_namespaced_openvpn "docs/migration/namespaced-openvpn.md"
    from_ifupdown "docs/migration/ifupdown.md"
    from_helper_units "docs/migration/helper-units.md"
}

/// Functions for the tests in pages.
const WORDS: &str = r#"
    # Prints the main PID of a service; checks that it is in a namespace.
    pid() { systemctl show --property=MainPID --value "$1"; }
    inside() { [[ "/proc/$(pid "$1")/ns/net" -ef "/run/netns/$2" ]]; }
    # Waits up to 10 seconds for a command to succeed.
    eventually() {
        { local -; set +x; } 2>/dev/null
        for _ in {1..100}; do ! "$@" &>/dev/null || return 0; sleep 0.1; done
        echo "in vain: $*" >&2
        return 1
    }
    # A network at eth0 of the machine, which has 192.0.2.10 and fd00:2::10 there. The router has 192.0.2.1
    # and fd00:2::1, is 198.51.100.1, too, and gives out addresses by DHCP.
    lan() {
        ip netns add lan
        ip link add eth0 type veth peer name lan0 netns lan
        ip address add 192.0.2.10/24 dev eth0; ip address add fd00:2::10/64 dev eth0 nodad
        ip link set eth0 up; ip route add default via 192.0.2.1
        for address in 192.0.2.1/24 fd00:2::1/64 198.51.100.1/32; do
            ip -n lan address add $address dev lan0
        done
        ip -n lan link set lo up; ip -n lan link set lan0 up
        systemd-run --quiet --unit=lan-dhcp --property=NetworkNamespacePath=/run/netns/lan --service-type=exec \
            dnsmasq --keep-in-foreground --no-ping --conf-file=/dev/null --interface=lan0 --bind-interfaces --port=0 \
            --pid-file= --dhcp-leasefile=/run/lan.leases --dhcp-range=192.0.2.100,192.0.2.150,1h \
            --dhcp-option=option:dns-server,192.0.2.1
        mkdir -p /run/lan; echo 'from outside' >/run/lan/index.html
        systemd-run --quiet --unit=lan-page --property=NetworkNamespacePath=/run/netns/lan --service-type=exec \
            busybox httpd -f -p 80 -h /run/lan
    }
    # An OpenVPN server in that network, at 192.0.2.1, and the configuration of a client in FILE.
    openvpn_server() {
        systemd-run --quiet --collect --unit=openvpn-server --property=NetworkNamespacePath=/run/netns/lan \
            openvpn --config /root/server.conf
        sed 's/192\.0\.2\.2/192.0.2.1/' /etc/openvpn/client/a.conf >"$1"
    }
"#;

/// A part of a page that is run, and the line where it begins.
#[derive(Debug, PartialEq)]
pub struct Part {
    pub line: usize,
    pub script: String,
}

/// The parts of a page to run on a suite, in order.
pub fn parts(page: &str, suite: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut skip = false;
    let mut lines = (1..).zip(page.lines());
    while let Some((line, text)) = lines.next() {
        skip |= text.starts_with("<!-- not run:") || names_others(text, "<!-- run on ", suite);
        let (end, left_out) = if text == "```sh" {
            ("```", mem::take(&mut skip))
        } else if text.starts_with("<!-- test") {
            ("-->", names_others(text, "<!-- test on ", suite))
        } else {
            continue;
        };
        let body = lines
            .by_ref()
            .map(|(_, text)| text)
            .take_while(|text| *text != end);
        let script: String = body.map(command).collect();
        if !left_out {
            parts.push(Part { line, script });
        }
    }
    parts
}

/// Whether a line begins with a marker that is followed by suites, up to a colon, without this one.
fn names_others(line: &str, marker: &str, suite: &str) -> bool {
    let suites = line
        .strip_prefix(marker)
        .and_then(|rest| rest.split(':').next());
    suites.is_some_and(|suites| !suites.split_whitespace().any(|name| name == suite))
}

/// A command with `!` fails a bash script only as the last one or in parentheses.
fn command(line: &str) -> String {
    match line.strip_prefix("! ") {
        Some(command) => format!("(! {command})\n"),
        None => format!("{line}\n"),
    }
}

fn run(machine: &Machine, page: &str) -> Result<()> {
    // Nothing there makes WireGuard interfaces: type_wireguard tests what is said of it.
    if machine.suite() == "bullseye" && page.contains("netns-wireguard@") {
        machine.run("(! type -P wireguard-go)")?;
        return Ok(());
    }
    if page.contains("netns-openvpn@") {
        type_openvpn::files(machine)?;
    }
    if page.contains("podman run") && !machine.run("type -P podman || :")?.stdout.is_empty() {
        machine.sh(containers::PREPARE)?;
    }
    let parts = parts(page, machine.suite());
    ensure!(!parts.is_empty(), "the page has nothing to run");
    for Part { line, script } in parts {
        machine
            .sh(&format!("{WORDS}\n{script}"))
            .with_context(|| format!("line {line} of the page:\n{script}"))?;
    }
    Ok(())
}
