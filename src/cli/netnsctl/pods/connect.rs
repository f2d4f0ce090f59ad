use anyhow::Result;
use clap::Args;

use super::PodNumbers;
use crate::instance::paths::Root;
use crate::pods::set::{self, Selection};
use crate::pods::settings::Settings;

/// Connect existing pods to an existing bridge
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods connect br1 4")]
pub struct PodsConnect {
    /// Name of the bridge
    bridge: String,

    #[command(flatten)]
    numbers: PodNumbers,

    /// Allow the bridge to send packets back to the port that they came from
    #[arg(long)]
    hairpin: bool,
}

impl PodsConnect {
    pub fn run(&self, root: &Root, settings: &Settings) -> Result<u8> {
        let PodNumbers { count, first } = self.numbers;
        let wanted = Selection::of(settings, count, first)?;
        set::connect(root, &wanted, &self.bridge, self.hairpin)
    }
}
