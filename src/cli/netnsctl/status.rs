use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::output::{Paging, print_json, warn_unreadable};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::inventory::counters::{Conntrack, Counters, WireguardPeer};
use crate::inventory::details::{self, Details, Dns, Listening, Route};
use crate::inventory::{Inventory, Link, Location, Namespace, NamespaceState, Owner, Process};
use crate::inventory::{Service, TypeState, Unit};
use crate::namespace::netlink::{Passed, Traffic};
use crate::sys::log;
use crate::sys::terminal::{self, Highlight, Terminal, clean};
use crate::systemd::instances::known;
use crate::systemd::manager::Manager;

/// Show the state and content of one network namespace, or of all
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status, as for 'systemctl status': 0 if the namespace exists and all its
types are active, 3 if it does not exist or one of them is not active, 4 if
there is no network namespace or instance of that name.

Example: netnsctl status web")]
pub struct Status {
    /// Print JSON (docs/schema/status.json)
    #[arg(long)]
    json: bool,

    /// Number of log lines to show [default: 10, or 0 without NSNAME]
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<u32>,

    #[command(flatten)]
    paging: Paging,

    /// Name of the network namespace
    #[arg(value_name = "NSNAME", value_parser = NsName::of_any)]
    name: Option<NsName>,
}

/// The exit status if the namespace or one of its types is not up.
const NOT_ACTIVE: u8 = 3;

/// The exit status if there is no such namespace.
const UNKNOWN: u8 = 4;

/// The document that `--json NSNAME` prints.
#[derive(Debug, Serialize)]
struct One<'a> {
    #[serde(flatten)]
    details: &'a Details,
    unreadable: &'a [String],
}

/// The document that `--json` prints without NSNAME.
#[derive(Debug, Serialize)]
struct All<'a> {
    namespaces: &'a [Details],
    unreadable: &'a [String],
}

impl Status {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let manager = Manager::running(root)?;
        let mut inventory = Inventory::read(root, manager.as_ref())?;
        let (namespaces, lines) = match &self.name {
            None => (inventory.named.clone(), 0),
            Some(name) => {
                let mut named = inventory.named.iter();
                let found = named.find(|n| n.name.as_deref() == Some(name.as_str()));
                let configured = || inactive(root, manager.as_ref(), name);
                let Some(namespace) = found.cloned().or_else(configured) else {
                    log::error(&format!(
                        "there is no network namespace '{name}': see 'netnsctl list'"
                    ));
                    return Ok(UNKNOWN);
                };
                (vec![namespace], 10)
            }
        };
        let active = namespaces.iter().all(Namespace::is_active);
        let lines = self.lines.unwrap_or(lines);
        let all = details::read(root, manager.as_ref(), &mut inventory, namespaces, lines)?;
        let unreadable = &inventory.unreadable;
        match (all.as_slice(), self.json) {
            ([details], true) if self.name.is_some() => print_json(&One {
                details,
                unreadable,
            })?,
            (namespaces, true) => print_json(&All {
                namespaces,
                unreadable,
            })?,
            (namespaces, false) => {
                let terminal = Terminal::of_stdout();
                let pages: Vec<String> = namespaces.iter().map(|one| text(one, terminal)).collect();
                self.paging.print(&pages.join("\n"))?;
                warn_unreadable(unreadable);
            }
        }
        Ok(if active { 0 } else { NOT_ACTIVE })
    }
}

/// A namespace with instances that are configured or enabled, but not up; `None` if there are none.
fn inactive(root: &Root, manager: Option<&Manager>, name: &NsName) -> Option<Namespace> {
    let instances = known(root, manager, &mut Vec::new()).into_iter();
    let types = instances.filter(|instance| instance.nsname == *name);
    let types = types.map(|instance| TypeState {
        nstype: instance.nstype.to_string(),
        state: "inactive".to_owned(),
        started_by: None,
    });
    let mut namespace = Namespace::new(Some(name.to_string()), NamespaceState::Inactive);
    namespace.types = types.collect();
    (!namespace.types.is_empty()).then_some(namespace)
}

