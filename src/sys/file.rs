//! Files and directories: read if they exist, written whole or not at all, removed if they exist.
//!
//! Every error names the path.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use tempfile::NamedTempFile;

use crate::sys::rooted;

/// How our unfinished files are called; systemd and netnsinit both ignore hidden files.
const TEMPORARY_PREFIX: &str = ".systemd-netns-";

/// Whether a file of this name is one that a killed program of ours has left: tempfile adds six
/// letters or digits to the prefix.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX).is_some_and(|random| {
        random.len() == 6 && random.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

/// Replaces `path` by a file of `content` and permission bits `mode`, or leaves it as it was.
///
/// # Errors
/// Names the path; the file that was there before is then still there, whole.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let replace = || {
        let entry = rooted::entry(path)?;
        let file = temporary(&entry, content, mode)?;
        file.persist(&*entry).map_err(Into::into)
    };
    finish(path, replace())
}

/// Makes the file `path`, which must not be there, of `content` and permission bits `mode`.
///
/// # Errors
/// Names the path; what was there before, if anything was, is left as it is.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let make = || {
        let entry = rooted::entry(path)?;
        let file = temporary(&entry, content, mode)?;
        file.persist_noclobber(&*entry).map_err(Into::into)
    };
    finish(path, make())
}

/// Gives the file `path`, which is there, another content, and leaves it the same inode: where it is
/// bind-mounted, another file of its name would not be seen.
///
/// The content comes by one write(2), padded with newlines to the old length until it is cut off, so
/// that readers always see lines of one of the two. A longer one is first written to a file beside,
/// which takes the space that it needs, and from which [`repair`] finishes what was killed.
///
/// # Errors
/// Names the path, which then holds what it held, or does so after `repair`.
pub fn write_in_place(path: &Path, content: &[u8]) -> Result<()> {
    let (old, beside) = (read(path)?.unwrap_or_default(), beside(path));
    if content.len() > old.len() {
        write(&beside, content, 0o600)?;
    }
    let written = overwrite(path, content);
    if written.is_ok() || overwrite(path, &old).is_ok() {
        remove(&beside)?;
    }
    written.with_context(|| format!("writing {}", path.display()))
}

/// Finishes an interrupted [`write_in_place`] of `path`.
pub fn repair(path: &Path) -> Result<()> {
    let beside = beside(path);
    if let Some(content) = read(&beside)? {
        if exists(path) {
            overwrite(path, &content).with_context(|| format!("repairing {}", path.display()))?;
        }
        remove(&beside)?;
    }
    Ok(())
}

fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len() as usize;
    let mut padded = content.to_vec();
    padded.resize(content.len().max(length), b'\n');
    file.write_all_at(&padded, 0)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// Where the content of a file waits that is written in place.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY_PREFIX}{name}"))
}

/// A file of a temporary name in the directory of `path`.
fn temporary(path: &Path, content: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn finish(path: &Path, result: io::Result<File>) -> Result<()> {
    result
        .map(drop)
        .map_err(bare)
        .with_context(|| format!("writing {}", path.display()))
}

/// tempfile adds the temporary path to its errors, which says nothing to the reader.
fn bare(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => error.kind().into(),
    }
}

/// Makes `path` and its missing parents, with permission bits `mode`.
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let make = |path: &Path| -> io::Result<()> {
        let made = fs::DirBuilder::new()
            .mode(mode)
            .create(&*rooted::entry(path)?);
        match made {
            // By another process.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::metadata(&*rooted::target(path)?)?.is_dir() {
                    true => Ok(()),
                    false => Err(io::ErrorKind::NotADirectory.into()),
                }
            }
            made => made,
        }
    };
    let make_all = || {
        let mut missing = Vec::new();
        for ancestor in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            match metadata_of(ancestor)? {
                Some(metadata) if metadata.is_dir() => break,
                _ => missing.push(ancestor),
            }
        }
        missing.into_iter().rev().try_for_each(make)
    };
    make_all().with_context(|| format!("making the directory {}", path.display()))
}

/// Makes what was renamed into or removed from `directory` survive a power cut.
pub fn sync_directory(directory: &Path) -> Result<()> {
    rooted::target(directory)
        .and_then(|directory| File::open(&*directory))
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("syncing {}", directory.display()))
}

