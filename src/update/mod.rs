//! netnsupdate: every NSTYPE has its units. A pure plan, then its application.

mod order;
mod plan;
pub mod requires;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::types::Types;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file::{self, Missing};
use crate::sys::lock::{Lock, locked};
use crate::sys::log;
use crate::systemd::manager::Manager;
use crate::systemd::unit;

pub use plan::{Action, Plan};
use plan::{Copies, Templates, UnitFile};

/// In bytes; a unit of ours is a hundredth of it.
const UNIT_MAX: u64 = 1 << 20;

/// A run takes a fraction of a second, unless its disk or systemd hangs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// What the command line asks for.
#[derive(Debug, Default)]
pub struct UpdateRequest {
    /// Remove all copies.
    pub clean: bool,
    /// Remove also copies that running instances need.
    pub force: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Say nothing but warnings and errors.
    pub quiet: bool,
    pub reload: Reload,
}

/// When systemd is to read the unit files again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    #[default]
    IfChanged,
    Always,
    Never,
}

/// What a run would do, and what it would not be able to do; nothing is done.
///
/// # Errors
/// A directory or a template cannot be read.
pub fn pending(root: &Root, manager: Option<&Manager>, request: &UpdateRequest) -> Result<Plan> {
    let (types, templates) = if request.clean {
        (Types::default(), Templates::new())
    } else {
        (Types::find(root)?, read_templates(root)?)
    };
    let unit_dir = root.unit_dir();
    let copies = existing(&unit_dir, root)?;
    let mut plan = Plan::new(&unit_dir, &types, &templates, &copies);
    order::plan(root, &types, &mut plan)?;
    if let Some(manager) = manager.filter(|_| !request.force) {
        plan.keep_running(manager)?;
    }
    plan.failed = patterns(&types, &copies);
    plan.misnamed = types.problems;
    Ok(plan)
}

/// Brings the units in line with the types, and gives the exit status: 1 if anything was left
/// undone. `manager` is `None` for a system that does not run.
///
/// # Errors
/// Nothing was changed: a directory or a template cannot be read.
pub fn run(root: &Root, manager: Option<&Manager>, request: &UpdateRequest) -> Result<u8> {
    let unit_dir = root.unit_dir();
    // Before anything is read: what another run has read may be outdated when it acts.
    let _lock = match request.dry_run {
        true => None,
        false => Some(prepare(root, &unit_dir, request.clean)?),
    };
    let plan = pending(root, manager, request)?;
    for problem in plan
        .misnamed
        .iter()
        .chain(&plan.problems)
        .chain(&plan.remarks)
    {
        log::warn(problem);
    }
    let mut complete = plan.misnamed.is_empty() && plan.problems.is_empty();
    if request.dry_run {
        for action in plan.actions.iter().filter(|_| !request.quiet) {
            let (done, path) = action.describe();
            say(&format!("would have {done} {}", path.display()));
        }
        return Ok(status(complete));
    }
    let reload = Pending::new(root, manager, request.reload);
    if !plan.actions.is_empty() {
        reload.begin()?;
        complete &= apply(&plan, &unit_dir, request.quiet);
    }
    if let Some(manager) = manager {
        manager.reset_failed(&plan.failed)?;
        reload.finish(manager)?;
    }
    Ok(status(complete))
}

fn status(complete: bool) -> u8 {
    if complete { 0 } else { Exit::Failure as u8 }
}

/// Makes the changes of the plan, each one whole; false if any failed, which is printed.
fn apply(plan: &Plan, unit_dir: &Path, quiet: bool) -> bool {
    let mut complete = true;
    for action in &plan.actions {
        match action.apply() {
            Ok(()) if quiet => {}
            Ok(()) => {
                let (done, path) = action.describe();
                say(&format!("{done} {}", path.display()));
            }
            Err(error) => {
                log::error(&format!("{error:#}"));
                complete = false;
            }
        }
    }
    if let Err(error) = file::sync_directory(unit_dir) {
        log::error(&format!("{error:#}"));
        complete = false;
    }
    complete
}

