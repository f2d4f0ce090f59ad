use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::phase;
use crate::sys::user::require_root;

/// Undo each start that was killed before it finished
#[derive(Debug, Args)]
#[command(hide = true, after_help = "Example: netnsctl undo")]
pub struct Undo {}

impl Undo {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        phase::undo_interrupted(root)?;
        Ok(0)
    }
}
