//! Several files changed as one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::sys::file;

/// Files to be written or removed, all or none, with what they are now.
pub struct Change<'a> {
    files: &'a [(PathBuf, Option<String>)],
    before: Vec<Option<Vec<u8>>>,
    missing: Vec<PathBuf>,
}

impl<'a> Change<'a> {
    pub fn of(files: &'a [(PathBuf, Option<String>)]) -> Result<Self> {
        let mut before = Vec::new();
        let mut missing = Vec::new();
        for (path, text) in files {
            before.push(file::read(path)?);
            let directory = path.parent().unwrap_or(path);
            if text.is_some() && !directory.exists() && !missing.iter().any(|m| m == directory) {
                missing.push(directory.to_owned());
            }
        }
        Ok(Self {
            files,
            before,
            missing,
        })
    }

    /// Makes the change and does what has to follow it, or puts everything back as it was.
    pub fn apply(&self, then: impl FnOnce() -> Result<()>) -> Result<()> {
        self.make()
            .and_then(|()| then())
            .map_err(|error| match self.take_back() {
                Ok(()) => error,
                Err(undo) => error.context(format!("{undo:#}, after")),
            })
    }

    fn make(&self) -> Result<()> {
        for directory in &self.missing {
            file::make_directory(directory, 0o755)?;
        }
        for ((path, text), before) in self.files.iter().zip(&self.before) {
            let text = text.as_ref().map(String::as_bytes);
            if text != before.as_deref() {
                put(path, text)?;
            }
        }
        Ok(())
    }

    /// Puts everything back as it was.
    fn take_back(&self) -> Result<()> {
        for ((path, _), before) in self.files.iter().zip(&self.before) {
            if file::read(path).is_ok_and(|now| now != *before) {
                put(path, before.as_deref())?;
            }
        }
        for directory in &self.missing {
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }
}

fn put(path: &Path, content: Option<&[u8]>) -> Result<()> {
    match content {
        Some(content) => file::write(path, content, 0o644),
        None => file::remove(path).map(drop),
    }
}
