//! Runs each test case on a freshly booted machine of each suite.

mod machine;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

pub use machine::Machine;

/// The name of a test, a Rust identifier, and the test.
pub type Case = (&'static str, fn(&Machine) -> Result<()>);

/// Machines at a time. Measured on two cores: two to four take the same time, one takes twice as long, more
/// take longer again. Three, as tests also wait.
const PARALLEL: usize = 3;

/// Runs the cases of all groups; the names are `suite::group::case`.
pub fn main(groups: &[(&str, &[Case])]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PARALLEL);

    let suites = env::var("SUITES").unwrap_or_default();
    let mut suites: Vec<&str> = suites.split_whitespace().collect();
    if suites.is_empty() {
        suites = vec!["bookworm", "trixie"];
    }

    // The kind is shown in the line of an ignored test: the reason.
    let kind = match arguments.include_ignored || arguments.ignored {
        true => "",
        false => "boots a machine, run by make check",
    };
    let mut trials = Vec::new();
    for suite in suites {
        for (group, cases) in groups {
            for &(name, case) in *cases {
                let suite = suite.to_owned();
                let full_name = format!("{suite}::{group}::{name}");
                trials.push(
                    Trial::test(full_name, move || run(&suite, case))
                        .with_kind(kind)
                        .with_ignored_flag(true),
                );
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs one test on a new machine. A failure includes the machine's failed units and journal.
fn run(suite: &str, case: fn(&Machine) -> Result<()>) -> Result<(), Failed> {
    let outcome = package()
        .and_then(|package| Machine::start(suite, &[package]))
        .and_then(|machine| case(&machine).map_err(|error| error.context(machine.post_mortem())));
    outcome.map_err(|error| {
        // The error is printed last, where it is read first.
        let mut chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        let first = chain.first().is_some_and(|text| text.contains('\n'));
        if first && chain.len() > 1 {
            let story = chain.remove(0);
            return Failed::from(format!("{story}\n{}", chain.join(": ")));
        }
        Failed::from(chain.join(": "))
    })
}

/// The installed package, a directory that is laid over the tree of each machine.
fn package() -> Result<PathBuf> {
    // Fail rather than skip: a skipped test would look like a passed one.
    let package = env::var_os("NETNS_TEST_PACKAGE").context(
        "NETNS_TEST_PACKAGE, the directory of the installed package, is not set: run make check",
    )?;
    let package = PathBuf::from(package);
    ensure!(
        package.is_dir(),
        "NETNS_TEST_PACKAGE={} is not a directory",
        package.display()
    );
    Ok(package)
}
