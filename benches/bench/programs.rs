//! The times of single programs, in private namespaces (`tests/support/sandbox`).

use std::fs::{self, File};
use std::mem;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, setns};

use crate::table::{Goal, Row, Samples, print, print_size};

pub const ROWS: [&str; 7] = [
    "outside", "inside", "exec", "list", "many", "memory", "size",
];

/// The first word of the command line in the sandbox.
pub const INSIDE: &str = "in-sandbox";

const SANDBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sandbox");

/// The baseline: the same work in plain bash.
const BASELINE: &str = "source /etc/conf.d/netns/default.conf; source /etc/conf.d/netns/t.conf; configure_t_up_outside a";

pub fn run_in_sandbox(package: &str, rounds: usize, rows: &[String]) -> Result<()> {
    let tree = tempfile::tempdir()?;
    let conf = tree.path().join("etc/conf.d/netns");
    fs::create_dir_all(&conf)?;
    std::os::unix::fs::symlink(
        fs::canonicalize(package)?.join("usr"),
        tree.path().join("usr"),
    )?;
    fs::write(conf.join("default.conf"), "X=1\n")?;
    let empty = "configure_t_up_outside() { :; }\nconfigure_t_up_inside() { :; }\n";
    fs::write(conf.join("t.conf"), empty)?;
    fs::write(
        conf.join("slow.conf"),
        "configure_slow_up_outside() { sleep 60; }\n",
    )?;
    let mut sandbox = Command::new(SANDBOX);
    sandbox.arg(tree.path()).arg(std::env::current_exe()?);
    sandbox
        .arg(INSIDE)
        .args(["--rounds", &rounds.to_string()])
        .args(rows);
    ensure!(
        sandbox.status()?.success(),
        "measuring in the sandbox failed"
    );
    Ok(())
}

pub fn run(rounds: usize, rows: &[&str]) -> Result<()> {
    let wanted = |row: &str| rows.contains(&row);
    create(&["a".to_owned()])?;
    if wanted("outside") {
        outside(rounds, "netnsinit up outside", Goal::Ratio(1.36))?;
    }
    if wanted("inside") {
        inside(rounds, "netnsinit up inside", Goal::Ratio(1.4))?;
    }
    if wanted("exec") {
        exec(rounds, "netnsctl exec", Goal::Ratio(0.7))?;
    }
    if wanted("list") {
        list()?;
    }
    if wanted("many") {
        many(rounds)?;
    }
    if wanted("memory") {
        memory()?;
    }
    if wanted("size") {
        let sizes = ["netnsinit", "netnsupdate", "netnsctl"].map(|name| {
            // Of netnsupdate, a name of netnsctl, what the link takes.
            let metadata = fs::symlink_metadata(Path::new("/usr/sbin").join(name));
            metadata.map(|metadata| metadata.len())
        });
        let sum = sizes.into_iter().sum::<std::io::Result<u64>>()?;
        print_size("size of the three programs", sum, 6 << 20);
    }
    Ok(())
}

/// Creates namespaces, several with each call of bash.
fn create(names: &[String]) -> Result<()> {
    for name in names {
        let status = Command::new("netnsctl")
            .args(["create", name])
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "creating the namespace '{name}' failed");
    }
    Ok(())
}

fn outside(rounds: usize, what: &str, goal: Goal) -> Result<Samples> {
    let [ours, baseline] = by_turns(
        rounds,
        [
            (&["netnsinit", "t", "a", "up", "outside"], None),
            (&["bash", "--norc", "--noprofile", "-c", BASELINE], None),
        ],
    )?;
    print(&Row {
        what,
        ours: &ours,
        baseline: ("bash", &baseline),
        goal,
    });
    Ok(ours)
}

fn inside(rounds: usize, what: &str, goal: Goal) -> Result<Samples> {
    let there = File::open("/run/netns/a")?;
    let [ours, baseline] = by_turns(
        rounds,
        [
            (&["netnsinit", "t", "a", "up", "inside"], None),
            (
                &["bash", "--norc", "--noprofile", "-c", BASELINE],
                Some(&there),
            ),
        ],
    )?;
    print(&Row {
        what,
        ours: &ours,
        baseline: ("setns, bash", &baseline),
        goal,
    });
    Ok(ours)
}

/// Returns the samples of both.
fn exec(rounds: usize, what: &str, goal: Goal) -> Result<[Samples; 2]> {
    let [ours, ip] = by_turns(
        rounds,
        [
            (&["netnsctl", "exec", "a", "--", "true"], None),
            (&["ip", "netns", "exec", "a", "true"], None),
        ],
    )?;
    print(&Row {
        what,
        ours: &ours,
        baseline: ("ip netns exec", &ip),
        goal,
    });
    Ok([ours, ip])
}

