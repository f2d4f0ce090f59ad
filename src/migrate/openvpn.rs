//! Configurations of an OpenVPN client, which type openvpn reads unchanged.

use std::path::Path;

use anyhow::{Result, ensure};

use super::MigrationPlan;
use super::client::Client;

pub const OPENVPN: Client = Client {
    nstype: "openvpn",
    directory: "/etc/openvpn/client",
    unit: "openvpn-client",
    scan,
};

/// Options that type openvpn refuses unless `OPENVPN_HOOKS=ignore`.
const HOOKS: [&str; 8] = [
    "up",
    "down",
    "route-up",
    "route-pre-down",
    "ipchange",
    "tls-verify",
    "dns-updown",
    "plugin",
];

fn scan(plan: &mut MigrationPlan, path: &Path, text: &str) -> Result<bool> {
    let (mut hooks, mut device) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        let option = words.next().unwrap_or_default().trim_start_matches("--");
        device |= option == "dev";
        if HOOKS.contains(&option) {
            hooks = true;
            plan.note(path, &format!("line {number}: {option} is not run: type openvpn sets up the interface, routes and name servers in the namespace"));
        }
        if option == "auth-user-pass" && words.next().is_none() {
            plan.note(path, &format!("line {number}: auth-user-pass would prompt for a password: write the user name and password to a file with mode 0600, and set OPENVPN_AUTH"));
        }
    }
    ensure!(device, "has no 'dev': not an OpenVPN configuration");
    Ok(hooks)
}
