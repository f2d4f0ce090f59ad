use anyhow::Result;
use clap::Args;

use super::Numbers;
use crate::instance::paths::Root;
use crate::pods::set::{self, Selection};
use crate::pods::settings::Settings;

/// Connect pods that exist to a bridge that exists
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods connect br1 4")]
pub struct Connect {
    /// Bridge of the node
    bridge: String,

    #[command(flatten)]
    numbers: Numbers,

    /// Let the bridge send packets back to the port that they came from
    #[arg(long)]
    hairpin: bool,
}

impl Connect {
    pub fn run(&self, root: &Root, settings: &Settings) -> Result<u8> {
        let Numbers { count, first } = self.numbers;
        let wanted = Selection::of(settings, count, first)?;
        set::connect(root, &wanted, &self.bridge, self.hairpin)
    }
}
