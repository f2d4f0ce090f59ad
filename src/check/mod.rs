//! Finds problems in the configuration. Nothing is changed: files are sourced in a sandbox.
//!
//! Uses `update`, `phase`, `systemd`, `namespace`, `instance` and `sys`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;

use crate::instance::name::{BadName, Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::{self, Slot, Source, Sources};
use crate::instance::trust::Trust;
use crate::instance::types::{Scope, Types};
use crate::phase::script::{self, Inspection};
use crate::systemd::instances::{known, of_unit};
use crate::systemd::manager::Manager;
use crate::systemd::unit;
use crate::update::{self, Action};

mod addresses;
mod declarations;
mod files;
mod functions;
mod host;
mod instances;
mod report;
mod text;
mod values;

pub use declarations::Declarations;
pub use report::{Finding, Report, Severity};
use text::Text;

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Type(NsType),
    Instance(Instance),
}

impl FromStr for Subject {
    type Err = BadName;

    fn from_str(word: &str) -> Result<Self, BadName> {
        match word.contains('@') {
            true => word.parse().map(Subject::Instance),
            false => word.parse().map(Subject::Type),
        }
    }
}

impl Subject {
    fn covers(&self, instance: &Instance) -> bool {
        match self {
            Subject::Type(nstype) => *nstype == instance.nstype,
            Subject::Instance(one) => one == instance,
        }
    }

    /// Whether a type or instance of this name concerns it: also the type of the instance.
    fn concerns(&self, name: &str) -> bool {
        let (nstype, nsname) = name.split_once('@').unwrap_or((name, ""));
        nstype == self.nstype().as_str()
            && match self {
                Subject::Type(_) => true,
                Subject::Instance(one) => nsname.is_empty() || nsname == one.nsname.as_str(),
            }
    }

    fn nstype(&self) -> &NsType {
        match self {
            Subject::Type(nstype) => nstype,
            Subject::Instance(instance) => &instance.nstype,
        }
    }
}

/// An instance, or a placeholder for a type, and the content of its files.
struct Configuration {
    instance: Instance,
    /// Whether it stands for its type, of which no instance is known.
    is_placeholder: bool,
    /// Whether it is up, or partly.
    is_up: bool,
    sources: Sources,
    texts: Vec<Text>,
    declared: Declarations,
    inspection: Inspection,
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_placeholder {
            true => self.instance.nstype.fmt(f),
            false => self.instance.fmt(f),
        }
    }
}

impl Configuration {
    /// A finding about the type or instance as a whole.
    fn finding(&self, severity: Severity, kind: &'static str, message: String) -> Finding {
        Finding {
            subject: Some(self.to_string()),
            ..Finding::new(severity, kind, message)
        }
    }

    /// A finding about a variable, at the line that sets it last.
    fn variable_finding(
        &self,
        severity: Severity,
        kind: &'static str,
        variable: &str,
        message: String,
    ) -> Finding {
        let mut finding = self.finding(severity, kind, message);
        finding.variable = Some(variable.to_owned());
        let own = self.texts.iter().filter(|text| text.slot != Slot::Script);
        let place = own.rev().find_map(|text| {
            let line = text.line_that_sets(variable)?;
            Some((text, line))
        });
        // A value without such a line is a default that the script derives from the instance's name.
        if let Some((text, line)) = place {
            finding.file = Some(text.path.clone());
            finding.line = Some(line);
            if text.slot != Slot::Instance {
                finding.subject = Some(self.instance.nstype.to_string());
            }
        }
        finding
    }
}

