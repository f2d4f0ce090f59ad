//! Finds the link that another one is connected to, among the links of all namespaces.

use std::collections::HashMap;

use super::{
    Endpoint, ForeignLinks, Link, Location, NamedNetns, NamespaceDump, NamespaceNumbers, is_pair,
    open,
};
use crate::namespace;
use crate::namespace::netlink::{self, Connection, KernelAddress, KernelLink, LinkState, Under};

/// The dumps of all namespaces, in which links are looked up.
pub struct AllLinks<'a> {
    host: &'a NamespaceDump,
    named: &'a [NamedNetns],
    /// The dump of each of `named`; `None` if it could not be read.
    dumps: &'a [Option<NamespaceDump>],
    by_name: HashMap<&'a Location, &'a Option<NamespaceDump>>,
}

impl<'a> AllLinks<'a> {
    pub fn new(
        host: &'a NamespaceDump,
        named: &'a [NamedNetns],
        dumps: &'a [Option<NamespaceDump>],
    ) -> Self {
        let locations = named.iter().map(|namespace| &namespace.location);
        Self {
            host,
            named,
            dumps,
            by_name: locations.zip(dumps).collect(),
        }
    }

    /// For each namespace with links to namespaces other than the host's, by its position: the namespaces
    /// that these lead to, and the names of links in namespaces without a name.
    pub fn between(
        &self,
        unreadable: &mut Vec<String>,
    ) -> HashMap<usize, (NamespaceNumbers, ForeignLinks)> {
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
        let opened = |(at, _): &(usize, _)| open(&self.named[*at]);
        let results = namespace::visit(&concerned, opened, |(at, dump), _| {
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
        dump: &NamespaceDump,
        by_index: &HashMap<u32, Vec<usize>>,
    ) -> (NamespaceNumbers, ForeignLinks) {
        let (mut numbers, mut foreign) = (NamespaceNumbers::new(), ForeignLinks::new());
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

    /// Whether a namespace may have this link, by its index, name and MAC address, which is nearly unique.
    fn could_be(&self, at: usize, index: u32, link: Option<&KernelLink>) -> bool {
        let links = self.dumps[at].iter().flat_map(|dump| &dump.links);
        let own = links.into_iter().find(|own| own.index == index);
        match (own, link) {
            (Some(own), Some(link)) => own.name == link.name && own.mac == link.mac,
            _ => true,
        }
    }

    /// The links of a namespace, with their peers.
    pub fn resolve(
        &self,
        place: &Location,
        dump: &NamespaceDump,
        numbers: &NamespaceNumbers,
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
            let (peer, lower) = if is_pair(link) {
                (end, None)
            } else {
                (None, end)
            };
            Link {
                index: link.index,
                name: link.name.clone(),
                kind: match &link.kind {
                    Some(kind) => kind.clone(),
                    None if link.loopback => "loopback".to_owned(),
                    None => "physical".to_owned(),
                },
                state: match link.state {
                    LinkState::Up => "up",
                    LinkState::Down => "down",
                    LinkState::NoCarrier => "no-carrier",
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
