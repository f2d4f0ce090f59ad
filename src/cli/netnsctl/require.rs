use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::update::requires::{self, Need};

/// Have a network namespace set up only after another, and with it
///
/// When the other stops or restarts, so does the first. The same as NETNS_REQUIRES in a file of
/// the instance, which netnsupdate puts in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl require veth@browser macvlan@store netns_name@db
         netnsctl require veth@browser netns_name@db --remove")]
pub struct Require {
    /// Do not require it any more
    #[arg(long)]
    remove: bool,

    /// What requires
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,

    /// What is required: NSTYPE@NSNAME, netns_name@NSNAME, or any unit in full
    #[arg(required = true, value_name = "REQUIRED", value_parser = Need::parse)]
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
            "requires no more"
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
