use std::net::Ipv6Addr;

use anyhow::Result;
use clap::Args;

use crate::instance::paths::Root;
use crate::pods::network::Network;
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
        let found = self
            .cidr
            .host(self.net, self.host)?
            .or_end_of(self.ipv6_template);
        Ok(match self.subnet {
            None => found.address.to_string(),
            Some(1) => format!("{}/{}", found.address, found.length),
            Some(_) => format!("{}/{}", found.address, found.subnet_length),
        })
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
