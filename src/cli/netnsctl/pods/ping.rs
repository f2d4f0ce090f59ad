use anyhow::Result;
use clap::Args;

use super::{PodNumbers, family};
use crate::instance::paths::Root;
use crate::pods::ping::{self, PingRequest};
use crate::pods::settings::Settings;

/// Ping the pods of all nodes
///
/// Pings both addresses of each pod, from this node or from its pods, and
/// prints the addresses that did not answer.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods ping --between --nodes 2")]
pub struct PodsPing {
    #[command(flatten)]
    numbers: PodNumbers,

    /// Ping from each pod of this node instead of the node itself
    #[arg(long)]
    between: bool,

    /// Ping only the pods of this node
    #[arg(long)]
    local: bool,

    /// Ping only addresses of this family
    #[arg(long, value_name = "4|6", value_parser = family)]
    family: Option<u8>,

    /// Wait this long for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,

    /// Send N pings at a time [default: 4 for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

impl PodsPing {
    pub fn run(&self, root: &Root, settings: &Settings) -> Result<u8> {
        let PodNumbers { count, first } = self.numbers;
        let request = PingRequest {
            timeout: self.timeout,
            between: self.between,
            local: self.local,
            family: self.family,
            jobs: self.jobs.map(usize::from),
        };
        ping::run(root, settings, settings.numbers(count, first)?, &request)
    }
}
