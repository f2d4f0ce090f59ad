//! The result of a check, as data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::sys::exit::{self, Exit};
use crate::sys::process;

/// The exit status if no problems were found, but not everything could be checked.
const INCOMPLETE: u8 = 3;

/// How serious a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A start fails.
    Error,
    /// A start may fail, or may not do what was intended.
    Warning,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The kind of problem, such as `variable`: a stable keyword.
    pub kind: &'static str,
    /// The type or the instance; `None` if the problem concerns all.
    pub subject: Option<String>,
    pub file: Option<PathBuf>,
    pub line: Option<u32>,
    pub variable: Option<String>,
    pub message: String,
}

/// The result of a check.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// The types and instances that were checked.
    pub checked: BTreeSet<String>,
    /// What could not be checked, and why.
    pub not_checked: Vec<String>,
}

impl Finding {
    pub(super) fn new(severity: Severity, kind: &'static str, message: String) -> Self {
        Self {
            severity,
            kind,
            subject: None,
            file: None,
            line: None,
            variable: None,
            message,
        }
    }

    pub(super) fn error(kind: &'static str, message: String) -> Self {
        Self::new(Severity::Error, kind, message)
    }

    pub(super) fn warning(kind: &'static str, message: String) -> Self {
        Self::new(Severity::Warning, kind, message)
    }

    pub(super) fn of(mut self, subject: &impl ToString) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    pub(super) fn at(mut self, file: &Path, line: Option<u32>) -> Self {
        self.file = Some(file.to_owned());
        self.line = line;
        self
    }
}

impl Report {
    /// The exit status: 0 for no problems, 1 for warnings, 3 for no problems if not everything could
    /// be checked, 6 for errors.
    pub fn status(&self) -> u8 {
        match self.findings.iter().map(|finding| finding.severity).min() {
            None if !self.not_checked.is_empty() => INCOMPLETE,
            None => 0,
            Some(Severity::Warning) => Exit::Failure as u8,
            Some(Severity::Error) => Exit::Config as u8,
        }
    }

    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Reports an error that prevents a check. If permission was denied to a user other than root,
    /// the finding is reported as not checked.
    pub(super) fn failed(&mut self, finding: Finding, error: &anyhow::Error) {
        if exit::code(error) == Exit::NotPermitted && !process::is_root() {
            self.not_checked.push(finding.message);
        } else {
            self.findings.push(finding);
        }
    }
}
