//! The network namespaces of this host as data: their links, processes, types, units and services.
//!
//! Everything is read once. Anything that could not be read is listed in
//! [`Inventory::unreadable`], so that it is not mistaken for absent.
//!
//! Uses `phase`, `systemd`, `namespace`, `instance` and `sys`.

use std::collections::HashMap;

use anyhow::Result;
use serde::Serialize;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::{self, Id, NetNs};
use crate::sys::exit::{self, Exit};
use crate::sys::file;
use crate::systemd::manager::Manager;

pub mod counters;
pub mod details;
pub mod graph;
mod inside;
mod links;
mod processes;
mod services;
mod types;
mod units;

pub use links::{Endpoint, Link, Location};
pub use processes::Process;
pub use services::Service;
pub use types::TypeState;
pub use units::Unit;

/// The network namespaces of this host, or of the container that this process is in.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The namespace of PID 1.
    pub host: Namespace,
    /// The named namespaces, and those that only units refer to, ordered by name.
    pub named: Vec<Namespace>,
    /// The processes in namespaces that have no name.
    unnamed: HashMap<Id, Vec<Process>>,
    /// What could not be read, such as `owners of namespaces: only root can read them`.
    pub unreadable: Vec<String>,
}

/// One network namespace.
#[derive(Debug, Clone, Serialize)]
pub struct Namespace {
    /// `None` for the host's.
    pub name: Option<String>,
    pub state: NamespaceState,
    pub owner: Owner,
    /// `None` where the namespace does not exist.
    pub id: Option<Id>,
    pub types: Vec<TypeState>,
    pub units: Vec<Unit>,
    /// `None` where they could not be read.
    pub links: Option<Vec<Link>>,
    pub processes: Vec<Process>,
    /// The services with processes in the namespace.
    pub services: Vec<Service>,
}

/// Whether a namespace exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceState {
    Present,
    /// A file below `/run/netns` on which no namespace is mounted.
    Leftover,
    /// Its units are not inactive, but the namespace is gone.
    Missing,
    /// Configured, and not up.
    Inactive,
}

/// Who created a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    SystemdNetns,
    Other,
    /// Only root can tell.
    Unknown,
}

impl Namespace {
    pub fn new(name: Option<String>, state: NamespaceState) -> Self {
        Self {
            name,
            state,
            owner: Owner::Unknown,
            id: None,
            types: Vec::new(),
            units: Vec::new(),
            links: None,
            processes: Vec::new(),
            services: Vec::new(),
        }
    }

    /// The name for people: `host` for the host's namespace.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("host")
    }

    pub fn location(&self) -> Location {
        match &self.name {
            Some(name) => Location::Named(name.clone()),
            None => Location::Host,
        }
    }

    /// The links except the loopback interface.
    pub fn own_links(&self) -> impl Iterator<Item = &Link> {
        let links = self.links.iter().flatten();
        links.filter(|link| link.kind != "loopback")
    }

    /// The name, if it is valid as an NSNAME.
    pub fn nsname(&self) -> Option<NsName> {
        self.name.as_deref()?.parse().ok()
    }

    /// Whether the namespace exists and its types are active. An inactive type is ignored unless all are
    /// inactive.
    pub fn is_active(&self) -> bool {
        let is = |state: &str| self.types.iter().filter(|t| t.state == state).count();
        let (active, inactive) = (is("active"), is("inactive"));
        let all = active + inactive == self.types.len();
        self.state == NamespaceState::Present && all && (active > 0 || inactive == 0)
    }
}

impl Inventory {
    /// Reads everything except the details (see [`details::read`]).
    ///
    /// # Errors
    /// The host's own namespace or `/run/netns` cannot be read.
    pub fn read(root: &Root, manager: Option<&Manager>) -> Result<Self> {
        let mut unreadable = Vec::new();
        let (mut host, mut named) = namespaces(root, &mut unreadable)?;
        let mut processes = processes::by_namespace(&mut unreadable)?;
        let mut of = |id: Option<Id>| id.and_then(|id| processes.remove(&id)).unwrap_or_default();
        host.processes = of(host.id);
        for namespace in &mut named {
            namespace.processes = of(namespace.id);
            processes::identify(&mut namespace.processes);
            namespace.services = services::of(&namespace.processes);
        }
        if let Some(manager) = manager {
            match units::all(manager) {
                Ok(units) => units::assign(units, &mut named),
                Err(error) => unreadable.push(format!("units: {error:#}")),
            }
        }
        types::assign(root, &mut named, &mut unreadable);
        owners(root, &mut named, &mut unreadable);
        named.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            host,
            named,
            unnamed: processes,
            unreadable,
        })
    }
}

/// The host's namespace and the namespaces in `/run/netns`, with their links.
fn namespaces(root: &Root, unreadable: &mut Vec<String>) -> Result<(Namespace, Vec<Namespace>)> {
    let open = NetNs::host()?;
    let mut host = Namespace::new(None, NamespaceState::Present);
    host.id = Some(open.id);
    let mut named = Vec::new();
    let mut readable = Vec::new();
    for path in namespace::files(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut namespace = Namespace::new(Some(name.into_owned()), NamespaceState::Present);
        match NetNs::at(path.clone()) {
            Ok(Some(open)) => {
                let (id, location) = (open.id, namespace.location());
                namespace.id = Some(id);
                readable.push(links::NamedNetns { path, id, location });
            }
            Ok(None) => namespace.state = NamespaceState::Leftover,
            Err(error) => unreadable.push(format!("namespace {}: {error:#}", namespace.title())),
        }
        named.push(namespace);
    }
    let links = links::read(&open, &readable, unreadable)?;
    host.links = Some(links.host);
    let present = named.iter_mut().filter(|namespace| namespace.id.is_some());
    for (namespace, links) in present.zip(links.named) {
        namespace.links = links;
    }
    Ok((host, named))
}

/// Sets the owner of each namespace.
fn owners(root: &Root, named: &mut [Namespace], unreadable: &mut Vec<String>) {
    // Only root can list the directory (`namespace::create`).
    let pins = file::names(&root.pins_dir());
    let refused = pins.is_err_and(|error| exit::code(&error) == Exit::NotPermitted);
    if refused && !named.is_empty() {
        unreadable.push("owners of namespaces: only root can read them".to_owned());
    }
    for namespace in named {
        let Some(id) = namespace.id else { continue };
        let ours = namespace
            .nsname()
            .is_some_and(|name| namespace::is_made_by_us(root, &name, id));
        let mut units = namespace.units.iter();
        // A unit that fails to create the namespace does not become active.
        let created_by_unit = units.any(|unit| unit.side.is_none() && unit.active == "active");
        namespace.owner = match (ours, refused) {
            (true, _) => Owner::SystemdNetns,
            (false, true) if created_by_unit => Owner::SystemdNetns,
            (false, true) => Owner::Unknown,
            (false, false) => Owner::Other,
        };
    }
}
