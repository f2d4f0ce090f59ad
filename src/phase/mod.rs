//! netnsinit: the namespace, the function, and what is kept for `down`.

pub mod record;
pub mod script;

use std::ffi::OsString;

use anyhow::{Result, bail, ensure};

use self::record::{Record, Snapshot};
use self::script::{Broken, Call, FailedCommand, Outcome};
use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::{Direction, Phase, Side};
use crate::instance::sources::{self, Slot, Sources, Trust};
use crate::namespace::{self, Id, NetNs};
use crate::sys::command::Termination;
use crate::sys::log;
use crate::sys::process::Steps;

/// What the command line asks for.
#[derive(Debug)]
pub struct PhaseRequest {
    pub instance: Instance,
    /// Given to the function after NSNAME.
    pub parameters: Vec<OsString>,
    pub phase: Phase,
    /// Only take down what an `up` has begun and not finished.
    pub undo: bool,
}

/// Runs one phase and gives the exit status.
///
/// # Errors
/// Nothing was run: the namespace is missing, or a file is (exit codes as in [`Exit`]). What the
/// function does is no error; its failure is printed and its status returned.
pub fn run(root: &Root, request: &PhaseRequest) -> Result<u8> {
    let PhaseRequest {
        instance,
        parameters,
        phase,
        ..
    } = request;
    let record = Record::of(root, instance);
    if request.undo && !record.unfinished(phase.side)? {
        return Ok(0);
    }
    let Some(destination) = destination(root, instance, *phase, record.namespace())? else {
        log::warn(&format!(
            "there is no network namespace '{}': nothing is left to take down inside it",
            instance.nsname
        ));
        return Ok(0);
    };
    if *phase == Phase::UP_OUTSIDE && namespace::under_systemd() {
        restore_namespace(root, &instance.nsname)?;
    }
    let sources = sources(root, instance, phase.direction, &record)?;
    let snapshot = Snapshot::of(&sources)?;
    if phase.direction == Direction::Up {
        record.begin(phase.side)?;
    }
    destination.go(root, instance, *phase, &record)?;
    let call = Call {
        instance,
        parameters,
        phase: *phase,
        sources: &sources,
    };
    let outcome = call.run()?;
    settle(&record, *phase, &snapshot, &outcome)?;
    tell(root, request, &sources, &outcome);
    Ok(outcome.status())
}

/// Creates the namespace again if its name was deleted while other units kept netns_name@ running:
/// a restart does not start that unit again, and systemd refuses to start netns-*@ without the file
/// (225/NETWORK, systemd.exec(5)).
fn restore_namespace(root: &Root, name: &NsName) -> Result<()> {
    let ours = namespace::made_by_us(root, name);
    match (NetNs::open(root, name)?, ours) {
        (None, _) => {
            log::warn(&format!(
                "network namespace '{name}' was deleted: creating a new one"
            ));
            // In a child: a process that creates a namespace is in it.
            let end = Steps::begin()?.run(|| namespace::create(root, name, true).map(|()| 0))?;
            ensure!(end.success(), "creating network namespace '{name}' {end}");
        }
        (Some(found), Some(ours)) if found.id != ours => log::warn(&format!(
            "network namespace '{name}' was replaced by another: using that one"
        )),
        _ => {}
    }
    Ok(())
}

/// Where the function has to run.
#[derive(Debug)]
enum Destination {
    /// In the namespace that we are in, and with its mounts.
    Outside,
    /// Inside the namespace that we are in already.
    Here,
    There(NetNs),
}

impl Destination {
    /// Goes there, for good.
    fn go(self, root: &Root, instance: &Instance, phase: Phase, record: &Record) -> Result<()> {
        match self {
            Destination::Outside => return Ok(()),
            Destination::Here => {}
            Destination::There(namespace) => namespace.enter()?,
        }
        if phase == Phase::UP_INSIDE {
            record.remember(Id::current()?)?;
        }
        namespace::see_only(root, &instance.nsname)
    }
}

/// Finds out where a phase runs; `None` where there is nothing left to run it in.
fn destination(
    root: &Root,
    instance: &Instance,
    phase: Phase,
    worked_on: Option<Id>,
) -> Result<Option<Destination>> {
    let name = &instance.nsname;
    let here = Id::current()?;
    let named = NetNs::open(root, name)?;
    let is_here = named.as_ref().is_some_and(|named| named.id == here);
    if phase.side == Side::Outside {
        if is_here {
            bail!("'{phase}' must not run inside the network namespace '{name}', and this does");
        }
        return Ok(Some(Destination::Outside));
    }
    // systemd runs the end of a unit in the namespace that its start ran in, even when that has
    // lost its name or another has been given it.
    let was_here = phase.direction == Direction::Down && worked_on == Some(here);
    if is_here || was_here {
        return Ok(Some(Destination::Here));
    }
    if let Some(named) = named {
        // Where another has been given the name, what was worked on may still be held.
        let held = match worked_on {
            Some(id) if phase.direction == Direction::Down && id != named.id => {
                let held = NetNs::at(root.pin(name))?;
                held.filter(|held| held.id == id)
            }
            _ => None,
        };
        return Ok(Some(Destination::There(held.unwrap_or(named))));
    }
    if phase.direction == Direction::Up {
        bail!(
            "there is no network namespace '{name}' ({})",
            root.netns(name).display()
        );
    }
    let own = Id::of_pid_1().is_ok_and(|host| host != here);
    Ok(own.then_some(Destination::Here))
}

