use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cli::output::warn_unreadable;
use crate::instance::paths::Root;
use crate::inventory::counters::{self, Counters};
use crate::inventory::{Inventory, Namespace, NamespaceState};
use crate::namespace::netlink::Traffic;
use crate::sys::{file, terminal};
use crate::systemd::instances::known;
use crate::systemd::manager::Manager;

mod exposition;
mod http;

use exposition::{Exposition, MetricKind, MetricsFormat};

/// Print metrics of all network namespaces for Prometheus
///
/// The metrics are the states of namespaces and instances, the traffic and
/// errors of each link, sockets, tracked connections, and the last handshake of
/// each WireGuard peer. For those of the host's own namespace, use node_exporter.
#[derive(Debug, Args)]
#[command(after_help = "\
Only root can enter network namespaces. For any other user, the counters are
missing, and the metric netns_unreadable is not 0.

Example: netnsctl metrics --output /run/netns.prom
         systemctl enable --now netns_metrics.socket")]
pub struct Metrics {
    /// Write to FILE, atomically, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print OpenMetrics instead of Prometheus' own text format
    #[arg(long)]
    openmetrics: bool,

    /// Answer the HTTP request on standard input, a socket
    #[arg(long, hide = true, conflicts_with_all = ["output", "openmetrics"])]
    http: bool,
}

impl Metrics {
    pub fn run(&self, root: &Root) -> Result<u8> {
        if self.http {
            http::answer(io::stdin().as_fd(), |format| metrics(root, format))?;
            return Ok(0);
        }
        let format = match self.openmetrics {
            true => MetricsFormat::OpenMetrics,
            false => MetricsFormat::Prometheus,
        };
        let text = metrics(root, format)?;
        match &self.output {
            Some(path) => file::write(path, text.as_bytes(), 0o644)?,
            None => terminal::print(&text)?,
        }
        Ok(0)
    }
}

/// The metrics of all namespaces except the host's. Prints warnings about what could not be read.
fn metrics(root: &Root, format: MetricsFormat) -> Result<String> {
    let manager = Manager::running(root)?;
    let mut inventory = Inventory::read(root, manager.as_ref())?;
    let counters = counters::read(root, &inventory.named, &mut inventory.unreadable);
    warn_unreadable(&inventory.unreadable);
    let mut exposition = Exposition::new(format);
    exposition.family(
        MetricKind::Gauge,
        "netns_unreadable",
        "Number of things that could not be read, such as those that only root can read.",
        |add| add(&[], inventory.unreadable.len() as u64),
    );
    of_namespaces(&mut exposition, &inventory.named);
    of_instances(
        &mut exposition,
        &instances(root, manager.as_ref(), &inventory),
    );
    let counters: Vec<(&str, &Counters)> = inventory
        .named
        .iter()
        .map(Namespace::title)
        .zip(&counters)
        .filter_map(|(name, counters)| Some((name, counters.as_ref()?)))
        .collect();
    of_traffic(&mut exposition, &counters);
    of_tables(&mut exposition, &counters);
    of_peers(&mut exposition, &counters);
    Ok(exposition.finish())
}

fn of_namespaces(exposition: &mut Exposition, namespaces: &[Namespace]) {
    exposition.family(
        MetricKind::Gauge,
        "netns_namespace_present",
        "Whether the network namespace exists; 0 while only its units are loaded.",
        |add| {
            for namespace in namespaces {
                let present = namespace.state == NamespaceState::Present;
                add(&[("namespace", namespace.title())], present.into());
            }
        },
    );
    exposition.family(
        MetricKind::Gauge,
        "netns_processes",
        "Processes in the network namespace.",
        |add| {
            for namespace in namespaces {
                let processes = namespace.processes.len() as u64;
                add(&[("namespace", namespace.title())], processes);
            }
        },
    );
    exposition.family(
        MetricKind::Gauge,
        "netns_link_up",
        "Whether the link is up and has a carrier.",
        |add| {
            for namespace in namespaces {
                for link in namespace.links.iter().flatten() {
                    let labels = [
                        ("namespace", namespace.title()),
                        ("link", &link.name),
                        ("kind", &link.kind),
                    ];
                    add(&labels, (link.state == "up").into());
                }
            }
        },
    );
}

/// The possible states of an instance (systemctl(1)).
const STATES: [&str; 5] = ["active", "activating", "deactivating", "failed", "inactive"];

/// The state of each instance by namespace and type. Instances that are configured or enabled, but not up, are
/// `inactive`.
fn instances(
    root: &Root,
    manager: Option<&Manager>,
    inventory: &Inventory,
) -> BTreeMap<(String, String), String> {
    let known = known(root, manager, &mut Vec::new()).into_iter();
    let mut instances: BTreeMap<_, _> = known
        .map(|instance| (instance.nsname.to_string(), instance.nstype.to_string()))
        .map(|name| (name, "inactive".to_owned()))
        .collect();
    for namespace in &inventory.named {
        for one in &namespace.types {
            let name = (namespace.title().to_owned(), one.nstype.clone());
            instances.insert(name, one.state.clone());
        }
    }
    instances
}

