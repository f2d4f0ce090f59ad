//! Parses messages of the kernel.

use std::net::IpAddr;

use netlink_packet_core::{NlaBuffer, NlasIterator, Parseable, parse_i32, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteType, RouteVia,
};

use super::{KernelAddress, KernelLink, KernelRoute, LinkState, Passed, Traffic, Under};

/// The size of `struct ifinfomsg` (rtnetlink(7)).
const LINK_HEADER: usize = 16;

/// `RT_TABLE_LOCAL`: routes to the namespace's own addresses.
const TABLE_LOCAL: u32 = 255;

/// The link in a message. `None` if it is another kind of message.
///
/// Parses only the attributes that we use: a newer kernel may send others, and a name may not be
/// UTF-8.
pub fn link(message: &[u8]) -> Option<KernelLink> {
    let header = LinkHeader::parse(message).ok()?;
    let mut name = None;
    let (mut kind, mut mac, mut mtu) = (None, Vec::new(), 0);
    let (mut alias, mut master, mut under, mut nsid) = (None, None, None, None);
    for attribute in NlasIterator::new(message.get(LINK_HEADER..)?) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            libc::IFLA_IFNAME => name = Some(text(value)),
            libc::IFLA_IFALIAS => alias = Some(text(value)),
            libc::IFLA_ADDRESS => mac = value.to_vec(),
            libc::IFLA_MTU => mtu = parse_u32(value).ok()?,
            libc::IFLA_MASTER => master = parse_u32(value).ok(),
            libc::IFLA_LINK => under = parse_u32(value).ok().filter(|index| *index != 0),
            libc::IFLA_LINK_NETNSID => nsid = parse_i32(value).ok().filter(|id| *id >= 0),
            libc::IFLA_LINKINFO => kind = info_kind(value),
            _ => {}
        }
    }
    // IFLA_OPERSTATE is updated up to a second later.
    let state = if !header.flags.contains(LinkFlags::Up) {
        LinkState::Down
    } else if header.flags.contains(LinkFlags::LowerUp) {
        LinkState::Up
    } else {
        LinkState::NoCarrier
    };
    Some(KernelLink {
        index: header.index,
        name: name?,
        alias,
        kind,
        state,
        loopback: header.flags.contains(LinkFlags::Loopback),
        mtu,
        mac,
        master,
        under: under.map(|index| Under { index, nsid }),
    })
}

/// The traffic of the link in a message. `None` if the message does not contain it.
pub fn traffic(message: &[u8]) -> Option<Traffic> {
    let (mut link, mut counters) = (None, None);
    for attribute in NlasIterator::new(message.get(LINK_HEADER..)?) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            libc::IFLA_IFNAME => link = Some(text(attribute.value())),
            libc::IFLA_STATS64 => counters = passed(attribute.value()),
            _ => {}
        }
    }
    let (received, sent) = counters?;
    Some(Traffic {
        link: link?,
        received,
        sent,
    })
}

/// `struct rtnl_link_stats64` (linux/if_link.h) begins with packets, bytes, errors and drops, each received and
/// sent. Later kernels append to it.
fn passed(counters: &[u8]) -> Option<(Passed, Passed)> {
    let counters: Vec<u64> = counters
        .chunks_exact(8)
        .map(|number| u64::from_ne_bytes(number.try_into().expect("chunks of 8 bytes")))
        .collect();
    let of = |first: usize| {
        Some(Passed {
            packets: *counters.get(first)?,
            bytes: *counters.get(first + 2)?,
            errors: *counters.get(first + 4)?,
            dropped: *counters.get(first + 6)?,
        })
    };
    Some((of(0)?, of(1)?))
}

fn info_kind(nested: &[u8]) -> Option<String> {
    let mut attributes = NlasIterator::new(nested).filter_map(Result::ok);
    let kind = attributes.find(|nla: &NlaBuffer<&[u8]>| nla.kind() == libc::IFLA_INFO_KIND)?;
    Some(text(kind.value()))
}

/// The kernel ends strings with a zero byte. A name can have any byte but `/`, `:` and white space.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// The address in a message, if it has one. `None` if it is another kind of message.
pub fn addresses(body: &[u8]) -> Option<Vec<KernelAddress>> {
    let message = AddressMessage::parse(body).ok()?;
    Some(address(&message).into_iter().collect())
}

fn address(message: &AddressMessage) -> Option<KernelAddress> {
    let (mut local, mut remote) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => remote = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    Some(KernelAddress {
        link: message.header.index,
        // On a point-to-point link, IFA_ADDRESS is the other end (rtnetlink(7)).
        address: local.or(remote)?,
        prefix: message.header.prefix_len,
        duplicate: flags.contains(AddressFlags::Dadfailed),
        tentative: flags.contains(AddressFlags::Tentative),
    })
}

/// The routes in a message, one for each next hop. `None` if it is another kind of message.
pub fn routes(body: &[u8]) -> Option<Vec<KernelRoute>> {
    RouteMessage::parse(body).ok().map(|message| hops(&message))
}

