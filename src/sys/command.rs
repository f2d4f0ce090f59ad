//! Running other programs.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
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
    /// The exit status as a shell reports it: 128 plus the signal number for a killed program.
    pub fn status(self) -> u8 {
        match self {
            Termination::Exited(status) => status,
            Termination::Killed(signal) => 128 | (signal & 0x7f) as u8,
        }
    }

    pub fn success(self) -> bool {
        self == Termination::Exited(0)
    }

    /// Reaps a child process that has ended. `None` while it runs.
    pub fn of(child: Pid) -> nix::Result<Option<Self>> {
        loop {
            match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => return Ok(Some(Self::Exited(status as u8))),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    return Ok(Some(Self::Killed(signal as i32)));
                }
                Ok(_) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
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

/// The search path if the caller's environment has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The caller's `PATH`, or [`DEFAULT_PATH`] if it is not set.
pub fn search_path() -> OsString {
    std::env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| DEFAULT_PATH.into())
}

/// Finds `program` in the search path. If it is missing, the error has [`Exit::NotInstalled`].
pub fn find(program: &str) -> Result<PathBuf> {
    which::which_in(program, Some(search_path()), "/")
        .map_err(|_| anyhow!("{program} is needed and not in PATH"))
        .or_exit(Exit::NotInstalled)
}

/// Finds another program of this package: next to this one, or in the search path.
pub fn ours(program: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("looking for this program")?;
    let neighbour = own.with_file_name(program);
    if neighbour.is_file() {
        return Ok(neighbour);
    }
    find(program)
}

/// Replaces this process with `program`, found in `PATH` if it has no slash, as execvpe(3) does.
/// `environment` replaces the one of this process.
///
/// # Errors
/// It cannot be run. This process continues unchanged.
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

/// A path, quoted for a shell.
pub fn quoted(path: &Path) -> String {
    shell_words::quote(&path.to_string_lossy()).into_owned()
}

/// Runs a program and returns its output. Fails unless the exit status is 0.
///
/// # Errors
/// Names the command line, how it ended, and the last line of its stderr.
pub fn output<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Result<String> {
    let output = try_output(program, arguments)?;
    let end = Termination::from(output.status);
    if !end.success() {
        let why = last_line(&output.stderr);
        bail!("'{}' {end}{why}", command_line(program, arguments));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last line of a program's stderr, after a colon; empty if it printed nothing.
pub fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    last.map(|line| format!(": {line}")).unwrap_or_default()
}

/// Runs a program and returns its output, whatever its exit status.
pub fn try_output<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Result<Output> {
    // Not by duct, which starts a thread for each of the two pipes.
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.with_context(|| format!("running '{}'", command_line(program, arguments)))
}

/// Runs a program with more environment variables and with `input` as stdin. Returns its output, whatever its
/// exit status.
pub fn filter(program: &Path, environment: &[(&str, &str)], input: Vec<u8>) -> Result<Output> {
    let mut command = duct::cmd(program, std::iter::empty::<&str>());
    for (name, value) in environment {
        command = command.env(name, value);
    }
    command
        .stdin_bytes(input)
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .with_context(|| format!("running '{}'", program.display()))
}

fn command_line<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> String {
    let arguments = arguments.iter().map(|word| word.as_ref().to_string_lossy());
    shell_words::join(std::iter::once(program.to_string_lossy()).chain(arguments))
}

/// Names and values of an environment.
pub type Environment = Vec<(OsString, OsString)>;

/// A program for [`supervise`].
#[derive(Debug)]
pub struct Program<'a> {
    pub path: &'a Path,
    pub arguments: &'a [OsString],
    pub environment: Environment,
    /// Whether it inherits stdin. Otherwise stdin is `/dev/null`.
    pub reads_input: bool,
}

impl Program<'_> {
    /// Starts it in a process group of its own, with no signals blocked.
    fn spawn(&self) -> Result<Pid> {
        let word = |word: &OsStr| CString::new(word.as_bytes());
        let starting = || format!("starting '{}'", self.path.display());
        let mut arguments = Vec::with_capacity(1 + self.arguments.len());
        arguments.push(word(self.path.as_os_str()).with_context(starting)?);
        for argument in self.arguments {
            arguments.push(word(argument).with_context(starting)?);
        }
        let mut environment = Vec::with_capacity(self.environment.len());
        for (name, value) in &self.environment {
            let variable = [name.as_bytes(), b"=", value.as_bytes()].concat();
            environment.push(CString::new(variable).with_context(starting)?);
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
            // Rust ignores SIGPIPE, and so do systemd services.
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

/// Signals that ask a program to terminate.
const ENDING: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Signals that are blocked as long as this lives.
#[must_use]
pub struct Blocked {
    earlier: SigSet,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.earlier.thread_set_mask();
    }
}

/// Blocks SIGTERM, SIGINT, SIGHUP and SIGQUIT until [`supervise`] runs or the result is dropped.
pub fn block_ending_signals() -> Result<Blocked> {
    let ending: SigSet = ENDING.into_iter().collect();
    let earlier = ending.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let earlier = earlier.context("blocking signals")?;
    Ok(Blocked { earlier })
}

/// Runs a program in a process group of its own and waits for it. Processes that it leaves behind
/// keep running if it succeeds, and are killed if it fails.
///
/// SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGQUIT terminate the whole group: a shell alone would die
/// and leave its child running, or wait for a child that ignores SIGINT.
///
/// The process must be single-threaded, or another thread could receive the signals.
pub fn supervise(program: &Program) -> Result<Termination> {
    // If SIGCHLD is ignored, the kernel discards the status of children (wait(2)).
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("resetting SIGCHLD")?;
    let waited: SigSet = ENDING.into_iter().chain([Signal::SIGCHLD]).collect();
    let blocked = waited.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let blocked = blocked.context("blocking signals")?;
    // Orphans become children of this process, so that it can kill them.
    prctl::set_child_subreaper(true).context("becoming a subreaper")?;
    let earlier = children();
    let leader = program.spawn()?;
    let end = wait(leader, waited).context("waiting for a program");
    if end.is_err() {
        // Nobody would see how it ends.
        let _ = killpg(leader, Signal::SIGKILL);
    }
    if !end.as_ref().is_ok_and(|end| end.success()) {
        end_children(&earlier);
    }
    blocked.thread_set_mask().context("unblocking signals")?;
    end
}

/// Waits for the leader of a process group, and passes signals on to the group. `waited` are blocked.
fn wait(leader: Pid, waited: SigSet) -> nix::Result<Termination> {
    loop {
        if waited.wait()? != Signal::SIGCHLD {
            // Fails only if the group is gone. The next SIGCHLD reports that.
            let _ = killpg(leader, Signal::SIGTERM);
            // A stopped process would not terminate.
            let _ = killpg(leader, Signal::SIGCONT);
        }
        if let Some(end) = Termination::of(leader)? {
            return Ok(end);
        }
    }
}

/// The child processes of this process (proc(5)).
fn children() -> Vec<Pid> {
    let list = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.map(Pid::from_raw).collect()
}

/// Kills the children that are not in `earlier`, and their children, which are reparented to us.
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
            // Both fail only for a process that has just exited.
            let _ = kill(*pid, signal);
            let _ = waitpid(*pid, Some(WaitPidFlag::WNOHANG));
        }
        thread::sleep(INTERVAL);
    }
}

/// Runs a program and calls `tick` ten times a second until it ends.
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
    // Most programs take less.
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
