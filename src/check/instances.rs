//! The instances whose files are looked into.

use std::collections::BTreeSet;

use super::Subject;
use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::is_source;
use crate::instance::types::{Scope, Types};
use crate::phase::record::Record;

/// The name that stands in where a type has files for all namespaces and no namespace is known:
/// as short as names can be, so that nothing becomes too long of it.
const STAND_IN: &str = "x";

fn instance(nstype: &str, nsname: &str) -> Option<Instance> {
    Some(Instance {
        nstype: nstype.parse().ok()?,
        nsname: nsname.parse().ok()?,
    })
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
        .any(|path| matches!(is_source(path), Ok(true)) && Scope::of(path).is_ok())
}

/// Whether something of an instance is set up, as far as we may see: then its own links and
/// addresses are in nobody's way.
pub fn is_up(root: &Root, instance: &Instance) -> bool {
    match Record::of(root, instance).sources() {
        Ok(sources) => sources.is_some(),
        // Others than root may not look, and everybody sees this.
        Err(_) => root.netns(&instance.nsname).exists(),
    }
}

/// A message about a stand-in, as it is about its type.
pub fn without_stand_in(message: &str) -> String {
    message.replace(&format!("-{STAND_IN}.conf"), "-NSNAME.conf")
}
