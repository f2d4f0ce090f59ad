//! Configurations of an OpenVPN client, which type openvpn reads unchanged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Conf, Plan, read, stem};
use crate::instance::paths::Root;

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

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<Plan> {
    ensure!(
        !files.is_empty(),
        "give the configuration of a client as argument, such as /etc/openvpn/client/vpn.conf"
    );
    let mut plan = Plan::default();
    for path in files {
        let conf = translate(root, &mut plan, path, stem(path))?;
        plan.next.push(format!(
            "systemctl disable --now openvpn-client@{}",
            conf.instance.nsname
        ));
        plan.instance(conf);
    }
    Ok(plan)
}

/// The configuration of an instance of type openvpn that uses such a file.
pub fn translate(root: &Root, plan: &mut Plan, path: &Path, nsname: &str) -> Result<Conf> {
    let mut conf =
        Conf::new(root, "openvpn", nsname, path).with_context(|| path.display().to_string())?;
    let (mut hooks, mut device) = (false, false);
    for (number, line) in (1..).zip(read(path)?.lines()) {
        let mut words = line.split_whitespace();
        let option = words.next().unwrap_or_default().trim_start_matches("--");
        device |= option == "dev";
        if HOOKS.contains(&option) {
            hooks = true;
            plan.note(path, &format!("line {number}: {option} is not run: type openvpn sets up the interface, routes and name servers in the namespace"));
        }
        if option == "auth-user-pass" && words.next().is_none() {
            plan.note(path, &format!("line {number}: auth-user-pass would ask for a password: write user and password into a file of mode 0600, and set OPENVPN_AUTH"));
        }
    }
    ensure!(
        device,
        "{}: has no 'dev': not a configuration of openvpn",
        path.display()
    );
    let usual = root
        .path("/etc/openvpn/client")
        .join(format!("{nsname}.conf"));
    if path != usual {
        conf.set(
            "OPENVPN_CONFIG",
            &std::path::absolute(path)?.to_string_lossy(),
        )?;
    }
    if hooks {
        conf.set("OPENVPN_HOOKS", "ignore")?;
    }
    Ok(conf)
}
