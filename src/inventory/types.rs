//! The types of a namespace. They are brought up by units of systemd, by `netnsctl up` if systemd does
//! not run, or by calling netnsinit.

use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use super::{Namespace, NamespaceState, Unit};
use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::{Direction, Side};
use crate::instance::register::{Register, Stage};
use crate::phase::record::Record;
use crate::sys::file;

/// The state of a type of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeState {
    #[serde(rename = "type")]
    pub nstype: String,
    /// `active`, `failed` and so on, as in systemctl(1).
    pub state: String,
    /// `systemd`, `netnsctl` if systemd does not run, or `netnsinit`; `None` if it is not up.
    pub started_by: Option<&'static str>,
}

/// Sets the types of each namespace. Adds those that do not exist although a type of theirs is up without
/// systemd, with the state [`NamespaceState::Missing`].
pub fn assign(root: &Root, named: &mut Vec<Namespace>, unreadable: &mut Vec<String>) {
    for namespace in named.iter_mut() {
        namespace.types = of_units(&namespace.units);
    }
    for name in names::<NsName>(&root.direct_dir(), unreadable) {
        let types = of_register(&Register::of(root, &name));
        if let Some(namespace) = find(named, &name) {
            namespace.types.extend(types);
        } else if !types.is_empty() {
            let name = Some(name.to_string());
            let mut missing = Namespace::new(name, NamespaceState::Missing);
            missing.types = types;
            named.push(missing);
        }
    }
    for instance in names::<Instance>(&root.records_dir(), unreadable) {
        let namespace = find(named, &instance.nsname);
        // A record without its namespace is a leftover.
        if let Some(namespace) = namespace.filter(|n| n.state == NamespaceState::Present) {
            let nstype = instance.nstype.as_str();
            if !namespace.types.iter().any(|t| t.nstype == nstype) {
                namespace.types.push(of_record(root, &instance));
            }
        }
    }
}

fn names<T: FromStr>(directory: &Path, unreadable: &mut Vec<String>) -> Vec<T> {
    file::parsed(directory).unwrap_or_else(|error| {
        unreadable.push(format!("types started without systemd: {error:#}"));
        Vec::new()
    })
}

fn find<'a>(named: &'a mut [Namespace], name: &NsName) -> Option<&'a mut Namespace> {
    let name = Some(name.as_str());
    named.iter_mut().find(|other| other.name.as_deref() == name)
}

/// A type that was brought up by calling netnsinit.
fn of_record(root: &Root, instance: &Instance) -> TypeState {
    let record = Record::of(root, instance);
    let unfinished = |side| record.unfinished(side).unwrap_or(true);
    let state = match unfinished(Side::Outside) || unfinished(Side::Inside) {
        true => "activating",
        false => "active",
    };
    TypeState {
        nstype: instance.nstype.to_string(),
        state: state.to_owned(),
        started_by: Some("netnsinit"),
    }
}

/// The types of units. A type has the state of its inside unit, or `failed` if either unit has failed.
fn of_units(units: &[Unit]) -> Vec<TypeState> {
    let mut types: Vec<TypeState> = Vec::new();
    for unit in units {
        let Some(nstype) = &unit.nstype else { continue };
        match types.last_mut() {
            // The inside unit comes last. It requires the outside one, so its state is that of the
            // type, unless the outside unit has failed.
            Some(last) if last.nstype == *nstype => {
                if last.state != "failed" {
                    last.state.clone_from(&unit.active);
                }
            }
            _ => types.push(TypeState {
                nstype: nstype.clone(),
                state: unit.active.clone(),
                started_by: Some("systemd"),
            }),
        }
    }
    for inactive in types.iter_mut().filter(|t| t.state == "inactive") {
        inactive.started_by = None;
    }
    types
}

fn of_register(register: &Register) -> Vec<TypeState> {
    let instances = register.instances().unwrap_or_default().into_iter();
    let state = |(instance, stage): (Instance, Stage)| {
        let state = match stage {
            Stage::Up => "active",
            Stage::Running(phase) if phase.direction == Direction::Up => "activating",
            Stage::Running(_) => "deactivating",
        };
        TypeState {
            nstype: instance.nstype.to_string(),
            state: state.to_owned(),
            started_by: Some("netnsctl"),
        }
    };
    instances.map(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_type_is_that_of_its_worst_unit() {
        let unit = |nstype: &str, side, active: &str| Unit {
            name: String::new(),
            nstype: Some(nstype.to_owned()),
            side: Some(side),
            active: active.to_owned(),
            sub: String::new(),
        };
        let types = of_units(&[
            unit("lo", Side::Outside, "failed"),
            unit("lo", Side::Inside, "inactive"),
            unit("veth", Side::Outside, "active"),
            unit("veth", Side::Inside, "activating"),
        ]);
        let states: Vec<_> = types.iter().map(|t| (&*t.nstype, &*t.state)).collect();
        assert_eq!(states, [("lo", "failed"), ("veth", "activating")]);
    }
}
