//! Without systemd: runs the phases in order, in a namespace that several types can share.
//!
//! While an instance is brought up or taken down, netnsctl and the child that runs the phase hold the
//! lock `/run/systemd-netns/locks/NSNAME`, and the [`Register`] has the stage. If either is killed,
//! the next `up` or `down` waits for what still runs and undoes what was begun.

use std::ffi::{OsStr, OsString};
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::{Direction, Phase, Side};
use crate::instance::register::{Register, Stage};
use crate::namespace::{self, NetNs};
use crate::phase::record::Record;
use crate::phase::{self, PhaseRequest};
use crate::sys::command::{self, DEFAULT_PATH, Termination};
use crate::sys::lock::Lock;
use crate::sys::log;
use crate::sys::process::{self, Steps};

/// Brings an instance up, in a new namespace or in one that other types of its name share; or in
/// `given`, which others have created.
pub fn up(root: &Root, instance: &Instance, given: Option<&NetNs>) -> Result<u8> {
    command::find("bash")?;
    let mut work = Work::begin(root, instance, given.is_some())?;
    match work.register.stage(&instance.nstype)? {
        Some(Stage::Up) => {
            log::info(&format!("{instance} is already up"));
            return Ok(0);
        }
        Some(stage) => {
            log::warn(&format!(
                "previous '{stage}' of {instance} was interrupted or failed; cleaning up"
            ));
            work.stop_processes()?;
            work.take_down(stage)?;
            work.leave()?;
        }
        None => {}
    }
    let shared = work.is_shared(given)?;
    work.enter(Phase::UP_OUTSIDE)?;
    if !shared {
        let created = work.create_namespace(given);
        if !matches!(created, Ok(Termination::Exited(0))) {
            return work.give_up_namespace(created);
        }
    }
    let failed = match work.bring_up() {
        Ok(None) => {
            log::info(&format!("{instance} is up"));
            return Ok(0);
        }
        Ok(Some((stage, end, why))) => (stage, end, why),
        Err(error) => {
            let stage = work.register.stage(&instance.nstype)?;
            let stage = stage.unwrap_or(Stage::Running(Phase::UP_OUTSIDE));
            (stage, Termination::Exited(1), format!("{error:#}"))
        }
    };
    let (stage, end, why) = failed;
    work.stop_processes()?;
    let undone = work.take_down(stage)?;
    work.leave()?;
    let undone = match undone {
        None => "cleaned up",
        Some(_) => "cleaning up failed, too",
    };
    log::error(&format!("could not bring up {instance}: {why}; {undone}"));
    Ok(end.status())
}

/// Takes an instance down, and deletes the namespace with the last type that shares it; one that was
/// `given` loses only its name.
pub fn down(root: &Root, instance: &Instance, given: bool) -> Result<u8> {
    let mut work = Work::begin(root, instance, given)?;
    let Some(stage) = work.register.stage(&instance.nstype)? else {
        log::info(&format!("{instance} is not up"));
        return Ok(0);
    };
    if stage != Stage::Up {
        work.stop_processes()?;
    }
    let failed = work.take_down(stage)?;
    work.leave()?;
    let Some((phase, end)) = failed else {
        log::info(&format!("{instance} is down"));
        return Ok(0);
    };
    match work.register.stage(&instance.nstype)? {
        None => log::error(&format!("{instance} is down, but '{phase}' {end}")),
        Some(_) => log::error(&format!(
            "{instance} is not completely down: '{phase}' {end}; run 'netnsctl down {instance}' \
             again, or 'netnsctl gc' to give it up"
        )),
    }
    Ok(end.status())
}

/// An instance that is being brought up or taken down.
struct Work<'a> {
    root: &'a Root,
    instance: &'a Instance,
    register: Register,
    steps: Steps,
    /// In the environment of all processes of the functions, like systemd's `$INVOCATION_ID`.
    invocation: String,
    /// Whether others have created the namespace.
    given: bool,
    _lock: Lock,
}

const INVOCATION: &str = "INVOCATION_ID";

impl<'a> Work<'a> {
    /// Waits until no other process works on the namespace.
    fn begin(root: &'a Root, instance: &'a Instance, given: bool) -> Result<Self> {
        const RANDOM: &str = "/proc/sys/kernel/random/uuid";
        let lock = Lock::take(&root.lock_of(&instance.nsname))?;
        let register = Register::of(root, &instance.nsname);
        let invocation = match register.invocation(&instance.nstype)? {
            Some(invocation) => invocation,
            None => {
                let random = fs::read_to_string(RANDOM);
                let random = random.with_context(|| format!("reading {RANDOM}"))?;
                random.trim().replace('-', "")
            }
        };
        Ok(Self {
            root,
            instance,
            register,
            steps: Steps::begin()?,
            invocation,
            given,
            _lock: lock,
        })
    }

    /// Records that a phase begins.
    fn enter(&self, phase: Phase) -> Result<()> {
        let stage = Stage::Running(phase);
        let nstype = &self.instance.nstype;
        self.register.set(nstype, stage, &self.invocation)
    }

    /// Whether the namespace is already up, for other types.
    ///
    /// # Errors
    /// It was deleted or replaced behind their backs: nothing set up there would be of use. Or it is
    /// another one than `given`.
    fn is_shared(&self, given: Option<&NetNs>) -> Result<bool> {
        let name = &self.instance.nsname;
        if !self.register.exists()? {
            return Ok(false);
        }
        let found = NetNs::open(self.root, name)?.map(|namespace| namespace.id);
        let what = match (found, namespace::made_by_us(self.root, name)?) {
            (Some(found), Some(ours)) if found == ours => {
                ensure!(
                    given.is_none_or(|given| given.id == ours),
                    "'{name}' is already the name of another network namespace"
                );
                return Ok(true);
            }
            (None, _) => "deleted",
            (Some(_), _) => "replaced by another",
        };
        match self.others()?.first() {
            None => Ok(false),
            Some(other) => bail!(
                "the network namespace '{name}' was {what} while {other} was up: \
                 run 'netnsctl down {other}' first"
            ),
        }
    }

