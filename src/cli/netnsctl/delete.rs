use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::{lifecycle, namespace};

/// Delete a network namespace, as 'ip netns delete' does
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl delete web")]
pub struct Delete {
    /// Delete the name even if processes run in the namespace
    #[arg(long)]
    force: bool,

    /// Called by the unit of the namespace
    #[arg(long, hide = true)]
    unit: bool,

    /// Name of the network namespace
    #[arg(value_name = "NSNAME", value_parser = NsName::of_any)]
    name: NsName,
}

impl Delete {
    /// Parses the command line in the unit file; `None` for any other.
    pub fn of_unit(words: &[OsString]) -> Option<Self> {
        let [verb, unit, force, name] = words else {
            return None;
        };
        let name = name.to_str().filter(|name| !name.starts_with('-'))?;
        (verb == "delete" && unit == "--unit" && force == "--force").then_some(Self {
            force: true,
            unit: true,
            name: NsName::of_any(name).ok()?,
        })
    }

    pub fn run(&self, root: &Root) -> Result<u8> {
        if self.unit {
            lifecycle::clean_up_units(root, &self.name)?;
        }
        namespace::delete(root, &self.name, self.force).map(|()| 0)
    }
}
