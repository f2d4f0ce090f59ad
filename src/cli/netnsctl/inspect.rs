use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::phase::script;

/// Tell what the files of an instance define, for 'netnsctl check'
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "Example: netnsctl inspect no 1 FILE veth web"
)]
pub struct Inspect {
    /// See src/script/inspect.bash
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Inspect {
    pub fn run(&self, _: &Root) -> Result<u8> {
        script::run_in_quarantine(&self.words)
    }
}
