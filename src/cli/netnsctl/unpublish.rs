use anyhow::Result;
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::service::publish::{self, Ports};
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Stop publishing a port
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl unpublish web 8080
         netnsctl unpublish dns 5353/udp")]
pub struct Unpublish {
    /// Network namespace that the port is published in, if not the host
    #[arg(long, value_name = "NSNAME")]
    from: Option<NsName>,

    /// Name of the network namespace that the port is forwarded to
    #[arg(value_name = "NSNAME")]
    name: NsName,

    /// Port outside, or a range
    #[arg(value_name = "PORT[/udp]")]
    ports: Ports,
}

impl Unpublish {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let manager = Manager::running(root)?;
        let Self { from, name, ports } = self;
        publish::unpublish(root, manager.as_ref(), name, ports, from.as_ref())?;
        log::info(&format!("unpublished port {ports} of '{name}'"));
        Ok(0)
    }
}
