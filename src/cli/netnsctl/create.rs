use anyhow::{Result, bail};
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace;
use crate::sys::log;

/// Make a network namespace, as `ip netns add` does
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl create web")]
pub struct Create {
    /// What to call it
    name: NsName,
}

impl Create {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let Self { name } = self;
        let id = namespace::create(root, name)?;
        if under_systemd() && !namespace::seen_by_pid_1(root, name, id) {
            namespace::delete(root, name)?;
            bail!(
                "systemd would not see the network namespace '{name}': this unit has mounts of \
                 its own; look with 'systemctl cat netns_name@{name}' for the setting that does \
                 it, such as ProtectSystem= or PrivateMounts=yes in a drop-in"
            );
        }
        log::info(&format!("network namespace '{name}' made"));
        Ok(0)
    }
}

/// Whether systemd started us as part of a unit ($INVOCATION_ID, systemd.exec(5)).
fn under_systemd() -> bool {
    nix::unistd::getppid().as_raw() == 1 && std::env::var_os("INVOCATION_ID").is_some()
}
