//! Requirements on the host: programs, parent interfaces, and a firewall that forwards packets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use serde_json::Value;

use super::{Configuration, Finding, Severity};
use crate::namespace::netlink::Connection;
use crate::sys::command;
use crate::sys::exit::{self, Exit};
use crate::sys::process;

/// The links of this process' network namespace, with their addresses.
#[derive(Debug, Default)]
pub struct HostLinks {
    /// `None` if they could not be read. Without link-local IPv6 addresses.
    pub links: Option<BTreeMap<String, Vec<IpNet>>>,
}

impl HostLinks {
    pub fn read(not_checked: &mut Vec<String>) -> Self {
        let links =
            links().map_err(|error| not_checked.push(format!("links of the host: {error:#}")));
        Self { links: links.ok() }
    }

    /// Programs that are not installed, and parent interfaces that do not exist.
    pub fn check(&self, configuration: &Configuration) -> Vec<Finding> {
        let mut findings = Vec::new();
        for program in &configuration.declared.programs {
            if which::which_in(program, Some(command::DEFAULT_PATH), "/").is_err() {
                let nstype = &configuration.instance.nstype;
                let message = format!("program {program} is not installed");
                findings.push(Finding::error("program", message).of(nstype));
            }
        }
        let Some(links) = &self.links else {
            return findings;
        };
        for (variable, values) in &configuration.inspection.named {
            // While the instance is up, its physical interface is in the namespace.
            if configuration.is_up || !configuration.declared.is_parent(variable) {
                continue;
            }
            let missing = |name: &&String| !name.is_empty() && !links.contains_key(*name);
            for name in values.iter().filter(missing) {
                let message = format!("{variable}={name}: no such interface on the host");
                let severity = Severity::Error;
                findings
                    .push(configuration.variable_finding(severity, "parent", variable, message));
            }
        }
        findings
    }
}

fn links() -> Result<BTreeMap<String, Vec<IpNet>>> {
    let mut connection = Connection::open()?;
    let links = connection.links()?.items;
    let addresses = connection.addresses()?.items;
    let mut found = BTreeMap::new();
    for link in links {
        let own = addresses
            .iter()
            .filter(|address| address.link == link.index);
        let nets = own.filter_map(|address| IpNet::new(address.address, address.prefix).ok());
        let local = |net: &IpNet| match net.addr() {
            IpAddr::V6(address) => address.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        };
        let nets: Vec<IpNet> = nets.filter(|net| !local(net)).collect();
        found.insert(link.name, nets);
    }
    Ok(found)
}

/// A chain of the forward hook with the policy drop.
#[derive(Debug, PartialEq, Eq)]
struct Chain {
    name: String,
    /// The rules of its table as JSON text, with names in double quotes.
    rules: String,
}

/// Firewalls that drop the packets that the host should forward for the instances.
pub fn firewall(configurations: &[Configuration], not_checked: &mut Vec<String>) -> Vec<Finding> {
    let forwarding = || configurations.iter().filter(|c| c.declared.forwards);
    if forwarding().next().is_none() {
        return Vec::new();
    }
    let mut chains = Vec::new();
    for listing in [nft_chains(), legacy_chains()] {
        match listing {
            Ok(found) => chains.extend(found),
            Err(error) if exit::code(&error) == Exit::NotInstalled => {}
            Err(_) if !process::is_root() => {
                not_checked.push("firewall: only root can list its rules".to_owned());
            }
            Err(error) => not_checked.push(format!("firewall: {error:#}")),
        }
    }
    let mut findings = Vec::new();
    for configuration in forwarding() {
        let names = configuration.inspection.named.iter();
        let outside = names.filter(|(name, _)| name.ends_with("_IFNAME_OUTSIDE"));
        let interfaces: Vec<&String> = outside.flat_map(|(_, values)| values).collect();
        for chain in &chains {
            let named = |name: &&String| chain.rules.contains(&format!("\"{name}\""));
            if interfaces.iter().any(named) {
                continue;
            }
            let interface = interfaces.first().map_or("its interface", |name| name);
            let message = format!(
                "{} drops forwarded packets and has no rule that accepts those of {interface}",
                chain.name
            );
            findings.push(configuration.finding(Severity::Warning, "firewall", message));
        }
    }
    findings
}

fn nft_chains() -> Result<Vec<Chain>> {
    let ruleset = command::output(&command::find("nft")?, &["-j", "list", "ruleset"])?;
    Ok(dropping(&serde_json::from_str(&ruleset)?))
}

/// The chains of a ruleset (libnftables-json(5)) that drop, except those of our own tables.
fn dropping(ruleset: &Value) -> Vec<Chain> {
    let objects = || ruleset["nftables"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let chains = objects().filter_map(|object| object.get("chain"));
    let dropping = chains.filter(|chain| {
        chain["hook"] == "forward"
            && chain["policy"] == "drop"
            && ["ip", "ip6", "inet"]
                .iter()
                .any(|family| chain["family"] == *family)
            && !text(&chain["table"]).starts_with("netns")
    });
    dropping
        .map(|chain| {
            let rules = objects().filter_map(|object| object.get("rule"));
            let rules = rules.filter(|rule| {
                rule["family"] == chain["family"] && rule["table"] == chain["table"]
            });
            let (family, table) = (text(&chain["family"]), text(&chain["table"]));
            Chain {
                name: format!("chain {} of table {family} {table}", text(&chain["name"])),
                rules: rules.map(Value::to_string).collect(),
            }
        })
        .collect()
}

/// Chains of legacy iptables, which nft does not list (xtables-legacy(8)). The programs are run only
/// if there are rules: they would load the kernel modules.
fn legacy_chains() -> Result<Vec<Chain>> {
    let mut chains = Vec::new();
    for (tables, program) in [
        ("/proc/net/ip_tables_names", "iptables-legacy-save"),
        ("/proc/net/ip6_tables_names", "ip6tables-legacy-save"),
    ] {
        let tables = std::fs::read_to_string(tables).unwrap_or_default();
        if !tables.lines().any(|table| table == "filter") {
            continue;
        }
        let rules = command::output(&command::find(program)?, &["-t", "filter"])?;
        if rules.lines().any(|line| line.starts_with(":FORWARD DROP")) {
            // In double quotes, as in the JSON of nft.
            let words = rules.split_whitespace().map(|word| format!("\"{word}\" "));
            let name = format!("chain FORWARD of {}", program.trim_end_matches("-save"));
            chains.push(Chain {
                name,
                rules: words.collect(),
            });
        }
    }
    Ok(chains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_chains_of_others_that_drop_count() {
        let chain = |table: &str, hook: &str, policy: &str| json!({"chain": {"family": "ip", "table": table, "name": "c", "hook": hook, "policy": policy}});
        let rule = json!({"rule": {"family": "ip", "table": "a", "expr": [{"right": "na-web0"}]}});
        let ruleset = json!({"nftables": [
            chain("a", "forward", "drop"), chain("b", "forward", "accept"),
            chain("c", "input", "drop"), chain("netns-nat-web", "forward", "drop"), rule,
        ]});
        let chains = dropping(&ruleset);
        assert_eq!(chains.len(), 1);
        assert_eq!(chains[0].name, "chain c of table ip a");
        assert!(chains[0].rules.contains("\"na-web0\""));
    }
}
