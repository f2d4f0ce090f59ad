//! Sets up, checks and takes down an interface of a container, which is an instance in its namespace.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::facts::Facts;
use super::record::{ContainerRecord, Ipam, Locked};
use super::report::{self, InterfaceReport};
use super::variables::{self, ContainerVariables};
use crate::check::Declarations;
use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::register::{Register, Stage};
use crate::instance::sources::{self, Sources};
use crate::instance::trust::Trust;
use crate::lifecycle;
use crate::namespace::{self, Id, NetNs};
use crate::sys::command;
use crate::sys::exit::{Exit, OrExit, after_undo};
use crate::sys::file;
use crate::sys::user::require_root;

/// The configuration of a network.
#[derive(Debug)]
pub struct NetworkPlan {
    pub nstype: NsType,
    /// The template of NSNAME (see [`fill`]); by default, NSNAME is a hash of the container's ID.
    pub nsname: Option<String>,
    pub variables: ContainerVariables,
    pub ipam: Option<Ipam>,
}

/// A function of an NSTYPE has failed.
#[derive(Debug)]
pub struct NotUp {
    /// The last line of the log.
    pub message: String,
    /// The lines before it.
    pub details: String,
}

impl std::fmt::Display for NotUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotUp {}

impl NetworkPlan {
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
/// `path` is not a network namespace, or is the one of this process, so that nothing would be outside.
pub fn namespace(path: &str) -> Result<NetNs> {
    let namespace = NetNs::at(PathBuf::from(path))?;
    let namespace = namespace.with_context(|| format!("'{path}' is not a network namespace"))?;
    ensure!(
        namespace.id != Id::current()?,
        "'{path}' is the network namespace of the host"
    );
    Ok(namespace)
}

/// Sets up an interface and returns its state.
///
/// # Errors
/// A function failed. Everything that was set up has been taken down, unless the error says otherwise.
pub fn attach(
    root: &Root,
    locked: &Locked,
    plan: &NetworkPlan,
    facts: &Facts,
    ifname: &str,
    netns: &str,
) -> Result<InterfaceReport> {
    let instance = plan.instance(facts, ifname)?;
    let sources = sources::find(root, &instance, Trust::from_environment())?;
    let declared = declarations(&sources);
    let variables = facts.variables(&plan.nstype, &declared, &plan.variables);
    let variables = variables.or_exit(Exit::Config)?;
    require_free(root, &instance)?;
    let before = report::links(namespace(netns)?)?;
    let namespace = namespace(netns)?;
    let ipam = plan.ipam.clone();
    locked.set(&ContainerRecord::new(
        &facts.network,
        &instance,
        netns,
        ipam,
    ))?;
    let up = || {
        write_values(root, &instance, &variables)?;
        locked.divert_output()?;
        let status = lifecycle::up_in(root, &instance, &namespace)?;
        if status != 0 {
            return Err(not_up(locked, &instance).into());
        }
        report::read(root, &instance, &before, facts.ifname.as_deref())
    };
    up().map_err(|error| after_undo(error, undo(root, locked, &instance)))
}

/// Checks that no other interface uses the instance.
fn require_free(root: &Root, instance: &Instance) -> Result<()> {
    let stage = Register::of(root, &instance.nsname).stage(&instance.nstype)?;
    ensure!(
        stage != Some(Stage::Up),
        "{instance} is already up, for another interface: set 'nsname' to a different name for each"
    );
    Ok(())
}

fn write_values(root: &Root, instance: &Instance, variables: &ContainerVariables) -> Result<()> {
    let path = root.container_values(instance);
    file::make_parent(&path, 0o700)?;
    file::write(&path, &variables::file(variables), 0o600)
}

/// The error of an instance that failed, from the log.
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

/// Takes down a recorded interface, and removes its record.
pub fn detach(root: &Root, locked: &Locked, record: &ContainerRecord) -> Result<()> {
    let instance = record.instance()?;
    if lifecycle::down_in(root, &instance)? != 0 {
        return Err(not_up(locked, &instance).into());
    }
    forget(root, locked, &instance)
}

/// Whether the interface is recorded as completely up.
pub fn is_up(root: &Root, record: &ContainerRecord) -> Result<bool> {
    let instance = record.instance()?;
    let stage = Register::of(root, &instance.nsname).stage(&instance.nstype)?;
    Ok(stage == Some(Stage::Up))
}

/// The state of an interface that is up.
///
/// # Errors
/// The interface is not up, or not in the namespace `netns`.
pub fn check(
    root: &Root,
    record: &ContainerRecord,
    ifname: Option<&str>,
    netns: &str,
) -> Result<InterfaceReport> {
    let instance = record.instance()?;
    ensure!(is_up(root, record)?, "{instance} is not up");
    let given = namespace(netns)?;
    let ours = namespace::made_by_us(root, &instance.nsname)?;
    if ours != Some(given.id) {
        bail!("{instance} is up in a network namespace other than {netns}");
    }
    report::read(root, &instance, &Default::default(), ifname)
}

/// Checks that the caller is root, that the files of the type exist and are trusted, and that bash and the
/// programs that they declare are installed.
pub fn can_run(root: &Root, nstype: &NsType) -> Result<()> {
    require_root()?;
    command::find("bash")?;
    let instance = Instance {
        nstype: nstype.clone(),
        nsname: default_name("status", "eth0").parse()?,
    };
    let sources = sources::find(root, &instance, Trust::from_environment())?;
    for program in declarations(&sources).programs {
        command::find(&program)?;
    }
    Ok(())
}

/// What the scripts of a type declare.
fn declarations(sources: &Sources) -> Declarations {
    let texts = sources
        .scripts()
        .map(|source| String::from_utf8_lossy(&source.content));
    Declarations::of(&texts.collect::<Vec<_>>().join("\n"))
}

/// Fills in a template of NSNAME with `{id}`, `{id:N}` (the first N characters of the ID), `{name}` and
/// `{ifname}`.
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
                bail!("'nsname' {template}: the runtime did not pass a name of the container")
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
                "'nsname' {template}: unknown {{{word}}}: use {{id}}, {{id:N}}, {{name}} or {{ifname}}"
            ),
        };
        rest = after;
    }
    Ok(name + rest)
}

/// A stable name for an interface of a container: `c` and ten characters of a hash. Names of links with a
/// prefix of three characters and a digit at the end then have 15.
fn default_name(id: &str, ifname: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    const LENGTH: u32 = 10;
    let hash = hash(format!("{id}:{ifname}").as_bytes());
    let character = |at: u32| ALPHABET[(hash >> (5 * at)) as usize & 31] as char;
    std::iter::once('c')
        .chain((0..LENGTH).map(character))
        .collect()
}

/// FNV-1a, folded. Not secure, but stable across versions.
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
