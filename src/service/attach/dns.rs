//! `/etc/netns/NSNAME/resolv.conf`: a file that is there whenever a service that it is bound for
//! starts.
//!
//! Types share it with us (`contrib/types/dns.bash`): a first line that tells who has written the
//! file, then a part for each that has something in it, headed by a comment with an at sign. It is
//! made before it is bound, and from then on written in place. A file without that first line is
//! the administrator's, and left alone. Our part stays while services are attached, so that the
//! file does not go when a type takes its own part out.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::file::{self, Missing};

const MARK: &str = "# Written by systemd-netns, which removes it";
const WITH_DIRECTORY: &str = " and its directory.";

/// The file of one namespace.
#[derive(Debug)]
pub struct ResolvConf {
    pub path: PathBuf,
    name: NsName,
    run: PathBuf,
}

/// What the file was, to be put back.
#[derive(Debug)]
pub struct Before(Option<Vec<u8>>);

/// How it came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Servers {
    /// The file names some.
    Some,
    /// It names none, so that no name can be resolved.
    None,
}

impl ResolvConf {
    pub fn of(root: &Root, name: &NsName) -> Self {
        Self {
            path: root.netns_etc(name).join("resolv.conf"),
            name: name.clone(),
            run: root.path("/run"),
        }
    }

    /// The administrator's own file, which we do not write.
    pub fn is_foreign(&self) -> Result<bool> {
        Ok(self.read()?.is_some_and(|text| !text.starts_with(MARK)))
    }

    /// Makes sure that there is such a file, with our part in it: the servers given, else those
    /// that were there.
    pub fn prepare(&self, servers: &[IpAddr]) -> Result<Before> {
        let _lock = self.lock()?;
        let before = self.read()?;
        let text = before.as_deref();
        if text.is_some_and(|text| !text.starts_with(MARK)) {
            if !servers.is_empty() {
                bail!(
                    "{} is not ours to write: put the name servers there",
                    self.path.display()
                );
            }
            return Ok(Before(before.map(String::into_bytes)));
        }
        let new = with_part(text, &self.name, servers, !self.directory().exists());
        match text {
            Some(old) if *old == new => {}
            Some(_) => self.write_in_place(new.as_bytes())?,
            None => {
                file::make_directory(self.directory(), 0o755)?;
                if let Err(error) = file::write(&self.path, new.as_bytes(), 0o644) {
                    if new
                        .lines()
                        .next()
                        .is_some_and(|line| line.ends_with(WITH_DIRECTORY))
                    {
                        let _ = fs::remove_dir(self.directory());
                    }
                    return Err(error);
                }
            }
        }
        Ok(Before(before.map(String::into_bytes)))
    }

    /// Takes back what `prepare` did.
    pub fn put_back(&self, before: &Before) -> Result<()> {
        let _lock = self.lock()?;
        match &before.0 {
            Some(content) => {
                if fs::read(&self.path).missing_ok()?.as_ref() == Some(content) {
                    return Ok(());
                }
                self.write_in_place(content)
            }
            None => self.remove(&self.read()?.unwrap_or_default()),
        }
    }

    /// Takes our part out; a file that holds nothing else goes.
    pub fn release(&self) -> Result<()> {
        let _lock = self.lock()?;
        let Some(text) = self.read()?.filter(|text| text.starts_with(MARK)) else {
            return Ok(());
        };
        let rest = without_part(&text, &self.name);
        if rest.lines().count() <= 1 {
            return self.remove(&text);
        }
        if rest == text {
            return Ok(());
        }
        self.write_in_place(rest.as_bytes())
    }

    /// Whether the file names a server, now.
    pub fn servers(&self) -> Result<Servers> {
        let text = self.read()?.unwrap_or_default();
        let named = text.lines().any(|line| line.starts_with("nameserver"));
        Ok(if named { Servers::Some } else { Servers::None })
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn read(&self) -> Result<Option<String>> {
        let bytes = fs::read(&self.path)
            .missing_ok()
            .with_context(|| format!("reading {}", self.path.display()))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// What is bound is the file itself, not its name: another of that name would not be seen.
    fn write_in_place(&self, content: &[u8]) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()
        };
        write().with_context(|| format!("writing {}", self.path.display()))
    }

    fn remove(&self, text: &str) -> Result<()> {
        fs::remove_file(&self.path)
            .missing_ok()
            .with_context(|| format!("removing {}", self.path.display()))?;
        let mark = text.lines().next().unwrap_or_default();
        if mark.ends_with(WITH_DIRECTORY) {
            // Others may have put something there since.
            let _ = fs::remove_dir(self.directory());
            if let Some(parent) = self.directory().parent() {
                let _ = fs::remove_dir(parent);
            }
        }
        Ok(())
    }

