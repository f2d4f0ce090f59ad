//! The services that run, or should run, in network namespaces.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::{Namespace, Process};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::namespace::Id;
use crate::phase::record::Record;
use crate::systemd::manager::{Manager, Properties};
use crate::systemd::unit::UnitName;

/// A service that is attached to a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    pub unit: String,
    /// Its active state (systemctl(1)); `None` if systemd was not asked.
    pub active: Option<String>,
    /// The number of its processes in the namespace.
    pub processes: usize,
}

/// A process that should be in a namespace, but is still in a previous one of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stale {
    #[serde(flatten)]
    pub process: Process,
    /// The namespace that it is in.
    pub id: Id,
}

/// The services that `processes` belong to, without units of ours.
pub fn of(processes: &[Process]) -> Vec<Service> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for unit in processes
        .iter()
        .filter_map(|process| process.unit.as_deref())
    {
        if unit.ends_with(".service") && !is_ours(unit) {
            *counts.entry(unit).or_default() += 1;
        }
    }
    let service = |(unit, processes): (&str, usize)| Service {
        unit: unit.to_owned(),
        active: None,
        processes,
    };
    counts.into_iter().map(service).collect()
}

fn is_ours(name: &str) -> bool {
    UnitName::parse(name).is_some()
}

/// Adds the services that are configured to run in the namespaces, running or not, and sets the state
/// of each service.
pub fn attached(manager: &Manager, namespaces: &mut [Namespace]) -> Result<()> {
    let all = manager.units(&["*.service".to_owned()])?.into_iter();
    let others = all.map(|unit| unit.name).filter(|name| !is_ours(name));
    let others: Vec<String> = others.collect();
    let wanted = [
        "Id",
        "ActiveState",
        "NetworkNamespacePath",
        "JoinsNamespaceOf",
    ];
    for unit in manager.show(&others, &wanted)? {
        let id = unit.get("Id");
        let active = Some(unit.get("ActiveState").to_owned());
        for namespace in namespaces.iter_mut() {
            let mut services = namespace.services.iter_mut();
            if let Some(service) = services.find(|service| service.unit == id) {
                service.active.clone_from(&active);
            } else if is_for(&unit, namespace.title()) {
                namespace.services.push(Service {
                    unit: id.to_owned(),
                    active: active.clone(),
                    processes: 0,
                });
            }
        }
    }
    Ok(())
}

fn is_for(unit: &Properties, name: &str) -> bool {
    let path = unit.get("NetworkNamespacePath");
    let joined =
        |unit: &str| UnitName::parse(unit).is_some_and(|unit| unit.nsname().as_str() == name);
    let named = ["/run/netns/", "/var/run/netns/"].iter();
    named
        .into_iter()
        .any(|directory| path.strip_prefix(directory) == Some(name))
        || unit.get("JoinsNamespaceOf").split_whitespace().any(joined)
}

/// The processes that should be in `namespace`, but are in a previous one of that name.
///
/// They are those of `unnamed`, the processes in namespaces without a name, which are in a namespace
/// that was recorded under this name, or belong to a service that is attached to the name.
pub fn stale(root: &Root, unnamed: &[(Id, Process)], namespace: &Namespace) -> Vec<Stale> {
    let predecessors = predecessors(root, namespace);
    let is_attached = |process: &Process| {
        let mut services = namespace.services.iter();
        services.any(|service| Some(&service.unit) == process.unit.as_ref())
    };
    let stale = unnamed
        .iter()
        .filter(|(id, process)| predecessors.contains(id) || is_attached(process));
    let stale = stale.map(|(id, process)| Stale {
        process: process.clone(),
        id: *id,
    });
    stale.collect()
}

fn predecessors(root: &Root, namespace: &Namespace) -> Vec<Id> {
    let inside = namespace.units.iter();
    let inside = inside.filter(|unit| unit.side == Some(Side::Inside));
    let joined = inside.filter_map(|unit| {
        let nstype = unit.nstype.as_deref()?.parse().ok()?;
        let nsname = namespace.nsname()?;
        Record::of(root, &Instance { nstype, nsname }).namespace()
    });
    let recorded = namespace.nsname();
    let recorded = recorded.and_then(|name| crate::namespace::made_by_us(root, &name).ok()?);
    joined
        .chain(recorded)
        .filter(|id| Some(*id) != namespace.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_for_the_namespace_that_it_names() {
        assert!(is_for(
            &Properties::parse("NetworkNamespacePath=/run/netns/web"),
            "web"
        ));
        assert!(!is_for(
            &Properties::parse("NetworkNamespacePath=/run/netns/web2"),
            "web"
        ));
        assert!(is_for(
            &Properties::parse("JoinsNamespaceOf=netns-veth@web.service"),
            "web"
        ));
        assert!(!is_for(
            &Properties::parse("JoinsNamespaceOf=web.service"),
            "web"
        ));
        assert!(!is_for(&Properties::default(), "web"));
    }

    #[test]
    fn processes_of_one_service_are_counted_together() {
        let process = |pid, unit: &str| Process {
            pid,
            name: String::new(),
            unit: Some(unit.to_owned()),
        };
        let services = of(&[
            process(1, "nginx.service"),
            process(2, "nginx.service"),
            process(3, "session-1.scope"),
            process(4, "netns-veth@web.service"),
        ]);
        assert_eq!(services.len(), 1);
        assert_eq!(services[0].processes, 2);
    }
}
