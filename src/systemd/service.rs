//! systemd services: their names, whether they exist, and which network they use.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::instance::paths::Root;
use crate::sys::file;
use crate::sys::terminal::clean;
use crate::systemd::manager::Manager;
use crate::systemd::unit::{self, UnitName};

/// The name of a service unit or template, with `.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName(String);

impl ServiceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a template, `foo@.service`.
    pub fn is_template(&self) -> bool {
        self.0.ends_with("@.service")
    }

    /// The template of an instance.
    pub fn template(&self) -> Option<ServiceName> {
        let (prefix, _) = self.0.split_once('@')?;
        (!self.is_template()).then(|| Self(format!("{prefix}@.service")))
    }

    /// The running services that it means, as a pattern for systemctl(1).
    pub fn pattern(&self) -> String {
        match self.0.strip_suffix("@.service") {
            Some(prefix) => format!("{prefix}@*.service"),
            None => self.0.clone(),
        }
    }

    /// A name that `systemctl show` accepts: for a template, that of an instance.
    fn shown_as(&self) -> String {
        match self.0.strip_suffix("@.service") {
            Some(prefix) => format!("{prefix}@netnsctl.service"),
            None => self.0.clone(),
        }
    }

    /// The directory for drop-ins of the administrator.
    pub fn drop_in_dir(&self, root: &Root) -> PathBuf {
        root.drop_in_dir(&self.0)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let visible = clean(word);
        if unit::kind(word).is_some_and(|kind| kind != "service") {
            bail!("'{visible}' is not a service");
        }
        let stem = word.strip_suffix(".service").unwrap_or(word);
        if stem.is_empty() || stem.starts_with(['@', '-', '.']) {
            bail!("'{visible}' is not the name of a service");
        }
        if !unit::is_text(stem) {
            bail!(
                "'{visible}' is not the name of a service: only letters, digits and :-_.\\@ are allowed"
            );
        }
        let name = format!("{stem}.service");
        if name.len() > unit::NAME_MAX {
            bail!(
                "the name of a service is longer than {} bytes",
                unit::NAME_MAX
            );
        }
        Ok(Self(name))
    }
}

/// A service without our drop-in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundService {
    /// Its primary name.
    pub name: Option<ServiceName>,
    /// The setting by which it has its own network.
    pub network: Option<String>,
    /// The sockets that activate it.
    pub sockets: Vec<String>,
}

/// Looks up a service. Reads unit files if `manager` is `None`.
///
/// # Errors
/// It does not exist or cannot be used.
pub fn find(root: &Root, manager: Option<&Manager>, name: &ServiceName) -> Result<FoundService> {
    if UnitName::parse(name.as_str()).is_some() {
        bail!("{name} is a unit of systemd-netns itself");
    }
    match manager {
        Some(manager) => ask(manager, name),
        None => look(root, name),
    }
}

fn ask(manager: &Manager, name: &ServiceName) -> Result<FoundService> {
    let properties = [
        "Id",
        "LoadState",
        "NetworkNamespacePath",
        "PrivateNetwork",
        "JoinsNamespaceOf",
        "TriggeredBy",
    ];
    let shown = manager.show(&[name.shown_as()], &properties)?;
    let unit = shown.first().context("systemctl show printed nothing")?;
    match unit.get("LoadState") {
        "loaded" => {}
        "not-found" => bail!("{name} does not exist: see 'systemctl list-unit-files'"),
        "masked" => bail!("{name} is masked: run 'systemctl unmask {name}' first"),
        state => {
            bail!("{name} cannot be used, its load state is {state}: see 'systemctl status {name}'")
        }
    }
    let setting = |key: &str, value: &str| Some(format!("{key}={value}"));
    let network = match (
        unit.get("NetworkNamespacePath"),
        unit.get("JoinsNamespaceOf"),
        unit.get("PrivateNetwork"),
    ) {
        ("", "", "yes") => setting("PrivateNetwork", "yes"),
        ("", "", _) => None,
        ("", other, _) => setting("JoinsNamespaceOf", other),
        (path, ..) => setting("NetworkNamespacePath", path),
    };
    let triggers = unit.get("TriggeredBy").split_whitespace();
    let sockets = triggers.filter(|unit| unit.ends_with(".socket"));
    let known_as = if name.is_template() {
        name.clone()
    } else {
        unit.get("Id").parse().unwrap_or_else(|_| name.clone())
    };
    Ok(FoundService {
        name: Some(known_as),
        network,
        sockets: sockets.map(str::to_owned).collect(),
    })
}

/// The directories of units, by precedence (systemd.unit(5)).
const UNIT_DIRS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

fn look(root: &Root, name: &ServiceName) -> Result<FoundService> {
    let template = name.template();
    let names = std::iter::once(name).chain(&template);
    for name in names {
        for directory in UNIT_DIRS {
            let path = root.path(directory).join(name.as_str());
            if let Some(text) = file::read_text(&path)? {
                return Ok(FoundService {
                    name: None,
                    network: network_of(&text),
                    sockets: Vec::new(),
                });
            }
        }
    }
    bail!("{name} does not exist in {}", UNIT_DIRS.join(", "))
}

/// The setting of a unit file by which it has its own network.
fn network_of(text: &str) -> Option<String> {
    const KEYS: [&str; 3] = ["NetworkNamespacePath", "PrivateNetwork", "JoinsNamespaceOf"];
    let mut last = None;
    for line in text.lines().map(str::trim) {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if KEYS.contains(&key) {
            let off = ["", "no", "false", "off", "0"].contains(&value);
            last = (!off).then(|| format!("{key}={value}"));
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_of_services() {
        let name = |word: &str| word.parse::<ServiceName>();
        assert_eq!(name("nginx").unwrap().as_str(), "nginx.service");
        assert_eq!(name("nginx.service").unwrap().as_str(), "nginx.service");
        assert_eq!(name("a.b").unwrap().as_str(), "a.b.service");
        assert!(name("foo@").unwrap().is_template());
        let instance = name("foo@a@b").unwrap();
        assert_eq!(instance.template().unwrap().as_str(), "foo@.service");
        assert_eq!(name("foo@").unwrap().pattern(), "foo@*.service");
        assert_eq!(name("x\\x2dy").unwrap().as_str(), "x\\x2dy.service");
        for bad in [
            "",
            "a/b",
            "../x",
            "a b",
            "a\n",
            "nginx.socket",
            "x.target",
            "@a",
            ".service",
            "a%i",
            "é",
            &"n".repeat(250),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_network_that_a_unit_file_sets() {
        assert_eq!(network_of("[Service]\nExecStart=/bin/true\n"), None);
        assert_eq!(
            network_of(" PrivateNetwork = yes\n").unwrap(),
            "PrivateNetwork=yes"
        );
        assert_eq!(network_of("PrivateNetwork=yes\nPrivateNetwork=no\n"), None);
        assert_eq!(network_of("#PrivateNetwork=yes\n"), None);
    }

    #[test]
    fn services_are_found_in_files() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let path = root.path("/usr/lib/systemd/system");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("foo@.service"), "[Service]\n").unwrap();
        for (name, there) in [("foo@", true), ("foo@a", true), ("foo", false)] {
            let found = find(&root, None, &name.parse().unwrap());
            assert_eq!(found.is_ok(), there, "{name}");
        }
        let own = find(&root, None, &"netns-veth@web".parse().unwrap());
        assert!(own.unwrap_err().to_string().contains("systemd-netns"));
    }
}
