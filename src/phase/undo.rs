//! What a failed or killed `up` has begun is undone: at once by its own process, else by another.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::record::{LockedRecord, Record};
use super::{PhaseRequest, call, run};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::{Direction, Phase, Side};
use crate::instance::sources::Sources;
use crate::sys::command::Termination;
use crate::sys::log;
use crate::sys::process::Steps;

/// Undoes what a failed `up` has begun, as ExecStopPost= would, which takes a process at every stop.
pub(super) fn here(
    root: &Root,
    instance: &Instance,
    side: Side,
    record: &LockedRecord,
    sources: &Sources,
    status: u8,
) -> Result<()> {
    // systemd signals the processes of a unit one by one, also those that start meanwhile.
    if status == Termination::Killed(libc::SIGTERM).status() {
        thread::sleep(Duration::from_millis(100));
    }
    call(root, &request(instance, side), record, sources).map(drop)
}

fn request(instance: &Instance, side: Side) -> PhaseRequest {
    let direction = Direction::Down;
    PhaseRequest {
        instance: instance.clone(),
        parameters: Vec::new(),
        phase: Phase { direction, side },
        undo: true,
    }
}

/// Takes down what an earlier start or stop by systemd was killed in, and before a start also what a stop
/// that failed has left. systemd starts only what is down, and stops the outside part last.
pub(super) fn earlier(root: &Root, record: &Record, next: &PhaseRequest) -> Result<()> {
    let side = match (next.phase.direction, next.phase.side) {
        (Direction::Up, side) => side,
        (Direction::Down, Side::Outside) => Side::Inside,
        (Direction::Down, Side::Inside) => return Ok(()),
    };
    let is_left = match next.phase.direction {
        Direction::Up => record.has_to_stop(side)?,
        Direction::Down => record.interrupted(side)?,
    };
    match is_left {
        true => apart(root, &next.instance, side),
        false => Ok(()),
    }
}

/// Takes down what a killed start or stop has left on one side, in a child, because a process that
/// enters a namespace stays there. A failure is only printed.
pub fn apart(root: &Root, instance: &Instance, side: Side) -> Result<()> {
    log::warn(&format!(
        "previous start or stop of {instance} was interrupted or failed; cleaning up {side}"
    ));
    let down = PhaseRequest {
        // Else a `down` that has failed would not run again.
        undo: Record::of(root, instance).interrupted(side)?,
        ..request(instance, side)
    };
    let end = Steps::begin()?.run(|| run(root, &down))?;
    if !end.success() {
        log::warn(&format!("{instance}: cleaning up {side} {end}"));
    }
    Ok(())
}
