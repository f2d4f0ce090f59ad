//! Files of wg-quick(8), which type wireguard reads unchanged.

use std::path::Path;

use anyhow::{Result, ensure};

use super::MigrationPlan;
use super::client::Client;

pub const WG_QUICK: Client = Client {
    nstype: "wireguard",
    directory: "/etc/wireguard",
    unit: "wg-quick",
    scan,
};

fn scan(plan: &mut MigrationPlan, path: &Path, text: &str) -> Result<bool> {
    let (mut hooks, mut private) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
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
    ensure!(private, "has no PrivateKey: not a wg-quick configuration");
    Ok(hooks)
}
