use anyhow::Result;
use clap::Args;

use super::Numbers;
use crate::pods::settings::Settings;
use crate::sys::terminal;

/// Print the names of pods, whether they exist or not
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl pods name 2 5")]
pub struct Name {
    #[command(flatten)]
    numbers: Numbers,
}

impl Name {
    pub fn run(&self, settings: &Settings) -> Result<u8> {
        let Numbers { count, first } = self.numbers;
        for number in settings.numbers(count, first)? {
            terminal::print(&format!("{}\n", settings.name(number)?))?;
        }
        Ok(0)
    }
}
