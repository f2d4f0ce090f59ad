use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::{lifecycle, namespace};

/// Create a network namespace, as 'ip netns add' does
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl create web")]
pub struct Create {
    /// Called by the unit of the namespace
    #[arg(long, hide = true)]
    unit: bool,

    /// Name of the network namespace
    #[arg(value_name = "NSNAME")]
    name: NsName,
}

impl Create {
    /// Parses the command line in the unit file; `None` for any other.
    pub fn of_unit(words: &[OsString]) -> Option<Self> {
        let [verb, unit, name] = words else {
            return None;
        };
        let name = name.to_str().filter(|name| !name.starts_with('-'))?;
        (verb == "create" && unit == "--unit").then_some(Self {
            unit: true,
            name: name.parse().ok()?,
        })
    }

    pub fn run(&self, root: &Root) -> Result<u8> {
        if self.unit {
            lifecycle::clean_up_units(root, &self.name)?;
            namespace::delete_interrupted(root, &self.name)?;
        }
        namespace::create(root, &self.name, namespace::under_systemd()).map(|()| 0)
    }
}
