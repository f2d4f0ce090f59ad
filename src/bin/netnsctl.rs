//! Inspects and manages network namespaces.

use std::process::ExitCode;

use systemd_netns::cli::netnsctl::Ctl;
use systemd_netns::instance::paths::Root;
use systemd_netns::sys::exit;

fn main() -> ExitCode {
    exit::main("netnsctl", || {
        Ctl::parse_command_line().run(&Root::default())
    })
}
