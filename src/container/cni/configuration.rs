//! The network configuration that the runtime passes to the plugin.

use std::net::IpAddr;

use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{Code, OrCode, facts_of_environment};
use crate::container::facts::{self, ContainerAddress, ContainerDns, ContainerRoute, Facts, Port};
use crate::container::interface::NetworkPlan;
use crate::container::plugin::PluginCall;
use crate::container::record::{Ipam, Key, check_name};
use crate::container::variables;

/// The versions of the specification that are supported, from the oldest.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network configuration, checked.
#[derive(Debug)]
pub struct NetworkConfiguration {
    pub name: String,
    pub version: String,
    pub plan: NetworkPlan,
    runtime: Runtime,
    /// The original document, for the IPAM plugin.
    json: Value,
}

/// The keys that are our own or from the specification.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    name: String,
    nstype: String,
    nsname: Option<String>,
    #[serde(default)]
    variables: serde_json::Map<String, Value>,
    #[serde(default)]
    runtime_config: Runtime,
}

/// The keys that the runtime adds for the capabilities that the configuration declares.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    #[serde(default)]
    port_mappings: Vec<PortMapping>,
    mac: Option<String>,
    #[serde(default)]
    ips: Vec<String>,
}

/// A port mapping. Kubernetes capitalizes the keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortMapping {
    #[serde(alias = "HostPort")]
    host_port: u16,
    #[serde(alias = "ContainerPort")]
    container_port: u16,
    #[serde(default, alias = "Protocol")]
    protocol: String,
    #[serde(default, rename = "hostIP", alias = "HostIP", alias = "hostIp")]
    host_ip: String,
}

/// The result of an IPAM plugin.
#[derive(Debug, Default, Deserialize)]
struct IpamResult {
    #[serde(default)]
    ips: Vec<IpamAddress>,
    #[serde(default)]
    routes: Vec<IpamRoute>,
    #[serde(default)]
    dns: CniDns,
}

