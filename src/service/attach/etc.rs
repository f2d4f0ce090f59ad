//! Bind mounts over files in `/etc` for a service in a namespace.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::AttachRequest;
use super::dropin::{self, Bind, RESOLVED};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::instance::resolv_conf::ResolvConf;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file;
use crate::sys::temporary::HIDDEN_PREFIX;

/// Bind mounts of the files in `/etc/netns/NSNAME`, except resolv.conf, over those in `/etc`.
pub fn binds(root: &Root, name: &NsName, remarks: &mut Vec<String>) -> Result<Vec<Bind>> {
    let mut binds = Vec::new();
    for path in file::entries(&root.netns_etc(name))? {
        let file_name = path.file_name().unwrap_or_default();
        let hidden = file_name.to_string_lossy().starts_with(HIDDEN_PREFIX);
        if hidden || file_name == "resolv.conf" {
            continue;
        }
        let place = root.path("/etc").join(file_name);
        let from = file::metadata(&path)?
            .with_context(|| format!("{} is a broken symlink", path.display()))
            .or_exit(Exit::Config)?;
        let Some(to) = file::metadata(&place)? else {
            remarks.push(format!(
                "ignoring {}: there is no {} to bind it over",
                path.display(),
                place.display()
            ));
            continue;
        };
        if !(from.is_file() && to.is_file() || from.is_dir() && to.is_dir()) {
            remarks.push(format!(
                "ignoring {}: it and {} must both be files, or both directories",
                path.display(),
                place.display()
            ));
            continue;
        }
        let (from, to) = (root.seen(&path), root.seen(&place));
        if !dropin::is_plain(&from) {
            return Err(anyhow!(
                "{} cannot be named in a unit file: only letters, digits and ._-+=,@~#^ are allowed",
                path.display()
            ))
            .or_exit(Exit::Config);
        }
        binds.push(Bind { from, to });
    }
    Ok(binds)
}

/// Whether `/etc/resolv.conf` is a symlink to a file of systemd-resolved.
///
/// # Errors
/// It cannot be bound over, or the name servers cannot be written.
pub fn check_resolv_conf(
    root: &Root,
    file: Option<&ResolvConf>,
    request: &AttachRequest,
) -> Result<bool> {
    let Some(file) = file else {
        return Ok(false);
    };
    // Reading a FIFO would block the service.
    file::open(&file.path)?;
    if file.is_foreign()? && !request.dns.is_empty() {
        bail!(
            "{} was not written by systemd-netns: add the name servers there",
            file.path.display()
        );
    }
    let place = root.path("/etc/resolv.conf");
    if let Some(target) = file::read_link(&place)? {
        let target = Path::new("/etc").join(target);
        let file_name = target.file_name().unwrap_or_default();
        let directory = target.parent().unwrap_or(&target).to_string_lossy();
        if directory.ends_with(RESOLVED)
            && (file_name == "stub-resolv.conf" || file_name == "resolv.conf")
        {
            return Ok(true);
        }
    }
    if file::metadata(&place)?.is_none() {
        return Err(anyhow!(
            "there is no {} to bind {} over: create one, it may be empty",
            place.display(),
            file.path.display()
        ))
        .or_exit(Exit::Config);
    }
    Ok(false)
}

/// The service's nsswitch.conf(5), with only files and DNS for hosts.
pub fn strict_nsswitch(root: &Root, binds: &[Bind]) -> Result<String> {
    let own = binds
        .iter()
        .find(|bind| bind.to == Path::new("/etc/nsswitch.conf"));
    let path = root.path(own.map_or(Path::new("/etc/nsswitch.conf"), |bind| &bind.from));
    let text = file::read_text(&path)?
        .with_context(|| {
            format!(
                "--strict-dns needs {}, which does not exist",
                path.display()
            )
        })
        .or_exit(Exit::Config)?;
    let mut strict = String::new();
    for line in text.lines() {
        let hosts = line
            .split_once(':')
            .is_some_and(|(key, _)| key.trim() == "hosts");
        if !hosts {
            strict += line;
            strict.push('\n');
        }
    }
    strict += "hosts: files dns\n";
    Ok(strict)
}