    /// Whether other instances need the namespace.
    fn others(&self) -> Result<Vec<Instance>> {
        let mut instances = self.register.instances()?;
        instances.retain(|(instance, stage)| {
            instance != self.instance && *stage != Stage::Running(Phase::DOWN_OUTSIDE)
        });
        Ok(instances
            .into_iter()
            .map(|(instance, _)| instance)
            .collect())
    }

    /// Creates the namespace, in a child: this process stays where it is. One that is given gets
    /// its name.
    fn create_namespace(&mut self, given: Option<&NetNs>) -> Result<Termination> {
        let (root, name) = (self.root, &self.instance.nsname);
        let create = || match given {
            Some(namespace) => namespace::adopt(root, name, namespace),
            None => namespace::create(root, name, false),
        };
        self.steps.run(|| create().map(|()| 0))
    }

    /// Reports that the namespace was not created.
    fn give_up_namespace(&mut self, created: Result<Termination>) -> Result<u8> {
        match created {
            Ok(Termination::Exited(_)) => self.register.remove(&self.instance.nstype)?,
            // It was not able to undo its work.
            Ok(Termination::Killed(_)) | Err(_) => self.leave()?,
        }
        created.map(Termination::status)
    }

    /// Runs the phases of `up`. Returns the one that failed, its exit status, and a message.
    fn bring_up(&mut self) -> Result<Option<(Stage, Termination, String)>> {
        for phase in [Phase::UP_OUTSIDE, Phase::UP_INSIDE] {
            self.enter(phase)?;
            let end = self.run(phase, false)?;
            let interrupted = self.steps.interrupted();
            let (end, why) = match (end, interrupted) {
                (Termination::Exited(0), false) => continue,
                (Termination::Exited(0), true) => {
                    (Termination::Killed(libc::SIGINT), "interrupted".to_owned())
                }
                (end, _) => (end, format!("'{phase}' {end}")),
            };
            return Ok(Some((Stage::Running(phase), end, why)));
        }
        let nstype = &self.instance.nstype;
        self.register.set(nstype, Stage::Up, &self.invocation)?;
        Ok(None)
    }

    /// Runs the phases of `down` for all phases of `up` that had begun at `stage`. Returns the first that
    /// failed. The others run nevertheless, as with systemd units.
    fn take_down(&mut self, stage: Stage) -> Result<Option<(Phase, Termination)>> {
        let record = Record::of(self.root, self.instance);
        let mut failed = None;
        for phase in [Phase::DOWN_INSIDE, Phase::DOWN_OUTSIDE] {
            let unfinished = record.unfinished(phase.side)?;
            let was_begun = match stage {
                Stage::Up => true,
                Stage::Running(begun) if phase.side == Side::Outside => {
                    begun.side == Side::Inside || record.is_set_up()?
                }
                Stage::Running(begun) => {
                    begun.side == Side::Inside && (unfinished || record.namespace().is_some())
                }
            };
            if !was_begun {
                continue;
            }
            if let Err(error) = self.enter(phase) {
                log::warn(&format!("{error:#}"));
            }
            // What did not finish is undone, as a unit's start does.
            let undo = unfinished && stage != Stage::Up;
            let end = self.run(phase, undo)?;
            if !end.success() {
                failed = failed.or(Some((phase, end)));
            }
        }
        Ok(failed)
    }

    /// Ends its processes, removes an instance from the register unless `down outside` has failed, and deletes the
    /// namespace if no other needs it.
    fn leave(&self) -> Result<()> {
        self.stop_processes()?;
        let name = &self.instance.nsname;
        if self.others()?.is_empty() {
            match namespace::made_by_us(self.root, name)? {
                Some(_) if self.given => namespace::release(self.root, name)?,
                Some(_) => namespace::delete(self.root, name, true)?,
                // What an interrupted deletion has left.
                None => namespace::forget(self.root, name)?,
            }
        }
        match Record::of(self.root, self.instance).is_set_up()? {
            true => Ok(()),
            false => self.register.remove(&self.instance.nstype),
        }
    }

    /// Runs one phase in a child.
    fn run(&mut self, phase: Phase, undo: bool) -> Result<Termination> {
        let (root, invocation) = (self.root, &self.invocation);
        let request = PhaseRequest {
            instance: self.instance.clone(),
            parameters: Vec::new(),
            phase,
            undo: undo && phase.direction == Direction::Down,
        };
        self.steps.run(|| {
            process::set_environment(environment(invocation));
            phase::run(root, &request)
        })
    }

    /// Kills all processes that the functions started, as systemd does when a unit stops.
    fn stop_processes(&self) -> Result<()> {
        process::kill_by_environment(INVOCATION, &self.invocation)
    }
}

/// The environment of functions, like that of a unit: variables exported by a login shell must not
/// be taken for configuration.
fn environment(invocation: &str) -> Vec<(OsString, OsString)> {
    let is_kept = |name: &OsStr| {
        let name = name.to_string_lossy();
        let kept = ["LANG", "JOURNAL_STREAM", "NETNS_TRACE", "NETNS_TRUST"];
        kept.contains(&&*name) || name.starts_with("LC_")
    };
    let mut variables = process::environment(is_kept);
    variables.push(("PATH".into(), DEFAULT_PATH.into()));
    variables.push((INVOCATION.into(), invocation.into()));
    variables
}
