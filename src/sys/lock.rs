//! Locks between processes (flock(2)), mostly on lock files that only root can open.
//!
//! A lock file is removed when its lock is released.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libc::{LOCK_EX, LOCK_NB, LOCK_UN, c_int};

use crate::sys::file::{self, Missing};
use crate::sys::flock::flock;

/// The interval between attempts to take a lock.
const INTERVAL: Duration = Duration::from_millis(20);

/// An exclusive lock, released when it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Removed when the lock is released.
    path: Option<PathBuf>,
    file: File,
}

impl Lock {
    /// Takes the lock at `path`. Waits while another process holds it.
    pub fn take(path: &Path) -> Result<Self> {
        let lock = Self::get(path, LOCK_EX)?;
        lock.with_context(|| locked(path))
    }

    /// Takes the lock at `path`. `None` if another process holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        Self::get(path, LOCK_EX | LOCK_NB)
    }

    /// Takes the lock at `path`.
    ///
    /// # Errors
    /// One other process holds it for longer than `limit`. Many may come first, each for a short time.
    pub fn take_within(path: &Path, limit: Duration) -> Result<Self> {
        // Each of them creates a new file.
        let file = || {
            fs::metadata(path)
                .map(|found| (found.ino(), found.ctime_nsec()))
                .ok()
        };
        loop {
            let held = file();
            if let Some(lock) = within(limit, || Self::try_take(path))? {
                return Ok(lock);
            }
            ensure!(file() != held, locked(path));
        }
    }

    /// Locks an existing directory. `None` if another process holds the lock for longer than `limit`.
    /// Any user who can read the directory can hold its lock.
    pub fn directory(path: &Path, limit: Duration) -> Result<Option<Self>> {
        within(limit, || {
            let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
            let file = lock(path, file, LOCK_EX | LOCK_NB)?;
            Ok(file.map(|file| Self { path: None, file }))
        })
    }

    /// Locks a directory, which is created if it does not exist. Waits while another process holds the lock.
    pub fn own_directory(path: &Path) -> Result<Self> {
        loop {
            file::make_directory(path, 0o700)?;
            let directory = File::open(path).missing_ok();
            let directory = directory.with_context(|| format!("opening {}", path.display()))?;
            let Some(directory) = directory else { continue };
            let lock = lock(path, directory, LOCK_EX)?;
            // The previous owner may have removed the directory: a lock on it excludes nobody.
            if let Some(file) = lock.filter(|file| is_at(file, path)) {
                return Ok(Self { path: None, file });
            }
        }
    }

    fn get(path: &Path, how: c_int) -> Result<Option<Self>> {
        file::make_parent(path, 0o700)?;
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).mode(0o600);
            let file = options.open(path);
            let file = file.with_context(|| format!("opening {}", path.display()))?;
            let Some(file) = lock(path, file, how)? else {
                return Ok(None);
            };
            // The previous owner has removed the file: a lock on it excludes nobody.
            if is_at(&file, path) {
                let path = Some(path.to_owned());
                return Ok(Some(Self { path, file }));
            }
        }
    }
}

/// Whether another process has locked a file or directory, which need not exist.
pub fn is_locked(path: &Path) -> Result<bool> {
    let file = File::open(path).missing_ok();
    let Some(file) = file.with_context(|| format!("opening {}", path.display()))? else {
        return Ok(false);
    };
    Ok(lock(path, file, LOCK_EX | LOCK_NB)?.is_none())
}

/// The error if a lock is not released in time.
pub fn locked(path: &Path) -> String {
    format!(
        "{} is locked by another process (see fuser(1))",
        path.display()
    )
}

/// Retries until the lock is taken or `limit` has passed.
fn within(limit: Duration, take: impl Fn() -> Result<Option<Lock>>) -> Result<Option<Lock>> {
    let start = Instant::now();
    loop {
        let lock = take()?;
        if lock.is_some() || start.elapsed() >= limit {
            return Ok(lock);
        }
        thread::sleep(INTERVAL);
    }
}

/// Locks an open file or directory as `how` says. `None` if another process holds the lock and `how` says
/// not to wait.
fn lock(path: &Path, file: File, how: c_int) -> Result<Option<File>> {
    let taken = flock(&file, how).with_context(|| format!("locking {}", path.display()))?;
    Ok(taken.then_some(file))
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is released. If the file stays, the next process uses it.
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
        // A forked child may have the file open, too. If this fails, the end of both releases the lock.
        let _ = flock(&self.file, LOCK_UN);
    }
}
