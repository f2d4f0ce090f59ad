//! Named network namespaces: enter, create, delete, list. The only setns, unshare and mount.
//!
//! `/run/netns` is shared with ip-netns(8).
//!
//! Uses `instance` and `sys`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Serialize, Serializer};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::exit::after_undo;
use crate::sys::file::{self, Missing};
use crate::sys::lock::{self, Lock};
use crate::sys::log;
use crate::sys::process;

mod delete;
mod leftover;
mod mounts;
pub mod netlink;
mod sandbox;
mod visit;

pub use delete::{delete, delete_interrupted, forget, processes, release};
pub use leftover::{LeftoverFile, left_files, remove_left_file};
use mounts::mount_on;
pub use mounts::see_only;
pub use sandbox::{FILE_MAX, enter, unshare_all};
pub use visit::{all, files, visit, within};

/// The file system of namespace files, `NSFS_MAGIC` in linux/magic.h.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// The identity of a namespace, which does not depend on its name: the inode of its nsfs file (namespaces(7)). The
/// kernel reuses it only after the namespace is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    /// The network namespace of this process.
    pub fn current() -> Result<Self> {
        Self::at(Path::new("/proc/self/ns/net"))
    }

    /// The network namespace of the host, or of this container: that of PID 1.
    pub fn of_pid_1() -> Result<Self> {
        Self::at(Path::new("/proc/1/ns/net"))
    }

    /// The network namespace of a process. Also fails without permission to read it (proc(5)).
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::at(&Path::new("/proc").join(pid.to_string()).join("ns/net"))
    }

    fn at(path: &Path) -> Result<Self> {
        let metadata =
            fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
        Ok(Self::of(&metadata))
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Id {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (device, inode) = text.split_once(':').context("no colon")?;
        Ok(Self {
            device: device.parse()?,
            inode: inode.parse()?,
        })
    }
}

/// An open namespace, which cannot be replaced meanwhile.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    path: PathBuf,
    pub id: Id,
}

impl NetNs {
    /// Opens the namespace `name`. `None` if it does not exist or only a leftover file does.
    pub fn open(root: &Root, name: &NsName) -> Result<Option<Self>> {
        Self::at(root.netns(name))
    }

    /// Opens the namespace mounted on the file `path`. `None` if no namespace is mounted there.
    pub fn at(path: PathBuf) -> Result<Option<Self>> {
        let opening = || format!("opening {}", path.display());
        let mut options = OpenOptions::new();
        // Opening a FIFO would block, and a socket cannot be opened.
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = match options.open(&path).missing_ok() {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
            file => file.with_context(opening)?,
        };
        let Some(file) = file else {
            return Ok(None);
        };
        let nsfs = fstatfs(&file).with_context(opening)?.filesystem_type() == NSFS_MAGIC;
        if !nsfs {
            return Ok(None);
        }
        let id = Id::of(&file.metadata().with_context(opening)?);
        Ok(Some(Self { file, path, id }))
    }

    /// Moves this process into the namespace, permanently.
    pub fn enter(self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering {}", self.path.display()))
    }
}

/// Sets the host name of this process, in a UTS namespace of its own.
///
/// # Errors
/// It is longer than 64 bytes, or the process lacks the privilege (sethostname(2)).
pub fn own_hostname(name: &str) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWUTS).context("creating a UTS namespace")?;
    nix::unistd::sethostname(name).with_context(|| format!("setting the host name '{name}'"))
}

/// Moves this process into the UTS namespace that is mounted at `path`, permanently. `false` if there is
/// none.
pub fn join_hostname(path: &Path) -> Result<bool> {
    let Some(namespace) = NetNs::at(path.to_owned())? else {
        return Ok(false);
    };
    let joined = setns(&namespace.file, CloneFlags::CLONE_NEWUTS);
    joined.with_context(|| format!("entering {}", path.display()))?;
    Ok(true)
}

