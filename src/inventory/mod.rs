//! The host as data: its network namespaces, what is in them, and who stands behind them.
//!
//! Everything is read once, and what could not be seen is said ([`Inventory::unseen`]) rather than
//! taken for nothing.

use anyhow::Result;
use serde::Serialize;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::{self, Id, NetNs};
use crate::systemd::manager::Manager;

pub mod graph;
pub mod inside;
mod links;
mod processes;
pub mod services;
mod units;

use links::NamedNetns;
pub use processes::Process;
pub use services::Service;
pub use units::{Unit, type_states};

/// The host, or the container that we are in.
#[derive(Debug, Clone, Serialize)]
pub struct Inventory {
    /// The namespace of PID 1.
    pub host: Namespace,
    /// The named ones, and those that only units speak of, in order of their names.
    pub named: Vec<Namespace>,
    /// What we were not allowed to see, in sentences.
    pub unseen: Vec<String>,
}

/// One network namespace.
#[derive(Debug, Clone, Serialize)]
pub struct Namespace {
    /// `None` for the host's.
    pub name: Option<String>,
    pub state: Presence,
    pub made_by: Maker,
    /// `None` where it is not there.
    #[serde(serialize_with = "as_text")]
    pub id: Option<Id>,
    pub units: Vec<Unit>,
    /// `None` where they could not be read.
    pub links: Option<Vec<Link>>,
    pub processes: Vec<Process>,
    /// The services whose processes are in it.
    pub services: Vec<Service>,
}

/// What there is of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    Present,
    /// A file below `/run/netns` that is no namespace, or no longer.
    Leftover,
    /// Units speak of it, and it is not there.
    Missing,
}

/// Who made a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Maker {
    Us,
    Other,
    /// Only root can tell.
    Unknown,
}

/// A link, with what it is connected to.
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
    /// The link that a macvlan, VLAN or tunnel is made on.
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
    /// Its name, where it could be found out.
    pub link: Option<String>,
}

/// Where a link is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "in", content = "namespace", rename_all = "lowercase")]
pub enum Location {
    Host,
    Named(String),
    /// In a namespace without a name, or in one that we cannot see.
    Unknown,
}

impl Namespace {
    /// As a person calls it.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("host")
    }

    pub fn location(&self) -> Location {
        match &self.name {
            Some(name) => Location::Named(name.clone()),
            None => Location::Host,
        }
    }

    /// The links that somebody has put there.
    pub fn own_links(&self) -> impl Iterator<Item = &Link> {
        let links = self.links.iter().flatten();
        links.filter(|link| link.kind != "loopback")
    }

    /// The name, if it is one that our units could have.
    pub fn nsname(&self) -> Option<NsName> {
        self.name.as_deref()?.parse().ok()
    }

    fn new(name: Option<String>, state: Presence) -> Self {
        Self {
            name,
            state,
            made_by: Maker::Unknown,
            id: None,
            units: Vec::new(),
            links: None,
            processes: Vec::new(),
            services: Vec::new(),
        }
    }
}

impl Inventory {
    /// Looks at everything once.
    ///
    /// # Errors
    /// The system itself cannot be read. A namespace that cannot is said in [`Inventory::unseen`].
    pub fn read(root: &Root, manager: Option<&Manager>) -> Result<Self> {
        let mut unseen = Vec::new();
        let (mut host, mut named) = namespaces(root, &mut unseen)?;
        let processes = processes::by_namespace(&mut unseen)?;
        let of = |id: Option<Id>| id.and_then(|id| processes.get(&id)).cloned();
        host.processes = of(host.id).unwrap_or_default();
        for namespace in &mut named {
            namespace.processes = of(namespace.id).unwrap_or_default();
            processes::identify(&mut namespace.processes);
            namespace.services = services::of(&namespace.processes);
        }
        if let Some(manager) = manager {
            match units::all(manager) {
                Ok(units) => units::assign(units, &mut named),
                Err(error) => unseen.push(format!("units: {error:#}")),
            }
        }
        makers(root, &mut named, &mut unseen);
        named.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            host,
            named,
            unseen,
        })
    }
}

/// The host's namespace and those with files, with their links.
fn namespaces(root: &Root, unseen: &mut Vec<String>) -> Result<(Namespace, Vec<Namespace>)> {
    let open = NetNs::host()?;
    let mut host = Namespace::new(None, Presence::Present);
    host.id = Some(open.id);
    let mut named = Vec::new();
    let mut seats = Vec::new();
    for path in namespace::files(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut namespace = Namespace::new(Some(name.into_owned()), Presence::Present);
        match NetNs::at(path.clone()) {
            Ok(Some(open)) => {
                namespace.id = Some(open.id);
                let place = namespace.location();
                let id = open.id;
                seats.push(NamedNetns { path, id, place });
            }
            Ok(None) => namespace.state = Presence::Leftover,
            Err(error) => unseen.push(format!("{error:#}")),
        }
        named.push(namespace);
    }
    let mut links = links::read(&open, &seats, unseen)?;
    host.links = links.host;
    let present = named.iter_mut().filter(|namespace| namespace.id.is_some());
    for (namespace, links) in present.zip(links.seats.drain(..)) {
        namespace.links = links;
    }
    Ok((host, named))
}

fn makers(root: &Root, named: &mut [Namespace], unseen: &mut Vec<String>) {
    // Only root may look into it (`namespace::create`).
    let directory = root.pins_dir();
    let refused = std::fs::read_dir(&directory)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if refused && !named.is_empty() {
        unseen.push("who made the namespaces: only root can tell".to_owned());
    }
    for namespace in named {
        let Some(id) = namespace.id else { continue };
        let name = namespace.nsname();
        let mut names = namespace.units.iter();
        let unit = names.any(|unit| unit.side.is_none() && unit.active == "active");
        let recorded = name.and_then(|name| namespace::made_by_us(root, &name));
        namespace.made_by = match (recorded == Some(id), refused) {
            (true, _) => Maker::Us,
            // The unit that makes it has not failed to.
            (false, true) if unit => Maker::Us,
            (false, true) => Maker::Unknown,
            (false, false) => Maker::Other,
        };
    }
}

fn as_text<S: serde::Serializer>(id: &Option<Id>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}
