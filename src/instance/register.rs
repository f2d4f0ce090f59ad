//! The register of instances that `netnsctl up` brought up without systemd.
//!
//! ```text
//! /run/systemd-netns/direct/web/     exists while `web` is a namespace that netnsctl up created
//!     veth                           two lines: the stage of veth@web (see [`Stage`]), and the
//!                                    INVOCATION_ID of what was started to get there
//! ```
//!
//! A stage is recorded before its work begins, so that the next `up` or `down` can undo what was
//! interrupted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Phase;
use crate::sys::file;

/// The progress of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A phase has begun: `up outside` (which includes creating the namespace), `up inside`,
    /// `down inside` or `down outside`.
    Running(Phase),
    /// All of `up` has succeeded: `up`.
    Up,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Running(phase) => phase.fmt(f),
            Stage::Up => f.write_str("up"),
        }
    }
}

impl FromStr for Stage {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut stages = Phase::LIFE.map(Stage::Running).into_iter();
        stages
            .find(|stage| stage.to_string() == line)
            .map_or_else(|| (line == "up").then_some(Stage::Up).ok_or(()), Ok)
    }
}

/// The instances of one namespace.
#[derive(Debug)]
pub struct Register {
    directory: PathBuf,
    name: NsName,
}

impl Register {
    pub fn of(root: &Root, name: &NsName) -> Self {
        Self {
            directory: root.direct(name),
            name: name.clone(),
        }
    }

    /// The registers of all namespaces, sorted by name.
    pub fn all(root: &Root) -> Result<Vec<Self>> {
        let names: Vec<NsName> = file::parsed(&root.direct_dir())?;
        Ok(names.iter().map(|name| Self::of(root, name)).collect())
    }

    pub fn exists(&self) -> Result<bool> {
        file::exists(&self.directory)
    }

    /// Its instances and their stages, sorted by type.
    pub fn instances(&self) -> Result<Vec<(Instance, Stage)>> {
        let mut instances = Vec::new();
        // Others are temporary files.
        for nstype in file::parsed::<NsType>(&self.directory)? {
            if let Some(stage) = self.stage(&nstype)? {
                let nsname = self.name.clone();
                instances.push((Instance { nstype, nsname }, stage));
            }
        }
        Ok(instances)
    }

    /// The stage of an instance. `None` if it is down.
    pub fn stage(&self, nstype: &NsType) -> Result<Option<Stage>> {
        let text = file::read_text(&self.path(nstype))?;
        // A file without a known stage is from an interrupted start.
        let stage = |text: String| text.lines().next()?.parse().ok();
        Ok(text.map(|text| stage(text).unwrap_or(Stage::Running(Phase::UP_OUTSIDE))))
    }

    /// The `$INVOCATION_ID` of the processes that the last stage started.
    pub fn invocation(&self, nstype: &NsType) -> Result<Option<String>> {
        let text = file::read_text(&self.path(nstype))?;
        let id = |text: String| Some(text.lines().nth(1)?.to_owned());
        Ok(text.and_then(id).filter(|id| !id.is_empty()))
    }

    /// Writes the stage of an instance. The caller has the lock of the namespace.
    pub fn set(&self, nstype: &NsType, stage: Stage, invocation: &str) -> Result<()> {
        file::make_directory(&self.directory, 0o700)?;
        let lines = format!("{stage}\n{invocation}\n");
        file::write(&self.path(nstype), lines.as_bytes(), 0o600)
    }

    /// Removes an instance that is down. Removes the register with the last one.
    pub fn remove(&self, nstype: &NsType) -> Result<()> {
        file::remove(&self.path(nstype))?;
        match self.instances()?.is_empty() {
            true => file::remove_tree(&self.directory).map(drop),
            false => Ok(()),
        }
    }

    fn path(&self, nstype: &NsType) -> PathBuf {
        self.directory.join(nstype.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_as_they_are_written() {
        for stage in Phase::LIFE
            .map(Stage::Running)
            .into_iter()
            .chain([Stage::Up])
        {
            assert_eq!(stage.to_string().parse(), Ok(stage));
        }
        assert_eq!("outside".parse::<Stage>(), Err(()));
    }

    #[test]
    fn instances_are_listed_with_their_stages() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let register = Register::of(&root, &"web".parse().unwrap());
        let veth = "veth".parse().unwrap();
        register.set(&veth, Stage::Up, "1a2b").unwrap();
        assert_eq!(register.invocation(&veth).unwrap().as_deref(), Some("1a2b"));
        std::fs::write(register.directory.join(".systemd-netns-abcdef"), "").unwrap();
        let all = Register::all(&root).unwrap();
        let found = all[0].instances().unwrap();
        assert_eq!(found, [("veth@web".parse().unwrap(), Stage::Up)]);
    }
}
