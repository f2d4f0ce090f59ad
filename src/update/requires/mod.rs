//! NETNS_REQUIRES: what must be up before an instance starts.
//!
//! [`read`] parses it; netnsupdate and `netnsctl require` write it as drop-ins.

mod by_hand;
pub mod literal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::instance::name::{NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::sys::terminal::clean;
use crate::systemd::unit::{self, Words};

pub use by_hand::{release, require};
pub use literal::read;

/// The name of a namespace, or that of the instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredName {
    Own,
    Other(NsName),
}

impl fmt::Display for RequiredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As written in a template.
            RequiredName::Own => f.write_str("%i"),
            RequiredName::Other(name) => name.fmt(f),
        }
    }
}

/// A requirement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A type applied to a namespace.
    Type(NsType, RequiredName),
    /// A namespace, with any type.
    Namespace(RequiredName),
    /// Another systemd unit.
    Unit(String),
}

impl Need {
    /// Its unit, with `%i` for the name of the instance.
    pub fn unit(&self) -> String {
        match self {
            Need::Type(nstype, name) => unit::named(Side::Inside, nstype, name),
            Need::Namespace(name) => unit::of_namespace(name),
            Need::Unit(unit) => unit.clone(),
        }
    }

    /// Reads `netns-veth@web`, `veth@web`, `netns_name@web` or the full name of any unit.
    pub fn parse(word: &str) -> Result<Self> {
        let name = |name: &str| -> Result<RequiredName> {
            if ["$NSNAME", "${NSNAME}"].contains(&name) {
                return Ok(RequiredName::Own);
            }
            Ok(RequiredName::Other(name.parse()?))
        };
        let visible = clean(word);
        let stem = word.strip_suffix(".service").unwrap_or(word);
        let is_unit = unit::kind(word).is_some();
        let instance = match unit::split(stem) {
            Some(Words::Namespace(nsname)) => return Ok(Need::Namespace(name(nsname)?)),
            Some(Words::Instance(Side::Outside, ..)) => {
                bail!("'{visible}' is only one part of an instance: require netns-NSTYPE@NSNAME")
            }
            Some(Words::Instance(Side::Inside, nstype, nsname)) => Some((nstype, nsname)),
            // Short for one of our units, unless it has the suffix of a unit name.
            None if is_unit => None,
            None => word.split_once('@'),
        };
        if let Some((nstype, rest)) = instance {
            return Ok(Need::Type(nstype.parse()?, name(rest)?));
        }
        if is_unit && unit::is_text(word) && !word.starts_with('-') {
            return Ok(Need::Unit(word.to_owned()));
        }
        bail!("'{visible}' is neither NSTYPE@NSNAME, nor netns_name@NSNAME, nor the name of a unit")
    }
}

/// The requirements of types and instances.
#[derive(Debug, Default)]
pub struct DependencyGraph {
    needs: BTreeMap<Node, Vec<Need>>,
}

/// `None` means any instance of the type.
type Node = (NsType, Option<NsName>);

/// Instances that require each other. The first one is repeated at the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Cycle(Vec<Node>);

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (nstype, name)) in self.0.iter().enumerate() {
            let arrow = if index == 0 { "" } else { " -> " };
            let name = name.as_ref().map_or("NSNAME", NsName::as_str);
            write!(f, "{arrow}{nstype}@{name}")?;
        }
        Ok(())
    }
}

impl Cycle {
    /// The owners of the requirements in the cycle.
    pub fn owners(&self) -> BTreeSet<(NsType, Option<NsName>)> {
        let types = self.0.iter().map(|(nstype, _)| (nstype.clone(), None));
        self.0.iter().cloned().chain(types).collect()
    }
}

impl DependencyGraph {
    /// Adds the requirements of a type or an instance.
    pub fn add(&mut self, nstype: &NsType, name: Option<&NsName>, needs: &[Need]) {
        let all = self.needs.entry((nstype.clone(), name.cloned()));
        all.or_default().extend_from_slice(needs);
    }

    pub fn cycle(&self) -> Option<Cycle> {
        let mut done = BTreeSet::new();
        self.needs
            .keys()
            .find_map(|start| self.walk(start, &mut Vec::new(), &mut done))
    }

