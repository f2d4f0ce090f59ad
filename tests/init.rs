//! netnsinit, on configurations as people have written them.

use std::process::ExitCode;

#[path = "support/transcript.rs"]
mod transcript;

fn main() -> ExitCode {
    transcript::main("tests/configs")
}
