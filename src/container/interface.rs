//! An interface of a container: set up, checked and taken down as an instance in its namespace.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::facts::{self, Facts, Variables};
use super::record::{Addresses, Locked, Record};
use super::report::{self, Report};
use crate::check::Declarations;
use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::register::{Register, Stage};
use crate::instance::sources;
use crate::instance::trust::Trust;
use crate::lifecycle;
use crate::namespace::{self, Id, NetNs};
use crate::sys::command;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::sys::user::require_root;

/// What the configuration of a network says.
#[derive(Debug)]
pub struct Plan {
    pub nstype: NsType,
    /// The template of NSNAME; without one, it is made from the ID of the container.
    pub nsname: Option<String>,
    pub variables: Variables,
    pub addresses: Option<Addresses>,
}

/// The functions of an NSTYPE have failed; what they had set up is taken down.
#[derive(Debug)]
pub struct NotUp {
    pub message: String,
    /// What was logged before.
    pub details: String,
}

impl std::fmt::Display for NotUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotUp {}

impl Plan {
    /// The instance for an interface of a container.
    pub fn instance(&self, facts: &Facts, ifname: &str) -> Result<Instance> {
        let nsname = match &self.nsname {
            Some(template) => fill(template, facts, ifname)?,
            None => default_name(&facts.id, ifname),
        };
        Ok(Instance {
            nstype: self.nstype.clone(),
            nsname: nsname.parse().context("'nsname'")?,
        })
    }
}

/// Opens the namespace of a container.
///
/// # Errors
/// It is none, or the one that this process is in: there would be no outside.
pub fn namespace(path: &str) -> Result<NetNs> {
    let namespace = NetNs::at(PathBuf::from(path))?;
    let namespace = namespace.with_context(|| format!("'{path}' is not a network namespace"))?;
    ensure!(
        namespace.id != Id::current()?,
        "'{path}' is the network namespace of the host"
    );
    Ok(namespace)
}

/// Sets the interface up and gives what the kernel has of it then.
///
/// # Errors
/// What was set up is taken down, and nothing is recorded.
pub fn attach(
    root: &Root,
    locked: &Locked,
    plan: &Plan,
    facts: &Facts,
    ifname: &str,
    netns: &str,
) -> Result<Report> {
    let instance = plan.instance(facts, ifname)?;
    let sources = sources::find(root, &instance, Trust::from_environment())?;
    let mut declared = Declarations::default();
    for source in sources.scripts() {
        let of_file = Declarations::of(&String::from_utf8_lossy(&source.content));
        declared.container.extend(of_file.container);
    }
    let variables = facts.variables(&plan.nstype, &declared, &plan.variables);
    let variables = variables.or_exit(Exit::Config)?;
    require_free(root, &instance)?;
    let before = report::links(namespace(netns)?)?;
    let namespace = namespace(netns)?;
    let addresses = plan.addresses.clone();
    locked.set(&Record::new(&facts.network, &instance, netns, addresses))?;
    let up = || {
        write_values(root, &instance, &variables)?;
        locked.divert_output()?;
        let status = lifecycle::up_in(root, &instance, &namespace)?;
        if status != 0 {
            return Err(not_up(locked, &instance).into());
        }
        report::read(root, &instance, &before, facts.ifname.as_deref())
    };
    up().map_err(|error| match undo(root, locked, &instance) {
        Ok(()) => error,
        Err(undo) => error.context(format!("{undo:#}, after")),
    })
}

/// Refuses an instance that another interface has.
fn require_free(root: &Root, instance: &Instance) -> Result<()> {
    let stage = Register::of(root, &instance.nsname).stage(&instance.nstype)?;
    ensure!(
        stage != Some(Stage::Up),
        "{instance} is up already, for another interface: give each a name of its own with 'nsname'"
    );
    Ok(())
}

fn write_values(root: &Root, instance: &Instance, variables: &Variables) -> Result<()> {
    let path = root.container_values(instance);
    if let Some(directory) = path.parent() {
        file::make_directory(directory, 0o700)?;
    }
    file::write(&path, &facts::file(variables), 0o600)
}

/// Why an instance did not come up: the last line of the log, and the others as details.
fn not_up(locked: &Locked, instance: &Instance) -> NotUp {
    let mut lines = locked.last_lines();
    let message = lines.pop();
    NotUp {
        message: message.unwrap_or_else(|| format!("could not bring up {instance}")),
        details: lines.join("\n"),
    }
}

fn undo(root: &Root, locked: &Locked, instance: &Instance) -> Result<()> {
    let status = lifecycle::down_in(root, instance)?;
    ensure!(status == 0, "could not take down {instance}");
    forget(root, locked, instance)
}

