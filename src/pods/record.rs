//! Records of pods: `/run/systemd-netns/pods/NAME`, with lines NAME=VALUE.
//!
//! NSTYPE `pod` reads the variables `POD_*` and `PODIF` from it at each start.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::sys::file;

/// A pod of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRecord {
    pub name: NsName,
    /// The types of its instances, in the order in which they are started.
    pub types: Vec<NsType>,
    variables: Vec<(String, String)>,
}

/// The key of the types. The others are variables of NSTYPE pod.
const TYPES: &str = "TYPES";

impl PodRecord {
    pub fn new(name: NsName, types: &[NsType]) -> Self {
        Self {
            name,
            types: types.to_vec(),
            variables: Vec::new(),
        }
    }

    /// The records of all pods, in the order of their numbers and names.
    pub fn all(root: &Root) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for name in file::parsed(&root.pods_dir())? {
            found.extend(Self::read(root, &name)?);
        }
        found.sort_by_key(|record| (record.number(), record.name.clone()));
        Ok(found)
    }

    /// The record of a pod; `None` if there is no such pod.
    pub fn read(root: &Root, name: &NsName) -> Result<Option<Self>> {
        let path = root.pod(name);
        let Some(text) = file::read_text(&path)? else {
            return Ok(None);
        };
        let mut record = Self::new(name.clone(), &[]);
        // Not lines(), which takes a carriage return off the end of a value.
        for line in text.split_terminator('\n') {
            match line.split_once('=') {
                Some((TYPES, types)) => {
                    let types = types.split_whitespace().map(str::parse);
                    let types: Result<_, _> = types.collect();
                    record.types = types.with_context(|| format!("reading {}", path.display()))?;
                }
                Some((name, value)) => record.set(name, value),
                None => {}
            }
        }
        Ok(Some(record))
    }

    pub fn write(&self, root: &Root) -> Result<()> {
        let types: Vec<&str> = self.types.iter().map(NsType::as_str).collect();
        let mut text = format!("{TYPES}={}\n", types.join(" "));
        for (name, value) in &self.variables {
            text += &format!("{name}={value}\n");
        }
        file::make_directory(&root.pods_dir(), 0o700)?;
        file::write(&root.pod(&self.name), text.as_bytes(), 0o600)
    }

    pub fn remove(&self, root: &Root) -> Result<()> {
        file::remove(&root.pod(&self.name))?;
        file::remove_empty(&root.pods_dir());
        Ok(())
    }

    /// The value of a variable.
    pub fn get(&self, variable: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(name, _)| name == variable);
        found.map(|(_, value)| &**value)
    }

    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.retain(|(name, _)| name != variable);
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    pub fn addresses(&self) -> Vec<IpNet> {
        let words = self.get("POD_IFADDR").unwrap_or_default();
        let words = words.split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses().iter().any(|net| net.addr() == address)
    }

    pub fn number(&self) -> Option<u32> {
        self.get("POD_NUMBER")?.parse().ok()
    }

    pub fn instances(&self) -> impl DoubleEndedIterator<Item = Instance> {
        self.types.iter().map(|nstype| Instance {
            nstype: nstype.clone(),
            nsname: self.name.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let types = ["pod".parse().unwrap(), "ipvlan".parse().unwrap()];
        let mut record = PodRecord::new("vm-001-ns02".parse().unwrap(), &types);
        record.set("POD_NUMBER", "2");
        record.set("POD_IFADDR", "172.16.1.2/24 1000::1:ac10:102/120");
        record.write(&root).unwrap();
        assert_eq!(PodRecord::all(&root).unwrap(), [record.clone()]);
        assert!(record.has_address("172.16.1.2".parse().unwrap()));
        let instances: Vec<String> = record.instances().map(|i| i.to_string()).collect();
        assert_eq!(instances, ["pod@vm-001-ns02", "ipvlan@vm-001-ns02"]);
        record.remove(&root).unwrap();
        assert!(!root.pods_dir().exists());
    }
}
