//! netnsupdate on trees of files, and with injected failures.
//!
//! `NN-name/` is a test: `case` says what is run and what it prints (see `case.rs`), `etc` and `usr`
//! are the system before, `expected` is `/etc/systemd/system` after. What needs root is ignored
//! unless asked for, and fails where it cannot be done.

mod broken;
mod case;
mod killed;
mod system;
mod together;
mod tree;

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

fn main() {
    let arguments = Arguments::from_args();
    if nix::unistd::geteuid().is_root() {
        // Before there are threads. Mounts of tests end with the process.
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
    }
    let mut trials = case::trials(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/update"
    )));
    trials.extend(together::trials());
    trials.extend(broken::trials());
    trials.extend(killed::trials());
    trials.extend(system::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test that only root can run. It fails for other users.
fn needs_root(name: &str, test: fn() -> Result<(), Failed>) -> Trial {
    let test = move || {
        if !nix::unistd::geteuid().is_root() {
            return Err("needs root: it mounts, or changes user".into());
        }
        test()
    };
    Trial::test(name, test)
        .with_kind("needs root")
        .with_ignored_flag(true)
}
