//! One phase of one instance, run by bash. Knows nothing of namespaces.

mod inspect;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::instance::name::Instance;
use crate::instance::phase::Phase;
use crate::instance::sources::Sources;
use crate::sys::command::{self, Termination};
use crate::sys::exit::Exit;

pub use inspect::{
    Ended, Function, Inspection, Variables, inspect, run_in_quarantine, syntax_error,
};

/// Sources the files and calls the function; what it does is told at its head.
const DRIVER: &str = concat!(include_str!("gate.bash"), include_str!("driver.bash"));

/// What sources files: what it mentions means something to all types.
pub const SOURCES: &str = DRIVER;

/// What makes bash run code of its own accord, or changes the language it reads (bash(1)).
const UNWANTED: [&str; 11] = [
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "CDPATH",
    "GLOBIGNORE",
    "POSIXLY_CORRECT",
    "BASH_COMPAT",
    "BASH_XTRACEFD",
    "EXECIGNORE",
];

/// One function to be run.
#[derive(Debug)]
pub struct Call<'a> {
    pub instance: &'a Instance,
    pub parameters: &'a [OsString],
    pub phase: Phase,
    pub sources: &'a Sources,
}

/// How a call went.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function ran and succeeded.
    Done,
    /// No file defines the function: nothing to do.
    Undefined,
    /// A file ended the run with status 0 before the function was reached.
    Skipped { file: PathBuf },
    /// Nothing was called: the configuration is broken in the way told.
    Broken(Broken),
    /// The run ended before the function was reached, but after a file had been begun.
    FailedInFile {
        file: PathBuf,
        end: Termination,
        place: Option<FailedCommand>,
    },
    /// The network did not become ready for use in time.
    NotReady { missing: String, end: Termination },
    /// The type library refuses what the configuration holds: the variable, if it is one, and why.
    Refused { variable: String, fault: String },
    /// The function failed or was ended by a signal.
    Failed {
        end: Termination,
        place: Option<FailedCommand>,
    },
}

/// Why no file of the instance can be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// Bash has printed its own message.
    Syntax {
        file: PathBuf,
    },
    Unconfigured,
    /// What to wait for is told in words that have no meaning.
    Gate {
        fault: String,
    },
}

/// The command that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct FailedCommand {
    pub command: String,
    pub file: PathBuf,
    pub line: u32,
}

impl Outcome {
    /// The exit status of the run.
    pub fn status(&self) -> u8 {
        match self {
            Outcome::Done | Outcome::Undefined | Outcome::Skipped { .. } => 0,
            Outcome::Broken(_) | Outcome::Refused { .. } => Exit::Config as u8,
            Outcome::FailedInFile { end, .. }
            | Outcome::NotReady { end, .. }
            | Outcome::Failed { end, .. } => end.status(),
        }
    }
}

impl fmt::Display for FailedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(f, "{file}:{}: {}", self.line, self.command)
    }
}

impl Call<'_> {
    /// Runs the function to its end; what it prints goes where our own output goes.
    ///
    /// # Errors
    /// Bash could not be run; whatever the function does is an [`Outcome`].
    pub fn run(&self) -> Result<Outcome> {
        let bash = command::find("bash")?;
        let driver = memory_file("driver")?;
        (&driver)
            .write_all(DRIVER.as_bytes())
            .context("storing the driver")?;
        let mut report = memory_file("report")?;
        let mut expression = duct::cmd(&bash, self.arguments(&driver, &report))
            .env("PATH", command::search_path())
            .stdin_null()
            .dir("/");
        for name in unwanted_variables() {
            expression = expression.env_remove(name);
        }
        let end = command::supervise(&expression)?;
        let mut words = Vec::new();
        report.rewind().context("rewinding the report")?;
        report
            .read_to_end(&mut words)
            .context("reading the report")?;
        Ok(outcome(end, &words))
    }

    fn arguments(&self, driver: &File, report: &File) -> Vec<OsString> {
        let Instance { nstype, nsname } = self.instance;
        let files = &self.sources.files;
        let mut words: Vec<OsString> = vec![
            "--noprofile".into(),
            "--norc".into(),
            path_of(driver),
            path_of(report),
            if self.sources.unconfigured {
                "yes"
            } else {
                "no"
            }
            .into(),
            files.len().to_string().into(),
        ];
        words.extend(files.iter().map(|source| source.path.clone().into()));
        words.push(self.phase.function(nstype).into());
        words.push(nstype.as_str().into());
        words.push(nsname.as_str().into());
        words.extend_from_slice(self.parameters);
        words.push(self.phase.direction.as_str().into());
        words.push(self.phase.side.as_str().into());
        words
    }
}

/// A file without a name, which nothing that bash runs inherits.
fn memory_file(name: &str) -> Result<File> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC)
        .map(File::from)
        .with_context(|| format!("making a file in memory for the {name}"))
}

/// How another process opens a file that only we hold.
fn path_of(file: &File) -> OsString {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

fn unwanted_variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| {
        UNWANTED.iter().any(|unwanted| name == unwanted)
            || name.as_bytes().starts_with(b"BASH_FUNC_")
    })
}

/// What the end of bash and its report amount to.
fn outcome(end: Termination, report: &[u8]) -> Outcome {
    let words: Vec<&OsStr> = report
        .split(|byte| *byte == 0)
        .map(OsStr::from_bytes)
        .collect();
    let [stage, file, rest @ ..] = words.as_slice() else {
        return Outcome::Failed { end, place: None };
    };
    let file = PathBuf::from(file);
    match stage.as_bytes() {
        b"syntax" => Outcome::Broken(Broken::Syntax { file }),
        b"unconfigured" => Outcome::Broken(Broken::Unconfigured),
        b"gate" => Outcome::Broken(Broken::Gate { fault: first(rest) }),
        b"fault" if end == Termination::Exited(Exit::Config as u8) => Outcome::Refused {
            variable: first(rest),
            fault: unwrapped(rest.get(1).copied().unwrap_or_default()),
        },
        b"waiting" if !end.success() => Outcome::NotReady {
            missing: first(rest),
            end,
        },
        b"undefined" => Outcome::Undefined,
        b"sourcing" if end.success() => Outcome::Skipped { file },
        b"sourcing" => Outcome::FailedInFile {
            file,
            end,
            place: place(end, rest),
        },
        _ if end.success() => Outcome::Done,
        _ => Outcome::Failed {
            end,
            place: place(end, rest),
        },
    }
}

fn first(words: &[&OsStr]) -> String {
    let word = words.first().copied().unwrap_or_default();
    one_line(&word.to_string_lossy())
}

/// The place that was reported, if it is where the status of the run came from.
fn place(end: Termination, words: &[&OsStr]) -> Option<FailedCommand> {
    let [status, command, file, line, ..] = words else {
        return None;
    };
    (status.to_str() == Some(&end.status().to_string())).then(|| FailedCommand {
        command: one_line(&command.to_string_lossy()),
        file: file.into(),
        line: line.to_string_lossy().parse().unwrap_or_default(),
    })
}

/// A text as one line.
fn unwrapped(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A command as one line of readable length.
fn one_line(command: &str) -> String {
    const LONGEST: usize = 160;
    let line = unwrapped(command.as_ref());
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
