//! Records of the interfaces of containers. A record exists from before an interface is set up until it
//! has been taken down.
//!
//! ```text
//! /run/systemd-netns/containers/
//!     CONTAINER:IFNAME        the record, a JSON document
//!     CONTAINER:IFNAME:log    the output of functions and of the daemons that they start
//!     CONTAINER:IFNAME:lock   locked while a process changes the interface
//! ```

use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::unistd::{dup2_stderr, dup2_stdout};
use serde::{Deserialize, Serialize};

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::namespace::netlink::check_ifname;
use crate::sys::file;
use crate::sys::lock::Lock;

/// Identifies an interface of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    container: String,
    ifname: String,
}

/// The data that is needed to take an interface down.
#[derive(Debug, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// The name of the network.
    pub network: String,
    /// `NSTYPE@NSNAME`.
    instance: String,
    /// The path of the container's namespace that the runtime passed.
    pub netns: String,
    /// The plugin that releases the addresses.
    pub addresses: Option<Ipam>,
}

/// An IPAM plugin, and the arguments that it was called with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ipam {
    pub plugin: String,
    pub configuration: serde_json::Value,
    /// `CNI_PATH`.
    pub path: String,
}

impl ContainerRecord {
    pub fn new(network: &str, instance: &Instance, netns: &str, addresses: Option<Ipam>) -> Self {
        Self {
            network: network.to_owned(),
            instance: instance.to_string(),
            netns: netns.to_owned(),
            addresses,
        }
    }

    pub fn instance(&self) -> Result<Instance> {
        let instance = self.instance.parse();
        instance.context("reading the record of a container")
    }
}

/// The maximum length of a file name, without our suffixes, in bytes.
const LONGEST: usize = 255 - ":lock".len();

impl Key {
    /// The key of the interface `ifname` of a container.
    ///
    /// # Errors
    /// One of the two, which the error names, is not valid by the CNI specification.
    pub fn new(container: &str, ifname: &str) -> Result<Self> {
        check_name("container ID", container)?;
        check_ifname(ifname)?;
        ensure!(
            container.len() + 1 + ifname.len() <= LONGEST,
            "the container ID is too long: {} bytes",
            container.len()
        );
        let (container, ifname) = (container.to_owned(), ifname.to_owned());
        Ok(Self { container, ifname })
    }

    pub fn container(&self) -> &str {
        &self.container
    }

    pub fn ifname(&self) -> &str {
        &self.ifname
    }

    fn file_name(&self) -> String {
        format!("{}:{}", self.container, self.ifname)
    }
}

/// Whether a word is valid as a container ID or the name of a network (CNI specification).
pub fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(is_name_part)
}

/// Checks such a word, called `what` in the error.
pub fn check_name(what: &str, word: &str) -> Result<()> {
    ensure!(
        is_name(word),
        "invalid {what} '{word}': must be letters, digits and _ . - and start with a letter or a digit"
    );
    Ok(())
}

pub fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c)
}

/// The record of an interface that this process has locked.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    /// The size of the log when this process began to write to it, in bytes.
    log_begin: Cell<Option<u64>>,
    _lock: Lock,
}

impl Locked {
    /// Locks the record of an interface. Waits while another process holds the lock.
    pub fn take(root: &Root, key: &Key) -> Result<Self> {
        let path = root.containers_dir().join(key.file_name());
        let _lock = Lock::take(&path.with_added("lock"))?;
        let log_begin = Cell::new(None);
        Ok(Self {
            path,
            log_begin,
            _lock,
        })
    }

    /// The record; `None` if the interface is down.
    pub fn record(&self) -> Result<Option<ContainerRecord>> {
        let Some(text) = file::read(&self.path)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&text);
        record.with_context(|| format!("reading {}", self.path.display()))
    }

    pub fn set(&self, record: &ContainerRecord) -> Result<()> {
        let text = serde_json::to_vec(record).context("writing a record")?;
        file::write(&self.path, &text, 0o600)
    }

    /// The record goes last: without it, the next DEL has nothing to do.
    pub fn remove(&self) -> Result<()> {
        file::remove(&self.log())?;
        file::remove(&self.path).map(drop)
    }

    fn log(&self) -> PathBuf {
        self.path.with_added("log")
    }

    /// Redirects the output of this process and its children to the log. The runtime waits until its pipes
    /// are closed, and daemons that functions start would keep them open.
    pub fn divert_output(&self) -> Result<()> {
        let log = self.log();
        let opening = || format!("opening {}", log.display());
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let file = options.open(&log).with_context(opening)?;
        let length = file.metadata().with_context(opening)?.len();
        self.log_begin.set(Some(length));
        dup2_stdout(&file).with_context(opening)?;
        dup2_stderr(&file).with_context(opening)
    }

    /// The last lines that were written to the log since [`Self::divert_output`], without the prefix
    /// `netns-cni: `.
    pub fn last_lines(&self) -> Vec<String> {
        const MOST: usize = 20;
        let Some(begin) = self.log_begin.get() else {
            return Vec::new();
        };
        let text = file::read(&self.log()).ok().flatten().unwrap_or_default();
        let begin = text.len().min(begin as usize);
        let text = String::from_utf8_lossy(&text[begin..]);
        let lines: Vec<&str> = text.lines().collect();
        let lines = &lines[lines.len().saturating_sub(MOST)..];
        let line = |line: &&str| line.strip_prefix("netns-cni: ").unwrap_or(line).to_owned();
        lines.iter().map(line).collect()
    }
}

/// All recorded interfaces, with their records; `None` for one that cannot be parsed.
pub fn all(root: &Root) -> Result<Vec<(Key, Option<ContainerRecord>)>> {
    let mut all = Vec::new();
    for path in file::entries(&root.containers_dir())? {
        let name = file::name_of(&path).unwrap_or_default();
        let Some((container, ifname)) = name.split_once(':') else {
            continue;
        };
        if let Ok(key) = Key::new(container, ifname) {
            let record = file::read(&path)?.and_then(|text| serde_json::from_slice(&text).ok());
            all.push((key, record));
        }
    }
    Ok(all)
}

trait WithAdded {
    fn with_added(&self, ending: &str) -> PathBuf;
}

impl WithAdded for Path {
    /// Appends a colon, which neither part of a key contains, and `ending`.
    fn with_added(&self, ending: &str) -> PathBuf {
        let mut name = self.as_os_str().to_owned();
        name.push(":");
        name.push(ending);
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_file_names() {
        let long = "c".repeat(300);
        for good in ["c1", "default-c1", "0a.b_c"] {
            assert!(Key::new(good, "eth0").is_ok(), "{good}");
        }
        for bad in ["", "../x", "a/b", "-a", ".a", "a:b", "a b", "é", &long] {
            assert!(Key::new(bad, "eth0").is_err(), "{bad}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
            assert!(Key::new("c1", bad).is_err(), "{bad}");
        }
    }
}
