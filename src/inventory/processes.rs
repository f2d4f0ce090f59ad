//! The processes of all network namespaces, in one pass over `/proc`.

use std::collections::HashMap;

use anyhow::Result;
use procfs::process;
use serde::Serialize;

use crate::namespace::{self, Id};
use crate::sys::exit::{self, Exit};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    pub pid: u32,
    /// The command name, of at most 15 bytes (`comm`, proc(5)).
    pub name: String,
    /// Its innermost systemd service or scope.
    pub unit: Option<String>,
}

/// The processes in each namespace, without their names and units, which [`identify`] reads.
pub fn by_namespace(unreadable: &mut Vec<String>) -> Result<HashMap<Id, Vec<Process>>> {
    let mut found: HashMap<Id, Vec<Process>> = HashMap::new();
    let mut refused = 0;
    for (pid, id) in namespace::of_processes()? {
        match id {
            Ok(id) => found.entry(id).or_default().push(Process {
                pid,
                name: String::new(),
                unit: None,
            }),
            Err(error) if exit::code(&error) == Exit::NotPermitted => refused += 1,
            Err(_) => {} // it has ended
        }
    }
    if refused > 0 {
        unreadable.push(format!(
            "namespaces of {refused} processes: only root can read them"
        ));
    }
    Ok(found)
}

/// Reads the names and units of processes, and drops those that have ended.
pub fn identify(processes: &mut Vec<Process>) {
    processes.retain_mut(|process| {
        let Ok(found) = process::Process::new(process.pid as i32) else {
            return false;
        };
        let Ok(stat) = found.stat() else {
            return false;
        };
        process.name = stat.comm;
        process.unit = found.cgroups().ok().and_then(unit);
        true
    });
}

/// The innermost unit of a process, from its control groups (cgroups(7)).
fn unit(cgroups: procfs::ProcessCGroups) -> Option<String> {
    // systemd uses either the named or the unified hierarchy; in the other, all processes are in `/`.
    let named = |group: &procfs::ProcessCGroup| group.controllers == ["name=systemd"];
    let (named, others): (Vec<_>, Vec<_>) = cgroups.0.into_iter().partition(named);
    let unified = others.into_iter().filter(|group| group.hierarchy == 0);
    named.into_iter().chain(unified).find_map(|group| {
        let mut parts = group.pathname.rsplit('/');
        let unit = parts.find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
        Some(unit.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::FromBufRead;

    #[test]
    fn the_innermost_unit_counts() {
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n";
        let scope = "1:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/\n";
        for (cgroups, expected) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            (user, Some("x.service")),
            (
                "0::/system.slice/docker.service/payload\n",
                Some("docker.service"),
            ),
            (scope, Some("session-3.scope")),
            (
                "9:name=systemd:/\n0::/system.slice/x.service\n",
                Some("x.service"),
            ),
            ("0::/init.scope\n", Some("init.scope")),
            ("0::/\n", None),
            ("", None),
        ] {
            let parsed = procfs::ProcessCGroups::from_buf_read(cgroups.as_bytes()).unwrap();
            assert_eq!(unit(parsed).as_deref(), expected, "{cgroups}");
        }
    }

    #[test]
    fn this_process_is_among_those_of_its_namespace() {
        let mut found = by_namespace(&mut Vec::new()).unwrap();
        let mut processes = found.remove(&Id::current().unwrap()).unwrap();
        identify(&mut processes);
        let own = std::process::id();
        let own = processes.iter().find(|process| process.pid == own).unwrap();
        assert!(!own.name.is_empty());
    }
}
