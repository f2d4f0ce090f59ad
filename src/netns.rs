//! Named network namespaces: enter, create, delete, list. The only setns, unshare and mount.
//!
//! The layout below `/run/netns` is that of ip-netns(8), with which it is shared.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, fstatfs};

use crate::exit;
use crate::file::{self, Missing};
use crate::name::NsName;
use crate::root::Root;

/// The file system of namespace files, `NSFS_MAGIC` in linux/magic.h.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// What makes a namespace the same one, whatever it is called: the inode of its nsfs file
/// (namespaces(7)). The kernel may give it to a new namespace only after the old one is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    /// The network namespace that this process is in.
    pub fn current() -> Result<Self> {
        Self::at(Path::new("/proc/self/ns/net"))
    }

    /// The network namespace of the host, or of the container that we are in: PID 1's.
    pub fn of_pid_1() -> Result<Self> {
        Self::at(Path::new("/proc/1/ns/net"))
    }

    /// The network namespace of a process; an error also where we may not look at it (proc(5)).
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::at(&Path::new("/proc").join(pid.to_string()).join("ns/net"))
    }

    fn at(path: &Path) -> Result<Self> {
        let metadata =
            fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
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

/// An open namespace: it cannot be replaced behind our back.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    path: PathBuf,
    pub id: Id,
}

impl NetNs {
    /// Opens the namespace called `name`; `None` where there is none, or only what is left of one.
    pub fn open(root: &Root, name: &NsName) -> Result<Option<Self>> {
        Self::open_file(root.netns(name))
    }

    /// The network namespace of PID 1, or of this process where we may not look at PID 1.
    pub fn host() -> Result<Self> {
        let found = Self::open_file("/proc/1/ns/net".into()).ok().flatten();
        match found {
            Some(host) => Ok(host),
            None => Self::open_file("/proc/self/ns/net".into())?.context("/proc is not mounted"),
        }
    }

