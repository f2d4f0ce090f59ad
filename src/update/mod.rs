//! netnsupdate: writes the units of every NSTYPE. Makes a plan without side effects, then applies it.
//!
//! Uses `systemd`, `instance` and `sys`.

mod order;
mod plan;
pub mod requires;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};

use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::types::Types;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file::{self, Listed};
use crate::sys::lock::{Lock, locked};
use crate::sys::log;
use crate::sys::rooted;
use crate::sys::terminal::clean;
use crate::systemd::change::{LOCK_TIMEOUT, Units};
use crate::systemd::manager::Manager;
use crate::systemd::unit::{self, UnitName};

pub use plan::{Action, Plan};
use plan::{Copies, Templates, UnitFile};

/// In bytes: about a hundred times the size of our units.
const UNIT_MAX: u64 = 1 << 20;

/// The request on the command line.
#[derive(Debug, Default)]
pub struct UpdateRequest {
    /// Remove all copies.
    pub clean: bool,
    /// Also remove copies that running instances need.
    pub force: bool,
    /// Print what would be done, do nothing.
    pub dry_run: bool,
    /// Print nothing but warnings and errors.
    pub quiet: bool,
    pub reload: Reload,
}

/// When to reload systemd.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    #[default]
    IfChanged,
    Always,
    Never,
}

/// The plan of a run, with its problems. Changes nothing.
///
/// # Errors
/// A directory or a template cannot be read.
pub fn pending(root: &Root, manager: Option<&Manager>, request: &UpdateRequest) -> Result<Plan> {
    plan_with(
        root,
        manager,
        request,
        &read_templates(root, request.clean)?,
    )
}

fn plan_with(
    root: &Root,
    manager: Option<&Manager>,
    request: &UpdateRequest,
    templates: &Templates,
) -> Result<Plan> {
    let types = match request.clean {
        true => Types::default(),
        false => Types::find(root)?,
    };
    let unit_dir = root.unit_dir();
    let units = file::listing(&unit_dir)?;
    let copies = existing(&unit_dir, &units);
    let mut plan = Plan::new(&unit_dir, &types, templates, &copies);
    order::plan(root, &types, &units, &mut plan);
    if let Some(manager) = manager.filter(|_| !request.force) {
        plan.keep_running(manager)?;
    }
    plan.misnamed = types.problems;
    let with_copies = copies.into_keys().map(|(_, nstype)| nstype);
    plan.types = types.found.into_iter().chain(with_copies).collect();
    Ok(plan)
}

/// Updates the units, and returns the exit status: 1 if anything could not be done. `manager` is
/// `None` for a system that does not run.
///
/// # Errors
/// A directory or a template cannot be read. Nothing has changed then.
pub fn run(root: &Root, manager: Option<&Manager>, request: &UpdateRequest) -> Result<u8> {
    let unit_dir = root.unit_dir();
    // Nothing can be done without templates: fail before taking the lock.
    let templates = read_templates(root, request.clean)?;
    let systemd = manager.filter(|_| !request.dry_run);
    thread::scope(|scope| {
        // Side by side with the rest, which takes as long if there is nothing to do.
        let failed = systemd.map(|manager| scope.spawn(|| manager.failed(&unit::patterns())));
        // Before anything else is read, because another process may change it.
        let _locked = match request.dry_run {
            true => None,
            false => Some(prepare(root, manager, &unit_dir)?),
        };
        let plan = plan_with(root, manager, request, &templates)?;
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
        if let (Some(manager), Some(failed)) = (manager, failed) {
            let failed = failed.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            reset_failed(manager, &failed, &plan.types)?;
            reload.finish(manager)?;
        }
        Ok(status(complete))
    })
}

fn status(complete: bool) -> u8 {
    if complete { 0 } else { Exit::Failure as u8 }
}

/// Applies the plan. Prints failures, and returns false if there were any.
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

