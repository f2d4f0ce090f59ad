use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::instance::paths::Root;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::terminal;

/// Compute an address from a network, a subnet number and a host number
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl address --cidr 172.16.0.0/16/24 --net 2 --host 3
         172.16.2.3")]
pub struct Address {
    /// Network, with its prefix length and that of its subnets
    ///
    /// With one prefix length, the network has one subnet, itself. The prefix
    /// lengths of an IPv6 network must be at least 97: only the last 32 bits
    /// are computed.
    #[arg(long, value_name = "ADDRESS/LENGTH[/LENGTH]")]
    cidr: Network,

    /// Number of the subnet, counted from 0
    #[arg(long, default_value_t = 0)]
    net: u32,

    /// Number of the host in the subnet, counted from 0
    #[arg(long, default_value_t = 0)]
    host: u32,

    /// Append the prefix length of the network (1) or of the subnets (2)
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    subnet: Option<u8>,

    /// Replace the last 32 bits of this IPv6 address by the result
    ///
    /// An example is 1000::1:0.0.0.0. Prefix lengths grow by 96.
    #[arg(long, value_name = "ADDRESS")]
    ipv6_template: Option<Ipv6Addr>,
}

impl Address {
    pub fn run(&self, _root: &Root) -> Result<u8> {
        let address = self.compute().or_exit(Exit::Usage)?;
        terminal::print(&format!("{address}\n"))?;
        Ok(0)
    }

    fn compute(&self) -> Result<String> {
        let Self { cidr, .. } = self;
        let last = cidr.pick(self.net, self.host)?;
        let high = self.ipv6_template.or(cidr.high);
        let address = match high {
            Some(high) => IpAddr::from(with_end(high, last)),
            None => IpAddr::from(Ipv4Addr::from(last)),
        };
        let wider = if high.is_some() { HIGH } else { 0 };
        Ok(match self.subnet {
            None => address.to_string(),
            Some(1) => format!("{address}/{}", cidr.length + wider),
            Some(_) => format!("{address}/{}", cidr.subnet_length + wider),
        })
    }
}

/// How many bits of an IPv6 address stay as they are.
const HIGH: u8 = 96;

fn with_end(address: Ipv6Addr, last: u32) -> Ipv6Addr {
    let high = u128::from(address) & !u128::from(u32::MAX);
    Ipv6Addr::from(high | u128::from(last))
}

/// A network that is cut into subnets of one size, in the last 32 bits of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    /// Of IPv6, the address that the 32 bits are the end of.
    high: Option<Ipv6Addr>,
    /// The base address, masked.
    base: u32,
    /// In bits, of 32.
    length: u8,
    /// In bits, of 32; not less than `length`.
    subnet_length: u8,
}

impl Network {
    fn pick(&self, net: u32, host: u32) -> Result<u32> {
        let host_bits = 32 - self.subnet_length;
        let nets = 1u64 << (self.subnet_length - self.length);
        let hosts = 1u64 << host_bits;
        let check = |option, value: u32, count: u64| {
            ensure!(
                u64::from(value) < count,
                "{option} {value} is out of range: {self} has 0 to {}",
                count - 1
            );
            Ok(u64::from(value))
        };
        let net = check("--net", net, nets)?;
        let host = check("--host", host, hosts)?;
        let last = u64::from(self.base) + (net << host_bits) + host;
        u32::try_from(last).context("the address is beyond the last one")
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
        ensure!(
            parts.next().is_none(),
            "it has more than two prefix lengths"
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(
        cidr: &str,
        net: u32,
        host: u32,
        subnet: Option<u8>,
        template: Option<&str>,
    ) -> Result<String> {
        let ipv6_template = template.map(|template| template.parse().unwrap());
        let cidr = cidr.parse()?;
        Address {
            cidr,
            net,
            host,
            subnet,
            ipv6_template,
        }
        .compute()
    }

    #[test]
    fn addresses_are_base_plus_net_plus_host() {
        let template = Some("1000::1:0.0.0.0");
        for (cidr, net, host, subnet, template, expected) in [
            ("172.16.0.0/16/24", 2, 3, None, None, "172.16.2.3"),
            ("172.16.0.0/16/24", 2, 3, Some(1), None, "172.16.2.3/16"),
            ("172.16.0.0/16/24", 2, 3, Some(2), None, "172.16.2.3/24"),
            ("172.16.9.9/16/24", 255, 255, None, None, "172.16.255.255"),
            ("10.0.0.0/24", 0, 7, Some(2), None, "10.0.0.7/24"),
            ("10.0.0.5/32", 0, 0, Some(1), None, "10.0.0.5/32"),
            ("0.0.0.0/0/0", 0, u32::MAX, None, None, "255.255.255.255"),
            ("0.0.0.0/0/32", u32::MAX, 0, None, None, "255.255.255.255"),
            ("172.16.0.0/16/24", 2, 3, None, template, "1000::1:ac10:203"),
            (
                "172.16.0.0/16/24",
                2,
                3,
                Some(1),
                template,
                "1000::1:ac10:203/112",
            ),
            (
                "172.16.0.0/16/24",
                2,
                3,
                Some(2),
                template,
                "1000::1:ac10:203/120",
            ),
            ("fd00::/112/120", 2, 3, Some(2), None, "fd00::203/120"),
            (
                "fd00::1:ffff:ffff/97/97",
                0,
                1,
                Some(1),
                None,
                "fd00::1:8000:1/97",
            ),
        ] {
            let found = address(cidr, net, host, subnet, template);
            assert_eq!(found.unwrap(), expected, "{cidr} {net} {host}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for (cidr, net, host) in [
            ("172.16.0.0/16/24", 256, 0),
            ("172.16.0.0/16/24", 0, 256),
            ("172.16.0.0/24", 1, 0),
            ("172.16.0.0/32", 0, 1),
            ("172.16.0.0", 0, 0),
            ("172.16.0.0/", 0, 0),
            ("172.16.0.0/33", 0, 0),
            ("172.16.0.0/-1", 0, 0),
            ("172.16.0.0/+8", 0, 0),
            ("172.16.0.0/24/16", 0, 0),
            ("172.16.0.0/16/24/28", 0, 0),
            ("172.16.0.0/16/33", 0, 0),
            ("172.16.0/16/24", 0, 0),
            ("web/16", 0, 0),
            ("fd00::/96", 0, 0),
            ("fd00::/64/120", 0, 0),
            ("fd00::/120/129", 0, 0),
            ("fd00::/112/120", 256, 0),
        ] {
            assert!(address(cidr, net, host, None, None).is_err(), "{cidr}");
        }
    }
}
