//! Subnets that overlap, and addresses that two have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::host::Host;
use super::{Candidate, Finding, Severity};

/// The words of `ip address add` that a value follows (ip-address(8)).
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

/// An address that a configuration gives to a link.
struct Use<'a> {
    of: &'a Candidate,
    variable: &'a str,
    net: IpNet,
    /// It is on the host's side of a cable, so that its subnet is the cable's alone.
    outside: bool,
    /// It belongs to a cable, on either side.
    cable: bool,
    /// The namespace of the host's side, where it is not the host's.
    place: Option<&'a str>,
}

/// What is at odds between instances, and between them and the host. `wanted` are the ones
/// that it is to be said of.
pub fn check(
    candidates: &[Candidate],
    host: &Host,
    wanted: impl Fn(&Candidate) -> bool,
) -> Vec<Finding> {
    let uses: Vec<Use> = candidates.iter().flat_map(uses).collect();
    let mut findings = Vec::new();
    for (number, one) in uses.iter().enumerate() {
        for other in &uses[number + 1..] {
            if one.of.instance == other.of.instance {
                continue;
            }
            // Once for both, said of the one that was asked for.
            findings.extend(match wanted(one.of) {
                true => one.at_odds(other),
                false => other.at_odds(one),
            });
        }
    }
    // Their links may be there already.
    let names = candidates.iter().flat_map(|candidate| {
        let named = candidate.inspection.named.iter();
        named.filter(|(name, _)| name.contains("_IFNAME_OUTSIDE"))
    });
    let ours: BTreeSet<&String> = names.flat_map(|(_, values)| values).collect();
    for one in uses.iter().filter(|one| one.place.is_none()) {
        for (link, nets) in host.links.iter().flatten() {
            if !ours.contains(link) {
                let nets = nets.iter();
                findings.extend(nets.filter_map(|net| one.at_odds_with_host(link, net)));
            }
        }
    }
    findings
}

impl Use<'_> {
    fn at_odds(&self, other: &Self) -> Option<Finding> {
        let whose = format!("{} ({})", other.of, other.variable);
        let cables = self.outside && other.outside && self.place == other.place;
        if cables && overlap(&self.net, &other.net) {
            return Some(self.finding("subnet", format!("overlaps {} of {whose}", other.net)));
        }
        let shared = !self.cable && !other.cable;
        (shared && self.net.addr() == other.net.addr())
            .then(|| self.finding("address", format!("is also an address of {whose}")))
    }

    fn at_odds_with_host(&self, link: &str, net: &IpNet) -> Option<Finding> {
        if self.outside && overlap(&self.net, net) {
            return Some(self.finding("subnet", format!("overlaps {net} of {link} on the host")));
        }
        (!self.cable && self.net.addr() == net.addr())
            .then(|| self.finding("address", format!("is also the host's address on {link}")))
    }

    fn finding(&self, kind: &'static str, fault: String) -> Finding {
        let message = format!("{}: {} {fault}", self.variable, self.net);
        let severity = Severity::Warning;
        self.of
            .about_variable(severity, kind, self.variable, message)
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

fn uses(candidate: &Candidate) -> Vec<Use<'_>> {
    let variables = &candidate.inspection.named;
    let ends = |variable: &str| is_address(variable) && variable.ends_with("_OUTSIDE");
    let cable = variables.keys().any(|variable| ends(variable));
    let place = variables
        .iter()
        .find(|(name, _)| name.ends_with("_NSNAME_OUTSIDE"))
        .and_then(|(_, values)| values.first())
        .filter(|name| !name.is_empty());
    let known = candidate.about.variables.as_ref();
    let mut uses = Vec::new();
    for (variable, values) in variables {
        if !is_address(variable) || known.is_some_and(|known| !known.contains(variable)) {
            continue;
        }
        let nets = values.iter().flat_map(|value| addresses(value));
        uses.extend(nets.map(|net| Use {
            of: candidate,
            variable,
            net,
            outside: ends(variable),
            cable,
            place: place.map(String::as_str),
        }));
    }
    uses
}

/// `*_IFADDR`, `*_IFADDR_OUTSIDE` and so on, and the names of the first sample configuration.
fn is_address(variable: &str) -> bool {
    variable.contains("_IFADDR")
        || variable.starts_with("IPADDR")
        || variable.ends_with("_ADDRESSES")
}

/// The addresses among the words of `ip address add`.
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
    fn addresses_are_told_from_other_words() {
        let found = addresses("192.0.2.1/30 broadcast 192.0.2.3 nodad 2001:db8::1 label x");
        let found: Vec<String> = found.iter().map(IpNet::to_string).collect();
        assert_eq!(found, ["192.0.2.1/30", "2001:db8::1/128"]);
        let found = addresses("local 10.9/16 peer 10.8.0.1 10.7.0.1/255.255.255.0 metric 10 x");
        let found: Vec<String> = found.iter().map(IpNet::to_string).collect();
        assert_eq!(found, ["10.9.0.0/16", "10.7.0.1/24"]);
    }

    #[test]
    fn subnets_overlap_also_where_one_is_in_the_other() {
        let overlap = |a: &str, b: &str| overlap(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(overlap("192.0.2.1/30", "192.0.2.2/30"));
        assert!(overlap("10.0.0.1/8", "10.1.2.3/24") && overlap("10.1.2.3/24", "10.0.0.1/8"));
        assert!(!overlap("192.0.2.1/30", "192.0.2.5/30"));
        assert!(!overlap("192.0.2.1/0", "2001:db8::1/0"));
    }
}
