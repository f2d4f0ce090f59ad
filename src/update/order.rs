//! Requirements between instances, as drop-ins for their units.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;

use super::plan::{Action, Plan};
use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::types::{TypeFile, Types};
use crate::sys::file::{self, Listed};
use crate::systemd::unit::{self, UnitName};
use crate::update::requires::{
    self, Cycle, DROP_IN_OF_CTL, DROP_IN_OF_UPDATE, DependencyGraph, Need,
};

/// The owner of requirements: a type or an instance.
type RequirementOwner = (NsType, Option<NsName>);

/// The requirements in a file, and their line.
#[derive(Debug)]
struct Requirement {
    source: PathBuf,
    line: usize,
    needs: Vec<Need>,
}

/// The requirements of all files, and what cannot be read.
#[derive(Debug, Default)]
struct Wanted {
    by_file: BTreeMap<RequirementOwner, Requirement>,
    /// Their drop-ins are not changed.
    unclear: BTreeSet<RequirementOwner>,
    problems: Vec<String>,
}

/// Adds the changes to drop-ins to `plan`. Without types, all drop-ins are removed. `units` is what
/// is in the unit directory.
pub fn plan(root: &Root, types: &Types, units: &[Listed], plan: &mut Plan) {
    let mut wanted = Wanted::default();
    let existing = existing(root, units, &mut wanted.problems);
    let leftovers =
        drop_in_dirs(units).map(|(name, _)| file::leftovers(&root.unit_dir().join(name)));
    for leftovers in leftovers {
        match leftovers {
            Ok(paths) => plan
                .actions
                .extend(paths.into_iter().map(Action::RemoveDropIn)),
            Err(error) => wanted.problems.push(format!("{error:#}")),
        }
    }
    if !types.found.is_empty() {
        wanted.read(types);
        wanted.drop_cycles(&existing);
    }
    let mut desired = BTreeMap::new();
    for ((nstype, name), Requirement { source, needs, .. }) in &wanted.by_file {
        if needs.is_empty() {
            continue;
        }
        let directory = requires::drop_in_dir(root, nstype, name.as_ref());
        let first = format!("{}{}", requires::OF_UPDATE, root.seen(source).display());
        let text = requires::drop_in(&first, needs);
        desired.insert(directory.join(DROP_IN_OF_UPDATE), text);
    }
    let ours = existing.iter().filter(|(_, drop_in)| drop_in.of_update);
    let ours: BTreeMap<&PathBuf, &RequirementDropIn> = ours.collect();
    for (path, text) in &desired {
        let action = match ours.get(path) {
            None => Action::Create(path.clone(), text.clone()),
            Some(old) if old.text == *text => continue,
            Some(old) if old.is_ours() => Action::Update(path.clone(), text.clone()),
            Some(_) => {
                plan.problems.push(format!(
                    "{} was not written by netnsupdate, leaving it alone: NETNS_REQUIRES has no effect",
                    path.display()
                ));
                continue;
            }
        };
        plan.actions.push(action);
    }
    for (path, old) in ours {
        let (nstype, _) = &old.owner;
        let keep = wanted.unclear.contains(&old.owner) || types.doubtful.contains(nstype);
        if old.is_ours() && !keep && !desired.contains_key(path) {
            plan.actions.push(Action::RemoveDropIn(path.clone()));
        }
    }
    plan.problems.append(&mut wanted.problems);
}

impl Wanted {
    /// Reads the files in the order of sourcing: the last assignment counts.
    fn read(&mut self, types: &Types) {
        for ((nstype, nsname, _), TypeFile { path, text }) in &types.files {
            let owner = nstype.clone().map(|nstype| (nstype, nsname.clone()));
            let read = text.as_deref().map(requires::read);
            match (owner, read) {
                (None, Some(Ok(Some((line, needs))))) if !needs.is_empty() => {
                    self.problems.push(format!(
                        "{}:{line}: NETNS_REQUIRES has no effect in default.conf: set it for a type \
                         or an instance",
                        path.display()
                    ))
                }
                (Some(owner), Some(Ok(Some((line, needs))))) => {
                    let source = path.clone();
                    let found = Requirement {
                        source,
                        line,
                        needs,
                    };
                    self.by_file.insert(owner, found);
                }
                (owner, Some(Err(error))) => {
                    self.problems.push(format!("{}:{error:#}", path.display()));
                    self.unclear.extend(owner);
                }
                // Reported with the problems of the types.
                (owner, None) => self.unclear.extend(owner),
                (_, Some(Ok(_))) => {}
            }
        }
        let unclear = &self.unclear;
        self.by_file.retain(|owner, _| !unclear.contains(owner));
    }

