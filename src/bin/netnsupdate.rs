//! Generates the systemd units of network namespace types.

use std::process::ExitCode;

use systemd_netns::cli;

fn main() -> ExitCode {
    cli::netnsupdate::main()
}
