//! The result of ADD, in the form of each version of the specification.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::NetworkConfiguration;
use crate::container::facts::{ContainerDns, Facts};
use crate::container::report::{InterfaceReport, ReportedLink};

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
    for (key, words) in [("nameservers", &dns.servers), ("search", &dns.search)] {
        if !words.is_empty() {
            json.insert(key.to_owned(), words.clone().into());
        }
    }
    json.into()
}

/// Compares a result with the current state.
///
/// # Errors
/// An interface, address or route in the container, which the error names, is missing or differs.
pub fn compare(previous: &Value, report: &InterfaceReport) -> Result<()> {
    let entries = |key: &str| previous[key].as_array().into_iter().flatten();
    let interfaces: Vec<&Value> = entries("interfaces").collect();
    for interface in &interfaces {
        let (name, mac) = (interface["name"].as_str(), interface["mac"].as_str());
        let links = match interface["sandbox"].as_str().unwrap_or_default() {
            // Interfaces outside may belong to other plugins.
            "" => continue,
            _ => &report.inside,
        };
        let found = links.iter().find(|link| Some(link.name.as_str()) == name);
        match found {
            None => bail!("interface {} is missing", name.unwrap_or_default()),
            Some(link) if mac.is_some_and(|mac| !mac.eq_ignore_ascii_case(&link.mac)) => bail!(
                "interface {} has the MAC address {}, not {}",
                link.name,
                link.mac,
                mac.unwrap_or_default()
            ),
            Some(_) => {}
        }
    }
    for ip in entries("ips") {
        let address = ip["address"].as_str().unwrap_or_default();
        let mut all = report.addresses.iter();
        if !all.any(|(_, known)| known.address.to_string() == address) {
            bail!("address {address} is missing");
        }
    }
    for route in entries("routes") {
        let destination = route["dst"].as_str().unwrap_or_default();
        let mut all = report.routes.iter();
        if !all.any(|known| known.destination.to_string() == destination) {
            bail!("the route to {destination} is missing");
        }
    }
    Ok(())
}
