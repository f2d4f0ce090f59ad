//! Locks between processes of ours (flock(2)), in files that only root can open.
//!
//! The file is removed with the lock, so that nothing is left once nobody works.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::sys::file;

/// How often a lock that another process holds is tried again.
const INTERVAL: Duration = Duration::from_millis(20);

/// An exclusive lock, released when it is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock at `path`, and waits as long as another process holds it.
    pub fn take(path: &Path) -> Result<Self> {
        let lock = Self::get(path, FlockArg::LockExclusive)?;
        lock.with_context(|| format!("locking {}", path.display()))
    }

    /// Takes the lock at `path`; `None` where another process holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        Self::get(path, FlockArg::LockExclusiveNonblock)
    }

    /// Takes the lock at `path`.
    ///
    /// # Errors
    /// Another process holds it for longer than `limit`.
    pub fn take_within(path: &Path, limit: Duration) -> Result<Self> {
        let start = Instant::now();
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if start.elapsed() >= limit {
                bail!(
                    "{} is locked by another process (see fuser(1))",
                    path.display()
                );
            }
            thread::sleep(INTERVAL);
        }
    }

    fn get(path: &Path, how: FlockArg) -> Result<Option<Self>> {
        let locking = || format!("locking {}", path.display());
        if let Some(directory) = path.parent() {
            file::make_directory(directory, 0o700)?;
        }
        loop {
            let file = File::create(path).with_context(locking)?;
            let file = match Flock::lock(file, how) {
                Ok(file) => file,
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, Errno::EINTR)) => continue,
                Err((_, errno)) => return Err(errno).with_context(locking),
            };
            // The process that held it before has removed the file: that lock holds nobody back.
            if is_at(&file, path) {
                let path = path.to_owned();
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held; if the file stays, the next process takes it.
        let _ = fs::remove_file(&self.path);
    }
}
