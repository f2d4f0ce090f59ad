//! A relay for datagrams: systemd-socket-proxyd(8) serves only TCP.
//!
//! systemd binds the socket outside and runs the relay inside. Each client has a flow: a socket
//! inside that is connected to the service. Answers are sent from the address that the client used.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};

/// The timeout of conntrack for UDP streams with traffic in both directions.
const IDLE: Duration = Duration::from_secs(120);

/// Each uses a file descriptor, which the unit allows for.
const FLOWS_MAX: usize = 1000;

/// How many datagrams to relay in one direction before the other one.
const BURST: usize = 64;

/// More than the longest datagram.
const BUFFER: usize = 1 << 16;

/// A client, and the address that it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    client: SocketAddr,
    asked: Option<(IpAddr, u32)>,
}

struct Flow {
    inside: UdpSocket,
    used: Instant,
}

/// Relays between the datagram socket `outside` and the address `to` until the process is killed.
pub fn run(outside: BorrowedFd, to: SocketAddr) -> Result<()> {
    let mut flows: HashMap<Peer, Flow> = HashMap::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let ready = wait(outside, &flows)?;
        for peer in ready {
            let Some(flow) = flows.get_mut(&peer) else {
                continue;
            };
            for _ in 0..BURST {
                // The service may refuse or lose a datagram.
                let Ok(length) = flow.inside.recv(&mut buffer) else {
                    break;
                };
                flow.used = Instant::now();
                answer(outside, &peer, &buffer[..length]);
            }
        }
        // Not indefinitely: answers are waiting.
        for _ in 0..BURST {
            let Some((peer, length)) = receive(outside, &mut buffer)? else {
                break;
            };
            make_room(&mut flows, &peer);
            if let Some(flow) = flow_of(&mut flows, peer, to) {
                let _ = flow.inside.send(&buffer[..length]);
            }
        }
        flows.retain(|_, flow| flow.used.elapsed() < IDLE);
    }
}

/// Waits for datagrams, or until a flow expires. Returns the flows with answers.
fn wait(outside: BorrowedFd, flows: &HashMap<Peer, Flow>) -> Result<Vec<Peer>> {
    let peers: Vec<&Peer> = flows.keys().collect();
    let mut waiting = vec![PollFd::new(outside, PollFlags::POLLIN)];
    waiting.extend(
        flows
            .values()
            .map(|flow| PollFd::new(flow.inside.as_fd(), PollFlags::POLLIN)),
    );
    let timeout = match flows.is_empty() {
        true => PollTimeout::NONE,
        false => PollTimeout::from(u16::MAX),
    };
    match poll(&mut waiting, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno).context("waiting for datagrams"),
    }
    let ready = waiting[1..].iter().zip(peers);
    let ready = ready.filter(|(descriptor, _)| descriptor.any().unwrap_or(false));
    Ok(ready.map(|(_, peer)| *peer).collect())
}

/// The next datagram of a client, if there is one.
fn receive(outside: BorrowedFd, buffer: &mut [u8]) -> Result<Option<(Peer, usize)>> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut control = cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let received = recvmsg::<SockaddrStorage>(
        outside.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    );
    let received = match received {
        Ok(received) => received,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno).context("receiving a datagram"),
    };
    let asked = received.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                Some((address.into(), 0))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                Some((address.into(), info.ipi6_ifindex))
            }
            _ => None,
        })
    });
    let client = received.address.as_ref().and_then(socket_address);
    let client = client.context("a datagram without the address of its sender")?;
    Ok(Some((Peer { client, asked }, received.bytes)))
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|address| SocketAddr::V6((*address).into()))
    })
}

fn answer(outside: BorrowedFd, peer: &Peer, datagram: &[u8]) {
    let (v4, v6);
    let from = match peer.asked {
        Some((IpAddr::V4(address), _)) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some((IpAddr::V6(address), index)) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                // Only link-local addresses need their interface.
                ipi6_ifindex: if address.is_unicast_link_local() {
                    index
                } else {
                    0
                },
            };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        None => None,
    };
    let from: Vec<ControlMessage> = from.into_iter().collect();
    let to = SockaddrStorage::from(peer.client);
    let parts = [IoSlice::new(datagram)];
    let _ = sendmsg(
        outside.as_raw_fd(),
        &parts,
        &from,
        MsgFlags::MSG_DONTWAIT,
        Some(&to),
    );
}

/// Ends the flow that has been idle for the longest time, if there are too many.
fn make_room(flows: &mut HashMap<Peer, Flow>, peer: &Peer) {
    if flows.len() < FLOWS_MAX || flows.contains_key(peer) {
        return;
    }
    let oldest = flows.iter().min_by_key(|(_, flow)| flow.used);
    if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
        flows.remove(&oldest);
    }
}

/// The flow of a client. `None` if `to` cannot be reached.
fn flow_of(flows: &mut HashMap<Peer, Flow>, peer: Peer, to: SocketAddr) -> Option<&mut Flow> {
    let flow = match flows.entry(peer) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(connect(to).ok()?),
    };
    flow.used = Instant::now();
    Some(flow)
}

fn connect(to: SocketAddr) -> io::Result<Flow> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let inside = UdpSocket::bind((any, 0))?;
    inside.connect(to)?;
    inside.set_nonblocking(true)?;
    let used = Instant::now();
    Ok(Flow { inside, used })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server that answers each datagram with itself, and a relay to it.
    fn relay(listen: &str, server: &str) -> SocketAddr {
        let server = UdpSocket::bind(server).unwrap();
        let to = server.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; BUFFER];
            loop {
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&buffer[..length], from).unwrap();
            }
        });
        let outside = UdpSocket::bind(listen).unwrap();
        use nix::sys::socket::{setsockopt, sockopt};
        let _ = setsockopt(&outside, sockopt::Ipv4PacketInfo, &true);
        let _ = setsockopt(&outside, sockopt::Ipv6RecvPacketInfo, &true);
        let address = outside.local_addr().unwrap();
        thread::spawn(move || run(outside.as_fd(), to));
        address
    }

    fn ask(client: &UdpSocket, server: SocketAddr, question: &[u8]) {
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.send_to(question, server).unwrap();
        let mut buffer = vec![0; BUFFER];
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (question, server));
    }

    #[test]
    fn answers_come_from_the_address_that_was_asked() {
        let port = relay("[::]:0", "127.0.0.1:0").port();
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        let other = UdpSocket::bind("0.0.0.0:0").unwrap();
        for address in ["127.0.0.1", "127.0.0.2"] {
            let server = SocketAddr::new(address.parse().unwrap(), port);
            for question in [&b"one"[..], b"", &[7; 65507]] {
                ask(&client, server, question);
                ask(&other, server, question);
            }
        }
        let client = UdpSocket::bind("[::]:0").unwrap();
        ask(
            &client,
            SocketAddr::new("::1".parse().unwrap(), port),
            b"six",
        );
    }

    #[test]
    fn each_family_reaches_the_other() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        ask(&client, relay("127.0.0.1:0", "[::1]:0"), b"four to six");
    }

    #[test]
    fn the_number_of_flows_is_bounded() {
        let server = relay("127.0.0.1:0", "127.0.0.1:0");
        for number in 0..FLOWS_MAX + 100 {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            ask(&client, server, number.to_string().as_bytes());
        }
    }
}
