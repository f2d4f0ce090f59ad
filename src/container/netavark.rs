//! The netavark plugin: `create`, `setup PATH`, `teardown PATH` and `info` (netavark-plugins(7)). The
//! options of a network, `--opt` of Podman, are `nstype`, `nsname` and variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::facts::{self, ContainerAddress, ContainerDns, Facts};
use super::interface::{self, NetworkPlan, NotUp};
use super::record::{Key, Locked};
use super::report::InterfaceReport;
use super::variables;
use crate::instance::paths::Root;

/// The version of the protocol, which netavark checks.
const API_VERSION: &str = "1.0.0";

/// The input of `setup` and `teardown`.
#[derive(Debug, Deserialize)]
struct Request {
    container_id: String,
    container_name: String,
    #[serde(default)]
    port_mappings: Option<Vec<NetavarkPortMapping>>,
    network: NetavarkNetwork,
    network_options: NetworkOptions,
}

#[derive(Debug, Deserialize)]
struct NetavarkNetwork {
    name: String,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
    #[serde(default)]
    subnets: Option<Vec<Subnet>>,
    #[serde(default)]
    network_dns_servers: Option<Vec<IpAddr>>,
}

#[derive(Debug, Deserialize)]
struct Subnet {
    subnet: IpNet,
    gateway: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct NetworkOptions {
    interface_name: String,
    #[serde(default)]
    static_ips: Option<Vec<IpAddr>>,
    #[serde(default)]
    static_mac: Option<String>,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct NetavarkPortMapping {
    container_port: u16,
    #[serde(default)]
    host_ip: String,
    host_port: u16,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    range: u16,
}

/// Runs the command in `words`. Returns whether it succeeded, and the JSON to print: the result or the
/// error.
pub fn answer(root: &Root, words: &[OsString]) -> (bool, String) {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let answer = match words[..] {
        ["create"] => create(root),
        ["setup", path] => setup(root, path),
        ["teardown", path] => teardown(root, path),
        ["info"] => Ok(json!({"version": env!("CARGO_PKG_VERSION"), "api_version": API_VERSION})),
        _ => Err(anyhow::anyhow!(
            "usage: create | setup PATH | teardown PATH | info (netavark), or none of these, with CNI_COMMAND in \
             the environment (CNI)"
        )),
    };
    match answer {
        Ok(Value::Null) => (true, String::new()),
        Ok(answer) => (true, answer.to_string()),
        Err(error) => {
            let not_up = error.downcast_ref::<NotUp>();
            let details = not_up.map(|not_up| not_up.details.lines());
            let text = format!("{error:#}");
            let lines: Vec<&str> = details.into_iter().flatten().chain([&*text]).collect();
            (false, json!({"error": lines.join("; ")}).to_string())
        }
    }
}

/// Checks the configuration of a new network. Disables Podman's DNS for names of containers, which needs
/// a bridge of netavark.
fn create(root: &Root) -> Result<Value> {
    let mut json: Value = read()?;
    let network = NetavarkNetwork::deserialize(&json).context("reading the network")?;
    let plan = network.plan(None)?;
    interface::can_run(root, &plan.nstype)?;
    json["dns_enabled"] = false.into();
    Ok(json)
}

fn setup(root: &Root, netns: &str) -> Result<Value> {
    let (key, plan, facts) = requested(&super::read_stdin()?)?;
    interface::namespace(netns)?;
    let locked = Locked::take(root, &key)?;
    if let Some(record) = locked.record()? {
        ensure!(
            !interface::is_up(root, &record)?,
            "the container already has an interface {}, of network '{}'",
            key.ifname(),
            record.network
        );
        locked.divert_output()?;
        interface::detach(root, &locked, &record)?;
    }
    let report = interface::attach(root, &locked, &plan, &facts, key.ifname(), netns)?;
    Ok(status(&report, &facts))
}

fn teardown(root: &Root, _netns: &str) -> Result<Value> {
    let request: Request = read()?;
    let key = request.key()?;
    let locked = Locked::take(root, &key)?;
    match locked.record()? {
        Some(record) if record.network == request.network.name => {
            locked.divert_output()?;
            interface::detach(root, &locked, &record)?;
        }
        _ => {}
    }
    Ok(Value::Null)
}

/// What a request asks for, checked.
pub fn requested(input: &[u8]) -> Result<(Key, NetworkPlan, Facts)> {
    let request: Request = parse(input)?;
    let options = request.network_options.options.as_ref();
    let plan = request.network.plan(options)?;
    Ok((request.key()?, plan, request.facts()?))
}

fn read<T: for<'a> Deserialize<'a>>() -> Result<T> {
    parse(&super::read_stdin()?)
}

fn parse<T: for<'a> Deserialize<'a>>(input: &[u8]) -> Result<T> {
    serde_json::from_slice(input).context("reading the request on stdin")
}

impl NetavarkNetwork {
    /// The plan from the options of the network and of the container, which take precedence.
    fn plan(&self, of_container: Option<&BTreeMap<String, String>>) -> Result<NetworkPlan> {
        let mut options = self.options.clone().unwrap_or_default();
        options.extend(of_container.cloned().unwrap_or_default());
        let nstype = options.remove("nstype");
        let nstype = nstype.context("the network has no option 'nstype': --opt nstype=NSTYPE")?;
        let nsname = options.remove("nsname");
        let variables: Map<String, Value> = options
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        Ok(NetworkPlan {
            nstype: nstype.parse()?,
            nsname,
            variables: variables::read(&variables)?,
            ipam: None,
        })
    }
}

impl Request {
    fn key(&self) -> Result<Key> {
        Key::new(&self.container_id, &self.network_options.interface_name)
    }

    fn facts(&self) -> Result<Facts> {
        let options = &self.network_options;
        let mut ports = Vec::new();
        for mapping in self.port_mappings.iter().flatten() {
            ports.extend(mapping.ports()?);
        }
        let addresses = options.static_ips.iter().flatten();
        let addresses = addresses.map(|address| self.network.with_subnet(*address));
        let servers = self.network.network_dns_servers.iter().flatten();
        Ok(Facts {
            network: self.network.name.clone(),
            id: self.container_id.clone(),
            name: self.container_name.clone(),
            ifname: Some(options.interface_name.clone()),
            addresses: addresses.collect::<Result<_>>()?,
            routes: Vec::new(),
            dns: ContainerDns {
                servers: servers.map(IpAddr::to_string).collect(),
                ..ContainerDns::default()
            },
            mac: options.static_mac.clone().filter(|mac| !mac.is_empty()),
            ports,
        })
    }
}

impl NetavarkNetwork {
    /// An address that Podman has assigned, with the prefix length and the gateway of its subnet.
    fn with_subnet(&self, address: IpAddr) -> Result<ContainerAddress> {
        let mut subnets = self.subnets.iter().flatten();
        match subnets.find(|subnet| subnet.subnet.contains(&address)) {
            Some(subnet) => Ok(ContainerAddress {
                address: IpNet::new(address, subnet.subnet.prefix_len())?,
                gateway: subnet.gateway,
            }),
            None => bail!("{address} is in no subnet of network '{}'", self.name),
        }
    }
}

impl NetavarkPortMapping {
    fn ports(&self) -> Result<Vec<facts::Port>> {
        let each = (0..self.range.max(1)).map(|offset| {
            let beyond = || format!("the range of ports from {} exceeds 65535", self.host_port);
            let host = self.host_port.checked_add(offset).with_context(beyond)?;
            let container = self.container_port.checked_add(offset);
            let container = container.with_context(beyond)?;
            facts::port(&self.host_ip, host, container, &self.protocol)
        });
        each.collect()
    }
}

/// The output of `setup`.
fn status(report: &InterfaceReport, facts: &Facts) -> Value {
    let mut interfaces = Map::new();
    for (index, link) in report.inside.iter().enumerate() {
        let addresses = report.addresses.iter().filter(|(at, _)| *at == index);
        let subnets = addresses.map(|(_, address)| {
            let mut subnet = json!({"ipnet": address.address.to_string()});
            if let Some(gateway) = address.gateway {
                subnet["gateway"] = gateway.to_string().into();
            }
            subnet
        });
        let subnets: Vec<Value> = subnets.collect();
        let json = json!({"mac_address": link.mac, "subnets": subnets});
        interfaces.insert(link.name.clone(), json);
    }
    let dns = match facts.dns == ContainerDns::default() {
        true => &report.dns,
        false => &facts.dns,
    };
    json!({
        "interfaces": interfaces,
        "dns_server_ips": dns.servers,
        "dns_search_domains": dns.search,
    })
}
