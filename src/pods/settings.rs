//! Settings for all pods of a node, from options, the environment, a file or the defaults.

use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::num::ParseIntError;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::pods::addresses::{Addresses, Order, RND_ADDRESSES};
use crate::pods::network::Network;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;

/// The names of the settings, without [`OLD_PREFIX`].
const NAMES: [&str; 10] = [
    "ADRTEMPLATE",
    "PREFIX",
    "NPODS",
    "__nvm",
    "PODIF",
    "NAME_PREFIX",
    "BR",
    "RNDADR",
    "NODE",
    "SEED",
];

/// Settings that are not read from the environment, because other programs use the same names.
const NOT_FROM_ENVIRONMENT: [&str; 2] = ["NODE", "SEED"];

/// An optional prefix of the names, which existing scripts use.
const OLD_PREFIX: &str = "xcluster_";

/// The names and values from the command line.
pub type Options = Vec<(&'static str, String)>;

/// The settings for all pods of this node.
#[derive(Debug)]
pub struct Settings {
    pub host_name: String,
    pub name_prefix: String,
    /// The number of this node.
    pub node: u32,
    /// The number of nodes, if known.
    pub nodes: Option<u32>,
    /// The number of pods on each node.
    pub pods: u32,
    /// The name of the interface in a pod; `hostname` for the pod's name.
    pub interface: String,
    pub bridge: String,
    pub addresses: Addresses,
}

impl Settings {
    /// Reads the settings. `options` take precedence over the environment, and that over the file `path`, by
    /// default `/etc/conf.d/netns/pods`, if it exists.
    pub fn read(root: &Root, options: Options, path: Option<&Path>) -> Result<Self> {
        let sources = SettingSources {
            options,
            environment: SettingSources::environment(std::env::vars_os()),
            file: SettingSources::file(root, path).or_exit(Exit::Config)?,
        };
        let host_name = nix::unistd::gethostname().context("reading the host name")?;
        let host_name = host_name.to_string_lossy().into_owned();
        Self::of(root, &sources, host_name).or_exit(Exit::Usage)
    }

    fn of(root: &Root, sources: &SettingSources, host_name: String) -> Result<Self> {
        let template: Network = sources.value("ADRTEMPLATE", "172.16.0.0/16/24")?;
        ensure!(
            template.is_v4(),
            "ADRTEMPLATE {template}: must be an IPv4 network; PREFIX sets IPv6 addresses"
        );
        let Prefix(prefix) = sources.value("PREFIX", "1000::1")?;
        let pods = sources.value("NPODS", "4")?;
        let nodes: Option<u32> = sources.optional("__nvm")?;
        let node = match sources.optional("NODE")? {
            Some(node) => node,
            None => node_of(&host_name)?,
        };
        let seed: Option<u64> = sources.optional("SEED")?;
        let Boolean(random) = sources.value("RNDADR", "no")?;
        let order = match (random, seed) {
            (_, Some(seed)) => Some(Order::shuffled(seed)),
            (true, None) => Some(Order::of_file(&root.path(RND_ADDRESSES)).or_exit(Exit::Config)?),
            (false, None) => None,
        };
        if let (Some(_), None) = (&order, nodes) {
            bail!("random addresses require the number of nodes: set --nodes or __nvm");
        }
        Ok(Self {
            name_prefix: sources.value("NAME_PREFIX", "")?,
            interface: sources.value("PODIF", "eth0")?,
            bridge: sources.value("BR", "br0")?,
            addresses: Addresses::new(template, prefix, order, nodes.unwrap_or(node), pods),
            host_name,
            node,
            nodes,
            pods,
        })
    }

    /// The name of a pod of this node.
    pub fn name(&self, pod: u32) -> Result<NsName> {
        let (prefix, host) = (&self.name_prefix, &self.host_name);
        let name = format!("{prefix}{host}-ns{pod:02}");
        name.parse()
            .map_err(anyhow::Error::new)
            .or_exit(Exit::Usage)
    }

    /// The numbers of `count` pods, by default NPODS, from `first` on.
    ///
    /// # Errors
    /// There are none, or the last number is too large.
    pub fn numbers(&self, count: Option<u32>, first: u32) -> Result<std::ops::Range<u32>> {
        let count = count.unwrap_or(self.pods);
        if count == 0 {
            return Err(anyhow!(
                "the number of pods is 0: set COUNT, --pods or NPODS"
            ))
            .or_exit(Exit::Usage);
        }
        let end = first.checked_add(count);
        let end = end.filter(|end| *end <= MOST + 1);
        let end = end.with_context(|| format!("the maximum number of a pod is {MOST}"));
        Ok(first..end.or_exit(Exit::Usage)?)
    }
}

/// The maximum number of a pod. systemd and the kernel get slow with far fewer.
const MOST: u32 = 65_534;

/// The number after the last hyphen of a host name.
fn node_of(host_name: &str) -> Result<u32> {
    let digits = host_name.rsplit('-').next().unwrap_or_default();
    let number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let node = digits.parse().ok().filter(|_| number);
    node.with_context(|| {
        format!(
            "the host name '{host_name}' does not end with a node number, as vm-001 does: set \
             --node"
        )
    })
}

/// The prefix of IPv6 addresses, such as `1000::1`, to which the IPv4 address is appended.
struct Prefix(Ipv6Addr);

impl FromStr for Prefix {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let colon = if word.ends_with("::") { "" } else { ":" };
        let whole = format!("{word}{colon}0.0.0.0").parse();
        Ok(Self(whole.ok().context(
            "must be the first 96 bits of an IPv6 address, such as 1000::1",
        )?))
    }
}

