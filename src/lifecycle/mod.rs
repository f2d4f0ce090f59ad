//! Brings instances up and down: through systemd if it runs, otherwise directly.
//!
//! Uses `update`, `phase`, `systemd`, `namespace`, `instance` and `sys`.

use anyhow::Result;

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::instance::sources;
use crate::instance::trust::Trust;
use crate::namespace::{self, NetNs};
use crate::phase;
use crate::phase::record::Record;
use crate::sys::file;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;

mod direct;
pub mod gc;
mod systemd;

/// Brings an instance up, completely or not at all. Returns the exit status, which is that of a failed
/// function. An instance that is already up is left as it is.
pub fn up(root: &Root, instance: &Instance) -> Result<u8> {
    require_root()?;
    sources::find(root, instance, Trust::from_environment())?;
    match Manager::running(root)? {
        Some(manager) => systemd::up(root, &manager, instance),
        None => direct::up(root, instance, None),
    }
}

/// Brings an instance up in a network namespace that others have created, such as that of a container.
/// Returns the exit status. Never uses systemd, which does not know when the namespace ends. The namespace
/// has the name NSNAME in `/run/netns` until [`down_in`].
pub fn up_in(root: &Root, instance: &Instance, namespace: &NetNs) -> Result<u8> {
    require_root()?;
    sources::find(root, instance, Trust::from_environment())?;
    direct::up(root, instance, Some(namespace))
}

/// Takes down what [`up_in`] brought up, even if the container no longer exists. An instance that is already
/// down is not an error.
pub fn down_in(root: &Root, instance: &Instance) -> Result<u8> {
    require_root()?;
    direct::down(root, instance, true)
}

/// Takes down what is left by units of a namespace whose start or stop was killed. None of them is up when
/// this is called: the unit of the namespace is stopping or about to start.
pub fn clean_up_units(root: &Root, name: &NsName) -> Result<()> {
    for instance in interrupted(root, |instance| instance.nsname == *name)? {
        phase::take_down_interrupted(root, &instance, Side::Outside)?;
    }
    Ok(())
}

/// Takes down what is left by failed units that were killed, except what another process works on.
pub fn clean_up_failed_units(root: &Root, manager: &Manager) -> Result<()> {
    let used = gc::InUse::read(root, Some(manager))?;
    for instance in interrupted(root, |_| true)? {
        let record = Record::of(root, &instance);
        if record.is_locked()? {
            continue;
        }
        if !used.instance(&instance) {
            phase::take_down_interrupted(root, &instance, Side::Outside)?;
        } else if record.unfinished(Side::Inside)? {
            phase::take_down_interrupted(root, &instance, Side::Inside)?;
        }
    }
    for name in file::parsed(&root.unit_namespaces_dir())? {
        if !used.name(&name) {
            namespace::delete_interrupted(root, &name)?;
        }
    }
    Ok(())
}

/// The `wanted` instances of systemd whose `up` has begun or succeeded on a side, and for which no `down` has
/// run to its end.
fn interrupted(root: &Root, wanted: impl Fn(&Instance) -> bool) -> Result<Vec<Instance>> {
    let mut interrupted = Vec::new();
    let recorded = file::parsed(&root.records_dir())?.into_iter();
    for instance in recorded.filter(wanted) {
        let record = Record::of(root, &instance);
        let sides = record.interrupted(Side::Outside)? || record.interrupted(Side::Inside)?;
        if sides && record.is_of_systemd()? {
            interrupted.push(instance);
        }
    }
    Ok(interrupted)
}

/// Takes an instance down as far as possible. Returns the exit status, which is that of the first
/// failed function. An instance that is already down is not an error.
pub fn down(root: &Root, instance: &Instance) -> Result<u8> {
    require_root()?;
    match Manager::running(root)? {
        Some(manager) => systemd::down(&manager, instance),
        None => direct::down(root, instance, false),
    }
}
