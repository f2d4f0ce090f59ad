//! What a network says of the interface of a container, and the variables that functions get it by.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde_json::Value as Json;

use crate::check::Declarations;
use crate::instance::name::NsType;

/// What the runtime, the network and its address management have decided.
#[derive(Debug, Default)]
pub struct Facts {
    pub network: String,
    /// The ID of the container.
    pub id: String,
    /// Its name, where the runtime says.
    pub name: String,
    /// What the interface inside has to be called; `None` where another plugin has made it.
    pub ifname: Option<String>,
    pub addresses: Vec<Address>,
    pub routes: Vec<Route>,
    pub dns: Dns,
    pub mac: Option<String>,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub address: IpNet,
    pub gateway: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: IpNet,
    pub gateway: Option<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub search: Vec<String>,
}

/// A port of the host that leads to the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Of the host; `None` for all.
    pub address: Option<IpAddr>,
    pub host: u16,
    pub container: u16,
    pub protocol: String,
}

impl fmt::Display for Port {
    /// As NAT_PUBLISH takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

/// A port as runtimes describe it, where all addresses may be an empty one or `0.0.0.0`.
pub fn port(address: &str, host: u16, container: u16, protocol: &str) -> Result<Port> {
    let unspecified = matches!(address, "" | "0.0.0.0" | "::");
    let address = match unspecified {
        true => None,
        false => Some(address.parse()?),
    };
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp") => known.to_owned(),
        other => bail!("port {host}: the protocol '{other}' cannot be published"),
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

    /// `[ADDRESS:]PORT[:PORT_INSIDE][/PROTOCOL]`, as NAT_PUBLISH; an IPv6 address has brackets.
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

/// The value of a bash variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
}

pub type Variables = BTreeMap<String, Value>;

/// The beginning of the variables that hold facts.
const PREFIX: &str = "CONTAINER_";

impl Facts {
    /// All variables for the functions of a type: each fact as `CONTAINER_FACT`; those that the type
    /// declares to take a fact, unless `given` has them; and `given`.
    ///
    /// # Errors
    /// The type has declared what it can take, and this is not among it.
    pub fn variables(
        &self,
        nstype: &NsType,
        declared: &Declarations,
        given: &Variables,
    ) -> Result<Variables> {
        let facts = self.by_name();
        if !declared.container.is_empty() {
            self.require_taken(nstype, declared, given)?;
        }
        let mut variables = Variables::new();
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
        given: &Variables,
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
                "NSTYPE {nstype} takes no {what} from a container runtime"
            );
        }
        Ok(())
    }

    /// The facts, with those that are not known as empty values.
    fn by_name(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &str| Value::Text(text.to_owned());
        let list = |words: Vec<String>| Value::List(words);
        let addresses = &self.addresses;
        // Nobody else can have them: they can be used at once.
        let nodad = |address: &Address| match address.address {
            IpNet::V4(_) => "",
            IpNet::V6(_) => " nodad",
        };
        let alone = |address: &Address| {
            let alone = IpNet::from(address.address.addr());
            format!("{alone}{}", nodad(address))
        };
        let gateway = |address: &Address| {
            let gateway = IpNet::from(address.gateway?);
            Some(format!("{gateway}{}", nodad(address)))
        };
        // Two addresses may have the same.
        let mut outside: Vec<String> = addresses.iter().filter_map(gateway).collect();
        outside.sort();
        outside.dedup();
        let gateways = addresses.iter().filter_map(|address| self.gateway(address));
        let others = self.routes.iter().filter(|route| !is_default(route));
        let route = |route: &Route| match route.gateway.or_else(|| self.gateway_of(route)) {
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

    /// The default gateway of the family of an address: where there are routes, a default route has to
    /// be among them.
    fn gateway(&self, address: &Address) -> Option<IpAddr> {
        let v4 = address.address.addr().is_ipv4();
        let same = |route: &&Route| route.destination.addr().is_ipv4() == v4;
        if self.routes.is_empty() {
            return address.gateway;
        }
        let default = self.routes.iter().filter(same).find(|r| is_default(r))?;
        default.gateway.or(address.gateway)
    }

    fn gateway_of(&self, route: &Route) -> Option<IpAddr> {
        let v4 = route.destination.addr().is_ipv4();
        let mut same = self.addresses.iter();
        same.find(|address| address.address.addr().is_ipv4() == v4)?
            .gateway
    }
}

fn is_default(route: &Route) -> bool {
    route.destination.prefix_len() == 0
}

impl Value {
    fn is_empty(&self) -> bool {
        match self {
            Value::Text(text) => text.is_empty(),
            Value::List(words) => words.is_empty(),
        }
    }

    /// A string, a number, a truth value, or an array of these.
    fn of_json(json: &Json) -> Result<Self> {
        match json {
            Json::Array(items) => items
                .iter()
                .map(word)
                .collect::<Result<_>>()
                .map(Self::List),
            json => word(json).map(Self::Text),
        }
    }
}

fn word(json: &Json) -> Result<String> {
    let word = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "no".to_owned(),
        _ => bail!("must be a string or an array of strings"),
    };
    ensure!(!word.contains('\0'), "must not contain a NUL character");
    Ok(word)
}

