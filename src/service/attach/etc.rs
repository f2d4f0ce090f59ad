//! What of `/etc` a service in a namespace sees otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::AttachRequest;
use super::dns::ResolvConf;
use super::dropin::{self, Bind, RESOLVED};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::file::Missing;

/// A path below the root as the service will see it.
pub fn seen(root: &Root, path: &Path) -> PathBuf {
    match path.strip_prefix(root.path("/")) {
        Ok(below) => Path::new("/").join(below),
        Err(_) => path.to_owned(),
    }
}

/// What in `/etc/netns/NSNAME` stands in for something in `/etc`, but for resolv.conf.
pub fn binds(root: &Root, name: &NsName, remarks: &mut Vec<String>) -> Result<Vec<Bind>> {
    let directory = root.netns_etc(name);
    let reading = || format!("reading {}", directory.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(&directory)
        .missing_ok()
        .with_context(reading)?
        .into_iter()
        .flatten()
    {
        paths.push(entry.with_context(reading)?.path());
    }
    paths.sort();
    let mut binds = Vec::new();
    for path in paths {
        let file_name = path.file_name().unwrap_or_default().to_owned();
        if file_name == "resolv.conf" {
            continue;
        }
        let place = root.path("/etc").join(&file_name);
        let looking = || format!("looking at {}", path.display());
        let Some(from) = fs::metadata(&path).missing_ok().with_context(looking)? else {
            return Err(anyhow!("{} is a link to nothing", path.display())).or_exit(Exit::Config);
        };
        match fs::metadata(&place).missing_ok().with_context(looking)? {
            None => remarks.push(format!(
                "{} is not used: there is no {} that it could replace",
                path.display(),
                place.display()
            )),
            Some(to) if to.is_dir() != from.is_dir() => remarks.push(format!(
                "{} is not used: either it or {} is a directory",
                path.display(),
                place.display()
            )),
            Some(_) => {
                let from = seen(root, &path);
                if !dropin::is_plain(&from) {
                    return Err(anyhow!(
                        "{} has a name that a unit file cannot carry: letters, digits and \
                         ._-+=,@~#^ can be there",
                        path.display()
                    ))
                    .or_exit(Exit::Config);
                }
                let to = seen(root, &place);
                binds.push(Bind { from, to });
            }
        }
    }
    Ok(binds)
}

/// Whether `/etc/resolv.conf` is a link to a file that systemd-resolved makes.
pub fn check_resolv_conf(
    root: &Root,
    file: Option<&ResolvConf>,
    request: &AttachRequest,
) -> Result<bool> {
    let Some(file) = file else {
        return Ok(false);
    };
    if !request.dns.is_empty() && file.is_foreign()? {
        bail!(
            "{} is not ours to write: put the name servers there",
            file.path.display()
        );
    }
    let place = root.path("/etc/resolv.conf");
    if let Ok(target) = fs::read_link(&place) {
        let target = Path::new("/etc").join(target);
        let file_name = target.file_name().unwrap_or_default();
        let directory = target.parent().unwrap_or(&target).to_string_lossy();
        if directory.ends_with(RESOLVED)
            && (file_name == "stub-resolv.conf" || file_name == "resolv.conf")
        {
            return Ok(true);
        }
    }
    if !place.exists() {
        return Err(anyhow!(
            "there is no {} that {} could be bound over: make one, it may be empty",
            place.display(),
            file.path.display()
        ))
        .or_exit(Exit::Config);
    }
    Ok(false)
}

/// The name service switch that the service would see, with nothing but files and DNS for hosts.
pub fn strict_nsswitch(root: &Root, binds: &[Bind]) -> Result<String> {
    let own = binds
        .iter()
        .find(|bind| bind.to == Path::new("/etc/nsswitch.conf"));
    let path = root.path(own.map_or(Path::new("/etc/nsswitch.conf"), |bind| &bind.from));
    let text = fs::read_to_string(&path)
        .with_context(|| format!("reading {}, which --strict-dns changes", path.display()))
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
