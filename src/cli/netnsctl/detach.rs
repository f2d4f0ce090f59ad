use anyhow::Result;
use clap::Args;

use crate::cli::output::restart;
use crate::instance::paths::Root;
use crate::service::attach;
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::systemd::service::ServiceName;

/// Stop running a service in a network namespace
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl detach nginx --now")]
pub struct Detach {
    /// Restart the service now
    #[arg(long)]
    now: bool,

    /// Service unit
    service: ServiceName,
}

impl Detach {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let manager = Manager::running(root)?;
        let service = attach::detach(root, manager.as_ref(), &self.service)?;
        log::info(&format!("detached {service}"));
        restart(manager.as_ref(), &service, self.now)
    }
}
