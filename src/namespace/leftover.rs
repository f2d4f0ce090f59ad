//! Files of ours that namespaces have left behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{FILE_MODE, NetNs, lock_directory, remove};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::file::{self, Missing};

/// A file that is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftoverFile {
    /// Below `/run/netns`: no namespace is mounted there any more.
    Plain(NsName),
    /// Ours below `/run/systemd-netns`: it holds a namespace that has no name any more.
    Pin(NsName),
}

/// All of them. One that is being made is none: it has become a namespace when we look.
pub fn left_files(root: &Root) -> Result<Vec<LeftoverFile>> {
    let mut found = Vec::new();
    let directories = [root.netns_dir(), root.pins_dir()];
    let kinds = [LeftoverFile::Plain, LeftoverFile::Pin];
    // Without the directory, there have never been any.
    if !root.netns_dir().exists() {
        return Ok(found);
    }
    let _lock = lock_directory(&root.netns_dir())?;
    for (directory, kind) in directories.iter().zip(kinds) {
        for name in file::names(directory)? {
            let Ok(name) = name.parse() else {
                continue; // no name of ours
            };
            let file = kind(name);
            if is_left(root, &file)? {
                found.push(file);
            }
        }
    }
    Ok(found)
}

/// Removes a file; `false` where it is not left over any more.
pub fn remove_left_file(root: &Root, file: &LeftoverFile) -> Result<bool> {
    let _lock = lock_directory(&root.netns_dir())?;
    if !is_left(root, file)? {
        return Ok(false);
    }
    match file {
        LeftoverFile::Plain(name) => remove(&root.netns(name))?,
        LeftoverFile::Pin(name) => remove(&root.pin(name))?,
    };
    Ok(true)
}

fn is_left(root: &Root, file: &LeftoverFile) -> Result<bool> {
    match file {
        LeftoverFile::Plain(name) => {
            let path = root.netns(name);
            Ok(is_plain(&path)? && is_plain(&for_pid_1(&path))?)
        }
        LeftoverFile::Pin(name) => {
            let path = root.pin(name);
            let Some(pinned) = NetNs::at(path.clone())? else {
                return is_plain(&path);
            };
            let named = NetNs::open(root, name)?;
            Ok(named.is_none_or(|named| named.id != pinned.id))
        }
    }
}

/// Whether it is a file as we make them, and no namespace is mounted on it.
fn is_plain(path: &Path) -> Result<bool> {
    let looking = || format!("looking at {}", path.display());
    let metadata = fs::symlink_metadata(path).missing_ok();
    let Some(metadata) = metadata.with_context(looking)? else {
        return Ok(false);
    };
    let as_we_make_them = metadata.is_file()
        && metadata.len() == 0
        && metadata.permissions().mode() & 0o7777 == FILE_MODE
        && metadata.uid() == 0;
    Ok(as_we_make_them && NetNs::at(path.to_owned())?.is_none())
}

/// Where we have mounts of our own, a namespace may be mounted there all the same.
fn for_pid_1(path: &Path) -> PathBuf {
    Path::new("/proc/1/root").join(path.strip_prefix("/").unwrap_or(path))
}
