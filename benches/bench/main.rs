//! Measures what a start costs, and prints it as a table: `make bench`.
//!
//! Every row is compared with something that does the least that has to be done, or with `ip netns`. The
//! two are run by turns, for what else the machine does to meet both; ratios of medians are what counts.
//! Arguments: the names of rows, all of them by default; `--rounds N`; and `--realtime`, to give the
//! measured programs precedence over what else runs on a busy machine, but for those that systemd starts.

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
            // Cargo's own.
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

/// Puts this process and its children into the class SCHED_FIFO (sched(7)).
fn take_precedence() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live until the call returns.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    nix::errno::Errno::result(result).context("asking for real-time priority")?;
    Ok(())
}

/// The rows of `all` that were asked for.
fn chosen<'a>(asked: &[String], all: &[&'a str]) -> Vec<&'a str> {
    let wanted = |row: &&&str| asked.is_empty() || asked.iter().any(|asked| asked == **row);
    all.iter().filter(wanted).copied().collect()
}
