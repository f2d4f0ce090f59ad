//! Restores the bind mounts of running services after a file was replaced.
//!
//! The kernel removes a bind mount when the file below it is replaced or removed in another mount
//! namespace (mount_namespaces(7), "Restrictions"): after NetworkManager or an editor has replaced
//! `/etc/resolv.conf`, the service would see that of the host.

use std::path::Path;

use anyhow::Result;

use super::{attached, dropin::Bind};
use crate::instance::paths::Root;
use crate::sys::command;
use crate::sys::log;
use crate::systemd::manager::Manager;

/// Restores the bind mounts of all attached services.
pub fn all(root: &Root, manager: &Manager) -> Result<()> {
    let nsenter = command::find("nsenter")?;
    for (service, written) in attached(root)? {
        let units = manager.active(&[service.pattern()])?;
        for unit in manager.show(&units, &["Id", "MainPID"])? {
            let (id, pid) = (unit.get("Id"), unit.get("MainPID"));
            if pid.is_empty() || pid == "0" {
                continue;
            }
            for bind in &written.binds {
                match restore(&nsenter, pid, bind) {
                    Ok(false) => {}
                    Ok(true) => log::info(&format!(
                        "{id}: bound {} over {} again",
                        bind.from.display(),
                        bind.to.display()
                    )),
                    Err(error) => log::warn(&format!("{id}: {error:#}")),
                }
            }
        }
    }
    Ok(())
}

/// Restores a bind mount if the service no longer sees it. Returns whether it did.
fn restore(nsenter: &Path, pid: &str, bind: &Bind) -> Result<bool> {
    let target = format!("--target={pid}");
    let inside = |words: &[&std::ffi::OsStr]| {
        let mut all: Vec<&std::ffi::OsStr> = vec![target.as_ref(), "--mount".as_ref()];
        all.push("--".as_ref());
        all.extend_from_slice(words);
        command::output(nsenter, &all)
    };
    let (from, to) = (bind.from.as_os_str(), bind.to.as_os_str());
    let seen = inside(&[
        "stat".as_ref(),
        "--dereference".as_ref(),
        "--format=%d:%i".as_ref(),
        "--".as_ref(),
        from,
        to,
    ])?;
    let mut seen = seen.lines();
    if seen.next() == seen.next() {
        return Ok(false);
    }
    let words = ["mount", "--bind", "--options=ro", "--"].map(AsRef::as_ref);
    let mount = [&words[..], &[from, to]].concat();
    if inside(&mount).is_err() {
        // A deleted file cannot be a mount point, such as the bound file after it was replaced in
        // /etc/netns.
        inside(&["umount".as_ref(), "--lazy".as_ref(), "--".as_ref(), to])?;
        inside(&mount)?;
    }
    Ok(true)
}
