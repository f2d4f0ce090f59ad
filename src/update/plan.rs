//! The plan of changes to unit files, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::instance::name::NsType;
use crate::instance::phase::Side;
use crate::instance::types::Types;
use crate::sys::file;
use crate::systemd::manager::Manager;
use crate::systemd::unit::{self, UnitName};

/// The text of each unit template.
pub type Templates = BTreeMap<Side, String>;

/// The file at the path of a copy.
#[derive(Debug, PartialEq, Eq)]
pub enum UnitFile {
    /// A file with this text, written by us or by the original package.
    Ours(String),
    /// A symlink to a template, or a dangling one.
    Link,
    /// A symlink to `/dev/null`: the administrator has masked the unit (systemctl(1)).
    Masked,
    Foreign,
    /// Unknown, for this reason.
    Unreadable(String),
}

/// The existing copies.
pub type Copies = BTreeMap<(Side, NsType), UnitFile>;

/// A change to the unit directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Create(PathBuf, String),
    Update(PathBuf, String),
    Remove(PathBuf, Side, NsType),
    /// Also removes its directory if that is empty.
    RemoveDropIn(PathBuf),
}

impl Action {
    /// The change as a past participle, and the file.
    pub fn describe(&self) -> (&'static str, &Path) {
        match self {
            Action::Create(path, _) => ("created", path),
            Action::Update(path, _) => ("updated", path),
            Action::Remove(path, ..) | Action::RemoveDropIn(path) => ("removed", path),
        }
    }

    /// Makes the change atomically.
    pub fn apply(&self) -> Result<()> {
        match self {
            Action::Create(path, text) | Action::Update(path, text) => {
                file::make_parent(path, 0o755)?;
                file::write(path, text.as_bytes(), 0o644)
            }
            Action::Remove(path, ..) => file::remove(path).map(drop),
            Action::RemoveDropIn(path) => {
                file::remove(path)?;
                // There may be other drop-ins.
                file::remove_empty(path.parent().unwrap_or(path));
                Ok(())
            }
        }
    }
}

/// What to do, and what cannot be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Remarks for the administrator.
    pub remarks: Vec<String>,
    /// Problems that keep the result from being complete.
    pub problems: Vec<String>,
    /// Configuration files that cannot be used, as [`Types::problems`].
    pub misnamed: Vec<String>,
    /// The types that have files, or had.
    pub types: BTreeSet<NsType>,
}

impl Plan {
    /// Plans to make `copies` match `templates` for all `types` that were found. Copies for doubtful types
    /// are not changed; others are removed.
    pub fn new(unit_dir: &Path, types: &Types, templates: &Templates, copies: &Copies) -> Self {
        let mut plan = Self::default();
        for nstype in &types.found {
            for (side, text) in templates.iter().rev() {
                let copy = copies.get(&(*side, nstype.clone()));
                if matches!(copy, Some(UnitFile::Ours(old)) if old == text) {
                    continue;
                }
                let path = unit_dir.join(unit::copy(*side, nstype));
                plan.provide(path, nstype, text, copy);
            }
        }
        let inside_first = unit::SIDES.into_iter().rev();
        let of_side = |side| copies.iter().filter(move |((other, _), _)| *other == side);
        for ((side, nstype), copy) in inside_first.flat_map(of_side) {
            if !types.found.contains(nstype) {
                let path = unit_dir.join(unit::copy(*side, nstype));
                let doubtful = types.doubtful.contains(nstype);
                plan.clear(path, *side, nstype, copy, doubtful);
            }
        }
        plan
    }

    fn provide(&mut self, path: PathBuf, nstype: &NsType, text: &str, copy: Option<&UnitFile>) {
        let text = text.to_owned();
        match copy {
            None => self.actions.push(Action::Create(path, text)),
            Some(UnitFile::Ours(_) | UnitFile::Link) => {
                self.actions.push(Action::Update(path, text))
            }
            Some(UnitFile::Masked) => self.remark_mask(&path),
            Some(UnitFile::Unreadable(why)) => self.problems.push(why.clone()),
            Some(UnitFile::Foreign) => self.problems.push(format!(
                "{} was not written by netnsupdate, leaving it alone: NSTYPE '{nstype}' has no unit",
                path.display()
            )),
        }
    }

    fn clear(
        &mut self,
        path: PathBuf,
        side: Side,
        nstype: &NsType,
        copy: &UnitFile,
        doubtful: bool,
    ) {
        match copy {
            UnitFile::Ours(_) | UnitFile::Link if doubtful => {}
            UnitFile::Ours(_) | UnitFile::Link => {
                let remove = Action::Remove(path, side, nstype.clone());
                self.actions.push(remove);
            }
            UnitFile::Masked => self.remark_mask(&path),
            UnitFile::Unreadable(why) => self.problems.push(why.clone()),
            UnitFile::Foreign => self.remarks.push(format!(
                "{} was not written by netnsupdate, leaving it alone",
                path.display()
            )),
        }
    }

    fn remark_mask(&mut self, path: &Path) {
        self.remarks
            .push(format!("{} is masked, leaving it alone", path.display()));
    }

    /// Drops the removal of units that run: systemd could not stop them properly without their files.
    pub fn keep_running(&mut self, manager: &Manager) -> Result<()> {
        let removals = self.actions.iter().filter_map(|action| match action {
            Action::Remove(_, _, nstype) => Some(nstype),
            _ => None,
        });
        let patterns: Vec<String> = removals.flat_map(unit::patterns_of_type).collect();
        if patterns.is_empty() {
            return Ok(());
        }
        let running = manager.active(&patterns)?;
        self.keep(&running);
        Ok(())
    }

    fn keep(&mut self, running: &[String]) {
        let mut problems = Vec::new();
        let mut reported = BTreeSet::new();
        self.actions.retain(|action| {
            let Action::Remove(path, _, nstype) = action else {
                return true;
            };
            let is_of_type = |unit: &&String| {
                let unit = UnitName::parse(unit);
                matches!(unit, Some(UnitName::Instance(_, instance)) if instance.nstype == *nstype)
            };
            let units = running.iter().filter(is_of_type).map(String::as_str);
            let units: Vec<&str> = units.collect();
            // One line for the type, although two files are kept.
            if !units.is_empty() && reported.insert(nstype.clone()) {
                problems.push(format!(
                    "keeping {}, which is needed to stop {}: stop that first, or use --force",
                    path.display(),
                    units.join(" ")
                ));
            }
            units.is_empty()
        });
        self.problems.extend(problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_kept_and_told_once_for_each_type() {
        let remove = |side: Side, nstype: &str| {
            let nstype: NsType = nstype.parse().unwrap();
            Action::Remove(unit::copy(side, &nstype).into(), side, nstype)
        };
        let mut plan = Plan {
            actions: vec![
                remove(Side::Inside, "both"),
                remove(Side::Inside, "idle"),
                remove(Side::Outside, "both"),
                remove(Side::Outside, "half"),
            ],
            ..Plan::default()
        };
        plan.keep(&[
            "netns-both@web.service".to_owned(),
            "netns_outside-both@web.service".to_owned(),
            "netns_outside-half@web.service".to_owned(),
            "netns-idle2@web.service".to_owned(),
        ]);
        assert_eq!(plan.actions, [remove(Side::Inside, "idle")]);
        let [both, half] = &plan.problems[..] else {
            panic!("{:?}", plan.problems);
        };
        assert!(both.contains("to stop netns-both@web.service netns_outside-both@web.service"));
        assert!(half.starts_with("keeping netns_outside-half@.service"));
    }
}
