use anyhow::{Result, bail};
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::{self, Deleted, NetNs};
use crate::sys::log;

/// Delete a network namespace, as `ip netns delete` does
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl delete web")]
pub struct Delete {
    /// Delete the name even while processes run in the namespace
    #[arg(long)]
    force: bool,

    /// Name of the network namespace
    #[arg(value_parser = NsName::of_any)]
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
                    "processes run in the network namespace '{name}': {}: end them, or use --force",
                    list(pids)
                ),
                (pids, true) => log::warn(&format!(
                    "the network namespace '{name}' lives on without a name in processes {}",
                    list(pids)
                )),
            }
        }
        match namespace::delete(root, name)? {
            Deleted::Removed => log::info(&format!("network namespace '{name}' deleted")),
            Deleted::Missing => {
                log::info(&format!("the network namespace '{name}' was gone already"));
            }
            Deleted::Replaced => log::warn(&format!(
                "the network namespace '{name}' has been replaced by another, which is left alone"
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
