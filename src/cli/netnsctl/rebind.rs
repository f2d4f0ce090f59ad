use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::service::attach::rebind;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Restore the bind mounts of attached services after a file was replaced
#[derive(Debug, Args)]
#[command(hide = true, after_help = "Example: netnsctl rebind")]
pub struct Rebind {}

impl Rebind {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        if let Some(manager) = Manager::running(root)? {
            rebind::all(root, &manager)?;
        }
        Ok(0)
    }
}
