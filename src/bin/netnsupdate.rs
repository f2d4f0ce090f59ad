//! Gives every network namespace type its systemd units.

use std::process::ExitCode;

use systemd_netns::cli;

fn main() -> ExitCode {
    cli::netnsupdate::main()
}
