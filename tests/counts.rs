//! Counts the instructions and system calls of the commands that run most often.
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

/// A command, and the maximum number of instructions and system calls. Each is counted in a separate run, with
/// another namespace for `NSNAME`.
const LIMITS: [(&str, u64, u64); 8] = [
    ("netnsctl create --unit NSNAME", 500_000, 110),
    ("netnsinit t NSNAME up outside", 600_000, 170),
    ("netnsinit t NSNAME up inside", 600_000, 190),
    ("netnsctl list", 9_500_000, 1_100),
    ("netnsinit t NSNAME down inside", 600_000, 190),
    ("netnsinit t NSNAME down outside", 600_000, 190),
    ("netnsctl delete --unit --force NSNAME", 600_000, 120),
    ("netnsupdate", 6_500_000, 2_400),
];

/// The number of other instances, which must not make a command on one instance slower.
const OTHERS: usize = 100;

#[test]
#[ignore = "needs root and a package"]
fn a_command_takes_few_instructions_and_system_calls() {
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
    let phases = ["up_outside", "up_inside", "down_inside", "down_outside"];
    let functions = phases.map(|phase| format!("configure_t_{phase}() {{ :; }}\n"));
    fs::write(conf.join("t.conf"), functions.concat()).unwrap();
    for other in 0..OTHERS {
        fs::write(conf.join(format!("other{other}.conf")), "X=1\n").unwrap();
    }
    let status = Command::new(SANDBOX)
        .arg(tree.path())
        .arg(env::current_exe().unwrap())
        .args(["--include-ignored", "--nocapture", "a_command_takes"])
        .env(INSIDE, "yes")
        .status()
        .unwrap();
    assert!(status.success());
}

fn count_all() {
    assert!(Path::new("/usr/sbin/netnsctl").exists());
    for other in 0..OTHERS {
        run(&format!("netnsctl create x{other}"));
        let record = format!("/run/systemd-netns/instances/t@x{other}");
        fs::create_dir_all(&record).unwrap();
        fs::write(Path::new(&record).join("outside"), "outside by systemd\n").unwrap();
    }
    run("netnsupdate");
    let mut exceeded = Vec::new();
    for (command, most_instructions, most_calls) in LIMITS {
        let of = |name| command.replace("NSNAME", name);
        for (what, most, found) in [
            ("instructions", most_instructions, instructions(&of("a"))),
            ("system calls", most_calls, calls(&of("b"))),
        ] {
            let line = format!("{command}: {found} {what}, at most {most}");
            println!("{line}");
            if found > most || found == 0 {
                exceeded.push(line);
            }
        }
    }
    assert!(exceeded.is_empty(), "{exceeded:#?}");
}

fn run(command: &str) {
    let status = plain(command).status();
    assert!(status.unwrap().success(), "{command}");
}

/// With an empty environment, because netnsinit copies it.
fn plain(command: &str) -> Command {
    let mut words = command.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin");
    command
}

/// The user-mode instructions, without those of child processes.
fn instructions(command: &str) -> u64 {
    let counted = "valgrind --tool=callgrind --callgrind-out-file=/dev/null /usr/sbin";
    let output = plain(&format!("{counted}/{command}")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let collected = stderr
        .split_once("Collected :")
        .expect("callgrind prints it")
        .1;
    let collected = collected.split_whitespace().next().unwrap();
    collected.parse().unwrap()
}

/// The system calls of the main thread, without those of child processes.
fn calls(command_line: &str) -> u64 {
    let mut command = plain(command_line);
    // SAFETY: it makes a system call, and allocates nothing.
    unsafe { command.pre_exec(|| Ok(ptrace(libc::PTRACE_TRACEME, Pid::this(), None)?)) };
    let child = Pid::from_raw(command.spawn().unwrap().id() as i32);
    let mut stops = 0;
    loop {
        let signal = match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, status) => {
                assert_eq!(status, 0, "{command_line}");
                // The process stops before and after each system call.
                return stops / 2;
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => None,
            WaitStatus::Stopped(_, other) => Some(other),
            other => panic!("{command_line}: {other:?}"),
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
