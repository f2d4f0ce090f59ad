//! Instances up and down in one step: by systemd where it runs, directly where it does not.

use anyhow::{Result, anyhow};

use crate::config::{self, Trust};
use crate::exit::{Exit, OrExit};
use crate::manager::Manager;
use crate::name::Instance;
use crate::root::Root;

pub mod direct;
mod systemd;

/// Brings an instance up, whole or not at all, and gives the exit status: that of the function
/// that failed. One that is up already stays as it is.
pub fn up(root: &Root, instance: &Instance) -> Result<u8> {
    must_be_root()?;
    config::find(root, instance, Trust::from_environment())?;
    match Manager::running(root)? {
        Some(manager) => systemd::up(root, &manager, instance),
        None => direct::up(root, instance),
    }
}

/// Takes an instance down, as far as it can be, and gives the exit status: that of the first
/// function that failed. One that is down already is no error.
pub fn down(root: &Root, instance: &Instance) -> Result<u8> {
    must_be_root()?;
    match Manager::running(root)? {
        Some(manager) => systemd::down(&manager, instance),
        None => direct::down(root, instance),
    }
}

/// # Errors
/// With [`Exit::NotPermitted`], before anything is touched.
pub fn must_be_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(anyhow!("run it as root, as with sudo")).or_exit(Exit::NotPermitted)
}
