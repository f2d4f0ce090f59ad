//! The units of a published port, as text.

use std::net::IpAddr;

use super::{Port, Publication};
use crate::instance::name::Instance;
use crate::systemd::unit;

pub const MARKER: &str = "# Written by netnsctl publish: ";

/// The socket, and the service that it starts.
pub fn texts(
    publication: &Publication,
    port: &Port,
    to: IpAddr,
    inside: &[Instance],
    fronts: &[Instance],
    proxy: &str,
) -> [String; 2] {
    let name = publication.name;
    let destination = match to {
        IpAddr::V4(to) => format!("{to}:{}", port.inside),
        IpAddr::V6(to) => format!("[{to}]:{}", port.inside),
    };
    let listen = match port.address {
        None => port.outside.to_string(),
        Some(IpAddr::V4(address)) => format!("{address}:{}", port.outside),
        Some(IpAddr::V6(address)) => format!("[{address}]:{}", port.outside),
    };
    let from = publication.from.map(|from| format!(" --from {from}"));
    let from = from.unwrap_or_default();
    let head = format!(
        "{MARKER}{publication} leads to {destination} in {name}\n\
         # 'netnsctl unpublish {name} {}{from}' removes it.\n\n[Unit]\n\
         Description=Port {listen} for the network namespace {name}\n",
        port.outside
    );
    let needs = |instances: &[Instance]| -> String {
        let lines = instances.iter().map(unit::inside);
        lines
            .map(|unit| format!("BindsTo={unit}\nAfter={unit}\n"))
            .collect()
    };
    let listening = match publication.from {
        Some(from) => format!("NetworkNamespacePath=/run/netns/{from}\n"),
        // A daemon of the host may have the port for one address of it.
        None if port.address.is_some() => "FreeBind=yes\n".to_owned(),
        None => String::new(),
    };
    let socket = format!(
        "{head}{}{}\
         # Else it would come before all services, and so before what it needs.\n\
         DefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target\n\n\
         [Socket]\nListenStream={listen}\n{listening}",
        needs(inside),
        needs(fronts)
    );
    let service = format!(
        "{head}Requires={0}\nAfter={0}\n{1}\n\
         [Service]\nType=notify\nExecStart={proxy} {destination}\n\
         NetworkNamespacePath=/run/netns/{name}\nPrivateTmp=yes\nProtectHome=yes\n",
        publication.socket(),
        needs(inside)
    );
    [socket, service]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::instance::name::NsName;

    #[test]
    fn texts_of_units() {
        let web: NsName = "web".parse().unwrap();
        let front: NsName = "front".parse().unwrap();
        let veth = ["veth@web".parse().unwrap()];
        let fronts = ["veth@front".parse().unwrap()];
        let cases = [
            ("publish", "8080:80", None, &fronts[..0]),
            ("publish-from", "[::1]:8080:80", Some(&front), &fronts[..]),
        ];
        for (golden, port, from, fronts) in cases {
            let publication = Publication {
                name: &web,
                outside: 8080,
                from,
            };
            let texts = super::texts(
                &publication,
                &port.parse().unwrap(),
                "127.0.0.1".parse().unwrap(),
                &veth,
                fronts,
                "/lib/systemd/systemd-socket-proxyd",
            );
            for (kind, text) in ["socket", "service"].iter().zip(texts) {
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
