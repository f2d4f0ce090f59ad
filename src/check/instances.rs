//! The instances whose files are checked.

use std::collections::BTreeSet;

use super::Subject;
use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::is_source;
use crate::instance::types::{Scope, Types};
use crate::phase::record::Record;

/// The namespace name for checking a type of which no instance is known: as short as possible, so
/// that no name derived from it is too long.
const PLACEHOLDER: &str = "x";

fn instance(nstype: &str, nsname: &str) -> Option<Instance> {
    Some(Instance {
        nstype: nstype.parse().ok()?,
        nsname: nsname.parse().ok()?,
    })
}

/// The instances whose files are checked, each with whether it is a placeholder for its type. Not
/// restricted to the subject: its instances may conflict with others.
pub fn configurations(
    root: &Root,
    types: &Types,
    known: &BTreeSet<Instance>,
    subject: Option<&Subject>,
) -> Vec<(Instance, bool)> {
    let mut configurations: BTreeSet<Instance> = known.clone();
    if let Some(Subject::Instance(instance)) = subject {
        configurations.insert(instance.clone());
    }
    let mut placeholders = BTreeSet::new();
    let asked = |nstype: &NsType| matches!(subject, Some(Subject::Type(t)) if t == nstype);
    let asked_for = match subject {
        Some(Subject::Type(nstype)) => Some(nstype.clone()),
        _ => None,
    };
    for nstype in types.found.iter().cloned().chain(asked_for) {
        let lonely = !configurations
            .iter()
            .any(|instance| instance.nstype == nstype);
        if lonely && (asked(&nstype) || is_the_administrators(root, &nstype)) {
            placeholders.extend(instance(nstype.as_str(), PLACEHOLDER));
        }
    }
    let real = configurations.into_iter().map(|instance| (instance, false));
    let placeholders = placeholders.into_iter().map(|instance| (instance, true));
    real.chain(placeholders).collect()
}

/// Whether the administrator has a file for the type; most shipped types are not used.
fn is_the_administrators(root: &Root, nstype: &NsType) -> bool {
    let [script, _] = root.scripts(nstype);
    [script, root.type_conf(nstype)]
        .iter()
        .any(|path| matches!(is_source(path), Ok(true)) && Scope::of(path).is_ok())
}

/// Whether an instance is up, or partly, as far as the caller can see: its own links and addresses
/// do not conflict with its configuration.
pub fn is_up(root: &Root, instance: &Instance) -> bool {
    match Record::of(root, instance).is_set_up() {
        Ok(is_set_up) => is_set_up,
        // Only root can read the record.
        Err(_) => root.netns(&instance.nsname).exists(),
    }
}

/// A message about a placeholder, worded for its type.
pub fn without_placeholder(message: &str) -> String {
    message.replace(&format!("-{PLACEHOLDER}.conf"), "-NSNAME.conf")
}