/// A Boolean setting.
struct Boolean(bool);

impl FromStr for Boolean {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(Self(true)),
            "" | "no" | "false" | "off" | "0" => Ok(Self(false)),
            _ => bail!("must be yes or no"),
        }
    }
}

/// The settings of each source.
#[derive(Debug, Default)]
struct SettingSources {
    options: Options,
    environment: Vec<(String, String)>,
    file: Vec<(String, String)>,
}

impl SettingSources {
    /// The settings in an environment.
    fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
        let text = variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        text.filter(|(name, _)| is_setting(name) && !NOT_FROM_ENVIRONMENT.contains(&&**name))
            .collect()
    }

    /// The settings in a file with lines NAME=VALUE, empty lines and comments.
    fn file(root: &Root, given: Option<&Path>) -> Result<Vec<(String, String)>> {
        let path = given.map_or_else(|| root.pods_settings(), Path::to_owned);
        let Some(text) = file::read_text(&path)? else {
            ensure!(given.is_none(), "{} does not exist", path.display());
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |why: &str| format!("{}:{number}: {why}", path.display());
            let (name, value) = line
                .split_once('=')
                .with_context(|| fault("not NAME=VALUE"))?;
            ensure!(is_setting(name), fault(&format!("unknown setting {name}")));
            let words = shell_words::split(value).map_err(|error| anyhow!("{error}"));
            let words = words.with_context(|| fault(name))?;
            ensure!(
                words.len() <= 1,
                fault("quote a value of more than one word")
            );
            found.push((name.to_owned(), words.concat()));
        }
        Ok(found)
    }

    fn value<T: FromStr<Err: Into<anyhow::Error>>>(&self, name: &str, default: &str) -> Result<T> {
        let (value, source) = self.find(name).unwrap_or((default, ""));
        let parsed = value.parse().map_err(|error: T::Err| match error.into() {
            error if error.is::<ParseIntError>() => anyhow!("not a number, or too large"),
            error => error,
        });
        parsed.with_context(|| format!("{name} '{value}'{source}"))
    }

    fn optional<T: FromStr<Err: Into<anyhow::Error>>>(&self, name: &str) -> Result<Option<T>> {
        match self.find(name) {
            None | Some(("", _)) => Ok(None),
            Some(_) => self.value(name, "").map(Some),
        }
    }

    /// The value of a setting, and its source for error messages.
    fn find(&self, name: &str) -> Option<(&str, &'static str)> {
        debug_assert!(NAMES.contains(&name));
        let mut options = self.options.iter();
        if let Some((_, value)) = options.find(|(option, _)| *option == name) {
            return Some((value, ""));
        }
        let old = format!("{OLD_PREFIX}{name}");
        for (settings, source) in [
            (&self.environment, " in the environment"),
            (&self.file, " in the settings file"),
        ] {
            for name in [name, &old] {
                let found = settings.iter().rfind(|(other, _)| other == name);
                if let Some((_, value)) = found {
                    return Some((value, source));
                }
            }
        }
        None
    }
}

