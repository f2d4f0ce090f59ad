use anyhow::{Context, Result};
use clap::Args;
use ipnet::IpNet;

use super::family;
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::pods::record::PodRecord;
use crate::pods::settings::Settings;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::terminal;

/// Print the addresses of pods and nodes
///
/// Without NSNAME, prints the addresses of all pods of a node. The configuration
/// of another type can use it: IPVLAN_IFADDR=$(netnsctl pods address "$NSNAME")
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl pods address vm-002-ns03
         172.16.2.3/24
         1000::1:ac10:203/120")]
pub struct PodsAddress {
    /// Names of pods, of any node
    #[arg(value_name = "NSNAME")]
    names: Vec<NsName>,

    /// Number of the node [default: this node]
    #[arg(long, value_name = "N", conflicts_with = "names")]
    of: Option<u32>,

    /// Print the address of the node itself, on its bridge
    #[arg(long, conflicts_with = "names")]
    gateway: bool,

    /// Print only addresses of this family
    #[arg(long, value_name = "4|6", value_parser = family)]
    family: Option<u8>,
}

impl PodsAddress {
    pub fn run(&self, root: &Root, settings: impl Fn() -> Result<Settings>) -> Result<u8> {
        let mut found = Vec::new();
        for name in &self.names {
            // The settings may have changed since the pod was created.
            match recorded(root, name) {
                Some(recorded) => found.extend(recorded),
                None => {
                    let (node, pod) = numbers(name).or_exit(Exit::Usage)?;
                    let addresses = settings()?.addresses.of_pod(node, pod);
                    found.extend(addresses.or_exit(Exit::Usage)?);
                }
            }
        }
        if self.names.is_empty() {
            found = self.of_node(&settings()?).or_exit(Exit::Usage)?;
        }
        found.retain(|net| {
            self.family
                .is_none_or(|family| (family == 4) == net.addr().is_ipv4())
        });
        let lines = found.iter().map(|net| format!("{net}\n"));
        terminal::print(&lines.collect::<String>())?;
        Ok(0)
    }

    /// The addresses of a node, or of all its pods.
    fn of_node(&self, settings: &Settings) -> Result<Vec<IpNet>> {
        let node = self.of.unwrap_or(settings.node);
        let addresses = &settings.addresses;
        if self.gateway {
            return Ok(addresses.of_node(node)?.to_vec());
        }
        let mut found = Vec::new();
        for pod in settings.numbers(None, 1)? {
            found.extend(addresses.of_pod(node, pod)?);
        }
        Ok(found)
    }
}

/// The addresses of a pod that exists.
fn recorded(root: &Root, name: &NsName) -> Option<Vec<IpNet>> {
    let record = PodRecord::read(root, name).ok()??;
    Some(record.addresses()).filter(|addresses| !addresses.is_empty())
}

/// The numbers of the node and of the pod in a name such as `vm-002-ns03`.
fn numbers(name: &NsName) -> Result<(u32, u32)> {
    let split = name.as_str().rsplit_once("-ns");
    let numbers = split.and_then(|(host, pod)| {
        let node = host.rsplit('-').next()?;
        Some((node.parse().ok()?, pod.parse().ok()?))
    });
    numbers.with_context(|| {
        format!("'{name}' does not end with the numbers of a node and a pod, as vm-002-ns03 does")
    })
}
