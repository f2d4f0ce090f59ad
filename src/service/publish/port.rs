use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

/// A port outside and the one inside that it leads to, written `[ADDRESS:]PORT:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where to listen; everywhere where there is none.
    pub address: Option<IpAddr>,
    pub outside: u16,
    pub inside: u16,
}

impl FromStr for Port {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let number = |text: &str| match text.parse::<u16>() {
            Ok(number) if number != 0 => Ok(number),
            _ => Err(anyhow!("'{text}' is no port: 1 to 65535 are")),
        };
        if word.ends_with("/udp") {
            bail!("systemd-socket-proxyd serves TCP only: for UDP use NAT_PUBLISH of type nat");
        }
        let ports = word.strip_suffix("/tcp").unwrap_or(word);
        let parts = ports
            .rsplit_once(':')
            .map(|(rest, inside)| (rest.rsplit_once(':'), rest, inside));
        let Some((split, rest, inside)) = parts else {
            bail!("'{word}' has to be [ADDRESS:]PORT:PORT, as in 8080:80");
        };
        let (address, outside) = match split {
            None => (None, rest),
            Some((address, outside)) => {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|address| address.strip_suffix(']'))
                    .unwrap_or(address);
                let parsed = bare.parse::<IpAddr>();
                let parsed = parsed.map_err(|_| anyhow!("'{address}' is no IP address"))?;
                if parsed.is_ipv6() && bare == address {
                    bail!("an IPv6 address has to be in brackets, as in [::1]:8080:80");
                }
                (Some(parsed), outside)
            }
        };
        Ok(Self {
            address,
            outside: number(outside)?,
            inside: number(inside)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let port = |word: &str| word.parse::<Port>();
        assert_eq!(
            port("8080:80").unwrap(),
            Port {
                address: None,
                outside: 8080,
                inside: 80
            }
        );
        assert_eq!(port("8080:80/tcp").unwrap(), port("8080:80").unwrap());
        let local = port("127.0.0.1:8080:80").unwrap();
        assert_eq!(local.address, Some("127.0.0.1".parse().unwrap()));
        let six = port("[2001:db8::1]:8080:80").unwrap();
        assert_eq!(six.address, Some("2001:db8::1".parse().unwrap()));
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
            "53:53/udp",
            "80:80/sctp",
            "-1:80",
        ] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