    /// The types take the same lock.
    fn lock(&self) -> Result<Option<Flock<File>>> {
        let locking = || format!("locking {}", self.run.display());
        let Some(open) = File::open(&self.run).missing_ok().with_context(locking)? else {
            return Ok(None);
        };
        match Flock::lock(open, FlockArg::LockExclusive) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, errno)) => Err(errno).with_context(locking),
        }
    }
}

fn heading(name: &NsName) -> String {
    // No type has a hyphen in its name.
    format!("# netnsctl-attach@{name}")
}

fn with_part(old: Option<&str>, name: &NsName, servers: &[IpAddr], new_directory: bool) -> String {
    let heading = heading(name);
    if let Some(old) = old {
        if servers.is_empty() && old.lines().any(|line| line == heading) {
            return old.to_owned();
        }
    }
    let mut text = match old {
        Some(old) => without_part(old, name),
        None if new_directory => format!("{MARK}{WITH_DIRECTORY}\n"),
        None => format!("{MARK}.\n"),
    };
    text += &format!("{heading}\n");
    for server in servers {
        text += &format!("nameserver {server}\n");
    }
    text
}

fn without_part(text: &str, name: &NsName) -> String {
    let heading = heading(name);
    let mut ours = false;
    let mut rest = String::new();
    for line in text.lines() {
        if line.starts_with("# ") && line.contains('@') {
            ours = line == heading;
        }
        if !ours {
            rest += line;
            rest.push('\n');
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn in_tree(test: impl FnOnce(&Root, ResolvConf)) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        fs::create_dir_all(root.path("/run")).unwrap();
        fs::create_dir_all(root.path("/etc")).unwrap();
        let file = ResolvConf::of(&root, &"web".parse().unwrap());
        test(&root, file);
    }

    #[test]
    fn a_file_is_made_and_goes_with_its_directory() {
        in_tree(|root, file| {
            file.prepare(&[]).unwrap();
            assert_eq!(
                fs::read_to_string(&file.path).unwrap(),
                "# Written by systemd-netns, which removes it and its directory.\n\
                 # netnsctl-attach@web\n"
            );
            assert_eq!(file.servers().unwrap(), Servers::None);
            file.release().unwrap();
            assert!(!root.path("/etc/netns").exists());
        });
    }

    #[test]
    fn it_is_written_in_place_and_parts_of_types_stay() {
        in_tree(|_, file| {
            file.prepare(&[]).unwrap();
            let inode = fs::metadata(&file.path).unwrap().ino();
            let mut text = fs::read_to_string(&file.path).unwrap();
            text += "# veth@web\nnameserver 192.0.2.1\nsearch example.com\n";
            fs::write(&file.path, text).unwrap();
            file.prepare(&["2001:db8::53".parse().unwrap()]).unwrap();
            let expected = "# Written by systemd-netns, which removes it and its directory.\n\
                            # veth@web\nnameserver 192.0.2.1\nsearch example.com\n\
                            # netnsctl-attach@web\nnameserver 2001:db8::53\n";
            assert_eq!(fs::read_to_string(&file.path).unwrap(), expected);
            // Who says nothing of servers leaves them.
            file.prepare(&[]).unwrap();
            assert_eq!(fs::read_to_string(&file.path).unwrap(), expected);
            assert_eq!(file.servers().unwrap(), Servers::Some);
            file.release().unwrap();
            let left = fs::read_to_string(&file.path).unwrap();
            assert!(left.ends_with("# veth@web\nnameserver 192.0.2.1\nsearch example.com\n"));
            assert_eq!(fs::metadata(&file.path).unwrap().ino(), inode);
        });
    }

    #[test]
    fn the_administrators_file_is_left_alone() {
        in_tree(|_, file| {
            fs::create_dir_all(file.directory()).unwrap();
            fs::write(&file.path, "nameserver 192.0.2.9\n").unwrap();
            file.prepare(&[]).unwrap();
            file.release().unwrap();
            assert!(file.is_foreign().unwrap());
            let error = file.prepare(&["192.0.2.1".parse().unwrap()]).unwrap_err();
            assert!(error.to_string().contains("not ours"), "{error}");
            assert_eq!(
                fs::read_to_string(&file.path).unwrap(),
                "nameserver 192.0.2.9\n"
            );
        });
    }

    #[test]
    fn what_was_done_is_taken_back() {
        in_tree(|root, file| {
            let before = file.prepare(&[]).unwrap();
            file.put_back(&before).unwrap();
            assert!(!root.path("/etc/netns").exists());
            file.prepare(&[]).unwrap();
            let text = fs::read_to_string(&file.path).unwrap();
            let before = file.prepare(&["192.0.2.1".parse().unwrap()]).unwrap();
            file.put_back(&before).unwrap();
            assert_eq!(fs::read_to_string(&file.path).unwrap(), text);
        });
    }
}
