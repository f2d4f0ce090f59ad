//! `/etc/netns/NSNAME/resolv.conf`: the name servers of a namespace. `ip netns exec`, netnsinit and
//! attached services bind it over `/etc/resolv.conf`.
//!
//! The file is created before any process enters the namespace, and then only written in place,
//! because a bind mount refers to its inode. The first line marks it as ours. Each owner (an
//! instance, one of its DHCP clients, `netnsctl attach`) has a part, which begins with a comment that
//! contains an at sign. The last owner removes the file. A file without the first line belongs to the
//! administrator and is never changed.

use std::fmt;
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::file;
use crate::sys::lock::Lock;

const MARK: &str = "# Written by systemd-netns, which removes it";
const WITH_DIRECTORY: &str = " and its directory.";

/// The mode of a directory that we created, until our file is in it. The sticky bit has no effect
/// here; it marks the directory.
const UNFINISHED: u32 = 0o1755;

/// The types of a namespace start in parallel; each holds the lock for a moment.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The resolv.conf of one namespace.
#[derive(Debug)]
pub struct ResolvConf {
    pub path: PathBuf,
    lock: PathBuf,
}

impl ResolvConf {
    pub fn of(root: &Root, name: &NsName) -> Self {
        Self {
            path: root.netns_etc(name).join("resolv.conf"),
            lock: root.resolv_conf_lock(),
        }
    }

    /// Whether the file belongs to the administrator.
    pub fn is_foreign(&self) -> Result<bool> {
        Ok(matches!(self.read()?, Content::Foreign))
    }

    /// Whether the file has a name server.
    pub fn names_server(&self) -> Result<bool> {
        let text = file::read_text(&self.path)?.unwrap_or_default();
        Ok(!parse(&text).0.is_empty())
    }

    /// The lines of `owner`. `None` if it has no part.
    pub fn part(&self, owner: &str) -> Result<Option<String>> {
        let Content::Ours(text) = self.read()? else {
            return Ok(None);
        };
        let heading = format!("# {owner}");
        let mut lines = text.lines().skip_while(|line| *line != heading);
        Ok(lines.next().map(|_| {
            let part = lines.take_while(|line| !is_heading(line));
            part.map(|line| format!("{line}\n")).collect()
        }))
    }

    /// Replaces the part of `owner` with `lines`, where it is: the order of the name servers does not
    /// depend on whose lease was renewed last. `false` if the file belongs to the administrator.
    pub fn set(&self, owner: &str, lines: &str) -> Result<bool> {
        let _lock = self.lock()?;
        let part = format!("# {owner}\n{lines}");
        let text = match self.read()? {
            Content::Foreign => return Ok(false),
            Content::Ours(text) => {
                self.rewrite(&with(&text, owner, &part))?;
                return Ok(true);
            }
            Content::Missing => self.begin()? + &part,
        };
        let written = file::write(&self.path, text.as_bytes(), 0o644);
        let finished = written.and_then(|()| self.set_mode(0o755));
        if finished.is_err() {
            self.remove_file(&text)?;
        }
        finished?;
        Ok(true)
    }

    /// Removes the part of `owner`. Removes the file with the last part.
    pub fn remove(&self, owner: &str) -> Result<()> {
        self.remove_parts(|heading| heading == owner)
    }

    /// Removes the parts of all sources of `owner`, such as `veth@web dhcp4`.
    pub fn remove_all(&self, owner: &str) -> Result<()> {
        self.remove_parts(|heading| heading.split(' ').next() == Some(owner))
    }

    fn remove_parts(&self, goes: impl Fn(&str) -> bool) -> Result<()> {
        let _lock = self.lock()?;
        let text = match self.read()? {
            Content::Ours(text) => text,
            Content::Foreign => return Ok(()),
            Content::Missing => {
                if self.is_unfinished()? || !file::exists(self.directory())? {
                    self.remove_directories();
                }
                return Ok(());
            }
        };
        let rest = without(&text, goes);
        if rest.lines().count() > 1 {
            return self.rewrite(&rest);
        }
        self.remove_file(&text)
    }

    fn rewrite(&self, text: &str) -> Result<()> {
        if file::read(&self.path)?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        file::write_in_place(&self.path, text.as_bytes())
    }

    /// Creates the directory if necessary. Returns the first line of the file.
    fn begin(&self) -> Result<String> {
        if file::exists(self.directory())? && !self.is_unfinished()? {
            return Ok(format!("{MARK}.\n"));
        }
        file::make_directory(self.directory(), UNFINISHED)?;
        self.set_mode(UNFINISHED)?;
        Ok(format!("{MARK}{WITH_DIRECTORY}\n"))
    }