/// Opens the regular file `path` for reading; `None` where there is none.
///
/// # Errors
/// It cannot be read, or is something else, such as a FIFO, which would block its reader.
pub fn open(path: &Path) -> Result<Option<File>> {
    let reading = || format!("reading {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let opened = rooted::target(path).and_then(|path| options.open(&*path));
    let Some(file) = opened.missing_ok().with_context(reading)? else {
        return Ok(None);
    };
    if !file.metadata().with_context(reading)?.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    Ok(Some(file))
}

/// The content of the regular file `path`; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(mut file) = open(path)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(Some(content))
}

/// The same as text; bytes that are not UTF-8 become U+FFFD.
pub fn read_text(path: &Path) -> Result<Option<String>> {
    let text = |content: Vec<u8>| String::from_utf8_lossy(&content).into_owned();
    Ok(read(path)?.map(text))
}

/// The paths in `directory`, sorted; none where it does not exist.
pub fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", directory.display());
    let entries = rooted::target(directory).and_then(|directory| fs::read_dir(&*directory));
    let entries = entries.missing_ok().with_context(reading)?;
    let mut paths = Vec::new();
    for entry in entries.into_iter().flatten() {
        paths.push(directory.join(entry.with_context(reading)?.file_name()));
    }
    paths.sort();
    Ok(paths)
}

/// The file names in `directory` that are UTF-8, sorted; none where it does not exist.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let names = entries(directory)?.into_iter();
    Ok(names
        .filter_map(|path| Some(name_of(&path)?.to_owned()))
        .collect())
}

/// What `path` leads to; `None` where that does not exist.
pub fn metadata(path: &Path) -> Result<Option<Metadata>> {
    metadata_of(path).with_context(|| format!("looking at {}", path.display()))
}

fn metadata_of(path: &Path) -> io::Result<Option<Metadata>> {
    rooted::target(path)
        .and_then(|path| fs::metadata(&*path))
        .missing_ok()
}

/// What the symlink `path` holds; `None` where there is none.
pub fn read_link(path: &Path) -> Option<PathBuf> {
    let path = rooted::entry(path).ok()?;
    fs::read_link(&*path).ok()
}

/// Whether there is something called `path`, and be it a symlink that leads nowhere.
pub fn exists(path: &Path) -> bool {
    rooted::entry(path).is_ok_and(|path| fs::symlink_metadata(&*path).is_ok())
}

/// The file name of `path`, if it is UTF-8.
pub fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Removes the file `path`; `false` where there was none.
pub fn remove(path: &Path) -> Result<bool> {
    let removed = rooted::entry(path).and_then(|path| fs::remove_file(&*path));
    let removed = removed.missing_ok();
    let removed = removed.with_context(|| format!("removing {}", path.display()))?;
    Ok(removed.is_some())
}

/// Removes the directory `path` if it is empty; that it is not, or cannot be removed, is no error.
pub fn remove_empty(path: &Path) {
    let _ = rooted::entry(path).and_then(|path| fs::remove_dir(&*path));
}

/// Removes the files in `directory` that killed programs have left. No program may be writing there.
pub fn remove_temporary(directory: &Path) -> Result<()> {
    for path in entries(directory)? {
        let temporary = name_of(&path).is_some_and(is_temporary);
        if temporary && metadata(&path)?.is_some_and(|metadata| metadata.is_file()) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes the directory `path` with all that is in it; `false` where there was none.
pub fn remove_tree(path: &Path) -> Result<bool> {
    let removed = fs::remove_dir_all(path).missing_ok();
    let removed = removed.with_context(|| format!("removing {}", path.display()))?;
    Ok(removed.is_some())
}

/// The result of looking for something that need not be there.
pub trait Missing<T> {
    /// `None` where there is no such file.
    fn missing_ok(self) -> io::Result<Option<T>>;
}

impl<T> Missing<T> for io::Result<T> {
    fn missing_ok(self) -> io::Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A name that is too long for the file system cannot be there either.
fn is_missing(error: &io::Error) -> bool {
    let too_long = error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32);
    too_long
        || matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
}
