use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::update::requires::{self, Need};

/// Make an instance require other instances or units
///
/// The instance starts after what it requires, and stops and restarts with it. The variable
/// NETNS_REQUIRES in a configuration file of the instance does the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl require veth@browser macvlan@store netns_name@db
         netnsctl require veth@browser netns_name@db --remove")]
pub struct Require {
    /// Remove the requirement
    #[arg(long)]
    remove: bool,

    /// Type and network namespace that requires the others
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,

    /// Required instance, netns_name@NSNAME for any type, or full name of a unit
    #[arg(required = true, value_name = "NSTYPE@NSNAME|UNIT", value_parser = Need::parse)]
    needs: Vec<Need>,
}

impl Require {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let Self {
            instance, needs, ..
        } = self;
        let manager = Manager::running(root)?;
        let does = if self.remove {
            requires::release(root, manager.as_ref(), instance, needs)?;
            "no longer requires"
        } else {
            requires::require(root, manager.as_ref(), instance, needs)?;
            "requires"
        };
        for need in needs {
            log::info(&format!("{instance} {does} {}", need.unit()));
        }
        Ok(0)
    }
}
