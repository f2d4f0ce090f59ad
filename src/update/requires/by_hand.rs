//! Requirements added by `netnsctl require`, in a separate drop-in.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{DROP_IN_OF_CTL, Need, OF_CTL, RequiredName, drop_in, drop_in_dir, needs_of};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::sys::file;
use crate::systemd::change::{Change, Units};
use crate::systemd::instances::require_units;
use crate::systemd::manager::Manager;
use crate::systemd::unit;
use crate::update::order::cycle_with;

/// Adds `needs` to the requirements of `instance`.
///
/// # Errors
/// One does not exist, or they would form a cycle.
pub fn require(
    root: &Root,
    manager: Option<&Manager>,
    instance: &Instance,
    needs: &[Need],
) -> Result<()> {
    require_units(root, instance)?;
    for need in needs {
        if let Need::Type(nstype, RequiredName::Other(nsname)) = need {
            let (nstype, nsname) = (nstype.clone(), nsname.clone());
            require_units(root, &Instance { nstype, nsname })?;
        }
    }
    let units = Units::lock(root, manager)?;
    let (path, mut all) = written(root, instance)?;
    for need in needs {
        if !all.contains(need) {
            all.push(need.clone());
        }
    }
    if let Some(cycle) = cycle_with(root, instance, &all)? {
        bail!("dependency cycle: {cycle}");
    }
    write(&units, path, &all)
}

/// Removes `needs` from the requirements of `instance`.
///
/// # Errors
/// This drop-in of `instance` does not have one of them.
pub fn release(
    root: &Root,
    manager: Option<&Manager>,
    instance: &Instance,
    needs: &[Need],
) -> Result<()> {
    let units = Units::lock(root, manager)?;
    let (path, mut all) = written(root, instance)?;
    for need in needs {
        let Some(index) = all.iter().position(|other| other == need) else {
            bail!(
                "{instance} does not require {} through 'netnsctl require': see 'systemctl cat {}'",
                need.unit(),
                unit::of(Side::Outside, instance)
            );
        };
        all.remove(index);
    }
    write(&units, path, &all)
}

/// The drop-in, and its requirements.
fn written(root: &Root, instance: &Instance) -> Result<(PathBuf, Vec<Need>)> {
    let Instance { nstype, nsname } = instance;
    let path = drop_in_dir(root, nstype, Some(nsname)).join(DROP_IN_OF_CTL);
    let text = file::read_text(&path)?;
    if text.as_ref().is_some_and(|text| !text.starts_with(OF_CTL)) {
        bail!("{} was not written by netnsctl require", path.display());
    }
    Ok((path, text.as_deref().map(needs_of).unwrap_or_default()))
}

fn write(units: &Units, path: PathBuf, needs: &[Need]) -> Result<()> {
    let mut change = Change::default();
    if needs.is_empty() {
        change.remove_empty(path.parent().unwrap_or(&path).to_owned());
    }
    change.file(path, (!needs.is_empty()).then(|| drop_in(OF_CTL, needs)));
    units.apply(&change, || units.reload())
}
