//! Links, addresses and routes of one network namespace as data, read by rtnetlink(7).
//!
//! A [`Connection`] belongs to the namespace in which its thread was when it was opened, even if the
//! thread changes its namespace later.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

use anyhow::{Context, Result, bail, ensure};
use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_NOOP, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, Parseable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::RouteMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use serde::Serialize;

pub mod parse;

/// The longest name of a link, in bytes: `IFNAMSIZ` without the final NUL (netdevice(7)).
pub const LINK_NAME_MAX: usize = 15;

/// Checks the name of an interface like the kernel (`dev_valid_name`).
pub fn check_ifname(name: &str) -> Result<()> {
    let is_bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let bad = name.is_empty() || name == "." || name == ".." || name.contains(is_bad);
    ensure!(!bad, "invalid interface name '{name}'");
    ensure!(
        name.len() <= LINK_NAME_MAX,
        "invalid interface name '{name}': longer than {LINK_NAME_MAX} bytes"
    );
    Ok(())
}

/// A link (network device), as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelLink {
    pub index: u32,
    pub name: String,
    /// Its alias (ip-link(8)).
    pub alias: Option<String>,
    /// As in `ip link add type`, such as `veth`. `None` for hardware and the loopback interface.
    pub kind: Option<String>,
    pub state: LinkState,
    pub loopback: bool,
    /// In bytes.
    pub mtu: u32,
    /// The link layer address: six bytes for Ethernet, may be empty.
    pub mac: Vec<u8>,
    /// The index of the bridge, bond or VRF that it is part of.
    pub master: Option<u32>,
    /// The other end of a pair, or the link below: what `ip link` shows after the `@`.
    pub under: Option<Under>,
}

/// A link that another one refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Under {
    pub index: u32,
    /// The number of its namespace, which is valid only in this namespace (`link-netnsid`).
    pub nsid: Option<i32>,
}

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Not set up (`IFF_UP`, netdevice(7)).
    Down,
    /// Set up, but without a carrier (`IFF_LOWER_UP`).
    NoCarrier,
    Up,
}

/// The traffic of a link since it was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub link: String,
    pub received: Passed,
    pub sent: Passed,
}

/// The traffic in one direction. The kernel counts in 64 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Passed {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelAddress {
    /// The index of the link.
    pub link: u32,
    pub address: IpAddr,
    /// In bits.
    pub prefix: u8,
    /// Not usable: another host has it (IPv6 duplicate address detection).
    pub duplicate: bool,
    /// Not usable yet: duplicate address detection is running.
    pub tentative: bool,
}

/// A route. One with several next hops becomes several of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRoute {
    /// `default`, or an address with its prefix length.
    pub destination: String,
    /// `unicast`, `blackhole` and so on, as in ip-route(8).
    pub kind: &'static str,
    pub v6: bool,
    pub gateway: Option<String>,
    /// The index of the link.
    pub link: Option<u32>,
    pub source: Option<IpAddr>,
    pub metric: Option<u32>,
    pub table: u32,
    pub protocol: String,
}

/// A listing, and the number of entries that could not be parsed.
#[derive(Debug)]
pub struct Dump<T> {
    pub items: Vec<T>,
    pub unread: usize,
}

/// How often to repeat a listing that changed while it was read.
const ATTEMPTS: usize = 8;

/// The kernel fills a buffer of at most this size at a time (`NLMSG_GOODSIZE` and `netlink_dump`).
const BUFFER: usize = 32 * 1024;

