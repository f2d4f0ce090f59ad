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
use crate::sys::process::Steps;
use crate::sys::{file, log};

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

/// Undoes what a killed `up` has begun, in a child: it may have to enter the namespace.
pub(super) fn apart(root: &Root, instance: &Instance, side: Side) -> Result<()> {
    let undo = request(instance, side);
    let end = Steps::begin()?.run(|| run(root, &undo))?;
    if !end.success() {
        log::warn(&format!("{instance}: cleaning up 'up {side}' {end}"));
    }
    Ok(())
}

/// Undoes what killed processes have begun. What a process works on is its own business.
pub fn interrupted(root: &Root) -> Result<()> {
    for name in file::names(&root.records_dir())? {
        let Ok(instance) = name.parse() else { continue };
        for side in [Side::Inside, Side::Outside] {
            let record = Record::of(root, &instance);
            if record.unfinished(side)? && !record.is_locked()? {
                apart(root, &instance, side)?;
            }
        }
    }
    Ok(())
}
