use anyhow::Result;
use clap::Args;

use crate::pods::routes::{self, Between};
use crate::pods::settings::Settings;

/// Add routes to the pods of the other nodes
///
/// Adds an IPv4 and an IPv6 route to the subnets of each other node, via
/// 192.168.NET.NODE and PREFIX:192.168.NET.NODE, which must be addresses of
/// the nodes. The node must forward packets, as with
/// 'netnsctl pods create --gateway'.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods route --nodes 2")]
pub struct PodsRoute {
    /// Number of the network between the nodes
    #[arg(long, value_name = "NET", default_value_t = 1)]
    net: u8,

    /// Send packets through IPv6 tunnels between the nodes, for networks that
    /// do not route the addresses of pods
    #[arg(long)]
    overlay: bool,

    /// Remove the routes and tunnels that this command added
    #[arg(long, conflicts_with_all = ["overlay", "net"])]
    delete: bool,
}

impl PodsRoute {
    pub fn run(&self, settings: impl Fn() -> Result<Settings>) -> Result<u8> {
        match self.delete {
            true => routes::delete(),
            false => routes::add(&settings()?, Between { net: self.net }, self.overlay),
        }
    }
}
