//! Where files of others are tried out: what runs there sees this system and cannot change it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// `nobody` and `nogroup`, who own nothing.
const NOBODY: u32 = 65534;

/// Moves this process, which must have one thread, where it can do no harm, for good. The program
/// that it runs next is the first of its own process namespace: with it all others end.
///
/// It sees the files and the network that it has seen before, but
/// - all mounts are read-only (mount(2), `MS_RDONLY`), and its own;
/// - root has become nobody, who may read everything (`CAP_DAC_READ_SEARCH`, capabilities(7)) and
///   has no other privilege, nor can get one (`PR_SET_NO_NEW_PRIVS`);
/// - it sees and signals no process of others, and calls nobody: connect(2) is refused, so that no
///   daemon and no server does for it what it cannot do itself.
///
/// # Errors
/// The kernel does not let us, as in a container without `CAP_SYS_ADMIN`, or where users may not
/// make namespaces.
pub fn quarantine() -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    let mut namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    namespaces |= CloneFlags::CLONE_NEWIPC;
    if !uid.is_root() {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(namespaces).context("making namespaces")?;
    if !uid.is_root() {
        stay(uid, gid).context("entering a user namespace")?;
    }
    super::mount_on("/", None, None, MsFlags::MS_PRIVATE | MsFlags::MS_REC)
        .context("unsharing mounts")?;
    make_read_only()?;
    if uid.is_root() {
        become_nobody().context("giving up privileges")?;
    }
    prctl::set_no_new_privs().context("giving up privileges for good")?;
    seccompiler::apply_filter(&no_connections()?).context("giving up connections")
}

/// The same user and group in the user namespace as outside (user_namespaces(7)).
fn stay(uid: Uid, gid: Gid) -> Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    Ok(())
}

fn make_read_only() -> Result<()> {
    let table = fs::read("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    for (path, flags) in mounts(&table)? {
        let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        match mount(None::<&str>, &path, None::<&str>, flags, None::<&str>) {
            Ok(()) => {}
            // Something else is mounted over it or above, or we may not go there: nobody can.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
            Err(errno) => {
                let making = format!("making {} read-only", path.display());
                return Err(errno).context(making);
            }
        }
    }
    Ok(())
}

/// The mount points of a `/proc/PID/mountinfo` (proc(5)), each with the flags to keep: in a user
/// namespace the kernel insists on them. Of several mounts on one point only one can be seen, and not
/// always the last; it does no harm to give it the flags of the others, too.
fn mounts(table: &[u8]) -> Result<BTreeMap<PathBuf, MsFlags>> {
    let mut mounts = BTreeMap::new();
    for line in table.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(point), Some(options)) = (words.nth(4), words.next()) else {
            bail!("/proc/self/mountinfo has an unknown form");
        };
        let mut flags = MsFlags::empty();
        for option in options.split(|byte| *byte == b',') {
            flags |= match option {
                b"nosuid" => MsFlags::MS_NOSUID,
                b"nodev" => MsFlags::MS_NODEV,
                b"noexec" => MsFlags::MS_NOEXEC,
                b"noatime" => MsFlags::MS_NOATIME,
                b"nodiratime" => MsFlags::MS_NODIRATIME,
                b"relatime" => MsFlags::MS_RELATIME,
                _ => MsFlags::empty(),
            };
        }
        *mounts.entry(unescaped(point)).or_insert(MsFlags::empty()) |= flags;
    }
    Ok(mounts)
}

/// White space and backslashes are written as three octal digits.
fn unescaped(point: &[u8]) -> PathBuf {
    let mut path = Vec::new();
    let mut rest = point;
    while let [byte, tail @ ..] = rest {
        let digits = (*byte == b'\\').then(|| tail.get(..3)).flatten();
        let number = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        path.push(number.unwrap_or(*byte));
        rest = if number.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

fn become_nobody() -> Result<()> {
    let keep = CapsHashSet::from([Capability::CAP_DAC_READ_SEARCH]);
    if !caps::has_cap(None, CapSet::Permitted, Capability::CAP_DAC_READ_SEARCH)? {
        bail!("CAP_DAC_READ_SEARCH, to read what others may not, is missing");
    }
    // The next calls would take all capabilities from us.
    prctl::set_keepcaps(true)?;
    setgroups(&[])?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    caps::set(None, CapSet::Effective, &keep)?;
    caps::set(None, CapSet::Permitted, &keep)?;
    // And these are what remains in the program that we run.
    caps::set(None, CapSet::Inheritable, &keep)?;
    caps::set(None, CapSet::Ambient, &keep)?;
    Ok(())
}

/// A filter of system calls that refuses connect(2); netlink(7), by which `ip` asks, needs none.
fn no_connections() -> Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let refused = [(nix::libc::SYS_connect, Vec::new())].into_iter().collect();
    let refusal = SeccompAction::Errno(Errno::EPERM as u32);
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, refusal, architecture)?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_table_of_mounts_is_read() {
        let table = b"\
22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 27 0:21 / /a\\040b\\134c rw - tmpfs tmpfs rw
24 27 0:21 / /x ro,nosuid - tmpfs tmpfs rw
25 27 0:21 / /x rw,nodev - tmpfs tmpfs rw
";
        let mounts = mounts(table).unwrap();
        let sys = mounts[Path::new("/sys")];
        assert!(sys.contains(MsFlags::MS_NOSUID | MsFlags::MS_RELATIME));
        assert!(mounts[Path::new("/a b\\c")].is_empty());
        let both = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        assert_eq!(mounts[Path::new("/x")], both);
        assert!(super::mounts(b"22 27\n").is_err());
    }
}
