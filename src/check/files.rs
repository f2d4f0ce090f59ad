//! Files that netnsinit refuses or ignores.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{Finding, Report};
use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::sources;
use crate::instance::trust::Trust;
use crate::instance::types::{Scope, Types};
use crate::phase::script;
use crate::sys::exit::{self, Exit};
use crate::sys::file;
use crate::sys::process;

/// Files that belong to no type because of their names.
pub fn names(root: &Root, types: &Types) -> Vec<Finding> {
    // Files that only root can read are reported as not checked.
    let secret: Vec<String> = file::entries(&root.conf_dir())
        .unwrap_or_default()
        .into_iter()
        .filter(|path| !process::is_root() && fs::File::open(path).is_err())
        .map(|path| format!("{}: ", path.display()))
        .collect();
    let problems = types.problems.iter().cloned();
    problems
        .filter(|problem| !secret.iter().any(|secret| problem.contains(secret)))
        .map(|problem| Finding::warning("file", problem))
        .collect()
}

/// Checks the owner, mode and syntax of each file that is sourced for a wanted type. Files that bash
/// cannot parse or the caller cannot read are added to `broken`.
pub fn check(
    root: &Root,
    wanted: &impl Fn(&NsType) -> bool,
    report: &mut Report,
    broken: &mut BTreeSet<PathBuf>,
) {
    let trust = Trust::from_environment();
    // Each message once: all files in a writable directory have the same.
    let mut distrusted = BTreeSet::new();
    for directory in [root.conf_dir(), root.share_dir()] {
        for path in file::entries(&directory).unwrap_or_default() {
            let known = path.extension().is_some_and(|e| e == "sh" || e == "conf");
            if path.extension().is_some_and(|e| e == "bash") {
                // A library that scripts source. netnsinit does not check it.
                if let Err(error) = trust.check_for_root(&path) {
                    let finding = Finding::warning("trust", format!("{error:#}"));
                    if distrusted.insert(finding.message.clone()) {
                        report.failed(finding, &error);
                    }
                }
                continue;
            }
            if !known || !matches!(sources::is_source(&path), Ok(true)) {
                continue;
            }
            let nstype = match Scope::of(&path) {
                Ok(Some(Scope::All)) => None,
                Ok(Some(Scope::Type(nstype) | Scope::Instance(Instance { nstype, .. })))
                    if wanted(&nstype) =>
                {
                    Some(nstype)
                }
                _ => continue,
            };
            let found = |finding: Finding| match &nstype {
                Some(nstype) => finding.of(nstype),
                None => finding,
            };
            if let Err(error) = trust.check_for_root(&path) {
                let finding = Finding::error("trust", format!("{error:#}"));
                if distrusted.insert(finding.message.clone()) {
                    report.failed(found(finding), &error);
                }
            }
            if let Err(error) = fs::File::open(&path) {
                broken.insert(path.clone());
                let error =
                    anyhow::Error::new(error).context(format!("reading {}", path.display()));
                // For root, `names` has reported it.
                if exit::code(&error) == Exit::NotPermitted {
                    report.not_checked.push(format!("{error:#}"));
                }
                continue;
            }
            match script::syntax_error(&path) {
                Ok(None) => {}
                Ok(Some((line, words))) => {
                    report.add([found(Finding::error("syntax", words).at(&path, line))]);
                    broken.insert(path);
                }
                Err(error) => report.add([found(Finding::error("syntax", format!("{error:#}")))]),
            }
        }
    }
}