/// Creates the namespace `name` and moves this process into it.
///
/// # Errors
/// The name exists, or `for_systemd` is set and systemd does not see the namespace. Nothing has
/// changed then.
pub fn create(root: &Root, name: &NsName, for_systemd: bool) -> Result<()> {
    let _lock = share_directory(root)?;
    claim_name(root, name)?;
    let current = Path::new("/proc/self/ns/net");
    let make = || -> Result<()> {
        if for_systemd {
            file::make_directory(&root.unit_namespaces_dir(), 0o700)?;
            let mark = root.unit_namespace(name);
            File::create(&mark).with_context(|| format!("creating {}", mark.display()))?;
        }
        unshare(CloneFlags::CLONE_NEWNET)?;
        name_it(root, name, current)?;
        if for_systemd && !seen_by_pid_1(root, name, Id::current()?) {
            bail!(
                "systemd would not see it: this unit has mounts of its own; look for settings \
                 such as ProtectSystem= or PrivateMounts=yes with 'systemctl cat'"
            );
        }
        Ok(())
    };
    or_remove(root, name, make())
        .with_context(|| format!("creating network namespace '{name}'"))?;
    log::info(&format!("created network namespace '{name}'"));
    Ok(())
}

/// Names a namespace that others have created `name`, until [`release`] removes the name.
///
/// # Errors
/// The name exists. Nothing has changed then.
pub fn adopt(root: &Root, name: &NsName, namespace: &NetNs) -> Result<()> {
    let _lock = share_directory(root)?;
    claim_name(root, name)?;
    let descriptor = PathBuf::from(format!("/proc/self/fd/{}", namespace.as_raw_fd()));
    let named = name_it(root, name, &descriptor);
    or_remove(root, name, named)
        .with_context(|| format!("naming {} '{name}'", namespace.path.display()))
}

/// Mounts the namespace of the file `source` under a name that was claimed.
fn name_it(root: &Root, name: &NsName, source: &Path) -> Result<()> {
    // First, so that gc finds the namespace if this process is killed before it has a name.
    pin(root, name, source)?;
    mount_namespace(source, &root.netns(name))
}

/// Removes the files of a namespace if it could not be given its name.
fn or_remove(root: &Root, name: &NsName, named: Result<()>) -> Result<()> {
    named.map_err(|error| after_undo(error, remove(&root.netns(name)).and(forget(root, name))))
}

/// Whether systemd started us as part of a unit (`$INVOCATION_ID`, systemd.exec(5)).
pub fn under_systemd() -> bool {
    nix::unistd::getppid().as_raw() == 1 && std::env::var_os("INVOCATION_ID").is_some()
}

/// The mode of files that we mount namespaces on. iproute2 uses 0000.
const FILE_MODE: u32 = 0o444;

/// Creates an empty file to mount a namespace on.
fn new_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE);
    options.open(path).map(drop)
}

fn mount_namespace(source: &Path, path: &Path) -> Result<()> {
    mount_on(path, Some(source), None, MsFlags::MS_BIND)
        .with_context(|| format!("mounting the namespace on {}", path.display()))
}

/// Mounts a namespace a second time, so that it continues to exist if its name is deleted: `down` still finds
/// the outer ends of its links, and no other namespace gets its identity.
fn pin(root: &Root, name: &NsName, source: &Path) -> Result<()> {
    let path = root.pin(name);
    file::make_parent(&path, 0o700)?;
    remove(&path)?;
    new_file(&path).with_context(|| format!("creating {}", path.display()))?;
    mount_namespace(source, &path)
}

/// How long an empty file may exist before a namespace is mounted on it: `ip netns add` first creates
/// the file.
const UNFINISHED_LIMIT: Duration = Duration::from_secs(2);

