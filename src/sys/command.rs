//! The only use of other programs.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use duct::Expression;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::sys::exit::{Exit, OrExit};

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Termination {
    Exited(u8),
    Killed(i32),
}

impl Termination {
    /// The exit status as a shell gives it: 128 and the signal's number for a killed program.
    pub fn status(self) -> u8 {
        match self {
            Termination::Exited(status) => status,
            Termination::Killed(signal) => 128 | (signal & 0x7f) as u8,
        }
    }

    pub fn success(self) -> bool {
        self == Termination::Exited(0)
    }
}

impl From<ExitStatus> for Termination {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Termination::Exited(code as u8),
            (None, signal) => Termination::Killed(signal.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Termination::Exited(status) => write!(f, "failed with status {status}"),
            Termination::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was ended by {signal}"),
                Err(_) => write!(f, "was ended by signal {number}"),
            },
        }
    }
}

/// Where programs are looked for when the caller's environment does not say.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The caller's `PATH`, else a default that has the programs of the system.
pub fn search_path() -> OsString {
    std::env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| DEFAULT_PATH.into())
}

/// Finds `program` in the search path; that it is missing is an error of its own kind.
pub fn find(program: &str) -> Result<PathBuf> {
    which::which_in(program, Some(search_path()), "/")
        .map_err(|_| anyhow!("{program} is needed and not in PATH"))
        .or_exit(Exit::NotInstalled)
}

/// Finds another program of this package: next to this one, else in the search path.
pub fn ours(program: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("looking for this program")?;
    let neighbour = own.with_file_name(program);
    if neighbour.is_file() {
        return Ok(neighbour);
    }
    find(program)
}

/// Becomes `program`, which is looked for in `PATH` if it has no slash. `environment` replaces the
/// one of this process. Status, signals and terminal are those of the program from here on.
///
/// # Errors
/// It cannot be run; this process is still what it was.
pub fn replace(
    program: &OsStr,
    arguments: &[OsString],
    environment: Option<Vec<(OsString, OsString)>>,
) -> Result<Infallible> {
    let mut command = Command::new(program);
    command.args(arguments);
    let mut path = search_path();
    if let Some(environment) = environment {
        let found = environment.iter().find(|(name, _)| name == "PATH");
        path = found.map_or(path, |(_, value)| value.clone());
        command.env_clear().envs(environment);
    }
    let error = command.exec();
    let shown = program.to_string_lossy();
    if error.kind() != io::ErrorKind::NotFound {
        return Err(error).with_context(|| format!("running '{shown}'"));
    }
    let directory = std::env::current_dir().unwrap_or_default();
    let why = match which::which_in(program, Some(&path), directory) {
        Ok(file) => format!("the interpreter that {} names is missing", file.display()),
        Err(_) if shown.contains('/') => "there is no such file".to_owned(),
        Err(_) => "it is not in PATH".to_owned(),
    };
    Err(anyhow::anyhow!("running '{shown}': {why}")).or_exit(Exit::NotInstalled)
}

/// A path as a shell would have to be given it.
pub fn quoted(path: &Path) -> String {
    shell_words::quote(&path.to_string_lossy()).into_owned()
}

