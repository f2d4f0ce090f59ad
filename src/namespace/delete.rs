//! Deletes a namespace, and what an interrupted unit has left of one.

use anyhow::{Result, bail};

use super::{Id, NetNs, lock_directory, made_by_us, of_processes, remove};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::file;
use crate::sys::log;

/// Deletes the name of a namespace; the namespace itself ends with its last process. One that
/// somebody else has created in the place of ours is left alone.
///
/// # Errors
/// Processes run in it, and `force` is not set.
pub fn delete(root: &Root, name: &NsName, force: bool) -> Result<()> {
    // Whoever looks for leftovers must not see the file without its namespace.
    let directory = root.netns_dir();
    let _lock = match file::exists(&directory)? {
        true => lock_directory(&directory)?,
        false => None,
    };
    let ours = made_by_us(root, name)?;
    let found = NetNs::open(root, name)?.map(|namespace| namespace.id);
    if matches!((found, ours), (Some(found), Some(ours)) if found != ours) {
        log::warn(&format!(
            "network namespace '{name}' was replaced by another, which is left alone"
        ));
        return forget(root, name);
    }
    let processes = found.map_or_else(|| Ok(Vec::new()), processes)?;
    let (some, more) = processes.split_at(processes.len().min(8));
    let some: Vec<String> = some.iter().map(u32::to_string).collect();
    let list = some.join(" ") + if more.is_empty() { "" } else { " …" };
    match (processes.is_empty(), force) {
        (true, _) => {}
        (false, true) => log::warn(&format!(
            "network namespace '{name}' continues to exist without a name in processes {list}"
        )),
        (false, false) => {
            bail!("processes run in network namespace '{name}': {list}: end them, or use --force")
        }
    }
    match remove(&root.netns(name))? {
        true => log::info(&format!("deleted network namespace '{name}'")),
        false => log::info(&format!("network namespace '{name}' does not exist")),
    }
    forget(root, name)
}

/// Removes what is recorded of a namespace that has lost its name.
pub fn forget(root: &Root, name: &NsName) -> Result<()> {
    remove(&root.pin(name))?;
    file::remove(&root.unit_namespace(name)).map(drop)
}

/// Removes the name that [`super::adopt`] has set.
pub fn release(root: &Root, name: &NsName) -> Result<()> {
    let _lock = lock_directory(&root.netns_dir())?;
    let (named, ours) = (NetNs::open(root, name)?, made_by_us(root, name)?);
    // Somebody else may have given the name to another.
    if named.is_none_or(|named| Some(named.id) == ours) {
        remove(&root.netns(name))?;
    }
    forget(root, name)
}

/// Deletes the namespace that a unit has created, if it was killed before it has deleted it.
pub fn delete_interrupted(root: &Root, name: &NsName) -> Result<()> {
    if !file::exists(&root.unit_namespace(name))? {
        return Ok(());
    }
    log::warn(&format!(
        "previous start or stop of network namespace '{name}' was interrupted; cleaning up"
    ));
    match (NetNs::open(root, name)?, made_by_us(root, name)?) {
        // Somebody else's: ours had a second mount before it had a name.
        (Some(_), None) => forget(root, name),
        _ => delete(root, name, true),
    }
}

/// The processes in a namespace that this process may look at.
pub fn processes(id: Id) -> Result<Vec<u32>> {
    let inside =
        of_processes()?.filter(|(_, other)| other.as_ref().is_ok_and(|other| *other == id));
    Ok(inside.map(|(pid, _)| pid).collect())
}
