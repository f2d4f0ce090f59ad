//! The `config.toml` of vopono (its user guide, "Configuration file").

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::openvpn::OPENVPN;
use super::variables::ForeignVariables;
use super::wg_quick::WG_QUICK;
use super::{ConfigFormat, MigrationPlan};
use crate::instance::paths::Root;

/// The name of the new namespace. vopono's own has the names of the provider and the server.
const NSNAME: &str = "vopono";

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    ensure!(
        !files.is_empty(),
        "give the file of a user as argument, such as /home/alice/.config/vopono/config.toml"
    );
    let mut plan = MigrationPlan::default();
    for path in files {
        let mut from = ForeignVariables::of_toml(path, &mut plan)?;
        for (key, why) in [
            (
                "firewall",
                "the namespace has no network but the tunnel, so that it needs no firewall rules",
            ),
            ("interface", "the tunnel uses the routes of the host"),
            ("postup", "create a type with these commands (netnsctl new)"),
            (
                "predown",
                "create a type with these commands (netnsctl new)",
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
            plan.note(path, &format!("provider '{provider}', server '{server}': run 'netnsctl migrate' for the file of that server, which is in the provider's directory next to this file"));
            continue;
        };
        let custom = PathBuf::from(custom);
        let (client, variable) = match (&*protocol, ConfigFormat::of_name(&custom)) {
            ("openvpn", _) | ("", Some(ConfigFormat::Openvpn)) => (OPENVPN, "OPENVPN_DNS"),
            ("wireguard", _) | ("", Some(ConfigFormat::WgQuick)) => (WG_QUICK, "WIREGUARD_DNS"),
            _ => {
                plan.note(path, &format!("protocol '{protocol}' was not translated: there are types for WireGuard and OpenVPN"));
                continue;
            }
        };
        let mut conf = client.translate(root, &mut plan, &custom, NSNAME)?;
        if let Some(dns) = dns {
            conf.set(variable, &dns)?;
        }
        for (key, _) in from.rest() {
            plan.note(path, &format!("{key} was not translated: unknown setting"));
        }
        plan.note(&custom, "only root may be allowed to write it, and to read the keys in it: move it to a directory of root");
        plan.instance(conf);
        let user = user.unwrap_or_else(|| "USER".to_owned());
        plan.next.push(format!(
            "netnsctl exec --user {} {NSNAME} -- PROGRAM",
            super::quote(&user)?
        ));
    }
    Ok(plan)
}
