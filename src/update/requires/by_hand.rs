//! What `netnsctl require` adds to an instance, in a drop-in of its own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{DROP_IN_OF_CTL, Name, Need, OF_CTL, drop_in, drop_in_dir, needs_of};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::sys::change::Change;
use crate::sys::file;
use crate::systemd::instances::require_units;
use crate::systemd::manager::Manager;
use crate::systemd::unit;
use crate::update::order::cycle_with;

/// Makes `instance` require `needs`, too.
///
/// # Errors
/// One is not there, or they would require each other in a cycle. Nothing has changed.
pub fn require(
    root: &Root,
    manager: Option<&Manager>,
    instance: &Instance,
    needs: &[Need],
) -> Result<()> {
    require_units(root, instance)?;
    for need in needs {
        if let Need::Type(nstype, Name::Other(nsname)) = need {
            let (nstype, nsname) = (nstype.clone(), nsname.clone());
            require_units(root, &Instance { nstype, nsname })?;
        }
    }
    let (path, mut all) = written(root, instance)?;
    for need in needs {
        if !all.contains(need) {
            all.push(need.clone());
        }
    }
    if let Some(cycle) = cycle_with(root, instance, &all)? {
        bail!("that would go round in a circle: {}", cycle.join(" -> "));
    }
    write(manager, path, &all)
}

/// Takes back what [`require`] did for `needs`.
///
/// # Errors
/// `instance` does not require one of them by this drop-in. Nothing has changed.
pub fn release(
    root: &Root,
    manager: Option<&Manager>,
    instance: &Instance,
    needs: &[Need],
) -> Result<()> {
    let (path, mut all) = written(root, instance)?;
    for need in needs {
        let Some(index) = all.iter().position(|other| other == need) else {
            bail!(
                "{instance} does not require {} by 'netnsctl require': 'systemctl cat {}' shows what it does",
                need.unit(),
                unit::of(Side::Outside, instance)
            );
        };
        all.remove(index);
    }
    write(manager, path, &all)
}

/// The drop-in, and what it requires.
fn written(root: &Root, instance: &Instance) -> Result<(PathBuf, Vec<Need>)> {
    let Instance { nstype, nsname } = instance;
    let path = drop_in_dir(root, nstype, Some(nsname)).join(DROP_IN_OF_CTL);
    let text = file::read_text(&path)?;
    if text.as_ref().is_some_and(|text| !text.starts_with(OF_CTL)) {
        bail!("{} is not ours, and is left alone", path.display());
    }
    Ok((path, text.as_deref().map(needs_of).unwrap_or_default()))
}

fn write(manager: Option<&Manager>, path: PathBuf, needs: &[Need]) -> Result<()> {
    let text = (!needs.is_empty()).then(|| drop_in(OF_CTL, needs));
    let files = [(path, text)];
    Change::of(&files)?.apply(|| manager.map_or(Ok(()), Manager::reload))?;
    if let ([(path, None)], true) = (&files, needs.is_empty()) {
        if let Some(directory) = path.parent() {
            // Others may have drop-ins of their own there.
            let _ = fs::remove_dir(directory);
        }
    }
    Ok(())
}
