//! Trust in files to source: only root, or the caller, may be able to write them.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::sys::command::quoted;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::rooted::SYMLINKS_MAX;

/// Whether to refuse files that others than root (or the caller) can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Checked,
    Blind,
}

impl Trust {
    /// `NETNS_TRUST=no` in the environment disables the check.
    pub fn from_environment() -> Self {
        match std::env::var_os("NETNS_TRUST") {
            Some(word) if word == "no" => Trust::Blind,
            _ => Trust::Checked,
        }
    }

    /// Refuses files that another user can write, or replace through a directory or symlink on their
    /// path.
    ///
    /// # Errors
    /// With [`Exit::Config`], the path, and the command that fixes it.
    pub fn check<'a>(self, files: impl Iterator<Item = &'a Path>) -> Result<()> {
        self.check_for(nix::unistd::geteuid().as_raw(), files)
    }

    /// Checks one file as if the caller were root.
    pub fn check_for_root(self, file: &Path) -> Result<()> {
        self.check_for(0, std::iter::once(file))
    }

    fn check_for<'a>(self, caller: u32, files: impl Iterator<Item = &'a Path>) -> Result<()> {
        if self == Trust::Blind {
            return Ok(());
        }
        let mut walk = Walk {
            caller,
            trusted: BTreeSet::new(),
        };
        for file in files {
            walk.to(file).or_exit(Exit::Config)?;
        }
        Ok(())
    }
}

/// Walks from `/` to a file, one component at a time. Only root and the caller can change the
/// components it has accepted, so bash finds the same files at the same paths afterwards.
struct Walk {
    caller: u32,
    trusted: BTreeSet<PathBuf>,
}

impl Walk {
    fn to(&mut self, file: &Path) -> Result<()> {
        let mut ahead: Vec<PathBuf> = Vec::new();
        let push = |ahead: &mut Vec<PathBuf>, path: &Path| {
            let names = path
                .components()
                .map(|name| PathBuf::from(name.as_os_str()));
            let at = ahead.len();
            ahead.extend(names);
            ahead[at..].reverse();
        };
        let absolute =
            std::path::absolute(file).with_context(|| format!("resolving {}", file.display()))?;
        push(&mut ahead, &absolute);
        let mut symlinks = 0;
        let mut here = PathBuf::new();
        while let Some(name) = ahead.pop() {
            match name.components().next() {
                Some(Component::ParentDir) => {
                    here.pop();
                    continue;
                }
                Some(Component::CurDir) | None => continue,
                _ => {}
            }
            // Whoever can write the directory can replace a file or symlink in it.
            let holds_file = ahead.is_empty();
            if holds_file {
                self.check_directory(&here)?;
            }
            let path = here.join(&name);
            if !holds_file && self.trusted.contains(&path) {
                here = path;
                continue;
            }
            let metadata = look(&path)?;
            if !metadata.is_symlink() {
                self.check(&path, &metadata)?;
                self.trusted.insert(path.clone());
                here = path;
                continue;
            }
            self.refuse(&path, distrust(&metadata, self.caller))?;
            symlinks += 1;
            if symlinks > SYMLINKS_MAX {
                bail!("{}: too many symbolic links", file.display());
            }
            let target =
                fs::read_link(&path).with_context(|| format!("resolving {}", path.display()))?;
            if target.is_absolute() {
                here = PathBuf::new();
            }
            push(&mut ahead, &target);
        }
        Ok(())
    }

    fn check(&self, path: &Path, metadata: &Metadata) -> Result<()> {
        let distrust = distrust(metadata, self.caller);
        let sticky = metadata.permissions().mode() & 0o1000 != 0;
        match distrust {
            // In a sticky directory, users can move only their own files (unlink(2)).
            Some(Distrust::Mode(_)) if metadata.is_dir() && sticky => Ok(()),
            distrust => self.refuse(path, distrust),
        }
    }

    fn check_directory(&self, path: &Path) -> Result<()> {
        self.refuse(path, distrust(&look(path)?, self.caller))
    }

    fn refuse(&self, path: &Path, distrust: Option<Distrust>) -> Result<()> {
        match distrust {
            None => Ok(()),
            Some(Distrust::Owner(uid)) => bail!(
                "{} is owned by user {uid}, not root: if you trust its content, run 'chown -h root {}'",
                path.display(),
                quoted(path)
            ),
            Some(Distrust::Mode(mode)) => bail!(
                "{} is writable by others (mode {mode:04o}): if you trust its content, run 'chmod go-w {}'",
                path.display(),
                quoted(path)
            ),
        }
    }
}

fn look(path: &Path) -> Result<Metadata> {
    fs::symlink_metadata(path).with_context(|| format!("looking at {}", path.display()))
}

#[derive(Debug, PartialEq, Eq)]
enum Distrust {
    Owner(u32),
    Mode(u32),
}

fn distrust(metadata: &Metadata, caller: u32) -> Option<Distrust> {
    let mode = metadata.permissions().mode() & 0o7777;
    if ![0, caller].contains(&metadata.uid()) {
        Some(Distrust::Owner(metadata.uid()))
    } else if mode & 0o022 != 0 && !metadata.is_symlink() {
        Some(Distrust::Mode(mode))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_caller_are_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let owner = metadata.uid();
        assert_eq!(distrust(&metadata, owner), None);
        if owner != 0 {
            assert_eq!(distrust(&metadata, owner + 1), Some(Distrust::Owner(owner)));
        }
    }
}
