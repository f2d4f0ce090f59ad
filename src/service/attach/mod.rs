//! Services in namespaces: what attaches one, and what takes that back.

mod dns;
mod dropin;
mod etc;
pub mod rebind;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::instance::name::{Instance, NsName};
use crate::instance::paths::Root;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::systemd::instances::require_units;
use crate::systemd::manager::Manager;
use crate::systemd::service::{self, ServiceName};

use crate::sys::change::Change;
use dns::{ResolvConf, Servers};
use dropin::{Bind, DropIn, Written};
use etc::{binds, check_resolv_conf, seen, strict_nsswitch};

const DROP_IN: &str = "50-netns.conf";
/// Beside it, and not read by systemd for its name.
const NSSWITCH: &str = "50-netns.nsswitch";

/// What the command line asks for.
#[derive(Debug)]
pub struct AttachRequest<'a> {
    pub service: &'a ServiceName,
    /// Types of one namespace.
    pub instances: &'a [Instance],
    pub strict_dns: bool,
    pub keep: bool,
    /// Leave the service the host's `/etc/resolv.conf`.
    pub host_dns: bool,
    /// Name servers for the namespace.
    pub dns: &'a [IpAddr],
}

/// All that has to be written to attach a service, found to be possible.
#[derive(Debug)]
pub struct Attachment {
    pub service: ServiceName,
    /// Sockets that systemd listens on for the service, in their own namespace.
    pub sockets: Vec<String>,
    /// What the administrator should know.
    pub remarks: Vec<String>,
    /// Each file with its text; those that are not to be there have none.
    files: Vec<(PathBuf, Option<String>)>,
    resolv_conf: Option<ResolvConf>,
    dns: Vec<IpAddr>,
}

impl Attachment {
    /// # Errors
    /// Something that is asked for is not there, or the service is attached elsewhere. Nothing
    /// has been written.
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
        if request.strict_dns {
            files.push((nsswitch.clone(), Some(strict_nsswitch(root, &binds)?)));
            let to = Path::new("/etc/nsswitch.conf");
            binds.retain(|bind| bind.to != to);
            binds.push(Bind {
                from: seen(root, &nsswitch),
                to: to.to_owned(),
            });
        } else {
            files.push((nsswitch, None));
        }
        let resolv_conf = (!request.host_dns).then(|| ResolvConf::of(root, name));
        let stub = check_resolv_conf(root, resolv_conf.as_ref(), request)?;
        let resolv_conf_seen = resolv_conf.as_ref().map(|file| seen(root, &file.path));
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
                None => !directory.exists(),
            },
        }
        .text();
        files.push((drop_in, Some(text)));
        Ok(Self {
            service,
            sockets: found.sockets,
            remarks,
            files,
            resolv_conf,
            dns: request.dns.to_owned(),
        })
    }

    /// The files and what would be in them, for people.
    pub fn show(&self) -> String {
        let mut shown = String::new();
        for (path, text) in &self.files {
            if let Some(text) = text {
                shown += &format!("# {}\n{text}\n", path.display());
            }
        }
        shown.truncate(shown.trim_end().len());
        shown.push('\n');
        shown
    }

    /// Writes the files and has systemd read them, or leaves all as it was. Gives what else the
    /// administrator should know.
    pub fn apply(&self, manager: Option<&Manager>) -> Result<Vec<String>> {
        let before = match &self.resolv_conf {
            Some(file) => Some((file, file.prepare(&self.dns)?)),
            None => None,
        };
        let written = Change::of(&self.files).and_then(|change| change.apply(|| reload(manager)));
        if let Err(error) = written {
            let undone = match &before {
                Some((file, before)) => file.put_back(before),
                None => Ok(()),
            };
            return Err(match undone {
                Ok(()) => error,
                Err(undo) => error.context(format!("{undo:#}, after")),
            });
        }
        let mut remarks = Vec::new();
        if let Some(file) = &self.resolv_conf {
            if !file.is_foreign()? && file.servers()? == Servers::None {
                remarks.push(format!(
                    "{} names no server yet, so {} will resolve no name: use --dns ADDRESS, \
                     NETNS_DNS of a type, or write that file",
                    file.path.display(),
                    self.service
                ));
            }
        }
        Ok(remarks)
    }
}

/// The namespace of them all.
fn one_namespace(instances: &[Instance]) -> Result<&NsName> {
    let first = instances.first().context("no NSTYPE@NSNAME")?;
    let other = instances.iter().find(|other| other.nsname != first.nsname);
    if let Some(other) = other {
        return Err(anyhow!(
            "{first} and {other} are of two namespaces, and a service runs in one"
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
                "{service} is attached to the namespace '{}': 'netnsctl detach {service}' first",
                old.nsname
            );
        }
        return Ok(());
    }
    if fs::symlink_metadata(&drop_in).is_ok() {
        bail!("{} is not ours, and is left alone", drop_in.display());
    }
    if let Some(template) = service.template() {
        if let Some(old) = read(&template.drop_in_dir(root).join(DROP_IN))? {
            bail!(
                "{service} is attached to the namespace '{}' by its template: \
                 'netnsctl detach {template}' first",
                old.nsname
            );
        }
    }
    match network {
        Some(setting) => bail!(
            "{service} has a network of its own already ({setting}): \
             'systemctl cat {service}' shows where that is set"
        ),
        None => Ok(()),
    }
}

/// Reads a drop-in; `None` where there is none, or none of ours.
fn read(path: &Path) -> Result<Option<Written>> {
    Ok(file::read_text(path)?.and_then(|text| dropin::read(&text)))
}

/// The services that are attached, by the drop-ins of ours.
pub fn attached(root: &Root) -> Result<Vec<(ServiceName, Written)>> {
    let mut attached = Vec::new();
    for path in file::entries(&root.unit_dir())? {
        let service = file::name_of(&path).and_then(|name| name.strip_suffix(".service.d"));
        let Some(Ok(service)) = service.map(str::parse::<ServiceName>) else {
            continue;
        };
        if let Some(written) = read(&path.join(DROP_IN))? {
            attached.push((service, written));
        }
    }
    attached.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(attached)
}

/// Takes back what attached `service`, and gives the name that it is known by.
///
/// # Errors
/// It is not attached, or not by us; or a file cannot be removed, and then all is as it was.
pub fn detach(
    root: &Root,
    manager: Option<&Manager>,
    service: &ServiceName,
) -> Result<ServiceName> {
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
        if fs::symlink_metadata(&drop_in).is_ok() {
            bail!("{} is not ours, and is left alone", drop_in.display());
        }
        bail!(
            "{service} is not attached by netnsctl: there is no {}",
            drop_in.display()
        );
    };
    let files = [(drop_in, None), (directory.join(NSSWITCH), None)];
    Change::of(&files)?.apply(|| reload(manager))?;
    if old.directory_made {
        // Others may have put something there since.
        let _ = fs::remove_dir(&directory);
    }
    let others = attached(root)?;
    if let (true, Some(manager)) = (others.is_empty(), manager) {
        // 247 would leave it running until something that needs it stops.
        manager.stop(&["netns_rebind.path".to_owned()])?;
    }
    if !others.iter().any(|(_, other)| other.nsname == old.nsname) {
        ResolvConf::of(root, &old.nsname).release()?;
    }
    Ok(service)
}

fn reload(manager: Option<&Manager>) -> Result<()> {
    manager.map_or(Ok(()), Manager::reload)
}
