//! With systemd: starts and stops units, waits for them, and explains failures.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::sys::log;
use crate::sys::progress::Progress;
use crate::systemd::manager::{JobResult, Manager, Properties};
use crate::systemd::unit::{self, short};
use crate::update::{self, UpdateRequest};

/// The shortest and the longest interval between two questions for unit states.
const INTERVALS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(10)];

/// How much longer than the answer took the interval is. systemd runs no jobs while it has questions to answer, which
/// takes the longer the more units there are: callers side by side that ask at a fixed rate could stop it altogether.
const PAUSE: u32 = 10;

/// The interval in which a progress line is updated.
const TICK: Duration = Duration::from_millis(100);

/// How often all their properties are asked for while they stop. systemd loads a stopped unit each time, and stops
/// no unneeded units before it has dealt with those: several callers that ask all the time would keep it from that.
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// How long an unneeded unit may take to stop: twice the default of systemd.
const PATIENCE: Duration = Duration::from_secs(180);

/// The number of log lines to show for a unit.
const LINES: u32 = 8;

/// The unit properties used here (systemd.unit(5), org.freedesktop.systemd1(5)).
const PROPERTIES: [&str; 11] = [
    "Id",
    "LoadState",
    "ActiveState",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "StopWhenUnneeded",
    "RequiredBy",
    "RequisiteOf",
    "WantedBy",
    "BoundBy",
];

/// The dependencies that keep a unit with StopWhenUnneeded= running.
const NEEDED_BY: [&str; 4] = ["RequiredBy", "RequisiteOf", "WantedBy", "BoundBy"];

pub fn up(root: &Root, manager: &Manager, instance: &Instance) -> Result<u8> {
    let units = InstanceUnits::of(manager, instance)?;
    let before = units.show()?;
    if before[0].get("ActiveState") == "active" {
        log::info(&format!("{instance} is already up"));
        return Ok(0);
    }
    if before[..2]
        .iter()
        .any(|unit| unit.get("LoadState") == "not-found")
    {
        log::info(&format!(
            "NSTYPE {} has no units yet: running netnsupdate",
            instance.nstype
        ));
        // Problems with other types are printed and otherwise ignored.
        update::run(root, Some(manager), &UpdateRequest::default())?;
        if units.show()?[..2]
            .iter()
            .any(|unit| unit.get("LoadState") == "not-found")
        {
            bail!(
                "{} does not exist: see the messages of 'netnsupdate'",
                units.names[0]
            );
        }
    }
    let since = SystemTime::now();
    let job = units.run_job("start")?;
    if job.done {
        log::info(&format!("{instance} is up"));
        return Ok(0);
    }
    let failed = units.failed(&[])?;
    // systemd stops unneeded units asynchronously.
    let settled = units.settle();
    let status = units.explain(&failed, since, &job)?;
    settled?;
    // After a failed `down` function, the record remains.
    let undone = match file::exists(&root.record(instance))? {
        false => "cleaned up",
        true => "cleaning up failed, too",
    };
    log::error(&format!("could not bring up {instance}; {undone}"));
    Ok(status)
}

pub fn down(manager: &Manager, instance: &Instance) -> Result<u8> {
    let units = InstanceUnits::of(manager, instance)?;
    let before = units.show()?;
    let down = |unit: &Properties| matches!(state(unit), "inactive" | "failed");
    if before[..2].iter().all(down) {
        log::info(&format!("{instance} is not up"));
        return Ok(0);
    }
    let failed_before: Vec<&str> = before
        .iter()
        .filter(|unit| state(unit) == "failed")
        .map(|unit| unit.get("Id"))
        .collect();
    let since = SystemTime::now();
    let job = units.run_job("stop")?;
    units.settle()?;
    let failed = units.failed(&failed_before)?;
    if failed.is_empty() && job.done {
        log::info(&format!("{instance} is down"));
        return Ok(0);
    }
    let status = units.explain(&failed, since, &job)?;
    log::error(&format!("{instance} is down, with errors"));
    Ok(status)
}

/// The units of an instance: inside, outside, and the one that creates the namespace.
struct InstanceUnits<'a> {
    manager: &'a Manager,
    names: [String; 3],
}

impl<'a> InstanceUnits<'a> {
    fn of(manager: &'a Manager, instance: &Instance) -> Result<Self> {
        let names = [
            unit::inside(instance),
            unit::of(Side::Outside, instance),
            unit::of_namespace(&instance.nsname),
        ];
        if let Some(long) = names.iter().find(|name| name.len() > unit::NAME_MAX) {
            return Err(anyhow!(
                "unit name {long} is longer than {} bytes",
                unit::NAME_MAX
            ))
            .or_exit(Exit::Usage);
        }
        Ok(Self { manager, names })
    }

    /// Their properties, in order.
    fn show(&self) -> Result<Vec<Properties>> {
        let units = self.manager.show(&self.names, &PROPERTIES)?;
        if units.len() != self.names.len() {
            bail!("systemctl showed {} units instead of three", units.len());
        }
        Ok(units)
    }

