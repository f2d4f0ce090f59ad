//! Temporary files, which are locked as long as a process writes to them: one that is not locked is a leftover
//! of a process that was killed.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use libc::{EISDIR, ELOOP, ENXIO, LOCK_EX, LOCK_NB, O_NOFOLLOW, O_NONBLOCK};
use tempfile::NamedTempFile;

use crate::sys::flock::flock;

/// The prefix of files that only we use. systemd and netnsinit ignore hidden files.
pub const HIDDEN_PREFIX: &str = ".systemd-netns-";

/// Whether this is the name of a temporary file of ours: tempfile appends six letters or digits to
/// the prefix.
pub fn is_temporary(name: &str) -> bool {
    name.strip_prefix(HIDDEN_PREFIX).is_some_and(|random| {
        random.len() == 6 && random.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

/// Writes a temporary file in the directory of `path`. It is removed when it is dropped.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    loop {
        let mut file = tempfile::Builder::new()
            .prefix(HIDDEN_PREFIX)
            .tempfile_in(directory)?;
        // Where files cannot be locked, none is taken for a leftover.
        let _ = flock(file.as_file(), LOCK_EX);
        // Before it was locked, another process may have removed it as a leftover.
        if file.as_file().metadata()?.nlink() == 0 {
            continue;
        }
        file.write_all(content)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        return Ok(file);
    }
}

/// Whether a file with the name of a temporary file is a regular file that no process writes to.
pub fn is_leftover(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    // NFS locks only what is open for writing.
    options.read(true).write(true);
    options.custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = match options.open(path) {
        // A symlink, a directory, a socket.
        Err(error) if matches!(error.raw_os_error(), Some(ELOOP | EISDIR | ENXIO)) => {
            return Ok(false);
        }
        file => file?,
    };
    Ok(file.metadata()?.is_file() && flock(&file, LOCK_EX | LOCK_NB).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_files_that_nobody_writes_are_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        let written = create(&directory.path().join("a"), b"text", 0o600).unwrap();
        assert!(!is_leftover(written.path()).unwrap());
        let left = directory.path().join(".systemd-netns-abcdef");
        fs::write(&left, "").unwrap();
        assert!(is_leftover(&left).unwrap());
        let link = directory.path().join(".systemd-netns-000000");
        std::os::unix::fs::symlink(&left, &link).unwrap();
        assert!(!is_leftover(&link).unwrap());
        assert!(!is_leftover(directory.path()).unwrap());
        let fifo = directory.path().join(".systemd-netns-111111");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(!is_leftover(&fifo).unwrap());
        let (_, path) = written.keep().unwrap();
        assert!(is_leftover(&path).unwrap());
    }

    #[test]
    fn names_of_temporary_files_are_known() {
        for (name, temporary) in [
            (".systemd-netns-aB3xY9", true),
            (".systemd-netns-journal", false),
            (".systemd-netns-abcde", false),
            ("systemd-netns-abcdef", false),
        ] {
            assert_eq!(is_temporary(name), temporary, "{name}");
        }
    }
}
