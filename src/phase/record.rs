//! What is kept of an instance from `up` to `down`, where only root can read it.
//!
//! ```text
//! /run/systemd-netns/instances/veth@web/
//!     1-script 2-default 3-type 4-instance   the files as they were used
//!     namespace                              the identity of the namespace
//!     unfinished-outside unfinished-inside   that `up` began and did not succeed
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::sources::{self, Slot, Source, Sources};
use crate::namespace::Id;
use crate::sys::file;

const SLOTS: [(Slot, &str); 4] = [
    (Slot::Script, "1-script"),
    (Slot::Default, "2-default"),
    (Slot::Type, "3-type"),
    (Slot::Instance, "4-instance"),
];

/// The files of an instance as they were at one time.
#[derive(Debug)]
pub struct Snapshot(Vec<(Slot, Vec<u8>)>);

impl Snapshot {
    /// Reads the files as they are now.
    pub fn of(sources: &Sources) -> Result<Self> {
        let read = |source: &Source| Ok((source.slot, sources::read(source)?));
        Ok(Self(sources.files.iter().map(read).collect::<Result<_>>()?))
    }
}

/// The record of one instance.
#[derive(Debug)]
pub struct Record {
    directory: PathBuf,
}

impl Record {
    pub fn of(root: &Root, instance: &Instance) -> Self {
        let directory = root.record(instance);
        Self { directory }
    }

    /// Stores the files of an instance, in place of what was kept before.
    pub fn save(&self, snapshot: &Snapshot) -> Result<()> {
        for (slot, name) in SLOTS {
            let path = self.directory.join(name);
            match snapshot.0.iter().find(|(other, _)| *other == slot) {
                Some((_, content)) => file::write(&path, content, 0o600)?,
                None => drop(file::remove(&path)?),
            }
        }
        Ok(())
    }

    /// The files that were record, if any were.
    pub fn sources(&self) -> Result<Option<Sources>> {
        let mut files = Vec::new();
        for (slot, name) in SLOTS {
            let path = self.directory.join(name);
            if exists(&path)? {
                files.push(Source { slot, path });
            }
        }
        let unconfigured = false; // `up` would not have come so far
        Ok((!files.is_empty()).then_some(Sources {
            files,
            unconfigured,
        }))
    }

    /// Remembers which namespace `up inside` has worked on.
    pub fn remember(&self, namespace: Id) -> Result<()> {
        let path = self.directory.join("namespace");
        file::write(&path, namespace.to_string().as_bytes(), 0o600)
    }

    /// The namespace that `up inside` has worked on.
    pub fn namespace(&self) -> Option<Id> {
        let text = fs::read_to_string(self.directory.join("namespace")).ok()?;
        text.parse().ok()
    }

    /// Marks that `up` on this side has begun.
    pub fn begin(&self, side: Side) -> Result<()> {
        file::make_directory(&self.directory, 0o700)?;
        file::write(&self.mark(side), b"", 0o600)
    }

    /// Marks that there is nothing on this side for `down` to undo.
    pub fn finish(&self, side: Side) -> Result<()> {
        file::remove(&self.mark(side)).map(drop)
    }

    /// Whether `up` on this side began and did not succeed.
    pub fn unfinished(&self, side: Side) -> Result<bool> {
        exists(&self.mark(side))
    }

    fn mark(&self, side: Side) -> PathBuf {
        self.directory.join(format!("unfinished-{side}"))
    }

    /// Forgets the instance if no `up` of it has got so far as to set something up.
    pub fn forget_if_empty(&self) -> Result<()> {
        if self.sources()?.is_none() {
            self.forget()?;
        }
        Ok(())
    }

    /// Forgets the instance: it is down.
    pub fn forget(&self) -> Result<()> {
        file::remove_tree(&self.directory).map(drop)
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists()
        .with_context(|| format!("looking at {}", path.display()))
}
