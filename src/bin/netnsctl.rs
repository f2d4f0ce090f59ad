//! Sees and drives network namespaces.

use std::process::ExitCode;

use clap::Parser;
use systemd_netns::arguments::Ctl;
use systemd_netns::exit;
use systemd_netns::root::Root;

fn main() -> ExitCode {
    exit::main("netnsctl", || Ctl::parse().verb.run(&Root::default()))
}
