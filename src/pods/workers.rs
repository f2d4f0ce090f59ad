//! Brings many instances up and down in parallel, each with a `netnsctl` process.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Output;

use anyhow::Result;

use crate::instance::name::Instance;
use crate::sys::command;
use crate::sys::parallel;
use crate::sys::process::Steps;
use crate::sys::progress::Bar;

/// Runs several processes of netnsctl at a time.
pub struct Workers {
    netnsctl: PathBuf,
    jobs: usize,
    signals: Steps,
}

/// An instance that could not be brought up or taken down.
#[derive(Debug)]
pub struct Failure {
    pub instance: Instance,
    /// The messages of netnsctl.
    pub messages: Vec<String>,
}

/// The result for several instances.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    pub failures: Vec<Failure>,
    /// The number of instances, from the first, that were tried.
    pub begun: usize,
    /// Whether a signal has interrupted the work.
    pub interrupted: bool,
}

impl Workers {
    /// Workers for `jobs` instances at a time, by default 4 for each processor. Signals are blocked until
    /// the workers are dropped.
    pub fn new(jobs: Option<usize>) -> Result<Self> {
        Ok(Self {
            netnsctl: command::ours("netnsctl")?,
            jobs: jobs.unwrap_or_else(parallel::most),
            signals: Steps::begin()?,
        })
    }

    /// Brings instances up. The first one alone, since it fails if all do, and runs netnsupdate if units
    /// are missing. After a failure, no more are begun unless `keep_going` is set.
    pub fn up(
        &mut self,
        what: &'static str,
        all: &[Instance],
        keep_going: bool,
    ) -> Result<BatchOutcome> {
        let mut bar = Bar::begin(what, all.len());
        bar.update(0);
        let (first, rest) = all.split_at(all.len().min(1));
        let mut outcome = self.run("up", first, keep_going, |_| ())?;
        if (outcome.failures.is_empty() || keep_going) && !outcome.interrupted {
            let more = self.run("up", rest, keep_going, |done| bar.update(1 + done))?;
            outcome.begun += more.begun;
            outcome.failures.extend(more.failures);
            outcome.interrupted |= more.interrupted;
        }
        Ok(outcome)
    }

    /// Takes all instances down, even after a failure or a signal.
    pub fn down(&mut self, what: &'static str, all: &[Instance]) -> Result<BatchOutcome> {
        let mut bar = Bar::begin(what, all.len());
        let mut outcome = BatchOutcome::default();
        while outcome.begun < all.len() {
            let before = outcome.begun;
            let rest = &all[before..];
            let more = self.run("down", rest, true, |done| bar.update(before + done))?;
            outcome.begun += more.begun;
            outcome.failures.extend(more.failures);
            outcome.interrupted |= more.interrupted;
        }
        Ok(outcome)
    }

    fn run(
        &mut self,
        verb: &str,
        instances: &[Instance],
        keep_going: bool,
        mut progress: impl FnMut(usize),
    ) -> Result<BatchOutcome> {
        let words = |instance: &Instance| vec![verb.into(), OsString::from(instance.to_string())];
        let arguments: Vec<Vec<OsString>> = instances.iter().map(words).collect();
        let mut outcome = BatchOutcome::default();
        let mut done = 0;
        let signals = &mut self.signals;
        let interrupted = &mut outcome.interrupted;
        let failures = &mut outcome.failures;
        outcome.begun = parallel::run(
            &self.netnsctl,
            &arguments,
            self.jobs,
            || {
                *interrupted |= signals.interrupted();
                *interrupted
            },
            |number, output| {
                done += 1;
                progress(done);
                if !output.status.success() {
                    failures.push(Failure {
                        instance: instances[number].clone(),
                        messages: messages(output),
                    });
                }
                match output.status.success() || keep_going {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            },
        )?;
        Ok(outcome)
    }
}

/// The messages of a netnsctl, without its name.
fn messages(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.strip_prefix("netnsctl: ").unwrap_or(line).to_owned())
        .collect()
}