/// Runs a program to its end and gives what it wrote; fails unless it exited with 0.
///
/// # Errors
/// Names the whole command line, how it ended, and the last line that it wrote to stderr.
pub fn output<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Result<String> {
    let output = try_output(program, arguments)?;
    let end = Termination::from(output.status);
    if !end.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rfind(|line| !line.trim().is_empty());
        let why = last.map(|line| format!(": {line}")).unwrap_or_default();
        bail!("'{}' {end}{why}", command_line(program, arguments));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program to its end, whatever its status, and gives all that it wrote.
pub fn try_output<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Result<Output> {
    duct::cmd(program, arguments.iter().map(AsRef::as_ref))
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .with_context(|| format!("running '{}'", command_line(program, arguments)))
}

fn command_line<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> String {
    let arguments = arguments.iter().map(|word| word.as_ref().to_string_lossy());
    shell_words::join(std::iter::once(program.to_string_lossy()).chain(arguments))
}

/// Runs a program in a process group of its own and waits for it, not for what it leaves behind.
///
/// SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGQUIT end the whole group: a shell would die of them
/// and leave its running child, or wait for a child that takes SIGINT for no reason to end.
pub fn supervise(expression: &Expression) -> Result<Termination> {
    // Before the start, so that no end of the child is missed.
    let mut signals = Signals::new([SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT])
        .context("installing signal handlers")?;
    let child = expression
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
        .unchecked()
        .start()
        .with_context(|| format!("starting {expression:?}"))?;
    let leader = child
        .pids()
        .first()
        .copied()
        .context("no process was started")?;
    let group = Pid::from_raw(leader as i32);
    for signal in signals.forever() {
        if signal != SIGCHLD {
            // It fails only when the group is gone, which the next SIGCHLD tells.
            let _ = killpg(group, Signal::SIGTERM);
            // A stopped process would not get to its end.
            let _ = killpg(group, Signal::SIGCONT);
        } else if let Some(output) = child.try_wait().context("waiting for the child")? {
            return Ok(output.status.into());
        }
    }
    bail!("the signal handlers were closed")
}

/// The wish of the user to end this, from now on: it ends no more than what [`supervise`] runs.
pub struct Interruption(Signals);

impl Interruption {
    pub fn watch() -> Result<Self> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT]);
        signals.map(Self).context("installing signal handlers")
    }

    /// Whether it has been uttered since the last time that this was asked.
    pub fn came(&mut self) -> bool {
        self.0.pending().next().is_some()
    }
}

/// Runs a program to its end and calls `tick` ten times a second meanwhile.
pub fn output_with<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    mut tick: impl FnMut(),
) -> Result<Output> {
    const INTERVAL: Duration = Duration::from_millis(100);
    let running = || format!("running '{}'", command_line(program, arguments));
    let child = duct::cmd(program, arguments.iter().map(AsRef::as_ref))
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .start()
        .with_context(running)?;
    // Most are done in less.
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(output) = child.try_wait().with_context(running)? {
            return Ok(output.clone());
        }
        std::thread::sleep(pause);
        if pause < INTERVAL {
            pause = INTERVAL.min(pause * 2);
        } else {
            tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_program_is_told_apart() {
        assert_eq!(
            Termination::from(ExitStatus::from_raw(3 << 8)),
            Termination::Exited(3)
        );
        assert_eq!(
            Termination::from(ExitStatus::from_raw(15)),
            Termination::Killed(15)
        );
        assert_eq!(Termination::Killed(15).status(), 143);
        assert_eq!(Termination::Killed(15).to_string(), "was ended by SIGTERM");
        assert_eq!(Termination::Exited(2).to_string(), "failed with status 2");
    }

    #[test]
    fn an_error_names_the_command_line_and_the_last_words() {
        let sh = find("sh").unwrap();
        let error = output(&sh, &["-c", "echo a; echo b >&2; echo >&2; exit 7"]).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with("failed with status 7: b"), "{text}");
        assert!(text.contains("sh -c 'echo a;"), "{text}");
    }

    #[test]
    fn a_missing_program_is_not_installed() {
        let error = find("no-such-program-anywhere").unwrap_err();
        assert_eq!(crate::sys::exit::code(&error), Exit::NotInstalled);
    }

    #[test]
    fn output_is_what_was_written() {
        assert_eq!(output(Path::new("/bin/echo"), &["a b"]).unwrap(), "a b\n");
    }

    #[test]
    fn a_daemon_left_behind_is_not_waited_for() {
        let start = std::time::Instant::now();
        let expression = duct::cmd!("sh", "-c", "sleep 5 & exit 4");
        assert_eq!(supervise(&expression).unwrap(), Termination::Exited(4));
        assert!(start.elapsed().as_secs() < 4);
    }
}