/// Checks everything, or one type or instance.
///
/// # Errors
/// The directories of the configuration cannot be read.
pub fn run(root: &Root, manager: Option<&Manager>, subject: Option<&Subject>) -> Result<Report> {
    let mut report = Report::default();
    let types = Types::find(root)?;
    if subject.is_none() {
        report.add(files::names(root, &types));
    }
    let known = known(root, manager, &mut report.not_checked);
    let wanted = |nstype: &NsType| subject.is_none_or(|subject| subject.nstype() == nstype);
    let mut broken = BTreeSet::new();
    for nstype in types.found.iter().filter(|nstype| wanted(nstype)) {
        report.checked.insert(nstype.to_string());
    }
    files::check(root, &wanted, &mut report, &mut broken);
    let work = instances::configurations(root, &types, &known, subject);
    for (instance, is_placeholder) in &work {
        report.checked.insert(match is_placeholder {
            true => instance.nstype.to_string(),
            false => instance.to_string(),
        });
    }
    let mut configurations = Vec::new();
    let results = all(&work, |instance, is_placeholder| {
        let mut report = Report::default();
        let instance = instance.clone();
        let configuration =
            configuration(root, &types, instance, is_placeholder, &broken, &mut report);
        (configuration, report)
    });
    for ((instance, _), (configuration, found)) in work.iter().zip(results) {
        configurations.extend(configuration);
        report.add(found.findings);
        if subject.is_none_or(|subject| subject.covers(instance)) {
            report.not_checked.extend(found.not_checked);
        }
    }
    let host = host::HostLinks::read(&mut report.not_checked);
    for configuration in configurations.iter().filter(|c| wanted(&c.instance.nstype)) {
        report.add(functions::check(configuration, &types));
        report.add(values::check(root, configuration));
        report.add(host.check(configuration));
    }
    report.add(addresses::check(&configurations, &host, |configuration| {
        subject.is_none_or(|subject| subject.covers(&configuration.instance))
    }));
    let firewall = host::firewall(&configurations, &mut report.not_checked);
    report.add(firewall);
    if subject.is_none() {
        units(root, manager, &mut report);
    }
    sort_and_deduplicate(&mut report.findings);
    if let Some(subject) = subject {
        let concerns = |name: &String| subject.concerns(name);
        let findings = &mut report.findings;
        findings.retain(|finding| finding.subject.as_ref().is_none_or(concerns));
        report.checked.retain(concerns);
    }
    report.not_checked.sort();
    report.not_checked.dedup();
    Ok(report)
}

/// Calls `inspect` for each of `work`, in several threads: it mostly waits for the kernel to set up
/// and tear down sandboxes.
fn all<T: Send>(
    work: &[(Instance, bool)],
    inspect: impl Fn(&Instance, bool) -> T + Sync,
) -> Vec<T> {
    const THREADS: usize = 8;
    let inspect = &inspect;
    std::thread::scope(|scope| {
        let chunks = work.chunks(work.len().div_ceil(THREADS).max(1));
        let threads: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || chunk.iter().map(|(i, p)| inspect(i, *p)).collect()))
            .collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.flat_map(|results: Vec<T>| results).collect()
    })
}

/// Sources the files of an instance; `None` if that is not possible, for a reason added to the report.
fn configuration(
    root: &Root,
    types: &Types,
    instance: Instance,
    is_placeholder: bool,
    broken: &BTreeSet<PathBuf>,
    report: &mut Report,
) -> Option<Configuration> {
    let name = match is_placeholder {
        true => instance.nstype.to_string(),
        false => instance.to_string(),
    };
    // Trust is checked below.
    let sources = match sources::find(root, &instance, Trust::Blind) {
        Ok(sources) => sources,
        Err(error) => {
            // A file that cannot be read is already in the report.
            if !types.doubtful.contains(&instance.nstype) {
                let why = instances::without_placeholder(&format!("{error:#}"));
                let finding = Finding::error("unknown", why).of(&name);
                report.failed(finding, &error);
            }
            return None;
        }
    };
    // The network of a container was checked when the container was started.
    if sources.get(Slot::Container).is_some() {
        return None;
    }
    let trust = Trust::from_environment();
    let untrusted = |file: &&Source| trust.check_for_root(&file.path).is_err();
    if let Some(file) = sources.files.iter().find(untrusted) {
        let path = file.path.display();
        report
            .not_checked
            .push(format!("{name}: {path} is not trusted and was not sourced"));
        return None;
    }
    // Broken files are already in the report.
    if sources.files.iter().any(|file| broken.contains(&file.path)) {
        return None;
    }
    let texts = sources.files.iter().map(Text::of);
    let texts: Vec<Text> = texts.collect();
    let declared = texts
        .iter()
        .find(|text| text.slot == Slot::Script)
        .map(|text| Declarations::of(&text.text))
        .unwrap_or_default();
    let mut copies = vec![root.conf_dir(), root.share_dir()];
    copies.extend(declared.reads.iter().map(|path| root.path(path)));
    copies.retain(|directory| directory.is_dir());
    let is_up = instances::is_up(root, &instance);
    match script::inspect(&instance, &sources, &copies, !is_placeholder && !is_up) {
        Ok(inspection) => {
            if let Some(denied) = &inspection.denied {
                report.not_checked.push(format!("{name}: {denied}"));
            }
            Some(Configuration {
                instance,
                is_placeholder,
                is_up,
                sources,
                texts,
                declared,
                inspection,
            })
        }
        Err(error) => {
            report.not_checked.push(format!(
                "content of configuration files: cannot source them in isolation: {error:#}"
            ));
            None
        }
    }
}

