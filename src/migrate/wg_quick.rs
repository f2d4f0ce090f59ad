//! Files of wg-quick(8), which type wireguard reads unchanged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Conf, Plan, read, stem};
use crate::instance::paths::Root;
use crate::sys::file;

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut files = files.to_vec();
    if files.is_empty() {
        files = file::entries(&root.path("/etc/wireguard"))?;
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        });
    }
    for path in files {
        let conf = translate(root, &mut plan, &path, stem(&path))?;
        plan.next.push(format!(
            "systemctl disable --now wg-quick@{}",
            conf.instance.nsname
        ));
        plan.instance(conf);
    }
    Ok(plan)
}

/// The configuration of an instance of type wireguard that uses a file of wg-quick.
pub fn translate(root: &Root, plan: &mut Plan, path: &Path, nsname: &str) -> Result<Conf> {
    let mut conf =
        Conf::new(root, "wireguard", nsname, path).with_context(|| path.display().to_string())?;
    let (mut hooks, mut private) = (false, false);
    for (number, line) in (1..).zip(read(path)?.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let (key, value) = line.split_once('=').unwrap_or_default();
        let (key, value) = (key.trim(), value.trim());
        match key.to_ascii_lowercase().as_str() {
            "privatekey" => private = true,
            "preup" | "postup" | "predown" | "postdown" => {
                hooks = true;
                plan.note(path, &format!("line {number}: {key} is not run: a kill switch is not needed, because the namespace has no network but the tunnel; for other commands create a type (netnsctl new)"));
            }
            "table" if !["auto", "off"].contains(&value.to_ascii_lowercase().as_str()) => {
                plan.note(
                    path,
                    &format!("line {number}: remove Table: a namespace has its own routes"),
                );
            }
            "saveconfig" => plan.note(path, &format!("line {number}: SaveConfig is ignored")),
            _ => {}
        }
    }
    ensure!(
        private,
        "{}: has no PrivateKey: not a wg-quick configuration",
        path.display()
    );
    let usual = root.path("/etc/wireguard").join(format!("{nsname}.conf"));
    if path != usual {
        conf.set(
            "WIREGUARD_CONFIG",
            &std::path::absolute(path)?.to_string_lossy(),
        )?;
    }
    if hooks {
        conf.set("WIREGUARD_HOOKS", "ignore")?;
    }
    Ok(conf)
}
