//! Without `--root`, in a private view of the running system.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::needs_root;
use crate::tree::{INSIDE, NETNSUPDATE, Outcome, Tree};

pub fn trials() -> Vec<Trial> {
    vec![
        needs_root("without_systemd_files_are_written", without_systemd),
        needs_root("only_root_may", not_root),
        needs_root("everybody_may_ask_what_would_be_done", dry_run),
    ]
}

/// A system with the package and one type with a unique name.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.write("etc/conf.d/netns/netnstest.conf", "");
    fs::create_dir_all(tree.path("usr/sbin")).unwrap();
    // The user of a test may have no access to the original.
    fs::copy(NETNSUPDATE, tree.path("usr/sbin/netnsupdate")).unwrap();
    tree.link("netnsupdate", "usr/sbin/netns-update");
    tree
}

/// Runs `script` with bash on the system of `tree`, without systemd.
fn sandbox(tree: &Tree, script: &str) -> Outcome {
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/sandbox");
    let mut command = Command::new(sandbox);
    command.arg(tree.root()).args(["bash", "-c", script]);
    Outcome::of(&mut command)
}

const COPY: &str = "/etc/systemd/system/netns-netnstest@.service";

fn without_systemd() -> Result<(), Failed> {
    let tree = tree();
    let script = format!("/usr/sbin/netns-update >/run/out && cat {COPY}");
    let outcome = sandbox(&tree, &script).expect(0);
    assert_eq!(outcome.stdout, INSIDE);
    assert_eq!(
        outcome.stderr,
        "netnsupdate: systemd is not running, not reloading it\n"
    );
    // Not even with --daemon-reload, which does not fail.
    let outcome = sandbox(&tree, "/usr/sbin/netnsupdate --daemon-reload").expect(0);
    assert!(outcome.stderr.contains("not reloading"));
    let quiet = sandbox(&tree, "/usr/sbin/netnsupdate --quiet").expect(0);
    assert_eq!(quiet.stdout + &quiet.stderr, "");
    let asked = sandbox(&tree, "/usr/sbin/netnsupdate --no-reload").expect(0);
    assert_eq!(asked.stderr, "", "it was asked not to");
    Ok(())
}

const AS_NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

fn not_root() -> Result<(), Failed> {
    for options in ["", "--clean", "--daemon-reload", "--force", "--quiet"] {
        let script = format!(
            "mkdir -p /etc/systemd/system; chmod 777 /etc/systemd/system; echo old >{COPY}
            {AS_NOBODY} /usr/sbin/netnsupdate {options}; status=$?
            [[ $(< {COPY}) == old ]] || exit 99; exit $status"
        );
        let outcome = sandbox(&tree(), &script).expect(4);
        assert_eq!(outcome.stdout, "");
        assert_eq!(
            outcome.stderr,
            "netnsupdate: must be run as root (you are not root)\n"
        );
    }
    Ok(())
}

fn dry_run() -> Result<(), Failed> {
    let script = format!("{AS_NOBODY} /usr/sbin/netnsupdate --dry-run; ls {COPY} && exit 99; true");
    let outcome = sandbox(&tree(), &script).expect(0);
    let line = format!("would have created {COPY}\n");
    assert!(outcome.stdout.contains(&line), "{outcome:#?}");
    Ok(())
}
