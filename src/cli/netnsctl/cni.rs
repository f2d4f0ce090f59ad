use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use ipnet::IpNet;

use crate::container::Port;
use crate::container::chain::{self, ChainTarget};
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
    command: CniCommand,
}

#[derive(Debug, Subcommand)]
enum CniCommand {
    /// Run ADD, and print the name servers of the result as in resolv.conf(5)
    #[command(
        hide = true,
        override_usage = "netnsctl cni add OPTION... --state FILE NSNAME",
        after_help = "Example: netnsctl cni add --state FILE --conflist FILE --path DIR web"
    )]
    Add {
        #[command(flatten)]
        interface: InterfaceArgs,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Run DEL
    #[command(hide = true, after_help = "Example: netnsctl cni del --state FILE web")]
    Del(InterfaceArgs),
    /// Run CHECK
    #[command(
        hide = true,
        after_help = "Example: netnsctl cni check --state FILE web"
    )]
    Check(InterfaceArgs),
    /// Check that the configuration can be read and that its plugins exist
    #[command(
        hide = true,
        after_help = "Example: netnsctl cni verify --conflist FILE --path DIR"
    )]
    Verify(NetworkArgs),
}

#[derive(Debug, Args)]
struct InterfaceArgs {
    /// File that exists between ADD and DEL
    #[arg(long, value_name = "FILE")]
    state: PathBuf,

    /// Network namespace
    #[arg(value_name = "NSNAME")]
    nsname: NsName,
}

#[derive(Debug, Args)]
struct NetworkArgs {
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

impl Cni {
    pub fn run(&self, root: &Root) -> Result<u8> {
        match &self.command {
            CniCommand::Verify(network) => chain::verify(&network.plugins())?,
            CniCommand::Add { interface, network } => {
                require_root()?;
                let result = chain::add(root, &interface.target(), &network.plugins())?;
                terminal::print(&chain::resolv_conf(&result))?;
            }
            CniCommand::Del(interface) => {
                require_root()?;
                chain::delete(root, &interface.target())?;
            }
            CniCommand::Check(interface) => {
                require_root()?;
                chain::check(root, &interface.target())?;
            }
        }
        Ok(0)
    }
}

impl InterfaceArgs {
    fn target(&self) -> ChainTarget {
        ChainTarget {
            nsname: self.nsname.clone(),
            state: self.state.clone(),
        }
    }
}

impl NetworkArgs {
    fn plugins(&self) -> chain::PluginNetwork {
        chain::PluginNetwork {
            configuration: self.conflist.clone(),
            path: self.path.clone(),
            ifname: self.ifname.clone(),
            runtime: chain::runtime(&self.publish, &self.address, self.mac.as_deref()),
        }
    }
}
