//! NETNS_REQUIRES: what an instance needs before its own network can be set up.
//!
//! Read from files of bash by [`read`], written as drop-ins by netnsupdate and `netnsctl require`.

mod by_hand;
mod literal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::phase::Side;
use crate::sys::terminal::clean;
use crate::systemd::unit;

pub use by_hand::{release, require};
pub use literal::read;

/// The name of a namespace, or the one that the instance has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Own,
    Other(NsName),
}

impl Name {
    fn of(&self, own: &Name) -> Name {
        match self {
            Name::Own => own.clone(),
            Name::Other(_) => self.clone(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As systemd writes it in a template.
            Name::Own => f.write_str("%i"),
            Name::Other(name) => name.fmt(f),
        }
    }
}

/// What is required.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A type applied to a namespace.
    Type(NsType, Name),
    /// A namespace, whatever is applied to it.
    Namespace(Name),
    /// Some other unit of systemd.
    Unit(String),
}

impl Need {
    /// The unit that stands for it, with `%i` for the own name.
    pub fn unit(&self) -> String {
        match self {
            Need::Type(nstype, name) => {
                unit::copy(Side::Inside, nstype).replace('@', &format!("@{name}"))
            }
            Need::Namespace(Name::Other(name)) => unit::of_namespace(name),
            Need::Namespace(Name::Own) => unit::pattern_of_namespaces().replace('*', "%i"),
            Need::Unit(unit) => unit.clone(),
        }
    }

    /// Reads `netns-veth@web`, `veth@web`, `netns_name@web` or the full name of any unit.
    pub fn parse(word: &str) -> Result<Self> {
        let name = |name: &str| -> Result<Name> {
            if ["$NSNAME", "${NSNAME}"].contains(&name) {
                return Ok(Name::Own);
            }
            Ok(Name::Other(name.parse()?))
        };
        let visible = clean(word);
        let stem = word.strip_suffix(".service").unwrap_or(word);
        if let Some(rest) = stem.strip_prefix("netns_name@") {
            return Ok(Need::Namespace(name(rest)?));
        }
        if stem.starts_with("netns_outside-") {
            bail!("'{visible}' is only a part of an instance: require netns-NSTYPE@NSNAME");
        }
        let is_unit = unit::kind(word).is_some();
        let instance = match stem.strip_prefix("netns-") {
            Some(ours) => ours.split_once('@'),
            // Short for one of ours, unless it ends as the name of a unit.
            None if is_unit => None,
            None => word.split_once('@'),
        };
        if let Some((nstype, rest)) = instance {
            return Ok(Need::Type(nstype.parse()?, name(rest)?));
        }
        if is_unit && unit::is_text(word) && !word.starts_with('-') {
            return Ok(Need::Unit(word.to_owned()));
        }
        bail!("'{visible}' is neither NSTYPE@NSNAME nor netns_name@NSNAME nor the name of a unit")
    }
}

/// All that instances require of each other, from types and from instances.
#[derive(Debug, Default)]
pub struct DependencyGraph {
    of_types: BTreeMap<NsType, Vec<Need>>,
    of_instances: BTreeMap<(NsType, Name), Vec<Need>>,
}

type Node = (NsType, Name);

impl DependencyGraph {
    pub fn add_type(&mut self, nstype: &NsType, needs: &[Need]) {
        let all = self.of_types.entry(nstype.clone()).or_default();
        all.extend_from_slice(needs);
    }

    pub fn add_instance(&mut self, instance: &Instance, needs: &[Need]) {
        let Instance { nstype, nsname } = instance.clone();
        let all = self.of_instances.entry((nstype, Name::Other(nsname)));
        all.or_default().extend_from_slice(needs);
    }

    /// A circle that instances require each other in, the first again at the end; `None` where
    /// there is none.
    pub fn cycle(&self) -> Option<Vec<String>> {
        let mut done = BTreeSet::new();
        let types = self
            .of_types
            .keys()
            .map(|nstype| (nstype.clone(), Name::Own));
        let instances = self.of_instances.keys().cloned();
        for start in types.chain(instances) {
            if let Some(cycle) = self.walk(&start, &mut Vec::new(), &mut done) {
                let title = |(nstype, name): Node| match name {
                    Name::Own => format!("{nstype}@NSNAME"),
                    Name::Other(name) => format!("{nstype}@{name}"),
                };
                return Some(cycle.into_iter().map(title).collect());
            }
        }
        None
    }

