//! Links that instances have marked with an alias (`netns_claim_link` of types.bash).

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Leftover;
use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::namespace::netlink::{Connection, KernelLink};
use crate::namespace::{self, Id, NetNs};

/// Where a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkLocation {
    Host,
    /// In the namespace of this file.
    Named(PathBuf, Id),
}

impl fmt::Display for LinkLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkLocation::Host => f.write_str("of the host"),
            LinkLocation::Named(path, _) => {
                let name = path.file_name().unwrap_or_default();
                write!(f, "in {}", name.to_string_lossy())
            }
        }
    }
}

impl LinkLocation {
    fn open(&self) -> Result<NetNs> {
        match self {
            LinkLocation::Host => NetNs::host(),
            LinkLocation::Named(path, id) => match NetNs::at(path.clone())? {
                Some(open) if open.id == *id => Ok(open),
                _ => bail!("{} was replaced", path.display()),
            },
        }
    }
}

const CLAIM: &str = "systemd-netns ";

/// The type whose instances mark links that they moved but did not create.
const MOVES: &str = "phys";

/// The owner of a link. Only of virtual links, never of hardware.
fn claimed_by(link: &KernelLink) -> Option<Instance> {
    link.kind.as_ref()?;
    let claim = link.alias.as_deref()?.strip_prefix(CLAIM)?;
    let instance: Instance = claim.parse().ok()?;
    (instance.nstype.as_str() != MOVES).then_some(instance)
}

/// Returns the links that instances have marked, and the namespaces that may be in use.
pub fn find(
    root: &Root,
    unreadable: &mut Vec<String>,
) -> Result<(Vec<Leftover>, BTreeSet<NsName>)> {
    let mut places = vec![LinkLocation::Host];
    for path in namespace::files(root)? {
        match NetNs::at(path.clone()) {
            Ok(Some(open)) => places.push(LinkLocation::Named(path, open.id)),
            Ok(None) => {}
            Err(error) => unreadable.push(format!("{error:#}")),
        }
    }
    let known = namespace::all(root)?;
    let links = namespace::visit(&places, LinkLocation::open, |_, _| {
        let mut connection = Connection::open()?;
        let links = connection.links()?.items.into_iter();
        let claimed: Vec<_> = links
            .filter_map(|link| Some((claimed_by(&link)?, link)))
            .collect();
        let mut nsids = BTreeSet::new();
        for namespace in &known {
            nsids.extend(connection.nsid(namespace.as_raw_fd())?);
        }
        Ok((claimed, nsids))
    });
    let mut found = Vec::new();
    let mut unknown = BTreeSet::new();
    for (place, result) in places.iter().zip(links) {
        let (claimed, nsids) = match result {
            Ok(result) => result,
            Err(error) => {
                unreadable.push(format!("{error:#}"));
                continue;
            }
        };
        for (instance, link) in claimed {
            let peer = link.under.and_then(|peer| peer.nsid);
            if peer.is_some_and(|nsid| !nsids.contains(&nsid)) {
                // Another system, such as the host of a container, may use that namespace.
                unreadable.push(format!(
                    "whether {instance} is up: the peer of its link {} is in an unknown namespace",
                    link.name
                ));
                unknown.insert(instance.nsname);
                continue;
            }
            found.push(Leftover::Link {
                instance,
                place: place.clone(),
                index: link.index,
                name: link.name,
            });
        }
    }
    Ok((found, unknown))
}

/// Deletes a link if it still belongs to the instance.
pub fn delete(place: &LinkLocation, index: u32, instance: &Instance) -> Result<bool> {
    namespace::within(&place.open()?, || {
        let mut connection = Connection::open()?;
        let links = connection.links()?.items;
        let link = links.iter().find(|link| link.index == index);
        match link.and_then(claimed_by) {
            Some(other) if other == *instance => connection.delete_link(index).map(|()| true),
            // Deleting the other end of a pair may have deleted this one.
            _ => Ok(false),
        }
    })
}
