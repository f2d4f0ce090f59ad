//! The links of all namespaces, and which of them belong together.
//!
//! The kernel names the namespace of a peer by a number (`link-netnsid`) that means something only
//! in the namespace of the link. Nearly all peers are in the host's namespace or seen from there,
//! so each namespace is asked what it calls the host, and the host what it calls each namespace:
//! two questions for each. For pairs between two others, the kernel is asked for the peer itself,
//! and only the namespaces that have such a link are tried.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Endpoint, Link, Location};
use crate::namespace::netlink::{self, Connection, KernelAddress, State};
use crate::namespace::{self, Id, NetNs};

/// A namespace that has a file.
#[derive(Debug)]
pub struct NamedNetns {
    pub path: PathBuf,
    pub id: Id,
    pub place: Location,
}

/// The links of the host and of each seat; `None` where they could not be read.
#[derive(Debug)]
pub struct Links {
    pub host: Option<Vec<Link>>,
    pub seats: Vec<Option<Vec<Link>>>,
}

/// Kinds whose links come in pairs (ip-link(8)). All others are made on top of a link.
const PAIRS: [&str; 3] = ["veth", "vxcan", "netkit"];

/// What one namespace says of itself.
#[derive(Debug, Clone)]
struct Raw {
    links: Vec<netlink::KernelLink>,
    addresses: Vec<KernelAddress>,
    unread: usize,
    /// What it calls the host's namespace.
    host: Option<i32>,
}

/// Which seat a namespace means by a number.
type Numbers = HashMap<i32, Location>;

/// The names of links in namespaces that are not among the seats, by number and index.
type ForeignLinks = HashMap<(i32, u32), String>;

/// Reads them all.
///
/// # Errors
/// The host's own cannot be read; one of a seat that cannot is said in `unseen`.
pub fn read(host: &NetNs, seats: &[NamedNetns], unseen: &mut Vec<String>) -> Result<Links> {
    let mut connection = connect(host)?;
    // Listing links makes the kernel give numbers to the namespaces of the peers.
    let host_raw = raw(&mut connection, None)?;
    let mut called_by_host = Numbers::new();
    let read = namespace::visit(seats.iter().map(open), |_| {
        let mut connection = Connection::open()?;
        raw(&mut connection, Some(host))
    });
    for seat in seats {
        if let Ok(Some(nsid)) = open(seat).and_then(|open| connection.nsid(open.as_raw_fd())) {
            called_by_host.insert(nsid, seat.place.clone());
        }
    }
    let raws = seats_read(read, unseen);
    let world = AllLinks {
        host: &host_raw,
        seats,
        raws: &raws,
    };
    let foreign = foreign(&mut connection, &host_raw, &called_by_host);
    let mut numbers = world.between(unseen);
    let mut links = Links {
        host: Some(world.resolve(&Location::Host, &host_raw, &called_by_host, &foreign)),
        seats: Vec::new(),
    };
    for (index, seat) in seats.iter().enumerate() {
        let Some(raw) = &raws[index] else {
            links.seats.push(None);
            continue;
        };
        let (mut known, foreign) = numbers.remove(&index).unwrap_or_default();
        known.extend(raw.host.map(|nsid| (nsid, Location::Host)));
        let resolved = world.resolve(&seat.place, raw, &known, &foreign);
        links.seats.push(Some(resolved));
    }
    let unread: usize = std::iter::once(&host_raw)
        .chain(raws.iter().flatten())
        .map(|raw| raw.unread)
        .sum();
    if unread > 0 {
        unseen.push(format!(
            "{unread} links or addresses that the kernel describes oddly"
        ));
    }
    Ok(links)
}

/// A connection about the host's namespace, wherever this process is.
fn connect(host: &NetNs) -> Result<Connection> {
    if Id::current()? == host.id {
        return Connection::open();
    }
    let host = NetNs::host();
    namespace::visit(std::iter::once(host), |_| Connection::open())
        .pop()
        .context("one namespace was visited")?
}