    fn remove_file(&self, text: &str) -> Result<()> {
        let with_directory = text
            .lines()
            .next()
            .is_some_and(|mark| mark.ends_with(WITH_DIRECTORY));
        if with_directory {
            self.set_mode(UNFINISHED)?;
        }
        file::remove(&self.path)?;
        if with_directory {
            self.remove_directories();
            // Somebody else may have created a file there since.
            if file::exists(self.directory())? {
                self.set_mode(0o755)?;
            }
        }
        Ok(())
    }

    /// Removes the directory if it is empty, and then `/etc/netns` if that is empty.
    fn remove_directories(&self) {
        self.directory()
            .ancestors()
            .take(2)
            .for_each(file::remove_empty);
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        let directory = self.directory();
        fs::set_permissions(directory, Permissions::from_mode(mode))
            .with_context(|| format!("changing the mode of {}", directory.display()))
    }

    /// Whether a killed process left the directory without our file.
    fn is_unfinished(&self) -> Result<bool> {
        let metadata = file::metadata(self.directory())?;
        Ok(metadata.is_some_and(|metadata| metadata.mode() & 0o7777 == UNFINISHED))
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn read(&self) -> Result<Content> {
        let metadata = fs::symlink_metadata(&self.path);
        if metadata.is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Content::Foreign);
        }
        Ok(match file::read_text(&self.path)? {
            None => Content::Missing,
            Some(text) if text.starts_with(MARK) => Content::Ours(text),
            Some(_) => Content::Foreign,
        })
    }

    fn lock(&self) -> Result<Lock> {
        let lock = Lock::take_within(&self.lock, LOCK_TIMEOUT)?;
        file::repair(&self.path)?;
        file::remove_temporary(self.directory())?;
        Ok(lock)
    }
}

enum Content {
    Missing,
    Foreign,
    Ours(String),
}

fn is_heading(line: &str) -> bool {
    line.starts_with("# ") && line.contains('@')
}

/// `text` with the part of `owner`: in place of an older one, or at the end.
fn with(text: &str, owner: &str, part: &str) -> String {
    let heading = format!("# {owner}");
    let is_before = |line: &&str| *line != heading;
    let join = |lines: Vec<&str>| lines.iter().map(|line| format!("{line}\n")).collect();
    let before: String = join(text.lines().take_while(is_before).collect());
    let after: String = join(text.lines().skip_while(is_before).collect());
    before + part + &without(&after, |heading| heading == owner)
}

/// `text` without the parts whose headings match.
fn without(text: &str, goes: impl Fn(&str) -> bool) -> String {
    let mut gone = false;
    let mut rest = String::new();
    for line in text.lines() {
        if is_heading(line) {
            gone = goes(&line[2..]);
        }
        if !gone {
            rest += line;
            rest.push('\n');
        }
    }
    rest
}

/// Name servers and search domains, as lines of resolv.conf(5).
pub fn lines<S: fmt::Display>(servers: impl IntoIterator<Item = S>, search: &[&str]) -> String {
    let servers = servers.into_iter();
    let mut lines: String = servers.map(|s| format!("nameserver {s}\n")).collect();
    if !search.is_empty() {
        lines += &format!("search {}\n", search.join(" "));
    }
    lines
}

/// The name servers and the search domains of a resolv.conf(5).
pub fn parse(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => servers.extend(words.next()),
            // The last one counts.
            Some("search" | "domain") => search = words.collect(),
            _ => {}
        }
    }
    (servers, search)
}

/// Whether a word is the address of a name server. IPv6 addresses can have a zone: `fe80::1%eth0`.
pub fn is_server(word: &str) -> bool {
    let (address, zone) = word.split_once('%').unwrap_or((word, "lo"));
    let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    address.parse::<IpAddr>().is_ok() && !zone.is_empty() && zone.chars().all(word)
}

