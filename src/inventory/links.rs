//! The links of all namespaces, and which of them belong together.
//!
//! The kernel gives the namespace of a peer as a number (`link-netnsid`) that is valid only in the
//! namespace of the link. Nearly all peers are in the host's namespace or in one that the host
//! knows, so each namespace is asked for its number of the host, and the host for its number of
//! each namespace. For pairs between two other namespaces, the kernel is asked for the peer itself,
//! and only namespaces that have such a link are tried.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::namespace::netlink::{self, Connection, KernelAddress, KernelLink, State, Under};
use crate::namespace::{self, Id, NetNs};
use crate::sys::exit::{self, Exit};

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
    /// The bridge, bond or VRF that it is part of, in the same namespace.
    pub master: Option<String>,
    /// The other end of a pair.
    pub peer: Option<Endpoint>,
    /// The link that a macvlan, VLAN or tunnel is stacked on.
    pub lower: Option<Endpoint>,
    /// With their prefix lengths.
    pub addresses: Vec<String>,
}

/// A link in the same namespace or in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    #[serde(flatten)]
    pub place: Location,
    pub index: u32,
    /// `None` where the name could not be found out.
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
    /// `NAMESPACE:LINK`, or only `LINK` within the same namespace.
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

/// A namespace that has a file.
#[derive(Debug)]
pub struct NamedNetns {
    pub path: PathBuf,
    pub id: Id,
    pub location: Location,
}

/// The links of the host, and of each named namespace: `None` where they could not be read.
#[derive(Debug)]
pub struct Links {
    pub host: Vec<Link>,
    pub named: Vec<Option<Vec<Link>>>,
}

/// Kinds of links that come in pairs (ip-link(8)). All others with a link below are stacked on it.
const PAIRS: [&str; 3] = ["veth", "vxcan", "netkit"];

/// What the kernel says of one namespace.
#[derive(Debug)]
struct Dump {
    links: Vec<KernelLink>,
    addresses: Vec<KernelAddress>,
    unparsed: usize,
    /// Its number of the host's namespace.
    host: Option<i32>,
}

/// The namespaces that one namespace knows, by its numbers of them.
type Numbers = HashMap<i32, Location>;

/// The names of links in namespaces without a name, by number and index.
type ForeignLinks = HashMap<(i32, u32), String>;

/// Reads the links of the host and of `named`.
///
/// # Errors
/// The host's own links cannot be read. A namespace that cannot is added to `unreadable`.
pub fn read(host: &NetNs, named: &[NamedNetns], unreadable: &mut Vec<String>) -> Result<Links> {
    let mut connection = connect(host)?;
    // Listing links makes the kernel number the namespaces of their peers.
    let host_dump = Dump::read(&mut connection)?;
    let mut numbers_of_host = Numbers::new();
    let results = namespace::visit(named.iter().map(open), |open| {
        let number = connection.nsid(open.as_raw_fd()).ok().flatten();
        let mut own = Connection::open()?;
        let mut dump = Dump::read(&mut own)?;
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
            None => open(namespace)
                .and_then(|open| connection.nsid(open.as_raw_fd()))
                .ok()
                .flatten(),
        };
        numbers_of_host.extend(number.map(|number| (number, namespace.location.clone())));
    }
    let dumps: Vec<Option<Dump>> = dumps.into_iter().map(|read| Some(read?.1)).collect();
    let all = AllLinks {
        host: &host_dump,
        named,
        dumps: &dumps,
        by_name: (named.iter().map(|namespace| &namespace.location))
            .zip(&dumps)
            .collect(),
    };
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
        unreadable.push(format!(
            "{unparsed} links or addresses: unknown format of the kernel's answer"
        ));
    }
    Ok(Links { host, named: links })
}

