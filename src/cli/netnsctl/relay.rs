use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use anyhow::Result;
use clap::Args;

use crate::service::publish::relay;

/// Relay the datagrams of the socket on standard input to an address
///
/// The units of 'netnsctl publish' run this in the namespace.
#[derive(Debug, Args)]
#[command(hide = true, after_help = "Example: netnsctl relay 127.0.0.1:53")]
pub struct Relay {
    /// Address that the service listens on
    #[arg(value_name = "ADDRESS:PORT")]
    to: SocketAddr,
}

impl Relay {
    pub fn run(&self) -> Result<u8> {
        relay::run(io::stdin().as_fd(), self.to)?;
        Ok(0)
    }
}
