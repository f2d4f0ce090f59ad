use anyhow::Result;
use clap::Args;

use crate::check::{self, Finding, Report, Severity, Subject};
use crate::cli::output::{Paging, print_json};
use crate::instance::paths::Root;
use crate::sys::log;
use crate::sys::terminal::{Highlight, Terminal, clean};
use crate::systemd::manager::Manager;

/// Check the configuration for problems
///
/// Reads the files as netnsinit does and checks what they define. Nothing is changed: the files are
/// sourced in isolation, without privileges and with limited resources, and no function that
/// configures anything is called. Files that other users can write are not sourced.
///
/// Isolation requires Landlock (Linux 5.13) and, for users other than root, user namespaces. If it is
/// not available, or a file reads what only root can read, the output lists what was not checked.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 for no problems, 1 for warnings, 3 for no problems if not
everything could be checked, 6 for errors: a start would fail.

Example: netnsctl check
         netnsctl check veth@web")]
pub struct Check {
    /// Print JSON (docs/schema/check.json)
    #[arg(long)]
    json: bool,

    /// Check only this type or instance
    #[arg(value_name = "NSTYPE[@NSNAME]")]
    subject: Option<Subject>,

    #[command(flatten)]
    paging: Paging,
}

impl Check {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let manager = Manager::running(root)?;
        let report = check::run(root, manager.as_ref(), self.subject.as_ref())?;
        if self.json {
            print_json(&report)?;
        } else {
            for what in &report.not_checked {
                log::warn(&format!("not checked: {what}"));
            }
            self.paging.print(&text(&report, Terminal::of_stdout()))?;
        }
        Ok(report.status())
    }
}

fn text(report: &Report, terminal: Terminal) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &line(finding, terminal);
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
    let checked = format!(
        "{}, {}",
        number(report.checked.len() - instances, "type"),
        number(instances, "instance")
    );
    let problems = match report.findings.len() {
        0 => "no problems found".to_owned(),
        _ => format!(
            "{}, {}",
            number(count(Severity::Error), "error"),
            number(count(Severity::Warning), "warning")
        ),
    };
    let complete = match report.not_checked.len() {
        0 => "",
        _ => ", but not everything could be checked",
    };
    text + &format!("{checked}: {problems}{complete}\n")
}

/// `error: SUBJECT: FILE:LINE: MESSAGE`, without the parts that are not known.
fn line(finding: &Finding, terminal: Terminal) -> String {
    let (highlight, word) = match finding.severity {
        Severity::Error => (Highlight::Bad, "error:"),
        Severity::Warning => (Highlight::Busy, "warning:"),
    };
    let mut line = terminal.paint(highlight, word);
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
