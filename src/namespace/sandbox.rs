//! An isolated process in which configuration files are sourced without any effect.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use caps::CapSet;
use landlock::{
    ABI, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
};
use libc::*;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid, setsid};
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

use crate::sys::{file, process};

/// In bytes: the maximum size of a file, copied or written.
pub const FILE_MAX: u64 = 1 << 20;

/// In bytes: the maximum size of a copied directory.
const COPIES_MAX: u64 = 16 << 20;

/// User IDs from here on are not assigned to anybody (systemd's UIDS-GIDS.md). The user namespace of
/// this process may not have them.
const FIRST_UID: u32 = 0x7000_0000;

/// Not assigned either, and valid in a container with 65536 users.
const UID_IN_CONTAINER: u32 = 65533;

/// Unshares namespaces. The next program that this process starts is the first in the new PID
/// namespace, and must call [`enter`].
///
/// # Errors
/// The kernel does not permit it, as in a container without `CAP_SYS_ADMIN`, or where users must not
/// create user namespaces.
pub fn unshare_all() -> Result<()> {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        return unshare(namespaces).context("creating namespaces");
    }
    unshare(namespaces | CloneFlags::CLONE_NEWUSER).context("creating namespaces")?;
    map_root_to(uid, gid).context("entering a user namespace")
}

/// Isolates this process, so that what it runs next has no effect and uses few resources. It must be
/// the first process of its PID namespace and single-threaded.
///
/// - `/proc` shows no other process; `/tmp` is empty; only the first three descriptors are open; no
///   keyring is accessible.
/// - Inside it is root (user_namespaces(7)) without capabilities, outside a user that owns nothing, or
///   the caller if that is not root.
/// - It sees copies of those files in the directories `copies` that `trusted` accepts, and cannot read
///   the others there. Elsewhere it can read only world-readable files. For a caller that is not root
///   there are no copies: it can read what the caller can.
/// - It can write only to `/tmp` and `/dev/null` (landlock(7)).
/// - It can make only the system calls that shell scripts need, and open only the sockets with which
///   `ip` and `ss` query the kernel. The network is that of the host, because types read its
///   interfaces.
/// - Memory, processes, CPU time and file sizes are limited.
///
/// # Errors
/// Some of this is not available here. Nothing must be run then.
pub fn enter(is_root: bool, copies: &[PathBuf], trusted: impl Fn(&Path) -> bool) -> Result<()> {
    setsid().context("leaving the session")?;
    process::close_from(3)?;
    fs::write("/proc/self/oom_score_adj", "1000").context("preferring it for the OOM killer")?;
    let uid = match is_root {
        true => unused_uid()?,
        false => Uid::from_raw(0),
    };
    super::mount_on("/", None, None, MsFlags::MS_PRIVATE | MsFlags::MS_REC)
        .context("unsharing mounts")?;
    let copies: Vec<_> = copies
        .iter()
        .filter(|_| is_root)
        .map(|directory| {
            let mut left = COPIES_MAX;
            Ok((directory, FileCopy::of(directory, &trusted, &mut left)?))
        })
        .collect::<Result<_>>()?;
    mount_tmpfs(Path::new("/tmp"), "mode=1777,size=16m")?;
    for (directory, copy) in copies {
        fs::create_dir_all(directory).ok();
        if directory.is_dir() {
            mount_tmpfs(directory, "mode=0755,size=32m")?;
            copy.write(directory, uid)
                .with_context(|| format!("copying {}", directory.display()))?;
        }
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match super::mount_on("/proc", Some(Path::new("proc")), Some("proc"), flags) {
        // In a container that hides parts of /proc, users cannot mount it. The kernel protects processes
        // outside of a user namespace from those inside.
        Err(Errno::EPERM) if !is_root => {}
        mounted => mounted.context("mounting /proc")?,
    }
    if is_root {
        become_user(uid).context("giving up root")?;
    }
    limit_resources()?;
    prctl::set_no_new_privs().context("giving up privileges permanently")?;
    for set in [CapSet::Ambient, CapSet::Bounding, CapSet::Inheritable] {
        caps::clear(None, set).context("giving up capabilities")?;
    }
    process::join_new_keyring()?;
    restrict_files()?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).context("giving up capabilities")?;
    }
    restrict_calls()
}

/// Maps the user and group of this process to root in the user namespace that it has just created.
fn map_root_to(uid: Uid, gid: Gid) -> Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    Ok(())
}

/// A user ID that no other process has, because process limits are per user.
fn unused_uid() -> Result<Uid> {
    let pid = fs::read_link("/proc/self").context("reading /proc/self")?;
    let wanted = FIRST_UID + pid.to_string_lossy().parse::<u32>()?;
    let map = fs::read_to_string("/proc/self/uid_map").context("reading /proc/self/uid_map")?;
    let exists = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => wanted >= first && wanted - first < count,
            _ => false,
        }
    });
    let uid = if exists { wanted } else { UID_IN_CONTAINER };
    Ok(Uid::from_raw(uid))
}

