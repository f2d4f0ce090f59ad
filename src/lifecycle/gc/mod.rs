//! Leftovers of instances that are not up: links, tables, records, namespaces.
//!
//! Leftovers are listed first, and running instances afterwards, so that what belongs to an instance
//! that starts in between is not taken for a leftover. Both are checked again before each removal.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::register::Register;
use crate::namespace::{self, Id, LeftoverFile};
use crate::sys::command;
use crate::sys::file;
use crate::sys::lock::Lock;
use crate::systemd::manager::Manager;

mod in_use;
mod links;
mod records;
mod tables;

pub use in_use::InUse;
use links::LinkLocation;

/// A leftover of an instance.
#[derive(Debug)]
pub enum Leftover {
    Link {
        instance: Instance,
        place: LinkLocation,
        index: u32,
        name: String,
    },
    /// An nftables table in the host's namespace.
    Table {
        instance: Instance,
        name: String,
        handle: u64,
    },
    /// A setting of the host that was changed for an instance; the type library restores it.
    HostChange {
        instance: Instance,
        what: String,
        library: &'static str,
        function: &'static str,
    },
    /// The file that reserves the published ports of an instance.
    Ports {
        instance: Instance,
    },
    Record {
        instance: Instance,
        modified: records::ModificationTime,
    },
    /// Created by a unit that is not up.
    Namespace(NsName),
    File(LeftoverFile),
}

impl Leftover {
    fn nsname(&self) -> &NsName {
        match self {
            Leftover::Namespace(name)
            | Leftover::File(LeftoverFile::Plain(name) | LeftoverFile::Pin(name)) => name,
            Leftover::Link { instance, .. }
            | Leftover::Table { instance, .. }
            | Leftover::HostChange { instance, .. }
            | Leftover::Ports { instance }
            | Leftover::Record { instance, .. } => &instance.nsname,
        }
    }

    fn is_used(&self, used: &InUse) -> bool {
        match self {
            // It belongs to no instance, whatever is up.
            Leftover::File(LeftoverFile::Plain(_)) => false,
            Leftover::Namespace(name) | Leftover::File(LeftoverFile::Pin(name)) => used.name(name),
            // The table name used by a copy of nat.sh from an earlier version, under another type name.
            Leftover::Table { instance, .. } => used.name(&instance.nsname),
            Leftover::Link { instance, .. }
            | Leftover::Ports { instance }
            | Leftover::HostChange { instance, .. }
            | Leftover::Record { instance, .. } => used.instance(instance),
        }
    }

    /// Removes it unless it is in use by now. `false` if it no longer exists.
    ///
    /// # Errors
    /// It was not removed.
    pub fn remove(&self, root: &Root, manager: Option<&Manager>) -> Result<bool> {
        let Some(_lock) = Lock::try_take(&root.lock_of(self.nsname()))? else {
            bail!("'{}' is just starting or stopping", self.nsname());
        };
        if self.is_used(&InUse::read(root, manager)?) {
            bail!("'{}' was just started", self.nsname());
        }
        match self {
            Leftover::Link {
                instance,
                place,
                index,
                ..
            } => links::delete(place, *index, instance),
            Leftover::Table { handle, .. } => tables::delete(*handle).map(|()| true),
            Leftover::HostChange {
                instance,
                library,
                function,
                ..
            } => restore(root, instance, library, function).map(|()| true),
            Leftover::Ports { instance } => file::remove(&root.nat_ports(instance)),
            Leftover::Record { instance, modified } => {
                Register::of(root, &instance.nsname).remove(&instance.nstype)?;
                records::remove(root, instance, *modified)
            }
            Leftover::Namespace(name) => namespace::delete_interrupted(root, name).map(|()| true),
            Leftover::File(file) => namespace::remove_left_file(root, file),
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leftover::Link {
                instance,
                place,
                name,
                ..
            } => write!(f, "link {name} {place}, of {instance}"),
            Leftover::Table { instance, name, .. } => {
                write!(f, "nftables table inet {name}, of {instance}")
            }
            Leftover::HostChange { instance, what, .. } => write!(f, "{what}, for {instance}"),
            Leftover::Ports { instance } => write!(f, "published ports of {instance}"),
            Leftover::Record { instance, .. } => write!(f, "record of {instance}"),
            Leftover::Namespace(name) => write!(f, "namespace {name}"),
            Leftover::File(LeftoverFile::Plain(name)) => {
                write!(f, "file /run/netns/{name}, which is not a namespace")
            }
            Leftover::File(LeftoverFile::Pin(name)) => {
                write!(f, "namespace {name}, whose name was deleted")
            }
        }
    }
}

