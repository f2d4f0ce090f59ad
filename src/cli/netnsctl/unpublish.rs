use anyhow::Result;
use clap::Args;

use crate::cli::output::published_port;
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::service::publish::{self, Publication};
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Stop publishing a port
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl unpublish web 8080")]
pub struct Unpublish {
    /// Network namespace that the port is published in, if not the host's
    #[arg(long, value_name = "NSNAME")]
    from: Option<NsName>,

    /// Network namespace of the service
    #[arg(value_name = "NSNAME")]
    name: NsName,

    /// Published port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

impl Unpublish {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let manager = Manager::running(root)?;
        let publication = Publication {
            name: &self.name,
            outside: self.port,
            from: self.from.as_ref(),
        };
        publish::unpublish(root, manager.as_ref(), &publication)?;
        log::info(&format!("unpublished {}", published_port(&publication)));
        Ok(0)
    }
}
