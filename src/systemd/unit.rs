//! The names and files of our units.

use std::fmt;

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::phase::Side;

/// The longest name of a unit, in bytes (systemd.unit(5)).
pub const NAME_MAX: usize = 255;

/// The suffixes of unit names (systemd.unit(5)).
const KINDS: [&str; 11] = [
    "service",
    "socket",
    "target",
    "timer",
    "path",
    "mount",
    "automount",
    "swap",
    "device",
    "slice",
    "scope",
];

/// The first line of a copy of one of our templates.
const MARKER: &str = "# Template of systemd-netns:";

/// A line that only the templates of the original package have.
const ORIGINAL_COMMAND: &str = r#"netnsinit "%J" "%I""#;

/// The units of an instance, in the order in which they start.
pub const SIDES: [Side; 2] = [Side::Outside, Side::Inside];

/// The unit that restores the bind mounts of attached services after a file was replaced.
pub const REBIND: &str = "netns_rebind.path";

const NAMESPACE: &str = "netns_name";

fn prefix(side: Side) -> &'static str {
    match side {
        Side::Outside => "netns_outside",
        Side::Inside => "netns",
    }
}

/// A unit of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitName {
    /// `netns_name@NSNAME.service` creates and deletes the namespace.
    Namespace(NsName),
    /// `netns_outside-NSTYPE@NSNAME.service` and `netns-NSTYPE@NSNAME.service` run the functions
    /// of an instance.
    Instance(Side, Instance),
}

impl UnitName {
    /// Parses the name of a unit. `None` if it is not one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        match split(name.strip_suffix(".service")?)? {
            Words::Namespace(nsname) => Some(UnitName::Namespace(NsName::of_any(nsname).ok()?)),
            Words::Instance(side, nstype, nsname) => {
                let (nstype, nsname) = (nstype.parse().ok()?, NsName::of_any(nsname).ok()?);
                Some(UnitName::Instance(side, Instance { nstype, nsname }))
            }
        }
    }

    pub fn nsname(&self) -> &NsName {
        match self {
            UnitName::Namespace(nsname) => nsname,
            UnitName::Instance(_, instance) => &instance.nsname,
        }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnitName::Namespace(nsname) => f.write_str(&of_namespace(nsname)),
            UnitName::Instance(side, instance) => f.write_str(&of(*side, instance)),
        }
    }
}

/// The words in the name of one of our units, which may not be valid names.
#[derive(Debug, PartialEq, Eq)]
pub enum Words<'a> {
    /// NSNAME
    Namespace(&'a str),
    /// NSTYPE and NSNAME
    Instance(Side, &'a str, &'a str),
}

/// Splits the name of a unit, without `.service`, into its words. `None` if it is not one of ours.
pub fn split(stem: &str) -> Option<Words<'_>> {
    let (prefix, nsname) = stem.split_once('@')?;
    if prefix == NAMESPACE {
        return Some(Words::Namespace(nsname));
    }
    let (side, nstype) = side_and_type(prefix)?;
    Some(Words::Instance(side, nstype, nsname))
}

/// The unit of one side of an instance. Both names may also be patterns or specifiers.
pub fn named(side: Side, nstype: impl fmt::Display, nsname: impl fmt::Display) -> String {
    format!("{}-{nstype}@{nsname}.service", prefix(side))
}

/// The unit of one side of an instance, such as `netns_outside-veth@web.service`.
pub fn of(side: Side, instance: &Instance) -> String {
    named(side, &instance.nstype, &instance.nsname)
}

/// The unit to start and stop an instance with, such as `netns-veth@web.service`.
pub fn inside(instance: &Instance) -> String {
    of(Side::Inside, instance)
}

/// The unit that creates a namespace. The name may also be a pattern or a specifier.
pub fn of_namespace(nsname: impl fmt::Display) -> String {
    format!("{NAMESPACE}@{nsname}.service")
}

/// The unit of a published port: a socket or a service.
pub fn of_publication(port: &str, nsname: &NsName, kind: &str) -> String {
    format!("netns_publish-{port}@{nsname}.{kind}")
}

