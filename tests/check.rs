//! `netnsctl check`, on configurations that are wrong in one way each.

use std::process::ExitCode;

#[path = "support/transcript.rs"]
mod transcript;

fn main() -> ExitCode {
    transcript::main("tests/check")
}
