//! The links of all namespaces, and the links that they are connected to.
//!
//! The kernel identifies the namespace of a peer by a number (`link-netnsid`) that is valid only in the
//! namespace of the link. Nearly all peers are in the host's namespace or in one that the host has a
//! number for, so only the numbers between the host and each namespace are read. For pairs between two
//! other namespaces, the kernel is asked for the peer, and only namespaces that have such a link are
//! tried.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::namespace::netlink::{Connection, KernelAddress, KernelLink, Under};
use crate::namespace::{self, Id, NetNs};
use crate::sys::exit::{self, Exit};

mod peers;

use peers::AllLinks;

/// A link, with the links that it is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// `loopback`, a kind of ip-link(8), or `physical`.
    pub kind: String,
    /// `up`, `down` or `no-carrier`.
    pub state: &'static str,
    /// In bytes.
    pub mtu: u32,
    pub mac: String,
    /// The bridge, bond or VRF that it is a port of, in the same namespace.
    pub master: Option<String>,
    /// The other end of a pair.
    pub peer: Option<Endpoint>,
    /// The link that a macvlan, VLAN or tunnel is stacked on.
    pub lower: Option<Endpoint>,
    /// With their prefix lengths.
    pub addresses: Vec<String>,
}

impl Link {
    /// The addresses to show: most links have a link-local IPv6 address, which tells nothing.
    pub fn shown_addresses(&self) -> impl Iterator<Item = &String> {
        let addresses = self.addresses.iter();
        addresses.filter(|address| !address.starts_with("fe80:"))
    }
}

/// A link in the same namespace or in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    #[serde(flatten)]
    pub place: Location,
    pub index: u32,
    /// `None` if the name is not known.
    pub link: Option<String>,
}

/// The namespace of a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "in", content = "namespace", rename_all = "lowercase")]
pub enum Location {
    Host,
    Named(String),
    /// A namespace that has no name, or that could not be read.
    Unknown,
}

impl Endpoint {
    /// `NAMESPACE:LINK`, or only `LINK` if it is in the namespace `place`.
    pub fn seen_from(&self, place: &Location) -> String {
        let link = match &self.link {
            Some(link) => link.clone(),
            None => format!("#{}", self.index),
        };
        match &self.place {
            other if other == place => link,
            Location::Host => format!("host:{link}"),
            Location::Named(name) => format!("{name}:{link}"),
            Location::Unknown => format!("?:{link}"),
        }
    }
}

/// A namespace with a file in `/run/netns`.
#[derive(Debug)]
pub struct NamedNetns {
    pub path: PathBuf,
    pub id: Id,
    pub location: Location,
}

/// The links of the host, and of each named namespace: `None` if they could not be read.
#[derive(Debug)]
pub struct Links {
    pub host: Vec<Link>,
    pub named: Vec<Option<Vec<Link>>>,
}

