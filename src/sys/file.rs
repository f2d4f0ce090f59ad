//! Files and directories: read if they exist, written atomically, removed if they exist.
//!
//! Every error names the path.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use crate::sys::rooted;
use crate::sys::temporary::{self, HIDDEN_PREFIX, is_temporary};

/// Replaces `path` with a file of `content` and permission bits `mode`, atomically.
///
/// # Errors
/// Names the path. The previous file is unchanged.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let replace = || {
        clean_beside(path);
        let entry = rooted::entry(path)?;
        let file = temporary::create(&entry, content, mode)?;
        file.persist(&*entry).map_err(Into::into)
    };
    finish(path, replace())
}

/// Creates the file `path`, which must not exist, with `content` and permission bits `mode`.
///
/// # Errors
/// Names the path. An existing file is unchanged.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let make = || {
        clean_beside(path);
        let entry = rooted::entry(path)?;
        let file = temporary::create(&entry, content, mode)?;
        file.persist_noclobber(&*entry).map_err(Into::into)
    };
    finish(path, make())
}

/// Writes new content to the existing file `path` and keeps its inode: where the file is
/// bind-mounted, a replacement would not be seen.
///
/// A single write(2) writes the content, padded with newlines to the old length, before the file is
/// truncated, so readers see either the old lines or the new ones. Longer content is first written
/// to a second file, which reserves the space, and from which [`repair`] finishes after a kill.
///
/// # Errors
/// Names the path. The file has its old content, or has it again after `repair`.
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
        if exists(path)? {
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

/// The second file of [`write_in_place`].
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{HIDDEN_PREFIX}{name}"))
}

/// Removes leftovers beside `path`, once for each directory. They do no harm, so no write depends on it.
fn clean_beside(path: &Path) {
    static CLEANED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let directory = path.parent().unwrap_or(path);
    let mut cleaned = CLEANED.lock().unwrap_or_else(PoisonError::into_inner);
    if cleaned.insert(directory.to_owned()) {
        let _ = remove_temporary(directory);
    }
}

fn finish(path: &Path, result: io::Result<File>) -> Result<()> {
    result
        .map(drop)
        .map_err(bare)
        .with_context(|| format!("writing {}", path.display()))
}

/// Removes the temporary path that tempfile adds to its errors, which means nothing to the reader.
fn bare(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => error.kind().into(),
    }
}

/// Creates `path` and its missing parents with permission bits `mode`.
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let make = |path: &Path| -> io::Result<()> {
        let made = fs::DirBuilder::new()
            .mode(mode)
            .create(&*rooted::entry(path)?);
        match made {
            // Another process created it.
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
    make_all().with_context(|| format!("creating the directory {}", path.display()))
}

/// Creates the missing directories of the file `path` with permission bits `mode`.
pub fn make_parent(path: &Path, mode: u32) -> Result<()> {
    path.parent()
        .map_or(Ok(()), |directory| make_directory(directory, mode))
}

/// Syncs `directory`, so that renames and removals in it survive a power failure.
pub fn sync_directory(directory: &Path) -> Result<()> {
    rooted::target(directory)
        .and_then(|directory| File::open(&*directory))
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("syncing {}", directory.display()))
}

/// Opens the regular file `path` for reading. `None` if it does not exist.
///
/// # Errors
/// It cannot be read, or is not a regular file: opening a FIFO would block.
pub fn open(path: &Path) -> Result<Option<File>> {
    Ok(open_with_size(path)?.map(|(file, _)| file))
}

fn open_with_size(path: &Path) -> Result<Option<(File, u64)>> {
    let reading = || format!("reading {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let opened = rooted::target(path).and_then(|path| options.open(&*path));
    let Some(file) = opened.missing_ok().with_context(reading)? else {
        return Ok(None);
    };
    let metadata = file.metadata().with_context(reading)?;
    if !metadata.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    Ok(Some((file, metadata.len())))
}

/// The content of the regular file `path`. `None` if it does not exist.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    read_start(path, u64::MAX)
}

/// At most the first `limit` bytes of the regular file `path`. `None` if it does not exist.
pub fn read_start(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some((file, size)) = open_with_size(path)? else {
        return Ok(None);
    };
    let reading = || format!("reading {}", path.display());
    let mut content = Vec::new();
    let expected = usize::try_from(size.min(limit)).unwrap_or(usize::MAX);
    content.try_reserve_exact(expected).with_context(reading)?;
    // A file without a limit would be asked for its size and position again.
    let read = file.take(limit).read_to_end(&mut content);
    read.with_context(reading)?;
    Ok(Some(content))
}

