//! Functions that are never called, and types without functions.

use super::{Configuration, Finding, Severity};
use crate::instance::phase::Phase;
use crate::instance::sources::Slot;
use crate::instance::types::Types;

/// A name with at most this edit distance from another is taken for a misspelling of it.
pub const TYPO: usize = 2;

/// Problems with the functions of an instance.
pub fn check(configuration: &Configuration, types: &Types) -> Vec<Finding> {
    let nstype = &configuration.instance.nstype;
    let inspection = &configuration.inspection;
    if inspection.ended.is_some() {
        return Vec::new();
    }
    let expected = Phase::LIFE.map(|phase| phase.function(nstype));
    let mut findings = Vec::new();
    let mut found = Vec::new();
    for function in &inspection.functions {
        let name = function.name.as_str();
        if let Some(place) = expected.iter().position(|expected| expected == name) {
            found.push(place);
            continue;
        }
        let of_other = |phase: Phase| types.found.iter().any(|t| phase.function(t) == name);
        let called = || configuration.texts.iter().any(|text| text.calls(name));
        if Phase::LIFE.into_iter().any(of_other) || !looks_like_ours(name, &expected) || called() {
            continue;
        }
        let text = configuration.texts.iter().find(|t| t.path == function.file);
        // Libraries may define any function.
        let Some(text) = text else { continue };
        let all = types
            .found
            .iter()
            .flat_map(|t| Phase::LIFE.map(|phase| phase.function(t)));
        let all: Vec<String> = expected.iter().cloned().chain(all).collect();
        let hint = nearest(name, all.iter().map(String::as_str));
        let hint = hint
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        let message = format!("function {name} is never called{hint}");
        let finding = Finding::warning("function", message);
        let finding = finding.at(&function.file, Some(function.line));
        findings.push(match text.slot {
            Slot::Instance => finding.of(configuration),
            _ => finding.of(nstype),
        });
    }
    if found.is_empty() && inspection.denied.is_some() {
        // The functions may be in a file that could not be read.
    } else if found.is_empty() {
        let message = format!(
            "no file defines {}, {}, {} or {}: a start does nothing",
            expected[0], expected[1], expected[2], expected[3]
        );
        let mut finding = configuration.finding(Severity::Error, "function", message);
        finding.subject = Some(nstype.to_string());
        findings.push(finding);
    } else if found.contains(&0) && !found.contains(&3) && is_own(configuration, &expected[0]) {
        let message = format!(
            "function {} is defined, but not {}: nothing removes what it creates on the host",
            expected[0], expected[3]
        );
        findings.push(Finding::warning("function", message).of(nstype));
    }
    findings
}

/// Whether a function is in a configuration file: the administrator may have forgotten `down`.
fn is_own(configuration: &Configuration, name: &str) -> bool {
    let functions = &configuration.inspection.functions;
    let function = functions.iter().find(|function| function.name == name);
    let mut files = configuration.sources.files.iter();
    function.is_some_and(|function| {
        files.any(|source| source.path == function.file && source.slot != Slot::Script)
    })
}

fn looks_like_ours(name: &str, expected: &[String]) -> bool {
    let ends_like = |phase: Phase| name.ends_with(&format!("_{}_{}", phase.direction, phase.side));
    name.starts_with("configure_")
        || Phase::LIFE.into_iter().any(ends_like)
        || expected
            .iter()
            .any(|e| strsim::osa_distance(e, name) <= TYPO)
}

/// The most similar of `words`, if one differs from `name` in at most a third of its characters.
pub fn nearest<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.chars().count() / 3;
    let near = words.map(|word| (strsim::osa_distance(word, name), word));
    near.filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_recognised() {
        let expected = ["configure_veth_up_outside", "configure_veth_up_inside"];
        let meant = |name| nearest(name, expected.into_iter());
        assert_eq!(meant("configure_veht_up_outside"), Some(expected[0]));
        assert_eq!(meant("configure_veth_up_insde"), Some(expected[1]));
        assert_eq!(meant("something_else"), None);
        let expected = expected.map(str::to_owned);
        assert!(looks_like_ours("veth_up_outside", &expected));
        assert!(!looks_like_ours("add_address", &expected));
    }
}
