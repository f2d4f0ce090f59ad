//! What is wrong with the configuration, said before it bites. Nothing is changed, and nothing
//! that the files contain has an effect: they are sourced in quarantine.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;

use crate::instance::name::{BadName, Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::{self, Slot, Sources, Trust};
use crate::instance::types::Types;
use crate::phase::script::{self, Inspection};
use crate::systemd::instances::known;
use crate::systemd::manager::Manager;
use crate::systemd::unit;
use crate::update::{self, Action};

mod about;
mod addresses;
mod files;
mod functions;
mod host;
mod instances;
mod report;
mod text;
mod values;

pub use about::About;
pub use report::{Finding, Report, Severity};
use text::Text;

/// What is to be looked at.
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

    fn nstype(&self) -> &NsType {
        match self {
            Subject::Type(nstype) => nstype,
            Subject::Instance(instance) => &instance.nstype,
        }
    }
}

/// An instance, or one that stands in for all of a type, and what its files hold.
struct Candidate {
    instance: Instance,
    /// It does not exist: its name is ours.
    stands_in: bool,
    /// Its network is there already, or something of it.
    is_up: bool,
    sources: Sources,
    texts: Vec<Text>,
    about: About,
    inspection: Inspection,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stands_in {
            true => self.instance.nstype.fmt(f),
            false => self.instance.fmt(f),
        }
    }
}

impl Candidate {
    /// A finding about the whole of it.
    fn finding(&self, severity: Severity, kind: &'static str, message: String) -> Finding {
        Finding {
            subject: Some(self.to_string()),
            ..Finding::new(severity, kind, message)
        }
    }

    /// A finding about a variable, at the line that sets it last.
    fn about_variable(
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
        // What a script sets is a default, made of what the instance is called.
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

/// Looks at everything, or at one type or instance.
///
/// # Errors
/// The directories of the configuration cannot be read.
pub fn run(root: &Root, manager: Option<&Manager>, subject: Option<&Subject>) -> Result<Report> {
    let mut report = Report::default();
    let types = Types::find(root)?;
    if subject.is_none() {
        report.add(files::names(root, &types));
    }
    let known = known(root, manager, &mut report.unseen);
    let wanted = |nstype: &NsType| subject.is_none_or(|subject| subject.nstype() == nstype);
    let mut broken = BTreeSet::new();
    for nstype in types.found.iter().filter(|nstype| wanted(nstype)) {
        report.checked.insert(nstype.to_string());
    }
    files::check(root, &wanted, &mut report, &mut broken);
    let work = instances::candidates(root, &types, &known, subject);
    for (instance, stands_in) in &work {
        report.checked.insert(match stands_in {
            true => instance.nstype.to_string(),
            false => instance.to_string(),
        });
    }
    let mut candidates = Vec::new();
    for (candidate, found) in all(&work, |instance, stands_in| {
        let mut report = Report::default();
        let instance = instance.clone();
        let candidate = candidate(root, &types, instance, stands_in, &broken, &mut report);
        (candidate, report)
    }) {
        candidates.extend(candidate);
        report.add(found.findings);
        report.unseen.extend(found.unseen);
    }
    let host = host::Host::read(&mut report.unseen);
    for candidate in candidates.iter().filter(|c| wanted(&c.instance.nstype)) {
        report.add(functions::check(candidate, &types));
        report.add(values::check(root, candidate));
        report.add(host.check(candidate));
    }
    report.add(addresses::check(&candidates, &host, |candidate| {
        subject.is_none_or(|subject| subject.covers(&candidate.instance))
    }));
    let firewall = host::firewall(&candidates, &mut report.unseen);
    report.add(firewall);
    if subject.is_none() {
        copies(root, manager, &mut report);
    }
    judged_once(&mut report.findings);
    if let Some(Subject::Instance(instance)) = subject {
        let (all, one) = (instance.nstype.to_string(), instance.to_string());
        let concerns = |subject: &String| *subject == all || *subject == one;
        report
            .findings
            .retain(|f| f.subject.as_ref().is_none_or(concerns));
        report.checked.retain(concerns);
    } else if let Some(Subject::Type(nstype)) = subject {
        let concerns = |subject: &String| {
            let (of, _) = subject.split_once('@').unwrap_or((subject, ""));
            of == nstype.as_str()
        };
        report
            .findings
            .retain(|f| f.subject.as_ref().is_none_or(concerns));
        report.checked.retain(concerns);
    }
    report.unseen.sort();
    report.unseen.dedup();
    Ok(report)
}

/// Looks at all, several at a time: most of it is waiting for the kernel to make and end quarantines.
fn all<T: Send>(work: &[(Instance, bool)], look: impl Fn(&Instance, bool) -> T + Sync) -> Vec<T> {
    const THREADS: usize = 8;
    let look = &look;
    std::thread::scope(|scope| {
        let chunks = work.chunks(work.len().div_ceil(THREADS).max(1));
        let threads: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || chunk.iter().map(|(i, s)| look(i, *s)).collect()))
            .collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.flat_map(|results: Vec<T>| results).collect()
    })
}

