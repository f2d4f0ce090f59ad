//! Inspects and manages network namespaces, and does what its other names say (see [`cli::run_as`]).

use std::path::Path;
use std::process::ExitCode;

use systemd_netns::cli;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    cli::run_as(name)
}
