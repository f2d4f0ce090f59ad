//! The verbs of netnsctl that drive namespaces, where no systemd runs.

use std::process::ExitCode;

#[path = "support/transcript.rs"]
mod transcript;

fn main() -> ExitCode {
    transcript::main("tests/verbs")
}
