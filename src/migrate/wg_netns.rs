//! Profiles of dadevel/wg-netns in JSON or YAML (its README and issues #2, #4, #6, #8).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::{Conf, Draft, Format, Plan, read, stem, yaml};
use crate::instance::paths::Root;
use crate::sys::file;

/// The keys of a profile, an interface and a peer that are translated.
const KNOWN: [&[&str]; 3] = [
    &["name", "managed", "dns-server", "interfaces"],
    &[
        "name",
        "address",
        "private-key",
        "listen-port",
        "fwmark",
        "mtu",
        "peers",
    ],
    &[
        "name",
        "public-key",
        "preshared-key",
        "endpoint",
        "persistent-keepalive",
        "allowed-ips",
    ],
];

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut files = files.to_vec();
    if files.is_empty() {
        files = file::entries(&root.path("/etc/wireguard"))?;
        files.retain(|path| Format::of_name(path) == Some(Format::WgNetns));
    }
    for path in files {
        let text = read(&path)?;
        let profile = match path.extension() {
            Some(extension) if extension == "json" => {
                serde_json::from_str(&text).map_err(Into::into)
            }
            _ => yaml::parse(&text),
        };
        let translated = profile.and_then(|profile| translate(root, &mut plan, &path, &profile));
        translated.with_context(|| path.display().to_string())?;
    }
    Ok(plan)
}

fn translate(root: &Root, plan: &mut Plan, path: &Path, profile: &Value) -> Result<()> {
    let profile = object(profile)?;
    if profile.get("name") == Some(&Value::Null) {
        plan.note(
            path,
            "name: null was not translated: its interfaces are in no namespace",
        );
        return Ok(());
    }
    let name = text(profile, "name")?.unwrap_or_else(|| stem(path).to_owned());
    let mut conf = Conf::new(root, "wireguard", &name, path)?;
    unknown(plan, path, profile, 0);
    if profile.get("managed") == Some(&Value::Bool(false)) {
        plan.note(path, "managed: false was not translated: netns_name@ creates the namespace, and other types can share it");
    }
    let interfaces = profile.get("interfaces").and_then(Value::as_array);
    let [interface, others @ ..] = interfaces.map_or(&[][..], Vec::as_slice) else {
        bail!("no interfaces");
    };
    for (number, other) in (2..).zip(others) {
        let name = text(object(other)?, "name")?;
        let name = name.map_or(format!("interface {number}"), |name| {
            format!("interface '{name}'")
        });
        plan.note(path, &format!("{name} was not translated: type wireguard has one interface; create a type for another one with 'netnsctl new wireguard2 --from wireguard'"));
    }
    let interface = object(interface)?;
    unknown(plan, path, interface, 1);
    let mut wg = String::from("[Interface]\n");
    let mut set = |from: &Map<String, Value>, keys: &[(&str, &str)]| -> Result<()> {
        for (key, ours) in keys {
            let values = texts(from, key)?;
            if !values.is_empty() {
                wg += &format!("{ours} = {}\n", values.join(", "));
            }
        }
        Ok(())
    };
    set(
        interface,
        &[
            ("private-key", "PrivateKey"),
            ("address", "Address"),
            ("listen-port", "ListenPort"),
            ("fwmark", "FwMark"),
            ("mtu", "MTU"),
        ],
    )?;
    set(profile, &[("dns-server", "DNS")])?;
    let peers = interface.get("peers").and_then(Value::as_array);
    for peer in peers.into_iter().flatten() {
        let peer = object(peer)?;
        unknown(plan, path, peer, 2);
        ensure!(
            text(peer, "public-key")?.is_some(),
            "a peer has no public-key"
        );
        set(
            peer,
            &[
                ("public-key", "\n[Peer]\nPublicKey"),
                ("preshared-key", "PresharedKey"),
                ("endpoint", "Endpoint"),
                ("persistent-keepalive", "PersistentKeepalive"),
                ("allowed-ips", "AllowedIPs"),
            ],
        )?;
    }
    ensure!(
        text(interface, "private-key")?.is_some(),
        "the interface has no private-key"
    );
    if let Some(ifname) = text(interface, "name")? {
        conf.set("WIREGUARD_IFNAME", &ifname)?;
    }
    plan.drafts.push(Draft {
        path: root.path("/etc/wireguard").join(format!("{name}.conf")),
        text: wg,
        secret: true,
    });
    plan.next.push(format!(
        "wg-netns down {} # and disable the unit that runs it",
        super::quote(&path.to_string_lossy())?
    ));
    plan.instance(conf);
    Ok(())
}

fn unknown(plan: &mut Plan, path: &Path, map: &Map<String, Value>, level: usize) {
    for key in map
        .keys()
        .filter(|key| !KNOWN[level].contains(&key.as_str()))
    {
        let why = match key.as_str() {
            "pre-up" | "post-up" | "pre-down" | "post-down" => {
                "create a type with these commands (netnsctl new)"
            }
            _ => "unknown key",
        };
        plan.note(path, &format!("{key} was not translated: {why}"));
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>> {
    value.as_object().context("expected a mapping")
}

/// The value of a key, a string or a number; `None` if it is missing or null.
fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>> {
    let mut all = texts(map, key)?;
    ensure!(all.len() <= 1, "{key}: expected a single value");
    Ok(all.pop())
}

/// The values of a key: one, a list, or none.
///
/// # Errors
/// A value has control characters: a line break would add a line to the file that is written.
fn texts(map: &Map<String, Value>, key: &str) -> Result<Vec<String>> {
    let list = match map.get(key) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) => list,
        Some(one) => std::slice::from_ref(one),
    };
    let one = |value: &Value| match value {
        Value::String(text) if !text.chars().any(char::is_control) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => bail!("{key}: expected a string without line breaks"),
    };
    list.iter().map(one).collect()
}
