//! What a check has found out, as data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::sys::exit::{self, Exit};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A start fails.
    Error,
    /// A start may fail, or does not do what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// What kind of thing, a word that does not change.
    pub kind: &'static str,
    /// The type or the instance; `None` where it concerns all.
    pub subject: Option<String>,
    pub file: Option<PathBuf>,
    pub line: Option<u32>,
    pub variable: Option<String>,
    pub message: String,
}

/// All that was found out.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// The types and instances that were looked at.
    pub checked: BTreeSet<String>,
    /// What we were not able to see, in sentences.
    pub unseen: Vec<String>,
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
    /// 0 where nothing was found, 1 for warnings, 6 for errors.
    pub fn status(&self) -> u8 {
        match self.findings.iter().map(|finding| finding.severity).min() {
            None => 0,
            Some(Severity::Warning) => Exit::Failure as u8,
            Some(Severity::Error) => Exit::Config as u8,
        }
    }

    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// What an error is that keeps us from looking: for others than root, nothing to be wondered at.
    pub(super) fn failed(&mut self, finding: Finding, error: &anyhow::Error) {
        if exit::code(error) == Exit::NotPermitted && !nix::unistd::geteuid().is_root() {
            self.unseen.push(finding.message);
        } else {
            self.findings.push(finding);
        }
    }
}
