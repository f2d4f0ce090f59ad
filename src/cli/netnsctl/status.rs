use std::collections::HashMap;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use crate::cli::output::{json, maker, warn_unseen};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::inventory::inside::{self, Dns, Inside};
use crate::inventory::services::{self, Stale};
use crate::inventory::{Endpoint, Inventory, Link, Location, Namespace, Presence};
use crate::sys::command;
use crate::sys::terminal::{self, Look, Tone, clean};
use crate::systemd::manager::Manager;

/// Show everything about one network namespace
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl status web")]
pub struct Status {
    /// Print JSON (docs/schema/status.json)
    #[arg(long)]
    json: bool,

    /// How many lines of the log to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    lines: u32,

    /// Name of the network namespace
    #[arg(value_parser = NsName::of_any)]
    name: NsName,
}

/// All that there is to say.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    namespace: Namespace,
    #[serde(flatten)]
    inside: Inside,
    dns: Option<Dns>,
    /// Since when each unit is in its state, in systemd's words.
    since: HashMap<String, String>,
    stale: Vec<Stale>,
    log: Vec<String>,
    unseen: Vec<String>,
}

impl Status {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let report = self.report(root)?;
        if self.json {
            terminal::print(&json(&report)?)?;
        } else {
            terminal::print(&text(&report, Look::of_stdout()))?;
            warn_unseen(&report.unseen);
        }
        Ok(0)
    }

    fn report(&self, root: &Root) -> Result<Report> {
        let Self { name, lines, .. } = self;
        let manager = Manager::running(root)?;
        let view = Inventory::read(root, manager.as_ref())?;
        let mut named = view.named.iter();
        let Some(namespace) = named.find(|n| n.name.as_deref() == Some(name.as_str())) else {
            bail!("there is no network namespace '{name}': 'netnsctl list' shows what there is");
        };
        let mut report = Report {
            namespace: namespace.clone(),
            inside: Inside::default(),
            dns: inside::dns(root, name),
            since: HashMap::new(),
            stale: Vec::new(),
            log: Vec::new(),
            unseen: view.unseen.clone(),
        };
        if namespace.state == Presence::Present {
            match inside::look(root, name, namespace) {
                Ok(inside) => report.inside = inside,
                Err(error) => report.unseen.push(format!("routes and sockets: {error:#}")),
            }
        }
        if let Some(manager) = &manager {
            if let Err(error) = report.ask(manager, *lines) {
                report.unseen.push(format!("services, log: {error:#}"));
            }
        }
        let services = &report.namespace.services;
        report.stale = services::stale(root, &view, namespace, services)?;
        Ok(report)
    }
}

impl Report {
    /// Adds what only systemd knows.
    fn ask(&mut self, manager: &Manager, lines: u32) -> Result<()> {
        let names = self.namespace.units.iter().map(|unit| unit.name.clone());
        let mut names: Vec<String> = names.collect();
        for mut unit in manager.show(&names, &["Id", "StateChangeTimestamp"])? {
            let (id, since) = (unit.remove("Id"), unit.remove("StateChangeTimestamp"));
            self.since.extend(id.zip(since));
        }
        self.namespace.services = services::attached(manager, &self.namespace)?;
        names.extend(
            self.namespace
                .services
                .iter()
                .map(|service| service.unit.clone()),
        );
        if names.is_empty() || lines == 0 {
            return Ok(());
        }
        let mut arguments = vec!["--no-pager".to_owned(), "--quiet".to_owned()];
        arguments.push("--output=short-iso".to_owned());
        arguments.push(format!("--lines={lines}"));
        arguments.extend(names.iter().map(|name| format!("--unit={name}")));
        let log = command::output(&command::find("journalctl")?, &arguments)?;
        self.log = log.lines().map(str::to_owned).collect();
        Ok(())
    }
}

/// Lines in sections.
struct Page {
    look: Look,
    text: String,
}