    fn run_job(&self, verb: &str) -> Result<JobResult> {
        let mut progress = Progress::begin();
        self.manager.run_job(verb, &self.names[0], || {
            progress.update(|| Some(self.busy().unwrap_or_else(|| "systemd".to_owned())));
        })
    }

    /// The unit that is starting or stopping.
    fn busy(&self) -> Option<String> {
        let units = self.manager.units(&self.names).ok()?;
        let mut units = units.into_iter();
        let busy = units.find(|unit| unit.active.ends_with("ing"))?;
        Some(short(&busy.name).to_owned())
    }

    /// Waits until unneeded units have stopped: `systemctl stop` does not wait for them.
    fn settle(&self) -> Result<()> {
        let mut progress = Progress::begin();
        let begin = Instant::now();
        let mut shown: Option<Instant> = None;
        loop {
            let asked = Instant::now();
            let waiting = match shown {
                Some(last) if last.elapsed() < SHOW_INTERVAL => self.stopping()?,
                _ => {
                    shown = Some(Instant::now());
                    self.not_settled()?
                }
            };
            let Some(waiting) = waiting else {
                return Ok(());
            };
            if begin.elapsed() > PATIENCE {
                progress.clear();
                bail!(
                    "{waiting} has not stopped after {} s: see 'systemctl status {waiting}'",
                    PATIENCE.as_secs()
                );
            }
            let [shortest, longest] = INTERVALS;
            let again = Instant::now() + (asked.elapsed() * PAUSE).clamp(shortest, longest);
            while let Some(left) = again.checked_duration_since(Instant::now()) {
                progress.update(|| Some(waiting.clone()));
                thread::sleep(left.min(TICK));
            }
        }
    }

    /// The first that runs of those that systemd has in memory: asking for them does not load others.
    fn stopping(&self) -> Result<Option<String>> {
        let units = self.manager.units(&self.names)?;
        let runs = |name: &&String| {
            let mut states = units.iter().filter(|unit| unit.name == **name);
            let started_again = |active: &str| **name == self.names[0] && active == "active";
            states.any(|unit| {
                !matches!(&*unit.active, "inactive" | "failed") && !started_again(&unit.active)
            })
        };
        Ok(self
            .names
            .iter()
            .find(runs)
            .map(|name| short(name).to_owned()))
    }

    /// One that has not stopped, and is not needed any more.
    fn not_settled(&self) -> Result<Option<String>> {
        for unit in &self.show()? {
            if !self.is_settled(unit)? {
                return Ok(Some(short(unit.get("Id")).to_owned()));
            }
        }
        Ok(None)
    }

    /// Whether a unit has stopped, or keeps running because another unit needs it.
    fn is_settled(&self, unit: &Properties) -> Result<bool> {
        match state(unit) {
            "inactive" | "failed" => return Ok(true),
            "active" => {}
            _ => return Ok(false),
        }
        // It has been started again.
        if unit.get("Id") == self.names[0] || unit.get("StopWhenUnneeded") == "no" {
            return Ok(true);
        }
        let needed_by: Vec<String> = NEEDED_BY
            .iter()
            .flat_map(|property| unit.get(property).split_whitespace())
            .map(str::to_owned)
            .collect();
        let others = self.manager.show(&needed_by, &["ActiveState"])?;
        // A stopping unit does not need it.
        let needs =
            |unit: &Properties| matches!(state(unit), "active" | "activating" | "reloading");
        Ok(others.iter().any(needs))
    }

    fn failed(&self, before: &[&str]) -> Result<Vec<Properties>> {
        let mut units = self.show()?;
        units.retain(|unit| state(unit) == "failed" && !before.contains(&unit.get("Id")));
        // In the order in which they start.
        units.reverse();
        Ok(units)
    }

    /// Prints the logs of failed units. Returns the exit status of the first.
    fn explain(&self, failed: &[Properties], since: SystemTime, job: &JobResult) -> Result<u8> {
        for unit in failed {
            let name = unit.get("Id");
            log::error(&format!("{} failed ({}):", short(name), unit.get("Result")));
            match self.manager.log(name, since, LINES) {
                Ok(log) => log.iter().for_each(|line| log::quote(line)),
                Err(error) => log::warn(&format!("its log is not available: {error:#}")),
            }
        }
        if failed.is_empty() {
            job.said.iter().for_each(|line| log::quote(line));
        }
        /// `CLD_EXITED` (waitid(2)): ExecMainStatus is an exit status, not a signal.
        const EXITED: &str = "1";
        let status = failed
            .iter()
            .filter(|unit| unit.get("ExecMainCode") == EXITED)
            .map(|unit| unit.get("ExecMainStatus").parse().context("a status"))
            .find(|status| !matches!(status, Ok(0)));
        Ok(match status {
            Some(Ok(status)) => status,
            _ => Exit::Failure as u8,
        })
    }
}

fn state(unit: &Properties) -> &str {
    unit.get("ActiveState")
}
