//! Ports, and how they are written on the command line.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail, ensure};

/// A range has two units for each port, all of which systemd loads.
const PORTS_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Ports outside, written `PORT[-LAST][/udp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    pub range: RangeInclusive<u16>,
    pub protocol: Protocol,
}

/// Ports outside and the ports inside to relay to, written `[ADDRESS:]PORTS:PORTS[/udp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The address to listen on. `None` for all addresses.
    pub address: Option<IpAddr>,
    pub outside: Ports,
    /// As many as outside.
    pub inside: RangeInclusive<u16>,
}

impl Mapping {
    /// Each port outside with its port inside.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, u16)> {
        self.outside.range.clone().zip(self.inside.clone())
    }
}

/// As part of the name of a unit.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.range.start(), self.range.end());
        write!(f, "{first}")?;
        if last != first {
            write!(f, "-{last}")?;
        }
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl FromStr for Ports {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let (ports, protocol) = protocol(word)?;
        let range = range(ports)?;
        Ok(Self { range, protocol })
    }
}

impl FromStr for Mapping {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let (ports, protocol) = protocol(word)?;
        let Some((rest, inside)) = ports.rsplit_once(':') else {
            bail!("'{word}' must be [ADDRESS:]PORT:PORT, as in 8080:80");
        };
        let (address, outside) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((word, outside)) => (Some(address(word)?), outside),
        };
        let (outside, inside) = (range(outside)?, range(inside)?);
        ensure!(
            outside.len() == inside.len(),
            "the ranges in '{word}' have different lengths: {} and {}",
            outside.len(),
            inside.len()
        );
        let range = outside;
        Ok(Self {
            address,
            outside: Ports { range, protocol },
            inside,
        })
    }
}

fn protocol(word: &str) -> Result<(&str, Protocol)> {
    match word.split_once('/') {
        None => Ok((word, Protocol::Tcp)),
        Some((ports, "tcp")) => Ok((ports, Protocol::Tcp)),
        Some((ports, "udp")) => Ok((ports, Protocol::Udp)),
        Some((_, other)) => bail!("unknown protocol '{other}': only tcp and udp are supported"),
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>> {
    let number = |text: &str| match text.parse::<u16>() {
        Ok(number) if number != 0 && !text.starts_with('+') => Ok(number),
        _ => Err(anyhow!("'{text}' is not a port from 1 to 65535")),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    ensure!(!range.is_empty(), "the range {text} is empty");
    ensure!(
        range.len() <= PORTS_MAX,
        "the range {text} has more than {PORTS_MAX} ports: use NAT_PUBLISH of type nat"
    );
    Ok(range)
}

fn address(word: &str) -> Result<IpAddr> {
    let bare = word
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(word).parse::<IpAddr>();
    let address = address.map_err(|_| anyhow!("'{word}' is not an IP address"))?;
    ensure!(
        address.is_ipv6() == bare.is_some(),
        "only an IPv6 address is written in brackets, as in [::1]:8080:80"
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings() {
        let mapping = |word: &str| word.parse::<Mapping>();
        let plain = mapping("8080:80").unwrap();
        assert_eq!(plain.address, None);
        assert_eq!(plain.outside.to_string(), "8080");
        assert_eq!(plain.pairs().collect::<Vec<_>>(), [(8080, 80)]);
        assert_eq!(mapping("8080:80/tcp").unwrap(), plain);
        let local = mapping("127.0.0.1:8080:80").unwrap();
        assert_eq!(local.address, Some("127.0.0.1".parse().unwrap()));
        let six = mapping("[2001:db8::1]:53-54:1053-1054/udp").unwrap();
        assert_eq!(six.address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(six.outside.to_string(), "53-54/udp");
        assert_eq!(six.pairs().collect::<Vec<_>>(), [(53, 1053), (54, 1054)]);
        assert!(mapping("1-256:1-256").is_ok());
        for bad in [
            "",
            "80",
            ":",
            "0:80",
            "80:0",
            "65536:80",
            "a:b",
            "x:80:80",
            "::1:8080:80",
            "[127.0.0.1]:80:80",
            "80:80/sctp",
            "80:80/udp/tcp",
            "-1:80",
            "+80:80",
            "80-:80",
            "81-80:81-80",
            "80-81:80",
            "80:80-81",
            "1-257:1-257",
            "80-81-82:80-81-82",
            " 80:80",
        ] {
            assert!(mapping(bad).is_err(), "{bad}");
        }
    }
}
