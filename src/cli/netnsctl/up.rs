use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::lifecycle;

/// Bring up a network namespace of a type
///
/// Starts netns-NSTYPE@NSNAME.service. Where systemd does not run, creates the
/// namespace NSNAME and calls the `up` functions of NSTYPE, outside and inside,
/// in the environment of a unit: of the caller's variables, only LANG, LC_*,
/// NETNS_TRACE and NETNS_TRUST are kept. A failed start is cleaned up. Several
/// types can share a namespace.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl up veth@web")]
pub struct Up {
    /// Type and name of the network namespace
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,
}

impl Up {
    pub fn run(&self, root: &Root) -> Result<u8> {
        lifecycle::up(root, &self.instance)
    }
}
