use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::phase::script;

/// Report what the files of an instance define, for 'netnsctl check'
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "Example: netnsctl inspect 0 no 1 FILE veth web"
)]
pub struct Inspect {
    /// See src/phase/script/inspect.rs
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Inspect {
    pub fn run(&self, _: &Root) -> Result<u8> {
        script::run_in_sandbox(&self.words)
    }
}