/// Fails if it cannot know what is up: links and tables belong to the network namespace, records of
/// running instances to `/run`.
///
/// # Errors
/// This is a network namespace or a container whose `/run` is not that of the network.
pub fn require_host(root: &Root) -> Result<()> {
    /// A sysctl that exists only in the initial network namespace.
    const INITIAL_NETWORK: &str = "/proc/sys/net/core/netdev_budget";
    /// The inode of the initial PID namespace (`PROC_PID_INIT_INO` in linux/proc_ns.h).
    const INITIAL_PROCESSES: u64 = 0xEFFF_FFFC;
    let inode = |path: &Path| {
        let found = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
        anyhow::Ok((found.dev(), found.ino()))
    };
    let run = root.path("/run");
    let why = if Id::current()? != Id::of_pid_1()? {
        "this is not the network namespace of the host"
    } else if inode(&run)? != inode(Path::new("/proc/1/root/run"))? {
        "this /run is not that of the host"
    } else if file::exists(Path::new(INITIAL_NETWORK))?
        && inode(Path::new("/proc/self/ns/pid"))?.1 != INITIAL_PROCESSES
    {
        "this container shares the network of its host, and not its processes"
    } else {
        return Ok(());
    };
    bail!("{why}: what is up cannot be known here")
}

/// All leftovers, in the order in which they can be removed, and what could not be read.
pub fn find(root: &Root, manager: Option<&Manager>) -> Result<(Vec<Leftover>, Vec<String>)> {
    let mut unreadable = Vec::new();
    let (mut found, unknown) = links::find(root, &mut unreadable)?;
    match tables::find() {
        Ok(tables) => found.extend(tables),
        Err(error) => unreadable.push(format!("{error:#}")),
    }
    found.extend(records::find(root)?);
    if manager.is_some() {
        let names = file::parsed(&root.unit_namespaces_dir())?.into_iter();
        found.extend(names.map(Leftover::Namespace));
    }
    let files = namespace::left_files(root)?;
    found.extend(files.into_iter().map(Leftover::File));
    let used = InUse::read(root, manager)?;
    found.retain(|leftover| !leftover.is_used(&used) && !unknown.contains(leftover.nsname()));
    let is_network =
        |leftover: &Leftover| matches!(leftover, Leftover::Link { .. } | Leftover::Table { .. });
    // In a container with the network of its host, they belong to the host.
    if !file::exists(&root.state_dir())? && found.iter().any(is_network) {
        found.retain(|leftover| !is_network(leftover));
        unreadable.push(format!(
            "whose links and tables there are: {} does not exist",
            root.state_dir().display()
        ));
    }
    Ok((found, unreadable))
}

/// Calls the function of the type library that restores what it has changed.
fn restore(root: &Root, instance: &Instance, library: &str, function: &str) -> Result<()> {
    const SCRIPT: &str = r#"set -e; NSTYPE=$1 NSNAME=$2; source "$3"; "$4""#;
    let library = root.share_dir().join(library);
    let library = library.to_str().context("its path is UTF-8")?;
    let bash = command::find("bash")?;
    let Instance { nstype, nsname } = instance;
    let names = [nstype.as_str(), nsname.as_str(), library, function];
    let mut words = vec!["--noprofile", "--norc", "-c", SCRIPT, "netnsctl"];
    words.extend(names);
    command::output(&bash, &words).map(drop)
}
