//! Configuration of Jamesits/systemd-named-netns: `/etc/default/netns` and `/etc/default/netns-NAME`
//! (its README and wiki, "Config").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::variables::ForeignVariables;
use super::{Conf, MigrationPlan, given_or_all, units};
use crate::instance::paths::Root;
use crate::instance::phase::Side;
use crate::sys::file;
use crate::systemd::unit;

/// Its kinds of network: the name in its units, our type, and the variables that only this kind has.
const KINDS: [(&str, &str, &[&str]); 3] = [
    ("bridge", "bridge", &["BRIDGE"]),
    (
        "nat",
        "nat",
        &["GATEWAY_IP", "CLIENT_IP", "NAT_ACCEPT_TRAFFIC"],
    ),
    ("mvbr", "macvlan", &["MACVLAN_BRIDGE"]),
];

type NetworkKind = &'static (&'static str, &'static str, &'static [&'static str]);

/// The kind and the namespace that a file is for, from its name; `None` if it is another file.
fn scope(path: &Path) -> Option<(Option<NetworkKind>, Option<String>)> {
    let name = file::name_of(path)?.strip_prefix("netns")?;
    if name.is_empty() {
        return Some((None, None));
    }
    let name = name.strip_prefix('-')?;
    for kind in &KINDS {
        match name.strip_prefix(kind.0) {
            Some("") => return Some((Some(kind), None)),
            Some(rest) if rest.starts_with('-') && rest.len() > 1 => {
                return Some((Some(kind), Some(rest[1..].to_owned())));
            }
            _ => {}
        }
    }
    Some((None, Some(name.to_owned())))
}

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    let mut enabled = Vec::new();
    for kind in KINDS.iter().filter(|_| files.is_empty()) {
        // Our own units have the same names.
        let ours = root.unit_dir().join(unit::named(Side::Inside, kind.1, ""));
        if !ours.exists() {
            let mut names = units::enabled(root, &format!("netns-{}@", kind.0))?;
            names.retain(|name| !name.is_empty());
            enabled.extend(names.into_iter().map(|name| (kind, name)));
        }
    }
    let files = given_or_all(files, &root.path("/etc/default"), |_| true)?;
    let (mut global, mut of_kind) = (ForeignVariables::default(), BTreeMap::new());
    let mut instances: BTreeMap<String, (Option<NetworkKind>, ForeignVariables, PathBuf)> =
        BTreeMap::new();
    for path in files {
        let Some((kind, name)) = scope(&path).filter(|_| path.is_file()) else {
            continue;
        };
        let variables = ForeignVariables::of_file(&path, &mut plan)?;
        match (kind, name) {
            (None, None) => global = variables,
            (Some(kind), None) => drop(of_kind.insert(kind.0, variables)),
            (kind, Some(name)) => drop(instances.insert(name, (kind, variables, path))),
        }
    }
    for (kind, name) in enabled {
        let path = root.path("/etc/default/netns");
        let entry = instances
            .entry(name)
            .or_insert((None, ForeignVariables::default(), path));
        entry.0 = entry.0.or(Some(kind));
    }
    for (name, (kind, own, path)) in instances {
        let kind = kind.or_else(|| KINDS.iter().find(|kind| own.has(kind.2)));
        let kind = kind.or_else(|| KINDS.iter().find(|kind| global.has(kind.2)));
        let Some(kind) = kind else {
            plan.note(
                &path,
                "not translated: cannot tell from its name or its variables whether it is bridge, nat or mvbr",
            );
            continue;
        };
        let mut variables = global.clone();
        variables.overlay(of_kind.get(kind.0).unwrap_or(&ForeignVariables::default()));
        variables.overlay(&own);
        translate(root, &mut plan, kind, &name, variables, &path)?;
    }
    Ok(plan)
}

/// The names of variables there and here.
type Names<'a> = &'a [(&'a str, &'a str)];

