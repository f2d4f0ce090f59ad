//! The kernel's counters of a namespace: traffic, sockets, tracked connections, WireGuard peers.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Link, Namespace};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::namespace::netlink::{Connection, Traffic};
use crate::namespace::{self, NetNs};
use crate::sys::command;
use crate::sys::file;

/// The counters of one namespace.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counters {
    pub links: Vec<Traffic>,
    pub sockets: Vec<Sockets>,
    /// `None` if the kernel does not track connections.
    pub conntrack: Option<Conntrack>,
    pub wireguard: Vec<WireguardPeer>,
}

/// The sockets in use of one protocol and family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sockets {
    /// `tcp`, `udp` or `raw`.
    pub protocol: String,
    /// `inet` or `inet6`.
    pub family: &'static str,
    pub used: u64,
}

/// The table of tracked connections (conntrack(8)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conntrack {
    pub entries: u64,
    /// The maximum number of entries.
    pub limit: u64,
}

/// A peer of a WireGuard interface (wg(8)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WireguardPeer {
    pub link: String,
    pub public_key: String,
    /// Seconds since the epoch; 0 for never.
    pub last_handshake: u64,
    /// Bytes received from the peer.
    pub received: u64,
    /// Bytes sent to the peer.
    pub sent: u64,
}

/// Reads the counters of each of `namespaces`: `None` for one that does not exist, or that cannot be
/// read, which is added to `unreadable`.
pub fn read(
    root: &Root,
    namespaces: &[Namespace],
    unreadable: &mut Vec<String>,
) -> Vec<Option<Counters>> {
    let present = namespaces.iter().filter(|namespace| namespace.id.is_some());
    let present: Vec<&Namespace> = present.collect();
    let open = |namespace: &&Namespace| {
        NetNs::at(root.netns_dir().join(namespace.title()))?
            .filter(|open| Some(open.id) == namespace.id)
            .context("deleted or replaced while it was read")
    };
    let results = namespace::visit(&present, open, |namespace, _| {
        Ok((here()?, peers(root, namespace)))
    });
    let mut results = results.into_iter();
    let mut read = Vec::new();
    for namespace in namespaces {
        let mut report = |what: &str, error: anyhow::Error| {
            unreadable.push(format!("{what} {}: {error:#}", namespace.title()));
        };
        read.push(match namespace.id.and_then(|_| results.next()) {
            None => None,
            Some(Err(error)) => {
                report("counters of", error);
                None
            }
            Some(Ok((mut counters, peers))) => {
                counters.wireguard = peers.unwrap_or_else(|error| {
                    report("peers in", error);
                    Vec::new()
                });
                Some(counters)
            }
        });
    }
    read
}

/// The counters of this thread's namespace, without the WireGuard peers.
fn here() -> Result<Counters> {
    Ok(Counters {
        links: Connection::open()?.traffic()?.items,
        sockets: sockets()?,
        conntrack: conntrack()?,
        wireguard: Vec::new(),
    })
}

fn sockets() -> Result<Vec<Sockets>> {
    let mut found = Vec::new();
    // /proc/net shows the namespace of the main thread.
    for (name, family) in [("sockstat", "inet"), ("sockstat6", "inet6")] {
        let path = Path::new("/proc/thread-self/net").join(name);
        // A kernel without IPv6 has no sockstat6.
        let text = file::read_text(&path)?.unwrap_or_default();
        found.extend(sockets_in_use(&text, family));
    }
    Ok(found)
}

/// Parses sockstat or sockstat6 (proc_net(5)), with lines such as `TCP6: inuse 2`.
fn sockets_in_use(text: &str, family: &'static str) -> Vec<Sockets> {
    let line = |line: &str| {
        let (protocol, counters) = line.split_once(": inuse ")?;
        let protocol = protocol.trim_end_matches('6').to_lowercase();
        let used = counters.split(' ').next()?.trim().parse().ok()?;
        ["tcp", "udp", "raw"]
            .contains(&protocol.as_str())
            .then_some(Sockets {
                protocol,
                family,
                used,
            })
    };
    text.lines().filter_map(line).collect()
}

