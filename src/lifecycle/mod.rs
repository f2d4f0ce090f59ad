//! Brings instances up and down: by systemd where it runs, directly where it does not.

use anyhow::Result;

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::{Phase, Side};
use crate::instance::sources;
use crate::instance::trust::Trust;
use crate::namespace;
use crate::phase::record::Record;
use crate::phase::{self, PhaseRequest};
use crate::sys::file;
use crate::sys::log;
use crate::sys::process::Steps;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

mod direct;
pub mod gc;
mod systemd;

/// Brings an instance up, whole or not at all, and gives the exit status: that of the function
/// that failed. One that is up already stays as it is.
pub fn up(root: &Root, instance: &Instance) -> Result<u8> {
    require_root()?;
    sources::find(root, instance, Trust::from_environment())?;
    match Manager::running(root)? {
        Some(manager) => systemd::up(root, &manager, instance),
        None => direct::up(root, instance),
    }
}

/// Takes down what the units of a namespace have left that were killed, or whose stop was. None of
/// them is up when this is called: the unit of the namespace has just stopped, or is about to start.
pub fn clean_up_units(root: &Root, name: &NsName) -> Result<()> {
    for record in file::names(&root.records_dir())? {
        let Some(instance) = record.parse::<Instance>().ok() else {
            continue;
        };
        let record = Record::of(root, &instance);
        let is_left = instance.nsname == *name
            && record.is_of_systemd()?
            && record.interrupted(Side::Outside)?;
        if !is_left {
            continue;
        }
        log::warn(&format!(
            "previous start or stop of {instance} was interrupted; cleaning up"
        ));
        let request = PhaseRequest {
            instance,
            parameters: Vec::new(),
            phase: Phase::DOWN_OUTSIDE,
            undo: true,
        };
        // In a child, which ends what it has started. Its failure is printed.
        Steps::begin()?.run(|| phase::run(root, &request))?;
    }
    namespace::delete_interrupted(root, name)
}

/// Takes an instance down, as far as it can be, and gives the exit status: that of the first
/// function that failed. One that is down already is no error.
pub fn down(root: &Root, instance: &Instance) -> Result<u8> {
    require_root()?;
    match Manager::running(root)? {
        Some(manager) => systemd::down(&manager, instance),
        None => direct::down(root, instance),
    }
}
