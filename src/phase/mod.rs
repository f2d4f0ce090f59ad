//! netnsinit: runs one phase of an instance, and records it for `down`.
//!
//! Uses `namespace`, `instance` and `sys`.

pub mod record;
pub mod script;
mod undo;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Result, bail, ensure};

use self::record::{LockedRecord, Record};
use self::script::{Broken, Call, FailedCommand, Outcome};
use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::{Direction, Phase, Side};
use crate::instance::sources::{self, Slot, Sources};
use crate::instance::trust::Trust;
use crate::namespace::{self, Id, NetNs};
use crate::sys::command::{self, Termination};
use crate::sys::log;
use crate::sys::process::Steps;

pub use undo::apart as take_down_interrupted;

/// The request on the command line.
#[derive(Debug)]
pub struct PhaseRequest {
    pub instance: Instance,
    /// Arguments of the function after NSNAME.
    pub parameters: Vec<OsString>,
    pub phase: Phase,
    /// Only undo an `up` that has not finished.
    pub undo: bool,
}

/// Runs one phase and returns the exit status.
///
/// # Errors
/// Nothing was run: the namespace or a file is missing (exit codes as in [`Exit`]). A failure of the
/// function is not an error: it is printed, and its status is returned.
pub fn run(root: &Root, request: &PhaseRequest) -> Result<u8> {
    let PhaseRequest {
        instance, phase, ..
    } = request;
    let record = Record::of(root, instance);
    if request.undo && !record.interrupted(phase.side)? {
        return Ok(0);
    }
    let under_systemd = namespace::under_systemd();
    if under_systemd {
        undo::earlier(root, &record, request)?;
    }
    let live = sources::find(root, instance, Trust::from_environment());
    if phase.direction == Direction::Up && live.is_err() {
        return live.map(|_| 0);
    }
    let record = record.lock()?;
    if request.undo && !record.interrupted(phase.side)? {
        return Ok(0);
    }
    let Some(destination) = destination(root, instance, *phase, record.namespace())? else {
        log::warn(&format!(
            "there is no network namespace '{}': nothing is left to take down inside it",
            instance.nsname
        ));
        record.forget_inside()?;
        return Ok(0);
    };
    let sources = match phase.direction {
        Direction::Up => live?,
        Direction::Down => sources_for_down(root, instance, live, &record, phase.side)?,
    };
    if *phase == Phase::UP_OUTSIDE && under_systemd {
        restore_namespace(root, &instance.nsname)?;
    }
    // From here on a signal ends the function, and then what it has begun is undone.
    let _blocked = command::block_ending_signals()?;
    if phase.direction == Direction::Up {
        record.begin(phase.side, &sources, destination.id())?;
    }
    destination.go(root, instance)?;
    let status = call(root, request, &record, &sources)?;
    if under_systemd && phase.direction == Direction::Up && record.unfinished(phase.side)? {
        undo::here(root, instance, phase.side, &record, &sources, status)?;
    }
    Ok(status)
}

/// Calls the function of a phase where this process is, and returns the exit status.
fn call(
    root: &Root,
    request: &PhaseRequest,
    record: &LockedRecord,
    sources: &Sources,
) -> Result<u8> {
    let run = |sources: &Sources| {
        let call = Call {
            instance: &request.instance,
            parameters: &request.parameters,
            phase: request.phase,
            sources,
            undo: request.undo && record.unfinished(request.phase.side)?,
            report: &record.report(),
        };
        call.run()
    };
    let mut outcome = run(sources)?;
    let mut used = Cow::Borrowed(sources);
    if request.phase.direction == Direction::Down && outcome.is_of_a_file() {
        // Files may have been removed or changed since they were checked.
        let live = sources::find(root, &request.instance, Trust::from_environment());
        let usable = sources_for_down(root, &request.instance, live, record, request.phase.side)?;
        if usable != *sources {
            outcome = run(&usable)?;
            used = Cow::Owned(usable);
        }
    }
    settle(record, request.phase, &outcome)?;
    tell(root, request, &used, &outcome);
    Ok(outcome.status())
}

