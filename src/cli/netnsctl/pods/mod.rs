use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::instance::paths::Root;
use crate::pods::settings::{Options, Settings};

mod address;
mod connect;
mod create;
mod delete;
mod exec;
mod list;
mod name;
mod ping;
mod route;

/// Create and manage many network namespaces at once
///
/// A pod is a network namespace with a host name and addresses of its own,
/// an instance of NSTYPE pod. A node is a machine; its number follows the last
/// hyphen of its host name. The pods of the node vm-002 are named vm-002-ns01,
/// vm-002-ns02, and so on.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Each setting is taken from the option, else from the environment variable in
brackets, else from the settings file, where the same names are used. In both,
the name may be prefixed with xcluster_.

Example: netnsctl pods create 10 --bridge"
)]
pub struct Pods {
    #[command(subcommand)]
    verb: PodsVerb,

    #[command(flatten)]
    options: Common,
}

#[derive(Debug, Subcommand)]
enum PodsVerb {
    Address(address::PodsAddress),
    Connect(connect::PodsConnect),
    Create(create::PodsCreate),
    Delete(delete::PodsDelete),
    Exec(exec::PodsExec),
    List(list::PodsList),
    Name(name::PodsName),
    Ping(ping::PodsPing),
    Route(route::PodsRoute),
}

// The settings of all verbs. (A doc comment would become the verb's help.)
#[derive(Debug, Args)]
struct Common {
    /// Number of this node [default: from the host name]
    #[arg(long, value_name = "N", global = true, help_heading = "Settings")]
    node: Option<u32>,

    /// Number of nodes [__nvm]
    #[arg(long, value_name = "N", global = true, help_heading = "Settings")]
    nodes: Option<u32>,

    /// Pods on each node [NPODS, default: 4]
    #[arg(long, value_name = "N", global = true, help_heading = "Settings")]
    pods: Option<u32>,

    /// Network address, its prefix length and that of the subnet of each node
    /// [ADRTEMPLATE, default: 172.16.0.0/16/24]
    #[arg(long, value_name = "ADDRESS/LENGTH/LENGTH")]
    #[arg(global = true, help_heading = "Settings")]
    template: Option<String>,

    /// Prefix of IPv6 addresses, which end with the IPv4 address
    /// [PREFIX, default: 1000::1]
    #[arg(long, global = true, help_heading = "Settings")]
    prefix: Option<String>,

    /// Use random addresses, in the order of /etc/rnd-addresses [RNDADR=yes]
    #[arg(long, global = true, help_heading = "Settings")]
    random: bool,

    /// Use random addresses, in the order given by SEED
    #[arg(long, global = true, help_heading = "Settings")]
    seed: Option<u64>,

    /// Name of the interface in a pod; 'hostname' for the name of the pod
    /// [PODIF, default: eth0]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Settings")]
    interface: Option<String>,

    /// Prefix of the names of pods [NAME_PREFIX]
    #[arg(long, value_name = "PREFIX", global = true, help_heading = "Settings")]
    name_prefix: Option<String>,

    /// Settings file, with lines NAME=VALUE [default: /etc/conf.d/netns/pods]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    settings: Option<PathBuf>,
}

impl Common {
    fn read(&self, root: &Root) -> Result<Settings> {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let options = [
            ("NODE", number(self.node)),
            ("__nvm", number(self.nodes)),
            ("NPODS", number(self.pods)),
            ("ADRTEMPLATE", self.template.clone()),
            ("PREFIX", self.prefix.clone()),
            ("RNDADR", self.random.then(|| "yes".to_owned())),
            ("SEED", self.seed.map(|seed| seed.to_string())),
            ("PODIF", self.interface.clone()),
            ("NAME_PREFIX", self.name_prefix.clone()),
        ];
        let set = |(name, value): (&'static str, Option<String>)| Some((name, value?));
        let options: Options = options.into_iter().filter_map(set).collect();
        Settings::read(root, options, self.settings.as_deref())
    }
}

// The arguments that select pods. (A doc comment would become the verb's help.)
#[derive(Debug, Args)]
struct PodNumbers {
    /// Number of pods
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,

    /// Number of the first pod
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(allow_negative_numbers = true)]
    first: u32,
}

/// An address family, by its number.
fn family(word: &str) -> Result<u8> {
    match word {
        "4" => Ok(4),
        "6" => Ok(6),
        _ => bail!("must be 4 or 6"),
    }
}

impl Pods {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let settings = || self.options.read(root);
        match &self.verb {
            PodsVerb::Address(verb) => verb.run(root, settings),
            PodsVerb::Connect(verb) => verb.run(root, &settings()?),
            PodsVerb::Create(verb) => verb.run(root, &settings()?),
            PodsVerb::Delete(verb) => verb.run(root, settings),
            PodsVerb::Exec(verb) => verb.run(root),
            PodsVerb::List(verb) => verb.run(root),
            PodsVerb::Name(verb) => verb.run(&settings()?),
            PodsVerb::Ping(verb) => verb.run(root, &settings()?),
            PodsVerb::Route(verb) => verb.run(settings),
        }
    }
}
