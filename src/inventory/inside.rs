//! Routes, listening sockets and name servers of one namespace.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use procfs::net::{TcpNetEntries, TcpState, UdpNetEntries, UdpState};
use procfs::process::{self, FDTarget};
use procfs::{FromReadSI, current_system_info};
use serde::Serialize;

use super::{Namespace, Process};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::instance::resolv_conf::{self, ResolvConf};
use crate::namespace::netlink::{Connection, KernelRoute};
use crate::namespace::{self, NetNs};
use crate::sys::file::{self, Missing};

/// The routes and sockets of a namespace.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inside {
    pub routes: Vec<Route>,
    pub listening: Vec<Listening>,
}

/// A route with one next hop. A multipath route is several of these.
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
    /// The number of the routing table; 254 is the main table.
    pub table: u32,
    /// The origin of the route, such as `kernel` or `dhcp` (ip-route(8)).
    pub protocol: String,
}

/// A socket that waits for connections or datagrams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    pub address: SocketAddr,
    /// A process that has it open, if one is in the namespace and the caller may inspect it.
    pub process: Option<Process>,
    #[serde(skip)]
    inode: u64,
}

/// The resolver configuration of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// The path of the resolv.conf(5).
    pub file: String,
    pub servers: Vec<String>,
    pub search: Vec<String>,
}

/// Reads the routes and listening sockets of a namespace.
///
/// # Errors
/// The namespace cannot be entered or no longer exists, or the kernel does not answer.
pub fn read(root: &Root, name: &NsName, namespace: &Namespace) -> Result<Inside> {
    let open = NetNs::open(root, name)?.context("the namespace is gone")?;
    let (routes, mut listening) = namespace::within(&open, || {
        let routes = Connection::open()?.routes()?.items;
        Ok((routes, listening()?))
    })?;
    for process in &namespace.processes {
        for inode in sockets_of(process.pid) {
            for socket in listening.iter_mut().filter(|socket| socket.inode == inode) {
                socket.process.get_or_insert_with(|| process.clone());
            }
        }
    }
    let routes = routes.into_iter().map(|route| shown(route, namespace));
    let routes = routes.collect();
    Ok(Inside { routes, listening })
}

fn shown(route: KernelRoute, namespace: &Namespace) -> Route {
    let mut links = namespace.links.iter().flatten();
    let link = links.find(|link| Some(link.index) == route.link);
    Route {
        destination: route.destination,
        family: if route.v6 { "inet6" } else { "inet" },
        kind: route.kind,
        gateway: route.gateway,
        link: link.map(|link| link.name.clone()),
        source: route.source,
        metric: route.metric,
        table: route.table,
        protocol: route.protocol,
    }
}

/// The listening sockets of this thread's namespace.
fn listening() -> Result<Vec<Listening>> {
    let mut found = Vec::new();
    let mut add = |protocol, address, inode| {
        found.push(Listening {
            protocol,
            address,
            process: None,
            inode,
        });
    };
    for name in ["tcp", "tcp6"] {
        for socket in table::<TcpNetEntries>(name)?.into_iter().flat_map(|t| t.0) {
            if socket.state == TcpState::Listen {
                add("tcp", socket.local_address, socket.inode);
            }
        }
    }
    for name in ["udp", "udp6"] {
        for socket in table::<UdpNetEntries>(name)?.into_iter().flat_map(|t| t.0) {
            if socket.state == UdpState::Close && socket.remote_address.port() == 0 {
                add("udp", socket.local_address, socket.inode);
            }
        }
    }
    Ok(found)
}

/// A table of sockets; `None` if the kernel does not have it, as without IPv6.
fn table<T: FromReadSI>(name: &str) -> Result<Option<T>> {
    // /proc/net shows the namespace of the main thread.
    let path = format!("/proc/thread-self/net/{name}");
    let reading = || format!("reading {path}");
    let file = File::open(&path).missing_ok().with_context(reading)?;
    let parse = |file| T::from_read(file, current_system_info());
    file.map(parse).transpose().with_context(reading)
}

/// The inodes of the sockets of a process; none if this process may not read them.
fn sockets_of(pid: u32) -> Vec<u64> {
    let descriptors = process::Process::new(pid as i32).and_then(|process| process.fd());
    let descriptors = descriptors.into_iter().flatten().flatten();
    let inode = |target| match target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    };
    descriptors.filter_map(|fd| inode(fd.target)).collect()
}

/// The name servers of the namespace `name`, otherwise those of the host; `None` if there is no
/// resolv.conf.
pub fn dns(root: &Root, name: &NsName) -> Option<Dns> {
    let own = ResolvConf::of(root, name).path;
    [own, root.path("/etc/resolv.conf")]
        .iter()
        .find_map(|path| {
            let text = file::read_text(path).ok()??;
            let (servers, search) = resolv_conf::parse(&text);
            Some(Dns {
                file: path.display().to_string(),
                servers,
                search,
            })
        })
}