/// The page of one namespace, in sections.
fn text(details: &Details, terminal: Terminal) -> String {
    let namespace = &details.namespace;
    let mut text = String::new();
    let mut section = |heading: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(text, "{}", terminal.paint(Highlight::Heading, heading));
        let width = terminal.width.unwrap_or(usize::MAX);
        for line in lines {
            for line in terminal::wrap(clean(&line).split_inclusive(' '), width, "  ", "      ") {
                text += &line;
                text.push('\n');
            }
        }
    };
    section(&clean(namespace.title()), vec![state(namespace)]);
    section("Types", lines(&namespace.types, type_state));
    section(
        "Units",
        lines(&namespace.units, |unit| self::unit(unit, details)),
    );
    let links = namespace.links.as_deref().unwrap_or_default();
    section("Links", lines(links, link));
    let counters = details.counters.as_ref();
    section("Counters", counters.map(self::counters).unwrap_or_default());
    section("Routes", lines(&details.inside.routes, route));
    section("DNS", lines(details.dns.as_slice(), dns));
    section("Listening", lines(&details.inside.listening, listening));
    section("Processes", lines(&namespace.processes, process));
    section("Services", lines(&namespace.services, service));
    section(
        "Stale processes, in a namespace of this name that was replaced",
        lines(&details.stale, |stale| process(&stale.process)),
    );
    section("Log", details.log.clone());
    text
}

fn lines<T>(items: &[T], line: impl Fn(&T) -> String) -> Vec<String> {
    items.iter().map(line).collect()
}

fn state(namespace: &Namespace) -> String {
    match (namespace.state, namespace.owner) {
        (NamespaceState::Present, Owner::SystemdNetns) => "owner: systemd-netns",
        (NamespaceState::Present, Owner::Other) => "owner: other",
        (NamespaceState::Present, Owner::Unknown) => "owner: unknown",
        (NamespaceState::Leftover, _) => "leftover file: no namespace is mounted on it",
        (NamespaceState::Missing, _) => {
            "missing: its units are loaded, but the namespace does not exist"
        }
        (NamespaceState::Inactive, _) => "inactive: configured, but not up",
    }
    .to_owned()
}

fn type_state(one: &TypeState) -> String {
    match one.started_by {
        Some(program) => format!("{}  {} (started by {program})", one.nstype, one.state),
        None => format!("{}  {}", one.nstype, one.state),
    }
}

fn unit(unit: &Unit, details: &Details) -> String {
    let since = details.since.get(&unit.name);
    let since = since.map(|since| format!(", since {since}"));
    let since = since.unwrap_or_default();
    format!("{}  {} ({}){since}", unit.name, unit.active, unit.sub)
}

fn link(link: &Link) -> String {
    let Link {
        index,
        name,
        kind,
        state,
        mtu,
        mac,
        ..
    } = link;
    let mut words = vec![format!("{index}: {name}  {kind} {state}  mtu {mtu}  {mac}")];
    words.extend(link.master.iter().map(|master| format!("master {master}")));
    // Always with the name of the namespace.
    let from = &Location::Unknown;
    for (word, end) in [("peer", &link.peer), ("on", &link.lower)] {
        words.extend(
            end.iter()
                .map(|end| format!("{word} {}", end.seen_from(from))),
        );
    }
    words.extend(link.addresses.iter().cloned());
    words.join("  ")
}

