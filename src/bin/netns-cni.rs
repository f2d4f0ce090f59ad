//! Connects containers by any network namespace type, as a plugin of CNI and of netavark.

use std::process::ExitCode;

use systemd_netns::container;
use systemd_netns::instance::paths::Root;

fn main() -> ExitCode {
    container::main(&Root::default())
}