/// Resets the failed state of the units of `types`, and of those that create namespaces.
fn reset_failed(manager: &Manager, failed: &[String], types: &BTreeSet<NsType>) -> Result<()> {
    let mut patterns = BTreeSet::new();
    for name in failed {
        match UnitName::parse(name) {
            Some(UnitName::Namespace(_)) => {
                patterns.insert(unit::pattern_of_namespaces());
            }
            Some(UnitName::Instance(_, Instance { nstype, .. })) if types.contains(&nstype) => {
                patterns.extend(unit::patterns_of_type(&nstype));
            }
            _ => {}
        }
    }
    // It is no error if nothing matches any more.
    let patterns: Vec<String> = patterns.into_iter().collect();
    match patterns.is_empty() {
        true => Ok(()),
        false => manager.reset_failed(&patterns),
    }
}

/// Whether systemd has to be reloaded. A file records that until it was: if a run is killed in
/// between, the next one finds nothing to change but has to reload.
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
        file::make_parent(mark, 0o700)?;
        file::write(mark, b"", 0o600)
    }

    fn finish(&self, manager: &Manager) -> Result<()> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        if self.always || file::exists(mark)? {
            manager.reload()?;
            file::remove(mark)?;
        }
        Ok(())
    }
}

/// The lock on unit files.
enum UnitsLock<'a> {
    System { _units: Units<'a> },
    Image { _directory: Lock },
}

/// Takes the lock on unit files, and cleans up after a process that was killed.
fn prepare<'a>(
    root: &'a Root,
    manager: Option<&'a Manager>,
    unit_dir: &Path,
) -> Result<UnitsLock<'a>> {
    file::make_directory(unit_dir, 0o755)?;
    if root.is_system() {
        let units = Units::lock(root, manager)?;
        return Ok(UnitsLock::System { _units: units });
    }
    // An image has no files below /run, and may be read-only.
    let directory = rooted::target(unit_dir)?;
    let lock = Lock::directory(&directory, LOCK_TIMEOUT)?.with_context(|| locked(unit_dir))?;
    file::remove_temporary(unit_dir)?;
    Ok(UnitsLock::Image { _directory: lock })
}

/// The templates of a run: none if it removes all copies.
fn read_templates(root: &Root, clean: bool) -> Result<Templates> {
    if clean {
        return Ok(Templates::new());
    }
    let read = |side: Side| {
        let path = root.template_dir().join(unit::template(side));
        let text = file::read(&path).and_then(|content| {
            let content =
                content.with_context(|| format!("there is no unit template {}", path.display()))?;
            String::from_utf8(content).with_context(|| format!("reading {}", path.display()))
        });
        Ok((side, text.or_exit(Exit::NotInstalled)?))
    };
    unit::SIDES.into_iter().rev().map(read).collect()
}

fn existing(unit_dir: &Path, units: &[Listed]) -> Copies {
    let mut copies = Copies::new();
    for Listed { name, regular } in units {
        // A file that is not named after a type is not ours, whatever its content.
        if let Some(named) = name.to_str().and_then(unit::of_copy) {
            let copy = look_at(&unit_dir.join(name), *regular);
            let copy = copy.unwrap_or_else(|error| UnitFile::Unreadable(format!("{error:#}")));
            copies.insert(named, copy);
        }
    }
    copies
}

fn look_at(path: &Path, regular: bool) -> Result<UnitFile> {
    let mut link = None;
    if !regular {
        link = file::read_link(path)?;
        // Another root may not have the device.
        if link.as_deref() == Some(Path::new("/dev/null")) {
            return Ok(UnitFile::Masked);
        }
        match file::metadata(path)? {
            None => return Ok(UnitFile::Link),
            Some(metadata) if !metadata.is_file() => return Ok(UnitFile::Foreign),
            Some(_) => {}
        }
    }
    let content = file::read_start(path, UNIT_MAX + 1)?.unwrap_or_default();
    if content.len() as u64 > UNIT_MAX {
        return Ok(UnitFile::Foreign);
    }
    // Our files are UTF-8.
    let text = String::from_utf8(content).unwrap_or_default();
    Ok(match link {
        _ if !unit::is_ours(&text) => UnitFile::Foreign,
        Some(_) => UnitFile::Link,
        None => UnitFile::Ours(text),
    })
}

/// Prints a line. Ignores errors, such as a closed pipe.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{}", clean(line));
}
