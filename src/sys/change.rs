//! Several files changed as one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sys::file::{self, Missing};

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
            let content = fs::read(path)
                .missing_ok()
                .with_context(|| format!("reading {}", path.display()))?;
            before.push(content);
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

    /// Makes the change; on an error `take_back` has to follow.
    pub fn make(&self) -> Result<()> {
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
    pub fn take_back(&self) -> Result<()> {
        for ((path, _), before) in self.files.iter().zip(&self.before) {
            let now = fs::read(path).missing_ok();
            if now.is_ok_and(|now| now != *before) {
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
        None => {
            fs::remove_file(path)
                .missing_ok()
                .with_context(|| format!("removing {}", path.display()))?;
            Ok(())
        }
    }
}
