//! Finds out what the files of an instance define, without any effect.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::instance::name::Instance;
use crate::instance::sources::Sources;
use crate::instance::trust::Trust;
use crate::namespace;
use crate::sys::command::{self, Termination};
use crate::sys::process;

/// See the comment at its beginning.
const INSPECTOR: &str = concat!(include_str!("gate.bash"), include_str!("inspect.bash"));

/// The exit status of our programs if no sandbox is available.
const NO_SANDBOX: u8 = 121;
/// The exit status if sourcing the files did not end.
const TIMED_OUT: u8 = 124;

/// Sourcing files takes a fraction of a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The place where a function is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: u32,
    pub file: PathBuf,
}

/// Variables and their values. A variable that is not an array has one value.
pub type Variables = BTreeMap<String, Vec<String>>;

/// The result of an inspection.
#[derive(Debug, Default)]
pub struct Inspection {
    pub functions: Vec<Function>,
    /// The variables that the files set.
    pub set: Variables,
    /// The variables with the names that the type derives as defaults.
    pub named: Variables,
    /// Problems with `NETNS_WAIT` and related variables.
    pub gate: Option<String>,
    /// `NO_CONFIG_REQUIRED` is set.
    pub needs_no_configuration: bool,
    /// The exit status and the output of the type's own check of the values.
    pub value_error: Option<(u8, String)>,
    /// The file that ended the run before all files were sourced, and how.
    pub ended: Option<(PathBuf, Ended)>,
    /// The last line on stderr.
    pub last_words: String,
    /// The first message about a file that could not be read for lack of permission.
    pub denied: Option<String>,
}

/// How a file ended the run.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    By(Termination),
    /// It was still running after this many seconds.
    TimedOut(u64),
}

/// Sources the files of an instance in a sandbox (see [`namespace::sandbox`]), which sees copies
/// of the directories `copies`. With `check_values`, runs the type's own check of the values.
///
/// # Errors
/// Nothing was sourced, because no sandbox is available here.
pub fn inspect(
    instance: &Instance,
    sources: &Sources,
    copies: &[PathBuf],
    check_values: bool,
) -> Result<Inspection> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut words: Vec<OsString> = vec!["inspect".into(), copies.len().to_string().into()];
    words.extend(copies.iter().map(Into::into));
    words.push(if check_values { "yes" } else { "no" }.into());
    words.push(sources.files.len().to_string().into());
    words.extend(
        sources
            .files
            .iter()
            .map(|source| source.path.clone().into()),
    );
    words.push(instance.nstype.as_str().into());
    words.push(instance.nsname.as_str().into());
    let output = command::try_output(&program, &words)?;
    let end = Termination::from(output.status);
    let stderr = String::from_utf8_lossy(&output.stderr);
    if end == Termination::Exited(NO_SANDBOX) {
        bail!("{}", stderr.trim());
    }
    let reported = output.stdout.split(|byte| *byte == 0);
    let mut words = reported.map(|word| OsString::from_vec(word.to_vec()));
    let mut found = Inspection::read(&mut words, end);
    found.last_words = stderr.lines().last().unwrap_or_default().trim().to_owned();
    let said = found.value_error.iter().map(|(_, text)| text.as_str());
    found.denied = said
        .chain([&*stderr])
        .flat_map(str::lines)
        .find(|line| line.contains("Permission denied"))
        .map(|line| line.trim_matches('\0').to_owned());
    Ok(found)
}

/// Sources files in a sandbox, started by [`inspect`]: in a process of its own, because the sandbox
/// cannot be left, and in a second one that is the first of a PID namespace.
pub fn run_in_sandbox(arguments: &[OsString]) -> Result<u8> {
    let (isolated, arguments) = match arguments {
        [word, rest @ ..] if word == AS_ROOT || word == AS_USER => (Some(word == AS_ROOT), rest),
        all => (None, all),
    };
    let result = match isolated {
        None => isolate(arguments),
        Some(is_root) => source(is_root, arguments).map(|never| match never {}),
    };
    result.or_else(|error| {
        eprintln!("{error:#}");
        Ok(NO_SANDBOX)
    })
}

const AS_ROOT: &str = "--isolated-as-root";
const AS_USER: &str = "--isolated-as-user";

/// Runs this program in new namespaces, and passes on its output.
fn isolate(arguments: &[OsString]) -> Result<u8> {
    let program = std::env::current_exe().context("finding this program")?;
    let word = if process::is_root() { AS_ROOT } else { AS_USER };
    namespace::unshare_all()?;
    let mut words = vec!["inspect".into(), word.into()];
    words.extend_from_slice(arguments);
    // Unlike a pipe, a file has a size limit.
    let [stdout, stderr] = [super::memory_file("stdout")?, super::memory_file("stderr")?];
    let child = duct::cmd(program, words)
        .stdin_null()
        .stdout_file(stdout.try_clone()?)
        .stderr_file(stderr.try_clone()?)
        .dir("/")
        .unchecked()
        .start()
        .context("starting this program again")?;
    let ended = child.wait_timeout(TIMEOUT).context("waiting for bash")?;
    let status = ended.map(|output| Termination::from(output.status).status());
    if status.is_none() {
        // It is the first process of its PID namespace: the kernel kills all others with it.
        child.kill().context("ending bash")?;
    }
    for (mut file, mut to) in [
        (stdout, Box::new(io::stdout()) as Box<dyn Write>),
        (stderr, Box::new(io::stderr())),
    ] {
        file.rewind()?;
        io::copy(&mut file.take(namespace::FILE_MAX), &mut to)?;
        to.flush()?;
    }
    Ok(status.unwrap_or(TIMED_OUT))
}