fn forget(root: &Root, locked: &Locked, instance: &Instance) -> Result<()> {
    file::remove(&root.container_values(instance))?;
    locked.remove()
}

/// Takes down what is recorded of an interface; nothing is recorded of one that is down.
pub fn detach(root: &Root, locked: &Locked, record: &Record) -> Result<()> {
    let instance = record.instance()?;
    if lifecycle::down_in(root, &instance)? != 0 {
        return Err(not_up(locked, &instance).into());
    }
    forget(root, locked, &instance)
}

/// Whether an interface is up as a whole, as far as is recorded.
pub fn is_up(root: &Root, record: &Record) -> Result<bool> {
    let instance = record.instance()?;
    let stage = Register::of(root, &instance.nsname).stage(&instance.nstype)?;
    Ok(stage == Some(Stage::Up))
}

/// What the kernel has of an interface that is up.
///
/// # Errors
/// It is not up, or not in the namespace `netns`.
pub fn check(root: &Root, record: &Record, ifname: Option<&str>, netns: &str) -> Result<Report> {
    let instance = record.instance()?;
    ensure!(is_up(root, record)?, "{instance} is not up");
    let given = namespace(netns)?;
    let ours = namespace::made_by_us(root, &instance.nsname)?;
    if ours != Some(given.id) {
        bail!("{instance} is up in another network namespace than {netns}");
    }
    report::read(root, &instance, &Default::default(), ifname)
}

/// Whether an instance could be brought up, as far as its files show.
pub fn can_run(root: &Root, nstype: &NsType) -> Result<()> {
    require_root()?;
    command::find("bash")?;
    let instance = Instance {
        nstype: nstype.clone(),
        nsname: default_name("status", "eth0").parse()?,
    };
    sources::find(root, &instance, Trust::from_environment()).map(drop)
}

/// Fills in a template of NSNAME: `{id}`, `{id:N}` (its first N characters), `{name}`, `{ifname}`.
fn fill(template: &str, facts: &Facts, ifname: &str) -> Result<String> {
    let mut name = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (word, after) = after
            .split_once('}')
            .with_context(|| format!("'nsname' {template}: a brace is not closed"))?;
        name += text;
        name += match word.split_once(':') {
            None if word == "id" => &facts.id,
            None if word == "name" && facts.name.is_empty() => {
                bail!("'nsname' {template}: the runtime has not named the container")
            }
            None if word == "name" => &facts.name,
            None if word == "ifname" => ifname,
            Some(("id", length)) => {
                let length: Option<usize> = length.parse().ok();
                let length = length.filter(|length| (1..=64).contains(length));
                let length = length.with_context(|| {
                    format!("'nsname' {template}: the length must be from 1 to 64")
                })?;
                &facts.id[..length.min(facts.id.len())]
            }
            _ => bail!(
                "'nsname' {template}: {{{word}}} is none of {{id}}, {{id:N}}, {{name}} and {{ifname}}"
            ),
        };
        rest = after;
    }
    Ok(name + rest)
}

/// A name for an interface of a container, the same each time: `c` and ten characters, so that names
/// of links that begin with a prefix of three and end with a digit have at most fifteen.
fn default_name(id: &str, ifname: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    const LENGTH: u32 = 10;
    let hash = hash(format!("{id}:{ifname}").as_bytes());
    let character = |at: u32| ALPHABET[(hash >> (5 * at)) as usize & 31] as char;
    std::iter::once('c')
        .chain((0..LENGTH).map(character))
        .collect()
}

/// FNV-1a, folded: not for secrets, but the same in every version.
pub fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    hash ^ (hash >> 50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::name::NsName;

    #[test]
    fn names_are_short_and_differ() {
        let name = default_name("4f2a", "eth0");
        assert_eq!(name.len(), 11);
        assert_eq!(name, default_name("4f2a", "eth0"));
        let others = [default_name("4f2a", "eth1"), default_name("4f2b", "eth0")];
        assert!(!others.contains(&name), "{name} {others:?}");
        assert!(name.parse::<NsName>().is_ok());
    }

    #[test]
    fn templates_are_filled_in() {
        let facts = Facts {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            ..Facts::default()
        };
        for (template, name) in [
            ("web", "web"),
            ("{name}", "web"),
            ("{name}-{ifname}", "web-eth0"),
            ("x{id:4}y", "x0123y"),
            ("{id:64}", "0123456789abcdef"),
        ] {
            assert_eq!(fill(template, &facts, "eth0").unwrap(), name);
        }
        for bad in ["{", "{id", "{x}", "{id:}", "{id:0}", "{id:x}", "{name:2}"] {
            assert!(fill(bad, &facts, "eth0").is_err(), "{bad}");
        }
    }
}
