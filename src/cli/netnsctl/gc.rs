use anyhow::Result;
use clap::Args;

use crate::cli::output::warn_unreadable;
use crate::container::abandoned;
use crate::instance::paths::Root;
use crate::lifecycle::gc;
use crate::sys::exit::Exit;
use crate::sys::log;
use crate::sys::terminal;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Remove leftovers of instances that are not up
///
/// Leftovers are links, nftables tables, changed sysctls, records, and
/// namespaces without a name. Only those that systemd-netns created are
/// removed, and only if their instance is known to be down. The networks of
/// containers that no longer exist are taken down, too.
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
        let (leftovers, unreadable) = gc::find(root, manager.as_ref())?;
        warn_unreadable(&unreadable);
        let mut status = if unreadable.is_empty() {
            0
        } else {
            Exit::Failure as u8
        };
        let abandoned = abandoned::find(root)?;
        if leftovers.is_empty() && abandoned.is_empty() && unreadable.is_empty() {
            log::info("no leftovers found");
        }
        let mut remove = |what: String, remove: &dyn Fn() -> Result<bool>| -> Result<()> {
            let said = terminal::clean(&what);
            if self.dry_run {
                return terminal::print(&format!("would remove {said}\n"));
            }
            match remove() {
                Ok(true) => terminal::print(&format!("removed {said}\n"))?,
                Ok(false) => {}
                Err(error) => {
                    log::error(&format!("{said}: {error:#}"));
                    status = Exit::Failure as u8;
                }
            }
            Ok(())
        };
        for interface in &abandoned {
            remove(interface.to_string(), &|| interface.remove(root))?;
        }
        for leftover in &leftovers {
            let manager = manager.as_ref();
            remove(leftover.to_string(), &|| leftover.remove(root, manager))?;
        }
        Ok(status)
    }
}
