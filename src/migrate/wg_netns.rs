//! Profiles of dadevel/wg-netns in JSON or YAML (its README and issues #2, #4, #6, #8).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::{Conf, ConfigFormat, Draft, MigrationPlan, given_or_all, read, stem, yaml};
use crate::instance::name::NsName;
use crate::instance::paths::Root;

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

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    let is_profile = |path: &PathBuf| ConfigFormat::of_name(path) == Some(ConfigFormat::WgNetns);
    for path in given_or_all(files, &root.path("/etc/wireguard"), is_profile)? {
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

fn translate(root: &Root, plan: &mut MigrationPlan, path: &Path, profile: &Value) -> Result<()> {
    let profile = object(profile)?;
    if profile.get("name") == Some(&Value::Null) {
        plan.note(
            path,
            "name: null was not translated: its interfaces are in no namespace",
        );
        return Ok(());
    }
    let name = text(profile, "name")?.unwrap_or_else(|| stem(path).to_owned());
    name.parse::<NsName>()?;
    unknown(plan, path, profile, 0);
    if profile.get("managed") == Some(&Value::Bool(false)) {
        plan.note(path, "managed: false was not translated: netns_name@ creates the namespace, and other types can share it");
    }
    let interfaces = profile.get("interfaces").and_then(Value::as_array);
    let interfaces = interfaces.context("no interfaces")?;
    ensure!(!interfaces.is_empty(), "no interfaces");
    plan.next.push(format!(
        "wg-netns down {} # and disable the unit that runs it",
        super::quote(&path.to_string_lossy())?
    ));
    for (number, interface) in (1..).zip(interfaces) {
        let interface = object(interface)?;
        translate_interface(root, plan, path, (&name, number), profile, interface)
            .with_context(|| format!("interface {number}"))?;
    }
    Ok(())
}

/// Type wireguard has one interface: for each of the others there is a copy of it.
fn translate_interface(
    root: &Root,
    plan: &mut MigrationPlan,
    path: &Path,
    (nsname, number): (&str, u32),
    profile: &Map<String, Value>,
    interface: &Map<String, Value>,
) -> Result<()> {
    let (nstype, file) = match number {
        1 => ("wireguard".to_owned(), format!("{nsname}.conf")),
        _ => (
            format!("wireguard{number}"),
            format!("{nsname}-{number}.conf"),
        ),
    };
    let mut conf = Conf::new(root, &nstype, nsname, path)?;
    let file = root.path("/etc/wireguard").join(file);
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
    // Once is enough for the namespace.
    if number == 1 {
        set(profile, &[("dns-server", "DNS")])?;
    }
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
    let has = |key| Ok::<_, anyhow::Error>(text(interface, key)?.is_some());
    ensure!(has("private-key")?, "it has no private-key");
    ensure!(number == 1 || has("name")?, "it has no name");
    let prefix = nstype.to_uppercase();
    if number > 1 {
        conf.set(&format!("{prefix}_CONFIG"), &file.to_string_lossy())?;
        let new = format!("netnsctl new {nstype} --from wireguard");
        let [script, _] = root.scripts(&conf.instance.nstype);
        if !script.exists() && !plan.next.contains(&new) {
            plan.next.push(new);
        }
    }
    if let Some(ifname) = text(interface, "name")? {
        conf.set(&format!("{prefix}_IFNAME"), &ifname)?;
    }
    plan.drafts.push(Draft {
        path: file,
        text: wg,
        secret: true,
    });
    plan.instance(conf);
    Ok(())
}

fn unknown(plan: &mut MigrationPlan, path: &Path, map: &Map<String, Value>, level: usize) {
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
