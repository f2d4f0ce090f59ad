//! The details of a namespace that `netnsctl status` shows in addition to the inventory.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::counters::{self, Counters};
pub use super::inside::{Dns, Inside, Listening, Route, dns};
pub use super::services::Stale;
use super::{Inventory, Namespace, NamespaceState, inside, processes, services};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::command;
use crate::systemd::manager::Manager;

/// One namespace, with its routes, sockets, name servers, counters and log.
#[derive(Debug, Serialize)]
pub struct Details {
    #[serde(flatten)]
    pub namespace: Namespace,
    #[serde(flatten)]
    pub inside: Inside,
    pub dns: Option<Dns>,
    /// `None` where they could not be read.
    pub counters: Option<Counters>,
    /// The time at which each unit entered its state, in the format of systemctl(1), by unit name.
    pub since: BTreeMap<String, String>,
    pub stale: Vec<Stale>,
    /// The last lines of the log, oldest first.
    pub log: Vec<String>,
}

/// Reads the details of `namespaces`, which are from the inventory, with at most `lines` log lines for
/// each. Anything that cannot be read is added to [`Inventory::unreadable`].
pub fn read(
    root: &Root,
    manager: Option<&Manager>,
    inventory: &mut Inventory,
    mut namespaces: Vec<Namespace>,
    lines: u32,
) -> Result<Vec<Details>> {
    let unreadable = &mut inventory.unreadable;
    let mut since = BTreeMap::new();
    if let Some(manager) = manager {
        since = since_when(manager, &namespaces)
            .inspect_err(|error| unreadable.push(format!("times of units: {error:#}")))
            .unwrap_or_default();
        if let Err(error) = services::attached(manager, &mut namespaces) {
            unreadable.push(format!("attached services: {error:#}"));
        }
    }
    let mut unnamed = Vec::new();
    for (id, mut processes) in inventory.unnamed.drain() {
        processes::identify(&mut processes);
        unnamed.extend(processes.into_iter().map(|process| (id, process)));
    }
    unnamed.sort_by_key(|(_, process)| process.pid);
    let mut all = Vec::new();
    let counters = counters::read(root, &namespaces, unreadable);
    for (namespace, counters) in namespaces.into_iter().zip(counters) {
        let name = NsName::of_any(namespace.title())?;
        let mut details = Details {
            inside: Inside::default(),
            dns: inside::dns(root, &name),
            counters,
            since: BTreeMap::new(),
            stale: services::stale(root, &unnamed, &namespace),
            log: Vec::new(),
            namespace,
        };
        let namespace = &details.namespace;
        if namespace.state == NamespaceState::Present {
            match inside::read(root, &name, namespace) {
                Ok(inside) => details.inside = inside,
                Err(error) => unreadable.push(format!("routes and sockets of {name}: {error:#}")),
            }
        }
        for unit in &namespace.units {
            let since = since.remove(&unit.name);
            details
                .since
                .extend(since.map(|since| (unit.name.clone(), since)));
        }
        if manager.is_some() && lines > 0 {
            match log(namespace, lines) {
                Ok(log) => details.log = log,
                Err(error) => unreadable.push(format!("log of {name}: {error:#}")),
            }
        }
        all.push(details);
    }
    Ok(all)
}

fn since_when(manager: &Manager, namespaces: &[Namespace]) -> Result<BTreeMap<String, String>> {
    let units = namespaces.iter().flat_map(|namespace| &namespace.units);
    let names: Vec<String> = units.map(|unit| unit.name.clone()).collect();
    let mut since = BTreeMap::new();
    for unit in manager.show(&names, &["Id", "StateChangeTimestamp"])? {
        since.insert(
            unit.get("Id").to_owned(),
            unit.get("StateChangeTimestamp").to_owned(),
        );
    }
    since.retain(|_, time| !time.is_empty());
    Ok(since)
}

/// The last lines that the units and services of a namespace have logged.
fn log(namespace: &Namespace, lines: u32) -> Result<Vec<String>> {
    let units = namespace.units.iter().map(|unit| &unit.name);
    let services = namespace.services.iter().map(|service| &service.unit);
    let units: Vec<String> = units
        .chain(services)
        .map(|name| format!("--unit={name}"))
        .collect();
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = ["--no-pager", "--quiet", "--output=short-iso"]
        .map(str::to_owned)
        .to_vec();
    arguments.push(format!("--lines={lines}"));
    arguments.extend(units);
    let log = command::output(&command::find("journalctl")?, &arguments)?;
    Ok(log.lines().map(str::to_owned).collect())
}
