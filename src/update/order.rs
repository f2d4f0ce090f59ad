//! What instances require of each other, as drop-ins for their units.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::{Action, Plan};
use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::sources::is_source;
use crate::instance::types::{Types, configured_instances};
use crate::sys::file;
use crate::systemd::unit::{self, UnitName};
use crate::update::requires::{self, DROP_IN_OF_CTL, DROP_IN_OF_UPDATE, DependencyGraph, Need};

/// Whose requirements they are: those of a type, or of one instance.
type Owner = (NsType, Option<NsName>);

/// What files say, and what cannot be told.
#[derive(Debug, Default)]
struct Wanted {
    needs: BTreeMap<Owner, (PathBuf, Vec<Need>)>,
    /// Their drop-ins stay as they are.
    unclear: BTreeSet<Owner>,
    problems: Vec<String>,
}

/// Adds to `plan` what makes the drop-ins those of the files; without types, all go.
///
/// # Errors
/// A directory cannot be read.
pub fn plan(root: &Root, types: &Types, plan: &mut Plan) -> Result<()> {
    let existing = existing(root)?;
    let mut wanted = Wanted::default();
    if !types.found.is_empty() {
        wanted.read(root, types)?;
        wanted.refuse_circles(&existing);
    }
    let mut desired = BTreeMap::new();
    for ((nstype, name), (source, needs)) in &wanted.needs {
        if needs.is_empty() {
            continue;
        }
        let directory = requires::drop_in_dir(root, nstype, name.as_ref());
        let source = Path::new("/").join(source.strip_prefix(root.path("/")).unwrap_or(source));
        let first = format!("{}{}", requires::OF_UPDATE, source.display());
        let text = requires::drop_in(&first, needs);
        desired.insert(directory.join(DROP_IN_OF_UPDATE), text);
    }
    let ours = existing.iter().filter(|(_, drop_in)| drop_in.of_update);
    let ours: BTreeMap<&PathBuf, &DropIn> = ours.collect();
    for (path, text) in &desired {
        match ours.get(path) {
            None => plan
                .actions
                .push(Action::Create(path.clone(), text.clone())),
            Some(old) if old.text.as_ref() == Some(text) => {}
            Some(old) if old.is_ours() => {
                plan.actions
                    .push(Action::Update(path.clone(), text.clone()));
            }
            Some(_) => plan.problems.push(format!(
                "{} is not ours and is left alone: what NETNS_REQUIRES says is not in force",
                path.display()
            )),
        }
    }
    for (path, old) in ours {
        let (nstype, _) = &old.owner;
        let keep = wanted.unclear.contains(&old.owner) || types.doubtful.contains(nstype);
        if old.is_ours() && !keep && !desired.contains_key(path) {
            plan.actions.push(Action::RemoveDropIn(path.clone()));
        }
    }
    plan.problems.append(&mut wanted.problems);
    Ok(())
}

impl Wanted {
    fn read(&mut self, root: &Root, types: &Types) -> Result<()> {
        if let Some((path, needs)) = self.read_file(&root.default_conf(), None) {
            if !needs.is_empty() {
                self.problems.push(format!(
                    "{}: NETNS_REQUIRES is for a type or an instance, and not for all types",
                    path.display()
                ));
            }
        }
        for nstype in &types.found {
            let owner = (nstype.clone(), None);
            let [own, shipped] = root.scripts(nstype);
            let script = if matches!(is_source(&own), Ok(false)) {
                shipped
            } else {
                own
            };
            // In the order in which they are sourced: what is assigned last counts.
            for path in [script, root.type_conf(nstype)] {
                if let Some(found) = self.read_file(&path, Some(&owner)) {
                    self.needs.insert(owner.clone(), found);
                }
            }
        }
        for (path, instance) in configured_instances(root)? {
            if types.found.contains(&instance.nstype) {
                let owner = (instance.nstype.clone(), Some(instance.nsname));
                if let Some(found) = self.read_file(&path, Some(&owner)) {
                    self.needs.insert(owner, found);
                }
            }
        }
        let unclear = &self.unclear;
        self.needs.retain(|owner, _| !unclear.contains(owner));
        Ok(())
    }

