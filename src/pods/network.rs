//! Networks that are divided into subnets, one for each node.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// The number of bits of an IPv6 address that are not computed.
const HIGH: u8 = 96;

/// Replaces the last 32 bits of an IPv6 address.
pub fn with_end(address: Ipv6Addr, last: u32) -> Ipv6Addr {
    let high = u128::from(address) & !u128::from(u32::MAX);
    Ipv6Addr::from(high | u128::from(last))
}

/// A network that is divided into subnets of the same size, within the last 32 bits of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The upper 96 bits, if the network is IPv6.
    high: Option<Ipv6Addr>,
    /// The last 32 bits of the network address, masked.
    base: u32,
    /// The prefix length within the 32 bits.
    length: u8,
    /// The prefix length of a subnet within the 32 bits, at least `length`.
    subnet_length: u8,
}

impl Network {
    /// The address of a host in a subnet, each counted from 0.
    ///
    /// # Errors
    /// There is no such subnet, or no such host in it.
    pub fn host(&self, net: u32, host: u32) -> Result<Host> {
        let nets = 1u64 << (self.subnet_length - self.length);
        let check = |option, value: u32, count: u64| {
            ensure!(
                u64::from(value) < count,
                "{option} {value} is out of range: {self} has 0 to {}",
                count - 1
            );
            Ok(u64::from(value))
        };
        let net = check("--net", net, nets)?;
        let host = check("--host", host, self.hosts())?;
        let last = u64::from(self.base) + (net << self.host_bits()) + host;
        let last = u32::try_from(last).context("the address is out of range")?;
        let host = Host {
            address: IpAddr::from(Ipv4Addr::from(last)),
            length: self.length,
            subnet_length: self.subnet_length,
            last,
        };
        Ok(host.or_end_of(self.high))
    }

    /// The number of addresses in a subnet, including those that are not usable for hosts.
    pub fn hosts(&self) -> u64 {
        1 << self.host_bits()
    }

    /// Whether the addresses are IPv4.
    pub fn is_v4(&self) -> bool {
        self.high.is_none()
    }

    fn host_bits(&self) -> u8 {
        32 - self.subnet_length
    }
}

/// An address with the prefix lengths of its network and of its subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    pub address: IpAddr,
    pub length: u8,
    pub subnet_length: u8,
    /// The last 32 bits of the address.
    last: u32,
}

impl Host {
    /// The IPv6 host with the upper 96 bits of `high`. The prefix lengths of an IPv4 host grow by 96.
    pub fn at_end_of(self, high: Ipv6Addr) -> Self {
        let wider = match self.address {
            IpAddr::V4(_) => HIGH,
            IpAddr::V6(_) => 0,
        };
        Self {
            address: with_end(high, self.last).into(),
            length: self.length + wider,
            subnet_length: self.subnet_length + wider,
            ..self
        }
    }

    /// [`Self::at_end_of`] `high` if it is given, otherwise this host.
    pub fn or_end_of(self, high: Option<Ipv6Addr>) -> Self {
        high.map_or(self, |high| self.at_end_of(high))
    }
}

impl FromStr for Network {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let mut parts = word.split('/');
        let address = parts.next().unwrap_or_default();
        let Ok(address) = address.parse::<IpAddr>() else {
            bail!("'{address}' is not an IP address");
        };
        let (least, most) = match address {
            IpAddr::V4(_) => (0, 32),
            IpAddr::V6(_) => (HIGH + 1, 128),
        };
        let length = |text: &str| -> Result<u8> {
            let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
            match text.parse::<u8>() {
                Ok(length) if digits && (least..=most).contains(&length) => Ok(length),
                _ => bail!("prefix length '{text}' is not from {least} to {most}"),
            }
        };
        let first = length(parts.next().context("the prefix length is missing")?)?;
        let second = parts.next().map(length).transpose()?.unwrap_or(first);
        ensure!(parts.next().is_none(), "more than two prefix lengths");
        ensure!(
            first <= second,
            "subnets of prefix length {second} are larger than the network"
        );
        let (high, last) = match address {
            IpAddr::V4(v4) => (None, u32::from(v4)),
            IpAddr::V6(v6) => (Some(v6), u128::from(v6) as u32),
        };
        let length = first - (most - 32);
        let mask = u32::MAX.checked_shl(u32::from(32 - length)).unwrap_or(0);
        Ok(Self {
            high,
            base: last & mask,
            length,
            subnet_length: second - (most - 32),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, .. } = self;
        let (first, second) = (self.length, self.subnet_length);
        match self.high {
            None => write!(f, "{}/{first}/{second}", Ipv4Addr::from(*base)),
            Some(high) => {
                let (first, second) = (first + HIGH, second + HIGH);
                write!(f, "{}/{first}/{second}", with_end(high, *base))
            }
        }
    }
}
