//! Attaches services to namespaces, and detaches them.

pub mod dropin;
mod etc;
pub mod rebind;

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::instance::resolv_conf::{self, ResolvConf};
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::sys::log;
use crate::systemd::change::{Change, Units};
use crate::systemd::instances::require_units;
use crate::systemd::manager::Manager;
use crate::systemd::service::{self, ServiceName};
use crate::systemd::unit;

use dropin::{Bind, DropIn, Written};
use etc::{binds, check_resolv_conf, strict_nsswitch};

const DROP_IN: &str = "50-netns.conf";
/// In the same directory. systemd ignores a file of that name.
const NSSWITCH: &str = "50-netns.nsswitch";

/// The request on the command line.
#[derive(Debug)]
pub struct AttachRequest<'a> {
    pub service: &'a ServiceName,
    /// Types of one namespace.
    pub instances: &'a [Instance],
    pub strict_dns: bool,
    pub keep: bool,
    /// Use the host's `/etc/resolv.conf`.
    pub host_dns: bool,
    /// Name servers to add to the namespace.
    pub dns: &'a [IpAddr],
}

/// The checked plan to attach a service.
#[derive(Debug)]
pub struct Attachment {
    pub service: ServiceName,
    /// Sockets that activate the service. systemd listens on them in their own namespace.
    pub sockets: Vec<String>,
    /// Warnings for the administrator.
    pub remarks: Vec<String>,
    /// The drop-in and the files it refers to, as shown by `--print`.
    pub shown: String,
    change: Change,
    owner: String,
    resolv_conf: Option<ResolvConf>,
    /// Name servers, as lines of resolv.conf(5).
    servers: String,
}

impl Attachment {
    /// # Errors
    /// A type, file or service does not exist, or the service is attached elsewhere.
    pub fn new(root: &Root, manager: Option<&Manager>, request: &AttachRequest) -> Result<Self> {
        let name = one_namespace(request.instances)?;
        for instance in request.instances {
            require_units(root, instance)?;
        }
        let found = service::find(root, manager, request.service)?;
        let service = found.name.unwrap_or_else(|| request.service.clone());
        let directory = service.drop_in_dir(root);
        let drop_in = directory.join(DROP_IN);
        let old = read(&drop_in)?;
        check_free(root, &service, name, old.as_ref(), found.network.as_deref())?;

        let mut remarks = Vec::new();
        let mut binds = binds(root, name, &mut remarks)?;
        let nsswitch = directory.join(NSSWITCH);
        let mut files = Vec::new();
        let mut change = Change::default();
        if request.strict_dns {
            files.push((nsswitch.clone(), strict_nsswitch(root, &binds)?));
            let to = Path::new("/etc/nsswitch.conf");
            binds.retain(|bind| bind.to != to);
            binds.push(Bind {
                from: root.seen(&nsswitch),
                to: to.to_owned(),
            });
        } else {
            change.remove(nsswitch);
        }
        let resolv_conf = (!request.host_dns).then(|| ResolvConf::of(root, name));
        let stub = check_resolv_conf(root, resolv_conf.as_ref(), request)?;
        let resolv_conf_seen = resolv_conf.as_ref().map(|file| root.seen(&file.path));
        let text = DropIn {
            service: &service,
            instances: request.instances,
            binds: &binds,
            resolv_conf: resolv_conf_seen.as_deref(),
            stub,
            strict_dns: request.strict_dns,
            keep: request.keep,
            directory_made: match &old {
                Some(old) => old.directory_made,
                None => !file::exists(&directory)?,
            },
        }
        .text();
        files.push((drop_in, text));
        let owner = owner(name);
        if resolv_conf.is_some() {
            change.changes_part(name, &owner);
        }
        let shown = files
            .iter()
            .map(|(path, text)| format!("# {}\n{text}", path.display()));
        let shown = shown.collect::<Vec<_>>().join("\n");
        for (path, text) in files {
            change.file(path, Some(text));
        }
        Ok(Self {
            service,
            sockets: found.sockets,
            remarks,
            shown,
            change,
            owner,
            resolv_conf,
            servers: resolv_conf::lines(request.dns, &[]),
        })
    }

    /// Writes the files and reloads systemd. On error, undoes everything. Returns warnings for the
    /// administrator.
    pub fn apply(&self, units: &Units) -> Result<Option<String>> {
        units.apply(&self.change, || {
            if let Some(file) = &self.resolv_conf {
                if !self.servers.is_empty() || file.part(&self.owner)?.is_none() {
                    file.set(&self.owner, &self.servers)?;
                }
            }
            units.reload()
        })?;
        let Some(file) = &self.resolv_conf else {
            return Ok(None);
        };
        let unresolved = !file.is_foreign()? && !file.names_server()?;
        Ok(unresolved.then(|| {
            format!(
                "{} names no server yet, so {} cannot resolve names: use --dns ADDRESS, set \
                 NETNS_DNS for the type, or write that file",
                file.path.display(),
                self.service
            )
        }))
    }
}

