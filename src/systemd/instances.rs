//! Finds instances: those with a file, those enabled, those that are up.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::register::Register;
use crate::instance::sources::{self, is_source};
use crate::instance::trust::Trust;
use crate::instance::types::configured_instances;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::systemd::manager::Manager;
use crate::systemd::unit::{self, UnitName};

/// All instances that have a configuration file, an enabled unit or a loaded unit, or that are up.
/// Sources that cannot be read are added to `unreadable`.
pub fn known(
    root: &Root,
    manager: Option<&Manager>,
    unreadable: &mut Vec<String>,
) -> BTreeSet<Instance> {
    let mut known = BTreeSet::new();
    let sources = [
        ("configured instances", configured(root)),
        ("enabled instances", enabled(root)),
        ("running instances", running(root)),
        ("units", manager.map_or(Ok(BTreeSet::new()), loaded)),
    ];
    for (what, instances) in sources {
        match instances {
            Ok(instances) => known.extend(instances),
            Err(error) => unreadable.push(format!("{what}: {error:#}")),
        }
    }
    known
}

fn configured(root: &Root) -> Result<BTreeSet<Instance>> {
    let files = configured_instances(root)?.into_iter();
    let files = files.filter(|(path, _)| matches!(is_source(path), Ok(true)));
    Ok(files.map(|(_, instance)| instance).collect())
}

fn running(root: &Root) -> Result<BTreeSet<Instance>> {
    let records = file::parsed(&root.records_dir())?;
    let mut running: BTreeSet<_> = records.into_iter().collect();
    for register in Register::all(root)? {
        let instances = register.instances()?.into_iter();
        running.extend(instances.map(|(instance, _)| instance));
    }
    Ok(running)
}

fn loaded(manager: &Manager) -> Result<BTreeSet<Instance>> {
    let units = manager.units(&unit::patterns())?;
    Ok(units
        .iter()
        .filter_map(|unit| of_unit(&unit.name))
        .collect())
}

/// The units in `.wants` and `.requires` directories of the administrator (systemd.unit(5)).
/// Does not need a running systemd.
pub fn enabled_units(root: &Root) -> Result<BTreeSet<String>> {
    let mut enabled = BTreeSet::new();
    for name in file::names(&root.unit_dir())? {
        if name.ends_with(".wants") || name.ends_with(".requires") {
            enabled.extend(file::names(&root.unit_dir().join(name))?);
        }
    }
    Ok(enabled)
}

/// The instances that are enabled.
pub fn enabled(root: &Root) -> Result<BTreeSet<Instance>> {
    let units = enabled_units(root)?.into_iter();
    Ok(units.filter_map(|unit| of_unit(&unit)).collect())
}

/// The instance whose inside unit this is. `None` for any other unit.
pub fn of_unit(name: &str) -> Option<Instance> {
    match UnitName::parse(name)? {
        UnitName::Instance(Side::Inside, instance) => Some(instance),
        _ => None,
    }
}

/// Fails if the type of an instance is unknown, or has no units from netnsupdate.
///
/// # Errors
/// With [`Exit::Config`].
pub fn require_units(root: &Root, instance: &Instance) -> Result<()> {
    sources::find(root, instance, Trust::from_environment())?;
    let unit = root
        .unit_dir()
        .join(unit::copy(Side::Inside, &instance.nstype));
    if !file::exists(&unit)? {
        return Err(anyhow!(
            "NSTYPE '{}' has no unit {}: run netnsupdate",
            instance.nstype,
            unit.display()
        ))
        .or_exit(Exit::Config);
    }
    Ok(())
}
