//! The processes of all network namespaces, in one pass over `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::namespace::Id;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    pub pid: u32,
    /// The name of its program, of at most 15 bytes (`comm`, proc(5)).
    pub name: String,
    /// The unit that systemd runs it in, a service or a scope.
    pub unit: Option<String>,
}

/// The process identifiers in each namespace; names are looked up by [`identify`].
pub fn by_namespace(unseen: &mut Vec<String>) -> Result<HashMap<Id, Vec<Process>>> {
    let mut found: HashMap<Id, Vec<Process>> = HashMap::new();
    let mut refused = 0;
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let entry = entry.context("reading /proc")?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match Id::of_process(pid) {
            Ok(id) => found.entry(id).or_default().push(Process {
                pid,
                name: String::new(),
                unit: None,
            }),
            Err(error) if is_refusal(&error) => refused += 1,
            Err(_) => {} // it has ended meanwhile
        }
    }
    if refused > 0 {
        unseen.push(format!(
            "where {refused} processes of others run: only root can tell"
        ));
    }
    Ok(found)
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Finds out what the processes are, and forgets those that have ended.
pub fn identify(processes: &mut Vec<Process>) {
    processes.retain_mut(|process| {
        let directory = Path::new("/proc").join(process.pid.to_string());
        let Ok(name) = fs::read(directory.join("comm")) else {
            return false;
        };
        process.name = String::from_utf8_lossy(&name)
            .trim_end_matches('\n')
            .to_owned();
        let cgroups = fs::read_to_string(directory.join("cgroup"));
        process.unit = cgroups.ok().and_then(|cgroups| unit(&cgroups));
        true
    });
}

/// The innermost unit of a process, by `/proc/PID/cgroup` (cgroups(7)).
fn unit(cgroups: &str) -> Option<String> {
    // systemd uses the one or the other (cgroups(7)); in the one that it does not, all are at `/`.
    let named = cgroups
        .lines()
        .filter_map(|line| line.split_once(":name=systemd:"));
    let unified = cgroups.lines().filter_map(|line| line.strip_prefix("0::"));
    let mut paths = named.map(|(_, path)| path).chain(unified);
    paths.find_map(|path| {
        let mut parts = path.rsplit('/');
        let unit = parts.find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
        Some(unit.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_counts() {
        let cases = [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
                Some("x.service"),
            ),
            (
                "0::/system.slice/docker.service/payload\n",
                Some("docker.service"),
            ),
            (
                "1:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/\n",
                Some("session-3.scope"),
            ),
            (
                "9:name=systemd:/\n0::/system.slice/x.service\n",
                Some("x.service"),
            ),
            ("0::/init.scope\n", Some("init.scope")),
            ("0::/\n", None),
            ("", None),
        ];
        for (cgroups, expected) in cases {
            assert_eq!(unit(cgroups).as_deref(), expected, "{cgroups}");
        }
    }

    #[test]
    fn we_are_among_our_processes() {
        let mut unseen = Vec::new();
        let mut found = by_namespace(&mut unseen).unwrap();
        let mut processes = found.remove(&Id::current().unwrap()).unwrap();
        identify(&mut processes);
        let own = std::process::id();
        let own = processes.iter().find(|process| process.pid == own).unwrap();
        assert!(!own.name.is_empty());
    }
}
