//! The report of the driver, and the outcome of a run.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::sys::command::Termination;
use crate::sys::exit::Exit;

/// The outcome of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function ran and succeeded.
    Done { function: String },
    /// No file defines the function.
    Undefined { function: String },
    /// `NETNS_UNDO=no` disables undoing a failed `up`.
    Kept,
    /// A file ended the run with status 0 before the function was called.
    Skipped { file: Option<PathBuf> },
    /// The configuration is invalid. No function was called.
    Broken(Broken),
    /// The file that was being sourced when the run ended, if it is known.
    FailedInFile {
        file: Option<PathBuf>,
        end: Termination,
        place: Option<FailedCommand>,
    },
    /// The network did not become ready for use in time.
    NotReady { missing: String, end: Termination },
    /// The type library rejects the configuration: the variable, if it is one, and the reason.
    Refused { variable: String, fault: String },
    /// The function failed or was killed by a signal.
    Failed {
        function: String,
        end: Termination,
        place: Option<FailedCommand>,
    },
}

/// Why the files of the instance cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// Bash has printed its own message.
    Syntax {
        file: PathBuf,
    },
    Unconfigured,
    /// `NETNS_WAIT` or one of its companions is invalid.
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
    /// Whether the run ended in a file, before the function was called.
    pub fn is_of_a_file(&self) -> bool {
        matches!(
            self,
            Outcome::Broken(Broken::Syntax { .. }) | Outcome::FailedInFile { .. }
        )
    }

    /// The exit status of the run.
    pub fn status(&self) -> u8 {
        match self {
            Outcome::Done { .. }
            | Outcome::Undefined { .. }
            | Outcome::Kept
            | Outcome::Skipped { .. } => 0,
            Outcome::Broken(_) | Outcome::Refused { .. } => Exit::Config as u8,
            Outcome::FailedInFile { end, .. }
            | Outcome::NotReady { end, .. }
            | Outcome::Failed { end, .. } => end.status(),
        }
    }

    /// Reads the report of a run that ended with this status.
    pub fn read(report: &[u8], end: Termination) -> Self {
        let words: Vec<&OsStr> = report
            .split(|byte| *byte == 0)
            .map(OsStr::from_bytes)
            .collect();
        let (stage, subject, rest) = match last_entry(&words) {
            Some([_pid, stage, subject, rest @ ..]) => (*stage, *subject, rest),
            _ => (OsStr::new(""), OsStr::new(""), &[][..]),
        };
        let file = PathBuf::from(subject);
        let function = subject.to_string_lossy().into_owned();
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
            b"kept" => Outcome::Kept,
            b"undefined" => Outcome::Undefined { function },
            b"" if end.success() => Outcome::Skipped { file: None },
            b"" => Outcome::FailedInFile {
                file: None,
                end,
                place: None,
            },
            b"sourcing" if end.success() => Outcome::Skipped { file: Some(file) },
            b"sourcing" => Outcome::FailedInFile {
                file: Some(file),
                end,
                place: FailedCommand::read(rest, end),
            },
            _ if end.success() => Outcome::Done { function },
            _ => Outcome::Failed {
                function,
                end,
                place: FailedCommand::read(rest, end),
            },
        }
    }
}

impl FailedCommand {
    /// The reported place, if the status of the run came from there.
    fn read(words: &[&OsStr], end: Termination) -> Option<Self> {
        let [status, command, file, line, ..] = words else {
            return None;
        };
        (status.to_str() == Some(&end.status().to_string())).then(|| FailedCommand {
            command: one_line(&command.to_string_lossy()),
            file: file.into(),
            line: line.to_string_lossy().parse().unwrap_or_default(),
        })
    }
}

impl fmt::Display for FailedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(f, "{file}:{}: {}", self.line, self.command)
    }
}

/// The last complete entry of a report.
fn last_entry<'a>(mut words: &'a [&'a OsStr]) -> Option<&'a [&'a OsStr]> {
    let mut last = None;
    while let [count, rest @ ..] = words {
        let count = count.to_str().and_then(|count| count.parse().ok());
        // Each word ends with NUL, so something follows a complete entry.
        let Some((entry, after)) = count.and_then(|count| rest.split_at_checked(count)) else {
            break;
        };
        if after.is_empty() {
            break;
        }
        last = Some(entry);
        words = after;
    }
    last
}

fn first(words: &[&OsStr]) -> String {
    let word = words.first().copied().unwrap_or_default();
    one_line(&word.to_string_lossy())
}

/// A text in one line.
fn unwrapped(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A command in one line of limited length.
fn one_line(command: &str) -> String {
    const LONGEST: usize = 160;
    let line = unwrapped(command.as_ref());
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLING: &[u8] = b"3\x0042\0calling\0f\0";

    #[test]
    fn the_last_whole_entry_counts() {
        let end = Termination::Exited(7);
        let report = [CALLING, b"7\x0042\0calling\0f\x007\0false\0/a b\x003\0"].concat();
        let place = FailedCommand {
            command: "false".into(),
            file: "/a b".into(),
            line: 3,
        };
        let failed = |place| Outcome::Failed {
            function: "f".into(),
            end,
            place,
        };
        assert_eq!(Outcome::read(&report, end), failed(Some(place)));
        for cut in CALLING.len()..report.len() {
            assert_eq!(Outcome::read(&report[..cut], end), failed(None), "{cut}");
        }
    }

    #[test]
    fn without_an_entry_no_function_was_called() {
        for report in [&b""[..], b"3", b"3\x0042\0call"] {
            let outcome = Outcome::read(report, Termination::Exited(1));
            let in_file = matches!(outcome, Outcome::FailedInFile { file: None, .. });
            assert!(in_file, "{outcome:?}");
        }
    }
}