fn mount_tmpfs(target: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))
        .with_context(|| format!("mounting a tmpfs on {}", target.display()))
}

/// A file or directory to copy.
enum FileCopy {
    Directory(Vec<(PathBuf, FileCopy)>),
    Link(PathBuf),
    /// With the permission bits.
    File(Vec<u8>, u32),
    Unreadable,
}

impl FileCopy {
    /// Reads `path`. `left` is the number of bytes that may still be read.
    fn of(path: &Path, trusted: &impl Fn(&Path) -> bool, left: &mut u64) -> Result<Self> {
        let Ok(metadata) = fs::metadata(path) else {
            return Ok(Self::Unreadable);
        };
        if metadata.is_dir() {
            if let (true, Ok(target)) = (*left < COPIES_MAX, fs::read_link(path)) {
                return Ok(Self::Link(target));
            }
            // Empty files count, too.
            let mut entries = Vec::new();
            for entry in file::entries(path).unwrap_or_default() {
                *left = left.saturating_sub(1);
                let name = PathBuf::from(entry.file_name().unwrap_or_default());
                entries.push((name, Self::of(&entry, trusted, left)?));
            }
            return Ok(Self::Directory(entries));
        }
        if !metadata.is_file() || metadata.size() > FILE_MAX.min(*left) || !trusted(path) {
            return Ok(Self::Unreadable);
        }
        *left -= metadata.size();
        let read = fs::read(path).map(|text| Self::File(text, metadata.mode() & 0o777));
        Ok(read.unwrap_or(Self::Unreadable))
    }

    fn write(self, path: &Path, owner: Uid) -> Result<()> {
        let (text, mode) = match self {
            Self::Directory(entries) => {
                if !path.is_dir() {
                    fs::create_dir(path)?;
                }
                for (name, copy) in entries {
                    copy.write(&path.join(name), owner)?;
                }
                // The umask must not matter.
                fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
                return Ok(chown(path, Some(owner.as_raw()), Some(owner.as_raw()))?);
            }
            Self::Link(target) => return Ok(symlink(target, path)?),
            Self::File(text, mode) => (text, mode),
            Self::Unreadable => (Vec::new(), 0),
        };
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(chown(path, Some(owner.as_raw()), Some(owner.as_raw()))?)
    }
}

/// Switches to `uid`, and to root in a user namespace that has only this user.
fn become_user(uid: Uid) -> Result<()> {
    let gid = Gid::from_raw(uid.as_raw());
    // Kept, because on some systems only privileged processes can create user namespaces.
    prctl::set_keepcaps(true)?;
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    let permitted = caps::read(None, CapSet::Permitted)?;
    caps::set(None, CapSet::Effective, &permitted)?;
    // Otherwise our own files in /proc would belong to root.
    prctl::set_dumpable(true)?;
    unshare(CloneFlags::CLONE_NEWUSER)?;
    map_root_to(uid, gid).context("entering a user namespace")
}

fn limit_resources() -> Result<()> {
    for (resource, limit) in [
        (Resource::RLIMIT_AS, 128 << 20),
        (Resource::RLIMIT_NPROC, 20),
        (Resource::RLIMIT_CPU, 5),
        (Resource::RLIMIT_FSIZE, FILE_MAX),
        (Resource::RLIMIT_NOFILE, 256),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
    ] {
        let limiting = || format!("limiting {resource:?}");
        // The caller's limit may be lower and cannot be raised.
        let limit = getrlimit(resource).with_context(limiting)?.1.min(limit);
        setrlimit(resource, limit, limit).with_context(limiting)?;
    }
    Ok(())
}

/// Forbids writing to all but a few files.
fn restrict_files() -> Result<()> {
    let write = AccessFs::from_write(ABI::V5);
    let mut rules = Ruleset::default().handle_access(write)?.create()?;
    let device = AccessFs::WriteFile | AccessFs::Truncate;
    for path in ["/dev/null", "/dev/zero", "/dev/full"] {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(path)?, device))?;
    }
    let status = rules
        .add_rule(PathBeneath::new(PathFd::new("/tmp")?, write))?
        .restrict_self()?;
    ensure!(
        status.ruleset != RulesetStatus::NotEnforced,
        "this kernel has no Landlock"
    );
    Ok(())
}

