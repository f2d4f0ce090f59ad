use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::lifecycle;

/// Take down a network namespace of a type
///
/// Stops netns-NSTYPE@NSNAME.service. Where systemd does not run, calls the
/// `down` functions of NSTYPE, inside and outside, and deletes the namespace
/// NSNAME with the last type that shares it.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl down veth@web")]
pub struct Down {
    /// Type and name of the network namespace
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,
}

impl Down {
    pub fn run(&self, root: &Root) -> Result<u8> {
        lifecycle::down(root, &self.instance)
    }
}