/// Enters the sandbox and replaces this process with bash.
fn source(is_root: bool, arguments: &[OsString]) -> Result<Infallible> {
    let bash = command::find("bash")?;
    let count = arguments
        .first()
        .and_then(|count| count.to_str()?.parse().ok());
    let copies: usize = count.context("the number of directories is missing")?;
    let (copies, arguments) = arguments[1..].split_at(copies);
    let copies: Vec<PathBuf> = copies.iter().map(PathBuf::from).collect();
    let trust = Trust::from_environment();
    namespace::enter(is_root, &copies, |file| trust.check_for_root(file).is_ok())?;
    let error = Command::new(bash)
        .args(["--noprofile", "--norc", "-c", INSPECTOR, "netnsinit"])
        .args(arguments)
        .args(["up", "outside"])
        .env_clear()
        .envs([("PATH", command::DEFAULT_PATH), ("LANG", "C.UTF-8")])
        .exec();
    Err(error).context("starting bash")
}

impl Inspection {
    fn read(words: &mut impl Iterator<Item = OsString>, end: Termination) -> Self {
        let mut found = Self::default();
        let mut sourcing = PathBuf::new();
        let mut complete = false;
        while let Some(word) = words.next() {
            let mut text = || {
                let word = words.next().unwrap_or_default();
                word.to_string_lossy().into_owned()
            };
            match word.as_bytes() {
                b"sourcing" => sourcing = words.next().unwrap_or_default().into(),
                b"function" => {
                    let (name, line) = (text(), text().parse().unwrap_or_default());
                    let file = words.next().unwrap_or_default().into();
                    found.functions.push(Function { name, line, file });
                }
                which @ (b"set" | b"named") => {
                    let (name, count) = (text(), text().parse().unwrap_or_default());
                    let values = (0..count).map(|_| text()).collect();
                    let variables = match which {
                        b"set" => &mut found.set,
                        _ => &mut found.named,
                    };
                    variables.insert(name, values);
                }
                b"gate" => found.gate = Some(text()),
                b"unconfigured" => found.needs_no_configuration = !text().is_empty(),
                b"value" => {
                    let status = text().parse().unwrap_or_default();
                    found.value_error = Some((status, text()));
                }
                b"end" => complete = true,
                _ => {}
            }
        }
        if !complete {
            let how = match end {
                Termination::Exited(TIMED_OUT) => Ended::TimedOut(TIMEOUT.as_secs()),
                end => Ended::By(end),
            };
            found.ended = Some((sourcing, how));
        }
        found
    }
}

/// The first syntax error that bash finds in `file`: the line, if bash reports it, and the message.
///
/// A file may enable extglob before it uses such a pattern, so it is valid if either mode accepts it.
pub fn syntax_error(file: &Path) -> Result<Option<(Option<u32>, String)>> {
    let bash = command::find("bash")?;
    let mut first = None;
    for options in [&["-n"][..], &["-O", "extglob", "-n"]] {
        let mut words: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        words.push(file.as_os_str());
        let output = command::try_output(&bash, &words)?;
        if output.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        first = first.or(Some(located(&text, file)));
    }
    Ok(first)
}

/// Parses `FILE: line N: MESSAGE`, the first line of bash's output.
fn located(text: &str, file: &Path) -> (Option<u32>, String) {
    let line = text.lines().next().unwrap_or_default();
    let parts = line
        .strip_prefix(&*file.to_string_lossy())
        .and_then(|rest| rest.strip_prefix(": line ")?.split_once(": "));
    match parts.map(|(number, words)| (number.parse().ok(), words.to_owned())) {
        Some(parts) => parts,
        None => (None, line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], status: u8) -> Inspection {
        Inspection::read(
            &mut words.iter().map(Into::into),
            Termination::Exited(status),
        )
    }

    #[test]
    fn the_report_is_read() {
        let report = [
            "sourcing",
            "/a",
            "set",
            "X",
            "2",
            "1 2",
            "",
            "function",
            "f",
            "7",
            "/a b",
            "gate",
            "bad",
            "unconfigured",
            "yes",
            "named",
            "Y",
            "0",
            "value",
            "6",
            "no",
            "end",
            "",
        ];
        let found = read(&report, 0);
        assert_eq!(found.set["X"], ["1 2", ""]);
        assert!(found.named["Y"].is_empty());
        assert_eq!(found.functions[0].line, 7);
        assert_eq!(found.functions[0].file, Path::new("/a b"));
        assert_eq!(found.gate.as_deref(), Some("bad"));
        assert_eq!(found.value_error, Some((6, "no".to_owned())));
        assert!(found.needs_no_configuration && found.ended.is_none());
    }

    #[test]
    fn the_file_that_ended_it_is_told() {
        let (file, how) = read(&["sourcing", "/a", "sourcing", "/b", ""], 3)
            .ended
            .unwrap();
        assert_eq!(
            (&*file, how),
            (Path::new("/b"), Ended::By(Termination::Exited(3)))
        );
        let ended = read(&["sourcing", "/a"], TIMED_OUT).ended.unwrap();
        assert_eq!(ended.1, Ended::TimedOut(10));
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.conf");
        std::fs::write(&file, "x=1\nif true; then\n}\n").unwrap();
        let (line, words) = syntax_error(&file).unwrap().unwrap();
        assert_eq!(line, Some(3));
        assert!(words.starts_with("syntax error"), "{words}");
        std::fs::write(&file, "shopt -s extglob\n[[ a == @(a|b) ]]; x=!(y)\n").unwrap();
        assert_eq!(syntax_error(&file).unwrap(), None);
    }
}
