//! Killed at each system call: every unit is completely old or new, and the next run finishes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use libtest_mimic::{Failed, Trial};

use crate::tree::{INSIDE, NETNSUPDATE, OLD, ORIGINAL, OUTSIDE, Outcome, Tree};

/// Those that change something, and those between them, under the names that they have on any
/// architecture (`?`: not on all of them).
const SYSTEM_CALLS: [&str; 11] = [
    "openat",
    "write",
    "?rename,?renameat,?renameat2",
    "?unlink,?unlinkat",
    "fsync",
    "?chmod,?fchmod,?fchmodat",
    "flock",
    "close",
    "getdents64",
    "?statx,?newfstatat,?fstatat64",
    "exit_group",
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("killed_after_any_time", after_any_time)];
    for call in SYSTEM_CALLS {
        let first = call.split(',').next().unwrap_or(call);
        let name = format!("killed_at_every_{}", first.trim_start_matches('?'));
        // It needs no root, but permission to trace.
        trials.push(Trial::test(name, move || at_every(call)).with_kind("needs strace"));
    }
    trials
}

/// One of each: up to date, outdated, the original's, a symlink, new, stale.
fn tree() -> Tree {
    let tree = Tree::new();
    for nstype in ["current", "old", "original", "link", "new"] {
        tree.conf(nstype);
    }
    tree.unit("netns-current@.service", INSIDE);
    tree.unit("netns_outside-current@.service", OUTSIDE);
    tree.unit("netns-old@.service", OLD);
    tree.unit("netns_outside-old@.service", OLD);
    tree.unit("netns-original@.service", ORIGINAL);
    tree.link(
        "/usr/lib/systemd/system/netns@.service",
        "etc/systemd/system/netns-link@.service",
    );
    tree.unit("netns-stale@.service", OLD);
    tree.unit("netns-mine@.service", "[Service]\n");
    for (name, requires) in [("new-a", "current@b"), ("old-a", "new@b")] {
        let path = format!("etc/conf.d/netns/{name}.conf");
        tree.write(path, &format!("NETNS_REQUIRES={requires}\n"));
    }
    tree.unit(
        "netns_outside-old@a.service.d/50-netns-requires.conf",
        OLD_DROP_IN,
    );
    tree
}

/// What an earlier content of `old-a.conf` asked for.
const OLD_DROP_IN: &str =
    "# Written by netnsupdate from NETNS_REQUIRES in /etc/conf.d/netns/old-a.conf\n[Unit]\n";

type Units = BTreeMap<String, String>;

/// The initial and the final content of `tree`.
fn before_and_after() -> (Units, Units) {
    let tree = tree();
    let before = tree.units();
    tree.update().expect(0);
    (before, tree.units())
}

fn assert_whole(tree: &Tree, before: &Units, after: &Units, context: &str) {
    let now = tree.units();
    for (name, text) in &now {
        if name.contains(".systemd-netns-") {
            continue;
        }
        let known = [before, after].map(|units| units.get(name));
        assert!(
            known.contains(&Some(text)),
            "{context}: {name} holds:\n{text}"
        );
    }
    for name in before.keys().filter(|name| after.contains_key(*name)) {
        assert!(now.contains_key(name), "{context}: {name} is lost");
    }
    tree.update().expect(0);
    assert_eq!(&tree.units(), after, "{context}: the next run");
}

fn after_any_time() -> Result<(), Failed> {
    let (before, after) = before_and_after();
    let start = Instant::now();
    tree().update().expect(0);
    let whole = start.elapsed();
    let steps = 60;
    for step in 0..=steps {
        let tree = tree();
        let delay = whole * step / steps;
        let mut command = tree.command();
        let mut run = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        thread::sleep(delay);
        run.kill()?;
        run.wait()?;
        assert_whole(&tree, &before, &after, &format!("killed after {delay:?}"));
    }
    Ok(())
}

fn at_every(call: &str) -> Result<(), Failed> {
    let (before, after) = before_and_after();
    for count in 1.. {
        let tree = tree();
        let killed = kill_at(&tree, call, count)?;
        assert_whole(&tree, &before, &after, &format!("killed at {call} {count}"));
        if !killed {
            assert!(count > 1, "it was never killed at {call}");
            break;
        }
    }
    Ok(())
}

/// Whether the run came to its `count`th `call`, and so was killed.
fn kill_at(tree: &Tree, call: &str, count: u32) -> Result<bool, Failed> {
    let mut command = Command::new("strace");
    command
        .args(["-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=SIGKILL:when={count}"))
        .arg(Path::new(NETNSUPDATE))
        .arg("--root")
        .arg(tree.root());
    if which::which("strace").is_err() {
        return Err("needs strace, which is not installed".into());
    }
    let outcome = Outcome::of(&mut command);
    match outcome.status {
        Some(0) => Ok(false),
        // strace ends with the same signal as its child.
        None => Ok(true),
        _ => Err(format!("{command:?}: {outcome:#?}").into()),
    }
}