fn is_setting(name: &str) -> bool {
    NAMES.contains(&name.strip_prefix(OLD_PREFIX).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        options: &[(&'static str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<Settings> {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let options = options
            .iter()
            .map(|(name, value)| (*name, value.to_string()));
        let sources = SettingSources {
            options: options.collect(),
            environment: environment.iter().map(owned).collect(),
            file: vec![("NPODS".into(), "7".into()), ("BR".into(), "lan".into())],
        };
        Settings::of(&Root::at("/nowhere"), &sources, "vm-002".into())
    }

    #[test]
    fn options_come_before_the_environment_and_that_before_the_file() {
        let found = settings(&[], &[]).unwrap();
        assert_eq!((found.pods, found.node, &*found.bridge), (7, 2, "lan"));
        let environment = [
            ("xcluster_NPODS", "9"),
            ("NPODS", "8"),
            ("xcluster_BR", "br1"),
        ];
        let found = settings(&[], &environment).unwrap();
        assert_eq!((found.pods, &*found.bridge), (8, "br1"));
        let options = [("NPODS", "1"), ("NODE", "5"), ("NAME_PREFIX", "x-")];
        let found = settings(&options, &environment).unwrap();
        assert_eq!((found.pods, found.node), (1, 5));
        assert_eq!(found.name(3).unwrap().as_str(), "x-vm-002-ns03");
        assert_eq!(found.name(1000).unwrap().as_str(), "x-vm-002-ns1000");
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        for (name, value) in [
            ("ADRTEMPLATE", "172.16.0.0"),
            ("ADRTEMPLATE", "fd00::/112/120"),
            ("PREFIX", "/usr/local"),
            ("PREFIX", "1:2:3:4:5:6:7"),
            ("NPODS", "-1"),
            ("NPODS", "many"),
            ("__nvm", "99999999999"),
            ("RNDADR", "perhaps"),
        ] {
            let error = format!("{:#}", settings(&[], &[(name, value)]).unwrap_err());
            assert!(error.contains(name), "{error}");
        }
        assert!(
            settings(&[("SEED", "1")], &[]).is_err(),
            "the number of nodes"
        );
        assert!(settings(&[("RNDADR", "yes"), ("__nvm", "2")], &[]).is_err());
    }

    #[test]
    fn the_number_of_a_node_ends_its_host_name() {
        for (name, node) in [("vm-001", 1), ("a-b-010", 10), ("7", 7)] {
            assert_eq!(node_of(name).unwrap(), node);
        }
        for name in ["vm", "", "vm-", "vm-1a", "vm-+1", "vm-99999999999"] {
            assert!(node_of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_prefix_takes_an_ipv4_address_at_its_end() {
        for (word, whole) in [("1000::1", "1000::1:0:0"), ("fd00::", "fd00::")] {
            let Prefix(found) = word.parse().unwrap();
            assert_eq!(found.to_string(), whole);
        }
    }

    #[test]
    fn a_file_has_lines_of_known_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pods");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            SettingSources::file(&Root::at("/nowhere"), Some(&path))
        };
        let found = read("# pods\n\nNPODS=3\nxcluster_BR='br 1'\n").unwrap();
        assert_eq!(found[1], ("xcluster_BR".to_owned(), "br 1".to_owned()));
        for bad in ["NPODS", "HOME=/", "NPODS=1 2", "NPODS='1"] {
            let error = format!("{:#}", read(bad).unwrap_err());
            assert!(error.contains("pods:1:"), "{error}");
        }
        assert!(
            SettingSources::file(&Root::at("/nowhere"), None)
                .unwrap()
                .is_empty()
        );
    }
}