fn conntrack() -> Result<Option<Conntrack>> {
    // These files show the namespace of the thread that opens them.
    let number = |name: &str| -> Result<Option<u64>> {
        let path = Path::new("/proc/sys/net/netfilter").join(name);
        let text = file::read_text(&path)?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    };
    let entries = number("nf_conntrack_count")?;
    let limit = number("nf_conntrack_max")?;
    Ok(entries
        .zip(limit)
        .map(|(entries, limit)| Conntrack { entries, limit }))
}

/// The peers of the WireGuard interfaces in this thread's namespace, as wg(8) prints them.
fn peers(root: &Root, namespace: &Namespace) -> Result<Vec<WireguardPeer>> {
    let mut peers = Vec::new();
    for link in namespace.links.iter().flatten() {
        let Some(interface) = wireguard_interface(root, namespace, link) else {
            continue;
        };
        let wg = command::find("wg")?;
        let show = |what: &str| command::output(&wg, &["show", &interface, what]);
        let (handshakes, transfer) = (show("latest-handshakes")?, show("transfer")?);
        peers.extend(peers_of(&link.name, &handshakes, &transfer));
    }
    Ok(peers)
}

/// The name by which wg(8) knows a link, if it is a WireGuard interface. An interface of wireguard-go is
/// a tun link, which wg(8) knows by the name that it had on the host, where type `wireguard` created it
/// and wrote down both names.
fn wireguard_interface(root: &Root, namespace: &Namespace, link: &Link) -> Option<String> {
    match link.kind.as_str() {
        "wireguard" => Some(link.name.clone()),
        "tun" => namespace.types.iter().find_map(|found| {
            let instance = Instance {
                nstype: found.nstype.parse().ok()?,
                nsname: namespace.title().parse().ok()?,
            };
            let names = root.record(&instance).join("wireguard-go.names");
            let names = file::read_text(&names).ok()??;
            let (inside, original) = names.trim_end().split_once(' ')?;
            (inside == link.name).then(|| original.to_owned())
        }),
        _ => None,
    }
}

/// Parses the output of `wg show INTERFACE latest-handshakes` and `wg show INTERFACE transfer`.
fn peers_of(link: &str, handshakes: &str, transfer: &str) -> Vec<WireguardPeer> {
    let traffic: HashMap<&str, (u64, u64)> = transfer
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let key = words.next()?;
            Some((
                key,
                (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            ))
        })
        .collect();
    let peer = |line: &str| {
        let (key, time) = line.split_once(char::is_whitespace)?;
        let (received, sent) = traffic.get(key).copied().unwrap_or_default();
        Some(WireguardPeer {
            link: link.to_owned(),
            public_key: key.to_owned(),
            last_handshake: time.trim().parse().ok()?,
            received,
            sent,
        })
    };
    handshakes.lines().filter_map(peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted_by_protocol() {
        let text = "sockets: used 9\nTCP: inuse 3 orphan 0 tw 1 alloc 8 mem 1\nUDP: inuse 2 mem 0\nUDPLITE: inuse 0\n";
        let counted = sockets_in_use(text, "inet");
        let counted: Vec<_> = counted.iter().map(|s| (&*s.protocol, s.used)).collect();
        assert_eq!(counted, [("tcp", 3), ("udp", 2)]);
        let counted = sockets_in_use("TCP6: inuse 4\nFRAG6: inuse 1 memory 0\n", "inet6");
        assert_eq!((&*counted[0].protocol, counted[0].used), ("tcp", 4));
        assert_eq!(counted.len(), 1);
    }

    #[test]
    fn peers_are_those_with_a_handshake_line() {
        let peers = peers_of("wg0", "a=\t1700000000\nb=\t0\n", "a=\t10\t20\n");
        let read: Vec<_> = peers
            .iter()
            .map(|p| (&*p.public_key, p.last_handshake, p.received, p.sent))
            .collect();
        assert_eq!(read, [("a=", 1_700_000_000, 10, 20), ("b=", 0, 0, 0)]);
    }
}
