//! Inspects and manages network namespaces.

use std::process::ExitCode;

use systemd_netns::cli::arguments::parse;
use systemd_netns::cli::netnsctl::Ctl;
use systemd_netns::instance::paths::Root;
use systemd_netns::sys::exit;

fn main() -> ExitCode {
    exit::main("netnsctl", || parse::<Ctl>().run(&Root::default()))
}
