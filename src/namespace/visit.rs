//! Visiting many namespaces without changing them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::NetNs;
use crate::instance::paths::Root;
use crate::sys::file;
use crate::sys::process;

impl NetNs {
    /// The network namespace of PID 1, or of this process if that of PID 1 cannot be read.
    pub fn host() -> Result<Self> {
        let found = Self::at("/proc/1/ns/net".into()).ok().flatten();
        match found {
            Some(host) => Ok(host),
            None => Self::at("/proc/self/ns/net".into())?.context("/proc is not mounted"),
        }
    }

    /// The file descriptor of the namespace.
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// The least number of namespaces for which another thread is worth its start.
const SHARE: usize = 32;

/// Runs `work` in a namespace, on a thread of its own.
///
/// # Errors
/// Those of `work`, or the namespace cannot be entered.
pub fn within<T: Send>(namespace: &NetNs, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            enter(namespace)?;
            work()
        });
        visitor.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs `work` in the namespace of each of `items`, on threads of their own, one for each processor. The
/// results are in the order of the items.
///
/// `work` does not run for a namespace that cannot be opened or entered.
pub fn visit<I: Sync, T: Send>(
    items: &[I],
    open: impl Fn(&I) -> Result<NetNs> + Sync,
    work: impl Fn(&I, &NetNs) -> Result<T> + Sync,
) -> Vec<Result<T>> {
    let visit = |item: &I| {
        let namespace = open(item)?;
        enter(&namespace)?;
        work(item, &namespace)
    };
    let visit_all = |part: &[I]| part.iter().map(visit).collect::<Vec<_>>();
    let threads = match items.len() {
        ..=SHARE => 1,
        _ => thread::available_parallelism().map_or(1, usize::from),
    };
    let share = items.len().div_ceil(threads).max(SHARE);
    thread::scope(|scope| {
        let parts = items.chunks(share);
        let visitors: Vec<_> = parts.map(|part| scope.spawn(|| visit_all(part))).collect();
        let results = visitors
            .into_iter()
            .flat_map(|visitor| visitor.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.collect()
    })
}

/// Enters a namespace with this thread, which must end there.
fn enter(namespace: &NetNs) -> Result<()> {
    setns(&namespace.file, CloneFlags::CLONE_NEWNET)
        .with_context(|| format!("entering {}", namespace.path.display()))
}

/// All network namespaces that can be found: by name, by our second mounts, and by process.
pub fn all(root: &Root) -> Result<Vec<NetNs>> {
    let mut paths = files(root)?;
    paths.extend(file::entries(&root.pins_dir())?);
    let pids = process::all()?.into_iter();
    paths.extend(pids.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net"))));
    let mut found = BTreeMap::new();
    for path in paths {
        // What cannot be opened is not a namespace, or belongs to a process that has exited.
        if let Ok(Some(namespace)) = NetNs::at(path) {
            found.insert(namespace.id, namespace);
        }
    }
    Ok(found.into_values().collect())
}

/// The files in `/run/netns`, namespaces or not, sorted by name.
pub fn files(root: &Root) -> Result<Vec<PathBuf>> {
    file::entries(&root.netns_dir())
}