/// Finds out what the files of an instance hold; `None` where that cannot be, as the report says.
fn candidate(
    root: &Root,
    types: &Types,
    instance: Instance,
    stands_in: bool,
    broken: &BTreeSet<PathBuf>,
    report: &mut Report,
) -> Option<Candidate> {
    let called = match stands_in {
        true => instance.nstype.to_string(),
        false => instance.to_string(),
    };
    // Who may have written them is told file by file, and in one go for all instances.
    let sources = match sources::find(root, &instance, Trust::Blind) {
        Ok(sources) => sources,
        Err(error) => {
            // Of a file that cannot be read, it has been said.
            if !types.doubtful.contains(&instance.nstype) {
                let why = instances::without_stand_in(&format!("{error:#}"));
                let finding = Finding::error("unknown", why).of(&called);
                report.failed(finding, &error);
            }
            return None;
        }
    };
    if sources.files.iter().any(|file| broken.contains(&file.path)) {
        return None;
    }
    let texts = sources.files.iter().filter_map(|s| Text::read(s).ok());
    let texts: Vec<Text> = texts.collect();
    let about = texts
        .iter()
        .find(|text| text.slot == Slot::Script)
        .map(|text| About::of(&text.text))
        .unwrap_or_default();
    let is_up = instances::is_up(root, &instance);
    match script::inspect(&instance, &sources, !stands_in && !is_up) {
        Ok(inspection) => Some(Candidate {
            instance,
            stands_in,
            is_up,
            sources,
            texts,
            about,
            inspection,
        }),
        Err(error) => {
            report.unseen.push(format!(
                "what the files set, for they cannot be tried out without effect here: {error:#}"
            ));
            None
        }
    }
}

/// The units that netnsupdate would make, renew or remove.
fn copies(root: &Root, manager: Option<&Manager>, report: &mut Report) {
    match update::pending(root, manager, &update::UpdateRequest::default()) {
        Ok(pending) => {
            let would: BTreeSet<(NsType, &str)> =
                pending.actions.iter().filter_map(would).collect();
            report.add(would.into_iter().map(|(nstype, would)| {
                let message = format!("its units would be {would} by netnsupdate: run it");
                Finding::warning("stale", message).of(&nstype)
            }));
            let problems = pending.problems.into_iter();
            report.add(problems.map(|problem| Finding::warning("unit", problem)));
        }
        Err(error) => {
            let finding = Finding::error("unit", format!("{error:#}"));
            report.failed(finding, &error);
        }
    }
}

/// The type of a unit, and what would be done to it.
fn would(action: &Action) -> Option<(NsType, &'static str)> {
    let (would, path) = action.describe();
    let (_, nstype) = unit::of_copy(path.file_name()?.to_str()?)?;
    Some((nstype, would))
}

/// In order, each one once; what a type says of a variable only where we have not said it.
fn judged_once(findings: &mut Vec<Finding>) {
    let said: BTreeSet<_> = findings
        .iter()
        .filter(|finding| finding.kind != values::JUDGED)
        .filter_map(|finding| Some((finding.subject.clone(), finding.variable.clone()?)))
        .collect();
    findings.retain(|finding| {
        let variable = finding.variable.clone().unwrap_or_default();
        finding.kind != values::JUDGED || !said.contains(&(finding.subject.clone(), variable))
    });
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.subject.clone(), f.file.clone(), f.line, f.severity);
        key(a).cmp(&key(b)).then_with(|| a.cmp(b))
    });
    findings.dedup();
}