fn of_instances(exposition: &mut Exposition, instances: &BTreeMap<(String, String), String>) {
    exposition.family(
        MetricKind::Gauge,
        "netns_instance_state",
        "State of the instance: 1 for its current state, 0 for the others.",
        |add| {
            for ((namespace, nstype), current) in instances {
                for state in STATES {
                    let labels = [
                        ("namespace", &**namespace),
                        ("type", nstype),
                        ("state", state),
                    ];
                    add(&labels, (current == state).into());
                }
            }
        },
    );
}

/// A counter of a link: its name, its description and how to read it.
type LinkCounter = (&'static str, &'static str, fn(&Traffic) -> u64);

const LINK_COUNTERS: [LinkCounter; 8] = [
    (
        "netns_link_receive_bytes_total",
        "Bytes that the link has received.",
        |traffic| traffic.received.bytes,
    ),
    (
        "netns_link_receive_packets_total",
        "Packets that the link has received.",
        |traffic| traffic.received.packets,
    ),
    (
        "netns_link_receive_errors_total",
        "Errors while the link received packets.",
        |traffic| traffic.received.errors,
    ),
    (
        "netns_link_receive_dropped_total",
        "Packets that were received and dropped.",
        |traffic| traffic.received.dropped,
    ),
    (
        "netns_link_transmit_bytes_total",
        "Bytes that the link has sent.",
        |traffic| traffic.sent.bytes,
    ),
    (
        "netns_link_transmit_packets_total",
        "Packets that the link has sent.",
        |traffic| traffic.sent.packets,
    ),
    (
        "netns_link_transmit_errors_total",
        "Errors while the link sent packets.",
        |traffic| traffic.sent.errors,
    ),
    (
        "netns_link_transmit_dropped_total",
        "Packets that were dropped instead of sent.",
        |traffic| traffic.sent.dropped,
    ),
];

fn of_traffic(exposition: &mut Exposition, namespaces: &[(&str, &Counters)]) {
    for (name, help, count) in LINK_COUNTERS {
        exposition.family(MetricKind::Counter, name, help, |add| {
            for (namespace, counters) in namespaces {
                for traffic in &counters.links {
                    let labels = [("namespace", *namespace), ("link", &traffic.link)];
                    add(&labels, count(traffic));
                }
            }
        });
    }
}

fn of_tables(exposition: &mut Exposition, namespaces: &[(&str, &Counters)]) {
    exposition.family(
        MetricKind::Gauge,
        "netns_sockets",
        "Sockets in use, including listening ones.",
        |add| {
            for (namespace, counters) in namespaces {
                for sockets in &counters.sockets {
                    let labels = [
                        ("namespace", *namespace),
                        ("protocol", &sockets.protocol),
                        ("family", sockets.family),
                    ];
                    add(&labels, sockets.used);
                }
            }
        },
    );
    let tables = || {
        let tables = namespaces.iter();
        tables.filter_map(|(namespace, counters)| Some((*namespace, counters.conntrack.as_ref()?)))
    };
    exposition.family(
        MetricKind::Gauge,
        "netns_conntrack_entries",
        "Tracked connections.",
        |add| tables().for_each(|(name, table)| add(&[("namespace", name)], table.entries)),
    );
    exposition.family(
        MetricKind::Gauge,
        "netns_conntrack_entries_limit",
        "Maximum number of tracked connections.",
        |add| tables().for_each(|(name, table)| add(&[("namespace", name)], table.limit)),
    );
}

fn of_peers(exposition: &mut Exposition, namespaces: &[(&str, &Counters)]) {
    let mut family = |kind, name, help, value: fn(&counters::WireguardPeer) -> u64| {
        exposition.family(kind, name, help, |add| {
            for (namespace, counters) in namespaces {
                for peer in &counters.wireguard {
                    let labels = [
                        ("namespace", *namespace),
                        ("link", &peer.link),
                        ("public_key", &peer.public_key),
                    ];
                    add(&labels, value(peer));
                }
            }
        });
    };
    family(
        MetricKind::Gauge,
        "netns_wireguard_last_handshake_timestamp_seconds",
        "Time of the last handshake with the peer, 0 for none; time() minus this is its age.",
        |peer| peer.last_handshake,
    );
    family(
        MetricKind::Counter,
        "netns_wireguard_receive_bytes_total",
        "Bytes received from the peer.",
        |peer| peer.received,
    );
    family(
        MetricKind::Counter,
        "netns_wireguard_transmit_bytes_total",
        "Bytes sent to the peer.",
        |peer| peer.sent,
    );
}