/// Whether a link is one end of a pair. Any other link that refers to another one is stacked on it.
fn is_pair(link: &KernelLink) -> bool {
    // ip-link(8)
    const KINDS: [&str; 3] = ["veth", "vxcan", "netkit"];
    let kind = link.kind.as_deref();
    kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// The links and addresses of one namespace.
#[derive(Debug)]
struct NamespaceDump {
    links: Vec<KernelLink>,
    addresses: Vec<KernelAddress>,
    unparsed: usize,
    /// The number by which it knows the host's namespace.
    host: Option<i32>,
}

/// The namespaces that one namespace knows, by the numbers that it has for them.
type NamespaceNumbers = HashMap<i32, Location>;

/// The names of links in namespaces without a name, by number and index.
type ForeignLinks = HashMap<(i32, u32), String>;

/// Reads the links of the host and of `named`.
///
/// # Errors
/// The host's own links cannot be read. A namespace that cannot be read is added to `unreadable`.
pub fn read(host: &NetNs, named: &[NamedNetns], unreadable: &mut Vec<String>) -> Result<Links> {
    let mut connection = connect(host)?;
    // Listing links makes the kernel number the namespaces of their peers.
    let host_dump = NamespaceDump::read(&mut connection)?;
    let mut numbers_of_host = NamespaceNumbers::new();
    let connection = Mutex::new(connection);
    let number_of = |namespace: &NetNs| {
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.nsid(namespace.as_raw_fd()).ok().flatten()
    };
    let results = namespace::visit(named, open, |_, open| {
        let number = number_of(open);
        let mut own = Connection::open()?;
        let mut dump = NamespaceDump::read(&mut own)?;
        let leads_out = |link: &&KernelLink| link.under.is_some_and(|under| under.nsid.is_some());
        let mut out = dump.links.iter().filter(leads_out);
        dump.host = match out.clone().find(|link| host_dump.is_peer(link, number)) {
            Some(link) => link.under.and_then(|under| under.nsid),
            None if out.next().is_some() => own.nsid(host.as_raw_fd())?,
            None => None,
        };
        Ok((number, dump))
    });
    let dumps = readable(results, unreadable);
    for (namespace, dump) in named.iter().zip(&dumps) {
        let number = match dump {
            Some((number, _)) => *number,
            // The host may know a namespace that this process may not enter.
            None => open(namespace).ok().and_then(|open| number_of(&open)),
        };
        numbers_of_host.extend(number.map(|number| (number, namespace.location.clone())));
    }
    let dumps: Vec<Option<NamespaceDump>> = dumps.into_iter().map(|read| Some(read?.1)).collect();
    let all = AllLinks::new(&host_dump, named, &dumps);
    let connection = connection.into_inner();
    let mut connection = connection.unwrap_or_else(PoisonError::into_inner);
    let foreign = foreign(&mut connection, &host_dump, &numbers_of_host);
    let mut numbers = all.between(unreadable);
    let host = all.resolve(&Location::Host, &host_dump, &numbers_of_host, &foreign);
    let mut links = Vec::new();
    for (at, (namespace, dump)) in named.iter().zip(&dumps).enumerate() {
        links.push(dump.as_ref().map(|dump| {
            let (mut known, foreign) = numbers.remove(&at).unwrap_or_default();
            known.extend(dump.host.map(|number| (number, Location::Host)));
            all.resolve(&namespace.location, dump, &known, &foreign)
        }));
    }
    let dumps = dumps.iter().flatten().chain([&host_dump]);
    let unparsed: usize = dumps.map(|dump| dump.unparsed).sum();
    if unparsed > 0 {
        unreadable.push(format!("{unparsed} links or addresses: unknown format"));
    }
    Ok(Links { host, named: links })
}

/// A connection in the host's namespace, which this process need not be in.
fn connect(host: &NetNs) -> Result<Connection> {
    if Id::current()? == host.id {
        return Connection::open();
    }
    namespace::within(&NetNs::host()?, Connection::open)
}

fn open(namespace: &NamedNetns) -> Result<NetNs> {
    match NetNs::at(namespace.path.clone())? {
        Some(open) if open.id == namespace.id => Ok(open),
        _ => bail!(
            "{}: deleted or replaced while it was read",
            namespace.path.display()
        ),
    }
}

impl NamespaceDump {
    fn read(connection: &mut Connection) -> Result<Self> {
        let links = connection.links()?;
        let addresses = connection.addresses()?;
        Ok(Self {
            unparsed: links.unread + addresses.unread,
            links: links.items,
            addresses: addresses.items,
            host: None,
        })
    }

    /// Whether the peer of `link`, which is in the namespace with `number`, is in this namespace. Then the
    /// link has the other namespace's number for this one.
    fn is_peer(&self, link: &KernelLink, number: Option<i32>) -> bool {
        let Some(under) = link.under.filter(|_| number.is_some()) else {
            return false;
        };
        let back = Under {
            index: link.index,
            nsid: number,
        };
        let own = self.links.iter().find(|own| own.index == under.index);
        is_pair(link) && own.is_some_and(|own| own.kind == link.kind && own.under == Some(back))
    }

    fn name_of(&self, index: u32) -> Option<&str> {
        let link = self.links.iter().find(|link| link.index == index)?;
        Some(&link.name)
    }

    /// Whether one of its links leads to a namespace other than the host's.
    fn leads_elsewhere(&self) -> bool {
        let mut numbers = self.links.iter().filter_map(|link| link.under?.nsid);
        numbers.any(|number| Some(number) != self.host)
    }
}

/// Unwraps the results and reports the errors: one line for all namespaces that this process may not
/// enter.
fn readable<T>(results: Vec<Result<T>>, unreadable: &mut Vec<String>) -> Vec<Option<T>> {
    let mut refused = 0;
    let mut dumps = Vec::with_capacity(results.len());
    for result in results {
        dumps.push(match result {
            Ok(dump) => Some(dump),
            Err(error) => {
                match exit::code(&error) {
                    Exit::NotPermitted => refused += 1,
                    _ => unreadable.push(format!("links and addresses: {error:#}")),
                }
                None
            }
        });
    }
    match refused {
        0 => {}
        1 => unreadable.push("links and addresses of 1 namespace: only root can enter it".into()),
        n => unreadable.push(format!(
            "links and addresses of {n} namespaces: only root can enter them"
        )),
    }
    dumps
}

/// Reads the peers in namespaces that have no name, such as those of containers.
fn foreign(
    connection: &mut Connection,
    dump: &NamespaceDump,
    known: &NamespaceNumbers,
) -> ForeignLinks {
    let mut found = ForeignLinks::new();
    for under in dump.links.iter().filter_map(|link| link.under) {
        let Some(number) = under.nsid.filter(|number| !known.contains_key(number)) else {
            continue;
        };
        if let Some(link) = connection.link_in(number, under.index) {
            found.insert((number, under.index), link.name);
        }
    }
    found
}