/// Creates the namespace again if its name was deleted while netns_name@ kept running: a restart does
/// not start that unit again, and systemd cannot start netns-*@ without the file (225/NETWORK,
/// systemd.exec(5)).
fn restore_namespace(root: &Root, name: &NsName) -> Result<()> {
    let ours = namespace::made_by_us(root, name)?;
    match (NetNs::open(root, name)?, ours) {
        (None, _) => {
            log::warn(&format!(
                "network namespace '{name}' was deleted: creating a new one"
            ));
            // In a child, because the process that creates a namespace moves into it.
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

/// Where to run the function.
#[derive(Debug)]
enum Destination {
    /// In the current network and mount namespaces.
    Outside,
    /// In the current namespace, which is that of the instance.
    Here(Id),
    There(NetNs),
}

impl Destination {
    /// The namespace, unless it is that of the caller.
    fn id(&self) -> Option<Id> {
        match self {
            Destination::Outside => None,
            Destination::Here(id) => Some(*id),
            Destination::There(namespace) => Some(namespace.id),
        }
    }

    /// Moves this process there, permanently.
    fn go(self, root: &Root, instance: &Instance) -> Result<()> {
        match self {
            Destination::Outside => return Ok(()),
            Destination::Here(_) => {}
            Destination::There(namespace) => namespace.enter()?,
        }
        namespace::see_only(root, &instance.nsname)
    }
}

/// Finds out where to run a phase. `None` if there is no namespace left to run it in.
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
    // systemd stops a unit in the namespace in which it started, even if its name was deleted or
    // belongs to another namespace by now.
    let was_here = phase.direction == Direction::Down && worked_on == Some(here);
    if is_here || was_here {
        return Ok(Some(Destination::Here(here)));
    }
    if let Some(named) = named {
        // If another namespace has the name, ours may still be held by its second mount.
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
    Ok(own.then_some(Destination::Here(here)))
}

/// The files to use for `down`: those recorded by `up` if the current ones cannot be used.
fn sources_for_down(
    root: &Root,
    instance: &Instance,
    live: Result<Sources>,
    record: &LockedRecord,
    side: Side,
) -> Result<Sources> {
    let recorded = match record.sources(side) {
        Ok(Some(recorded)) => recorded,
        Ok(None) => return live,
        Err(error) => {
            log::warn(&format!("{error:#}: using the files as they are now"));
            return live;
        }
    };
    let (why, live) = match live {
        Err(error) => (Some(format!("{error:#}")), None),
        Ok(live) => (unfit(root, instance, &live, &recorded)?, Some(live)),
    };
    match (why, live) {
        (None, Some(live)) => Ok(live),
        (why, _) => {
            let why = why.unwrap_or_default();
            log::warn(&format!(
                "{why}: using the files as they were at 'up {side}'"
            ));
            record.store(&recorded)?;
            Ok(recorded)
        }
    }
}

/// Why the current files cannot take down what the recorded ones have set up.
fn unfit(
    root: &Root,
    instance: &Instance,
    live: &Sources,
    recorded: &Sources,
) -> Result<Option<String>> {
    for old in &recorded.files {
        if live.get(old.slot).is_none() {
            let [script, _] = root.scripts(&instance.nstype);
            let gone = match old.slot {
                Slot::Script => script,
                Slot::Default => root.default_conf(),
                Slot::Type => root.type_conf(&instance.nstype),
                Slot::Instance => root.instance_conf(instance),
                Slot::Container => root.container_values(instance),
            };
            return Ok(Some(format!("{} is gone", gone.display())));
        }
    }
    for new in live.scripts() {
        let same = recorded
            .get(new.slot)
            .is_some_and(|old| old.content == new.content);
        if !same && script::syntax_error(&new.path)?.is_some() {
            return Ok(Some(format!("{} has a syntax error", new.path.display())));
        }
    }
    Ok(None)
}

/// Updates the record with the outcome.
fn settle(record: &LockedRecord, phase: Phase, outcome: &Outcome) -> Result<()> {
    match (phase.direction, outcome) {
        (Direction::Down, _) if phase.side == Side::Outside && outcome.status() == 0 => {
            record.forget()
        }
        // Nothing was set up, so there will be nothing to take down.
        (Direction::Up, Outcome::Broken(_) | Outcome::FailedInFile { .. }) => {
            record.cancel(phase.side)
        }
        (Direction::Up, _) if outcome.status() != 0 => Ok(()),
        (Direction::Up, _) => record.finish(phase.side),
        (Direction::Down, _) if outcome.status() == 0 => record.forget_inside(),
        (Direction::Down, _) => record.fail(phase.side),
    }
}

/// Prints the outcome in one line.
fn tell(root: &Root, request: &PhaseRequest, sources: &Sources, outcome: &Outcome) {
    let instance = &request.instance;
    match outcome {
        Outcome::Done { function } => log::info(&format!("{instance}: {function} done")),
        Outcome::Undefined { function } => {
            log::info(&format!(
                "{instance}: no function {function}: nothing to do"
            ));
        }
        Outcome::Refused { variable, fault } => {
            let place = sources.line_that_sets(variable);
            log::error(&match place {
                Some((file, line)) => format!("{instance}: {}:{line}: {fault}", file.display()),
                None if variable.is_empty() || sources.get(Slot::Container).is_some() => {
                    format!("{instance}: {fault}")
                }
                None => format!(
                    "{instance}: {fault} (set it in {})",
                    root.instance_conf(instance).display()
                ),
            });
        }
        Outcome::Kept => log::info(&format!(
            "{instance}: not undoing the failed 'up {}': NETNS_UNDO=no",
            request.phase.side
        )),
        Outcome::Skipped { file } => log::warn(&format!(
            "{instance}: {} exited with status 0, and no function was called",
            or_a_file(file.as_deref())
        )),
        Outcome::Broken(Broken::Syntax { file }) if !file.exists() => log::error(&format!(
            "{instance}: {} was removed while it was used",
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
            "{instance}: {} {end}{}; no function was called",
            or_a_file(file.as_deref()),
            at(place.as_ref())
        )),
        Outcome::Failed {
            function,
            end,
            place,
        } => {
            log::error(&format!(
                "{instance}: {function} {end}{}",
                at(place.as_ref())
            ));
        }
    }
}

fn or_a_file(file: Option<&Path>) -> String {
    file.map_or("a configuration file".to_owned(), |file| {
        file.display().to_string()
    })
}

fn at(place: Option<&FailedCommand>) -> String {
    place
        .map(|place| format!(" at {place}"))
        .unwrap_or_default()
}