    fn read_file(&mut self, path: &Path, owner: Option<&Owner>) -> Option<(PathBuf, Vec<Need>)> {
        let read = || -> Result<Option<Vec<Need>>> {
            if !is_source(path)? {
                return Ok(None);
            }
            let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            requires::read(&String::from_utf8_lossy(&bytes))
                .with_context(|| path.display().to_string())
        };
        match read() {
            Ok(needs) => needs.map(|needs| (path.to_owned(), needs)),
            Err(error) => {
                // That a file cannot be read has been told already.
                if fs::read(path).is_ok() {
                    self.problems.push(format!("{error:#}"));
                }
                self.unclear.extend(owner.cloned());
                None
            }
        }
    }

    /// All that there is: what files say, and what netnsctl has written.
    fn graph(&self, existing: &BTreeMap<PathBuf, DropIn>) -> DependencyGraph {
        let mut graph = DependencyGraph::default();
        let by_hand = existing.values().filter(|drop_in| !drop_in.of_update);
        let by_hand = by_hand.map(|drop_in| (&drop_in.owner, drop_in.needs()));
        let by_file = self.needs.iter();
        let by_file = by_file.map(|(owner, (_, needs))| (owner, needs.clone()));
        for ((nstype, name), needs) in by_hand.chain(by_file) {
            match name {
                None => graph.add_type(nstype, &needs),
                Some(name) => {
                    let (nstype, nsname) = (nstype.clone(), name.clone());
                    graph.add_instance(&Instance { nstype, nsname }, &needs);
                }
            }
        }
        graph
    }

    /// Leaves out what would have instances wait for each other for ever.
    fn refuse_circles(&mut self, existing: &BTreeMap<PathBuf, DropIn>) {
        loop {
            let graph = self.graph(existing);
            let Some(cycle) = graph.cycle() else {
                return;
            };
            self.problems.push(format!(
                "NETNS_REQUIRES goes round in a circle, and is not put in force: {}",
                cycle.join(" -> ")
            ));
            let before = self.needs.len();
            for node in &cycle {
                let Some((nstype, name)) = node.split_once('@') else {
                    continue;
                };
                let Ok(nstype) = nstype.parse::<NsType>() else {
                    continue;
                };
                for name in [None, name.parse::<NsName>().ok()] {
                    let owner = (nstype.clone(), name);
                    if self.needs.remove(&owner).is_some() {
                        self.unclear.insert(owner);
                    }
                }
            }
            if self.needs.len() == before {
                // Drop-ins alone make it: those are not ours to mend.
                return;
            }
        }
    }
}

/// The circle that there would be if `instance` required all this as well.
pub fn cycle_with(root: &Root, instance: &Instance, needs: &[Need]) -> Result<Option<Vec<String>>> {
    let mut wanted = Wanted::default();
    wanted.read(root, &Types::find(root)?)?;
    let mut graph = wanted.graph(&existing(root)?);
    graph.add_instance(instance, needs);
    Ok(graph.cycle())
}

/// A drop-in that stands where one of requirements would.
#[derive(Debug)]
struct DropIn {
    owner: Owner,
    /// `None` where it is no text.
    text: Option<String>,
    /// By its name, one that netnsupdate writes; else one of netnsctl.
    of_update: bool,
}

impl DropIn {
    fn is_ours(&self) -> bool {
        let text = self.text.as_deref().unwrap_or_default();
        text.starts_with(requires::OF_UPDATE)
    }

    fn needs(&self) -> Vec<Need> {
        requires::needs_of(self.text.as_deref().unwrap_or_default())
    }
}

fn existing(root: &Root) -> Result<BTreeMap<PathBuf, DropIn>> {
    let mut existing = BTreeMap::new();
    for name in file::names(&root.unit_dir())? {
        let owner = || -> Option<Owner> {
            let unit = name.strip_suffix(".d")?;
            if let Some((Side::Outside, nstype)) = unit::of_copy(unit) {
                return Some((nstype, None));
            }
            match UnitName::parse(unit)? {
                UnitName::Instance(Side::Outside, Instance { nstype, nsname }) => {
                    Some((nstype, Some(nsname)))
                }
                _ => None,
            }
        };
        let Some(owner) = owner() else {
            continue;
        };
        for (file, of_update) in [(DROP_IN_OF_UPDATE, true), (DROP_IN_OF_CTL, false)] {
            let path = root.unit_dir().join(&name).join(file);
            if let Some(bytes) = file::read(&path)? {
                let drop_in = DropIn {
                    owner: owner.clone(),
                    text: String::from_utf8(bytes).ok(),
                    of_update,
                };
                existing.insert(path, drop_in);
            }
        }
    }
    Ok(existing)
}
