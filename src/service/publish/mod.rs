//! Ports outside that lead to a service in a namespace, by systemd-socket-proxyd(8).
//!
//! systemd listens outside, or in another namespace, and hands the connections to a proxy inside.
//! It listens only while the namespace is up: a connection is no reason to start one.

mod port;
mod text;

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::types::configured_instances;
use crate::sys::change::Change;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::systemd::instances::{self, require_units};
use crate::systemd::manager::Manager;
use crate::systemd::unit;

pub use port::Port;
use text::{MARKER, texts};

/// A namespace, or one with a type that it has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Namespace(NsName),
    Instance(Instance),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word.parse() {
            Ok(instance) => Ok(Target::Instance(instance)),
            Err(_) => Ok(Target::Namespace(word.parse()?)),
        }
    }
}

impl Target {
    pub fn nsname(&self) -> &NsName {
        match self {
            Target::Namespace(name) => name,
            Target::Instance(instance) => &instance.nsname,
        }
    }

    /// The types that are applied to the namespace: those that run or are enabled, else those
    /// that have a file for it.
    fn instances(&self, root: &Root, manager: Option<&Manager>) -> Result<Vec<Instance>> {
        let name = match self {
            Target::Instance(instance) => {
                require_units(root, instance)?;
                return Ok(vec![instance.clone()]);
            }
            Target::Namespace(name) => name,
        };
        let mut instances = instances::enabled(root)?;
        if let Some(manager) = manager {
            let units = manager.active(&[unit::pattern_of_namespace(name)])?;
            instances.extend(units.iter().filter_map(|unit| instances::of_unit(unit)));
        }
        instances.retain(|instance| instance.nsname == *name);
        if instances.is_empty() {
            let configured = configured_instances(root)?.into_iter();
            let configured = configured.map(|(_, instance)| instance);
            instances.extend(configured.filter(|instance| instance.nsname == *name));
        }
        if instances.is_empty() {
            bail!(
                "nothing tells which type the namespace '{name}' has: say NSTYPE@{name}, \
                 as in veth@{name}"
            );
        }
        for instance in &instances {
            require_units(root, instance)?;
        }
        Ok(instances.into_iter().collect())
    }
}

/// One published port, by what its units are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication<'a> {
    pub name: &'a NsName,
    pub outside: u16,
    /// The namespace that is listened in, if not the host's.
    pub from: Option<&'a NsName>,
}

impl fmt::Display for Publication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "port {} of the namespace '{from}'", self.outside),
            None => write!(f, "port {}", self.outside),
        }
    }
}

impl Publication<'_> {
    fn unit(&self, kind: &str) -> String {
        let Self { name, outside, .. } = self;
        let from = self.from.map(|from| format!("-{from}")).unwrap_or_default();
        format!("netns_publish-{outside}{from}@{name}.{kind}")
    }

    pub fn socket(&self) -> String {
        self.unit("socket")
    }

    fn service(&self) -> String {
        self.unit("service")
    }

    /// Whose start starts the socket: links to it.
    fn links(&self, root: &Root) -> Result<Vec<PathBuf>> {
        let mut links = Vec::new();
        for directory in file::names(&root.unit_dir())? {
            if directory.starts_with("netns-") && directory.ends_with(".service.wants") {
                let link = root.unit_dir().join(directory).join(self.socket());
                links.extend(fs::symlink_metadata(&link).is_ok().then_some(link));
            }
        }
        Ok(links)
    }
}