    fn walk(
        &self,
        node: &Node,
        path: &mut Vec<Node>,
        done: &mut BTreeSet<Node>,
    ) -> Option<Vec<Node>> {
        if let Some(start) = path.iter().position(|other| other == node) {
            let mut cycle = path[start..].to_vec();
            cycle.push(node.clone());
            return Some(cycle);
        }
        if done.contains(node) {
            return None;
        }
        path.push(node.clone());
        let (nstype, own) = node;
        let needs = self.of_types.get(nstype).into_iter().flatten();
        for need in needs.chain(self.of_instances.get(node).into_iter().flatten()) {
            if let Need::Type(nstype, name) = need {
                let next = (nstype.clone(), name.of(own));
                if let Some(cycle) = self.walk(&next, path, done) {
                    return Some(cycle);
                }
            }
        }
        path.pop();
        done.insert(node.clone());
        None
    }
}

/// How drop-ins begin that netnsupdate writes, and those of `netnsctl require`.
pub const OF_UPDATE: &str = "# Written by netnsupdate from NETNS_REQUIRES in ";
pub const OF_CTL: &str = "# Written by netnsctl require";

pub const DROP_IN_OF_UPDATE: &str = "50-netns-requires.conf";
pub const DROP_IN_OF_CTL: &str = "60-netns-require.conf";

/// The text of a drop-in, under its first line.
pub fn drop_in(first: &str, needs: &[Need]) -> String {
    let mut text = format!("{first}\n\n[Unit]\n");
    let units: BTreeSet<String> = needs.iter().map(Need::unit).collect();
    for unit in units {
        text += &format!("Requires={unit}\nAfter={unit}\n");
    }
    text
}

/// What a drop-in of ours requires.
pub fn needs_of(text: &str) -> Vec<Need> {
    let needs = text
        .lines()
        .filter_map(|line| line.strip_prefix("Requires="));
    needs
        .filter_map(|unit| Need::parse(&unit.replace("%i", "$NSNAME")).ok())
        .collect()
}

/// The drop-ins of an instance, or of a type's instances. They go to the outside part: it comes
/// first, and is what may need another namespace.
pub fn drop_in_dir(
    root: &crate::instance::paths::Root,
    nstype: &NsType,
    name: Option<&NsName>,
) -> PathBuf {
    let unit = match name {
        Some(nsname) => {
            let (nstype, nsname) = (nstype.clone(), nsname.clone());
            unit::of(Side::Outside, &Instance { nstype, nsname })
        }
        None => unit::copy(Side::Outside, nstype),
    };
    root.unit_dir().join(format!("{unit}.d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found() {
        let needs = |words: &[&str]| -> Vec<Need> {
            words
                .iter()
                .map(|word| Need::parse(word).unwrap())
                .collect()
        };
        let instance = |word: &str| word.parse::<Instance>().unwrap();
        let mut graph = DependencyGraph::default();
        graph.add_type(&"nft".parse().unwrap(), &needs(&["lo@$NSNAME"]));
        graph.add_instance(&instance("veth@a"), &needs(&["nft@b", "netns_name@a"]));
        graph.add_instance(&instance("lo@b"), &needs(&["veth@c"]));
        assert_eq!(graph.cycle(), None);
        graph.add_instance(&instance("veth@c"), &needs(&["veth@a"]));
        let cycle = graph.cycle().unwrap();
        assert_eq!(cycle.first(), cycle.last());
        assert_eq!(cycle.len(), 5);
        assert!(cycle.contains(&"nft@b".to_owned()));

        let mut own = DependencyGraph::default();
        own.add_type(&"veth".parse().unwrap(), &needs(&["veth@$NSNAME"]));
        assert_eq!(own.cycle().unwrap(), ["veth@NSNAME", "veth@NSNAME"]);
    }

    #[test]
    fn a_drop_in_tells_what_it_was_made_of() {
        let needs = read("NETNS_REQUIRES='veth@b lo@$NSNAME x.target'")
            .unwrap()
            .unwrap();
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