    /// The requirements of files, and those written by netnsctl.
    fn graph(&self, existing: &BTreeMap<PathBuf, RequirementDropIn>) -> DependencyGraph {
        let mut graph = DependencyGraph::default();
        let by_hand = existing.values().filter(|drop_in| !drop_in.of_update);
        let by_hand = by_hand.map(|drop_in| (&drop_in.owner, requires::needs_of(&drop_in.text)));
        let by_file = self.by_file.iter();
        let by_file = by_file.map(|(owner, found)| (owner, found.needs.clone()));
        for ((nstype, name), needs) in by_hand.chain(by_file) {
            graph.add(nstype, name.as_ref(), &needs);
        }
        graph
    }

    /// Drops requirements that form cycles.
    fn drop_cycles(&mut self, existing: &BTreeMap<PathBuf, RequirementDropIn>) {
        while let Some(cycle) = self.graph(existing).cycle() {
            let owners = cycle.owners();
            let mut places: Vec<String> = Vec::new();
            for owner in &owners {
                if let Some(Requirement { source, line, .. }) = self.by_file.remove(owner) {
                    places.push(format!("{}:{line}", source.display()));
                    self.unclear.insert(owner.clone());
                }
            }
            let Some(first) = places.first() else {
                // netnsctl has written the whole cycle.
                let by_hand = existing
                    .iter()
                    .filter(|(_, drop_in)| owners.contains(&drop_in.owner));
                let paths: Vec<String> = by_hand
                    .map(|(path, _)| path.display().to_string())
                    .collect();
                self.problems
                    .push(format!("{}: dependency cycle: {cycle}", paths.join(", ")));
                return;
            };
            let others = match &places[1..] {
                [] => String::new(),
                others => format!(" (also {})", others.join(", ")),
            };
            self.problems.push(format!(
                "{first}: ignoring NETNS_REQUIRES, dependency cycle: {cycle}{others}"
            ));
        }
    }
}

/// The cycle that there would be if `instance` also required all this.
pub fn cycle_with(root: &Root, instance: &Instance, needs: &[Need]) -> Result<Option<Cycle>> {
    let mut wanted = Wanted::default();
    wanted.read(&Types::find(root)?);
    let units = file::listing(&root.unit_dir())?;
    let mut graph = wanted.graph(&existing(root, &units, &mut Vec::new()));
    graph.add(&instance.nstype, Some(&instance.nsname), needs);
    Ok(graph.cycle())
}

/// A drop-in with the name of one for requirements.
#[derive(Debug)]
struct RequirementDropIn {
    owner: RequirementOwner,
    text: String,
    /// Whether it has the name that netnsupdate uses, or that of netnsctl.
    of_update: bool,
}

impl RequirementDropIn {
    fn is_ours(&self) -> bool {
        self.text.starts_with(requires::OF_UPDATE)
    }
}

fn existing(
    root: &Root,
    units: &[Listed],
    problems: &mut Vec<String>,
) -> BTreeMap<PathBuf, RequirementDropIn> {
    let mut existing = BTreeMap::new();
    for (name, owner) in drop_in_dirs(units) {
        for (file, of_update) in [(DROP_IN_OF_UPDATE, true), (DROP_IN_OF_CTL, false)] {
            let path = root.unit_dir().join(name).join(file);
            match file::read_text(&path) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    let owner = owner.clone();
                    existing.insert(
                        path,
                        RequirementDropIn {
                            owner,
                            text,
                            of_update,
                        },
                    );
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
    }
    existing
}

/// The directories that may have drop-ins for requirements, with their owners.
fn drop_in_dirs(units: &[Listed]) -> impl Iterator<Item = (&str, RequirementOwner)> {
    let names = units.iter().filter_map(|unit| unit.name.to_str());
    names.filter_map(|name| Some((name, name.strip_suffix(".d").and_then(owner)?)))
}

/// The owner of the requirements in the drop-ins of a unit.
fn owner(unit: &str) -> Option<RequirementOwner> {
    if let Some((Side::Outside, nstype)) = unit::of_copy(unit) {
        return Some((nstype, None));
    }
    match UnitName::parse(unit)? {
        UnitName::Instance(Side::Outside, Instance { nstype, nsname }) => {
            Some((nstype, Some(nsname)))
        }
        _ => None,
    }
}