/// The content as text. Bytes that are not UTF-8 become U+FFFD.
pub fn read_text(path: &Path) -> Result<Option<String>> {
    let text = |content: Vec<u8>| String::from_utf8_lossy(&content).into_owned();
    Ok(read(path)?.map(text))
}

/// The paths in `directory`, sorted. Empty if it does not exist.
pub fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let names = list(directory, |entry| entry.file_name())?.into_iter();
    Ok(names.map(|name| directory.join(name)).collect())
}

/// The UTF-8 file names in `directory`, sorted. Empty if it does not exist.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let names = list(directory, |entry| entry.file_name())?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// The names in `directory` that are valid as `T`, sorted. Empty if it does not exist.
pub fn parsed<T: FromStr>(directory: &Path) -> Result<Vec<T>> {
    let names = names(directory)?.into_iter();
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// A name in a directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub name: OsString,
    /// It is a regular file, not even a symlink to one. Known without a look at the file.
    pub regular: bool,
}

/// The names in `directory`, sorted. Empty if it does not exist.
pub fn listing(directory: &Path) -> Result<Vec<Listed>> {
    list(directory, |entry| Listed {
        name: entry.file_name(),
        regular: entry.file_type().is_ok_and(|kind| kind.is_file()),
    })
}

fn list<T: Ord>(directory: &Path, of: impl Fn(&DirEntry) -> T) -> Result<Vec<T>> {
    let reading = || format!("reading {}", directory.display());
    let resolved = rooted::target(directory);
    let entries = resolved.and_then(|directory| fs::read_dir(&*directory));
    let entries = entries.missing_ok().with_context(reading)?;
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        found.push(of(&entry.with_context(reading)?));
    }
    found.sort_unstable();
    Ok(found)
}

/// The metadata of `path`, following symlinks. `None` if it does not exist.
pub fn metadata(path: &Path) -> Result<Option<Metadata>> {
    metadata_of(path).with_context(|| format!("looking at {}", path.display()))
}

fn metadata_of(path: &Path) -> io::Result<Option<Metadata>> {
    rooted::target(path)
        .and_then(|path| fs::metadata(&*path))
        .missing_ok()
}

/// The metadata of `path`, not following symlinks. `None` if it does not exist.
pub fn symlink_metadata(path: &Path) -> Result<Option<Metadata>> {
    let found = rooted::entry(path).and_then(|path| fs::symlink_metadata(&*path));
    let found = found.missing_ok();
    found.with_context(|| format!("looking at {}", path.display()))
}

/// The target of the symlink `path`. `None` if it does not exist or is no symlink.
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    let target = rooted::entry(path).and_then(|path| fs::read_link(&*path));
    match target {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        target => target
            .missing_ok()
            .with_context(|| format!("reading the symlink {}", path.display())),
    }
}

/// Whether `path` exists, even as a dangling symlink.
///
/// # Errors
/// It cannot be known, as without permission to look.
pub fn exists(path: &Path) -> Result<bool> {
    Ok(symlink_metadata(path)?.is_some())
}

/// The file name of `path`, if it is UTF-8.
pub fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Removes the file `path`. `false` if it did not exist.
pub fn remove(path: &Path) -> Result<bool> {
    let removed = rooted::entry(path).and_then(|path| fs::remove_file(&*path));
    let removed = removed.missing_ok();
    let removed = removed.with_context(|| format!("removing {}", path.display()))?;
    Ok(removed.is_some())
}

/// Removes the directory `path` if it is empty. It is not an error if it cannot be removed.
pub fn remove_empty(path: &Path) {
    let _ = rooted::entry(path).and_then(|path| fs::remove_dir(&*path));
}

/// Removes temporary files that killed programs left in `directory`.
pub fn remove_temporary(directory: &Path) -> Result<()> {
    for path in leftovers(directory)? {
        remove(&path)?;
    }
    Ok(())
}

/// The temporary files that killed programs left in `directory`.
pub fn leftovers(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in names(directory)?.iter().filter(|name| is_temporary(name)) {
        let path = directory.join(name);
        let leftover = rooted::entry(&path).and_then(|path| temporary::is_leftover(&path));
        let leftover = leftover.missing_ok();
        if leftover.with_context(|| format!("looking at {}", path.display()))? == Some(true) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Removes the directory `path` with its contents. `false` if it did not exist.
pub fn remove_tree(path: &Path) -> Result<bool> {
    let removed = fs::remove_dir_all(path).missing_ok();
    let removed = removed.with_context(|| format!("removing {}", path.display()))?;
    Ok(removed.is_some())
}

/// The result of looking for something that may not exist.
pub trait Missing<T> {
    /// `None` if there is no such file.
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

/// A file whose name is too long for the file system does not exist either.
fn is_missing(error: &io::Error) -> bool {
    let too_long = error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32);
    too_long
        || matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
}
