//! What only a closer look at one namespace shows: routes, listening sockets, name servers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Namespace, Process};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::netlink::{self, Connection};
use crate::namespace::{self, NetNs};
use crate::sys::file::Missing;

/// The closer look.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inside {
    pub routes: Vec<Route>,
    pub listening: Vec<Listening>,
}

/// A way to somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// `default`, or an address with its prefix length.
    pub destination: String,
    pub family: &'static str,
    /// `unicast`, `blackhole` and so on (ip-route(8)).
    pub kind: &'static str,
    pub gateway: Option<String>,
    pub link: Option<String>,
    pub source: Option<IpAddr>,
    pub metric: Option<u32>,
    /// 254 is the main one.
    pub table: u32,
    /// Who made it.
    pub protocol: String,
}

/// A socket that waits for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    pub address: SocketAddr,
    /// Whose it is, as far as that is in the namespace and may be known.
    pub process: Option<Process>,
    #[serde(skip)]
    inode: u64,
}

/// Where names are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// The file that says so.
    pub file: String,
    pub servers: Vec<String>,
    pub search: Vec<String>,
}

/// The tables of sockets in `/proc/net` (proc(5)), and the state that means waiting.
const TABLES: [(&str, &str, &str); 4] = [
    ("tcp", "tcp", "0A"),
    ("tcp", "tcp6", "0A"),
    ("udp", "udp", "07"),
    ("udp", "udp6", "07"),
];

/// Looks into the namespace `name`, which is `seen` from outside.
pub fn look(root: &Root, name: &NsName, seen: &Namespace) -> Result<Inside> {
    let namespace = NetNs::open(root, name)?.context("it has gone just now");
    let results = namespace::visit(std::iter::once(namespace), |_| {
        let routes = Connection::open()?.routes()?.items;
        let mut listening = Vec::new();
        for (protocol, table, state) in TABLES {
            // Without IPv6 there are two less.
            let path = format!("/proc/thread-self/net/{table}");
            let text = fs::read_to_string(&path).missing_ok();
            let text = text.with_context(|| format!("reading {path}"))?;
            listening.extend(sockets(protocol, &text.unwrap_or_default(), state));
        }
        Ok((routes, listening))
    });
    let found = results.into_iter().next();
    let (routes, mut listening) = found.context("one namespace was visited")??;
    for process in &seen.processes {
        for inode in sockets_of(process.pid) {
            for socket in listening.iter_mut().filter(|socket| socket.inode == inode) {
                socket.process.get_or_insert_with(|| process.clone());
            }
        }
    }
    let name_of = |index: u32| {
        let mut links = seen.links.iter().flatten();
        let link = links.find(|link| link.index == index)?;
        Some(link.name.clone())
    };
    let routes = routes.into_iter().map(|route| shown(route, name_of));
    Ok(Inside {
        routes: routes.collect(),
        listening,
    })
}

fn shown(route: netlink::KernelRoute, name_of: impl Fn(u32) -> Option<String>) -> Route {
    Route {
        destination: route.destination,
        family: if route.v6 { "inet6" } else { "inet" },
        kind: route.kind,
        gateway: route.gateway,
        link: route.link.and_then(name_of),
        source: route.source,
        metric: route.metric,
        table: route.table,
        protocol: route.protocol,
    }
}

/// The sockets of a table of `/proc/net` that are in `state` and connected to nobody.
fn sockets(protocol: &'static str, table: &str, state: &str) -> Vec<Listening> {
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, remote_port) = words.get(2)?.split_once(':')?;
        if *words.get(3)? != state || remote_port != "0000" {
            return None;
        }
        Some(Listening {
            protocol,
            address: address(words.get(1)?)?,
            process: None,
            inode: words.get(9)?.parse().ok()?,
        })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// An address of `/proc/net`: words of 32 bits in the byte order of the machine, in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        IpAddr::from(Ipv4Addr::from(v4))
    } else {
        IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?))
    };
    Some(SocketAddr::new(address, port))
}

/// The inodes of the sockets that a process has; none where we may not look.
fn sockets_of(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}

/// The name servers of the namespace `name`, else those of the host; `None` where no file tells.
pub fn dns(root: &Root, name: &NsName) -> Option<Dns> {
    let own = root.netns_etc(name).join("resolv.conf");
    [own, root.path("/etc/resolv.conf")]
        .iter()
        .find_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            let (servers, search) = resolv_conf(&text);
            Some(Dns {
                file: path.display().to_string(),
                servers,
                search,
            })
        })
}

/// The name servers and the search list of a resolv.conf(5).
fn resolv_conf(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => servers.extend(words.next()),
            // The last one counts.
            Some("search" | "domain") => search = words.collect(),
            _ => {}
        }
    }
    (servers, search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_sockets_are_told_from_others() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0100007F:0035 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 4712 1
";
        if cfg!(target_endian = "big") {
            return;
        }
        let sockets = sockets("tcp", table, "0A");
        assert_eq!(sockets.len(), 1);
        assert_eq!(sockets[0].address.to_string(), "127.0.0.1:53");
        assert_eq!(sockets[0].inode, 4711);
        let v6 = address("00000000000000000000000001000000:1F90").unwrap();
        assert_eq!(v6.to_string(), "[::1]:8080");
        assert_eq!(address("xyz"), None);
    }

    #[test]
    fn resolv_conf_is_read() {
        let text = "# by hand\nnameserver 9.9.9.9\nnameserver 2620:fe::fe\nsearch a.b c\n";
        let (servers, search) = resolv_conf(text);
        assert_eq!(servers, ["9.9.9.9", "2620:fe::fe"]);
        assert_eq!(search, ["a.b", "c"]);
    }
}
