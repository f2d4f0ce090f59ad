//! Records of instances below `/run/systemd-netns`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Leftover;
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::sys::file::{self, Missing};

/// The modification time of a directory: seconds and nanoseconds.
pub type ModificationTime = (i64, i64);

pub fn find(root: &Root) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    // The directory, what is known of each of its entries, the prefix of the marks of instances in it, and
    // the function that restores it.
    let changes = [
        (
            root.sysctl_dir(),
            "sysctl",
            "set",
            "user-",
            "sysctl.bash",
            "netns_sysctl_restore",
        ),
        (
            root.parents_dir(),
            "link",
            "kept up",
            "",
            "link.bash",
            "netns_parent_release",
        ),
        (
            root.bridges_dir(),
            "bridge",
            "kept",
            "",
            "bridge.bash",
            "netns_bridge_release",
        ),
    ];
    for (directory, kind, state, prefix, library, function) in changes {
        for path in file::entries(&directory)? {
            let what = format!("{kind} {} {state}", file_name(&path));
            let marks = file::names(&path)?.into_iter();
            let instances = marks.filter_map(|mark| mark.strip_prefix(prefix)?.parse().ok());
            found.extend(instances.map(|instance| Leftover::HostChange {
                instance,
                what: what.clone(),
                library,
                function,
            }));
        }
    }
    let ports = file::parsed(&root.nat_ports_dir())?.into_iter();
    found.extend(ports.map(|instance| Leftover::Ports { instance }));
    let records = file::entries(&root.records_dir())?.into_iter();
    // Of a gc that was killed.
    let aside = file::entries(&root.state_dir())?.into_iter();
    let aside = aside.filter(|path| file_name(path).starts_with(ASIDE));
    for path in records.chain(aside) {
        let name = file_name(&path);
        let Ok(instance) = name.strip_prefix(ASIDE).unwrap_or(&name).parse() else {
            continue;
        };
        if let Some(modified) = modified(&path)? {
            found.push(Leftover::Record { instance, modified });
        }
    }
    Ok(found)
}

/// What the name of a record begins with while it is being removed. No type begins so.
const ASIDE: &str = ".gone-";

/// Removes the record of an instance, unless it has changed since `seen`.
///
/// It is moved away first, so that it is looked at and removed whole: an `up` that begins meanwhile
/// makes a new one. The caller has the lock of the namespace.
pub fn remove(root: &Root, instance: &Instance, seen: ModificationTime) -> Result<bool> {
    let path = root.record(instance);
    let removing = || format!("removing {}", path.display());
    let aside = root.state_dir().join(format!("{ASIDE}{instance}"));
    let unfinished = file::remove_tree(&aside)?;
    let renamed = fs::rename(&path, &aside).missing_ok();
    if renamed.with_context(removing)?.is_none() {
        return Ok(unfinished);
    }
    if modified(&aside)? != Some(seen) {
        fs::rename(&aside, &path).with_context(removing)?;
        bail!("'{instance}' is just starting or stopping");
    }
    file::remove_tree(&aside)
}

fn modified(directory: &Path) -> Result<Option<ModificationTime>> {
    let directory = file::symlink_metadata(directory)?.filter(fs::Metadata::is_dir);
    Ok(directory.map(|found| (found.mtime(), found.mtime_nsec())))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