/// Creates the file to mount a namespace on. Of two processes that create the same namespace at once,
/// iproute2 included, one fails here.
fn claim_name(root: &Root, name: &NsName) -> Result<()> {
    let path = root.netns(name);
    let start = Instant::now();
    loop {
        match new_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.with_context(|| format!("creating {}", path.display())),
        }
        if NetNs::open(root, name)?.is_some() {
            bail!(
                "network namespace '{name}' already exists and was not created by this unit: \
                 choose another name, or delete it with 'ip netns delete {name}'"
            );
        }
        let Some(found) = file::symlink_metadata(&path)? else {
            continue;
        };
        if !is_empty_file(&found) {
            bail!(
                "{} already exists and is not a network namespace",
                path.display()
            );
        }
        let changed = UNIX_EPOCH + Duration::from_secs(found.ctime().max(0) as u64);
        let age = SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default();
        if age > UNFINISHED_LIMIT + Duration::from_secs(1) || start.elapsed() > UNFINISHED_LIMIT {
            log::warn(&format!(
                "reusing {}, left by a deleted namespace",
                path.display()
            ));
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether `path` is an empty file, left over from a namespace.
fn is_leftover(path: &Path) -> Result<bool> {
    Ok(file::symlink_metadata(path)?.is_some_and(|found| is_empty_file(&found)))
}

fn is_empty_file(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.len() == 0
}

/// Makes `/run/netns` a shared mount, so that namespaces reach every mount namespace.
///
/// Takes the same lock as `ip netns add`: without it, two processes would stack mounts.
fn share_directory(root: &Root) -> Result<Option<Lock>> {
    let directory = root.netns_dir();
    file::make_directory(&directory, 0o755)?;
    let lock = lock_directory(&directory)?;
    let share = || mount_on(&directory, None, None, MsFlags::MS_SHARED | MsFlags::MS_REC);
    match share() {
        // It is not a mount point yet.
        Err(Errno::EINVAL) => {
            let itself = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount_on(&directory, Some(&directory), None, itself).and_then(|()| share())
        }
        result => result,
    }
    .with_context(|| format!("making {} a shared mount", directory.display()))?;
    Ok(lock)
}

/// How long to wait for the lock on `/run/netns`. Any user can hold it, and iproute2 takes it only to
/// make the directory a shared mount.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// Held while files of namespaces are created and removed, by iproute2 too.
fn lock_directory(directory: &Path) -> Result<Option<Lock>> {
    let lock = Lock::directory(directory, LOCK_LIMIT)?;
    if lock.is_none() {
        log::warn(&format!("{}: going on without", lock::locked(directory)));
    }
    Ok(lock)
}

/// The namespace that we created as `name`, even if another one has the name now. `None` also if the caller
/// may not read this.
pub fn made_by_us(root: &Root, name: &NsName) -> Result<Option<Id>> {
    match NetNs::at(root.pin(name)) {
        Err(_) if !process::is_root() => Ok(None),
        pinned => Ok(pinned?.map(|pinned| pinned.id)),
    }
}

/// Whether we created the namespace `id` as `name`. `false` also if the caller may not read this.
pub fn is_made_by_us(root: &Root, name: &NsName, id: Id) -> bool {
    Id::at(&root.pin(name)).is_ok_and(|pinned| pinned == id)
}

/// Unmounts a namespace and removes its file. `false` if there was none.
fn remove(path: &Path) -> Result<bool> {
    // A symlink would unmount another namespace.
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(Errno::EINVAL) if is_leftover(path)? => {}
        Err(Errno::EINVAL) => bail!("{} is not a network namespace", path.display()),
        Err(errno) => {
            return Err(errno).with_context(|| format!("unmounting {}", path.display()));
        }
    }
    file::remove(path)
}

/// A path as PID 1 sees it, in its mount namespace.
fn for_pid_1(path: &Path) -> PathBuf {
    Path::new("/proc/1/root").join(path.strip_prefix("/").unwrap_or(path))
}

/// All processes, each with its network namespace, or an error if it has exited or cannot be read
/// (proc(5)).
pub fn of_processes() -> Result<impl Iterator<Item = (u32, Result<Id>)>> {
    let pids = process::all()?.into_iter();
    Ok(pids.map(|pid| (pid, Id::of_process(pid))))
}

/// Whether PID 1, which moves services into namespaces, sees the same mount at `path`.
fn seen_by_pid_1(root: &Root, name: &NsName, id: Id) -> bool {
    Id::at(&for_pid_1(&root.netns(name))).is_ok_and(|seen| seen == id)
}
