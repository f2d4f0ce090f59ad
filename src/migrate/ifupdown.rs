//! Stanzas of ifupdown in `/etc/network/namespaces` and `/etc/network/services`, which type ifupdown reads
//! as they are.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Conf, MigrationPlan, given_or_all, units};
use crate::instance::paths::Root;
use crate::sys::file;

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    for path in given_or_all(files, &root.path("/etc/network/namespaces"), |_| true)? {
        let Some(name) = file::name_of(&path).filter(|_| path.is_file()) else {
            continue;
        };
        let conf =
            Conf::new(root, "ifupdown", name, &path).with_context(|| path.display().to_string())?;
        plan.note(
            &path,
            "is read by type ifupdown as it is, with /etc/network/services; no file is needed",
        );
        let instance = &conf.instance;
        let unit = format!("netns@{name}.service");
        plan.services(root, &unit, instance)?;
        for (service, words) in units::with_command(root, runs_ip_netns)? {
            if words.iter().any(|word| word == name) {
                plan.note(&service, "runs 'ip netns exec' in ExecStart=: with 'netnsctl attach' the original command line is enough");
            }
        }
    }
    Ok(plan)
}

fn runs_ip_netns(words: &[String]) -> bool {
    matches!(words, [ip, netns, exec, ..] if ip.ends_with("/ip") && netns == "netns" && exec == "exec")
}
