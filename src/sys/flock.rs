//! Locks of open files (flock(2)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::c_int;
use nix::errno::Errno;

/// Locks an open file or directory as `how` says, until all its descriptors are closed. `false` if another
/// process holds the lock and `how` says not to wait.
///
/// Not by `nix::fcntl::Flock`, which panics if the kernel refuses to unlock.
pub fn flock(file: &File, how: c_int) -> io::Result<bool> {
    loop {
        // SAFETY: the descriptor is open as long as `file`.
        match Errno::result(unsafe { libc::flock(file.as_raw_fd(), how) }) {
            Ok(_) => return Ok(true),
            Err(Errno::EWOULDBLOCK) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
