//! Sees and drives network namespaces.

use std::process::ExitCode;

use clap::Parser;
use systemd_netns::ctl::Verb;
use systemd_netns::exit;
use systemd_netns::root::Root;

/// See and drive network namespaces
#[derive(Parser)]
#[command(version, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    exit::main("netnsctl", || Arguments::parse().verb.run(&Root::default()))
}