fn translate(
    root: &Root,
    plan: &mut MigrationPlan,
    kind: NetworkKind,
    name: &str,
    mut from: ForeignVariables,
    path: &Path,
) -> Result<()> {
    let mut conf =
        Conf::new(root, kind.1, name, path).with_context(|| path.display().to_string())?;
    match kind.1 {
        "nat" => nat(&mut conf, &mut from, plan, path)?,
        "bridge" => {
            let names = [
                ("BRIDGE", "BRIDGE"),
                ("DEVNAME_OUTSIDE", "BRIDGE_IFNAME_OUTSIDE"),
                ("DEVNAME_INSIDE", "BRIDGE_IFNAME_INSIDE"),
            ];
            copy(&mut conf, &mut from, &names)?;
            addresses(&mut conf, &mut from, "BRIDGE")?;
            if from.take("MACADDR").is_some() {
                plan.note(
                    path,
                    "MACADDR was not translated: it is that of the port of the bridge, BRIDGE_MAC that of the interface inside",
                );
            }
        }
        _ => {
            let names = [
                ("MACVLAN_BRIDGE", "MACVLAN_PARENT_IFNAME"),
                ("DEVNAME_INSIDE", "MACVLAN_IFNAME"),
                ("MACADDR", "MACVLAN_MAC"),
            ];
            copy(&mut conf, &mut from, &names)?;
            conf.set("MACVLAN_MODE", "bridge")?;
            addresses(&mut conf, &mut from, "MACVLAN")?;
        }
    }
    // The file for all namespaces may set variables of other kinds, too.
    let others = KINDS.iter().filter(|other| other.0 != kind.0);
    let others: Vec<&str> = others.flat_map(|other| other.2).copied().collect();
    for (variable, _) in from.rest().filter(|(name, _)| !others.contains(name)) {
        plan.note(
            path,
            &format!("{variable} was not translated: unknown setting"),
        );
    }
    let instance = conf.instance.clone();
    plan.next.push(format!(
        "systemctl disable --now netns-{}@{name} netns@{name} # before installing systemd-netns",
        kind.0
    ));
    plan.instance(conf);
    for unit in [
        format!("netns@{name}.service"),
        format!("netns-{}@{name}.service", kind.0),
    ] {
        plan.services(root, &unit, &instance)?;
    }
    Ok(())
}

fn copy(conf: &mut Conf, from: &mut ForeignVariables, names: Names) -> Result<()> {
    for (old, new) in names {
        if let Some(value) = from.take(old) {
            conf.set(new, &value)?;
        }
    }
    Ok(())
}

/// `ADDRESS/LENGTH` of an address and its prefix length, which are separate variables there.
fn with_length(address: &str, cidr: Option<&str>) -> String {
    match cidr {
        Some(length) if !address.contains('/') => format!("{address}/{length}"),
        _ => address.to_owned(),
    }
}

fn nat(
    conf: &mut Conf,
    from: &mut ForeignVariables,
    plan: &mut MigrationPlan,
    path: &Path,
) -> Result<()> {
    let cidr = from.take("CIDR");
    match (from.take("GATEWAY_IP"), from.take("CLIENT_IP")) {
        (Some(outside), Some(inside)) => {
            conf.set(
                "NAT_IFADDR_OUTSIDE",
                &with_length(&outside, cidr.as_deref()),
            )?;
            conf.set("NAT_IFADDR_INSIDE", &with_length(&inside, cidr.as_deref()))?;
        }
        (None, None) => {}
        _ => plan.note(
            path,
            "GATEWAY_IP without CLIENT_IP, or the reverse, was not translated: free addresses are used",
        ),
    }
    let names = [
        ("DEVNAME_OUTSIDE", "NAT_IFNAME_OUTSIDE"),
        ("DEVNAME_INSIDE", "NAT_IFNAME_INSIDE"),
        ("MACADDR", "NAT_MAC_OUTSIDE"),
        ("IPADDR_OUTSIDE", "IPADDR_OUTSIDE"),
        ("IPADDR", "IPADDR"),
        ("GATEWAY", "GATEWAY"),
    ];
    copy(conf, from, &names)?;
    // It allows the namespace to reach the host.
    if from
        .take("NAT_ACCEPT_TRAFFIC")
        .is_some_and(|value| value != "0")
    {
        conf.set("NAT_HOST_ACCESS", "yes")?;
    }
    Ok(())
}

/// Address, gateway and DHCP of a type whose variables begin with `prefix`.
fn addresses(conf: &mut Conf, from: &mut ForeignVariables, prefix: &str) -> Result<()> {
    let cidr = from.take("CIDR");
    if let Some(address) = from.take("IPADDR") {
        let address = with_length(&address, cidr.as_deref());
        conf.set(&format!("{prefix}_IFADDR"), &address)?;
    }
    copy(conf, from, &[("GATEWAY", &format!("{prefix}_GATEWAY"))])?;
    if from.take("DHCPV4").is_some_and(|value| value != "0") {
        conf.set(&format!("{prefix}_DHCP"), "ipv4")?;
    }
    Ok(())
}