/// The owner of the part of a resolv.conf for attached services. It stays as long as a service is
/// attached, so that the file is not removed with the part of a type. Types have no hyphen.
fn owner(name: &NsName) -> String {
    format!("netnsctl-attach@{name}")
}

/// The namespace of the types.
fn one_namespace(instances: &[Instance]) -> Result<&NsName> {
    let first = instances.first().context("no NSTYPE@NSNAME")?;
    let other = instances.iter().find(|other| other.nsname != first.nsname);
    if let Some(other) = other {
        return Err(anyhow!(
            "{first} and {other} belong to two namespaces, but a service runs in one"
        ))
        .or_exit(Exit::Usage);
    }
    Ok(&first.nsname)
}

fn check_free(
    root: &Root,
    service: &ServiceName,
    name: &NsName,
    old: Option<&Written>,
    network: Option<&str>,
) -> Result<()> {
    let drop_in = service.drop_in_dir(root).join(DROP_IN);
    if let Some(old) = old {
        if old.nsname != *name {
            bail!(
                "{service} is already attached to namespace '{}': run 'netnsctl detach {service}' first",
                old.nsname
            );
        }
        return Ok(());
    }
    if file::exists(&drop_in)? {
        bail!("{} was not written by netnsctl attach", drop_in.display());
    }
    if let Some(template) = service.template() {
        if let Some(old) = read(&template.drop_in_dir(root).join(DROP_IN))? {
            bail!(
                "{service} is already attached to namespace '{}' through its template: \
                 run 'netnsctl detach {template}' first",
                old.nsname
            );
        }
    }
    match network {
        Some(setting) => bail!(
            "{service} already has its own network ({setting}): \
             see 'systemctl cat {service}'"
        ),
        None => Ok(()),
    }
}

/// Reads a drop-in. `None` if it does not exist or is not ours.
fn read(path: &Path) -> Result<Option<Written>> {
    Ok(file::read_text(path)?.and_then(|text| dropin::read(&text)))
}

/// The attached services, by their drop-ins.
pub fn attached(root: &Root) -> Result<Vec<(ServiceName, Written)>> {
    let mut attached = Vec::new();
    for directory in file::names(&root.unit_dir())? {
        let service = directory.strip_suffix(".service.d");
        let Some(Ok(service)) = service.map(str::parse::<ServiceName>) else {
            continue;
        };
        match read(&service.drop_in_dir(root).join(DROP_IN)) {
            Ok(written) => attached.extend(written.map(|written| (service, written))),
            Err(error) => log::warn(&format!("{error:#}")),
        }
    }
    Ok(attached)
}

/// Detaches `service`, and returns its primary name.
///
/// # Errors
/// It is not attached by netnsctl, or a file cannot be removed. Nothing has changed then.
pub fn detach(
    root: &Root,
    manager: Option<&Manager>,
    service: &ServiceName,
) -> Result<ServiceName> {
    let units = Units::lock(root, manager)?;
    let mut service = service.clone();
    let mut old = read(&service.drop_in_dir(root).join(DROP_IN))?;
    if let (None, Some(manager)) = (&old, manager) {
        // It may have several names.
        if let Some(name) = service::find(root, Some(manager), &service)?.name {
            old = read(&name.drop_in_dir(root).join(DROP_IN))?;
            service = name;
        }
    }
    let directory = service.drop_in_dir(root);
    let drop_in = directory.join(DROP_IN);
    let Some(old) = old else {
        if file::exists(&drop_in)? {
            bail!("{} was not written by netnsctl attach", drop_in.display());
        }
        bail!(
            "{service} is not attached: there is no {}",
            drop_in.display()
        );
    };
    let owner = owner(&old.nsname);
    let mut change = Change::default();
    change.remove(drop_in);
    change.remove(directory.join(NSSWITCH));
    change.changes_part(&old.nsname, &owner);
    if old.directory_made {
        change.remove_empty(directory);
    }
    units.apply(&change, || {
        units.reload()?;
        let others = attached(root)?;
        if let (true, Some(manager)) = (others.is_empty(), manager) {
            // systemd 247 would leave it running until a unit that needs it stops.
            manager.stop(&[unit::REBIND.to_owned()])?;
        }
        if others.iter().any(|(_, other)| other.nsname == old.nsname) {
            return Ok(());
        }
        ResolvConf::of(root, &old.nsname).remove(&owner)
    })?;
    Ok(service)
}
