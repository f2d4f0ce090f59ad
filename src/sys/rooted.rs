//! Paths below another root that no symlink can leave, as after chroot(2) but for any user.
//!
//! A tree written by somebody else can contain any symlink. After [`confine`], each component of a
//! path below the tree is opened separately and symlinks are resolved here, so that absolute ones
//! and those with too many `..` stay in the tree. RESOLVE_IN_ROOT of openat2(2) does the same, but
//! not every kernel and container has it.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

static ROOT: OnceLock<(PathBuf, OwnedFd)> = OnceLock::new();

/// The kernel's limit of symlinks on a path (path_resolution(7)).
pub const SYMLINKS_MAX: usize = 40;

/// Confines this process to `directory`: other paths are refused from now on.
///
/// # Errors
/// The directory cannot be opened.
pub fn confine(directory: &Path) -> io::Result<()> {
    let opened = File::open(directory)?.into();
    ROOT.get_or_init(|| (directory.to_owned(), opened));
    Ok(())
}

/// A path to pass to system calls while this value lives.
#[derive(Debug)]
pub struct Resolved<'a> {
    path: Cow<'a, Path>,
    _descriptor: Option<OwnedFd>,
}

impl Deref for Resolved<'_> {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// The file at `path`, following symlinks.
pub fn target(path: &Path) -> io::Result<Resolved<'_>> {
    resolve(path, path, None)
}

/// The file at `path`, not following it if it is a symlink. It need not exist, but its directory must.
pub fn entry(path: &Path) -> io::Result<Resolved<'_>> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    resolve(path, path.parent().unwrap_or(path), Some(name))
}

/// Follows symlinks up to `followed`, the whole `path` or all of it but `name`.
fn resolve<'a>(path: &'a Path, followed: &Path, name: Option<&OsStr>) -> io::Result<Resolved<'a>> {
    let Some((root, directory)) = ROOT.get() else {
        return Ok(Resolved {
            path: path.into(),
            _descriptor: None,
        });
    };
    let below = followed.strip_prefix(root);
    let below = below.map_err(|_| io::ErrorKind::PermissionDenied)?;
    let descriptor = walk(directory, below)?;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    path.extend(name);
    Ok(Resolved {
        path: path.into(),
        _descriptor: Some(descriptor),
    })
}

fn walk(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    // The directories that were entered, for `..`: the parent of a directory may change meanwhile.
    let mut entered: Vec<OwnedFd> = Vec::new();
    let mut left: Vec<OsString> = Vec::new();
    push(&mut left, path, &mut entered);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            entered.pop();
            continue;
        }
        let from = entered.last().unwrap_or(root);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(from, name.as_os_str(), flags, Mode::empty())?;
        let kind = SFlag::from_bits_truncate(fstat(&opened)?.st_mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFLNK {
            entered.push(opened);
            continue;
        }
        links += 1;
        if links > SYMLINKS_MAX {
            return Err(Errno::ELOOP.into());
        }
        let to = PathBuf::from(readlinkat(&opened, "")?);
        push(&mut left, &to, &mut entered);
    }
    entered.pop().map_or_else(|| root.try_clone(), Ok)
}

/// Inserts the components of `path` before the remaining ones. An absolute path starts at the root.
fn push(left: &mut Vec<OsString>, path: &Path, entered: &mut Vec<OwnedFd>) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => left.push(name.to_owned()),
            Component::ParentDir => left.push("..".into()),
            Component::RootDir => entered.clear(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn no_symlink_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs::create_dir_all(root.join("etc/inner")).unwrap();
        fs::write(root.join("etc/file"), "inside").unwrap();
        fs::write(outside.path().join("file"), "outside").unwrap();
        fs::write(root.join("file"), "inside").unwrap();
        let descriptor: OwnedFd = File::open(&root).unwrap().into();
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        for (link, path, leads_to) in [
            ("/file", "link", "file"),
            ("../../../../file", "link", "file"),
            ("/etc/../../file", "link", "file"),
            ("etc", "link/file", "etc/file"),
            ("etc/inner/..", "link/file", "etc/file"),
            ("/proc/self/root/etc/file", "link", ""),
            ("/", "link/etc/file", "etc/file"),
            ("link", "link", ""),
            (outside.path().to_str().unwrap(), "link/file", ""),
        ] {
            let _ = fs::remove_file(root.join("link"));
            symlink(link, root.join("link")).unwrap();
            let found = walk(&descriptor, Path::new(path));
            match leads_to {
                "" => assert!(found.is_err(), "{link}"),
                _ => {
                    let found = fstat(found.unwrap()).unwrap().st_ino;
                    assert_eq!(found, inode(&root.join(leads_to)), "{link}");
                }
            }
        }
    }
}
