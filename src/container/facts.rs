//! Facts about the interface of a container, and the variables in which functions receive them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;

use super::variables::{BashValue, ContainerVariables, PREFIX};
use crate::check::Declarations;
use crate::instance::name::NsType;

/// The facts that come from the runtime, the configuration of the network and its IPAM plugin.
#[derive(Debug, Default)]
pub struct Facts {
    /// The name of the network.
    pub network: String,
    /// The ID of the container.
    pub id: String,
    /// The name of the container; empty if the runtime does not pass it.
    pub name: String,
    /// The required name of the interface inside; `None` if a previous plugin has created it.
    pub ifname: Option<String>,
    pub addresses: Vec<ContainerAddress>,
    pub routes: Vec<ContainerRoute>,
    pub dns: ContainerDns,
    pub mac: Option<String>,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerAddress {
    pub address: IpNet,
    pub gateway: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerRoute {
    pub destination: IpNet,
    pub gateway: Option<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerDns {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    /// For the runtime only, as `options`: in resolv.conf(5), search domains take precedence.
    pub domain: Option<String>,
    pub options: Vec<String>,
}

/// A port of the host that is forwarded to the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The address of the host; `None` for all.
    pub address: Option<IpAddr>,
    pub host: u16,
    pub container: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

impl fmt::Display for Port {
    /// In the notation of NAT_PUBLISH.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

/// A port as runtimes describe it: an empty or unspecified address stands for all addresses.
pub fn port(address: &str, host: u16, container: u16, protocol: &str) -> Result<Port> {
    let unspecified = matches!(address, "" | "0.0.0.0" | "::");
    let address = match unspecified {
        true => None,
        false => Some(address.parse()?),
    };
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp") => known.to_owned(),
        other => bail!("port {host}: unsupported protocol '{other}'"),
    };
    ensure!(host != 0 && container != 0, "port 0 cannot be published");
    Ok(Port {
        address,
        host,
        container,
        protocol,
    })
}

impl FromStr for Port {
    type Err = anyhow::Error;

    /// Parses `[ADDRESS:]PORT[:PORT_INSIDE][/PROTOCOL]`, the notation of NAT_PUBLISH. An IPv6 address has
    /// brackets.
    fn from_str(word: &str) -> Result<Self> {
        let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let (address, ports) = match ports.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").context("'[' without ']:'")?,
            None => match ports.split_once(':') {
                Some((address, rest)) if address.contains('.') => (address, rest),
                _ => ("", ports),
            },
        };
        let (host, container) = ports.split_once(':').unwrap_or((ports, ports));
        port(address, host.parse()?, container.parse()?, protocol)
    }
}

impl Facts {
    /// The variables for the functions of a type: each fact as `CONTAINER_FACT`, the variables in which the
    /// type declares to receive facts, and `given`, which takes precedence over the latter.
    ///
    /// # Errors
    /// The type declares which facts it receives, and one of `self` is not among them.
    pub fn variables(
        &self,
        nstype: &NsType,
        declared: &Declarations,
        given: &ContainerVariables,
    ) -> Result<ContainerVariables> {
        let facts = self.by_name();
        if !declared.container.is_empty() {
            self.require_taken(nstype, declared, given)?;
        }
        let mut variables = ContainerVariables::new();
        for (fact, variable) in &declared.container {
            let found = facts.iter().find(|(name, _)| name == fact);
            if let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) {
                variables.insert(variable.clone(), value.clone());
            }
        }
        variables.extend(given.clone());
        let facts = facts.into_iter();
        variables.extend(facts.map(|(name, value)| (format!("{PREFIX}{name}"), value)));
        Ok(variables)
    }

    fn require_taken(
        &self,
        nstype: &NsType,
        declared: &Declarations,
        given: &ContainerVariables,
    ) -> Result<()> {
        let takes = |facts: &[&str]| {
            let mut taken = declared.container.iter();
            taken.any(|(fact, variable)| {
                facts.contains(&fact.as_str()) && !given.contains_key(variable)
            })
        };
        let needed: [(bool, &[&str], &str); 4] = [
            (
                !self.addresses.is_empty(),
                &["IFADDR", "IFADDR_HOST"],
                "addresses",
            ),
            (self.mac.is_some(), &["MAC"], "MAC address"),
            (!self.ports.is_empty(), &["PUBLISH"], "published ports"),
            (
                self.routes.iter().any(|route| !is_default(route)),
                &["ROUTES"],
                "routes",
            ),
        ];
        for (is_given, facts, what) in needed {
            ensure!(
                !is_given || takes(facts),
                "NSTYPE {nstype} does not support {what} from a container runtime"
            );
        }
        Ok(())
    }

    /// The facts by name. The value of an unknown fact is empty.
    fn by_name(&self) -> Vec<(&'static str, BashValue)> {
        let text = |text: &str| BashValue::Text(text.to_owned());
        let list = |words: Vec<String>| BashValue::List(words);
        let addresses = &self.addresses;
        // The addresses are reserved for this container: no duplicate address detection is needed.
        let nodad = |address: &ContainerAddress| match address.address {
            IpNet::V4(_) => "",
            IpNet::V6(_) => " nodad",
        };
        let alone = |address: &ContainerAddress| {
            let alone = IpNet::from(address.address.addr());
            format!("{alone}{}", nodad(address))
        };
        let gateway = |address: &ContainerAddress| {
            let gateway = IpNet::from(address.gateway?);
            Some(format!("{gateway}{}", nodad(address)))
        };
        // Two addresses may have the same gateway.
        let mut outside: Vec<String> = addresses.iter().filter_map(gateway).collect();
        outside.sort();
        outside.dedup();
        let gateways = addresses.iter().filter_map(|address| self.gateway(address));
        let others = self.routes.iter().filter(|route| !is_default(route));
        let route = |route: &ContainerRoute| match route.gateway.or_else(|| self.gateway_of(route))
        {
            Some(gateway) => format!("{} via {gateway}", route.destination),
            None => route.destination.to_string(),
        };
        vec![
            ("ID", text(&self.id)),
            ("NAME", text(&self.name)),
            ("NETWORK", text(&self.network)),
            ("IFNAME", text(self.ifname.as_deref().unwrap_or_default())),
            (
                "IFADDR",
                list(addresses.iter().map(|a| a.address.to_string()).collect()),
            ),
            ("IFADDR_HOST", list(addresses.iter().map(alone).collect())),
            ("IFADDR_OUTSIDE", list(outside)),
            ("GATEWAY", list(gateways.map(|g| g.to_string()).collect())),
            ("ROUTES", list(others.map(route).collect())),
            ("DNS", list(self.dns.servers.clone())),
            ("DNS_SEARCH", list(self.dns.search.clone())),
            ("MAC", text(self.mac.as_deref().unwrap_or_default())),
            (
                "PUBLISH",
                list(self.ports.iter().map(Port::to_string).collect()),
            ),
        ]
    }

    /// The default gateway for the family of an address. If there are routes, it is that of the default
    /// route among them.
    fn gateway(&self, address: &ContainerAddress) -> Option<IpAddr> {
        let v4 = address.address.addr().is_ipv4();
        let same = |route: &&ContainerRoute| route.destination.addr().is_ipv4() == v4;
        if self.routes.is_empty() {
            return address.gateway;
        }
        let default = self.routes.iter().filter(same).find(|r| is_default(r))?;
        default.gateway.or(address.gateway)
    }

    fn gateway_of(&self, route: &ContainerRoute) -> Option<IpAddr> {
        let v4 = route.destination.addr().is_ipv4();
        let mut same = self.addresses.iter();
        same.find(|address| address.address.addr().is_ipv4() == v4)?
            .gateway
    }
}

fn is_default(route: &ContainerRoute) -> bool {
    route.destination.prefix_len() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth() -> Declarations {
        Declarations::of(
            "# netns-container: IFNAME=IN IFADDR_HOST=ADDR IFADDR_OUTSIDE=OUT GATEWAY=GW\n",
        )
    }

    #[test]
    fn facts_reach_the_variables_of_a_type() {
        let facts = Facts {
            ifname: Some("eth0".into()),
            addresses: vec![ContainerAddress {
                address: "10.0.0.5/24".parse().unwrap(),
                gateway: Some("10.0.0.1".parse().unwrap()),
            }],
            ..Facts::default()
        };
        let given = ContainerVariables::from([("GW".into(), BashValue::Text("10.0.0.9".into()))]);
        let variables = facts
            .variables(&"veth".parse().unwrap(), &veth(), &given)
            .unwrap();
        let list = |word: &str| BashValue::List(vec![word.into()]);
        assert_eq!(variables["IN"], BashValue::Text("eth0".into()));
        assert_eq!(variables["ADDR"], list("10.0.0.5/32"));
        assert_eq!(variables["OUT"], list("10.0.0.1/32"));
        assert_eq!(variables["GW"], BashValue::Text("10.0.0.9".into()));
        assert_eq!(variables["CONTAINER_GATEWAY"], list("10.0.0.1"));
    }

    #[test]
    fn facts_that_a_type_does_not_receive_are_refused() {
        let facts = Facts {
            mac: Some("02:00:00:00:00:01".into()),
            ..Facts::default()
        };
        let variables = |declared: &Declarations| {
            facts.variables(
                &"veth".parse().unwrap(),
                declared,
                &ContainerVariables::new(),
            )
        };
        let error = variables(&veth()).unwrap_err().to_string();
        assert!(error.contains("does not support MAC address"), "{error}");
        // A type without declarations may read the facts itself.
        assert!(variables(&Declarations::default()).is_ok());
    }

    #[test]
    fn ports_are_read_as_they_are_written() {
        for word in [
            "80:80/tcp",
            "192.0.2.1:8080:80/udp",
            "[2001:db8::1]:8080:80/tcp",
        ] {
            assert_eq!(word.parse::<Port>().unwrap().to_string(), word);
        }
        assert_eq!("8080".parse::<Port>().unwrap().to_string(), "8080:8080/tcp");
        for bad in [
            "", "0", "x:80", "80:", "[::1:80", "70000", "80/sctp", "80:80:80",
        ] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }
}
