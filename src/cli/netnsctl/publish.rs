use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::service::publish::{self, Port, Publication, Target};
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Have a TCP port of the host lead to a service in a network namespace
///
/// systemd listens on it while the namespace is up, and systemd-socket-proxyd passes the
/// connections on. They seem to come from the namespace itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl publish web 8080:80
         netnsctl publish veth@web 127.0.0.1:8080:80 --to 10.0.0.2
         netnsctl publish db 5432:5432 --from web")]
pub struct Publish {
    /// Listen in this network namespace, not on the host
    #[arg(long, value_name = "NSNAME")]
    from: Option<Target>,

    /// The address inside that the service listens on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    to: IpAddr,

    /// The network namespace, or NSTYPE@NSNAME to say which type it has to have
    #[arg(value_name = "NSNAME")]
    target: Target,

    /// The port outside and the one inside
    #[arg(value_name = "[ADDRESS:]PORT:PORT")]
    port: Port,
}

impl Publish {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let manager = Manager::running(root)?;
        let Self {
            from,
            to,
            target,
            port,
        } = self;
        let listens = publish::publish(root, manager.as_ref(), target, port, from.as_ref(), *to)?;
        let publication = Publication {
            name: target.nsname(),
            outside: port.outside,
            from: from.as_ref().map(Target::nsname),
        };
        let when = if listens { "" } else { " when that is up next" };
        log::info(&format!(
            "{publication} leads to the network namespace '{}'{when}",
            publication.name
        ));
        Ok(0)
    }
}
