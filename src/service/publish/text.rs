//! The units of a published port, as text.

use std::net::{IpAddr, SocketAddr};

use super::{Protocol, Publication};
use crate::instance::name::Instance;
use crate::systemd::unit;

pub const MARKER: &str = "# Written by netnsctl publish: ";

/// The content of the units.
pub struct Texts<'a> {
    pub publication: Publication<'a>,
    /// The address to listen on. `None` for all addresses.
    pub address: Option<IpAddr>,
    /// The address inside.
    pub to: SocketAddr,
    pub inside: &'a [Instance],
    pub fronts: &'a [Instance],
    /// The program that relays to an address inside.
    pub program: &'a str,
}

impl Texts<'_> {
    fn head(&self) -> String {
        let Publication { name, port, .. } = self.publication;
        let from = self.publication.from.map(|from| format!(" --from {from}"));
        let udp = if self.is_udp() { "/udp" } else { "" };
        format!(
            "{MARKER}{} to {} of namespace {name}\n\
             # 'netnsctl unpublish {name} {port}{udp}{}' removes it.\n\n[Unit]\n\
             Description=Port {}{udp} for the network namespace {name}\n",
            self.publication,
            self.to,
            from.unwrap_or_default(),
            self.listen(),
        )
    }

    fn is_udp(&self) -> bool {
        self.publication.protocol == Protocol::Udp
    }

    fn listen(&self) -> String {
        let port = self.publication.port;
        let on = |address| SocketAddr::new(address, port).to_string();
        self.address.map_or_else(|| port.to_string(), on)
    }

    pub fn socket(&self) -> String {
        let (kind, options) = match self.publication.protocol {
            Protocol::Tcp => ("Stream", ""),
            // The answer has to come from the address that the client used.
            Protocol::Udp => ("Datagram", "PassPacketInfo=yes\n"),
        };
        let place = match (self.publication.from, self.address) {
            (Some(from), _) => format!("NetworkNamespacePath=/run/netns/{from}\n"),
            // A daemon of the host may use the port on one of the host's addresses.
            (None, Some(_)) => "FreeBind=yes\n".to_owned(),
            (None, None) => String::new(),
        };
        format!(
            "{}{}{}\
             # By default, sockets start before all services, and so before those of the namespace.\n\
             DefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target\n\n\
             [Socket]\nListen{kind}={}\n{place}{options}",
            self.head(),
            bind_to(self.inside),
            bind_to(self.fronts),
            self.listen(),
        )
    }

    pub fn service(&self) -> String {
        let Publication { name, .. } = self.publication;
        let run = match self.publication.protocol {
            Protocol::Tcp => "Type=notify",
            Protocol::Udp => {
                "Type=exec\nStandardInput=socket\nStandardOutput=journal\nLimitNOFILE=2048"
            }
        };
        format!(
            "{}Requires={2}\nAfter={2}\n{1}\n\
             [Service]\n{run}\nExecStart={3} {4}\nNetworkNamespacePath=/run/netns/{name}\n\
             DynamicUser=yes\nCapabilityBoundingSet=\nPrivateTmp=yes\nProtectHome=yes\n",
            self.head(),
            bind_to(self.inside),
            self.publication.socket(),
            self.program,
            self.to,
        )
    }
}

fn bind_to(instances: &[Instance]) -> String {
    let units = instances.iter().map(unit::inside);
    units
        .map(|unit| format!("BindsTo={unit}\nAfter={unit}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn texts_of_units() {
        let (web, front) = ("web".parse().unwrap(), "front".parse().unwrap());
        let veth = ["veth@web".parse().unwrap()];
        let fronts = ["veth@front".parse().unwrap()];
        let one = Some("::1".parse().unwrap());
        let cases = [
            ("publish", Protocol::Tcp, None, None, &fronts[..0]),
            (
                "publish-from",
                Protocol::Tcp,
                one,
                Some(&front),
                &fronts[..],
            ),
            ("publish-udp", Protocol::Udp, one, None, &fronts[..0]),
        ];
        for (golden, protocol, address, from, fronts) in cases {
            let texts = Texts {
                publication: Publication {
                    name: &web,
                    protocol,
                    port: 8080,
                    from,
                },
                address,
                to: "127.0.0.1:80".parse().unwrap(),
                inside: &veth,
                fronts,
                program: "/lib/systemd/systemd-socket-proxyd",
            };
            for (kind, text) in [("socket", texts.socket()), ("service", texts.service())] {
                let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/golden")
                    .join(format!("{golden}.{kind}"));
                if std::env::var_os("NETNS_BLESS").is_some() {
                    fs::write(&path, &text).unwrap();
                }
                assert_eq!(text, fs::read_to_string(path).unwrap(), "{golden}.{kind}");
            }
        }
    }
}
