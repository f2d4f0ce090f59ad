use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use clap::Args;

use crate::cli::output::published_port;
use crate::instance::paths::Root;
use crate::service::publish::{self, Port, Publication, Target};
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Forward a TCP port of the host to a service in a network namespace
///
/// systemd listens on the port while the namespace is up, and systemd-socket-proxyd(8) forwards the
/// connections. The service sees them come from inside its namespace.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl publish web 8080:80
         netnsctl publish veth@web 127.0.0.1:8080:80 --to 10.0.0.2
         netnsctl publish db 5432:5432 --from web")]
pub struct Publish {
    /// Listen in this network namespace instead of on the host
    #[arg(long, value_name = "[NSTYPE@]NSNAME")]
    from: Option<Target>,

    /// Address inside the namespace that the service listens on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    to: IpAddr,

    /// Network namespace, with a type that is required to be up, if one is given
    #[arg(value_name = "[NSTYPE@]NSNAME")]
    target: Target,

    /// Port to listen on, and the port of the service
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
        let published = published_port(&publication);
        let when = match listens {
            true => "",
            false => ", from its next start on",
        };
        log::info(&format!("published {published}{when}"));
        Ok(0)
    }
}