/// Units and drop-ins that netnsupdate would create, update or remove, and the problems it reports.
fn units(root: &Root, manager: Option<&Manager>, report: &mut Report) {
    match update::pending(root, manager, &update::UpdateRequest::default()) {
        Ok(pending) => {
            report.add(pending.actions.iter().map(stale));
            let problems = pending.problems.iter().chain(&pending.remarks);
            report.add(problems.map(|problem| located(problem)));
        }
        Err(error) => {
            let finding = Finding::error("unit", format!("{error:#}"));
            report.failed(finding, &error);
        }
    }
}

/// The finding for a unit or drop-in that netnsupdate would change.
fn stale(action: &Action) -> Finding {
    let (change, path) = action.describe();
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    if let Some((_, nstype)) = name(path).and_then(|name| unit::of_copy(&name)) {
        let message = format!("units are out of date and would be {change}: run netnsupdate");
        return Finding::warning("stale", message).of(&nstype);
    }
    let message = format!("out of date and would be {change}: run netnsupdate");
    let finding = Finding::warning("stale", message).at(path, None);
    let directory = path.parent().and_then(name).unwrap_or_default();
    let unit = directory.strip_suffix(".d").unwrap_or_default();
    match (unit::of_copy(unit), of_unit(unit)) {
        (Some((_, nstype)), _) => finding.of(&nstype),
        (None, Some(instance)) => finding.of(&instance),
        (None, None) => finding,
    }
}

/// A problem that netnsupdate reports, split into file, line and message.
fn located(problem: &str) -> Finding {
    let plain = || Finding::warning("unit", problem.to_owned());
    let Some((place, message)) = problem
        .split_once(": ")
        .filter(|_| problem.starts_with('/'))
    else {
        return plain();
    };
    let (path, line) = match place.rsplit_once(':') {
        Some((path, line)) => (path, line.parse().ok()),
        None => (place, None),
    };
    let finding = Finding::warning("unit", message.to_owned()).at(Path::new(path), line);
    match Scope::of(Path::new(path)) {
        Ok(Some(Scope::Type(nstype))) => finding.of(&nstype),
        Ok(Some(Scope::Instance(instance))) => finding.of(&instance),
        _ => finding,
    }
}

/// Sorts the findings and removes duplicates, and the type's own messages about variables that have
/// another finding.
fn sort_and_deduplicate(findings: &mut Vec<Finding>) {
    let reported: BTreeSet<_> = findings
        .iter()
        .filter(|finding| finding.kind != values::VALUE)
        .filter_map(|finding| Some((finding.subject.clone(), finding.variable.clone()?)))
        .collect();
    findings.retain(|finding| {
        let variable = finding.variable.clone().unwrap_or_default();
        finding.kind != values::VALUE || !reported.contains(&(finding.subject.clone(), variable))
    });
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.subject.clone(), f.file.clone(), f.line, f.severity);
        key(a).cmp(&key(b)).then_with(|| a.cmp(b))
    });
    findings.dedup();
}
