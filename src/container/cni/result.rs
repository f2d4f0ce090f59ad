//! The result of ADD, in the form of each version of the specification.

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::NetworkConfiguration;
use crate::container::facts::{ContainerDns, Facts};
use crate::container::report::{InterfaceReport, ReportedLink, TABLE_MAIN};

/// The result of ADD: that of the previous plugin, with the interface that this one has set up.
pub fn of(
    configuration: &NetworkConfiguration,
    report: &InterfaceReport,
    facts: &Facts,
    netns: &str,
) -> Value {
    let version = configuration.version.as_str();
    let previous = configuration.previous();
    let list = |key: &str| {
        let list = previous.and_then(|previous| previous[key].as_array());
        list.cloned().unwrap_or_default()
    };
    let mut interfaces = list("interfaces");
    let first = interfaces.len();
    let inside = report.inside.iter().map(|link| (link, Some(netns)));
    let outside = report.outside.iter().map(|link| (link, None));
    interfaces.extend(
        inside
            .chain(outside)
            .map(|(link, sandbox)| interface(link, sandbox, version)),
    );
    let mut ips = list("ips");
    ips.extend(report.addresses.iter().map(|(link, address)| {
        let mut ip = json!({"address": address.address.to_string(), "interface": first + link});
        if let Some(gateway) = address.gateway {
            ip["gateway"] = gateway.to_string().into();
        }
        if version < "1.0.0" {
            let v4 = address.address.addr().is_ipv4();
            ip["version"] = if v4 { "4" } else { "6" }.into();
        }
        ip
    }));
    let mut routes = list("routes");
    for route in &report.routes {
        let mut json = json!({"dst": route.destination.to_string()});
        if let Some(gateway) = route.gateway {
            json["gw"] = gateway.to_string().into();
        }
        if !routes.contains(&json) {
            routes.push(json);
        }
    }
    let before = previous.map(|previous| previous["dns"].clone());
    let own = [&facts.dns, &report.dns]
        .into_iter()
        .find(|dns| **dns != ContainerDns::default());
    let dns = match (own, before) {
        (None, Some(before @ Value::Object(_))) => before,
        (own, _) => own.map_or_else(|| json!({}), dns),
    };
    json!({"cniVersion": version, "interfaces": interfaces, "ips": ips, "routes": routes, "dns": dns})
}

fn interface(link: &ReportedLink, sandbox: Option<&str>, version: &str) -> Value {
    let mut json = json!({"name": link.name, "mac": link.mac});
    if let Some(sandbox) = sandbox {
        json["sandbox"] = sandbox.into();
    }
    if version >= "1.1.0" {
        json["mtu"] = link.mtu.into();
    }
    json
}

fn dns(dns: &ContainerDns) -> Value {
    let mut json = Map::new();
    for (key, words) in [
        ("nameservers", &dns.servers),
        ("search", &dns.search),
        ("options", &dns.options),
    ] {
        if !words.is_empty() {
            json.insert(key.to_owned(), words.clone().into());
        }
    }
    if let Some(domain) = &dns.domain {
        json.insert("domain".to_owned(), domain.clone().into());
    }
    json.into()
}

/// Compares a result with the current state.
///
/// # Errors
/// An interface, address or route in the container, which the error names, is missing or differs.
pub fn compare(previous: &Value, report: &InterfaceReport) -> Result<()> {
    let entries = |key: &str| previous[key].as_array().into_iter().flatten();
    // Those outside and the loopback interface belong to other plugins.
    let is_inside = |interface: &Value| {
        !matches!(interface["sandbox"].as_str(), None | Some("")) && interface["name"] != "lo"
    };
    for interface in entries("interfaces").filter(|one| is_inside(one)) {
        let name = interface["name"].as_str().unwrap_or_default();
        let mac = interface["mac"].as_str().unwrap_or_default();
        let found = report.inside.iter().find(|link| link.name == name);
        let link = found.with_context(|| format!("interface {name} is missing"))?;
        ensure!(
            mac.is_empty() || mac.eq_ignore_ascii_case(&link.mac),
            "interface {name} has the MAC address {}, not {mac}",
            link.mac
        );
    }
    for ip in entries("ips") {
        let at = ip["interface"].as_u64().and_then(|at| at.try_into().ok());
        let of = at.and_then(|at: usize| previous["interfaces"].get(at));
        if of.is_some_and(|of| !is_inside(of)) {
            continue;
        }
        let text = ip["address"].as_str().unwrap_or_default();
        let address: Option<IpNet> = text.parse().ok();
        let mut all = report.addresses.iter();
        let exists = all.any(|(_, known)| Some(known.address) == address);
        ensure!(exists, "address {text} is missing");
    }
    for route in entries("routes") {
        // Only the main table is compared.
        if route["table"]
            .as_u64()
            .is_some_and(|table| table != u64::from(TABLE_MAIN))
        {
            continue;
        }
        let text = route["dst"].as_str().unwrap_or_default();
        let destination = text.parse().ok().map(|net: IpNet| net.trunc());
        let mut all = report.routes.iter();
        let exists = all.any(|known| Some(known.destination.trunc()) == destination);
        ensure!(exists, "the route to {text} is missing");
    }
    Ok(())
}
