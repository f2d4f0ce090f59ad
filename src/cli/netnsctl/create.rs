use anyhow::{Result, bail};
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace;
use crate::sys::log;

/// Create a network namespace, as 'ip netns add' does
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl create web")]
pub struct Create {
    /// Name of the network namespace
    #[arg(value_name = "NSNAME")]
    name: NsName,
}

impl Create {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let Self { name } = self;
        let id = namespace::create(root, name)?;
        if under_systemd() && !namespace::seen_by_pid_1(root, name, id) {
            namespace::delete(root, name)?;
            bail!(
                "systemd does not see the network namespace '{name}': this unit has a private mount \
                 namespace; 'systemctl cat netns_name@{name}' shows the setting that causes it, \
                 such as ProtectSystem= or PrivateMounts=yes in a drop-in"
            );
        }
        log::info(&format!("created network namespace '{name}'"));
        Ok(0)
    }
}

/// Whether systemd started us as part of a unit ($INVOCATION_ID, systemd.exec(5)).
fn under_systemd() -> bool {
    nix::unistd::getppid().as_raw() == 1 && std::env::var_os("INVOCATION_ID").is_some()
}
