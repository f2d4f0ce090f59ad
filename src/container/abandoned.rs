//! Interfaces of containers that no longer exist, but whose networks the runtime has not taken down.

use std::fmt;

use anyhow::Result;

use super::interface;
use super::plugin::PluginCall;
use super::record::{self, ContainerRecord, Key, Locked};
use crate::instance::paths::Root;
use crate::namespace::{self, NetNs};

/// An interface whose container no longer exists.
#[derive(Debug)]
pub struct Abandoned {
    key: Key,
    instance: String,
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, instance } = self;
        let (ifname, container) = (key.ifname(), key.container());
        write!(
            f,
            "interface {ifname} of container {container}, of {instance}"
        )
    }
}

/// Finds the abandoned interfaces: the path that the runtime gave no longer refers to the namespace, and
/// no process is in it.
pub fn find(root: &Root) -> Result<Vec<Abandoned>> {
    let mut found = Vec::new();
    for (key, record) in record::all(root)? {
        let Some(record) = record else { continue };
        if is_abandoned(root, &record)? {
            let instance = record.instance()?.to_string();
            found.push(Abandoned { key, instance });
        }
    }
    Ok(found)
}

fn is_abandoned(root: &Root, record: &ContainerRecord) -> Result<bool> {
    let name = record.instance()?.nsname;
    let Some(ours) = namespace::made_by_us(root, &name)? else {
        return Ok(true);
    };
    // Its ID is not reused while our own mount keeps the namespace.
    let at_path = NetNs::at(record.netns.clone().into()).ok().flatten();
    let held = at_path.is_some_and(|namespace| namespace.id == ours);
    Ok(!held && namespace::processes(ours)?.is_empty())
}

impl Abandoned {
    /// Takes the interface down and releases its addresses. Returns `false` if it is no longer recorded or
    /// is in use again.
    pub fn remove(&self, root: &Root) -> Result<bool> {
        let locked = Locked::take(root, &self.key)?;
        // An ADD that was running when the interface was found has ended.
        let Some(record) = locked.record()? else {
            return Ok(false);
        };
        if !is_abandoned(root, &record)? {
            return Ok(false);
        }
        if let Some(addresses) = &record.addresses {
            let call = PluginCall {
                container: self.key.container().to_owned(),
                ifname: self.key.ifname().to_owned(),
                path: addresses.path.clone(),
                ..PluginCall::default()
            };
            call.run(&addresses.plugin, "DEL", &addresses.configuration)?;
        }
        interface::detach(root, &locked, &record)?;
        Ok(true)
    }
}
