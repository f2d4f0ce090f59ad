//! Mounts for a process in a namespace: its `/sys`, and the files in `/etc/netns/NSNAME`.

use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::file;
use crate::sys::log;

/// Creates a mount namespace for this process and mounts, as `ip netns exec` does, `/sys` of its
/// network namespace and the files in `/etc/netns/NSNAME` over those in `/etc`.
pub fn see_only(root: &Root, name: &NsName) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("creating a mount namespace")?;
    // Otherwise the mounts would propagate to the host.
    mount_on("/", None, None, MsFlags::MS_SLAVE | MsFlags::MS_REC).context("unsharing mounts")?;
    remount_sys().context("mounting the /sys of the namespace")?;
    let directory = root.netns_etc(name);
    for from in file::entries(&directory)? {
        let to = root.path("/etc").join(from.file_name().unwrap_or_default());
        match mount_on(&to, Some(&from), None, MsFlags::MS_BIND | MsFlags::MS_REC) {
            Ok(()) => {}
            Err(Errno::ENOENT) => log::warn(&format!(
                "{} is not used: there is no {} that it could replace",
                from.display(),
                to.display()
            )),
            Err(Errno::ENOTDIR) => log::warn(&format!(
                "{} is not used: either it or {} is a directory",
                from.display(),
                to.display()
            )),
            Err(errno) => {
                let paths = format!("binding {} over {}", from.display(), to.display());
                return Err(errno).context(paths);
            }
        }
    }
    Ok(())
}

/// A sysfs shows the devices of the network namespace in which it was mounted (sysfs(5)).
fn remount_sys() -> nix::Result<()> {
    let read_only = nix::sys::statvfs::statvfs("/sys")?
        .flags()
        .contains(nix::sys::statvfs::FsFlags::ST_RDONLY);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let flags = if read_only {
        flags | MsFlags::MS_RDONLY
    } else {
        flags
    };
    match umount2("/sys", MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(errno),
    }
    mount_on("/sys", Some(Path::new("sysfs")), Some("sysfs"), flags)
}

pub(super) fn mount_on(
    target: impl AsRef<Path>,
    source: Option<&Path>,
    kind: Option<&str>,
    flags: MsFlags,
) -> nix::Result<()> {
    mount(source, target.as_ref(), kind, flags, None::<&str>)
}
