//! Measures the times of starts and other operations, and prints a table: `make bench`.
//!
//! Each row is compared with a baseline, the minimal work that has to be done, or with `ip netns`. The two
//! alternate, so that other load affects both; compare the ratios of the medians.
//! Arguments: the names of rows, all of them by default; `--rounds N`; and `--realtime`, to give the
//! measured programs, except those that systemd starts, precedence over other processes.

mod programs;
mod systemd;
mod table;

use std::env;

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let mut rounds = 200;
    let mut rows: Vec<String> = Vec::new();
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => {
                rounds = words
                    .next()
                    .context("--rounds N")?
                    .parse()
                    .context("--rounds")?
            }
            "--realtime" => take_precedence()?,
            // An argument of Cargo.
            "--bench" => {}
            _ => rows.push(word),
        }
    }
    if rows.first().is_some_and(|word| word == programs::INSIDE) {
        rows.remove(0);
        return programs::run(rounds, &chosen(&rows, &programs::ROWS));
    }
    for row in &rows {
        let known = programs::ROWS.iter().chain(&systemd::ROWS);
        ensure!(
            known.clone().any(|known| known == row),
            "no row '{row}': there are {}",
            known.copied().collect::<Vec<_>>().join(" ")
        );
    }
    ensure!(
        nix::unistd::geteuid().is_root(),
        "it makes namespaces: run it as root"
    );
    let package = env::var("NETNS_TEST_PACKAGE").context("NETNS_TEST_PACKAGE is not set")?;
    table::head();
    if !chosen(&rows, &programs::ROWS).is_empty() {
        programs::run_in_sandbox(&package, rounds, &rows)?;
    }
    let of_systemd = chosen(&rows, &systemd::ROWS);
    if !of_systemd.is_empty() {
        systemd::run(&package, rounds, &of_systemd)?;
    }
    Ok(())
}

/// Sets the scheduling policy SCHED_FIFO (sched(7)) for this process and its children.
fn take_precedence() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live until the call returns.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    nix::errno::Errno::result(result).context("asking for real-time priority")?;
    Ok(())
}

/// The selected rows of `all`.
fn chosen<'a>(asked: &[String], all: &[&'a str]) -> Vec<&'a str> {
    let wanted = |row: &&&str| asked.is_empty() || asked.iter().any(|asked| asked == **row);
    all.iter().filter(wanted).copied().collect()
}