/// The system calls that are allowed with any arguments, for bash and programs such as ip and sed.
#[rustfmt::skip]
const CALLS: &[c_long] = &[
    // Processes and signals, of this PID namespace.
    SYS_execve, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid, SYS_kill, SYS_tgkill, SYS_tkill,
    SYS_getpid, SYS_getppid, SYS_gettid, SYS_getpgid, SYS_getsid, SYS_setpgid, SYS_setsid,
    SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid, SYS_getgroups,
    SYS_capget, SYS_capset, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_sigpending, SYS_sigaltstack, SYS_restart_syscall,
    SYS_set_tid_address, SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_futex,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_getcpu, SYS_prlimit64, SYS_getrlimit, SYS_getrusage,
    SYS_getpriority, SYS_umask, SYS_uname, SYS_sysinfo, SYS_times,
    // Memory and time.
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_getrandom,
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
    SYS_setitimer, SYS_getitimer, SYS_timer_create, SYS_timer_settime, SYS_timer_delete,
    // Files, restricted by Landlock.
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_close,
    SYS_close_range, SYS_dup, SYS_dup3, SYS_pipe2, SYS_ppoll, SYS_pselect6, SYS_fstat, SYS_newfstatat,
    SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getcwd,
    SYS_chdir, SYS_fchdir, SYS_getdents64, SYS_fadvise64, SYS_ftruncate, SYS_copy_file_range,
    SYS_sendfile, SYS_mkdirat, SYS_unlinkat, SYS_renameat2, SYS_symlinkat, SYS_linkat,
    SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr, SYS_listxattr, SYS_llistxattr, SYS_flistxattr,
    // Sockets, of the kinds that may be opened.
    SYS_bind, SYS_getsockname, SYS_getsockopt, SYS_setsockopt, SYS_sendto, SYS_sendmsg,
    SYS_recvfrom, SYS_recvmsg,
];

/// The older forms of some of them.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD_CALLS: &[c_long] = &[
    SYS_fork, SYS_vfork, SYS_arch_prctl, SYS_getpgrp, SYS_setrlimit, SYS_alarm, SYS_pause, SYS_time,
    SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_stat, SYS_lstat, SYS_access, SYS_readlink,
    SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename, SYS_renameat, SYS_symlink, SYS_link,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[c_long] = &[];

/// All other calls fail with ENOSYS, so that the C library falls back to older ones.
fn restrict_calls() -> Result<()> {
    let any = CALLS.iter().chain(OLD_CALLS);
    let mut calls: std::collections::BTreeMap<c_long, Vec<SeccompRule>> =
        any.map(|call| (*call, Vec::new())).collect();
    let is = |argument, value| SeccompCondition::new(argument, Dword, Eq, value);
    let masked = |argument, mask: c_int, value: c_int| {
        let mask = MaskedEq(u64::from(mask as u32));
        SeccompCondition::new(argument, Dword, mask, u64::from(value as u32))
    };
    let mut allow = |call, conditions| -> Result<()> {
        let rule = SeccompRule::new(conditions)?;
        calls.entry(call).or_default().push(rule);
        Ok(())
    };
    const NAMESPACES: c_int = CLONE_NEWNS
        | CLONE_NEWUSER
        | CLONE_NEWNET
        | CLONE_NEWPID
        | CLONE_NEWIPC
        | CLONE_NEWUTS
        | CLONE_NEWCGROUP;
    allow(SYS_clone, vec![masked(0, NAMESPACES, 0)?])?;
    for protocol in [NETLINK_ROUTE, NETLINK_SOCK_DIAG] {
        let family = is(0, AF_NETLINK as u64)?;
        allow(SYS_socket, vec![family, is(2, protocol as u64)?])?;
    }
    // Some versions of Landlock do not treat truncation of a file opened for reading as writing.
    #[cfg(target_arch = "x86_64")]
    let opens = [(SYS_openat, 2), (SYS_open, 1)];
    #[cfg(not(target_arch = "x86_64"))]
    let opens = [(SYS_openat, 2)];
    for (open, flags) in opens {
        allow(open, vec![masked(flags, O_TRUNC, 0)?])?;
        allow(open, vec![masked(flags, O_ACCMODE, O_WRONLY)?])?;
        allow(open, vec![masked(flags, O_ACCMODE, O_RDWR)?])?;
    }
    // No file locks, leases and signals.
    const FCNTL: [c_int; 6] = [F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL];
    for command in FCNTL {
        allow(SYS_fcntl, vec![is(1, command as u64)?])?;
    }
    for request in [TCGETS, TIOCGWINSZ, TIOCGPGRP, FIONREAD, FIOCLEX, FIONCLEX] {
        // Its type depends on the C library.
        let request = u32::try_from(request)?;
        allow(SYS_ioctl, vec![is(1, request.into())?])?;
    }
    for option in [PR_CAPBSET_READ, PR_SET_NAME] {
        allow(SYS_prctl, vec![is(0, option as u64)?])?;
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    let other = SeccompAction::Errno(Errno::ENOSYS as u32);
    let filter = SeccompFilter::new(calls, other, SeccompAction::Allow, architecture)?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program).context("restricting system calls")
}