fn hops(message: &RouteMessage) -> Vec<KernelRoute> {
    let header = &message.header;
    let v6 = match header.address_family {
        AddressFamily::Inet => false,
        AddressFamily::Inet6 => true,
        _ => return Vec::new(),
    };
    let mut route = KernelRoute {
        destination: "default".to_owned(),
        kind: kind(header.kind),
        v6,
        gateway: None,
        link: None,
        source: None,
        metric: None,
        table: header.table.into(),
        protocol: header.protocol.to_string().to_lowercase(),
    };
    let mut hops: &[RouteNextHop] = &[];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                let prefix = header.destination_prefix_length;
                route.destination = shown(address).map_or_else(
                    || "?".to_owned(),
                    |address| match (address, prefix) {
                        (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => address.to_string(),
                        _ => format!("{address}/{prefix}"),
                    },
                );
            }
            RouteAttribute::PrefSource(address) => route.source = shown(address),
            RouteAttribute::Priority(metric) => route.metric = Some(*metric),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::MultiPath(all) => hops = all,
            attribute => hop(&mut route, attribute),
        }
    }
    if route.table == TABLE_LOCAL || route.kind == "multicast" {
        return Vec::new();
    }
    if hops.is_empty() {
        return vec![route];
    }
    hops.iter()
        .map(|next| {
            let mut route = route.clone();
            route.link = Some(next.interface_index);
            for attribute in &next.attributes {
                hop(&mut route, attribute);
            }
            route
        })
        .collect()
}

fn hop(route: &mut KernelRoute, attribute: &RouteAttribute) {
    match attribute {
        RouteAttribute::Gateway(address) => {
            route.gateway = shown(address).map(|address| address.to_string());
        }
        RouteAttribute::Via(RouteVia::Inet(address)) => route.gateway = Some(address.to_string()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => route.gateway = Some(address.to_string()),
        RouteAttribute::Oif(index) => route.link = Some(*index),
        _ => {}
    }
}

fn shown(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// The names of ip-route(8).
fn kind(kind: RouteType) -> &'static str {
    match kind {
        RouteType::Unicast => "unicast",
        RouteType::Local => "local",
        RouteType::Broadcast => "broadcast",
        RouteType::Anycast => "anycast",
        RouteType::Multicast => "multicast",
        RouteType::BlackHole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        RouteType::Throw => "throw",
        RouteType::Nat => "nat",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    /// `IF_OPER_DOWN` (linux/if.h).
    const OPER_DOWN: u8 = 2;

    /// An attribute in the kernel's format: length, kind, value, padding.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 1, 0];
        bytes.extend(7_i32.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(attributes.concat());
        bytes
    }

    #[test]
    fn a_link_is_read_whatever_else_is_said_of_it() {
        let info = attribute(libc::IFLA_INFO_KIND, b"veth\0");
        let message = message(
            (libc::IFF_UP | libc::IFF_LOWER_UP) as u32,
            &[
                attribute(libc::IFLA_IFNAME, b"ve-\xff\0"),
                attribute(999, b"from the future"),
                attribute(libc::IFLA_OPERSTATE, &[OPER_DOWN]),
                attribute(libc::IFLA_LINK, &3_u32.to_ne_bytes()),
                attribute(libc::IFLA_LINK_NETNSID, &0_i32.to_ne_bytes()),
                attribute(libc::IFLA_LINKINFO, &info),
            ],
        );
        let link = link(&message).unwrap();
        assert_eq!(link.index, 7);
        assert_eq!(link.name, "ve-\u{fffd}");
        assert_eq!(link.kind.as_deref(), Some("veth"));
        assert_eq!(link.state, LinkState::Up);
        let nsid = Some(0);
        assert_eq!(link.under, Some(Under { index: 3, nsid }));
    }

    #[test]
    fn the_state_is_that_of_the_carrier() {
        let name = attribute(libc::IFLA_IFNAME, b"eth0\0");
        let state = |flags: i32| link(&message(flags as u32, from_ref(&name))).unwrap().state;
        assert_eq!(state(0), LinkState::Down);
        assert_eq!(state(libc::IFF_LOWER_UP), LinkState::Down);
        assert_eq!(state(libc::IFF_UP), LinkState::NoCarrier);
    }

    #[test]
    fn counters_are_read_in_their_order() {
        let stats: Vec<u8> = (1_u64..=25).flat_map(u64::to_ne_bytes).collect();
        let attributes = [
            attribute(libc::IFLA_IFNAME, b"eth0\0"),
            attribute(libc::IFLA_STATS64, &stats),
        ];
        let passed = |packets, bytes, errors, dropped| Passed {
            bytes,
            packets,
            errors,
            dropped,
        };
        let read = traffic(&message(0, &attributes)).unwrap();
        assert_eq!(read.received, passed(1, 3, 5, 7));
        assert_eq!(read.sent, passed(2, 4, 6, 8));
        assert_eq!(traffic(&message(0, &attributes[..1])), None);
        let short = [
            attributes[0].clone(),
            attribute(libc::IFLA_STATS64, &stats[..56]),
        ];
        assert_eq!(traffic(&message(0, &short)), None);
    }

    #[test]
    fn what_is_no_link_is_none() {
        assert_eq!(link(&[]), None);
        assert_eq!(link(&message(0, &[])), None);
        assert_eq!(link(&message(0, &[vec![200, 0, 3, 0]])), None);
    }
}
