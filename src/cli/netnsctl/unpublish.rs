use anyhow::Result;
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::service::publish::{self, Publication};
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Take back what 'netnsctl publish' did for a port
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl unpublish web 8080")]
pub struct Unpublish {
    /// The network namespace that is listened in, if not the host's
    #[arg(long, value_name = "NSNAME")]
    from: Option<NsName>,

    /// The network namespace that the port leads to
    #[arg(value_name = "NSNAME")]
    name: NsName,

    /// The port outside
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
        log::info(&format!(
            "{publication} leads to the network namespace '{}' no more",
            self.name
        ));
        Ok(0)
    }
}
