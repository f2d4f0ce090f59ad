use anyhow::Result;
use clap::Args;

use super::PodNumbers;
use crate::pods::settings::Settings;
use crate::sys::terminal;

/// Print the names of pods, whether they exist or not
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods name 2 5")]
pub struct PodsName {
    #[command(flatten)]
    numbers: PodNumbers,
}

impl PodsName {
    pub fn run(&self, settings: &Settings) -> Result<u8> {
        let PodNumbers { count, first } = self.numbers;
        for number in settings.numbers(count, first)? {
            terminal::print(&format!("{}\n", settings.name(number)?))?;
        }
        Ok(0)
    }
}