    fn walk(&self, node: &Node, path: &mut Vec<Node>, done: &mut BTreeSet<Node>) -> Option<Cycle> {
        if let Some(start) = path.iter().position(|other| other == node) {
            let mut cycle = path[start..].to_vec();
            cycle.push(node.clone());
            return Some(Cycle(cycle));
        }
        if done.contains(node) {
            return None;
        }
        path.push(node.clone());
        let (nstype, own) = node;
        let of_type = own
            .as_ref()
            .and_then(|_| self.needs.get(&(nstype.clone(), None)));
        for need in of_type.into_iter().chain(self.needs.get(node)).flatten() {
            if let Need::Type(nstype, name) = need {
                let name = match name {
                    RequiredName::Own => own.clone(),
                    RequiredName::Other(name) => Some(name.clone()),
                };
                if let Some(cycle) = self.walk(&(nstype.clone(), name), path, done) {
                    return Some(cycle);
                }
            }
        }
        path.pop();
        done.insert(node.clone());
        None
    }
}

/// The first lines of drop-ins of netnsupdate, and of `netnsctl require`.
pub const OF_UPDATE: &str = "# Written by netnsupdate from NETNS_REQUIRES in ";
pub const OF_CTL: &str = "# Written by netnsctl require";

pub const DROP_IN_OF_UPDATE: &str = "50-netns-requires.conf";
pub const DROP_IN_OF_CTL: &str = "60-netns-require.conf";

/// The text of a drop-in after its first line.
pub fn drop_in(first: &str, needs: &[Need]) -> String {
    let mut text = format!("{first}\n\n[Unit]\n");
    let units: BTreeSet<String> = needs.iter().map(Need::unit).collect();
    for unit in units {
        text += &format!("Requires={unit}\nAfter={unit}\n");
    }
    text
}

/// Parses the requirements in a drop-in of ours.
pub fn needs_of(text: &str) -> Vec<Need> {
    let needs = text
        .lines()
        .filter_map(|line| line.strip_prefix("Requires="));
    needs
        .filter_map(|unit| Need::parse(&unit.replace("%i", "$NSNAME")).ok())
        .collect()
}

/// The directory of the drop-ins of an instance or of a type. They are for the outside unit, which
/// starts first and may need another namespace.
pub fn drop_in_dir(root: &Root, nstype: &NsType, name: Option<&NsName>) -> PathBuf {
    let name = name.map_or("", NsName::as_str);
    root.drop_in_dir(&unit::named(Side::Outside, nstype, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_found() {
        let needs = |words: &[&str]| -> Vec<Need> {
            words
                .iter()
                .map(|word| Need::parse(word).unwrap())
                .collect()
        };
        let cycle = |graph: &[(&str, &[&str])]| {
            let mut all = DependencyGraph::default();
            for (owner, words) in graph {
                let (nstype, name) = owner.split_once('@').unwrap_or((owner, ""));
                let name = name.parse::<NsName>().ok();
                all.add(&nstype.parse().unwrap(), name.as_ref(), &needs(words));
            }
            all.cycle().map(|cycle| cycle.to_string())
        };
        let line: [(&str, &[&str]); 3] = [
            ("nft", &["lo@$NSNAME"]),
            ("veth@a", &["nft@b", "netns_name@a"]),
            ("lo@b", &["veth@c"]),
        ];
        assert_eq!(cycle(&line), None);
        let closed = [&line[..], &[("veth@c", &["veth@a"])]].concat();
        let found = cycle(&closed).unwrap();
        assert_eq!(found, "lo@b -> veth@c -> veth@a -> nft@b -> lo@b");
        let own = cycle(&[("veth", &["veth@$NSNAME"])]);
        assert_eq!(own.unwrap(), "veth@NSNAME -> veth@NSNAME");
        let through_type = cycle(&[("lo@x", &["nft@x"]), ("nft", &["lo@x"])]);
        assert!(through_type.is_some());
    }

    #[test]
    fn a_drop_in_tells_what_it_was_made_of() {
        let read = read("NETNS_REQUIRES='veth@b lo@$NSNAME x.target'");
        let (_, needs) = read.unwrap().unwrap();
        let text = drop_in(OF_CTL, &needs);
        assert_eq!(
            text,
            "# Written by netnsctl require\n\n[Unit]\n\
             Requires=netns-lo@%i.service\nAfter=netns-lo@%i.service\n\
             Requires=netns-veth@b.service\nAfter=netns-veth@b.service\n\
             Requires=x.target\nAfter=x.target\n"
        );
        let read: BTreeSet<Need> = needs_of(&text).into_iter().collect();
        assert_eq!(read, needs.into_iter().collect());
    }
}
