//! The only use of other programs.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

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

/// The names and values of an environment.
pub type Environment = Vec<(OsString, OsString)>;

/// A program to be run by [`supervise`].
#[derive(Debug)]
pub struct Program<'a> {
    pub path: &'a Path,
    pub arguments: &'a [OsString],
    pub environment: Environment,
    /// Whether its standard input is ours; else it is `/dev/null`.
    pub reads_input: bool,
}

impl Program<'_> {
    /// Starts it in a process group of its own, with no signal blocked.
    fn spawn(&self) -> Result<Pid> {
        let word = |word: &OsStr| CString::new(word.as_bytes());
        let starting = || format!("starting '{}'", self.path.display());
        let mut arguments = vec![word(self.path.as_os_str()).with_context(starting)?];
        for argument in self.arguments {
            arguments.push(word(argument).with_context(starting)?);
        }
        let mut environment = Vec::new();
        for (name, value) in &self.environment {
            let mut variable = name.clone();
            variable.push("=");
            variable.push(value);
            environment.push(word(&variable).with_context(starting)?);
        }
        let null = match self.reads_input {
            true => None,
            false => Some(File::open("/dev/null").context("opening /dev/null")?),
        };
        let start = || -> nix::Result<Pid> {
            let mut attributes = PosixSpawnAttr::init()?;
            attributes.set_flags(
                PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                    | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                    | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
            )?;
            attributes.set_pgroup(Pid::from_raw(0))?;
            attributes.set_sigmask(&SigSet::empty())?;
            // Rust ignores SIGPIPE, and so does a service of systemd.
            attributes.set_sigdefault(&[Signal::SIGPIPE, Signal::SIGCHLD].into_iter().collect())?;
            let mut files = PosixSpawnFileActions::init()?;
            if let Some(null) = &null {
                files.add_dup2(null.as_raw_fd(), 0)?;
            }
            posix_spawn(self.path, &files, &attributes, &arguments, &environment)
        };
        start().with_context(starting)
    }
}

/// Signals by which somebody wants this to end.
const ENDING: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Runs a program in a process group of its own and waits for it. What it leaves running goes on if
/// it has succeeded, and is ended if not.
///
/// SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGQUIT end the whole group: a shell would die of them
/// and leave its running child, or wait for a child that takes SIGINT for no reason to end.
///
/// This process must have one thread: another would take the signals.
pub fn supervise(program: &Program) -> Result<Termination> {
    // Where a caller has it ignored, the kernel drops the status of a child (wait(2)).
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("resetting SIGCHLD")?;
    let waited: SigSet = ENDING.into_iter().chain([Signal::SIGCHLD]).collect();
    let blocked = waited.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let blocked = blocked.context("blocking signals")?;
    // What loses its parent becomes a child of this process, which can end it.
    prctl::set_child_subreaper(true).context("becoming a subreaper")?;
    let earlier = children();
    let leader = program.spawn()?;
    let end = loop {
        let signal = waited.wait().context("waiting for signals")?;
        if signal != Signal::SIGCHLD {
            // It fails only when the group is gone, which the next SIGCHLD tells.
            let _ = killpg(leader, Signal::SIGTERM);
            // A stopped process would not get to its end.
            let _ = killpg(leader, Signal::SIGCONT);
        }
        match waitpid(leader, Some(WaitPidFlag::WNOHANG)).context("waiting for a program")? {
            WaitStatus::Exited(_, status) => break Termination::Exited(status as u8),
            WaitStatus::Signaled(_, signal, _) => break Termination::Killed(signal as i32),
            _ => {}
        }
    };
    if !end.success() {
        end_children(&earlier);
    }
    blocked.thread_set_mask().context("unblocking signals")?;
    Ok(end)
}

/// The processes whose parent is this one (proc(5)).
fn children() -> Vec<Pid> {
    let list = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.map(Pid::from_raw).collect()
}

/// Ends the children that are not among `earlier`, and theirs, which become ours by that.
fn end_children(earlier: &[Pid]) {
    const GRACE: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_millis(5);
    let start = Instant::now();
    loop {
        let left = children();
        let left: Vec<&Pid> = left.iter().filter(|pid| !earlier.contains(pid)).collect();
        if left.is_empty() {
            return;
        }
        let signal = match start.elapsed() < GRACE {
            true => Signal::SIGTERM,
            false => Signal::SIGKILL,
        };
        for pid in left {
            // Both fail only for one that has just ended.
            let _ = kill(*pid, signal);
            let _ = waitpid(*pid, Some(WaitPidFlag::WNOHANG));
        }
        thread::sleep(INTERVAL);
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
}
