//! The configuration of a network, as the runtime gives it to the plugin.

use std::net::IpAddr;

use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{Code, OrCode, facts_of_environment};
use crate::container::facts::{self, Address, Facts, Port, Route};
use crate::container::interface::Plan;
use crate::container::plugin::Call;
use crate::container::record::{Addresses, Key};

/// The versions of the specification that are supported, from the oldest.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network configuration, checked.
#[derive(Debug)]
pub struct Configuration {
    pub name: String,
    pub version: String,
    pub plan: Plan,
    runtime: Runtime,
    /// As it came, for the plugin that manages addresses.
    json: Value,
}

/// The keys that are ours, or of the specification.
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

/// What the runtime adds, for capabilities that the configuration declares.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    #[serde(default)]
    port_mappings: Vec<PortMapping>,
    mac: Option<String>,
    #[serde(default)]
    ips: Vec<String>,
}

/// Kubernetes writes the keys with capitals.
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

/// The part of a result that address management gives.
#[derive(Debug, Default, Deserialize)]
struct Managed {
    #[serde(default)]
    ips: Vec<ManagedAddress>,
    #[serde(default)]
    routes: Vec<ManagedRoute>,
    #[serde(default)]
    dns: ManagedDns,
}

#[derive(Debug, Deserialize)]
struct ManagedAddress {
    address: IpNet,
    gateway: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct ManagedRoute {
    dst: IpNet,
    gw: Option<IpAddr>,
}

#[derive(Debug, Default, Deserialize)]
struct ManagedDns {
    #[serde(default)]
    nameservers: Vec<String>,
    #[serde(default)]
    search: Vec<String>,
}

impl Configuration {
    /// # Errors
    /// Names the key that is missing or wrong.
    pub fn read(json: Value) -> Result<Self> {
        let keys = Keys::deserialize(&json);
        let keys = keys
            .context("the network configuration")
            .or_code(Code::BadConfiguration)?;
        let nstype = keys.nstype.parse();
        let nstype = nstype.context("'nstype'").or_code(Code::BadConfiguration)?;
        let variables = facts::variables(&keys.variables);
        let addresses = json["ipam"]["type"]
            .as_str()
            .filter(|ipam| !ipam.is_empty());
        let addresses = addresses.map(|ipam| Addresses {
            plugin: ipam.to_owned(),
            configuration: json.clone(),
            path: std::env::var("CNI_PATH").unwrap_or_default(),
        });
        Ok(Self {
            version: json["cniVersion"].as_str().unwrap_or_default().to_owned(),
            name: keys.name,
            plan: Plan {
                nstype,
                nsname: keys.nsname,
                variables: variables
                    .context("'variables'")
                    .or_code(Code::BadConfiguration)?,
                addresses,
            },
            runtime: keys.runtime_config,
            json,
        })
    }

    /// The result of the plugin before this one, if there is one.
    pub fn previous(&self) -> Option<&Value> {
        self.json.get("prevResult").filter(|json| json.is_object())
    }

    /// What the configuration and the runtime say of an interface.
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
            facts.addresses.push(Address {
                address,
                gateway: None,
            });
        }
        for mapping in &self.runtime.port_mappings {
            facts.ports.extend(mapping.port().or_code(bad)?);
        }
        let dns: ManagedDns = match self.json.get("dns") {
            Some(dns) => ManagedDns::deserialize(dns).context("'dns'").or_code(bad)?,
            None => ManagedDns::default(),
        };
        facts.dns.servers = dns.nameservers;
        facts.dns.search = dns.search;
        Ok(facts)
    }

    /// The plugin that manages addresses.
    fn ipam(&self) -> Option<&str> {
        let addresses = self.plan.addresses.as_ref();
        addresses.map(|addresses| addresses.plugin.as_str())
    }

    /// Takes addresses from the plugin that manages them.
    pub fn take_addresses(&self, call: &Call, facts: &mut Facts) -> Result<()> {
        let Some(ipam) = self.ipam() else {
            return Ok(());
        };
        let answer = call.run(ipam, "ADD", &self.json)?;
        let managed = Managed::deserialize(&answer);
        let managed = managed.with_context(|| format!("reading the answer of '{ipam}'"))?;
        if managed.ips.is_empty() {
            return Err(anyhow!("'{ipam}' has given no address"));
        }
        // It has been asked for those of the runtime, too.
        facts.addresses = managed.ips.iter().map(ManagedAddress::known).collect();
        facts.routes = managed.routes.iter().map(ManagedRoute::known).collect();
        if facts.dns.servers.is_empty() {
            facts.dns.servers = managed.dns.nameservers;
            facts.dns.search = managed.dns.search;
        }
        Ok(())
    }

    /// Gives addresses back; that there are none is no error.
    pub fn release_addresses(&self, call: &Call) -> Result<()> {
        self.delegate("DEL", call)
    }

    /// Passes a command on to the plugin that manages addresses.
    pub fn delegate(&self, command: &str, call: &Call) -> Result<()> {
        match self.ipam() {
            Some(ipam) => call.run(ipam, command, &self.json).map(drop),
            None => Ok(()),
        }
    }

    /// The interfaces that GC keeps.
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
        // Without the list, everything would go.
        let list = list.with_context(|| format!("there is no '{KEY}'"));
        let list = list.and_then(|list| Ok(Vec::<Attachment>::deserialize(list)?));
        let list = list.or_code(Code::BadConfiguration)?;
        let keys = list.iter().map(|one| Key::new(&one.container, &one.ifname));
        keys.collect::<Result<_>>().or_code(Code::BadConfiguration)
    }
}

impl ManagedAddress {
    fn known(&self) -> Address {
        let (address, gateway) = (self.address, self.gateway);
        Address { address, gateway }
    }
}

impl ManagedRoute {
    fn known(&self) -> Route {
        let (destination, gateway) = (self.dst, self.gw);
        Route {
            destination,
            gateway,
        }
    }
}

impl PortMapping {
    /// `None` where no port of the host is asked for, as Kubernetes does.
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
