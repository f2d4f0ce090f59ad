use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::lifecycle;

/// Bring up a network namespace of a type
///
/// Makes the namespace NAME and runs the functions `up` of TYPE, outside and
/// inside; what fails is undone. A second type shares the namespace. By systemd
/// where it runs, as `systemctl start netns-TYPE@NAME` does, else directly.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl up veth@web")]
pub struct Up {
    /// Which type, for which namespace
    #[arg(value_name = "TYPE@NAME")]
    instance: Instance,
}

impl Up {
    pub fn run(&self, root: &Root) -> Result<u8> {
        lifecycle::up(root, &self.instance)
    }
}
