//! Brings many instances up and down, side by side: each by a `netnsctl` of its own, through
//! systemd where it runs and directly where it does not.

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

/// Who does the work.
pub struct Crew {
    netnsctl: PathBuf,
    most: usize,
    signals: Steps,
}

/// An instance that did not come up or go down, and what was said of it.
#[derive(Debug)]
pub struct Failure {
    pub instance: Instance,
    pub said: Vec<String>,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub failures: Vec<Failure>,
    /// How many were tried, in their order.
    pub begun: usize,
    /// Whether a signal has asked to end.
    pub interrupted: bool,
}

impl Outcome {
    pub fn success(&self) -> bool {
        self.failures.is_empty() && !self.interrupted
    }
}

impl Crew {
    /// A crew that works on `most` instances at a time, and has signals wait until it stops.
    pub fn gather(most: Option<usize>) -> Result<Self> {
        Ok(Self {
            netnsctl: command::ours("netnsctl")?,
            most: most.unwrap_or_else(parallel::most),
            signals: Steps::begin()?,
        })
    }

    /// Brings instances up. The first one goes alone: it shows what is wrong with all of them, and
    /// has netnsupdate make units that are missing. After a failure, no more are begun unless
    /// `keep_going` is set.
    pub fn up(
        &mut self,
        what: &'static str,
        all: &[Instance],
        keep_going: bool,
    ) -> Result<Outcome> {
        let mut bar = Bar::begin(what, all.len());
        bar.tell(0);
        let (first, rest) = all.split_at(all.len().min(1));
        let mut outcome = self.run("up", first, keep_going, |_| ())?;
        if (outcome.failures.is_empty() || keep_going) && !outcome.interrupted {
            let more = self.run("up", rest, keep_going, |done| bar.tell(1 + done))?;
            outcome.begun += more.begun;
            outcome.failures.extend(more.failures);
            outcome.interrupted |= more.interrupted;
        }
        Ok(outcome)
    }

    /// Takes instances down, all of them, whatever fails, even when a signal asks to end.
    pub fn down(&mut self, what: &'static str, all: &[Instance]) -> Result<Outcome> {
        let mut bar = Bar::begin(what, all.len());
        let mut outcome = Outcome::default();
        while outcome.begun < all.len() {
            let before = outcome.begun;
            let rest = &all[before..];
            let more = self.run("down", rest, true, |done| bar.tell(before + done))?;
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
        mut tell: impl FnMut(usize),
    ) -> Result<Outcome> {
        let words = |instance: &Instance| vec![verb.into(), OsString::from(instance.to_string())];
        let arguments: Vec<Vec<OsString>> = instances.iter().map(words).collect();
        let mut outcome = Outcome::default();
        let mut done = 0;
        let signals = &mut self.signals;
        let interrupted = &mut outcome.interrupted;
        let failures = &mut outcome.failures;
        outcome.begun = parallel::run(
            &self.netnsctl,
            &arguments,
            self.most,
            || {
                *interrupted |= signals.interrupted();
                *interrupted
            },
            |number, output| {
                done += 1;
                tell(done);
                if !output.status.success() {
                    failures.push(Failure {
                        instance: instances[number].clone(),
                        said: said(output),
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

/// What a netnsctl has said, without its name.
fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.strip_prefix("netnsctl: ").unwrap_or(line).to_owned())
        .collect()
}
