//! Runs one phase of an instance in bash.

mod inspect;
mod report;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::instance::name::Instance;
use crate::instance::phase::{Direction, Phase};
use crate::instance::sources::{Slot, Sources};
use crate::sys::command::{self, Environment, Program, Termination};

pub use inspect::{Ended, Function, Inspection, Variables, inspect, run_in_sandbox, syntax_error};
pub use report::{Broken, FailedCommand, Outcome};

/// Sources the files and calls the function. See the comment at its beginning.
const DRIVER: &str = include_str!("driver.bash");

/// What the driver needs if something fails, or if it has to wait until the network is ready.
const MORE: &str = concat!(include_str!("more.bash"), include_str!("gate.bash"));

/// The script that sources files.
pub const SOURCES: &str = concat!(include_str!("gate.bash"), include_str!("driver.bash"));

/// Variables that make bash run code or change its syntax (bash(1)).
const UNWANTED: [&str; 12] = [
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
    "FUNCNEST",
];

/// Words in files that list traps, options or functions, or set their own trap on ERR.
const INTROSPECTION: [&str; 9] = [
    "ERR",
    "errtrace",
    "trap -p",
    "$-",
    "${-",
    "SHELLOPTS",
    "declare -F",
    "typeset -F",
    "compgen",
];

/// The variables that ask to wait until the network is ready.
const GATE: [&str; 3] = ["NETNS_WAIT", "NETNS_WAIT_COMMAND", "NETNS_WAIT_TIMEOUT"];

/// Words in files that trace commands.
const TRACE: [&str; 4] = ["NETNS_TRACE", "xtrace", "set -", "shopt -"];

/// One function to be run.
#[derive(Debug)]
pub struct Call<'a> {
    pub instance: &'a Instance,
    pub parameters: &'a [OsString],
    pub phase: Phase,
    pub sources: &'a Sources,
    /// Only undo a failed `up`.
    pub undo: bool,
    /// The file to which bash writes its report.
    pub report: &'a Path,
}

impl Call<'_> {
    /// Runs the function. Its output goes to our stdout and stderr.
    ///
    /// # Errors
    /// Bash could not be run. A failure of the function is an [`Outcome`].
    pub fn run(&self) -> Result<Outcome> {
        let bash = command::find("bash")?;
        let end = command::supervise(&Program {
            path: &bash,
            arguments: &self.arguments(),
            environment: environment(std::env::vars_os()),
            reads_input: true,
        })?;
        // If bash could not write it, only details are lost.
        let report = fs::read(self.report).unwrap_or_default();
        match Outcome::read(&report, end) {
            Outcome::FailedInFile { file, end, place } => {
                Ok(match self.syntax_error(&file, end)? {
                    Some(file) => Outcome::Broken(Broken::Syntax { file }),
                    None => Outcome::FailedInFile { file, end, place },
                })
            }
            outcome => Ok(outcome),
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let Instance { nstype, nsname } = self.instance;
        let values = self.sources.get(Slot::Container).into_iter();
        let files: Vec<_> = values.chain(self.sources.scripts()).collect();
        let needs = self.needs();
        let mut script = String::with_capacity(DRIVER.len() + MORE.len());
        script.push_str(&self.settings(files.len()));
        script.extend(driver_for(&needs));
        let rest = script.len();
        script.push_str(MORE);
        let options = if needs.contains(&"blame") {
            "-eE"
        } else {
            "-e"
        };
        let mut words = ["--noprofile", "--norc", options, "-c"]
            .map(OsString::from)
            .to_vec();
        words.push(script.into());
        words.push("netnsinit".into());
        words.push(rest.to_string().into());
        words.push(self.report.into());
        words.extend(files.iter().map(|source| source.path.clone().into()));
        words.push(nstype.as_str().into());
        words.push(nsname.as_str().into());
        words.extend_from_slice(self.parameters);
        words.push(self.phase.direction.as_str().into());
        words.push(self.phase.side.as_str().into());
        words
    }

    /// The lines before the driver that set its variables, for this number of files.
    fn settings(&self, files: usize) -> String {
        let Phase { direction, side } = self.phase;
        let scripts = self.sources.scripts();
        let strict = scripts.filter(|source| self.errexit(source.slot)).count();
        // Arguments 1 and 2 are the place of MORE and the report.
        let places: Vec<_> = (3..3 + files)
            .map(|place| format!("\"${place}\""))
            .collect();
        format!(
            "__netns_more=$1 __netns_report=$2 __netns_files=({}) __netns_strict={strict}\n\
             shift {}\n\
             NSTYPE=$1 NSNAME=$2 UPDOWN={direction} INOUT={side} __netns_phase={direction}_{side}\n",
            places.join(" "),
            2 + files,
        )
    }

    /// Whether a file ends the run if its own status is not 0: the first ones do. Where functions live,
    /// none may be missing unnoticed; elsewhere `[[ -n $X ]] && Y=1` is common as a last line.
    fn errexit(&self, slot: Slot) -> bool {
        match slot {
            Slot::Script | Slot::Default => true,
            Slot::Type => self.sources.get(Slot::Script).is_none(),
            Slot::Instance | Slot::Container => false,
        }
    }

    /// What the driver needs for this run, in the words that its lines end with.
    fn needs(&self) -> Vec<&'static str> {
        let files = self.sources.scripts();
        let texts: Vec<_> = files
            .map(|source| String::from_utf8_lossy(&source.content))
            .collect();
        let any = |words: &[&str]| {
            texts
                .iter()
                .any(|text| words.iter().any(|word| text.contains(word)))
        };
        let looks_inside = any(&INTROSPECTION) || texts.iter().any(|text| lists_traps(text));
        let blame = !looks_inside;
        let includes = any(&["source", ". ", ".\t", ".\\"]);
        // More than the texts show may run.
        let unseen = includes || any(&["eval"]);
        let set = |name: &str| std::env::var_os(name).is_some();
        let contained = self.sources.get(Slot::Container).is_some();
        let gated = unseen || contained || any(&GATE) || GATE.into_iter().any(set);
        let traced = includes || set("NETNS_TRACE") || any(&TRACE);
        let mut slots = self.sources.scripts().map(|source| source.slot);
        let lenient = slots.any(|slot| !self.errexit(slot));
        let needs = [
            ("container", contained),
            (
                "asserts",
                unseen || looks_inside || any(&["assert_non_empty"]),
            ),
            ("blame", blame),
            ("exits", blame && (unseen || any(&["exit"]))),
            ("faults", unseen || any(&["__netns_fault"])),
            ("includes", blame && includes),
            ("lenient", lenient),
            ("traced", traced),
            ("unconfigured", self.sources.unconfigured),
            ("undo", self.undo),
            ("gated", gated && self.phase.direction == Direction::Up),
            ("waits", gated && self.phase == Phase::UP_INSIDE),
        ];
        let needed = needs.into_iter().filter(|(_, needed)| *needed);
        needed.map(|(word, _)| word).collect()
    }

    /// The file that ended the run with a syntax error, which bash does not report under errexit.
    fn syntax_error(&self, file: &Option<PathBuf>, end: Termination) -> Result<Option<PathBuf>> {
        if !matches!(end, Termination::Exited(1 | 2)) {
            return Ok(None);
        }
        let mut extglob = false;
        for source in self.sources.scripts() {
            // Bash accepts the patterns only after a file has enabled them.
            extglob |= String::from_utf8_lossy(&source.content).contains("extglob");
            let concerned = file.as_ref().is_none_or(|file| *file == source.path);
            if concerned && !parses(&source.path, extglob)? {
                return Ok(Some(source.path.clone()));
            }
        }
        Ok(None)
    }
}

