use anyhow::Result;
use clap::Args;

use crate::check::{self, Finding, Report, Severity, Subject};
use crate::cli::output::{json, warn_unseen};
use crate::instance::paths::Root;
use crate::sys::terminal::{self, Look, Tone, clean};
use crate::systemd::manager::Manager;

/// Say what is wrong with the configuration before it bites
///
/// Reads all files as netnsinit would and looks at what they define. Nothing is changed: the files
/// are sourced where everything is read-only, without privileges and without connections, and no
/// function that configures anything is called.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 nothing is wrong, 1 warnings only, 6 errors: a start would fail.

Example: netnsctl check
         netnsctl check veth@web")]
pub struct Check {
    /// Print JSON (docs/schema/check.json)
    #[arg(long)]
    json: bool,

    /// Only this type or instance
    #[arg(value_name = "TYPE[@NAME]")]
    subject: Option<Subject>,
}

impl Check {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let manager = Manager::running(root)?;
        let report = check::run(root, manager.as_ref(), self.subject.as_ref())?;
        if self.json {
            terminal::print(&json(&report)?)?;
        } else {
            terminal::print(&text(&report, Look::of_stdout()))?;
            warn_unseen(&report.unseen);
        }
        Ok(report.status())
    }
}

fn text(report: &Report, look: Look) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &line(finding, look);
        text.push('\n');
    }
    let count = |severity| {
        let findings = report.findings.iter();
        findings
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let number = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let instances = report
        .checked
        .iter()
        .filter(|name| name.contains('@'))
        .count();
    let looked_at = format!(
        "{} and {}",
        number(report.checked.len() - instances, "type"),
        number(instances, "instance")
    );
    text += &match report.findings.len() {
        0 => format!("{looked_at}: nothing is wrong\n"),
        _ => format!(
            "{looked_at}: {}, {}\n",
            number(count(Severity::Error), "error"),
            number(count(Severity::Warning), "warning")
        ),
    };
    text
}

/// `error: SUBJECT: FILE:LINE: MESSAGE`, without what is not known.
fn line(finding: &Finding, look: Look) -> String {
    let (tone, word) = match finding.severity {
        Severity::Error => (Tone::Bad, "error:"),
        Severity::Warning => (Tone::Busy, "warning:"),
    };
    let mut line = look.paint(tone, word);
    if let Some(subject) = &finding.subject {
        line += &format!(" {}:", clean(subject));
    }
    if let Some(file) = &finding.file {
        let number = finding.line.map(|line| format!(":{line}"));
        let file = clean(&file.to_string_lossy());
        line += &format!(" {file}{}:", number.unwrap_or_default());
    }
    line + " " + &clean(&finding.message)
}