/// The units that may have failed, as patterns for systemctl(1).
fn patterns(types: &Types, copies: &Copies) -> Vec<String> {
    let removed = copies.keys().map(|(_, nstype)| nstype);
    let mut patterns: Vec<String> = types
        .found
        .iter()
        .chain(removed)
        .flat_map(unit::patterns_of_type)
        .collect();
    patterns.push(unit::pattern_of_namespaces());
    patterns.sort();
    patterns.dedup();
    patterns
}

/// Whether systemd has to read the unit files again. A file says so as long as it has not: a run
/// that is killed in between leaves nothing for the next to change, but that to be done.
struct Pending {
    mark: Option<PathBuf>,
    always: bool,
}

impl Pending {
    fn new(root: &Root, manager: Option<&Manager>, reload: Reload) -> Self {
        let wanted = manager.is_some() && reload != Reload::Never;
        Self {
            mark: wanted.then(|| root.reload_mark()),
            always: reload == Reload::Always,
        }
    }

    fn begin(&self) -> Result<()> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        if let Some(directory) = mark.parent() {
            file::make_directory(directory, 0o700)?;
        }
        file::write(mark, b"", 0o600)
    }

    fn finish(&self, manager: &Manager) -> Result<()> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        if self.always || mark.exists() {
            manager.reload()?;
            file::remove(mark)?;
        }
        Ok(())
    }
}

/// Keeps other runs out, and removes what a killed run has left.
fn prepare(root: &Root, unit_dir: &Path, clean: bool) -> Result<Lock> {
    if !clean {
        // Without templates nothing can be done.
        read_templates(root)?;
    }
    let following = || format!("following {}", unit_dir.display());
    if !root.contains(unit_dir).with_context(following)? {
        bail!("{} leads out of the root", unit_dir.display());
    }
    file::make_directory(unit_dir, 0o755)?;
    let lock = match root.is_system() {
        true => Lock::take_within(&root.update_lock(), LOCK_TIMEOUT)?,
        // An image keeps no files below /run, and may be read-only.
        false => Lock::directory(unit_dir, LOCK_TIMEOUT)?.with_context(|| locked(unit_dir))?,
    };
    for name in file::names(unit_dir)? {
        let path = unit_dir.join(&name);
        if file::is_temporary(&name) && path.is_file() {
            file::remove(&path)?;
        }
    }
    Ok(lock)
}

fn read_templates(root: &Root) -> Result<Templates> {
    let read = |side: Side| {
        let path = root.template_dir().join(unit::template(side));
        let text = fs::read_to_string(&path)
            .with_context(|| format!("reading the unit template {}", path.display()))
            .or_exit(Exit::NotInstalled)?;
        Ok((side, text))
    };
    unit::SIDES.into_iter().rev().map(read).collect()
}

fn existing(unit_dir: &Path, root: &Root) -> Result<Copies> {
    let mut copies = Copies::new();
    for name in file::names(unit_dir)? {
        // What is named after no type is not ours, whatever it holds.
        let Some(named) = unit::of_copy(&name) else {
            continue;
        };
        let path = unit_dir.join(&name);
        let copy = look_at(root, &path)
            .with_context(|| format!("looking at {}", path.display()))
            .unwrap_or_else(|error| UnitFile::Unreadable(format!("{error:#}")));
        copies.insert(named, copy);
    }
    Ok(copies)
}

fn look_at(root: &Root, path: &Path) -> Result<UnitFile> {
    let link = match fs::read_link(path) {
        // In another root there need not be a device.
        Ok(target) if target == Path::new("/dev/null") => return Ok(UnitFile::Masked),
        Ok(target) if target.is_absolute() => Some(root.path(target)),
        Ok(target) => Some(path.with_file_name(target)),
        Err(_) => None,
    };
    let target = link.as_deref().unwrap_or(path);
    let Some(metadata) = fs::metadata(target).missing_ok()? else {
        return Ok(UnitFile::Link);
    };
    if !metadata.is_file() || metadata.len() > UNIT_MAX {
        return Ok(UnitFile::Foreign);
    }
    Ok(match (String::from_utf8(fs::read(target)?), link) {
        (Ok(text), _) if !unit::is_ours(&text) => UnitFile::Foreign,
        (Ok(_), Some(_)) => UnitFile::Link,
        (Ok(text), None) => UnitFile::Ours(text),
        // What we write is UTF-8.
        (Err(_), _) => UnitFile::Foreign,
    })
}

/// That nobody reads the list is no reason to stop half-way.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
