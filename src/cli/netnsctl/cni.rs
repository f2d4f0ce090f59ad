use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use ipnet::IpNet;

use crate::container::Port;
use crate::container::chain::{self, Runtime, Target};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::terminal;
use crate::sys::user::require_root;

/// Run the CNI plugins of a network
///
/// For NSTYPE cni.
#[derive(Debug, Args)]
#[command(hide = true)]
#[command(after_help = "Example: netnsctl cni check --state FILE web")]
pub struct Cni {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(override_usage = "netnsctl cni add OPTION... --state FILE NSNAME")]
    #[command(
        hide = true,
        after_help = "Example: netnsctl cni add --state FILE --conflist FILE --path DIR web"
    )]
    /// Run ADD, and print the name servers of the result as in resolv.conf(5)
    Add {
        #[command(flatten)]
        interface: Interface,
        #[command(flatten)]
        network: Network,
    },
    #[command(hide = true, after_help = "Example: netnsctl cni del --state FILE web")]
    /// Run DEL
    Del {
        #[command(flatten)]
        interface: Interface,
    },
    #[command(
        hide = true,
        after_help = "Example: netnsctl cni check --state FILE web"
    )]
    /// Run CHECK
    Check {
        #[command(flatten)]
        interface: Interface,
    },
    #[command(
        hide = true,
        after_help = "Example: netnsctl cni verify --conflist FILE --path DIR"
    )]
    /// Check that the configuration can be read and that its plugins exist
    Verify {
        #[command(flatten)]
        network: Network,
    },
}

#[derive(Debug, Args)]
struct Interface {
    /// File that exists between ADD and DEL
    #[arg(long, value_name = "FILE")]
    state: PathBuf,

    /// Network namespace
    #[arg(value_name = "NSNAME")]
    nsname: NsName,
}

#[derive(Debug, Args)]
struct Network {
    /// Configuration of the network
    #[arg(long, value_name = "FILE")]
    conflist: PathBuf,

    /// Directories of plugins, separated by colons
    #[arg(long, value_name = "DIRECTORIES")]
    path: String,

    /// Name of the interface
    #[arg(long, value_name = "IFNAME", default_value = "eth0")]
    ifname: String,

    /// Port of the host to publish
    #[arg(long, value_name = "PORT")]
    publish: Vec<Port>,

    /// Address to request
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    address: Vec<IpNet>,

    /// MAC address to request
    #[arg(long, value_name = "MAC")]
    mac: Option<String>,
}

impl Network {
    fn runtime(&self) -> Runtime {
        chain::runtime(&self.publish, &self.address, self.mac.as_deref())
    }
}

impl Interface {
    fn target(&self, network: Option<&Network>) -> Target {
        let of = |value: fn(&Network) -> &String| network.map(value).cloned().unwrap_or_default();
        Target {
            nsname: self.nsname.clone(),
            ifname: of(|network| &network.ifname),
            path: of(|network| &network.path),
            state: self.state.clone(),
        }
    }
}

impl Cni {
    pub fn run(&self, root: &Root) -> Result<u8> {
        match &self.command {
            Command::Verify { network } => {
                chain::verify(&network.conflist, &network.runtime(), &network.path)?;
            }
            Command::Add { interface, network } => {
                require_root()?;
                let target = interface.target(Some(network));
                let result = chain::add(root, &target, &network.conflist, &network.runtime())?;
                terminal::print(&chain::resolv_conf(&result))?;
            }
            Command::Del { interface } => {
                require_root()?;
                chain::delete(root, &interface.target(None))?;
            }
            Command::Check { interface } => {
                require_root()?;
                chain::check(root, &interface.target(None))?;
            }
        }
        Ok(0)
    }
}
