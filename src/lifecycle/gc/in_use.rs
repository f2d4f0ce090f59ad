//! Finds out which instances are up, and in which namespaces.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::phase::Phase;
use crate::instance::register::{Register, Stage};
use crate::namespace::NetNs;
use crate::phase::record::Record;
use crate::sys::file;
use crate::systemd::manager::Manager;
use crate::systemd::unit::{self, UnitName};

/// What must not be removed.
#[derive(Debug, Default)]
pub struct InUse {
    instances: BTreeSet<Instance>,
    names: BTreeSet<NsName>,
}

impl InUse {
    /// Reads it from systemd, if it runs, and from our records.
    pub fn read(root: &Root, manager: Option<&Manager>) -> Result<Self> {
        let mut in_use = Self::default();
        // systemd knows that they are not up: their records are leftovers.
        let mut failed = BTreeSet::new();
        if let Some(manager) = manager {
            failed = in_use.ask(manager)?;
        }
        // Its last phase has begun and no process works on it (`Leftover::remove` holds the lock): its
        // record is a leftover.
        let given_up = Stage::Running(Phase::DOWN_OUTSIDE);
        for register in Register::all(root)? {
            for (instance, stage) in register.instances()? {
                if stage == given_up {
                    failed.insert(instance);
                } else {
                    in_use.names.insert(instance.nsname.clone());
                    in_use.instances.insert(instance);
                }
            }
        }
        // Started with netnsinit: up as long as the namespace exists.
        let recorded = file::parsed::<Instance>(&root.records_dir())?.into_iter();
        for instance in recorded.filter(|instance| !failed.contains(instance)) {
            if manager.is_some() && Record::of(root, &instance).is_of_systemd()? {
                continue;
            }
            if NetNs::open(root, &instance.nsname)?.is_some() {
                in_use.names.insert(instance.nsname.clone());
                in_use.instances.insert(instance);
            }
        }
        Ok(in_use)
    }

    /// Returns the failed instances.
    fn ask(&mut self, manager: &Manager) -> Result<BTreeSet<Instance>> {
        let mut states: BTreeMap<Instance, bool> = BTreeMap::new();
        for unit in manager.units(&unit::patterns())? {
            let up = !matches!(unit.active.as_str(), "inactive" | "failed");
            let instance = match UnitName::parse(&unit.name) {
                Some(UnitName::Instance(_, instance)) => instance,
                Some(UnitName::Namespace(name)) => {
                    self.names.extend(up.then_some(name));
                    continue;
                }
                None => continue,
            };
            if up || unit.active == "failed" {
                *states.entry(instance).or_default() |= up;
            }
        }
        let (up, failed): (Vec<_>, Vec<_>) = states.into_iter().partition(|(_, up)| *up);
        self.names
            .extend(up.iter().map(|(up, _)| up.nsname.clone()));
        self.instances.extend(up.into_iter().map(|(up, _)| up));
        Ok(failed.into_iter().map(|(failed, _)| failed).collect())
    }

    pub fn instance(&self, instance: &Instance) -> bool {
        self.instances.contains(instance)
    }

    /// Whether anything of a namespace is up.
    pub fn name(&self, name: &NsName) -> bool {
        self.names.contains(name)
    }
}