/// The name of a service without `.service`, for people.
pub fn short(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// The template that the package installs, such as `netns@.service`.
pub fn template(side: Side) -> String {
    format!("{}@.service", prefix(side))
}

/// The copy of a template for a type, such as `netns-veth@.service`.
pub fn copy(side: Side, nstype: &NsType) -> String {
    named(side, nstype, "")
}

/// The side and the type of a copy, by its file name. `None` if it is not a copy.
pub fn of_copy(file_name: &str) -> Option<(Side, NsType)> {
    let (side, nstype) = side_and_type(file_name.strip_suffix("@.service")?)?;
    Some((side, nstype.parse().ok()?))
}

fn side_and_type(prefixes: &str) -> Option<(Side, &str)> {
    SIDES.into_iter().find_map(|side| {
        let nstype = prefixes.strip_prefix(prefix(side))?.strip_prefix('-')?;
        Some((side, nstype))
    })
}

/// The units of a type, as patterns for systemctl(1).
pub fn patterns_of_type(nstype: &NsType) -> [String; 2] {
    SIDES.map(|side| named(side, nstype, "*"))
}

/// The units of all instances of a namespace, as a pattern for systemctl(1).
pub fn pattern_of_namespace(nsname: &NsName) -> String {
    named(Side::Inside, "*", nsname)
}

/// All units that create namespaces, as a pattern for systemctl(1).
pub fn pattern_of_namespaces() -> String {
    of_namespace("*")
}

/// All units of ours, as patterns for systemctl(1).
pub fn patterns() -> [String; 3] {
    let [outside, inside] = SIDES.map(|side| named(side, "*", "*"));
    [pattern_of_namespaces(), outside, inside]
}

/// The suffix of a unit name, such as `service`. `None` if it has no valid one.
pub fn kind(name: &str) -> Option<&str> {
    let (stem, kind) = name.rsplit_once('.')?;
    (!stem.is_empty() && KINDS.contains(&kind)).then_some(kind)
}

/// Whether a unit name has only valid characters (systemd.unit(5)).
pub fn is_text(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
}

/// Whether a unit file is a copy of a template, of any version of this package or of the original.
pub fn is_ours(text: &str) -> bool {
    text.lines().any(|line| {
        line.starts_with(MARKER)
            || line
                .strip_prefix("ExecStart=")
                .is_some_and(|command| command.contains(ORIGINAL_COMMAND))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "netns_name@web.service",
            "netns-veth@vm-001.service",
            "netns_outside-6in4@a@b.service",
        ] {
            assert_eq!(UnitName::parse(name).unwrap().to_string(), name);
        }
        for other in [
            "netns-veth@web.socket",
            "netns-veth@.service",
            "netns-a-b@web.service",
            "netns@web.service",
            "netns_publish-80@web.service",
        ] {
            assert_eq!(UnitName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn copies_are_named_after_their_type() {
        let veth: NsType = "veth".parse().unwrap();
        for side in SIDES {
            assert_eq!(of_copy(&copy(side, &veth)), Some((side, veth.clone())));
        }
        for other in [
            "netns@.service",
            "netns-veth@web.service",
            "netns_name@.service",
            "x",
        ] {
            assert_eq!(of_copy(other), None, "{other}");
        }
    }

    #[test]
    fn the_templates_are_recognised() {
        assert!(is_ours(include_str!("../../systemd/netns@.service")));
        assert!(is_ours(include_str!(
            "../../systemd/netns_outside@.service"
        )));
        // Installed once, never copied.
        assert!(!is_ours(include_str!("../../systemd/netns_name@.service")));
    }

    #[test]
    fn the_originals_copies_are_ours_and_others_are_not() {
        let original = "[Service]\nExecStart=/usr/bin/netnsinit \"%J\" \"%I\" up inside\n";
        assert!(is_ours(original));
        assert!(!is_ours(
            "[Service]\nExecStart=/bin/true\n# netnsinit \"%J\" \"%I\"\n"
        ));
        assert!(!is_ours(""));
    }
}
