//! The names that identify an instance, checked once when they are parsed.

use std::fmt;
use std::str::FromStr;

/// The longest name of a namespace, in bytes: `NAME_MAX` of `/run/netns`, which is a tmpfs.
const NAME_MAX: usize = 255;

/// Why a word cannot be used as a name.
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
        let visible = word.replace(char::is_control, "\u{fffd}");
        write!(f, "{what} '{visible}' {why}")
    }
}

impl std::error::Error for BadName {}

/// An NSTYPE: what kind of network a namespace gets.
///
/// A bash identifier, because functions are named after it; no hyphen, because systemd's `%j` is
/// what follows the last hyphen of a unit's prefix.
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
            return bad("is no type: default.conf serves all of them");
        }
        let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let digit_first = word.starts_with(|c: char| c.is_ascii_digit());
        if word.is_empty() || digit_first || !word.chars().all(identifier) {
            return bad("must be letters, digits and underscores, and not begin with a digit");
        }
        Ok(Self(word.to_owned()))
    }
}

/// An NSNAME: the name of a network namespace below `/run/netns`, and the instance of its units.
///
/// The rule is the one of `ip netns add` (ip-netns(8)) less what no unit or log line can carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsName(String);

impl NsName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a namespace that exists and that others may have made: all that `ip netns add`
    /// takes, also what no unit can be called.
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
        if word.is_empty() {
            return bad("is empty");
        }
        if word.contains('\\') {
            return bad("looks escaped for systemd: use the plain name, as in netns-veth@vm-001");
        }
        if word.contains('/') || word == "." || word == ".." {
            return bad("must be a file name below /run/netns");
        }
        if word.starts_with('-') {
            return bad("must not begin with a hyphen: commands would take it for an option");
        }
        if word.chars().any(char::is_control) {
            return bad("must not contain control characters");
        }
        if word.len() > NAME_MAX {
            return bad("is longer than 255 bytes");
        }
        Ok(Self(word.to_owned()))
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
    fn types_are_bash_identifiers() {
        for good in ["veth", "_", "a1", "MAC_vlan", "defaults"] {
            assert_eq!(good.parse::<NsType>().unwrap().as_str(), good);
        }
        for bad in [
            "", "default", "1a", "mac-vlan", "a b", "é", "a.b", "a;b", "$x", "a\n", "a@b",
        ] {
            assert!(bad.parse::<NsType>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_file_names() {
        let longest = "n".repeat(NAME_MAX);
        for good in [
            "web", "vm-001", "a.b", "a:b@c", "ünï", "a b", "...", &longest,
        ] {
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
            "vm\\x2d001",
            "\0",
            &too_long,
        ] {
            assert!(bad.parse::<NsName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn others_have_other_names() {
        for good in ["web", "-a", "a\nb", "vm\\x2d001"] {
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
