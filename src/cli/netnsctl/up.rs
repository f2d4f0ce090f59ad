use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::lifecycle;

/// Bring up an instance
///
/// Creates the network namespace NSNAME unless another type already uses it,
/// and runs the functions of NSTYPE for up outside and up inside. If one fails,
/// everything that was set up is taken down again. If systemd is running, this
/// is the same as 'systemctl start netns-NSTYPE@NSNAME'. Otherwise, as in a
/// container, the functions are run directly, in the environment of a unit: only
/// LANG, LC_*, NETNS_TRACE and NETNS_TRUST are kept from the caller's.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl up veth@web")]
pub struct Up {
    /// Type and network namespace
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,
}

impl Up {
    pub fn run(&self, root: &Root) -> Result<u8> {
        lifecycle::up(root, &self.instance)
    }
}