fn open(seat: &NamedNetns) -> Result<NetNs> {
    match NetNs::at(seat.path.clone())? {
        Some(open) if open.id == seat.id => Ok(open),
        _ => bail!("{} is gone or was replaced just now", seat.path.display()),
    }
}

fn raw(connection: &mut Connection, host: Option<&NetNs>) -> Result<Raw> {
    let links = connection.links()?;
    let addresses = connection.addresses()?;
    let host = match host {
        Some(host) => connection.nsid(host.as_raw_fd())?,
        None => None,
    };
    Ok(Raw {
        unread: links.unread + addresses.unread,
        links: links.items,
        addresses: addresses.items,
        host,
    })
}

/// Many namespaces that cannot be entered are told in one line.
fn seats_read(read: Vec<Result<Raw>>, unseen: &mut Vec<String>) -> Vec<Option<Raw>> {
    let mut refused = 0;
    let raws = read.into_iter().map(|raw| match raw {
        Ok(raw) => Some(raw),
        Err(error) if crate::sys::exit::code(&error) == crate::sys::exit::Exit::NotPermitted => {
            refused += 1;
            None
        }
        Err(error) => {
            unseen.push(format!("{error:#}"));
            None
        }
    });
    let raws = raws.collect();
    match refused {
        0 => {}
        1 => unseen.push("links and addresses of one namespace: only root can enter it".into()),
        n => unseen.push(format!(
            "links and addresses of {n} namespaces: only root can enter them"
        )),
    }
    raws
}

/// Asks for the peers in namespaces that have no name, such as those of containers.
fn foreign(connection: &mut Connection, raw: &Raw, known: &Numbers) -> ForeignLinks {
    let mut found = ForeignLinks::new();
    for under in raw.links.iter().filter_map(|link| link.under) {
        let Some(nsid) = under.nsid.filter(|nsid| !known.contains_key(nsid)) else {
            continue;
        };
        if let Some(link) = connection.link_in(nsid, under.index) {
            found.insert((nsid, under.index), link.name);
        }
    }
    found
}

/// All that was read, to find links in.
struct AllLinks<'a> {
    host: &'a Raw,
    seats: &'a [NamedNetns],
    raws: &'a [Option<Raw>],
}