/// Has systemd listen, now if the namespace is up, and whenever it comes up.
///
/// # Errors
/// Nothing is published, and no file is left.
pub fn publish(
    root: &Root,
    manager: Option<&Manager>,
    target: &Target,
    port: &Port,
    from: Option<&Target>,
    to: IpAddr,
) -> Result<bool> {
    let publication = Publication {
        name: target.nsname(),
        outside: port.outside,
        from: from.map(Target::nsname),
    };
    if publication.from == Some(publication.name) {
        return Err(anyhow!(
            "--from names the very namespace that the port leads to"
        ))
        .or_exit(Exit::Usage);
    }
    let inside = target.instances(root, manager)?;
    let fronts = match from {
        Some(from) => from.instances(root, manager)?,
        None => Vec::new(),
    };
    let texts = texts(&publication, port, to, &inside, &fronts, &proxy(root)?);
    let socket = root.unit_dir().join(publication.socket());
    if fs::symlink_metadata(&socket).is_ok() {
        bail!(
            "{publication} leads to '{0}' already: 'netnsctl unpublish {0} {1}' first",
            publication.name,
            port.outside
        );
    }
    let [socket_text, service_text] = texts;
    let files = [
        (socket, Some(socket_text)),
        (
            root.unit_dir().join(publication.service()),
            Some(service_text),
        ),
    ];
    let all: Vec<Instance> = inside.iter().chain(&fronts).cloned().collect();
    let mut listens = false;
    let written = Change::of(&files)?.apply(|| {
        let started = link(root, &publication, &all);
        listens = started.and_then(|()| begin(manager, &publication, &all))?;
        Ok(())
    });
    written.map(|()| listens).map_err(|error| {
        let undone = remove_links(root, &publication);
        let _ = manager.map(Manager::reload);
        match undone {
            Ok(()) => error,
            Err(undo) => error.context(format!("{undo:#}, after")),
        }
    })
}

/// Has the units of `instances` start the socket with them.
fn link(root: &Root, publication: &Publication, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let directory = root
            .unit_dir()
            .join(format!("{}.wants", unit::inside(instance)));
        file::make_directory(&directory, 0o755)?;
        let link = directory.join(publication.socket());
        symlink(Path::new("..").join(publication.socket()), &link)
            .with_context(|| format!("making the link {}", link.display()))?;
    }
    Ok(())
}

/// True if it listens now.
fn begin(
    manager: Option<&Manager>,
    publication: &Publication,
    instances: &[Instance],
) -> Result<bool> {
    let Some(manager) = manager else {
        return Ok(false);
    };
    manager.reload()?;
    for instance in instances {
        let unit = unit::inside(instance);
        if manager.active(&[unit])?.is_empty() {
            return Ok(false);
        }
    }
    manager
        .start(&publication.socket())
        .with_context(|| format!("{publication} cannot be listened on"))?;
    Ok(true)
}

/// Takes back what `publish` did.
///
/// # Errors
/// The port is not published, or not by us; or a file cannot be removed.
pub fn unpublish(root: &Root, manager: Option<&Manager>, publication: &Publication) -> Result<()> {
    let socket = root.unit_dir().join(publication.socket());
    let Some(text) = file::read_text(&socket)? else {
        bail!(
            "{publication} does not lead to '{}': there is no {}",
            publication.name,
            socket.display()
        );
    };
    if !text.starts_with(MARKER) {
        bail!("{} is not ours, and is left alone", socket.display());
    }
    let service = root.unit_dir().join(publication.service());
    let files = [(socket, None), (service, None)];
    Change::of(&files)?.apply(|| Ok(()))?;
    remove_links(root, publication)?;
    if let Some(manager) = manager {
        // While systemd still knows what they are.
        manager.stop(&[publication.socket(), publication.service()])?;
        manager.reload()?;
    }
    Ok(())
}

fn remove_links(root: &Root, publication: &Publication) -> Result<()> {
    for link in publication.links(root)? {
        file::remove(&link)?;
        if let Some(directory) = link.parent() {
            // There may be others.
            let _ = fs::remove_dir(directory);
        }
    }
    Ok(())
}

/// Where systemd keeps its programs depends on the distribution.
fn proxy(root: &Root) -> Result<String> {
    let places = ["/usr/lib/systemd", "/lib/systemd"];
    let paths = places.map(|place| format!("{place}/systemd-socket-proxyd"));
    let found = paths.iter().find(|path| root.path(path).exists()).cloned();
    found
        .with_context(|| {
            format!(
                "systemd-socket-proxyd is needed, and not in {}",
                places.join(" or ")
            )
        })
        .or_exit(Exit::NotInstalled)
}
