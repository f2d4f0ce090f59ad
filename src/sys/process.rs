//! This process and its forks: signals, file descriptors, environment, privileges.
//!
//! Has most of the unsafe code: system calls that our crates do not wrap safely.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Pid, dup2_stdin, fork, getppid, setsid};

use crate::sys::command::Termination;
use crate::sys::file;
use crate::sys::log;

/// Unblocks all signals, and resets those that a caller may have ignored by mistake: without
/// SIGCHLD, the exit of a child would never be noticed.
///
/// Does not reset those that nohup(1) and shells ignore on purpose, nor SIGPIPE. A write beyond
/// `ulimit -f` fails with EFBIG instead of killing the process.
pub fn reset_signals() {
    const LEFT_ALONE: [Signal; 9] = [
        Signal::SIGKILL,
        Signal::SIGSTOP,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ];
    extern "C" fn nothing(_: libc::c_int) {}
    for signal in Signal::iterator().filter(|signal| !LEFT_ALONE.contains(signal)) {
        let handler = match signal {
            // Unlike SIG_IGN, a handler is not inherited by the programs that we run.
            Signal::SIGXFSZ => SigHandler::Handler(nothing),
            _ => SigHandler::SigDfl,
        };
        let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does nothing, and no other handler is installed yet.
        let _ = unsafe { sigaction(signal, &action) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Runs steps in child processes, one after the other, and survives SIGTERM, SIGINT, SIGHUP and
/// SIGQUIT, which terminate the running step.
pub struct Steps {
    signals: SigSet,
    interrupted: bool,
}

impl Steps {
    pub fn begin() -> Result<Self> {
        let signals: SigSet = [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ]
        .into_iter()
        .collect();
        signals.thread_block().context("blocking signals")?;
        Ok(Self {
            signals,
            interrupted: false,
        })
    }

    /// Whether a terminating signal has arrived since the last call.
    pub fn interrupted(&mut self) -> bool {
        // SAFETY: sigset_t is plain data, and sigpending fills it.
        let mut pending: libc::sigset_t = unsafe { std::mem::zeroed() };
        unsafe { libc::sigpending(&raw mut pending) };
        // SAFETY: sigpending(2) has filled it.
        let pending = unsafe { SigSet::from_sigset_t_unchecked(pending) };
        for signal in self.signals.iter() {
            if signal != Signal::SIGCHLD && pending.contains(signal) {
                let taken: SigSet = [signal].into_iter().collect();
                self.interrupted |= taken.wait().is_ok();
            }
        }
        std::mem::take(&mut self.interrupted)
    }

    /// Runs `step` in a forked child, in a new session, and waits for it.
    ///
    /// The child inherits open files and so the locks of this process. If this process is killed, the
    /// child gets SIGTERM, and the locks are held until it has exited.
    ///
    /// # Errors
    /// The child cannot be started. An error of `step` is printed by the child, and returned as its
    /// exit status.
    pub fn run(&mut self, step: impl FnOnce() -> Result<u8>) -> Result<Termination> {
        ensure!(is_single_thread()?, "other threads run: refusing to fork");
        let parent = Pid::this();
        // SAFETY: this is the only thread, so no lock is held by another one.
        match unsafe { fork() }.context("starting a child process")? {
            ForkResult::Child => {
                let run = AssertUnwindSafe(|| isolate(parent).and_then(|()| step()));
                let status = match catch_unwind(run) {
                    Ok(Ok(status)) => status,
                    Ok(Err(error)) => {
                        log::error(&format!("{error:#}"));
                        crate::sys::exit::code(&error) as u8
                    }
                    Err(_) => 101,
                };
                let _ = io::stdout().flush();
                // SAFETY: exits without running the parent's exit handlers.
                unsafe { libc::_exit(status.into()) }
            }
            ForkResult::Parent { child } => {
                let end = self.wait(child).context("waiting for a child process");
                if end.is_err() {
                    // Nobody would see how it ends.
                    let _ = kill(child, Signal::SIGKILL);
                }
                end
            }
        }
    }

    fn wait(&mut self, child: Pid) -> nix::Result<Termination> {
        loop {
            if let Some(end) = Termination::of(child)? {
                return Ok(end);
            }
            if self.signals.wait()? != Signal::SIGCHLD {
                self.interrupted = true;
                let _ = kill(child, Signal::SIGTERM);
                // A stopped process would not terminate.
                let _ = kill(child, Signal::SIGCONT);
            }
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let _ = self.signals.thread_unblock();
    }
}

/// Whether this is the only thread. One that was joined may stay in the list for a moment.
fn is_single_thread() -> Result<bool> {
    const TASKS: &str = "/proc/self/task";
    let begin = Instant::now();
    loop {
        let threads = fs::read_dir(TASKS).with_context(|| format!("reading {TASKS}"))?;
        let single = threads.count() == 1;
        if single || begin.elapsed() > Duration::from_millis(100) {
            return Ok(single);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Detaches the child from the caller, as systemd does for a service (systemd.exec(5)).
fn isolate(parent: Pid) -> Result<()> {
    setsid().context("creating a session")?;
    set_pdeathsig(Signal::SIGTERM).context("tying the child to its parent")?;
    ensure!(getppid() == parent, "netnsctl was killed");
    SigSet::empty()
        .thread_set_mask()
        .context("unblocking signals")?;
    umask(Mode::from_bits_truncate(0o022));
    env::set_current_dir("/").context("changing to /")?;
    let null = File::open("/dev/null").context("opening /dev/null")?;
    dup2_stdin(null).context("closing stdin")?;
    close_from(3)
}

/// Replaces the environment. The process must be single-threaded.
pub fn set_environment(variables: Vec<(OsString, OsString)>) {
    for (name, _) in env::vars_os() {
        // SAFETY: no other thread reads the environment.
        unsafe { env::remove_var(name) };
    }
    for (name, value) in variables {
        // SAFETY: as above.
        unsafe { env::set_var(name, value) };
    }
}

/// Whether the caller is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The numbers of all processes, sorted (proc(5)).
pub fn all() -> Result<Vec<u32>> {
    // Their names are enough: procfs would open the directory of each.
    let mut pids: Vec<u32> = file::parsed(Path::new("/proc"))?;
    pids.sort_unstable();
    Ok(pids)
}

/// Kills all processes that have `name=value` in their environment.
///
/// With SIGTERM, and after two seconds with SIGKILL.
pub fn kill_by_environment(name: &str, value: &str) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let variable = format!("{name}={value}");
    let begin = Instant::now();
    let mut signal = Some(Signal::SIGTERM);
    loop {
        let mut found = false;
        for pid in all()? {
            // A process that has exited has no environment; that of a zombie is empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let mut words = environment.split(|byte| *byte == 0);
            if words.any(|word| word == variable.as_bytes()) && pid != std::process::id() {
                found = true;
                if let Some(signal) = signal {
                    let pid = Pid::from_raw(pid as i32);
                    let _ = kill(pid, signal);
                    let _ = kill(pid, Signal::SIGCONT);
                }
            }
        }
        if !found {
            return Ok(());
        }
        let late = begin.elapsed() > PATIENCE;
        ensure!(
            begin.elapsed() < 2 * PATIENCE,
            "processes with {variable} do not end"
        );
        signal = late.then_some(Signal::SIGKILL);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sets close-on-exec for all descriptors from `first` on.
pub fn close_from(first: RawFd) -> Result<()> {
    for entry in fs::read_dir("/proc/self/fd").context("reading /proc/self/fd")? {
        let name = entry.context("reading /proc/self/fd")?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number >= first {
            // SAFETY: sets a flag, or fails on the descriptor that read_dir has closed.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Replaces the caller's session keyring by a new, empty one (keyctl(2)).
pub fn join_new_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for a new, anonymous keyring.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
    match Errno::result(result) {
        // Without keyrings in the kernel or container, there is nothing to replace.
        Ok(_) | Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => Ok(()),
        Err(errno) => Err(errno).context("joining a new session keyring"),
    }
}

/// Permanently prevents this process and its children from inserting input into the caller's
/// terminal: TIOCSTI and TIOCLINUX (ioctl_tty(2)) fail with EPERM.
///
/// Does not set `PR_SET_NO_NEW_PRIVS`, so set-user-ID programs still work. Needs `CAP_SYS_ADMIN`.
pub fn forbid_terminal_input() -> Result<()> {
    // The system call number of ioctl(2): native, of 32-bit programs, and of x32.
    const IOCTL: [u32; 3] = [libc::SYS_ioctl as u32, 54, 0x4000_0000 | 514];
    const TIOCLINUX: u32 = 0x541c;
    // Offsets in struct seccomp_data: the system call number, and the low half of the second argument.
    const NUMBER: u32 = 0;
    const REQUEST: u32 = if cfg!(target_endian = "little") {
        24
    } else {
        28
    };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let give = |what| statement(libc::BPF_RET | libc::BPF_K, what);
    let equal = |value, then, otherwise| libc::sock_filter {
        jt: then,
        jf: otherwise,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    };
    let mut filter = [
        load(NUMBER),
        equal(IOCTL[0], 2, 0),
        equal(IOCTL[1], 1, 0),
        equal(IOCTL[2], 0, 3),
        load(REQUEST),
        equal(libc::TIOCSTI as u32, 2, 0),
        equal(TIOCLINUX, 1, 0),
        give(libc::SECCOMP_RET_ALLOW),
        give(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and the filter live until the call returns; the kernel checks both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    Errno::result(result)
        .map(drop)
        .context("forbidding input into the terminal")
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// The environment variables whose names `keep` accepts.
pub fn environment(keep: impl Fn(&OsStr) -> bool) -> Vec<(OsString, OsString)> {
    env::vars_os().filter(|(name, _)| keep(name)).collect()
}