impl AllLinks<'_> {
    /// What the seats call each other, for those that have links to others than the host.
    fn between(&self, unseen: &mut Vec<String>) -> HashMap<usize, (Numbers, ForeignLinks)> {
        let mut by_index: HashMap<u32, Vec<usize>> = HashMap::new();
        for (seat, raw) in self.raws.iter().enumerate() {
            for link in raw.iter().flat_map(|raw| &raw.links) {
                by_index.entry(link.index).or_default().push(seat);
            }
        }
        let concerned = self.seats.iter().zip(self.raws);
        let concerned = concerned
            .filter(|(_, raw)| raw.as_ref().is_some_and(has_others))
            .map(|(seat, _)| open(seat));
        let index_of: HashMap<Id, usize> = (self.seats.iter().enumerate())
            .map(|(index, seat)| (seat.id, index))
            .collect();
        let results = namespace::visit(concerned, |namespace| {
            let mut connection = Connection::open()?;
            let seat = index_of[&namespace.id];
            Ok((seat, self.ask(&mut connection, seat, &by_index)))
        });
        let mut found = HashMap::new();
        for result in results {
            match result {
                Ok((seat, numbers)) => {
                    found.insert(seat, numbers);
                }
                Err(error) => unseen.push(format!("{error:#}")),
            }
        }
        found
    }

    fn ask(
        &self,
        connection: &mut Connection,
        seat: usize,
        by_index: &HashMap<u32, Vec<usize>>,
    ) -> (Numbers, ForeignLinks) {
        let (mut numbers, mut foreign) = (Numbers::new(), ForeignLinks::new());
        let Some(raw) = &self.raws[seat] else {
            return (numbers, foreign);
        };
        for under in raw.links.iter().filter_map(|link| link.under) {
            let Some(nsid) = under.nsid.filter(|nsid| Some(*nsid) != raw.host) else {
                continue;
            };
            if numbers.contains_key(&nsid) {
                continue;
            }
            let there = connection.link_in(nsid, under.index);
            let candidates = by_index.get(&under.index).into_iter().flatten();
            let place = candidates
                .filter(|other| self.could_be(**other, under.index, there.as_ref()))
                .find(|other| self.is_called(connection, **other, nsid))
                .map(|other| self.seats[*other].place.clone());
            match (place, there) {
                (Some(place), _) => {
                    numbers.insert(nsid, place);
                }
                (None, Some(link)) => {
                    foreign.insert((nsid, under.index), link.name);
                }
                (None, None) => {}
            }
        }
        (numbers, foreign)
    }

    /// Whether a seat has such a link: link layer addresses are nearly unique.
    fn could_be(&self, seat: usize, index: u32, link: Option<&netlink::KernelLink>) -> bool {
        let links = self.raws[seat].iter().flat_map(|raw| &raw.links);
        let own = links.into_iter().find(|own| own.index == index);
        match (own, link) {
            (Some(own), Some(link)) => own.name == link.name && own.mac == link.mac,
            _ => true,
        }
    }

    fn is_called(&self, connection: &mut Connection, seat: usize, nsid: i32) -> bool {
        let open = open(&self.seats[seat]);
        open.and_then(|open| connection.nsid(open.as_raw_fd()))
            .is_ok_and(|found| found == Some(nsid))
    }

    fn raw(&self, place: &Location) -> Option<&Raw> {
        if *place == Location::Host {
            return Some(self.host);
        }
        let seat = self.seats.iter().position(|seat| seat.place == *place)?;
        self.raws[seat].as_ref()
    }

    fn resolve(
        &self,
        place: &Location,
        raw: &Raw,
        numbers: &Numbers,
        foreign: &ForeignLinks,
    ) -> Vec<Link> {
        let mut addresses: HashMap<u32, Vec<String>> = HashMap::new();
        for address in &raw.addresses {
            let shown = shown(address);
            addresses.entry(address.link).or_default().push(shown);
        }
        let name_of = |index| named(&raw.links, index);
        let resolve = |link: &netlink::KernelLink| {
            let end = link.under.map(|under| {
                let place = match under.nsid {
                    None => place.clone(),
                    Some(nsid) => numbers.get(&nsid).cloned().unwrap_or(Location::Unknown),
                };
                let there = self.raw(&place);
                let found = there.and_then(|raw| named(&raw.links, under.index));
                let stranger = || Some(foreign.get(&(under.nsid?, under.index))?.clone());
                Endpoint {
                    place,
                    index: under.index,
                    link: found.or_else(stranger),
                }
            });
            let kind = link.kind.as_deref();
            let paired = kind.is_some_and(|kind| PAIRS.contains(&kind));
            let (peer, lower) = if paired { (end, None) } else { (None, end) };
            Link {
                index: link.index,
                name: link.name.clone(),
                kind: match kind {
                    Some(kind) => kind.to_owned(),
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
                master: link.master.and_then(name_of),
                peer,
                lower,
                addresses: addresses.remove(&link.index).unwrap_or_default(),
            }
        };
        raw.links.iter().map(resolve).collect()
    }
}

fn has_others(raw: &Raw) -> bool {
    let mut unders = raw.links.iter().filter_map(|link| link.under);
    unders.any(|under| under.nsid.is_some() && under.nsid != raw.host)
}

fn named(links: &[netlink::KernelLink], index: u32) -> Option<String> {
    let link = links.iter().find(|link| link.index == index)?;
    Some(link.name.clone())
}

fn shown(address: &KernelAddress) -> String {
    format!("{}/{}", address.address, address.prefix)
}