/// Whether a word is a valid domain name.
pub fn is_domain(word: &str) -> bool {
    let label = |label: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        !label.is_empty()
            && label.chars().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = word.strip_suffix('.').unwrap_or(word);
    word.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACH: &str = "netnsctl-attach@web";

    fn in_tree(test: impl FnOnce(&Root, ResolvConf)) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        fs::create_dir_all(root.path("/etc")).unwrap();
        let file = ResolvConf::of(&root, &"web".parse().unwrap());
        test(&root, file);
    }

    fn text(file: &ResolvConf) -> String {
        fs::read_to_string(&file.path).unwrap()
    }

    #[test]
    fn a_file_is_created_and_removed_with_its_directory() {
        in_tree(|root, file| {
            assert!(file.set(ATTACH, "").unwrap());
            assert_eq!(
                text(&file),
                "# Written by systemd-netns, which removes it and its directory.\n\
                 # netnsctl-attach@web\n"
            );
            assert!(!file.names_server().unwrap());
            file.remove(ATTACH).unwrap();
            assert!(!root.path("/etc/netns").exists());
        });
    }

    #[test]
    fn parts_of_others_stay_and_so_does_the_inode() {
        in_tree(|_, file| {
            file.set(ATTACH, "").unwrap();
            let inode = fs::metadata(&file.path).unwrap().ino();
            file.set("veth@web", "nameserver 192.0.2.1\nsearch example.com\n")
                .unwrap();
            file.set("veth@web dhcp4", "nameserver 192.0.2.2\n")
                .unwrap();
            file.set(ATTACH, "nameserver 2001:db8::53\n").unwrap();
            let head = "# Written by systemd-netns, which removes it and its directory.\n";
            let veth = "# veth@web\nnameserver 192.0.2.1\nsearch example.com\n\
                        # veth@web dhcp4\nnameserver 192.0.2.2\n";
            let attach = "# netnsctl-attach@web\nnameserver 2001:db8::53\n";
            assert_eq!(text(&file), format!("{head}{attach}{veth}"));
            let part = file.part(ATTACH).unwrap().unwrap();
            assert_eq!(part, "nameserver 2001:db8::53\n");
            file.remove(ATTACH).unwrap();
            assert_eq!(text(&file), format!("{head}{veth}"));
            file.set("veth@web2", "").unwrap();
            file.remove_all("veth@web").unwrap();
            assert_eq!(text(&file), format!("{head}# veth@web2\n"));
            assert_eq!(fs::metadata(&file.path).unwrap().ino(), inode);
        });
    }

    #[test]
    fn an_interrupted_write_is_finished() {
        in_tree(|_, file| {
            file.set("veth@web", "nameserver 192.0.2.1\n").unwrap();
            let whole = text(&file);
            // What a kill, or a full disk, may leave.
            fs::write(
                file.path.with_file_name(".systemd-netns-resolv.conf"),
                &whole,
            )
            .unwrap();
            fs::write(file.path.with_file_name(".systemd-netns-aB3xY9"), "").unwrap();
            fs::write(&file.path, "").unwrap();
            file.remove("nothing@web").unwrap();
            assert_eq!(text(&file), whole);
            assert_eq!(fs::read_dir(file.directory()).unwrap().count(), 1);
        });
    }

    #[test]
    fn the_administrators_file_is_left_alone() {
        in_tree(|_, file| {
            fs::create_dir_all(file.directory()).unwrap();
            fs::write(&file.path, "nameserver 192.0.2.9\n").unwrap();
            assert!(file.is_foreign().unwrap());
            assert!(!file.set(ATTACH, "nameserver 192.0.2.1\n").unwrap());
            file.remove(ATTACH).unwrap();
            assert_eq!(text(&file), "nameserver 192.0.2.9\n");
        });
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let text = lines(["9.9.9.9", "2620:fe::fe"], &["a.b", "c"]);
        assert_eq!(
            text,
            "nameserver 9.9.9.9\nnameserver 2620:fe::fe\nsearch a.b c\n"
        );
        let (servers, search) = parse(&format!("# by hand\ndomain x\n{text}"));
        assert_eq!(servers, ["9.9.9.9", "2620:fe::fe"]);
        assert_eq!(search, ["a.b", "c"]);
    }

    #[test]
    fn servers_and_domains() {
        for good in ["192.0.2.1", "2001:db8::1", "fe80::1%eth0"] {
            assert!(is_server(good), "{good}");
        }
        for bad in [
            "",
            "x",
            "192.0.2.1/24",
            "fe80::1%",
            "fe80::1%a b",
            "::1\n",
            "1.2.3.4%\u{1b}",
        ] {
            assert!(!is_server(bad), "{bad:?}");
        }
        for good in ["example.com", "a", "_tcp.x-y.", "x--y"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a\nb",
            &"a.".repeat(130),
        ] {
            assert!(!is_domain(bad), "{bad:?}");
        }
    }
}
