//! Concurrent runs, and concurrent changes of the unit directory by others.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use nix::fcntl::{Flock, FlockArg};

use crate::tree::{INSIDE, NETNSUPDATE, OLD, OUTSIDE, Outcome, Tree, snapshot};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("many_at_once_do_each_thing_once", many_at_once),
        Trial::test("a_run_sees_what_came_while_it_waited", waiting),
        Trial::test("a_dry_run_waits_for_nobody", dry_run),
        Trial::test("a_lock_that_is_never_given_back_is_an_error", locked_out),
        Trial::test("a_reader_that_has_gone_stops_nothing", closed_pipe),
        Trial::test("a_file_larger_than_memory_is_not_read", huge),
        Trial::test("it_may_be_called_netns_update", other_name),
        Trial::test("a_root_that_is_none_is_a_usage_error", no_root),
        Trial::test("help_and_usage_errors", help),
    ]
}

fn spawn(tree: &Tree) -> Child {
    let mut command = tree.command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn finish(child: Child) -> Outcome {
    child.wait_with_output().unwrap().into()
}

fn lock(tree: &Tree) -> Flock<File> {
    fs::create_dir_all(tree.unit_dir()).unwrap();
    let directory = File::open(tree.unit_dir()).unwrap();
    Flock::lock(directory, FlockArg::LockExclusive).unwrap()
}

fn many_at_once() -> Result<(), Failed> {
    let tree = Tree::new();
    let types: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    types.iter().for_each(|nstype| tree.conf(nstype));
    let runs: Vec<Child> = (0..8).map(|_| spawn(&tree)).collect();
    let outcomes = runs.into_iter().map(|run| finish(run).expect(0));
    let done: String = outcomes.map(|outcome| outcome.stdout).collect();
    assert_eq!(done.lines().count(), 2 * types.len(), "{done}");
    let units = tree.units();
    assert_eq!(units.len(), 2 * types.len());
    for nstype in types {
        assert_eq!(units[&format!("netns-{nstype}@.service")], INSIDE);
        assert_eq!(units[&format!("netns_outside-{nstype}@.service")], OUTSIDE);
    }
    Ok(())
}

fn waiting() -> Result<(), Failed> {
    let tree = Tree::new();
    let lock = lock(&tree);
    let mut run = spawn(&tree);
    thread::sleep(Duration::from_millis(500));
    assert!(run.try_wait().unwrap().is_none(), "it did not wait");
    // Another run would have made the copy, and this one must not take it for stale.
    tree.conf("late");
    tree.unit("netns-late@.service", INSIDE);
    drop(lock);
    let outcome = finish(run).expect(0);
    assert!(!outcome.stdout.contains("removed"), "{outcome:#?}");
    assert_eq!(tree.units().len(), 2);
    Ok(())
}

fn dry_run() -> Result<(), Failed> {
    let tree = Tree::new();
    tree.conf("veth");
    let _lock = lock(&tree);
    let outcome = Outcome::of(tree.command().arg("--dry-run")).expect(0);
    assert!(outcome.stdout.contains("netns-veth@.service"));
    Ok(())
}

fn locked_out() -> Result<(), Failed> {
    let tree = Tree::new();
    tree.conf("veth");
    let _lock = lock(&tree);
    let before = snapshot(tree.root());
    let start = Instant::now();
    let outcome = tree.update().expect(1);
    assert!(start.elapsed() > Duration::from_secs(20));
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    assert!(outcome.stderr.contains("locked by another"), "{outcome:#?}");
    assert_eq!(snapshot(tree.root()), before);
    Ok(())
}

fn closed_pipe() -> Result<(), Failed> {
    let tree = Tree::new();
    (0..5).for_each(|n| tree.conf(&format!("t{n}")));
    let mut run = spawn(&tree);
    drop(run.stdout.take());
    drop(run.stderr.take());
    assert_eq!(run.wait()?.code(), Some(0));
    assert_eq!(tree.units().len(), 10);
    Ok(())
}

fn huge() -> Result<(), Failed> {
    let tree = Tree::new();
    tree.conf("veth");
    tree.unit("netns-huge@.service", OLD);
    let path = tree.unit_dir().join("netns-huge@.service");
    File::options().write(true).open(&path)?.set_len(1 << 40)?;
    let outcome = tree.update().expect(0);
    assert!(
        outcome
            .stderr
            .contains("netns-huge@.service was not written by netnsupdate")
    );
    assert_eq!(fs::metadata(&path)?.len(), 1 << 40);
    Ok(())
}

fn other_name() -> Result<(), Failed> {
    let tree = Tree::new();
    tree.conf("veth");
    tree.link(NETNSUPDATE, "usr/sbin/netns-update");
    let mut command = Command::new(tree.path("usr/sbin/netns-update"));
    Outcome::of(command.arg("--root").arg(tree.root())).expect(0);
    assert_eq!(tree.units().len(), 2);
    Ok(())
}

fn no_root() -> Result<(), Failed> {
    let tree = Tree::new();
    tree.write("file", "");
    let before = snapshot(tree.root());
    for root in ["missing", "file"] {
        let mut command = Command::new(NETNSUPDATE);
        command.current_dir(tree.root()).args(["--root", root]);
        let outcome = Outcome::of(&mut command).expect(2);
        assert!(
            outcome.stderr.contains(&format!("'{root}'")),
            "{outcome:#?}"
        );
        Outcome::of(command.arg("--clean")).expect(2);
    }
    // Not this directory, which an unset variable of a script would make of it.
    let mut command = Command::new(NETNSUPDATE);
    Outcome::of(command.current_dir(tree.root()).args(["--root", ""])).expect(2);
    assert_eq!(snapshot(tree.root()), before);
    Ok(())
}

fn help() -> Result<(), Failed> {
    let tree = Tree::new();
    tree.conf("veth");
    let before = snapshot(tree.root());
    for option in ["-h", "--help"] {
        let outcome = Outcome::of(tree.command().arg(option)).expect(0);
        for word in [
            "Usage: netnsupdate",
            "--clean",
            "--daemon-reload",
            "--dry-run",
            "--force",
        ] {
            assert!(outcome.stdout.contains(word), "{word}: {outcome:#?}");
        }
        assert!(outcome.stderr.is_empty());
    }
    let version = Outcome::of(tree.command().arg("--version")).expect(0);
    assert!(version.stdout.starts_with("netnsupdate "), "{version:#?}");
    for wrong in [
        &["--frobnicate"][..],
        &["veth"],
        &["--daemon-reload", "--no-reload"],
        &["--root"],
    ] {
        let outcome = Outcome::of(tree.command().args(wrong)).expect(2);
        assert!(outcome.stdout.is_empty(), "{outcome:#?}");
        assert!(!outcome.stderr.is_empty());
    }
    assert_eq!(snapshot(tree.root()), before);
    Ok(())
}
