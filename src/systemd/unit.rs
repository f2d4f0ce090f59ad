//! Unit files as text: what they are called, and which are ours.

use crate::instance::name::{Instance, NsName, NsType};

/// How a copy of one of our templates begins.
const MARKER: &str = "# Template of systemd-netns:";

/// How the original package's templates call netnsinit, and nobody else does.
const ORIGINAL_COMMAND: &str = r#"netnsinit "%J" "%I""#;

/// The units that make up an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Inside,
    Outside,
}

impl Part {
    pub const BOTH: [Part; 2] = [Part::Inside, Part::Outside];

    fn prefix(self) -> &'static str {
        match self {
            Part::Inside => "netns",
            Part::Outside => "netns_outside",
        }
    }

    /// The template that the package installs, such as `netns@.service`.
    pub fn template(self) -> String {
        format!("{}@.service", self.prefix())
    }

    /// The copy for a type, such as `netns-veth@.service`.
    pub fn copy(self, nstype: &NsType) -> String {
        self.instances(nstype, "")
    }

    /// The units of a type, such as `netns-veth@*.service`, as a pattern for systemctl(1).
    pub fn pattern(self, nstype: &NsType) -> String {
        self.instances(nstype, "*")
    }

    /// The unit of an instance, such as `netns-veth@web.service`.
    pub fn unit(self, nstype: &NsType, nsname: &NsName) -> String {
        self.instances(nstype, nsname.as_str())
    }

    fn instances(self, nstype: &NsType, instance: &str) -> String {
        format!("{}-{nstype}@{instance}.service", self.prefix())
    }

    /// What the file name of a copy tells; `None` where it is none.
    pub fn of_copy(file_name: &str) -> Option<(Part, &str)> {
        let stem = file_name.strip_suffix("@.service")?;
        Part::BOTH.into_iter().find_map(|part| {
            let nstype = stem.strip_prefix(part.prefix())?.strip_prefix('-')?;
            Some((part, nstype))
        })
    }

    /// The type and the namespace that the name of a unit tells; `None` where it is not ours.
    pub fn of_unit(name: &str) -> Option<(Part, (&str, &str))> {
        let (prefix, instance) = name.strip_suffix(".service")?.split_once('@')?;
        Part::BOTH.into_iter().find_map(|part| {
            let nstype = prefix.strip_prefix(part.prefix())?.strip_prefix('-')?;
            nstype.parse::<NsType>().ok()?;
            (!instance.is_empty()).then_some((part, (nstype, instance)))
        })
    }
}

/// The unit that makes a namespace.
pub fn of_name(nsname: &NsName) -> String {
    format!("netns_name@{nsname}.service")
}

/// Whether a unit can be called so (systemd.unit(5), "String Escaping for Inclusion in Unit Names").
/// The longest of ours begins with `netns_outside-NSTYPE@`, and none has more than 255 bytes.
pub fn is_instance(instance: &Instance) -> bool {
    let Instance { nstype, nsname } = instance;
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.@".contains(c);
    let unit = Part::Outside.unit(nstype, nsname);
    nsname.as_str().chars().all(allowed) && unit.len() <= 255
}

/// Whether a unit file is a copy of a template: this package's of any version, or the original's.
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
    fn copies_are_named_after_their_type() {
        let veth: NsType = "veth".parse().unwrap();
        for part in Part::BOTH {
            assert_eq!(Part::of_copy(&part.copy(&veth)), Some((part, "veth")));
        }
        for other in [
            "netns@.service",
            "netns-veth@web.service",
            "netns_name@.service",
            "x",
        ] {
            assert_eq!(Part::of_copy(other), None, "{other}");
        }
    }

    #[test]
    fn not_every_name_can_be_that_of_a_unit() {
        for good in ["veth@web", "veth@vm-001", "veth@a:b@c.d_e"] {
            assert!(is_instance(&good.parse().unwrap()), "{good}");
        }
        let long = format!("veth@{}", "n".repeat(250));
        for bad in ["veth@a b", "veth@ünï", "veth@[x]", &long] {
            assert!(!is_instance(&bad.parse().unwrap()), "{bad}");
        }
    }

    #[test]
    fn the_templates_are_recognised() {
        assert!(is_ours(include_str!("../../systemd/netns@.service")));
        assert!(is_ours(include_str!(
            "../../systemd/netns_outside@.service"
        )));
        // It is installed once, and never copied.
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
