//! netnsupdate: every NSTYPE has its units. A pure plan, then its application.

mod plan;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::exit::{self, Exit, OrExit};
use crate::file::{self, Missing};
use crate::manager::Manager;
use crate::root::Root;
use crate::types::Types;
use crate::unit::{self, Part};

use plan::{Copies, Copy, Plan, Templates};

/// What the command line asks for.
#[derive(Debug, Default)]
pub struct Request {
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

/// Brings the units in line with the types, and gives the exit status: 1 if anything was left
/// undone. `manager` is `None` for a system that does not run.
///
/// # Errors
/// Nothing was changed: a directory or a template cannot be read.
pub fn run(root: &Root, manager: Option<&Manager>, request: &Request) -> Result<u8> {
    let unit_dir = root.unit_dir();
    let mut types = Types::find(root)?;
    if request.clean {
        types = Types::default();
    }
    let templates = read_templates(root)?;
    let _lock = if request.dry_run {
        None
    } else {
        Some(prepare(&unit_dir)?)
    };
    let copies = existing(root)?;
    let mut plan = Plan::new(&unit_dir, &types.found, &templates, &copies);
    if let Some(manager) = manager {
        if !request.force {
            plan.keep_running(manager)?;
        }
    }
    for problem in types
        .problems
        .iter()
        .chain(&plan.problems)
        .chain(&plan.remarks)
    {
        exit::warn(problem);
    }
    let mut complete = types.problems.is_empty() && plan.problems.is_empty();
    let mut changed = false;
    for action in &plan.actions {
        if !request.dry_run {
            if let Err(error) = action.apply() {
                exit::error(&format!("{error:#}"));
                complete = false;
                continue;
            }
        }
        changed = true;
        if !request.quiet {
            let (done, path) = action.describe();
            let done = if request.dry_run {
                format!("would have {done}")
            } else {
                done.to_owned()
            };
            say(&format!("{done} {}", path.display()));
        }
    }
    if changed && !request.dry_run {
        file::sync_directory(&unit_dir)?;
    }
    if let (Some(manager), false) = (manager, request.dry_run) {
        let reload = match request.reload {
            Reload::Never => false,
            Reload::Always => true,
            Reload::IfChanged => changed,
        };
        settle(manager, &types, &copies, reload)?;
    }
    Ok(if complete { 0 } else { Exit::Failure as u8 })
}

/// Tells systemd what it has to know.
fn settle(manager: &Manager, types: &Types, copies: &Copies, reload: bool) -> Result<()> {
    let removed = copies.keys().map(|(_, nstype)| nstype);
    let patterns = types.found.iter().chain(removed);
    let mut patterns: Vec<String> = patterns
        .flat_map(|nstype| Part::BOTH.map(|part| part.pattern(nstype)))
        .collect();
    patterns.push("netns_name@*.service".to_owned());
    patterns.sort();
    patterns.dedup();
    manager.reset_failed(&patterns)?;
    if reload {
        manager.reload()?;
    }
    Ok(())
}

/// Makes the directory ours alone, and free of what a killed run has left.
fn prepare(unit_dir: &Path) -> Result<Flock<File>> {
    file::make_directory(unit_dir, 0o755)?;
    let open = File::open(unit_dir).with_context(|| format!("opening {}", unit_dir.display()))?;
    let lock = Flock::lock(open, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("locking {}", unit_dir.display()))?;
    for name in names(unit_dir)? {
        if name.starts_with(file::TEMPORARY_PREFIX) {
            let path = unit_dir.join(name);
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(lock)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {}", directory.display());
    let Some(entries) = fs::read_dir(directory).missing_ok().with_context(reading)? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no UTF-8 is none of ours.
        names.extend(entry.with_context(reading)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn read_templates(root: &Root) -> Result<Templates> {
    let read = |part: Part| {
        let path = root.template_dir().join(part.template());
        let text = fs::read_to_string(&path)
            .with_context(|| format!("reading the unit template {}", path.display()))
            .or_exit(Exit::NotInstalled)?;
        Ok((part, text))
    };
    Part::BOTH.into_iter().map(read).collect()
}

fn existing(root: &Root) -> Result<Copies> {
    let unit_dir = root.unit_dir();
    let mut copies = Copies::new();
    for name in names(&unit_dir)? {
        let Some((part, nstype)) = Part::of_copy(&name) else {
            continue;
        };
        // What is named after no type is not ours, whatever it holds.
        if let Ok(nstype) = nstype.parse() {
            copies.insert((part, nstype), look_at(root, &unit_dir.join(&name))?);
        }
    }
    Ok(copies)
}

fn look_at(root: &Root, path: &Path) -> Result<Copy> {
    let looking = || format!("looking at {}", path.display());
    let link = match fs::read_link(path) {
        Ok(target) if target.is_absolute() => Some(root.path(target)),
        Ok(target) => Some(path.with_file_name(target)),
        Err(_) => None,
    };
    let target = link.as_deref().unwrap_or(path);
    let metadata = fs::metadata(target).missing_ok().with_context(looking)?;
    let ours = match metadata {
        None => return Ok(Copy::Link),
        // A device: /dev/null, by which the administrator has masked the unit.
        Some(metadata) if !metadata.is_file() => None,
        Some(_) => Some(fs::read_to_string(target).with_context(looking)?)
            .filter(|text| unit::is_ours(text)),
    };
    Ok(match (ours, link) {
        (None, _) => Copy::Foreign,
        (Some(_), Some(_)) => Copy::Link,
        (Some(text), None) => Copy::Ours(text),
    })
}

/// That nobody reads the list is no reason to stop half-way.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
