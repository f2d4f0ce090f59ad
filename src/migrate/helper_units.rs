//! Helper units `systemd-netns@` and `systemd-netns-access@` with a script `/usr/local/bin/ns-NAME`, which
//! type vip replaces.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Conf, MigrationPlan};
use crate::instance::paths::Root;
use crate::sys::file;

const UNITS: [&str; 2] = ["systemd-netns@.service", "systemd-netns-access@.service"];

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    let access = root.unit_dir().join(UNITS[1]);
    if files.is_empty() && !access.exists() {
        return Ok(plan);
    }
    let scripts = match files {
        [] => file::entries(&root.path("/usr/local/bin"))?,
        files => files.to_vec(),
    };
    let mut names = BTreeSet::new();
    for script in scripts {
        if let Some(name) = file::name_of(&script).and_then(|name| name.strip_prefix("ns-")) {
            names.insert((name.to_owned(), script.clone()));
        }
    }
    let text = file::read_text(&access)?.unwrap_or_default();
    let device = text.lines().find_map(|line| {
        line.trim()
            .strip_prefix("Environment=")?
            .trim_matches('"')
            .strip_prefix("GATEWAY_DEVICE=")
    });
    for (name, script) in names {
        let mut conf =
            Conf::new(root, "vip", &name, &script).with_context(|| script.display().to_string())?;
        match device {
            Some(device) => conf.set("GATEWAY_DEVICE", device)?,
            None => plan.note(
                &access,
                "has no Environment=GATEWAY_DEVICE=: set GATEWAY_DEVICE in the new file",
            ),
        }
        plan.note(&script, "is run as before, by VIP_HOOK; addresses that it adds can be set in VIP_ADDRESSES instead");
        let instance = conf.instance.clone();
        plan.instance(conf);
        plan.services(root, &format!("systemd-netns@{name}.service"), &instance)?;
    }
    for unit in UNITS
        .map(|unit| root.unit_dir().join(unit))
        .iter()
        .filter(|unit| unit.exists())
    {
        plan.note(
            unit,
            "is no longer needed: remove it after the services have been attached",
        );
    }
    Ok(plan)
}
