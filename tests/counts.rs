//! Counts the instructions and system calls of netnsinit in each phase.
//!
//! The limits have headroom for other compilers and C libraries. A change that exceeds one makes every start
//! slower: run `make bench`, and read docs/performance.md.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

const SANDBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sandbox");
const INSIDE: &str = "NETNS_COUNTS_INSIDE";

/// A phase, and the maximum number of instructions and system calls.
const LIMITS: [(&str, &str, u64, u64); 4] = [
    ("up", "outside", 600_000, 170),
    ("up", "inside", 600_000, 190),
    ("down", "inside", 600_000, 190),
    ("down", "outside", 600_000, 190),
];

#[test]
#[ignore = "needs root and a package"]
fn a_phase_takes_few_instructions_and_system_calls() {
    if env::var_os(INSIDE).is_some() {
        return count_all();
    }
    let package =
        env::var_os("NETNS_TEST_PACKAGE").expect("NETNS_TEST_PACKAGE: see tests/README.md");
    let package = fs::canonicalize(package).unwrap();
    let tree = tempfile::tempdir().unwrap();
    let conf = tree.path().join("etc/conf.d/netns");
    fs::create_dir_all(&conf).unwrap();
    std::os::unix::fs::symlink(package.join("usr"), tree.path().join("usr")).unwrap();
    fs::write(conf.join("default.conf"), "X=1\n").unwrap();
    let functions =
        LIMITS.map(|(direction, side, ..)| format!("configure_t_{direction}_{side}() {{ :; }}\n"));
    fs::write(conf.join("t.conf"), functions.concat()).unwrap();
    let status = Command::new(SANDBOX)
        .arg(tree.path())
        .arg(env::current_exe().unwrap())
        .args(["--include-ignored", "--nocapture", "a_phase_takes"])
        .env(INSIDE, "yes")
        .status()
        .unwrap();
    assert!(status.success());
}

fn count_all() {
    assert!(Path::new("/usr/sbin/netnsctl").exists());
    let created = Command::new("/usr/sbin/netnsctl")
        .args(["create", "a"])
        .status();
    assert!(created.unwrap().success());
    let mut exceeded = Vec::new();
    for (direction, side, most_instructions, most_calls) in LIMITS {
        // Each counts in a separate run.
        let words = ["t", "a", direction, side];
        for (what, most, found) in [
            ("instructions", most_instructions, instructions(&words)),
            ("system calls", most_calls, calls(&words)),
        ] {
            let line = format!("{direction} {side}: {found} {what}, at most {most}");
            println!("{line}");
            if found > most || found == 0 {
                exceeded.push(line);
            }
        }
    }
    assert!(exceeded.is_empty(), "{exceeded:#?}");
}

const NETNSINIT: &str = "/usr/sbin/netnsinit";

/// With an empty environment, because netnsinit copies it.
fn plain(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin");
    command
}

/// The user-mode instructions, without those of child processes.
fn instructions(words: &[&str]) -> u64 {
    let mut command = plain(
        "valgrind",
        &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
    );
    let output = command.arg(NETNSINIT).args(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let collected = stderr
        .split_once("Collected :")
        .expect("callgrind prints it")
        .1;
    let collected = collected.split_whitespace().next().unwrap();
    collected.parse().unwrap()
}

/// The system calls, without those of child processes.
fn calls(words: &[&str]) -> u64 {
    let mut command = plain(NETNSINIT, words);
    // SAFETY: it makes a system call, and allocates nothing.
    unsafe { command.pre_exec(|| Ok(ptrace(libc::PTRACE_TRACEME, Pid::this(), None)?)) };
    let child = Pid::from_raw(command.spawn().unwrap().id() as i32);
    let mut stops = 0;
    loop {
        let signal = match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, status) => {
                assert_eq!(status, 0, "netnsinit {words:?}");
                // The process stops before and after each system call.
                return stops / 2;
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => None,
            WaitStatus::Stopped(_, other) => Some(other),
            other => panic!("netnsinit {words:?}: {other:?}"),
        };
        stops += 1;
        ptrace(libc::PTRACE_SYSCALL, child, signal).unwrap();
    }
}

fn ptrace(request: libc::c_uint, pid: Pid, signal: Option<Signal>) -> nix::Result<()> {
    let signal = signal.map_or(0, |signal| signal as libc::c_long);
    let address = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests read and write no memory.
    let result = unsafe { libc::ptrace(request, pid.as_raw(), address, signal) };
    Errno::result(result).map(drop)
}
