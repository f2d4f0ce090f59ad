//! Overlapping subnets and duplicate addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::host::HostLinks;
use super::{Configuration, Finding, Severity};

/// The keywords of `ip address add` that take a value (ip-address(8)).
const WITH_VALUE: [&str; 13] = [
    "peer",
    "remote",
    "broadcast",
    "brd",
    "anycast",
    "label",
    "scope",
    "metric",
    "priority",
    "preference",
    "valid_lft",
    "preferred_lft",
    "proto",
];

/// An address that a configuration assigns to a link.
struct Assigned<'a> {
    of: &'a Configuration,
    variable: &'a str,
    net: IpNet,
    /// At the outer end of a veth pair, whose subnet must not overlap any other.
    outside: bool,
    /// At either end of a veth pair.
    veth: bool,
    /// The namespace of the outer end, if that is not the host's.
    outer: Option<&'a str>,
}

/// Conflicts between instances, and between instances and the host. A conflict of two instances is
/// reported once, for one that is `wanted` if any is.
pub fn check(
    configurations: &[Configuration],
    host: &HostLinks,
    wanted: impl Fn(&Configuration) -> bool,
) -> Vec<Finding> {
    let all: Vec<Assigned> = configurations.iter().flat_map(assigned).collect();
    let mut findings = Vec::new();
    for (number, one) in all.iter().enumerate() {
        for other in &all[number + 1..] {
            if one.of.instance == other.of.instance {
                continue;
            }
            findings.extend(match wanted(one.of) {
                true => one.conflict(other),
                false => other.conflict(one),
            });
        }
    }
    // The links of instances that are up do not conflict with their own configuration.
    let names = configurations.iter().flat_map(|configuration| {
        let named = configuration.inspection.named.iter();
        named.filter(|(name, _)| name.contains("_IFNAME_OUTSIDE"))
    });
    let ours: BTreeSet<&String> = names.flat_map(|(_, values)| values).collect();
    for one in all.iter().filter(|one| one.outer.is_none()) {
        for (link, nets) in host.links.iter().flatten() {
            if !ours.contains(link) {
                let nets = nets.iter();
                findings.extend(nets.filter_map(|net| one.conflict_with_host(link, net)));
            }
        }
    }
    findings
}

impl Assigned<'_> {
    fn conflict(&self, other: &Self) -> Option<Finding> {
        let whose = format!("{} ({})", other.of, other.variable);
        let ends = self.outside && other.outside && self.outer == other.outer;
        if ends && overlap(&self.net, &other.net) {
            return Some(self.finding("subnet", format!("overlaps {} of {whose}", other.net)));
        }
        let shared = !self.veth && !other.veth;
        (shared && self.net.addr() == other.net.addr())
            .then(|| self.finding("address", format!("is also an address of {whose}")))
    }

    fn conflict_with_host(&self, link: &str, net: &IpNet) -> Option<Finding> {
        if self.outside && overlap(&self.net, net) {
            return Some(self.finding("subnet", format!("overlaps {net} of {link} on the host")));
        }
        (!self.veth && self.net.addr() == net.addr()).then(|| {
            self.finding(
                "address",
                format!("is also an address of {link} on the host"),
            )
        })
    }

    fn finding(&self, kind: &'static str, fault: String) -> Finding {
        let message = format!("{}: {} {fault}", self.variable, self.net);
        let severity = Severity::Warning;
        self.of
            .variable_finding(severity, kind, self.variable, message)
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

fn assigned(configuration: &Configuration) -> Vec<Assigned<'_>> {
    let variables = &configuration.inspection.named;
    let ends = |variable: &str| is_address(variable) && variable.ends_with("_OUTSIDE");
    let veth = variables.keys().any(|variable| ends(variable));
    let outer = variables
        .iter()
        .find(|(name, _)| name.ends_with("_NSNAME_OUTSIDE"))
        .and_then(|(_, values)| values.first())
        .filter(|name| !name.is_empty());
    let known = configuration.declared.variables.as_ref();
    let mut found = Vec::new();
    for (variable, values) in variables {
        if !is_address(variable) || known.is_some_and(|known| !known.contains(variable)) {
            continue;
        }
        let nets = values.iter().flat_map(|value| addresses(value));
        found.extend(nets.map(|net| Assigned {
            of: configuration,
            variable,
            net,
            outside: ends(variable),
            veth,
            outer: outer.map(String::as_str),
        }));
    }
    found
}

/// Whether a variable holds addresses: `*_IFADDR`, `*_IFADDR_OUTSIDE` and so on, and the names in
/// the sample configuration of the shell package.
fn is_address(variable: &str) -> bool {
    variable.contains("_IFADDR")
        || variable.starts_with("IPADDR")
        || variable.ends_with("_ADDRESSES")
}

/// The addresses among the arguments of `ip address add`.
fn addresses(value: &str) -> Vec<IpNet> {
    let mut words = value.split_whitespace();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else {
            found.extend(address(word));
        }
    }
    found
}

/// An address as ip(8) reads it: IPv4 also as `10.9/16`, and with a netmask for a prefix length.
fn address(word: &str) -> Option<IpNet> {
    let (address, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (word, None),
    };
    let missing = match address.contains(':') {
        true => 0,
        false => 4_usize.checked_sub(address.split('.').count())?,
    };
    let address: IpAddr = format!("{address}{}", ".0".repeat(missing)).parse().ok()?;
    match length {
        None => Some(address.into()),
        Some(length) => match length.parse() {
            Ok(length) => IpNet::new(address, length).ok(),
            Err(_) => IpNet::with_netmask(address, length.parse().ok()?).ok(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_among_other_words() {
        let found = addresses("192.0.2.1/30 broadcast 192.0.2.3 nodad 2001:db8::1 label x");
        let found: Vec<String> = found.iter().map(IpNet::to_string).collect();
        assert_eq!(found, ["192.0.2.1/30", "2001:db8::1/128"]);
        let found = addresses("local 10.9/16 peer 10.8.0.1 10.7.0.1/255.255.255.0 metric 10 x");
        let found: Vec<String> = found.iter().map(IpNet::to_string).collect();
        assert_eq!(found, ["10.9.0.0/16", "10.7.0.1/24"]);
    }

    #[test]
    fn a_subnet_overlaps_one_that_contains_it() {
        let overlap = |a: &str, b: &str| overlap(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(overlap("192.0.2.1/30", "192.0.2.2/30"));
        assert!(overlap("10.0.0.1/8", "10.1.2.3/24") && overlap("10.1.2.3/24", "10.0.0.1/8"));
        assert!(!overlap("192.0.2.1/30", "192.0.2.5/30"));
        assert!(!overlap("192.0.2.1/0", "2001:db8::1/0"));
    }
}
