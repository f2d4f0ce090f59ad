//! Publishes ports of services in namespaces.
//!
//! systemd listens on the host, or in another namespace, and starts a relay inside:
//! systemd-socket-proxyd(8) for TCP, `netnsctl relay` for UDP. This works with any type, because the
//! namespace needs no address that the host can reach. systemd listens only while the namespace is
//! up: a connection does not start it.

mod port;
pub mod relay;
mod text;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::types::configured_instances;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::systemd::change::{Change, Units};
use crate::systemd::instances::{self, require_units};
use crate::systemd::manager::Manager;
use crate::systemd::unit;

pub use port::{Mapping, Ports, Protocol};
use text::{MARKER, Texts};

/// A namespace, or an instance if the namespace must have a type.
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

    /// The instances of the namespace that run or are enabled, or otherwise those with a file.
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
                "cannot tell the type of namespace '{name}': use NSTYPE@{name}, as in veth@{name}"
            );
        }
        for instance in &instances {
            require_units(root, instance)?;
        }
        Ok(instances.into_iter().collect())
    }
}

/// A published port and the names of its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Publication<'a> {
    name: &'a NsName,
    protocol: Protocol,
    port: u16,
    /// The namespace in which systemd listens, unless it is that of the host.
    from: Option<&'a NsName>,
}

impl fmt::Display for Publication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, port, .. } = self;
        write!(f, "{protocol} port {port}")?;
        match self.from {
            Some(from) => write!(f, " of namespace '{from}'"),
            None => Ok(()),
        }
    }
}

impl Publication<'_> {
    fn unit(&self, kind: &str) -> String {
        let Self { name, port, .. } = self;
        let udp = if self.protocol == Protocol::Udp {
            "udp"
        } else {
            ""
        };
        let from = self.from.map(|from| format!("-{from}")).unwrap_or_default();
        unit::of_publication(&format!("{port}{udp}{from}"), name, kind)
    }

    fn socket(&self) -> String {
        self.unit("socket")
    }

    fn service(&self) -> String {
        self.unit("service")
    }

    /// The symlinks through which the units of instances start the socket.
    fn links(&self, wants: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for wants in wants {
            let link = wants.join(self.socket());
            if file::exists(&link)? {
                found.push(link);
            }
        }
        Ok(found)
    }
}

/// The `.wants` directories of the units of instances.
fn wants(root: &Root) -> Result<Vec<PathBuf>> {
    let mut directories = file::entries(&root.unit_dir())?;
    directories.retain(|directory| {
        let unit = file::name_of(directory).and_then(|name| name.strip_suffix(".wants"));
        unit.and_then(instances::of_unit).is_some()
    });
    Ok(directories)
}

/// Makes systemd listen while the namespace is up. Returns whether it listens now.
///
/// # Errors
/// Nothing is published.
pub fn publish(
    root: &Root,
    manager: Option<&Manager>,
    target: &Target,
    mapping: &Mapping,
    from: Option<&Target>,
    to: IpAddr,
) -> Result<bool> {
    let name = target.nsname();
    if from.is_some_and(|from| from.nsname() == name) {
        return Err(anyhow!(
            "--from {name} is the namespace that would be published"
        ))
        .or_exit(Exit::Usage);
    }
    let units = Units::lock(root, manager)?;
    let inside = target.instances(root, manager)?;
    let fronts = from.map_or(Ok(Vec::new()), |from| from.instances(root, manager))?;
    let program = match mapping.outside.protocol {
        Protocol::Tcp => proxy(root)?,
        Protocol::Udp => format!("{} relay", root.netnsctl().display()),
    };
    let mut change = Change::default();
    let mut sockets = Vec::new();
    for (outside, port) in mapping.pairs() {
        let publication = Publication {
            name,
            protocol: mapping.outside.protocol,
            port: outside,
            from: from.map(Target::nsname),
        };
        let socket = root.unit_dir().join(publication.socket());
        if file::exists(&socket)? {
            bail!("{publication} is already published to '{name}': run 'netnsctl unpublish' first");
        }
        let texts = Texts {
            publication,
            address: mapping.address,
            to: SocketAddr::new(to, port),
            inside: &inside,
            fronts: &fronts,
            program: &program,
        };
        change.file(socket, Some(texts.socket()));
        change.file(
            root.unit_dir().join(publication.service()),
            Some(texts.service()),
        );
        for instance in inside.iter().chain(&fronts) {
            let wants = root.wants_dir(&unit::inside(instance));
            let target = Path::new("..").join(publication.socket());
            change.link(wants.join(publication.socket()), target);
        }
        sockets.extend([publication.socket(), publication.service()]);
    }
    change.starts(&sockets);
    sockets.retain(|unit| unit.ends_with(".socket"));
    let mut listens = false;
    units.apply(&change, || {
        units.reload()?;
        let Some(manager) = manager else {
            return Ok(());
        };
        for instance in inside.iter().chain(&fronts) {
            if manager.active(&[unit::inside(instance)])?.is_empty() {
                return Ok(());
            }
        }
        listens = true;
        manager.start(&sockets).context("cannot listen")
    })?;
    Ok(listens)
}

/// Undoes [`publish`] for the ports that are published.
///
/// # Errors
/// None is published by us, or a file cannot be removed.
pub fn unpublish(
    root: &Root,
    manager: Option<&Manager>,
    name: &NsName,
    ports: &Ports,
    from: Option<&NsName>,
) -> Result<()> {
    let units = Units::lock(root, manager)?;
    let wants = wants(root)?;
    let mut change = Change::default();
    let mut stopped = Vec::new();
    for port in ports.range.clone() {
        let protocol = ports.protocol;
        let publication = Publication {
            name,
            protocol,
            port,
            from,
        };
        let socket = root.unit_dir().join(publication.socket());
        match file::read_text(&socket)? {
            None => continue,
            Some(text) if text.starts_with(MARKER) => {}
            Some(_) => bail!("{} was not written by netnsctl publish", socket.display()),
        }
        for link in publication.links(&wants)? {
            change.remove_empty(link.parent().unwrap_or(&link).to_owned());
            change.remove(link);
        }
        change.remove(root.unit_dir().join(publication.service()));
        change.remove(socket);
        stopped.extend([publication.socket(), publication.service()]);
    }
    if stopped.is_empty() {
        let from = from
            .map(|from| format!(" of namespace '{from}'"))
            .unwrap_or_default();
        bail!("port {ports}{from} is not published to '{name}'");
    }
    units.apply(&change, || {
        // Before systemd knows that their files are gone.
        manager.map_or(Ok(()), |manager| manager.stop(&stopped))?;
        units.reload()
    })
}

/// The directory of systemd's programs depends on the distribution.
fn proxy(root: &Root) -> Result<String> {
    let places = ["/usr/lib/systemd", "/lib/systemd"];
    let paths = places.map(|place| format!("{place}/systemd-socket-proxyd"));
    let mut found = None;
    for path in &paths {
        if found.is_none() && file::metadata(&root.path(path))?.is_some() {
            found = Some(path.clone());
        }
    }
    found
        .with_context(|| format!("systemd-socket-proxyd is not in {}", places.join(" or ")))
        .or_exit(Exit::NotInstalled)
}
