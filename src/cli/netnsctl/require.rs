use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::update::requires::{self, Need};

/// Make an instance require other units
///
/// The required units are started before the instance. When one of them stops or restarts, so does the
/// instance. NETNS_REQUIRES in a configuration file does the same, after netnsupdate has been run.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl require veth@browser macvlan@store netns_name@db
         netnsctl require veth@browser netns_name@db --remove")]
pub struct Require {
    /// Remove the requirement
    #[arg(long)]
    remove: bool,

    /// Instance that requires the others
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,

    /// NSTYPE@NSNAME, netns_name@NSNAME, or the full name of another unit
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
