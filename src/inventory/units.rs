//! The units of network namespaces, and their states.

use std::collections::HashMap;

use anyhow::Result;
use serde::Serialize;

use super::{Namespace, NamespaceState};
use crate::instance::phase::Side;
use crate::systemd::manager::{Manager, UnitState};
use crate::systemd::unit::{self, UnitName};

/// One of the units of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    pub name: String,
    /// `None` for the unit that creates the namespace.
    #[serde(rename = "type")]
    pub nstype: Option<String>,
    /// `None` for the unit that creates the namespace.
    #[serde(rename = "part", serialize_with = "part")]
    pub side: Option<Side>,
    /// `active`, `failed` and so on (systemctl(1)).
    pub active: String,
    /// The substate: `exited`, `start` and so on.
    pub sub: String,
}

/// The part of a namespace that a unit is for: `name`, `outside` or `inside`.
fn part<S: serde::Serializer>(side: &Option<Side>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(side.map_or("name", Side::as_str))
}

/// All units of ours that systemd has loaded, each with the name of its namespace.
pub fn all(manager: &Manager) -> Result<Vec<(String, Unit)>> {
    let units = manager.units(&unit::patterns())?.into_iter();
    Ok(units.filter_map(ours).collect())
}

fn ours(state: UnitState) -> Option<(String, Unit)> {
    let name = UnitName::parse(&state.name)?;
    let nsname = name.nsname().to_string();
    let (side, nstype) = match name {
        UnitName::Namespace(_) => (None, None),
        UnitName::Instance(side, instance) => (Some(side), Some(instance.nstype.to_string())),
    };
    let unit = Unit {
        name: state.name,
        nstype,
        side,
        active: state.active,
        sub: state.sub,
    };
    Some((nsname, unit))
}

/// Sets the units of each namespace. Adds those that do not exist although they have a unit that is not
/// inactive, with the state [`NamespaceState::Missing`].
pub fn assign(units: Vec<(String, Unit)>, named: &mut Vec<Namespace>) {
    let mut by_name: HashMap<String, Vec<Unit>> = HashMap::new();
    for (name, unit) in units {
        by_name.entry(name).or_default().push(unit);
    }
    for namespace in named.iter_mut() {
        let name = namespace.name.as_deref().unwrap_or_default();
        namespace.units = by_name.remove(name).unwrap_or_default();
    }
    for (name, units) in by_name {
        if units.iter().any(|unit| unit.active != "inactive") {
            let mut missing = Namespace::new(Some(name), NamespaceState::Missing);
            missing.units = units;
            named.push(missing);
        }
    }
    for namespace in named {
        let order = |a: &Unit, b: &Unit| (&a.nstype, a.side).cmp(&(&b.nstype, b.side));
        namespace.units.sort_by(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, active: &str) -> UnitState {
        UnitState {
            name: name.to_owned(),
            active: active.to_owned(),
            sub: "exited".to_owned(),
        }
    }

    #[test]
    fn units_find_their_namespaces() {
        let states = [
            state("netns-veth@web.service", "active"),
            state("netns_outside-veth@web.service", "active"),
            state("netns_name@web.service", "active"),
            state("netns-lo@gone.service", "failed"),
            state("netns-lo@never.service", "inactive"),
            state("netns-not-ours@web.service", "active"),
        ];
        let units = states.into_iter().filter_map(ours).collect();
        let mut named = vec![Namespace::new(
            Some("web".to_owned()),
            NamespaceState::Present,
        )];
        assign(units, &mut named);
        let names: Vec<_> = named.iter().map(Namespace::title).collect();
        assert_eq!(names, ["web", "gone"]);
        let parts: Vec<_> = named[0].units.iter().map(|unit| unit.side).collect();
        assert_eq!(parts, [None, Some(Side::Outside), Some(Side::Inside)]);
        assert_eq!(named[1].state, NamespaceState::Missing);
    }
}
