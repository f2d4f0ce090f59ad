//! Interfaces of containers that have ended without the engine taking down their networks.

use std::fmt;

use anyhow::Result;

use super::interface;
use super::plugin::Call;
use super::record::{self, Key, Locked, Record};
use crate::instance::paths::Root;
use crate::namespace::{self, NetNs};

/// An interface whose container is gone.
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

/// All of them: the path that the engine has given leads to the namespace no more, and no process is
/// in it.
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

fn is_abandoned(root: &Root, record: &Record) -> Result<bool> {
    let name = record.instance()?.nsname;
    let Some(ours) = namespace::made_by_us(root, &name)? else {
        return Ok(true);
    };
    // As long as we hold it, no other namespace has its identity.
    let of_engine = NetNs::at(record.netns.clone().into()).ok().flatten();
    let held = of_engine.is_some_and(|namespace| namespace.id == ours);
    Ok(!held && namespace::processes(ours)?.is_empty())
}

impl Abandoned {
    /// Takes it down and gives its addresses back, unless it is in use by now; `false` where it is.
    pub fn remove(&self, root: &Root) -> Result<bool> {
        let locked = Locked::take(root, &self.key)?;
        // An ADD that had just begun when it was found has ended now.
        let Some(record) = locked.record()? else {
            return Ok(false);
        };
        if !is_abandoned(root, &record)? {
            return Ok(false);
        }
        if let Some(addresses) = &record.addresses {
            let call = Call {
                container: self.key.container().to_owned(),
                ifname: self.key.ifname().to_owned(),
                path: addresses.path.clone(),
                ..Call::default()
            };
            call.run(&addresses.plugin, "DEL", &addresses.configuration)?;
        }
        interface::detach(root, &locked, &record)?;
        Ok(true)
    }
}