fn parses(file: &Path, extglob: bool) -> Result<bool> {
    let bash = command::find("bash")?;
    let mut words: Vec<&OsStr> = vec![OsStr::new("-n"), file.as_os_str()];
    if extglob {
        words.splice(0..0, ["-O", "extglob"].map(OsStr::new));
    }
    Ok(command::try_output(&bash, &words)?.status.success())
}

/// Whether `text` calls `trap` without an argument, which lists all traps.
fn lists_traps(text: &str) -> bool {
    text.match_indices("trap").any(|(at, word)| {
        let rest = text[at + word.len()..].trim_start_matches([' ', '\t']);
        rest.is_empty() || rest.starts_with(['\n', ';', ')', '|', '>', '`', '&'])
    })
}

/// The lines of the driver that bash has to read: no comments, and of those that end with
/// `#: WORD` or `#: !WORD` only those that `words` ask for.
fn driver_for<'a>(words: &'a [&str]) -> impl Iterator<Item = &'static str> + 'a {
    let is_wanted = move |line: &&str| {
        if line.trim_start().starts_with('#') {
            return false;
        }
        // By single characters: to search for a text takes far longer to prepare.
        let Some((_, comment)) = line.rsplit_once('#') else {
            return true;
        };
        match comment.strip_prefix(": ").map(str::trim_end) {
            Some(word) => match word.strip_prefix('!') {
                Some(word) => !words.contains(&word),
                None => words.contains(&word),
            },
            None => true,
        }
    };
    DRIVER.split_inclusive('\n').filter(is_wanted)
}

/// A file without a name, which processes of bash do not inherit.
fn memory_file(name: &str) -> Result<File> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC)
        .map(File::from)
        .with_context(|| format!("creating a file in memory for {name}"))
}

/// The environment of bash: `variables` without those that would change how it reads the files.
pub fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Environment {
    let kept = variables.filter(|(name, _)| {
        name != "PATH"
            && !name.as_bytes().starts_with(b"BASH_FUNC_")
            && !UNWANTED.iter().any(|unwanted| name == unwanted)
    });
    kept.chain([("PATH".into(), command::search_path())])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_the_script_are_bytes() {
        // Bash counts characters to find the rest.
        assert!(DRIVER.is_ascii() && MORE.is_ascii());
    }
}
