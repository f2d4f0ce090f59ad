//! Visiting many namespaces without changing them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::NetNs;
use crate::instance::paths::Root;
use crate::sys::file;

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

/// Runs `work` in each of `namespaces`, in a single thread of its own.
///
/// `work` does not run for a namespace that cannot be opened or entered.
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

/// All network namespaces that can be found: by name, by our second mounts, and by process.
pub fn all(root: &Root) -> Result<Vec<NetNs>> {
    let mut paths = files(root)?;
    paths.extend(file::entries(&root.pins_dir())?);
    paths.extend(
        file::entries(Path::new("/proc"))?
            .iter()
            .filter_map(|process| {
                let is_process = file::name_of(process)?.parse::<u32>().is_ok();
                is_process.then(|| process.join("ns/net"))
            }),
    );
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
