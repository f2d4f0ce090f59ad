//! Which instances there are: those with a file, those enabled, those that are up.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Subject;
use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::is_source;
use crate::instance::types::{self, Types};
use crate::phase::record::Kept;
use crate::systemd::manager::Manager;
use crate::systemd::unit::Part;

/// The name that stands in where a type has files for all namespaces and no namespace is known:
/// as short as names can be, so that nothing becomes too long of it.
const STAND_IN: &str = "x";

/// All instances that anything speaks of.
pub fn known(
    root: &Root,
    manager: Option<&Manager>,
    unseen: &mut Vec<String>,
) -> BTreeSet<Instance> {
    let mut known = BTreeSet::new();
    for name in names(&root.conf_dir()) {
        let path = root.conf_dir().join(&name);
        if let Some((nstype, nsname)) = name.strip_suffix(".conf").and_then(|n| n.split_once('-')) {
            if matches!(is_source(&path), Ok(true)) {
                known.extend(instance(nstype, nsname));
            }
        }
    }
    // What is enabled, also where systemd does not run (systemd.unit(5)).
    for name in names(&root.unit_dir()) {
        if name.ends_with(".wants") || name.ends_with(".requires") {
            let units = names(&root.unit_dir().join(name));
            known.extend(units.iter().filter_map(|unit| of_unit(unit)));
        }
    }
    for name in names(&root.state_dir().join("instances")) {
        known.extend(name.parse::<Instance>());
    }
    if let Some(manager) = manager {
        match manager.units(&["netns-*@*.service".to_owned()]) {
            Ok(units) => known.extend(units.iter().filter_map(|unit| of_unit(&unit.name))),
            Err(error) => unseen.push(format!("which instances are started: {error:#}")),
        }
    }
    known
}

fn instance(nstype: &str, nsname: &str) -> Option<Instance> {
    Some(Instance {
        nstype: nstype.parse().ok()?,
        nsname: nsname.parse().ok()?,
    })
}

fn of_unit(name: &str) -> Option<Instance> {
    let (part, (nstype, nsname)) = Part::of_unit(name)?;
    (part == Part::Inside).then(|| instance(nstype, nsname))?
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|e| e.file_name().into_string().ok())
        .collect()
}

/// The instances whose files are to be looked into, each with whether it stands in for its type.
/// All are needed, whatever the subject: one may be at odds with another.
pub fn candidates(
    root: &Root,
    types: &Types,
    known: &BTreeSet<Instance>,
    subject: Option<&Subject>,
) -> Vec<(Instance, bool)> {
    let mut candidates: BTreeSet<Instance> = known.clone();
    if let Some(Subject::Instance(instance)) = subject {
        candidates.insert(instance.clone());
    }
    let mut stand_ins = BTreeSet::new();
    let asked = |nstype: &NsType| matches!(subject, Some(Subject::Type(t)) if t == nstype);
    let asked_for = match subject {
        Some(Subject::Type(nstype)) => Some(nstype.clone()),
        _ => None,
    };
    for nstype in types.found.iter().cloned().chain(asked_for) {
        let lonely = !candidates.iter().any(|instance| instance.nstype == nstype);
        if lonely && (asked(&nstype) || is_the_administrators(root, &nstype)) {
            stand_ins.extend(instance(nstype.as_str(), STAND_IN));
        }
    }
    let real = candidates.into_iter().map(|instance| (instance, false));
    let stand_ins = stand_ins.into_iter().map(|instance| (instance, true));
    real.chain(stand_ins).collect()
}

/// Whether anybody here has written a file for the type; of those shipped most are not used.
fn is_the_administrators(root: &Root, nstype: &NsType) -> bool {
    let [script, _] = root.scripts(nstype);
    [script, root.type_conf(nstype)]
        .iter()
        .any(|path| matches!(is_source(path), Ok(true)) && types::nstype(path).is_ok())
}

/// Whether something of an instance is set up, as far as we may see: then its own links and
/// addresses are in nobody's way.
pub fn is_up(root: &Root, instance: &Instance) -> bool {
    match Kept::of(root, instance).sources() {
        Ok(sources) => sources.is_some(),
        // Others than root may not look, and everybody sees this.
        Err(_) => root.netns(&instance.nsname).exists(),
    }
}

/// A message about a stand-in, as it is about its type.
pub fn without_stand_in(message: &str) -> String {
    message.replace(&format!("-{STAND_IN}.conf"), "-NSNAME.conf")
}
