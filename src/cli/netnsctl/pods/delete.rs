use anyhow::Result;
use clap::Args;

use super::PodNumbers;
use crate::instance::paths::Root;
use crate::pods::set::{self, Selection};
use crate::pods::settings::Settings;

/// Delete pods, all of this node by default
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods delete")]
pub struct PodsDelete {
    #[command(flatten)]
    numbers: PodNumbers,

    /// Delete N pods at a time [default: 4 for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

impl PodsDelete {
    pub fn run(&self, root: &Root, settings: impl Fn() -> Result<Settings>) -> Result<u8> {
        let PodNumbers { count, first } = self.numbers;
        let wanted = match count {
            // The settings are needed only for names.
            None => Selection::All,
            count => Selection::of(&settings()?, count, first)?,
        };
        set::delete(root, &wanted, self.jobs.map(usize::from))
    }
}