    /// Opens the namespace that the file at `path` stands for; `None` where it stands for none.
    pub fn open_file(path: PathBuf) -> Result<Option<Self>> {
        let opening = || format!("opening {}", path.display());
        let Some(file) = File::open(&path).missing_ok().with_context(opening)? else {
            return Ok(None);
        };
        let nsfs = fstatfs(&file).with_context(opening)?.filesystem_type() == NSFS_MAGIC;
        if !nsfs {
            return Ok(None);
        }
        let metadata = file.metadata().with_context(opening)?;
        let id = Id {
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        Ok(Some(Self { file, path, id }))
    }

    /// The descriptor, by which the kernel is asked about the namespace.
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Moves this process into the namespace, for good.
    pub fn enter(self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering {}", self.path.display()))
    }
}

/// Does `work` in each of `namespaces`, in a thread that goes from one to the next and ends.
///
/// Where a namespace cannot be opened or entered, `work` is not done: it would see another one.
pub fn visit<T: Send>(
    namespaces: impl Iterator<Item = Result<NetNs>> + Send,
    mut work: impl FnMut(&NetNs) -> Result<T> + Send,
) -> Vec<Result<T>> {
    let mut visit = move |namespace: Result<NetNs>| {
        let namespace = namespace?;
        setns(&namespace.file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering {}", namespace.path.display()))?;
        work(&namespace)
    };
    let visitor = move || namespaces.map(&mut visit).collect();
    std::thread::scope(|scope| match scope.spawn(visitor).join() {
        Ok(results) => results,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The files below `/run/netns`, whether namespaces or not, in order of their names.
pub fn files(root: &Root) -> Result<Vec<PathBuf>> {
    let directory = root.netns_dir();
    let reading = || format!("reading {}", directory.display());
    let Some(entries) = fs::read_dir(&directory)
        .missing_ok()
        .with_context(reading)?
    else {
        return Ok(Vec::new());
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(reading)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Gives this process mounts of its own that show the network namespace it is in, as
/// `ip netns exec` does: `/sys`, and the files of `/etc/netns/NSNAME` over those of `/etc`.
pub fn see_only(root: &Root, name: &NsName) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    // Else what is mounted here would show up outside.
    mount_on("/", None, None, MsFlags::MS_SLAVE | MsFlags::MS_REC).context("unsharing mounts")?;
    remount_sys().context("mounting the /sys of the namespace")?;
    let directory = root.netns_etc(name);
    let reading = || format!("reading {}", directory.display());
    let Some(entries) = fs::read_dir(&directory)
        .missing_ok()
        .with_context(reading)?
    else {
        return Ok(());
    };
    for entry in entries {
        let from = entry.with_context(reading)?.path();
        let to = root.path("/etc").join(from.file_name().unwrap_or_default());
        match mount_on(&to, Some(&from), None, MsFlags::MS_BIND | MsFlags::MS_REC) {
            Ok(()) => {}
            Err(Errno::ENOENT) => exit::warn(&format!(
                "{} is not used: there is no {} that it could replace",
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

/// A sysfs shows the devices of the network namespace that it was mounted in (sysfs(5)).
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

fn mount_on(
    target: impl AsRef<Path>,
    source: Option<&Path>,
    kind: Option<&str>,
    flags: MsFlags,
) -> nix::Result<()> {
    mount(source, target.as_ref(), kind, flags, None::<&str>)
}

/// Makes the namespace `name`. This process is in it afterwards.
///
/// # Errors
/// One of that name exists; it is then left as it is.
pub fn create(root: &Root, name: &NsName) -> Result<Id> {
    share_directory(root)?;
    let path = root.netns(name);
    let making = || format!("making the network namespace {}", path.display());
    let created = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(&path);
    match created {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            take_over_leftover(root, name)?;
        }
        Err(error) => return Err(error).with_context(making),
    }
    let bind = || -> Result<Id> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let id = Id::current()?;
        mount_on(
            &path,
            Some(Path::new("/proc/self/ns/net")),
            None,
            MsFlags::MS_BIND,
        )?;
        record(root, name, id)?;
        Ok(id)
    };
    bind()
        .with_context(making)
        .map_err(|error| match remove(root, name) {
            Ok(_) => error,
            Err(undo) => error.context(format!("and undoing it failed: {undo:#}")),
        })
}

/// A file that no namespace is mounted on is all that is left of one, and may be used again.
fn take_over_leftover(root: &Root, name: &NsName) -> Result<()> {
    let path = root.netns(name);
    if NetNs::open(root, name)?.is_some() {
        bail!(
            "the network namespace '{name}' exists already, and was not made by this unit: \
             choose another name, or remove it with 'ip netns delete {name}'"
        );
    }
    let metadata =
        fs::symlink_metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
    if !metadata.is_file() || metadata.len() > 0 {
        bail!(
            "{} exists already, and is not a network namespace",
            path.display()
        );
    }
    exit::warn(&format!(
        "{} is left of a namespace that is gone: using it again",
        path.display()
    ));
    Ok(())
}

/// Makes `/run/netns` a shared mount, so that namespaces reach every mount namespace.
///
/// Under the lock that `ip netns add` takes too: two that do this at once would stack mounts.
fn share_directory(root: &Root) -> Result<()> {
    let directory = root.netns_dir();
    file::make_directory(&directory, 0o755)?;
    let open =
        File::open(&directory).with_context(|| format!("opening {}", directory.display()))?;
    let _lock = Flock::lock(open, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("locking {}", directory.display()))?;
    let share = || mount_on(&directory, None, None, MsFlags::MS_SHARED | MsFlags::MS_REC);
    match share() {
        // It is no mount point yet.
        Err(Errno::EINVAL) => {
            let itself = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount_on(&directory, Some(&directory), None, itself).and_then(|()| share())
        }
        result => result,
    }
    .with_context(|| format!("making {} a shared mount", directory.display()))
}

fn record(root: &Root, name: &NsName, id: Id) -> Result<()> {
    let path = root.netns_state(name);
    if let Some(directory) = path.parent() {
        file::make_directory(directory, 0o700)?;
    }
    file::write(&path, id.to_string().as_bytes(), 0o600)
}

/// What became of a namespace that was to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub enum Deleted {
    Removed,
    /// It was gone already.
    Missing,
    /// Another one has its name: not ours.
    Replaced,
}

/// Deletes the name of the namespace that [`create`] made; the namespace itself ends with its
/// last process. One that somebody else has made in its place is left alone.
pub fn delete(root: &Root, name: &NsName) -> Result<Deleted> {
    let recorded = made_by_us(root, name);
    let found = NetNs::open(root, name)?.map(|namespace| namespace.id);
    let deleted = match (found, recorded) {
        (Some(found), Some(recorded)) if found != recorded => Deleted::Replaced,
        _ => remove(root, name)?,
    };
    let path = root.netns_state(name);
    fs::remove_file(&path)
        .missing_ok()
        .with_context(|| format!("removing {}", path.display()))?;
    Ok(deleted)
}

/// The namespace that we made under `name`, whether it still exists or not.
pub fn made_by_us(root: &Root, name: &NsName) -> Option<Id> {
    let text = fs::read_to_string(root.netns_state(name)).ok()?;
    text.parse().ok()
}

fn remove(root: &Root, name: &NsName) -> Result<Deleted> {
    let path = root.netns(name);
    match umount2(&path, MntFlags::MNT_DETACH) {
        // EINVAL: a plain file, left behind.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => {
            return Err(errno).with_context(|| format!("unmounting {}", path.display()));
        }
    }
    match fs::remove_file(&path)
        .missing_ok()
        .with_context(|| format!("removing {}", path.display()))?
    {
        Some(()) => Ok(Deleted::Removed),
        None => Ok(Deleted::Missing),
    }
}

/// The processes in a namespace, as far as we may look.
pub fn processes(id: Id) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let entry = entry.context("reading /proc")?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process that ends meanwhile, or that we may not look at, is none.
        if Id::at(&entry.path().join("ns/net")).is_ok_and(|other| other == id) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether PID 1, which puts services into namespaces, sees the mount at `path` as we do.
pub fn seen_by_pid_1(root: &Root, name: &NsName, id: Id) -> bool {
    let path =
        Path::new("/proc/1/root").join(root.netns(name).strip_prefix("/").unwrap_or(Path::new("")));
    Id::at(&path).is_ok_and(|seen| seen == id)
}
