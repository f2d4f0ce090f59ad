//! Files and directories: read if they exist, written whole or not at all, removed if they exist.
//!
//! Every error names the path.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use tempfile::NamedTempFile;

/// How our unfinished files are called; systemd and netnsinit both ignore hidden files.
const TEMPORARY_PREFIX: &str = ".systemd-netns-";

/// Whether a file of this name is one that a killed program of ours has left: tempfile adds six
/// letters or digits to the prefix.
pub fn is_temporary(name: &str) -> bool {
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
        temporary(path, content, mode)?
            .persist(path)
            .map_err(Into::into)
    };
    finish(path, replace())
}

/// Makes the file `path`, which must not be there, of `content` and permission bits `mode`.
///
/// # Errors
/// Names the path; what was there before, if anything was, is left as it is.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let make = || {
        let file = temporary(path, content, mode)?;
        file.persist_noclobber(path).map_err(Into::into)
    };
    finish(path, make())
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
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("making the directory {}", path.display()))
}

/// Makes what was renamed into or removed from `directory` survive a power cut.
pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("syncing {}", directory.display()))
}

/// The content of the regular file `path`; `None` where there is none.
///
/// # Errors
/// It cannot be read, or is something else, such as a FIFO, which would block its reader.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let reading = || format!("reading {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let Some(mut file) = options.open(path).missing_ok().with_context(reading)? else {
        return Ok(None);
    };
    if !file.metadata().with_context(reading)?.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).with_context(reading)?;
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
    let entries = fs::read_dir(directory).missing_ok().with_context(reading)?;
    let mut paths = Vec::new();
    for entry in entries.into_iter().flatten() {
        paths.push(entry.with_context(reading)?.path());
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

/// The file name of `path`, if it is UTF-8.
pub fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Removes the file `path`; `false` where there was none.
pub fn remove(path: &Path) -> Result<bool> {
    let removed = fs::remove_file(path).missing_ok();
    let removed = removed.with_context(|| format!("removing {}", path.display()))?;
    Ok(removed.is_some())
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
