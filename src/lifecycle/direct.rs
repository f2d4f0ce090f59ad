//! Without systemd: the phases in order, and who shares a namespace.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::Phase;
use crate::namespace::{self, NetNs};
use crate::phase::register::{Register, Stage};
use crate::sys::command::{self, Interruption, Termination};
use crate::sys::lock::Lock;
use crate::sys::log;

/// Brings an instance up, in a new namespace or in one that others of its name have brought up.
pub fn up(root: &Root, instance: &Instance) -> Result<u8> {
    let Instance { nstype, nsname } = instance;
    for program in ["netnsinit", "netnsctl", "bash"] {
        command::ours(program)?;
    }
    let _lock = Lock::take(&root.lock_of(nsname))?;
    let mut interruption = Interruption::watch()?;
    let register = Register::of(root, nsname);
    match register.stage(nstype)? {
        Some(Stage::Up) => {
            log::info(&format!("{instance} is up already"));
            return Ok(0);
        }
        Some(stage) => {
            log::warn(&format!(
                "the last start of {instance} was broken off: taking down what it has set up"
            ));
            undo(instance, stage)?;
            register.remove(nstype)?;
        }
        None => {}
    }
    if !is_shared(root, nsname, &register)? {
        register.make()?;
        let made = child("netnsctl", &["create", nsname.as_str()]);
        if !made.as_ref().is_ok_and(|end| end.success()) {
            register.delete()?;
            return made.map(Termination::status);
        }
    }
    let mut failed = None;
    for (phase, stage) in [
        (Phase::UP_OUTSIDE, Stage::Outside),
        (Phase::UP_INSIDE, Stage::Inside),
    ] {
        register.set(nstype, stage)?;
        let end = run(instance, phase, false)?;
        if !end.success() || interruption.came() {
            failed = Some((phase, stage, end));
            break;
        }
    }
    let Some((phase, stage, end)) = failed else {
        register.set(nstype, Stage::Up)?;
        log::info(&format!("{instance} is up"));
        return Ok(0);
    };
    let undone = undo(instance, stage)?.and(leave(root, instance, &register)?);
    let why = match end {
        Termination::Exited(0) => "it was interrupted".to_owned(),
        end => format!("'{phase}' {end}"),
    };
    let undone = match undone {
        Teardown::Done => "what it had set up is taken down again",
        Teardown::Failed(_) => "and not all that it had set up could be taken down",
    };
    log::error(&format!("{instance} did not come up: {why}; {undone}"));
    Ok(match end {
        Termination::Exited(0) => 128 + libc::SIGINT as u8,
        end => end.status(),
    })
}

/// Takes an instance down, and the namespace with the last one.
pub fn down(root: &Root, instance: &Instance) -> Result<u8> {
    let Instance { nstype, nsname } = instance;
    let _lock = Lock::take(&root.lock_of(nsname))?;
    let _interruption = Interruption::watch()?;
    let register = Register::of(root, nsname);
    let outcome = match register.stage(nstype)? {
        None => {
            log::info(&format!("{instance} is not up"));
            return Ok(0);
        }
        // As the units do: whatever fails, the rest is taken down all the same.
        Some(Stage::Up) => {
            let inside = run(instance, Phase::DOWN_INSIDE, false)?;
            let outside = run(instance, Phase::DOWN_OUTSIDE, false)?;
            Teardown::of(inside).and(Teardown::of(outside))
        }
        Some(stage) => undo(instance, stage)?,
    };
    match outcome.and(leave(root, instance, &register)?) {
        Teardown::Done => {
            log::info(&format!("{instance} is down"));
            Ok(0)
        }
        Teardown::Failed(status) => {
            log::error(&format!("{instance} is down, but not all went well"));
            Ok(status)
        }
    }
}

/// Whether others have the namespace up already.
///
/// # Errors
/// They have, and it is gone or was replaced: nothing that is set up there would be of use.
fn is_shared(root: &Root, name: &NsName, register: &Register) -> Result<bool> {
    if !register.exists() {
        return Ok(false);
    }
    let found = NetNs::open(root, name)?.map(|namespace| namespace.id);
    let what = match (found, namespace::made_by_us(root, name)) {
        (Some(found), Some(ours)) if found == ours => return Ok(true),
        (None, _) => "deleted",
        (Some(_), _) => "replaced by another",
    };
    let types = register.types()?;
    let Some(other) = types.first() else {
        return Ok(false);
    };
    bail!(
        "the network namespace '{name}' was {what} while {other}@{name} was up: \
         run 'netnsctl down {other}@{name}' first"
    )
}

/// Whether all of several steps went well, else the exit status of the first that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teardown {
    Done,
    Failed(u8),
}

impl Teardown {
    fn of(end: Termination) -> Self {
        if end.success() {
            Teardown::Done
        } else {
            Teardown::Failed(end.status())
        }
    }

    fn and(self, next: Teardown) -> Teardown {
        match self {
            Teardown::Done => next,
            failed => failed,
        }
    }
}

/// Takes down what an `up` that came so far has set up, in reverse order: as the units do, a side
/// on which it did not finish with `--undo`, one on which it did without.
fn undo(instance: &Instance, stage: Stage) -> Result<Teardown> {
    let mut outcome = Teardown::Done;
    if stage != Stage::Outside {
        outcome = Teardown::of(run(instance, Phase::DOWN_INSIDE, true)?);
        let outside = run(instance, Phase::DOWN_OUTSIDE, false)?;
        outcome = outcome.and(Teardown::of(outside));
    }
    let rest = run(instance, Phase::DOWN_OUTSIDE, true)?;
    Ok(outcome.and(Teardown::of(rest)))
}

/// Strikes an instance off the register, and deletes the namespace with the last one.
fn leave(root: &Root, instance: &Instance, register: &Register) -> Result<Teardown> {
    let Instance { nstype, nsname } = instance;
    register.remove(nstype)?;
    if !register.types()?.is_empty() {
        return Ok(Teardown::Done);
    }
    let deleted = match namespace::made_by_us(root, nsname) {
        None => Teardown::Done, // by somebody else, with all that held it
        Some(_) => Teardown::of(child("netnsctl", &["delete", "--force", nsname.as_str()])?),
    };
    register.delete()?;
    Ok(deleted)
}

/// Runs one phase. In a child: a process that enters a namespace never comes back.
fn run(instance: &Instance, phase: Phase, undo: bool) -> Result<Termination> {
    let mut words = vec![
        instance.nstype.as_str(),
        instance.nsname.as_str(),
        phase.direction.as_str(),
        phase.side.as_str(),
    ];
    if undo {
        words.insert(0, "--undo");
    }
    child("netnsinit", &words)
}

/// Runs another program of this package, which says itself what goes wrong.
fn child(program: &str, arguments: &[&str]) -> Result<Termination> {
    let program = command::ours(program)?;
    command::supervise(&command::Program {
        path: &program,
        arguments: &arguments.iter().map(OsString::from).collect::<Vec<_>>(),
        environment: std::env::vars_os().collect(),
        reads_input: false,
    })
}
