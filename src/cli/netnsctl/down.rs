use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::lifecycle;

/// Take down a network namespace of a type
///
/// Runs the functions `down` of TYPE, inside and outside, and deletes the
/// namespace NAME with the last type that shares it. When it returns, nothing
/// is left.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl down veth@web")]
pub struct Down {
    /// Which type, for which namespace
    #[arg(value_name = "TYPE@NAME")]
    instance: Instance,
}

impl Down {
    pub fn run(&self, root: &Root) -> Result<u8> {
        lifecycle::down(root, &self.instance)
    }
}