/// An error of the kernel.
#[derive(Debug)]
struct Refused(io::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel answered: {}", self.0)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A netlink socket, bound to the network namespace in which it was opened.
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Connection {
    /// Opens a socket in the namespace of the calling thread.
    pub fn open() -> Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE).context("opening a netlink socket")?;
        let buffer = Vec::with_capacity(BUFFER);
        Ok(Self {
            socket,
            buffer,
            sequence: 0,
        })
    }

    /// All links.
    pub fn links(&mut self) -> Result<Dump<KernelLink>> {
        let mut message = LinkMessage::default();
        // Statistics would be more than half of the answer.
        message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let request = RouteNetlinkMessage::GetLink(message);
        self.dump(request, |body| parse::link(body).map(|link| vec![link]))
            .context("listing links")
    }

    /// The traffic of all links.
    pub fn traffic(&mut self) -> Result<Dump<Traffic>> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.dump(request, |body| parse::traffic(body).map(|link| vec![link]))
            .context("reading the counters of links")
    }

    /// All addresses.
    pub fn addresses(&mut self) -> Result<Dump<KernelAddress>> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(request, parse::addresses)
            .context("listing addresses")
    }

    /// All routes except those to the namespace's own addresses.
    pub fn routes(&mut self) -> Result<Dump<KernelRoute>> {
        let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        self.dump(request, parse::routes).context("listing routes")
    }

    /// A link of the namespace that has the number `nsid` here. `None` if it does not exist or the kernel
    /// does not permit it.
    pub fn link_in(&mut self, nsid: i32, index: u32) -> Option<KernelLink> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![
            LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
            LinkAttribute::IfNetnsId(nsid), // IFLA_TARGET_NETNSID is its newer name
        ];
        let mut link = None;
        self.request(RouteNetlinkMessage::GetLink(message), 0, |body| {
            link = parse::link(body);
        })
        .ok()?;
        link
    }

    /// The number that the namespace of the descriptor `namespace` has here, if it has one.
    pub fn nsid(&mut self, namespace: RawFd) -> Result<Option<i32>> {
        let mut message = NsidMessage::default();
        let descriptor = u32::try_from(namespace).context("a descriptor is not negative")?;
        message.attributes = vec![NsidAttribute::Fd(descriptor)];
        let mut found = None;
        self.request(RouteNetlinkMessage::GetNsId(message), 0, |body| {
            let attributes = NsidMessage::parse(body).map(|message| message.attributes);
            found = attributes.unwrap_or_default().iter().find_map(|a| match a {
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            });
        })
        .context("asking for the number of a namespace")?;
        Ok(found)
    }

    /// Deletes a link, if it still exists.
    pub fn delete_link(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let deleted = self.request(RouteNetlinkMessage::DelLink(message), NLM_F_ACK, |_| {});
        match deleted {
            Err(error) if is_refusal(&error, libc::ENODEV) => Ok(()),
            deleted => deleted.map(drop).context("deleting the link"),
        }
    }

    fn dump<T>(
        &mut self,
        request: RouteNetlinkMessage,
        mut parse: impl FnMut(&[u8]) -> Option<Vec<T>>,
    ) -> Result<Dump<T>> {
        for _ in 0..ATTEMPTS {
            let mut dump = Dump {
                items: Vec::new(),
                unread: 0,
            };
            let whole = self.request(request.clone(), NLM_F_DUMP, |body| match parse(body) {
                Some(items) => dump.items.extend(items),
                None => dump.unread += 1,
            })?;
            if whole {
                return Ok(dump);
            }
        }
        bail!("it changes faster than it can be read")
    }

    /// Sends a request and calls `each` for every message of the answer. `false` if the kernel's data
    /// changed while the answer was read.
    fn request(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(&[u8]),
    ) -> Result<bool> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        self.socket.send(&bytes, 0).context("sending to netlink")?;
        let mut whole = true;
        loop {
            self.receive()?;
            let mut rest = self.buffer.as_slice();
            while !rest.is_empty() {
                let packet = NetlinkBuffer::new_checked(rest).context("reading from netlink")?;
                let length = packet.length() as usize;
                let body = &rest[16..length];
                rest = rest.get((length + 3) & !3..).unwrap_or_default();
                if packet.sequence_number() != self.sequence {
                    continue; // left over from a request that failed
                }
                whole &= packet.flags() & NLM_F_DUMP_INTR == 0;
                match packet.message_type() {
                    NLMSG_NOOP => {}
                    NLMSG_DONE | NLMSG_ERROR => {
                        refusal(body)?;
                        return Ok(whole);
                    }
                    _ => {
                        each(body);
                        if flags & NLM_F_DUMP == 0 {
                            return Ok(whole);
                        }
                    }
                }
            }
        }
    }

    fn receive(&mut self) -> Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_TRUNC) {
                Ok(length) if length > self.buffer.len() => {
                    bail!("an answer of netlink has {length} bytes, more than it ever should")
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading from netlink"),
            }
        }
    }
}

/// An answer ends with a negated errno or zero (netlink(7)).
fn refusal(body: &[u8]) -> Result<()> {
    let errno = match body {
        [a, b, c, d, ..] => i32::from_ne_bytes([*a, *b, *c, *d]),
        _ => 0,
    };
    if errno < 0 {
        return Err(Refused(io::Error::from_raw_os_error(-errno)).into());
    }
    Ok(())
}

fn is_refusal(error: &anyhow::Error, errno: i32) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.0.raw_os_error() == Some(errno))
}

/// A link layer address in hexadecimal with colons. Empty for a link without one.
pub fn mac(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
