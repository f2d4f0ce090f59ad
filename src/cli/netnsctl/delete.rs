use anyhow::{Result, bail};
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::{self, Deleted, NetNs};
use crate::sys::log;

/// Delete a network namespace, as 'ip netns delete' does
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl delete web")]
pub struct Delete {
    /// Delete the name even if processes run in the namespace
    #[arg(long)]
    force: bool,

    /// Name of the network namespace
    #[arg(value_name = "NSNAME", value_parser = NsName::of_any)]
    name: NsName,
}

impl Delete {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let Self { force, name } = self;
        if let Some(namespace) = NetNs::open(root, name)? {
            let processes = namespace::processes(namespace.id)?;
            match (processes.as_slice(), force) {
                ([], _) => {}
                (pids, false) => bail!(
                    "network namespace '{name}' is in use by processes {}: stop them, or use --force",
                    list(pids)
                ),
                (pids, true) => log::warn(&format!(
                    "network namespace '{name}' stays without a name until these processes end: {}",
                    list(pids)
                )),
            }
        }
        match namespace::delete(root, name)? {
            Deleted::Removed => log::info(&format!("deleted network namespace '{name}'")),
            Deleted::Missing => {
                log::info(&format!("network namespace '{name}' does not exist"));
            }
            Deleted::Replaced => log::warn(&format!(
                "not deleting network namespace '{name}': it was replaced by another one"
            )),
        }
        Ok(0)
    }
}

fn list(pids: &[u32]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = pids.iter().take(SHOWN).map(u32::to_string).collect();
    let more = if pids.len() > SHOWN { " …" } else { "" };
    format!("{}{more}", shown.join(" "))
}
