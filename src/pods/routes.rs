//! Routes from this node to the pods of the other nodes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;

use crate::pods::settings::Settings;
use crate::sys::command;
use crate::sys::exit::after_undo;
use crate::sys::file;
use crate::sys::log;
use crate::sys::user::require_root;

/// The protocol that marks our routes, a number without a name in `/etc/iproute2/rt_protos`.
const PROTOCOL: &str = "218";

/// The tunnel device to all other nodes.
const OVERLAY: &str = "pods-overlay";

/// The network between the nodes: the addresses of node 2 are `192.168.NET.2` and
/// `PREFIX:192.168.NET.2`.
#[derive(Debug, Clone, Copy)]
pub struct Between {
    pub net: u8,
}

impl Between {
    fn of(self, settings: &Settings, node: u32) -> Result<[IpAddr; 2]> {
        let node = u8::try_from(node)
            .ok()
            .filter(|node| (1..255).contains(node));
        let node = node.context("the network between nodes has addresses for nodes 1 to 254")?;
        let v4 = Ipv4Addr::new(192, 168, self.net, node);
        Ok([v4.into(), settings.addresses.with_prefix(v4).into()])
    }
}

/// Adds the routes to all other nodes, or none if one fails. Returns the exit status.
pub fn add(settings: &Settings, between: Between, overlay: bool) -> Result<u8> {
    require_root()?;
    let ip = Ip::find()?;
    let nodes = settings
        .nodes
        .context("the number of nodes is not known: set --nodes or __nvm")?;
    let mut routes = Vec::new();
    for node in (1..=nodes).filter(|node| *node != settings.node) {
        let subnets = settings.addresses.subnets(node)?;
        let gateways = between.of(settings, node)?;
        routes.extend(subnets.into_iter().zip(gateways).map(|(subnet, gateway)| {
            let way = match overlay {
                true => Way::Through(gateways[1]),
                false => Way::Via(gateway),
            };
            (subnet, way)
        }));
    }
    let [_, IpAddr::V6(own)] = between.of(settings, settings.node)? else {
        unreachable!("the second address is IPv6")
    };
    ensure!(
        !ip.has_routes()?,
        "routes to the pods of other nodes already exist: remove them with 'netnsctl pods route --delete'"
    );
    let added = add_all(&ip, &routes, overlay.then_some(own));
    if let Err(error) = added {
        return Err(after_undo(error, ip.remove_all()));
    }
    log::info(&format!("added {} routes", routes.len()));
    Ok(0)
}

fn add_all(ip: &Ip, routes: &[(IpNet, Way)], overlay: Option<Ipv6Addr>) -> Result<()> {
    if let Some(own) = overlay {
        let own = own.to_string();
        ip.run(&[
            "link", "add", "name", OVERLAY, "type", "ip6tnl", "external", "local", &own,
        ])
        .or_else(|_| ip.run(&["link", "add", "name", OVERLAY, "type", "ip6tnl", "external"]))?;
        ip.run(&["link", "set", "dev", OVERLAY, "up"])?;
    }
    routes.iter().try_for_each(|(subnet, way)| {
        let subnet = subnet.to_string();
        let mut words = vec!["route".to_owned(), "add".to_owned(), subnet];
        match way {
            Way::Via(gateway) => words.extend(["via".to_owned(), gateway.to_string()]),
            Way::Through(node) => {
                let node = node.to_string();
                let encapsulated = ["encap", "ip6", "dst", &node, "dev", OVERLAY];
                words.extend(encapsulated.map(str::to_owned));
            }
        }
        words.extend(["proto".to_owned(), PROTOCOL.to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        ip.run(&words)
    })
}

/// Removes the routes and the tunnel device that [`add`] added. Returns the exit status.
pub fn delete() -> Result<u8> {
    require_root()?;
    let ip = Ip::find()?;
    ip.remove_all()?;
    log::info("removed the routes to the pods of other nodes");
    Ok(0)
}

/// How packets reach another node.
#[derive(Debug, Clone, Copy)]
enum Way {
    Via(IpAddr),
    /// Through the tunnel device, to this address of the node.
    Through(IpAddr),
}

/// The program ip(8).
struct Ip(std::path::PathBuf);

impl Ip {
    fn find() -> Result<Self> {
        command::find("ip").map(Self)
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        command::output(&self.0, words).map(drop)
    }

    fn has_routes(&self) -> Result<bool> {
        for family in ["-4", "-6"] {
            let shown = command::output(&self.0, &[family, "route", "show", "proto", PROTOCOL])?;
            if !shown.trim().is_empty() {
                return Ok(true);
            }
        }
        file::exists(&Path::new("/sys/class/net").join(OVERLAY))
    }

    fn remove_all(&self) -> Result<()> {
        for family in ["-4", "-6"] {
            self.run(&[family, "route", "flush", "proto", PROTOCOL])?;
        }
        let device = ["link", "show", "dev", OVERLAY, "type", "ip6tnl"];
        let shown = command::try_output(&self.0, &device)?;
        match shown.status.success() && !shown.stdout.is_empty() {
            true => self.run(&["link", "delete", "dev", OVERLAY]),
            false => Ok(()),
        }
    }
}
