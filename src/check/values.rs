//! Unknown variables, and values that a start refuses.

use std::path::Path;

use super::functions::{TYPO, nearest};
use super::{Configuration, Finding, Severity};
use crate::instance::paths::Root;
use crate::instance::sources::{Slot, is_identifier_part};
use crate::namespace::netlink::LINK_NAME_MAX;
use crate::phase::script::{self, Ended};
use crate::sys::command::Termination;
use crate::sys::file;

/// The kind of finding that a type's own check function reports.
pub const VALUE: &str = "value";

/// Read by netnsupdate.
const REQUIRES: &str = "NETNS_REQUIRES";

/// Problems with the variables that the files set.
pub fn check(root: &Root, configuration: &Configuration) -> Vec<Finding> {
    let inspection = &configuration.inspection;
    if let Some((file, how)) = &inspection.ended {
        if inspection.denied.is_some() {
            return Vec::new();
        }
        return vec![ended(configuration, file, how)];
    }
    let mut findings = unknown(root, configuration);
    for (name, values) in &inspection.named {
        // Defaults that the type has set are checked like the values of the files.
        if !name.contains("_IFNAME") || !configuration.is_of_type(name) {
            continue;
        }
        for value in values.iter().filter(|value| value.len() > LINK_NAME_MAX) {
            let message = format!(
                "{name}={value}: an interface name has at most {LINK_NAME_MAX} characters, this has {}",
                value.len()
            );
            findings.push(configuration.variable_finding(Severity::Error, "name", name, message));
        }
    }
    if let Some(fault) = &inspection.gate {
        let variable = fault.split_once('=').map_or("NETNS_WAIT", |(name, _)| name);
        let fault = fault.clone();
        findings.push(configuration.variable_finding(Severity::Error, "gate", variable, fault));
    }
    if configuration.sources.unconfigured
        && !inspection.needs_no_configuration
        && !configuration.is_placeholder
    {
        let message = format!(
            "not configured: neither {} nor {} exists",
            root.type_conf(&configuration.instance.nstype).display(),
            root.instance_conf(&configuration.instance).display()
        );
        findings.push(configuration.finding(Severity::Error, "unconfigured", message));
        return findings;
    }
    // A denied file may be the cause of the error.
    if inspection.denied.is_none() {
        findings.extend(value_error(configuration));
    }
    findings
}

impl Configuration {
    /// Whether the type declares a variable, or its name begins like those of the type.
    fn is_of_type(&self, variable: &str) -> bool {
        let known = self
            .declared
            .variables
            .iter()
            .flatten()
            .any(|v| v == variable);
        known || variable.starts_with(&prefix(self))
    }
}

/// The prefix of all variables of a type.
fn prefix(configuration: &Configuration) -> String {
    format!("{}_", configuration.instance.nstype.as_str().to_uppercase())
}

fn ended(configuration: &Configuration, file: &Path, how: &Ended) -> Finding {
    let said = match configuration.inspection.last_words.as_str() {
        "" => String::new(),
        words => format!(": {words}"),
    };
    let (severity, message) = match how {
        Ended::By(Termination::Exited(0)) => (
            Severity::Warning,
            "exits with status 0: no function is called".to_owned(),
        ),
        Ended::By(end) => (
            Severity::Error,
            format!("{end}: no function is called{said}"),
        ),
        Ended::TimedOut(seconds) => (
            Severity::Warning,
            format!("was still running after {seconds} seconds and was not checked further"),
        ),
    };
    let mut finding = configuration.finding(severity, "exit", message);
    finding.file = Some(file.to_owned());
    finding
}

/// Variables that the type does not declare and that nothing uses.
fn unknown(root: &Root, configuration: &Configuration) -> Vec<Finding> {
    let Some(known) = &configuration.declared.variables else {
        return Vec::new();
    };
    let libraries = libraries(root);
    let prefix = prefix(configuration);
    let mut findings = Vec::new();
    for name in configuration.inspection.set.keys() {
        if known.contains(name) {
            continue;
        }
        let misspelt = || known.iter().any(|known| is_misspelt(known, name));
        let ours = name.starts_with(&prefix) || name.starts_with("NETNS_");
        if !ours && !misspelt() {
            continue;
        }
        let texts = &configuration.texts;
        let mut own = texts.iter().filter(|text| text.slot != Slot::Script);
        if !own.any(|text| text.line_that_sets(name).is_some()) {
            continue;
        }
        let mentioned = |library: &String| library.contains(name.as_str());
        if libraries.iter().any(mentioned) || texts.iter().any(|text| text.uses(name)) {
            continue;
        }
        let common = libraries.iter().flat_map(|text| common_variables(text));
        let hint = nearest(name, known.iter().map(String::as_str).chain(common));
        let hint = hint
            .map(|name| format!("; did you mean {name}?"))
            .unwrap_or_default();
        let nstype = &configuration.instance.nstype;
        let message = format!("unknown variable {name} for type {nstype}{hint}");
        findings.push(configuration.variable_finding(Severity::Warning, "variable", name, message));
    }
    findings
}

/// The variables in a text that all types have in common.
fn common_variables(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c| !is_identifier_part(c));
    words.filter(|word| word.starts_with("NETNS_"))
}

fn is_misspelt(known: &str, name: &str) -> bool {
    known.len() > 4 && strsim::osa_distance(known, name) <= TYPO
}

/// The texts of the shared libraries and of the driver. The variables that they mention are known.
fn libraries(root: &Root) -> Vec<String> {
    let mut texts = vec![script::SOURCES.to_owned(), REQUIRES.to_owned()];
    for path in file::entries(&root.share_dir()).unwrap_or_default() {
        if path.extension().is_some_and(|e| e == "bash") {
            texts.extend(file::read_text(&path).ok().flatten());
        }
    }
    texts
}

/// The message of the type's own check, `VARIABLE=VALUE: FAULT`, if it ended with status 5 or 6. The
/// sandbox may be the cause of any other status.
fn value_error(configuration: &Configuration) -> Option<Finding> {
    let (status @ (5 | 6), text) = configuration.inspection.value_error.as_ref()? else {
        return None;
    };
    let line = text.lines().last().unwrap_or("invalid value").to_owned();
    let kind = if *status == 5 { "program" } else { VALUE };
    let rest = line.strip_prefix("Variable ").unwrap_or(&line);
    let variable = rest[..rest.find(|c| !is_identifier_part(c)).unwrap_or(rest.len())].to_owned();
    Some(configuration.variable_finding(Severity::Error, kind, &variable, line))
}
