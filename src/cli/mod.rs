//! The command lines of netnsinit, netnsupdate and netnsctl, and the verbs of netnsctl.
//!
//! Uses `pods`, `container`, `lifecycle`, `check`, `inventory`, `migrate`, `service`, `update`,
//! `phase`, `systemd`, `namespace`, `instance` and `sys`.

use std::ffi::OsStr;
use std::process::ExitCode;

use crate::container;
use crate::instance::paths::Root;
use crate::sys::exit;

pub mod arguments;
pub mod netnsctl;
pub mod netnsupdate;
mod output;

/// Runs the program of this name: one file is installed for all but netnsinit, which has to be small and
/// to start fast. `netns` is the plugin of netavark. A name that is not known is taken for netnsctl.
pub fn run_as(name: &OsStr) -> ExitCode {
    match name.to_str() {
        Some("netnsupdate" | "netns-update") => netnsupdate::main(),
        Some("netns-cni" | "netns") => container::main(&Root::default()),
        _ => exit::main("netnsctl", || {
            netnsctl::Ctl::parse_command_line().run(&Root::default())
        }),
    }
}
