use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::lifecycle;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Clean up after units that were killed while starting or stopping
#[derive(Debug, Args)]
#[command(hide = true, after_help = "Example: netnsctl undo")]
pub struct Undo {}

impl Undo {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        if let Some(manager) = Manager::running(root)? {
            lifecycle::clean_up_failed_units(root, &manager)?;
        }
        Ok(0)
    }
}
