//! Brings instances up and down: by systemd where it runs, directly where it does not.

use anyhow::Result;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::sources;
use crate::instance::trust::Trust;
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

/// Takes an instance down, as far as it can be, and gives the exit status: that of the first
/// function that failed. One that is down already is no error.
pub fn down(root: &Root, instance: &Instance) -> Result<u8> {
    require_root()?;
    match Manager::running(root)? {
        Some(manager) => systemd::down(&manager, instance),
        None => direct::down(root, instance),
    }
}