/// The variables that a network sets.
///
/// # Errors
/// Names the variable that cannot be one, or whose value cannot be one.
pub fn variables<'a>(
    object: impl IntoIterator<Item = (&'a String, &'a Json)>,
) -> Result<Variables> {
    let mut variables = Variables::new();
    for (name, json) in object {
        ensure!(
            is_variable(name),
            "'{name}' cannot be the name of a variable of a type"
        );
        let value = Value::of_json(json).map_err(|error| error.context(name.clone()))?;
        variables.insert(name.clone(), value);
    }
    Ok(variables)
}

/// Whether a configuration file may set a variable of this name: an identifier, neither one of those
/// that identify the run, nor one of ours, nor one that bash does not let anybody set.
fn is_variable(name: &str) -> bool {
    const RESERVED: [&str; 10] = [
        "NSTYPE",
        "NSNAME",
        "UPDOWN",
        "INOUT",
        "BASHOPTS",
        "BASHPID",
        "EUID",
        "PPID",
        "SHELLOPTS",
        "UID",
    ];
    const OURS: [&str; 3] = [PREFIX, "__netns", "BASH_"];
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(is_part)
        && !RESERVED.contains(&name)
        && !OURS.iter().any(|prefix| name.starts_with(prefix))
}

/// The file that `driver.bash` reads: `__netns_read_values` says how.
pub fn file(variables: &Variables) -> Vec<u8> {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in variables {
        words.push(name.clone());
        match value {
            Value::Text(text) => words.extend(["string".to_owned(), text.clone()]),
            Value::List(items) => {
                words.push(items.len().to_string());
                words.extend(items.iter().cloned());
            }
        }
    }
    let words = words
        .into_iter()
        .flat_map(|word| (word + "\0").into_bytes());
    words.collect()
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
            addresses: vec![Address {
                address: "10.0.0.5/24".parse().unwrap(),
                gateway: Some("10.0.0.1".parse().unwrap()),
            }],
            ..Facts::default()
        };
        let given = Variables::from([("GW".into(), Value::Text("10.0.0.9".into()))]);
        let variables = facts
            .variables(&"veth".parse().unwrap(), &veth(), &given)
            .unwrap();
        let list = |word: &str| Value::List(vec![word.into()]);
        assert_eq!(variables["IN"], Value::Text("eth0".into()));
        assert_eq!(variables["ADDR"], list("10.0.0.5/32"));
        assert_eq!(variables["OUT"], list("10.0.0.1/32"));
        assert_eq!(variables["GW"], Value::Text("10.0.0.9".into()));
        assert_eq!(variables["CONTAINER_GATEWAY"], list("10.0.0.1"));
    }

    #[test]
    fn what_a_type_cannot_take_is_refused() {
        let facts = Facts {
            mac: Some("02:00:00:00:00:01".into()),
            ..Facts::default()
        };
        let variables = |declared: &Declarations| {
            facts.variables(&"veth".parse().unwrap(), declared, &Variables::new())
        };
        let error = variables(&veth()).unwrap_err().to_string();
        assert!(error.contains("takes no MAC address"), "{error}");
        // It may look at the facts itself.
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

    #[test]
    fn values_are_data() {
        let json = serde_json::json!({"A": "$(id)\n'", "B": ["1 2", 3, true], "C": []});
        let variables = variables(json.as_object().unwrap()).unwrap();
        assert_eq!(
            file(&variables),
            b"A\0string\0$(id)\n'\0B\x003\x001 2\x003\0yes\0C\x000\0"
        );
        for bad in [
            r#"{"a b": ""}"#,
            r#"{"A[0]": ""}"#,
            r#"{"": ""}"#,
            r#"{"1": ""}"#,
            r#"{"NSNAME": ""}"#,
            r#"{"A": {}}"#,
            r#"{"A": null}"#,
            r#"{"A": "\u0000"}"#,
        ] {
            let json: Json = serde_json::from_str(bad).unwrap();
            assert!(
                super::variables(json.as_object().unwrap()).is_err(),
                "{bad}"
            );
        }
    }
}
