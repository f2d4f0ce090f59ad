//! The administrator's unit files: which of them refer to a unit or run a command.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::instance::paths::Root;
use crate::sys::file;
use crate::systemd::instances::enabled_units;

/// Unit files and drop-ins of services below `/etc/systemd/system`: the name of the service, and the file.
fn services(root: &Root) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for path in file::entries(&root.unit_dir())? {
        let Some(name) = file::name_of(&path) else {
            continue;
        };
        if let Some(service) = name.strip_suffix(".service") {
            if path.is_file() {
                found.push((service.to_owned(), path));
            }
        } else if let Some(service) = name.strip_suffix(".service.d") {
            let drop_ins = file::entries(&path)?.into_iter();
            let drop_ins = drop_ins.filter(|path| path.extension().is_some_and(|e| e == "conf"));
            found.extend(drop_ins.map(|path| (service.to_owned(), path)));
        }
    }
    Ok(found)
}

/// The services whose settings refer to `unit`, with the files of these settings.
pub fn that_name(root: &Root, unit: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (service, path) in services(root)? {
        let text = file::read_text(&path)?.unwrap_or_default();
        let names = |line: &str| {
            let value = line.split_once('=').map_or("", |(_, value)| value);
            value.split_whitespace().any(|word| word == unit)
        };
        // The helper units refer to themselves with %i.
        if settings(&text).any(names) && format!("{service}.service") != unit {
            found.push((service, path));
        }
    }
    Ok(found)
}

/// The command lines of services for which `matches` holds, with their files.
pub fn with_command(
    root: &Root,
    matches: fn(&[String]) -> bool,
) -> Result<Vec<(PathBuf, Vec<String>)>> {
    let mut found = Vec::new();
    for (_, path) in services(root)? {
        found.extend(
            commands(&path)?
                .into_iter()
                .filter(|words| matches(words))
                .map(|words| (path.clone(), words)),
        );
    }
    Ok(found)
}

/// The command lines of a unit file, as words.
pub fn commands(path: &Path) -> Result<Vec<Vec<String>>> {
    let text = file::read_text(path)?
        .unwrap_or_default()
        .replace("\\\n", " ");
    let values =
        settings(&text).filter_map(|line| line.strip_prefix("ExecStart=").map(str::to_owned));
    Ok(values
        .filter_map(|line| {
            shell_words::split(line.trim_start_matches(['-', '@', ':', '+', '!'])).ok()
        })
        .collect())
}

/// The names of instances of a template, such as `netns-nat@`, that are enabled.
pub fn enabled(root: &Root, template: &str) -> Result<Vec<String>> {
    let units = enabled_units(root)?.into_iter();
    let instance = |unit: String| {
        let instance = unit.strip_prefix(template)?.strip_suffix(".service")?;
        Some(instance.to_owned())
    };
    Ok(units.filter_map(instance).collect())
}

fn settings(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']))
}