/// The counters that are not 0, and the traffic of each link except `lo`.
fn counters(counters: &Counters) -> Vec<String> {
    let links = counters.links.iter().filter(|traffic| traffic.link != "lo");
    let mut lines: Vec<String> = links
        .map(
            |Traffic {
                 link,
                 received,
                 sent,
             }| {
                let (received, sent) = (passed(received), passed(sent));
                format!("{link}  received {received}, sent {sent}")
            },
        )
        .collect();
    let used = counters.sockets.iter().filter(|sockets| sockets.used > 0);
    let used: Vec<String> = used
        .map(|sockets| {
            let version = if sockets.family == "inet6" { "6" } else { "4" };
            format!("{} {}/IPv{version}", sockets.used, sockets.protocol)
        })
        .collect();
    if !used.is_empty() {
        lines.push(format!("sockets  {}", used.join(", ")));
    }
    if let Some(Conntrack { entries, limit }) =
        counters.conntrack.as_ref().filter(|c| c.entries > 0)
    {
        lines.push(format!("tracked connections  {entries} of {limit}"));
    }
    lines.extend(counters.wireguard.iter().map(peer));
    lines
}

fn passed(passed: &Passed) -> String {
    let mut text = format!("{} in {} packets", bytes(passed.bytes), passed.packets);
    for (count, what) in [(passed.errors, "errors"), (passed.dropped, "dropped")] {
        if count > 0 {
            let _ = write!(text, " ({count} {what})");
        }
    }
    text
}

fn peer(peer: &WireguardPeer) -> String {
    let ago = match peer.last_handshake {
        0 => "no handshake yet".to_owned(),
        time => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let ago = now.as_secs().saturating_sub(time);
            format!("last handshake {ago} s ago")
        }
    };
    let (received, sent) = (bytes(peer.received), bytes(peer.sent));
    format!(
        "{}  peer {}  {ago}, received {received}, sent {sent}",
        peer.link, peer.public_key
    )
}

/// A number of bytes, with the prefix that leaves at most three digits before the point.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            return match unit {
                "B" => format!("{count} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} PB")
}

fn route(route: &Route) -> String {
    /// `RT_TABLE_MAIN` (rtnetlink(7)).
    const MAIN_TABLE: u32 = 254;
    let mut words = Vec::new();
    words.extend((route.kind != "unicast").then(|| route.kind.to_owned()));
    words.push(route.destination.clone());
    if route.family == "inet6" && route.destination == "default" {
        words.push("(IPv6)".to_owned());
    }
    words.extend(route.gateway.iter().map(|gateway| format!("via {gateway}")));
    words.extend(route.link.iter().map(|link| format!("dev {link}")));
    words.extend(route.source.iter().map(|source| format!("src {source}")));
    words.extend(route.metric.iter().map(|metric| format!("metric {metric}")));
    if route.table != MAIN_TABLE {
        words.push(format!("table {}", route.table));
    }
    words.push(format!("proto {}", route.protocol));
    words.join(" ")
}

fn dns(dns: &Dns) -> String {
    let mut words = dns.servers.join(" ");
    if dns.servers.is_empty() {
        words += "no name servers";
    }
    if !dns.search.is_empty() {
        words += &format!("  search {}", dns.search.join(" "));
    }
    format!("{words}  ({})", dns.file)
}

fn listening(socket: &Listening) -> String {
    let process = socket.process.as_ref();
    let process = process.map(|p| format!("  {} ({})", p.name, p.pid));
    let process = process.unwrap_or_default();
    format!("{} {}{process}", socket.protocol, socket.address)
}

fn process(process: &Process) -> String {
    let unit = process.unit.as_deref().unwrap_or_default();
    format!("{}  {}  {unit}", process.pid, process.name)
}

fn service(service: &Service) -> String {
    let state = service.active.as_deref().unwrap_or("?");
    match service.processes {
        0 => format!("{}  {state}, no processes in the namespace", service.unit),
        1 => format!("{}  {state}, 1 process", service.unit),
        n => format!("{}  {state}, {n} processes", service.unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_234, "1.2 kB"),
            (999_400, "999.4 kB"),
            (1_500_000, "1.5 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert!(bytes(u64::MAX).ends_with(" PB"));
    }
}