impl Page {
    fn section(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        self.text += &self.look.paint(Tone::Heading, heading);
        self.text.push('\n');
        for line in lines {
            let width = self.look.width.unwrap_or(usize::MAX);
            for line in terminal::wrap(clean(&line).split_inclusive(' '), width, "  ", "      ") {
                self.text += &line;
                self.text.push('\n');
            }
        }
    }
}

fn text(report: &Report, look: Look) -> String {
    let namespace = &report.namespace;
    let mut page = Page {
        look,
        text: String::new(),
    };
    let presence = match namespace.state {
        Presence::Present => format!("made by {}", maker(namespace.made_by)),
        Presence::Leftover => "the file is left, the namespace is gone".to_owned(),
        Presence::Missing => "missing: its units are there, the namespace is gone".to_owned(),
    };
    page.section(&clean(namespace.title()), [presence]);
    page.section(
        "Units",
        namespace.units.iter().map(|unit| {
            let since = report
                .since
                .get(&unit.name)
                .filter(|since| !since.is_empty());
            let since = since
                .map(|since| format!(", since {since}"))
                .unwrap_or_default();
            format!("{}  {} ({}){since}", unit.name, unit.active, unit.sub)
        }),
    );
    page.section("Links", namespace.links.iter().flatten().map(link));
    page.section("Routes", report.inside.routes.iter().map(route));
    page.section(
        "DNS",
        report.dns.iter().map(|dns| {
            let servers = match dns.servers.as_slice() {
                [] => "no name servers".to_owned(),
                servers => servers.join(" "),
            };
            let search = match dns.search.as_slice() {
                [] => String::new(),
                search => format!("  search {}", search.join(" ")),
            };
            format!("{servers}{search}  ({})", dns.file)
        }),
    );
    page.section(
        "Listening",
        report.inside.listening.iter().map(|socket| {
            let process = socket.process.as_ref();
            let process = process.map(|p| format!("  {} ({})", p.name, p.pid));
            format!(
                "{} {}{}",
                socket.protocol,
                socket.address,
                process.unwrap_or_default()
            )
        }),
    );
    page.section(
        "Processes",
        namespace.processes.iter().map(|process| {
            let unit = process.unit.as_deref().unwrap_or_default();
            format!("{}  {}  {unit}", process.pid, process.name)
        }),
    );
    page.section(
        "Services",
        namespace.services.iter().map(|service| {
            let active = service.active.as_deref().unwrap_or("?");
            format!(
                "{}  {active}, processes inside: {}",
                service.unit, service.processes
            )
        }),
    );
    page.section(
        "Stale: left behind in a namespace that was replaced",
        report.stale.iter().map(|stale| {
            let unit = stale.process.unit.as_deref().unwrap_or_default();
            format!("{}  {}  {unit}", stale.process.pid, stale.process.name)
        }),
    );
    page.section("Log", report.log.iter().cloned());
    page.text
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
    words.extend(link.master.iter().map(|master| format!("in {master}")));
    words.extend(link.peer.iter().map(|peer| format!("peer {}", end(peer))));
    words.extend(link.lower.iter().map(|lower| format!("on {}", end(lower))));
    words.extend(link.addresses.iter().cloned());
    words.join("  ")
}

/// A link anywhere, as NAMESPACE:LINK.
pub fn end(end: &Endpoint) -> String {
    let place = match &end.place {
        Location::Host => "host",
        Location::Named(name) => name,
        Location::Unknown => "?",
    };
    match &end.link {
        Some(link) => format!("{place}:{link}"),
        None => format!("{place}:#{}", end.index),
    }
}

fn route(route: &inside::Route) -> String {
    let mut words = match route.kind {
        "unicast" => Vec::new(),
        kind => vec![kind.to_owned()],
    };
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
    words.push(format!("({})", route.protocol));
    words.join(" ")
}

/// `RT_TABLE_MAIN` (rtnetlink(7)).
const MAIN_TABLE: u32 = 254;