/// The additional time with 1000 other namespaces.
fn many(rounds: usize) -> Result<()> {
    let one = (
        outside(rounds, "up outside, 1 namespace", Goal::None)?,
        inside(rounds, "up inside, 1 namespace", Goal::None)?,
        exec(rounds, "exec, 1 namespace", Goal::None)?,
    );
    let names: Vec<String> = (0..1000).map(|number| format!("m{number}")).collect();
    create(&names)?;
    let many = (
        outside(rounds, "up outside, 1001 namespaces", Goal::None)?,
        inside(rounds, "up inside, 1001 namespaces", Goal::None)?,
        exec(rounds, "exec, 1001 namespaces", Goal::None)?,
    );
    print(&Row {
        what: "up outside, 1001 namespaces",
        ours: &many.0,
        baseline: ("itself with 1", &one.0),
        goal: Goal::Ratio(1.05),
    });
    let grown = |many: &Samples, one: &Samples| Samples {
        wall: many.wall.iter().map(|time| time - one.median()).collect(),
        cpu: Vec::new(),
    };
    let ip = grown(&many.2[1], &one.2[1]);
    for (what, many, one) in [
        ("up inside, what 1000 namespaces add", &many.1, &one.1),
        ("exec, what 1000 namespaces add", &many.2[0], &one.2[0]),
    ] {
        let ours = &grown(many, one);
        let baseline = ("ip netns exec", &ip);
        print(&Row {
            what,
            ours,
            baseline,
            goal: Goal::Ratio(1.0),
        });
    }
    delete(&names)
}

fn list() -> Result<()> {
    let names: Vec<String> = (0..500).map(|number| format!("l{number}")).collect();
    create(&names)?;
    let host = File::open("/proc/self/ns/net")?;
    let (mut ours, mut dumps, mut ip) =
        (Samples::default(), Samples::default(), Samples::default());
    for round in 0..10 {
        ours.add(&[spawn(&["netnsctl", "list"], None)?]);
        let begin = Instant::now();
        for name in &names {
            dump(name)?;
        }
        setns(&host, CloneFlags::CLONE_NEWNET)?;
        dumps.wall.push(begin.elapsed().as_micros() as f64);
        if round < 3 {
            let each = names
                .iter()
                .map(|name| spawn(&["ip", "-n", name, "link"], None));
            ip.add(&each.collect::<Result<Vec<_>>>()?);
        }
    }
    let what = "netnsctl list, 500 namespaces";
    let baseline = ("a netlink dump of each", &dumps);
    print(&Row {
        what,
        ours: &ours,
        baseline,
        goal: Goal::Ratio(2.0),
    });
    let baseline = ("ip -n of each", &ip);
    print(&Row {
        what,
        ours: &ours,
        baseline,
        goal: Goal::Ratio(0.1),
    });
    delete(&names)
}

fn delete(names: &[String]) -> Result<()> {
    for name in names {
        let status = Command::new("netnsctl")
            .args(["delete", name])
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "deleting the namespace '{name}' failed");
    }
    Ok(())
}

/// Enters a namespace and lists its links once.
fn dump(name: &str) -> Result<()> {
    let namespace = File::open(Path::new("/run/netns").join(name))?;
    setns(&namespace, CloneFlags::CLONE_NEWNET)?;
    let socket = Socket::new(NETLINK_ROUTE)?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answer = Vec::with_capacity(1 << 15);
    loop {
        answer.clear();
        socket.recv(&mut answer, 0)?;
        // The last message says NLMSG_DONE and nothing else.
        if answer.get(4..6) == Some(&3u16.to_ne_bytes()[..]) {
            return Ok(());
        }
    }
}

fn memory() -> Result<()> {
    let mut child = Command::new("netnsinit")
        .args(["slow", "a", "up", "outside"])
        .spawn()?;
    thread::sleep(Duration::from_secs(1));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident
        .and_then(|text| text.split_whitespace().next())
        .context("no VmRSS")?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id() as i32),
        nix::sys::signal::Signal::SIGTERM,
    )?;
    child.wait()?;
    let resident = resident.parse::<u64>()? << 10;
    print_size(
        "resident memory of netnsinit while bash runs",
        resident,
        3 << 20,
    );
    Ok(())
}

/// A command, and the namespace that it is started in.
type Task<'a> = (&'a [&'a str], Option<&'a File>);

/// Runs two commands alternately.
fn by_turns(rounds: usize, tasks: [Task; 2]) -> Result<[Samples; 2]> {
    let mut samples = [Samples::default(), Samples::default()];
    for (words, namespace) in tasks {
        spawn(words, namespace)?; // has its files read
    }
    for _ in 0..rounds {
        for ((words, namespace), samples) in tasks.iter().zip(&mut samples) {
            samples.add(&[spawn(words, *namespace)?]);
        }
    }
    Ok(samples)
}

impl Samples {
    /// Adds a sample that is the sum of `times`: wall-clock time and CPU time.
    fn add(&mut self, times: &[(f64, f64)]) {
        self.wall.push(times.iter().map(|(wall, _)| wall).sum());
        self.cpu.push(times.iter().map(|(_, cpu)| cpu).sum());
    }
}

/// Runs a command and returns its wall-clock time and CPU time.
fn spawn(words: &[&str], namespace: Option<&File>) -> Result<(f64, f64)> {
    let host = File::open("/proc/self/ns/net")?;
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begin = Instant::now();
    if let Some(namespace) = namespace {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
    }
    let child = command
        .spawn()
        .with_context(|| format!("running {}", words[0]))?;
    let mut status = 0;
    // SAFETY: rusage is plain data, and wait4 fills it.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    let waited = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    let wall = begin.elapsed().as_nanos() as f64 / 1e3;
    if namespace.is_some() {
        setns(&host, CloneFlags::CLONE_NEWNET)?;
    }
    ensure!(
        waited > 0 && status == 0,
        "{} ended with {status:#x}",
        words.join(" ")
    );
    let time = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    Ok((wall, time(usage.ru_utime) + time(usage.ru_stime)))
}
