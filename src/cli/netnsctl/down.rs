use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::lifecycle;

/// Take down an instance
///
/// Runs the functions of NSTYPE for down inside and down outside, and deletes
/// the network namespace NSNAME unless another type still uses it.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl down veth@web")]
pub struct Down {
    /// Type and network namespace
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,
}

impl Down {
    pub fn run(&self, root: &Root) -> Result<u8> {
        lifecycle::down(root, &self.instance)
    }
}
