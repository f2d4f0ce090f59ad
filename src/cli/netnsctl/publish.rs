use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::service::publish::{self, Mapping, Target};
use crate::sys::log;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

/// Publish a port of a network namespace on the host
///
/// While the namespace is up, systemd listens on the first PORT and relays connections (or datagrams)
/// to the second PORT inside. To the service, all clients have an address of the namespace itself. The
/// namespace needs no address that the host can reach. A range, 8000-8010:8000-8010, publishes each
/// port.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl publish web 8080:80
         netnsctl publish dns 127.0.0.1:5353:53/udp
         netnsctl publish veth@web [::]:8000-8010:8000-8010 --to 10.0.0.2
         netnsctl publish db 5432:5432 --from web")]
pub struct Publish {
    /// Listen in this network namespace instead of the host
    #[arg(long, value_name = "[NSTYPE@]NSNAME")]
    from: Option<Target>,

    /// Address inside that the service listens on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    to: IpAddr,

    /// Name of the network namespace, or NSTYPE@NSNAME to require a type
    #[arg(value_name = "[NSTYPE@]NSNAME")]
    target: Target,

    /// Address and port outside, and port inside
    #[arg(value_name = "[ADDRESS:]PORT:PORT[/udp]")]
    mapping: Mapping,
}

impl Publish {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let manager = Manager::running(root)?;
        let Self {
            from,
            to,
            target,
            mapping,
        } = self;
        let from = from.as_ref();
        let listens = publish::publish(root, manager.as_ref(), target, mapping, from, *to)?;
        let when = if listens {
            ""
        } else {
            " (not listening until the namespace is up)"
        };
        log::info(&format!(
            "published port {} to '{}'{when}",
            mapping.outside,
            target.nsname()
        ));
        Ok(0)
    }
}
