//! What was brought up without systemd, and how far it has come.
//!
//! ```text
//! /run/systemd-netns/direct/web/     exists while `web` is a namespace that was created here
//!     veth                           how far veth@web has come: outside, inside, up
//! /run/systemd-netns/locks/web       locked while a type of `web` is brought up or taken down
//! ```

use std::path::PathBuf;

use anyhow::Result;

use crate::instance::name::{NsName, NsType};
use crate::instance::paths::Root;
use crate::sys::file;

/// How far an instance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `up outside` has begun.
    Outside,
    /// `up inside` has begun.
    Inside,
    Up,
}

const STAGES: [(Stage, &str); 3] = [
    (Stage::Outside, "outside"),
    (Stage::Inside, "inside"),
    (Stage::Up, "up"),
];

/// The types that are up in one namespace.
#[derive(Debug)]
pub struct Register {
    directory: PathBuf,
}

impl Register {
    pub fn of(root: &Root, name: &NsName) -> Self {
        let directory = root.direct_dir().join(name.as_str());
        Self { directory }
    }

    /// Whether any type was brought up in the namespace and not all were taken down.
    pub fn exists(&self) -> bool {
        self.directory.exists()
    }

    /// Those that are up, or on their way, in order of their names.
    pub fn types(&self) -> Result<Vec<NsType>> {
        let names = file::names(&self.directory)?;
        // Others are unfinished files.
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    pub fn stage(&self, nstype: &NsType) -> Result<Option<Stage>> {
        let text = file::read_text(&self.path(nstype))?;
        let of = |text: String| STAGES.iter().find(|(_, word)| *word == text.trim());
        Ok(text.map(|text| of(text).map_or(Stage::Outside, |(stage, _)| *stage)))
    }

    pub fn set(&self, nstype: &NsType, stage: Stage) -> Result<()> {
        let word = STAGES.iter().find(|(other, _)| *other == stage);
        let text = format!("{}\n", word.map_or("", |(_, word)| word));
        file::write(&self.path(nstype), text.as_bytes(), 0o600)
    }

    pub fn remove(&self, nstype: &NsType) -> Result<()> {
        file::remove(&self.path(nstype)).map(drop)
    }

    pub fn make(&self) -> Result<()> {
        file::make_directory(&self.directory, 0o700)
    }

    pub fn delete(&self) -> Result<()> {
        file::remove_tree(&self.directory).map(drop)
    }

    fn path(&self, nstype: &NsType) -> PathBuf {
        self.directory.join(nstype.as_str())
    }
}