#[derive(Debug, Deserialize)]
struct IpamAddress {
    address: IpNet,
    gateway: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct IpamRoute {
    dst: IpNet,
    gw: Option<IpAddr>,
    /// Of version 1.1: `mtu`, `advmss`, `priority`, `table` and `scope`, which no type receives.
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct CniDns {
    #[serde(default)]
    nameservers: Vec<String>,
    #[serde(default)]
    search: Vec<String>,
    domain: Option<String>,
    #[serde(default)]
    options: Vec<String>,
}

impl NetworkConfiguration {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A key, which the error names, is missing or invalid.
    pub fn read(json: Value) -> Result<Self> {
        let keys = Keys::deserialize(&json);
        let keys = keys
            .context("the network configuration")
            .or_code(Code::BadConfiguration)?;
        let bad = Code::BadConfiguration;
        check_name("network name", &keys.name).or_code(bad)?;
        let previous = json.get("prevResult").unwrap_or(&Value::Null);
        if !previous.is_object() && !previous.is_null() {
            return Err(anyhow!("'prevResult' is not an object")).or_code(bad);
        }
        let nstype = keys.nstype.parse();
        let nstype = nstype.context("'nstype'").or_code(Code::BadConfiguration)?;
        let variables = variables::read(&keys.variables);
        let plugin = json["ipam"]["type"]
            .as_str()
            .filter(|plugin| !plugin.is_empty());
        let has_keys = json["ipam"]
            .as_object()
            .is_some_and(|keys| !keys.is_empty());
        if plugin.is_none() && has_keys {
            return Err(anyhow!("'ipam' has no 'type'")).or_code(bad);
        }
        let ipam = plugin.map(|plugin| Ipam {
            plugin: plugin.to_owned(),
            configuration: json.clone(),
            path: std::env::var("CNI_PATH").unwrap_or_default(),
        });
        Ok(Self {
            version: json["cniVersion"].as_str().unwrap_or_default().to_owned(),
            name: keys.name,
            plan: NetworkPlan {
                nstype,
                nsname: keys.nsname,
                variables: variables
                    .context("'variables'")
                    .or_code(Code::BadConfiguration)?,
                ipam,
            },
            runtime: keys.runtime_config,
            json,
        })
    }

    /// The result of the previous plugin, if there is one.
    pub fn previous(&self) -> Option<&Value> {
        self.json.get("prevResult").filter(|json| json.is_object())
    }

    /// The facts about an interface from the configuration and the runtime.
    pub fn facts(&self, key: &Key) -> Result<Facts> {
        let mut facts = facts_of_environment(key);
        facts.network.clone_from(&self.name);
        if self.previous().is_none() {
            facts.ifname = Some(key.ifname().to_owned());
        }
        facts.mac = self.runtime.mac.clone().or(facts.mac);
        let bad = Code::BadConfiguration;
        for ip in &self.runtime.ips {
            let address: Result<IpNet, _> = ip.parse();
            let address = address
                .with_context(|| format!("'ips': '{ip}'"))
                .or_code(bad)?;
            facts.addresses.push(ContainerAddress {
                address,
                gateway: None,
            });
        }
        for mapping in &self.runtime.port_mappings {
            facts.ports.extend(mapping.port().or_code(bad)?);
        }
        let dns: CniDns = match self.json.get("dns") {
            Some(dns) => CniDns::deserialize(dns).context("'dns'").or_code(bad)?,
            None => CniDns::default(),
        };
        facts.dns = dns.into_fact();
        Ok(facts)
    }

    /// The name of the IPAM plugin.
    fn ipam(&self) -> Option<&str> {
        self.plan.ipam.as_ref().map(|ipam| ipam.plugin.as_str())
    }

    /// Requests addresses from the IPAM plugin and adds them to `facts`.
    pub fn request_addresses(&self, call: &PluginCall, facts: &mut Facts) -> Result<()> {
        let Some(ipam) = self.ipam() else {
            return Ok(());
        };
        let answer = call.run(ipam, "ADD", &self.json)?;
        let result = IpamResult::deserialize(&answer);
        let result = result.with_context(|| format!("reading the result of plugin '{ipam}'"))?;
        if result.ips.is_empty() {
            return Err(anyhow!("plugin '{ipam}' returned no address"));
        }
        for route in &result.routes {
            if let Some((key, value)) = route.others.iter().find(|(_, value)| !value.is_null()) {
                let dst = route.dst;
                return Err(anyhow!(
                    "the route to {dst} has '{key}': {value}, which is not supported"
                ))
                .or_code(Code::Unsupported);
            }
        }
        // These include the addresses that the runtime requests.
        facts.addresses = result.ips.iter().map(IpamAddress::to_fact).collect();
        facts.routes = result.routes.iter().map(IpamRoute::to_fact).collect();
        if facts.dns.servers.is_empty() {
            facts.dns = result.dns.into_fact();
        }
        Ok(())
    }

    /// Releases the addresses, if there are any.
    pub fn release_addresses(&self, call: &PluginCall) -> Result<()> {
        self.delegate("DEL", call)
    }

    /// Calls the IPAM plugin, if there is one, with a command.
    pub fn delegate(&self, command: &str, call: &PluginCall) -> Result<()> {
        match self.ipam() {
            Some(ipam) => call.run(ipam, command, &self.json).map(drop),
            None => Ok(()),
        }
    }

    /// The interfaces that GC must not take down.
    pub fn valid_attachments(&self) -> Result<Vec<Key>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Attachment {
            #[serde(rename = "containerID")]
            container: String,
            ifname: String,
        }
        const KEY: &str = "cni.dev/valid-attachments";
        let list = self.json.get(KEY).or(self.json.get("cni.dev/attachments"));
        // Without the list, GC would take down everything.
        let list = list.with_context(|| format!("there is no '{KEY}'"));
        let list = list.and_then(|list| Ok(Vec::<Attachment>::deserialize(list)?));
        let list = list.or_code(Code::BadConfiguration)?;
        let keys = list.iter().map(|one| Key::new(&one.container, &one.ifname));
        keys.collect::<Result<_>>().or_code(Code::BadConfiguration)
    }
}

impl IpamAddress {
    fn to_fact(&self) -> ContainerAddress {
        let (address, gateway) = (self.address, self.gateway);
        ContainerAddress { address, gateway }
    }
}

impl CniDns {
    fn into_fact(self) -> ContainerDns {
        ContainerDns {
            servers: self.nameservers,
            search: self.search,
            domain: self.domain,
            options: self.options,
        }
    }
}

impl IpamRoute {
    fn to_fact(&self) -> ContainerRoute {
        let (destination, gateway) = (self.dst, self.gw);
        ContainerRoute {
            destination,
            gateway,
        }
    }
}

impl PortMapping {
    /// The port to publish; `None` if the mapping has no port of the host, as those of Kubernetes may.
    fn port(&self) -> Result<Option<Port>> {
        if self.host_port == 0 {
            return Ok(None);
        }
        facts::port(
            &self.host_ip,
            self.host_port,
            self.container_port,
            &self.protocol,
        )
        .map(Some)
    }
}
