use anyhow::Result;
use clap::Args;

use crate::cli::output::warn_unseen;
use crate::instance::paths::Root;
use crate::lifecycle::gc;
use crate::sys::exit::Exit;
use crate::sys::log;
use crate::sys::terminal;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Remove leftovers of instances that are not up
///
/// Links, nftables tables, changed sysctls, records and namespaces without a
/// name: only what systemd-netns has created, and nothing of an instance that
/// is up, that is just starting, or that cannot be known to be down.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl gc --dry-run")]
pub struct Gc {
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        gc::require_host(root)?;
        let manager = Manager::running(root)?;
        let (leftovers, not_seen) = gc::find(root, manager.as_ref())?;
        warn_unseen(&not_seen);
        let mut status = if not_seen.is_empty() {
            0
        } else {
            Exit::Failure as u8
        };
        if leftovers.is_empty() && not_seen.is_empty() {
            log::info("no leftovers found");
        }
        for leftover in &leftovers {
            let said = terminal::clean(&leftover.to_string());
            if self.dry_run {
                terminal::print(&format!("would remove {said}\n"))?;
                continue;
            }
            match leftover.remove(root, manager.as_ref()) {
                Ok(true) => terminal::print(&format!("removed {said}\n"))?,
                Ok(false) => {}
                Err(error) => {
                    log::error(&format!("{said}: {error:#}"));
                    status = Exit::Failure as u8;
                }
            }
        }
        Ok(status)
    }
}
