//! vopono: its `config.toml` (its user guide, "Configuration file").

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::variables::Variables;
use super::{Format, Plan, openvpn, wg_quick};
use crate::instance::paths::Root;

/// The namespace: there it is made of the provider and the server.
const NSNAME: &str = "vopono";

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<Plan> {
    ensure!(
        !files.is_empty(),
        "name the file of a user, such as /home/alice/.config/vopono/config.toml"
    );
    let mut plan = Plan::default();
    for path in files {
        let mut from = Variables::of_toml(path, &mut plan)?;
        for (key, why) in [
            (
                "firewall",
                "the tunnel is the only way out of the namespace, without rules",
            ),
            ("interface", "the tunnel uses the routes of the host"),
            (
                "postup",
                "write a type of your own with these commands (netnsctl new)",
            ),
            (
                "predown",
                "write a type of your own with these commands (netnsctl new)",
            ),
        ] {
            if from.take(key).is_some() {
                plan.note(path, &format!("{key} was not translated: {why}"));
            }
        }
        let user = from.take("user");
        let protocol = from.take("protocol").unwrap_or_default().to_lowercase();
        let (dns, custom) = (from.take("dns"), from.take("custom"));
        let provider = [from.take("provider"), from.take("server")];
        let Some(custom) = custom else {
            let [provider, server] = provider.map(Option::unwrap_or_default);
            plan.note(path, &format!("provider '{provider}', server '{server}': run 'netnsctl migrate' for the file of that server, which vopono keeps in a directory of its provider beside this file"));
            continue;
        };
        let custom = PathBuf::from(custom);
        let (mut conf, variable) = match (&*protocol, Format::of_name(&custom)) {
            ("openvpn", _) | ("", Some(Format::Openvpn)) => (
                openvpn::translate(root, &mut plan, &custom, NSNAME)?,
                "OPENVPN_DNS",
            ),
            ("wireguard", _) | ("", Some(Format::WgQuick)) => (
                wg_quick::translate(root, &mut plan, &custom, NSNAME)?,
                "WIREGUARD_DNS",
            ),
            _ => {
                plan.note(path, &format!("protocol '{protocol}' was not translated: there are types for WireGuard and OpenVPN"));
                continue;
            }
        };
        if let Some(dns) = dns {
            conf.set(variable, &dns)?;
        }
        for (key, _) in from.rest() {
            plan.note(
                path,
                &format!("{key} was not translated: no such setting is known"),
            );
        }
        plan.note(&custom, "only root may be able to change it, and to read keys in it: move it to a directory of root");
        plan.instance(conf);
        let user = user.unwrap_or_else(|| "USER".to_owned());
        plan.next.push(format!(
            "netnsctl exec --user {} {NSNAME} -- PROGRAM",
            super::quote(&user)?
        ));
    }
    Ok(plan)
}