/// The files to use: for `down`, those kept from `up` where the live ones do not serve any more.
fn sources(
    root: &Root,
    instance: &Instance,
    direction: Direction,
    record: &Record,
) -> Result<Sources> {
    let live = sources::find(root, instance, Trust::from_environment());
    if direction == Direction::Up {
        return live;
    }
    let Some(record) = record.sources()? else {
        return live;
    };
    let live = match live {
        Ok(live) => live,
        Err(error) => {
            log::warn(&format!("{error:#}: using the files that served for up"));
            return Ok(record);
        }
    };
    match unfit(root, instance, &live, &record)? {
        None => Ok(live),
        Some(why) => {
            log::warn(&format!("{why}: using the files that served for up"));
            Ok(record)
        }
    }
}

/// Why the live files cannot take down what the kept ones have set up.
fn unfit(
    root: &Root,
    instance: &Instance,
    live: &Sources,
    record: &Sources,
) -> Result<Option<String>> {
    for old in &record.files {
        if !live.files.iter().any(|new| new.slot == old.slot) {
            let [script, _] = root.scripts(&instance.nstype);
            let gone = match old.slot {
                Slot::Script => script,
                Slot::Default => root.default_conf(),
                Slot::Type => root.type_conf(&instance.nstype),
                Slot::Instance => root.instance_conf(instance),
            };
            return Ok(Some(format!("{} is gone", gone.display())));
        }
    }
    for new in &live.files {
        let old = record.files.iter().find(|old| old.slot == new.slot);
        let same = match old {
            Some(old) => sources::read(old)? == sources::read(new)?,
            None => false,
        };
        if !same && script::syntax_error(&new.path)?.is_some() {
            return Ok(Some(format!("{} has a syntax error", new.path.display())));
        }
    }
    Ok(None)
}

/// Brings the record in line with what has happened.
fn settle(record: &Record, phase: Phase, snapshot: &Snapshot, outcome: &Outcome) -> Result<()> {
    let failed = outcome.status() != 0;
    match (phase.direction, outcome) {
        (Direction::Down, _) if phase.side == Side::Outside && !failed => record.forget(),
        (Direction::Down, _) => record.finish(phase.side),
        // Nothing was set up, so there is nothing to take down.
        (Direction::Up, Outcome::Broken(_) | Outcome::FailedInFile { .. }) => {
            record.finish(phase.side)?;
            record.forget_if_empty()
        }
        (Direction::Up, _) => {
            record.save(snapshot)?;
            if failed {
                Ok(())
            } else {
                record.finish(phase.side)
            }
        }
    }
}

/// Says in one line how it went.
fn tell(root: &Root, request: &PhaseRequest, sources: &Sources, outcome: &Outcome) {
    let function = request.phase.function(&request.instance.nstype);
    let instance = &request.instance;
    match outcome {
        Outcome::Done => log::info(&format!("{instance}: {function} done")),
        Outcome::Undefined => {
            log::info(&format!(
                "{instance}: no function {function}: nothing to do"
            ));
        }
        Outcome::Refused { variable, fault } => {
            let place = sources.line_that_sets(variable);
            log::error(&match place {
                Some((file, line)) => format!("{instance}: {}:{line}: {fault}", file.display()),
                None if variable.is_empty() => format!("{instance}: {fault}"),
                None => format!(
                    "{instance}: {fault} (set it in {})",
                    root.instance_conf(instance).display()
                ),
            });
        }
        Outcome::Skipped { file } => log::warn(&format!(
            "{instance}: {} exited with status 0 before {function} was reached",
            file.display()
        )),
        Outcome::Broken(Broken::Syntax { file }) => {
            log::error(&format!("{instance}: syntax error in {}", file.display()));
        }
        Outcome::Broken(Broken::Unconfigured) => log::error(&format!(
            "{instance} is not configured: there is no {} or {}",
            root.type_conf(&instance.nstype).display(),
            root.instance_conf(instance).display()
        )),
        Outcome::Broken(Broken::Gate { fault }) => log::error(&format!("{instance}: {fault}")),
        Outcome::NotReady {
            missing,
            end: Termination::Exited(_),
        } => {
            log::error(&format!(
                "{instance}: not ready for use in time: there is {missing}"
            ));
        }
        Outcome::NotReady { missing, end } => {
            log::error(&format!(
                "{instance}: waiting {end} while there is {missing}"
            ));
        }
        Outcome::FailedInFile { file, end, place } => log::error(&format!(
            "{instance}: {} {end} before {function} was reached{}",
            file.display(),
            at(place.as_ref())
        )),
        Outcome::Failed { end, place } => {
            log::error(&format!(
                "{instance}: {function} {end}{}",
                at(place.as_ref())
            ));
        }
    }
}

fn at(place: Option<&FailedCommand>) -> String {
    place
        .map(|place| format!(" at {place}"))
        .unwrap_or_default()
}