/// A connection to the host's namespace, wherever this process is.
fn connect(host: &NetNs) -> Result<Connection> {
    if Id::current()? == host.id {
        return Connection::open();
    }
    let host = NetNs::host();
    namespace::visit(std::iter::once(host), |_| Connection::open())
        .pop()
        .context("one namespace was visited")?
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

impl Dump {
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

    /// Whether the peer of a link of the namespace that this one knows by `number` is a link here:
    /// then that namespace's number of this one need not be asked for.
    fn is_peer(&self, link: &KernelLink, number: Option<i32>) -> bool {
        let Some(under) = link.under.filter(|_| number.is_some()) else {
            return false;
        };
        let back = Under {
            index: link.index,
            nsid: number,
        };
        let paired = link
            .kind
            .as_deref()
            .is_some_and(|kind| PAIRS.contains(&kind));
        let own = self.links.iter().find(|own| own.index == under.index);
        paired && own.is_some_and(|own| own.kind == link.kind && own.under == Some(back))
    }

    fn name_of(&self, index: u32) -> Option<&str> {
        let link = self.links.iter().find(|link| link.index == index)?;
        Some(&link.name)
    }

    /// Whether a link of it leads to another namespace than the host's.
    fn leads_elsewhere(&self) -> bool {
        let mut numbers = self.links.iter().filter_map(|link| link.under?.nsid);
        numbers.any(|number| Some(number) != self.host)
    }
}

/// Reports those that could not be read; all that this process may not enter in one line.
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

/// Asks for the peers in namespaces that have no name, such as those of containers.
fn foreign(connection: &mut Connection, dump: &Dump, known: &Numbers) -> ForeignLinks {
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

/// All that was read, to find links in.
struct AllLinks<'a> {
    host: &'a Dump,
    named: &'a [NamedNetns],
    dumps: &'a [Option<Dump>],
    by_name: HashMap<&'a Location, &'a Option<Dump>>,
}

impl AllLinks<'_> {
    /// The numbers of each other in namespaces that have links to others than the host's.
    fn between(&self, unreadable: &mut Vec<String>) -> HashMap<usize, (Numbers, ForeignLinks)> {
        let mut by_index: HashMap<u32, Vec<usize>> = HashMap::new();
        let mut concerned = Vec::new();
        for (at, dump) in self.dumps.iter().enumerate() {
            let Some(dump) = dump else { continue };
            for link in &dump.links {
                by_index.entry(link.index).or_default().push(at);
            }
            if dump.leads_elsewhere() {
                concerned.push((at, dump));
            }
        }
        let mut visited = concerned.iter();
        let opened = concerned.iter().map(|(at, _)| open(&self.named[*at]));
        let results = namespace::visit(opened, |namespace| {
            let current = visited.find(|(at, _)| self.named[*at].id == namespace.id);
            let (at, dump) = current.context("namespaces are visited in order")?;
            let mut connection = Connection::open()?;
            Ok((*at, self.numbers(&mut connection, dump, &by_index)))
        });
        let mut found = HashMap::new();
        for result in results {
            match result {
                Ok((at, numbers)) => drop(found.insert(at, numbers)),
                Err(error) => unreadable.push(format!("peers of links: {error:#}")),
            }
        }
        found
    }

    fn numbers(
        &self,
        connection: &mut Connection,
        dump: &Dump,
        by_index: &HashMap<u32, Vec<usize>>,
    ) -> (Numbers, ForeignLinks) {
        let (mut numbers, mut foreign) = (Numbers::new(), ForeignLinks::new());
        for under in dump.links.iter().filter_map(|link| link.under) {
            let other = |number: &i32| Some(*number) != dump.host && !numbers.contains_key(number);
            let Some(number) = under.nsid.filter(other) else {
                continue;
            };
            let peer = connection.link_in(number, under.index);
            let candidates = by_index.get(&under.index).into_iter().flatten();
            let place = candidates
                .filter(|at| self.could_be(**at, under.index, peer.as_ref()))
                .map(|at| &self.named[*at])
                .find(|candidate| {
                    let open = open(candidate);
                    let found = open.and_then(|open| connection.nsid(open.as_raw_fd()));
                    found.is_ok_and(|found| found == Some(number))
                });
            if let Some(place) = place {
                numbers.insert(number, place.location.clone());
            } else if let Some(peer) = peer {
                foreign.insert((number, under.index), peer.name);
            }
        }
        (numbers, foreign)
    }

    /// Whether a namespace has this link: link layer addresses are nearly unique.
    fn could_be(&self, at: usize, index: u32, link: Option<&KernelLink>) -> bool {
        let links = self.dumps[at].iter().flat_map(|dump| &dump.links);
        let own = links.into_iter().find(|own| own.index == index);
        match (own, link) {
            (Some(own), Some(link)) => own.name == link.name && own.mac == link.mac,
            _ => true,
        }
    }

    fn resolve(
        &self,
        place: &Location,
        dump: &Dump,
        numbers: &Numbers,
        foreign: &ForeignLinks,
    ) -> Vec<Link> {
        let mut addresses: HashMap<u32, Vec<String>> = HashMap::new();
        for KernelAddress {
            link,
            address,
            prefix,
            ..
        } in &dump.addresses
        {
            let shown = format!("{address}/{prefix}");
            addresses.entry(*link).or_default().push(shown);
        }
        let endpoint = |under: Under| {
            let place = match under.nsid {
                None => place.clone(),
                Some(number) => numbers.get(&number).cloned().unwrap_or(Location::Unknown),
            };
            let there = match place {
                Location::Host => Some(self.host),
                _ => self.by_name.get(&place).and_then(|dump| dump.as_ref()),
            };
            let name = there.and_then(|dump| dump.name_of(under.index));
            let foreign = || Some(foreign.get(&(under.nsid?, under.index))?.as_str());
            Endpoint {
                link: name.or_else(foreign).map(str::to_owned),
                index: under.index,
                place,
            }
        };
        let link = |link: &KernelLink| {
            let end = link.under.map(endpoint);
            let paired = link
                .kind
                .as_deref()
                .is_some_and(|kind| PAIRS.contains(&kind));
            let (peer, lower) = if paired { (end, None) } else { (None, end) };
            Link {
                index: link.index,
                name: link.name.clone(),
                kind: match &link.kind {
                    Some(kind) => kind.clone(),
                    None if link.loopback => "loopback".to_owned(),
                    None => "physical".to_owned(),
                },
                state: match link.state {
                    State::Up => "up",
                    State::Down => "down",
                    State::NoCarrier => "no-carrier",
                },
                mtu: link.mtu,
                mac: netlink::mac(&link.mac),
                master: link
                    .master
                    .and_then(|index| dump.name_of(index))
                    .map(str::to_owned),
                peer,
                lower,
                addresses: addresses.remove(&link.index).unwrap_or_default(),
            }
        };
        dump.links.iter().map(link).collect()
    }
}
