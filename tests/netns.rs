//! `netnsctl create` and `delete`, on real namespaces.

use std::process::ExitCode;

#[path = "support/transcript.rs"]
mod transcript;

fn main() -> ExitCode {
    transcript::main("tests/namespaces")
}
