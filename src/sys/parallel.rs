//! Runs a program many times, several at a time.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The interval between looks at the running programs.
const INTERVAL: Duration = Duration::from_millis(5);

/// The number of programs to run at a time: more than processors, because they mostly wait for the kernel and systemd.
pub fn most() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores * 4).clamp(4, 32)
}

/// Runs `program` with each of the argument lists, at most `most` at a time. Calls `ended` with the index
/// and the output of each that has exited. Returns how many were started.
///
/// Starts no more when `ended` breaks or `interrupted` returns true, and waits for those that run.
pub fn run(
    program: &Path,
    arguments: &[Vec<OsString>],
    most: usize,
    mut interrupted: impl FnMut() -> bool,
    mut ended: impl FnMut(usize, &Output) -> ControlFlow<()>,
) -> Result<usize> {
    let running_program = || format!("running {}", program.display());
    let mut running = Vec::new();
    let mut next = 0;
    let mut continues = true;
    while next < arguments.len() && continues || !running.is_empty() {
        while next < arguments.len() && continues && running.len() < most {
            let started = duct::cmd(program, &arguments[next])
                .stdin_null()
                .stdout_capture()
                .stderr_capture()
                .unchecked()
                .start();
            running.push((next, started.with_context(running_program)?));
            next += 1;
        }
        let mut left = Vec::new();
        for (number, handle) in running {
            match handle.try_wait().with_context(running_program)? {
                Some(output) => continues &= ended(number, output).is_continue(),
                None => left.push((number, handle)),
            }
        }
        running = left;
        continues &= !interrupted();
        if !running.is_empty() {
            thread::sleep(INTERVAL);
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(scripts: &[&str]) -> Vec<Vec<OsString>> {
        let words = |script: &&str| vec!["-c".into(), OsString::from(*script)];
        scripts.iter().map(words).collect()
    }

    #[test]
    fn all_run_and_tell_how_they_ended() {
        let mut found = Vec::new();
        let scripts = scripts(&["exit 3", "echo a >&2", "sleep 0.05; echo b"]);
        let run = run(
            Path::new("/bin/sh"),
            &scripts,
            2,
            || false,
            |number, output| {
                found.push((number, output.status.code(), output.stdout.len()));
                ControlFlow::Continue(())
            },
        );
        assert_eq!(run.unwrap(), 3);
        found.sort_unstable();
        assert_eq!(found, [(0, Some(3), 0), (1, Some(0), 0), (2, Some(0), 2)]);
    }

    #[test]
    fn none_is_started_after_a_break() {
        let mut count = 0;
        let scripts = scripts(&["exit 1", ":", ":", ":"]);
        let run = run(
            Path::new("/bin/sh"),
            &scripts,
            1,
            || false,
            |_, _| {
                count += 1;
                ControlFlow::Break(())
            },
        );
        assert_eq!((run.unwrap(), count), (1, 1));
    }
}
