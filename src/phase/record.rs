//! The record of an instance from `up` to `down`, readable only by root.
//!
//! ```text
//! /run/systemd-netns/instances/veth@web/
//!     outside inside               what `up` has set up on this side
//!     outside.begun inside.begun   the same, of an `up` that has begun and did not succeed
//!     outside.failed inside.failed there if a unit's `down` has failed, rather than been killed or not begun
//!     report                       what the running bash says of itself
//! ```
//!
//! Each of the first four holds where it was set up (the identity of the namespace), for whom, and
//! the files as they were used. The directory is locked by the process that works, and is also a
//! place for what types remember.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::sources::{Slot, Source, Sources};
use crate::namespace::{self, Id};
use crate::sys::file;
use crate::sys::lock::{self, Lock};

const SLOTS: [(Slot, &str); 5] = [
    (Slot::Script, "1-script"),
    (Slot::Default, "2-default"),
    (Slot::Type, "3-type"),
    (Slot::Instance, "4-instance"),
    (Slot::Container, "5-container"),
];

/// The end of the first line of what a unit has set up.
const BY_SYSTEMD: &str = " by systemd";

/// The record of one instance.
#[derive(Debug)]
pub struct Record {
    directory: PathBuf,
}

/// The record, locked.
#[derive(Debug)]
pub struct LockedRecord {
    record: Record,
    _lock: Lock,
}

impl Record {
    pub fn of(root: &Root, instance: &Instance) -> Self {
        let directory = root.record(instance);
        Self { directory }
    }

    /// Waits until no other process works on the instance, and kills what a killed one has left running.
    pub fn lock(self) -> Result<LockedRecord> {
        let lock = Lock::own_directory(&self.directory)?;
        let record = LockedRecord {
            record: self,
            _lock: lock,
        };
        record.end_what_is_left()?;
        Ok(record)
    }

    /// Whether another process works on the instance.
    pub fn is_locked(&self) -> Result<bool> {
        lock::is_locked(&self.directory)
    }

    /// Whether `up` on either side has begun or succeeded.
    pub fn is_set_up(&self) -> Result<bool> {
        for side in [Side::Outside, Side::Inside] {
            if self.unfinished(side)? || file::exists(&self.path(side))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The namespace of `up inside`.
    pub fn namespace(&self) -> Option<Id> {
        let line = self.first_line(Side::Inside).ok()??;
        let id = line.strip_prefix("namespace ")?.split(' ').next()?;
        id.parse().ok()
    }

    /// Whether systemd has brought it up, and so knows whether it is up.
    pub fn is_of_systemd(&self) -> Result<bool> {
        for side in [Side::Outside, Side::Inside] {
            if let Some(line) = self.first_line(side)? {
                return Ok(line.ends_with(BY_SYSTEMD));
            }
        }
        Ok(false)
    }

    /// Whether `up` on this side has begun and not succeeded.
    pub fn unfinished(&self, side: Side) -> Result<bool> {
        file::exists(&self.begun(side))
    }

    /// Whether something is set up on this side by an `up` that did not succeed, or by a unit.
    pub fn has_to_stop(&self, side: Side) -> Result<bool> {
        Ok(self.unfinished(side)? || (file::exists(&self.path(side))? && self.is_of_systemd()?))
    }

    /// The same, and no `down` has tried to its end to take it down.
    pub fn interrupted(&self, side: Side) -> Result<bool> {
        Ok(self.has_to_stop(side)? && !file::exists(&self.failed(side))?)
    }

    fn first_line(&self, side: Side) -> Result<Option<String>> {
        let text = self.latest(side)?;
        let line = text.as_deref().and_then(split_line).map(|(line, _)| line);
        Ok(line.map(|line| String::from_utf8_lossy(line).into_owned()))
    }

    fn path(&self, side: Side) -> PathBuf {
        self.directory.join(side.as_str())
    }

    fn begun(&self, side: Side) -> PathBuf {
        self.directory.join(format!("{side}.begun"))
    }

    fn failed(&self, side: Side) -> PathBuf {
        self.directory.join(format!("{side}.failed"))
    }

    fn latest(&self, side: Side) -> Result<Option<Vec<u8>>> {
        match file::read(&self.begun(side))? {
            None => file::read(&self.path(side)),
            begun => Ok(begun),
        }
    }
}

impl LockedRecord {
    /// The file for the report of bash.
    pub fn report(&self) -> PathBuf {
        self.record.directory.join("report")
    }

    pub fn namespace(&self) -> Option<Id> {
        self.record.namespace()
    }

    pub fn unfinished(&self, side: Side) -> Result<bool> {
        self.record.unfinished(side)
    }

    pub fn interrupted(&self, side: Side) -> Result<bool> {
        self.record.interrupted(side)
    }

    /// Records that `up` on this side begins, with these files, and inside in this namespace.
    pub fn begin(&self, side: Side, sources: &Sources, namespace: Option<Id>) -> Result<()> {
        let place = namespace.map_or("outside".to_owned(), |id| format!("namespace {id}"));
        let by = match namespace::under_systemd() {
            true => BY_SYSTEMD,
            false => "",
        };
        let mut content = format!("{place}{by}\n").into_bytes();
        for source in &sources.files {
            let name = name_of(source.slot);
            content.extend(format!("{name} {}\n", source.content.len()).as_bytes());
            content.extend(&source.content);
        }
        // No other process writes here, and a tmpfs needs no sync.
        let path = self.record.begun(side);
        let unfinished = self.record.directory.join(".begun");
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&unfinished)?.write_all(&content)?;
            fs::rename(&unfinished, &path)
        };
        write().with_context(|| format!("writing {}", path.display()))?;
        file::remove(&self.record.failed(side)).map(drop)
    }

