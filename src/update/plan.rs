//! What has to change for every type to have its units, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::instance::name::NsType;
use crate::instance::types::Types;
use crate::sys::file;
use crate::systemd::manager::Manager;
use crate::systemd::unit::Part;

/// The text of each unit template.
pub type Templates = BTreeMap<Part, String>;

/// What stands where a copy would.
#[derive(Debug, PartialEq, Eq)]
pub enum Copy {
    /// A file of this text that one of us has written.
    Ours(String),
    /// A symlink to a template, or to nothing.
    Link,
    /// A symlink to `/dev/null`: the administrator wants no such unit (systemctl(1), "mask").
    Masked,
    Foreign,
    /// Nobody can tell, for the reason given.
    Unreadable(String),
}

/// The copies that there are.
pub type Copies = BTreeMap<(Part, NsType), Copy>;

/// One change to the unit directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Create(PathBuf, String),
    Update(PathBuf, String),
    Remove(PathBuf, Part, NsType),
    /// And its directory, if that is empty then.
    RemoveDropIn(PathBuf),
}

impl Action {
    /// What is done, for a sentence in the past, and to which file.
    pub fn describe(&self) -> (&'static str, &Path) {
        match self {
            Action::Create(path, _) => ("created", path),
            Action::Update(path, _) => ("updated", path),
            Action::Remove(path, ..) | Action::RemoveDropIn(path) => ("removed", path),
        }
    }

    /// Makes the change, whole or not at all.
    pub fn apply(&self) -> Result<()> {
        match self {
            Action::Create(path, text) | Action::Update(path, text) => {
                if let Some(directory) = path.parent() {
                    file::make_directory(directory, 0o755)?;
                }
                file::write(path, text.as_bytes(), 0o644)
            }
            Action::Remove(path, ..) => remove(path),
            Action::RemoveDropIn(path) => {
                remove(path)?;
                if let Some(directory) = path.parent() {
                    // Others may have drop-ins of their own there.
                    let _ = fs::remove_dir(directory);
                }
                Ok(())
            }
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("removing {}", path.display()))
}

/// What is to be done, and what cannot be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// What the administrator should know.
    pub remarks: Vec<String>,
    /// What keeps the result from being complete.
    pub problems: Vec<String>,
}

impl Plan {
    /// What makes `copies` those of `templates` for all `types` that were found. The copies of
    /// doubtful ones stay as they are, others go.
    pub fn new(unit_dir: &Path, types: &Types, templates: &Templates, copies: &Copies) -> Self {
        let mut plan = Self::default();
        for nstype in &types.found {
            for (part, text) in templates {
                let path = unit_dir.join(part.copy(nstype));
                let copy = copies.get(&(*part, nstype.clone()));
                plan.provide(path, nstype, text, copy);
            }
        }
        for ((part, nstype), copy) in copies {
            if !types.found.contains(nstype) {
                let path = unit_dir.join(part.copy(nstype));
                let doubtful = types.doubtful.contains(nstype);
                plan.clear(path, *part, nstype, copy, doubtful);
            }
        }
        plan
    }

    fn provide(&mut self, path: PathBuf, nstype: &NsType, text: &str, copy: Option<&Copy>) {
        let text = text.to_owned();
        match copy {
            None => self.actions.push(Action::Create(path, text)),
            Some(Copy::Ours(old)) if *old == text => {}
            Some(Copy::Ours(_) | Copy::Link) => self.actions.push(Action::Update(path, text)),
            Some(Copy::Masked) => self.remark_mask(&path),
            Some(Copy::Unreadable(why)) => self.problems.push(why.clone()),
            Some(Copy::Foreign) => self.problems.push(format!(
                "{} is not ours and is left alone: NSTYPE '{nstype}' has no unit of its own",
                path.display()
            )),
        }
    }

    fn clear(&mut self, path: PathBuf, part: Part, nstype: &NsType, copy: &Copy, doubtful: bool) {
        match copy {
            Copy::Ours(_) | Copy::Link if doubtful => {}
            Copy::Ours(_) | Copy::Link => {
                let remove = Action::Remove(path, part, nstype.clone());
                self.actions.push(remove);
            }
            Copy::Masked => self.remark_mask(&path),
            Copy::Unreadable(why) => self.problems.push(why.clone()),
            Copy::Foreign => self
                .remarks
                .push(format!("{} is not ours and is left alone", path.display())),
        }
    }

    fn remark_mask(&mut self, path: &Path) {
        self.remarks
            .push(format!("{} is masked and is left alone", path.display()));
    }

    /// Takes back the removal of units that run: without its file systemd forgets how to stop one.
    pub fn keep_running(&mut self, manager: &Manager) -> Result<()> {
        let removals = self.actions.iter().filter_map(|action| match action {
            Action::Remove(_, _, nstype) => Some(nstype),
            _ => None,
        });
        let patterns: Vec<String> = removals
            .flat_map(|nstype| Part::BOTH.map(|part| part.pattern(nstype)))
            .collect();
        if patterns.is_empty() {
            return Ok(());
        }
        let running = manager.active(&patterns)?;
        self.keep(&running);
        Ok(())
    }

    fn keep(&mut self, running: &[String]) {
        let mut problems = Vec::new();
        let mut told = BTreeSet::new();
        self.actions.retain(|action| {
            let Action::Remove(path, _, nstype) = action else {
                return true;
            };
            let prefixes = Part::BOTH.map(|part| part.copy(nstype).replace(".service", ""));
            let units: Vec<&str> = running
                .iter()
                .filter(|unit| prefixes.iter().any(|prefix| unit.starts_with(prefix)))
                .map(String::as_str)
                .collect();
            // One line for the type, though two files stay.
            if !units.is_empty() && told.insert(nstype.clone()) {
                problems.push(format!(
                    "{} is kept, for it is needed to stop {}: stop it first, or use --force",
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
        let remove = |part: Part, nstype: &str| {
            let nstype: NsType = nstype.parse().unwrap();
            Action::Remove(part.copy(&nstype).into(), part, nstype)
        };
        let mut plan = Plan {
            actions: vec![
                remove(Part::Inside, "both"),
                remove(Part::Inside, "idle"),
                remove(Part::Outside, "both"),
                remove(Part::Outside, "half"),
            ],
            ..Plan::default()
        };
        plan.keep(&[
            "netns-both@web.service".to_owned(),
            "netns_outside-both@web.service".to_owned(),
            "netns_outside-half@web.service".to_owned(),
            "netns-idle2@web.service".to_owned(),
        ]);
        assert_eq!(plan.actions, [remove(Part::Inside, "idle")]);
        let [both, half] = &plan.problems[..] else {
            panic!("{:?}", plan.problems);
        };
        assert!(both.contains("stop netns-both@web.service netns_outside-both@web.service"));
        assert!(half.starts_with("netns_outside-half@.service is kept"));
    }
}
