//! The names that identify an instance, checked when they are parsed.

use std::fmt;
use std::str::FromStr;

use crate::sys::terminal::clean;

/// The maximum length of a namespace name, in bytes: `NAME_MAX` of tmpfs.
const NAME_MAX: usize = 255;

/// Why a word is not a valid name.
#[derive(Debug, PartialEq, Eq)]
pub struct BadName {
    what: &'static str,
    word: String,
    why: &'static str,
}

impl BadName {
    fn new(what: &'static str, word: &str, why: &'static str) -> Self {
        let word = word.to_owned();
        Self { what, word, why }
    }
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, word, why } = self;
        write!(f, "{what} '{}' {why}", clean(word))
    }
}

impl std::error::Error for BadName {}

/// An NSTYPE: the kind of network that a namespace gets.
///
/// Letters, digits and underscores, as it is part of function names. No hyphen, as systemd's `%j` is
/// the part after the last hyphen of the unit name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsType(String);

impl NsType {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NsType {
    type Err = BadName;

    fn from_str(word: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new("NSTYPE", word, why));
        if word == "default" {
            return bad("is reserved: default.conf applies to all types");
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if word.is_empty() || !word.chars().all(allowed) {
            return bad("must be letters, digits and underscores");
        }
        Ok(Self(word.to_owned()))
    }
}

/// An NSNAME: the name of a network namespace below `/run/netns`, and the instance of its units.
///
/// Has only the characters that are valid in the instance of a unit (systemd.unit(5)), because
/// functions use the name without quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsName(String);

impl NsName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of any namespace, as `ip netns add` accepts it.
    pub fn of_any(word: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new("NSNAME", word, why));
        if word.is_empty() {
            return bad("is empty");
        }
        if word.contains('/') || word == "." || word == ".." {
            return bad("must be a file name below /run/netns");
        }
        if word.len() > NAME_MAX {
            return bad("is longer than 255 bytes");
        }
        Ok(Self(word.to_owned()))
    }
}

impl FromStr for NsName {
    type Err = BadName;

    fn from_str(word: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new("NSNAME", word, why));
        if word.contains('\\') {
            return bad("looks escaped for systemd: use the plain name, as in netns-veth@vm-001");
        }
        if word.starts_with('-') {
            return bad("must not begin with a hyphen: commands would take it for an option");
        }
        let name = Self::of_any(word)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":_.@-".contains(c);
        if !word.chars().all(allowed) {
            return bad("must be letters, digits and : _ . @ -");
        }
        Ok(name)
    }
}

/// A type applied to a namespace, written `NSTYPE@NSNAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    pub nstype: NsType,
    pub nsname: NsName,
}

impl FromStr for Instance {
    type Err = BadName;

    fn from_str(word: &str) -> Result<Self, BadName> {
        let (nstype, nsname) = word.split_once('@').ok_or_else(|| {
            BadName::new(
                "instance",
                word,
                "must be written NSTYPE@NSNAME, as in veth@web",
            )
        })?;
        Ok(Self {
            nstype: nstype.parse()?,
            nsname: nsname.parse()?,
        })
    }
}

impl fmt::Display for NsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.nstype, self.nsname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_parts_of_bash_functions() {
        for good in ["veth", "_", "a1", "6in4", "MAC_vlan", "defaults"] {
            assert_eq!(good.parse::<NsType>().unwrap().as_str(), good);
        }
        for bad in [
            "", "default", "mac-vlan", "a b", "é", "a.b", "a;b", "$x", "a\n", "a@b",
        ] {
            assert!(bad.parse::<NsType>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_file_names() {
        let longest = "n".repeat(NAME_MAX);
        for good in ["web", "vm-001", "a.b", "a:b@c", "...", "9", &longest] {
            assert_eq!(good.parse::<NsName>().unwrap().as_str(), good);
        }
        let too_long = "n".repeat(NAME_MAX + 1);
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "-a",
            "a\nb",
            "a b",
            "a;id",
            "$(id)",
            "ünï",
            "vm\\x2d001",
            "\0",
            &too_long,
        ] {
            assert!(bad.parse::<NsName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn others_have_other_names() {
        for good in ["web", "-a", "a b", "ünï", "a\nb", "vm\\x2d001"] {
            assert_eq!(NsName::of_any(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", &"n".repeat(NAME_MAX + 1)] {
            assert!(NsName::of_any(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_escaped_name_is_answered_with_what_to_do() {
        let error = "vm\\x2d001".parse::<NsName>().unwrap_err().to_string();
        assert!(error.contains("use the plain name"), "{error}");
    }

    #[test]
    fn instances_split_at_the_first_at_sign() {
        let instance: Instance = "veth@a@b".parse().unwrap();
        assert_eq!(instance.nsname.as_str(), "a@b");
        assert_eq!(instance.to_string(), "veth@a@b");
        for bad in ["veth", "@web", "veth@", "ve-th@web"] {
            assert!(bad.parse::<Instance>().is_err(), "{bad:?}");
        }
    }
}