    /// Records that `up` on this side has succeeded.
    pub fn finish(&self, side: Side) -> Result<()> {
        let begun = self.record.begun(side);
        if file::exists(&begun)? {
            fs::rename(&begun, self.record.path(side))
                .with_context(|| format!("renaming {}", begun.display()))?;
        }
        file::remove(&self.record.failed(side)).map(drop)
    }

    /// Records that `up` on this side had nothing to do.
    pub fn cancel(&self, side: Side) -> Result<()> {
        file::remove(&self.record.begun(side)).map(drop)
    }

    /// Records that `down` on this side has failed: it has done what it can.
    pub fn fail(&self, side: Side) -> Result<()> {
        self.finish(side)?;
        match file::exists(&self.record.path(side))? && self.record.is_of_systemd()? {
            true => file::write(&self.record.failed(side), b"", 0o600),
            false => Ok(()),
        }
    }

    /// Records that `down inside` has succeeded.
    pub fn forget_inside(&self) -> Result<()> {
        for path in [Record::path, Record::begun, Record::failed] {
            file::remove(&path(&self.record, Side::Inside))?;
        }
        Ok(())
    }

    /// Removes the record: the instance is down.
    pub fn forget(&self) -> Result<()> {
        file::remove_tree(&self.record.directory).map(drop)
    }

    /// The files used for `up` on this side or on the other one, stored where bash can read them.
    pub fn sources(&self, side: Side) -> Result<Option<Sources>> {
        let other = match side {
            Side::Outside => Side::Inside,
            Side::Inside => Side::Outside,
        };
        let content = match self.record.latest(side)? {
            None => self.record.latest(other)?,
            own => own,
        };
        let Some(content) = content else {
            return Ok(None);
        };
        let files = parse(&content).with_context(|| {
            let directory = self.record.directory.display();
            format!("the record of '{side}' in {directory} is damaged")
        })?;
        let files = files.into_iter().map(|(slot, content)| Source {
            slot,
            path: self.record.directory.join(name_of(slot)),
            content,
        });
        Ok(Some(Sources {
            files: files.collect(),
            unconfigured: false, // `up` would not have come so far
        }))
    }

    /// Stores the files of a record where bash can read them. They are removed with the lock.
    pub fn store(&self, sources: &Sources) -> Result<()> {
        for source in &sources.files {
            file::write(&source.path, &source.content, 0o600)?;
        }
        Ok(())
    }

    /// A report that still exists is from a process that was killed. Its bash may still be running.
    fn end_what_is_left(&self) -> Result<()> {
        let report = self.report();
        let Some(content) = file::read(&report)? else {
            return Ok(());
        };
        let mut words = content.split(|byte| *byte == 0);
        let pid = words.nth(1).unwrap_or_default();
        let pid = std::str::from_utf8(pid)
            .ok()
            .and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.filter(|pid: &i32| *pid > 1) {
            let command_line = file::read(&Path::new("/proc").join(format!("{pid}/cmdline")))?;
            let report = report.as_os_str().as_encoded_bytes();
            let ours = |line: Vec<u8>| line.split(|byte| *byte == 0).any(|word| word == report);
            // If the process has exited, its number is that of the process group as long as that has
            // members.
            if command_line.is_none_or(ours) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        file::remove(&report).map(drop)
    }
}

impl Drop for LockedRecord {
    fn drop(&mut self) {
        // If this fails, the next process removes it.
        let _ = fs::remove_file(self.report());
        for (_, name) in SLOTS {
            let _ = fs::remove_file(self.record.directory.join(name));
        }
        let _ = fs::remove_dir(&self.record.directory);
    }
}

fn name_of(slot: Slot) -> &'static str {
    let found = SLOTS.iter().find(|(other, _)| *other == slot);
    found.map_or("", |(_, name)| name)
}

/// Parses a record: a line with the namespace, and for each file a line with its name and length,
/// followed by its content.
fn parse(record: &[u8]) -> Option<Vec<(Slot, Vec<u8>)>> {
    let (_, mut rest) = split_line(record)?;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (line, after) = split_line(rest)?;
        let (name, length) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        let (slot, _) = SLOTS.iter().find(|(_, other)| *other == name)?;
        let (content, after) = after.split_at_checked(length.parse().ok()?)?;
        files.push((*slot, content.to_vec()));
        rest = after;
    }
    Some(files)
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}
