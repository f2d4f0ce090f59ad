use anyhow::Result;
use clap::Args;

use super::PodNumbers;
use crate::instance::name::NsType;
use crate::instance::paths::Root;
use crate::pods::set::{self, CreateRequest};
use crate::pods::settings::Settings;

/// Create pods, all or none
///
/// Each pod has a host name, a veth pair whose outer end has the name of the
/// pod, and an IPv4 and an IPv6 address. If one fails, those that were created
/// are deleted again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl pods create 10 --bridge --gateway
         netnsctl pods create 4 --bridge=br1 --uplink eth1 --random
         netnsctl pods create 4 --type ipvlan")]
pub struct PodsCreate {
    #[command(flatten)]
    numbers: PodNumbers,

    /// Connect the pods to a bridge [BR, default: br0], which is created if it
    /// does not exist, and deleted with its last pod
    #[arg(long, value_name = "BRIDGE", num_args = 0..=1, require_equals = true)]
    bridge: Option<Option<String>>,

    /// Add an interface of the node to the bridge
    #[arg(long, value_name = "INTERFACE", requires = "bridge")]
    uplink: Option<String>,

    /// Assign the node's addresses to the bridge, use it as the default gateway
    /// of the pods, and enable forwarding on the node
    #[arg(long, requires = "bridge")]
    gateway: bool,

    /// Allow the bridge to send packets back to the port that they came from
    #[arg(long, requires = "bridge")]
    hairpin: bool,

    /// Create only a namespace and its host name, no veth pair
    #[arg(long, conflicts_with = "bridge")]
    bare: bool,

    /// Bring up an instance of this type in each pod instead of a veth pair;
    /// with --bridge, in addition (can be repeated)
    #[arg(long = "type", value_name = "NSTYPE")]
    types: Vec<NsType>,

    /// Keep the pods that were created if others fail
    #[arg(long)]
    keep_going: bool,

    /// Create N pods at a time [default: 4 for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

impl PodsCreate {
    pub fn run(&self, root: &Root, settings: &Settings) -> Result<u8> {
        let PodNumbers { count, first } = self.numbers;
        let numbers = settings.numbers(count, first)?;
        let bridge = self.bridge.as_ref().map(|bridge| {
            let bridge = bridge.as_ref().unwrap_or(&settings.bridge);
            bridge.clone()
        });
        let request = CreateRequest {
            bare: self.bare || bridge.is_none() && !self.types.is_empty(),
            types: self.types.clone(),
            bridge,
            uplink: self.uplink.clone(),
            gateway: self.gateway,
            hairpin: self.hairpin,
            keep_going: self.keep_going,
            jobs: self.jobs.map(usize::from),
        };
        set::create(root, settings, numbers, &request)
    }
}
