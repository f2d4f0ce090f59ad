//! The state of an interface of a container, for the result that the runtime gets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;

use super::facts::{ContainerAddress, ContainerDns, ContainerRoute};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::inventory::details;
use crate::namespace::netlink::{self, Connection, KernelLink, KernelRoute};
use crate::namespace::{self, NetNs};

/// A link, inside or outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedLink {
    pub name: String,
    pub mac: String,
    /// In bytes.
    pub mtu: u32,
    index: u32,
}

/// The network that an instance has set up.
#[derive(Debug)]
pub struct InterfaceReport {
    pub inside: Vec<ReportedLink>,
    pub outside: Vec<ReportedLink>,
    /// Each address with the position of its interface in `inside`.
    pub addresses: Vec<(usize, ContainerAddress)>,
    pub routes: Vec<ContainerRoute>,
    /// The name servers in the namespace's own resolv.conf.
    pub dns: ContainerDns,
}

/// `RT_TABLE_MAIN` (rtnetlink(7)).
pub const TABLE_MAIN: u32 = 254;

/// The indexes of the links in a namespace.
pub fn links(namespace: NetNs) -> Result<BTreeSet<u32>> {
    inside(namespace, |connection| {
        let links = connection.links()?.items;
        Ok(links.iter().map(|link| link.index).collect())
    })
}

/// Reads the network of an instance: the links inside except those in `before`, which are the indexes of
/// earlier links, with `ifname` first; and the links outside that it has claimed or that are peers of
/// those inside.
///
/// # Errors
/// There is no link `ifname` inside.
pub fn read(
    root: &Root,
    instance: &Instance,
    before: &BTreeSet<u32>,
    ifname: Option<&str>,
) -> Result<InterfaceReport> {
    let name = &instance.nsname;
    let namespace = NetNs::open(root, name)?.context("the network namespace is gone")?;
    let (mut links, addresses, routes) = inside(namespace, |connection| {
        let links = connection.links()?.items;
        let addresses = connection.addresses()?.items;
        Ok((links, addresses, connection.routes()?.items))
    })?;
    links.retain(|link| !link.loopback && !before.contains(&link.index));
    links.sort_by_key(|link| (Some(link.name.as_str()) != ifname, link.index));
    if let Some(ifname) = ifname {
        ensure!(
            links.first().is_some_and(|link| link.name == ifname),
            "NSTYPE {} has not created an interface '{ifname}' in the container: its functions must use \
             the name in CONTAINER_IFNAME",
            instance.nstype
        );
    }
    let mut outside = Connection::open()?.links()?.items;
    let mark = format!("systemd-netns {instance}");
    outside.retain(|link| {
        let is_end = |inside: &KernelLink| are_ends(inside, link);
        link.alias.as_deref() == Some(&mark) || links.iter().any(is_end)
    });
    let routes: Vec<(u32, ContainerRoute)> = routes.iter().filter_map(of_main_table).collect();
    let default_of = |link: u32, v4: bool| {
        let mut defaults = routes.iter().filter(|(of, route)| {
            *of == link
                && route.destination.prefix_len() == 0
                && route.destination.addr().is_ipv4() == v4
        });
        defaults.next().and_then(|(_, route)| route.gateway)
    };
    let mut with_gateways = Vec::new();
    for address in addresses.iter().filter(|a| !is_link_local(a.address)) {
        let Some(at) = links.iter().position(|link| link.index == address.link) else {
            continue;
        };
        let gateway = default_of(address.link, address.address.is_ipv4());
        let address = IpNet::new(address.address, address.prefix)?;
        with_gateways.push((at, ContainerAddress { address, gateway }));
    }
    with_gateways.sort_by_key(|(at, _)| *at);
    let of_links = |(link, _): &&(u32, ContainerRoute)| links.iter().any(|l| l.index == *link);
    Ok(InterfaceReport {
        routes: routes
            .iter()
            .filter(of_links)
            .map(|(_, route)| *route)
            .collect(),
        addresses: with_gateways,
        inside: links.into_iter().map(interface).collect(),
        outside: outside.into_iter().map(interface).collect(),
        dns: dns(root, instance),
    })
}

/// Calls `work` in a namespace.
fn inside<T: Send>(
    namespace: NetNs,
    work: impl FnOnce(&mut Connection) -> Result<T> + Send,
) -> Result<T> {
    namespace::within(&namespace, || work(&mut Connection::open()?))
}

fn interface(link: KernelLink) -> ReportedLink {
    // Podman 4 refuses an interface without an address, as of a tunnel.
    let no_mac = [0; 6];
    let mac = match link.mac.is_empty() {
        true => &no_mac,
        false => &link.mac[..],
    };
    ReportedLink {
        mac: netlink::mac(mac),
        name: link.name,
        mtu: link.mtu,
        index: link.index,
    }
}

/// Whether two links are the ends of a pair, by their indexes. The numbers of their namespaces are not
/// compared, because each is valid only in the namespace of its link.
fn are_ends(inside: &KernelLink, outside: &KernelLink) -> bool {
    let refers = |from: &KernelLink, to: &KernelLink| {
        let under = from.under.filter(|under| under.nsid.is_some());
        under.is_some_and(|under| under.index == to.index)
    };
    inside.kind == outside.kind && refers(inside, outside) && refers(outside, inside)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// A route of the main table with the index of its link; `None` for routes that the kernel adds itself.
fn of_main_table(route: &KernelRoute) -> Option<(u32, ContainerRoute)> {
    if route.table != TABLE_MAIN || route.kind != "unicast" || route.protocol == "kernel" {
        return None;
    }
    let destination = match route.destination.as_str() {
        "default" if route.v6 => "::/0".parse().ok()?,
        "default" => "0.0.0.0/0".parse().ok()?,
        text => text
            .parse()
            .or_else(|_| text.parse().map(|address: IpAddr| address.into()))
            .ok()?,
    };
    let gateway = route.gateway.as_ref().and_then(|text| text.parse().ok());
    let route_to = ContainerRoute {
        destination,
        gateway,
    };
    Some((route.link?, route_to))
}

/// The name servers in the namespace's own resolv.conf; none if it uses that of the host.
fn dns(root: &Root, instance: &Instance) -> ContainerDns {
    let own = root.netns_etc(&instance.nsname);
    match details::dns(root, &instance.nsname) {
        Some(dns) if dns.file.starts_with(&own.display().to_string()) => ContainerDns {
            servers: dns.servers,
            search: dns.search,
            ..ContainerDns::default()
        },
        _ => ContainerDns::default(),
    }
}
