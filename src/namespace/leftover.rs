//! Leftover files of namespaces.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Result;

use super::{FILE_MODE, NetNs, for_pid_1, lock_directory, remove};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::file;

/// A leftover file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftoverFile {
    /// Below `/run/netns`: no namespace is mounted on it.
    Plain(NsName),
    /// Ours, below `/run/systemd-netns`: it holds a namespace that no longer has a name.
    Pin(NsName),
}

/// All leftover files. Does not list a file on which a namespace is about to be mounted.
pub fn left_files(root: &Root) -> Result<Vec<LeftoverFile>> {
    let mut found = Vec::new();
    let directories = [root.netns_dir(), root.pins_dir()];
    let kinds = [LeftoverFile::Plain, LeftoverFile::Pin];
    // Without the directory, there are none.
    if !file::exists(&root.netns_dir())? {
        return Ok(found);
    }
    let _lock = lock_directory(&root.netns_dir())?;
    for (directory, kind) in directories.iter().zip(kinds) {
        for name in file::parsed(directory)? {
            let file = kind(name);
            if is_left(root, &file)? {
                found.push(file);
            }
        }
    }
    Ok(found)
}

/// Removes a file. `false` if it is no longer a leftover.
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
            // In our own mount namespace we may not see a namespace that is mounted on it elsewhere.
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

/// Whether we created the file and no namespace is mounted on it.
fn is_plain(path: &Path) -> Result<bool> {
    let Some(metadata) = file::symlink_metadata(path)? else {
        return Ok(false);
    };
    let as_we_make_them = metadata.is_file()
        && metadata.len() == 0
        && metadata.permissions().mode() & 0o7777 == FILE_MODE
        && metadata.uid() == 0;
    Ok(as_we_make_them && NetNs::at(path.to_owned())?.is_none())
}
