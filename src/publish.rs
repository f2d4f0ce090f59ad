//! Ports outside that lead to a service in a namespace, by systemd-socket-proxyd(8).
//!
//! systemd listens outside, or in another namespace, and hands the connections to a proxy inside.
//! It listens only while the namespace is up: a connection is no reason to start one.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

use crate::attach::{Change, check_type};
use crate::exit::{Exit, OrExit};
use crate::file::{self, Missing};
use crate::manager::Manager;
use crate::name::{Instance, NsName};
use crate::root::Root;
use crate::service;
use crate::unit::Part;

const MARKER: &str = "# Written by netnsctl publish: ";

/// A port outside and the one inside that it leads to, written `[ADDRESS:]PORT:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where to listen; everywhere where there is none.
    address: Option<IpAddr>,
    pub outside: u16,
    inside: u16,
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

/// A namespace, or one with a type that it has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Namespace(NsName),
    Instance(Instance),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word.parse() {
            Ok(instance) => Ok(Target::Instance(instance)),
            Err(_) => Ok(Target::Namespace(word.parse()?)),
        }
    }
}

impl Target {
    pub fn nsname(&self) -> &NsName {
        match self {
            Target::Namespace(name) => name,
            Target::Instance(instance) => &instance.nsname,
        }
    }

    /// The types that are applied to the namespace: those that run or are enabled, else those
    /// that have a file for it.
    fn instances(&self, root: &Root, manager: Option<&Manager>) -> Result<Vec<Instance>> {
        service::check_instance(self.nsname())?;
        let name = match self {
            Target::Instance(instance) => {
                check_type(root, instance)?;
                return Ok(vec![instance.clone()]);
            }
            Target::Namespace(name) => name,
        };
        let mut units = Vec::new();
        if let Some(manager) = manager {
            units.extend(manager.active(&[format!("netns-*@{name}.service")])?);
        }
        for directory in entries(&root.unit_dir())? {
            if directory.ends_with(".wants") || directory.ends_with(".requires") {
                units.extend(entries(&root.unit_dir().join(directory))?);
            }
        }
        let mut instances: Vec<Instance> = units
            .iter()
            .filter_map(|unit| match Part::of_unit(unit)? {
                (Part::Inside, (nstype, nsname)) if nsname == name.as_str() => Some(Instance {
                    nstype: nstype.parse().ok()?,
                    nsname: name.clone(),
                }),
                _ => None,
            })
            .collect();
        if instances.is_empty() {
            let suffix = format!("-{name}.conf");
            for file in entries(&root.conf_dir())? {
                let nstype = file
                    .strip_suffix(&suffix)
                    .and_then(|stem| stem.parse().ok());
                instances.extend(nstype.map(|nstype| Instance {
                    nstype,
                    nsname: name.clone(),
                }));
            }
        }
        instances.sort();
        instances.dedup();
        if instances.is_empty() {
            bail!(
                "nothing tells which type the namespace '{name}' has: say NSTYPE@{name}, \
                 as in veth@{name}"
            );
        }
        for instance in &instances {
            check_type(root, instance)?;
        }
        Ok(instances)
    }
}

fn entries(directory: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {}", directory.display());
    let mut names = Vec::new();
    let read = fs::read_dir(directory).missing_ok().with_context(reading)?;
    for entry in read.into_iter().flatten() {
        names.extend(entry.with_context(reading)?.file_name().into_string());
    }
    Ok(names)
}

/// One published port, by what its units are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication<'a> {
    pub name: &'a NsName,
    pub outside: u16,
    /// The namespace that is listened in, if not the host's.
    pub from: Option<&'a NsName>,
}

impl fmt::Display for Publication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "port {} of the namespace '{from}'", self.outside),
            None => write!(f, "port {}", self.outside),
        }
    }
}

impl Publication<'_> {
    fn unit(&self, kind: &str) -> String {
        let Self { name, outside, .. } = self;
        let from = self.from.map(|from| format!("-{from}")).unwrap_or_default();
        format!("netns_publish-{outside}{from}@{name}.{kind}")
    }

    pub fn socket(&self) -> String {
        self.unit("socket")
    }

    fn service(&self) -> String {
        self.unit("service")
    }

    /// Whose start starts the socket: links to it.
    fn links(&self, root: &Root) -> Result<Vec<PathBuf>> {
        let mut links = Vec::new();
        for directory in entries(&root.unit_dir())? {
            if directory.starts_with("netns-") && directory.ends_with(".service.wants") {
                let link = root.unit_dir().join(directory).join(self.socket());
                links.extend(fs::symlink_metadata(&link).is_ok().then_some(link));
            }
        }
        Ok(links)
    }
}

/// Has systemd listen, now if the namespace is up, and whenever it comes up.
///
/// # Errors
/// Nothing is published, and no file is left.
pub fn publish(
    root: &Root,
    manager: Option<&Manager>,
    target: &Target,
    port: &Port,
    from: Option<&Target>,
    to: IpAddr,
) -> Result<bool> {
    let publication = Publication {
        name: target.nsname(),
        outside: port.outside,
        from: from.map(Target::nsname),
    };
    if publication.from == Some(publication.name) {
        return Err(anyhow!(
            "--from names the very namespace that the port leads to"
        ))
        .or_exit(Exit::Usage);
    }
    let inside = target.instances(root, manager)?;
    let fronts = match from {
        Some(from) => from.instances(root, manager)?,
        None => Vec::new(),
    };
    let texts = texts(&publication, port, to, &inside, &fronts, &proxy(root)?);
    let socket = root.unit_dir().join(publication.socket());
    if fs::symlink_metadata(&socket).is_ok() {
        bail!(
            "{publication} leads to '{0}' already: 'netnsctl unpublish {0} {1}' first",
            publication.name,
            port.outside
        );
    }
    let [socket_text, service_text] = texts;
    let files = [
        (socket, Some(socket_text)),
        (
            root.unit_dir().join(publication.service()),
            Some(service_text),
        ),
    ];
    let change = Change::of(&files)?;
    let all: Vec<Instance> = inside.iter().chain(&fronts).cloned().collect();
    let done = change.make().and_then(|()| {
        for instance in &all {
            let unit = Part::Inside.unit(&instance.nstype, &instance.nsname);
            let directory = root.unit_dir().join(format!("{unit}.wants"));
            file::make_directory(&directory, 0o755)?;
            let link = directory.join(publication.socket());
            symlink(Path::new("..").join(publication.socket()), &link)
                .with_context(|| format!("making the link {}", link.display()))?;
        }
        begin(manager, &publication, &all)
    });
    done.map_err(|error| {
        let undone = remove_links(root, &publication).and_then(|()| change.take_back());
        let _ = manager.map(Manager::reload);
        match undone {
            Ok(()) => error,
            Err(other) => error.context(format!("{other:#}, after")),
        }
    })
}

/// True if it listens now.
fn begin(
    manager: Option<&Manager>,
    publication: &Publication,
    instances: &[Instance],
) -> Result<bool> {
    let Some(manager) = manager else {
        return Ok(false);
    };
    manager.reload()?;
    for instance in instances {
        let unit = Part::Inside.unit(&instance.nstype, &instance.nsname);
        if manager.active(&[unit])?.is_empty() {
            return Ok(false);
        }
    }
    manager
        .start(&publication.socket())
        .with_context(|| format!("{publication} cannot be listened on"))?;
    Ok(true)
}

/// Takes back what `publish` did.
///
/// # Errors
/// The port is not published, or not by us; or a file cannot be removed.
pub fn unpublish(root: &Root, manager: Option<&Manager>, publication: &Publication) -> Result<()> {
    let socket = root.unit_dir().join(publication.socket());
    let reading = || format!("reading {}", socket.display());
    let Some(text) = fs::read_to_string(&socket)
        .missing_ok()
        .with_context(reading)?
    else {
        bail!(
            "{publication} does not lead to '{}': there is no {}",
            publication.name,
            socket.display()
        );
    };
    if !text.starts_with(MARKER) {
        bail!("{} is not ours, and is left alone", socket.display());
    }
    let service = root.unit_dir().join(publication.service());
    let files = [(socket, None), (service, None)];
    let change = Change::of(&files)?;
    if let Err(error) = change.make() {
        change.take_back()?;
        return Err(error);
    }
    remove_links(root, publication)?;
    if let Some(manager) = manager {
        // While systemd still knows what they are.
        manager.stop(&[publication.socket(), publication.service()])?;
        manager.reload()?;
    }
    Ok(())
}

fn remove_links(root: &Root, publication: &Publication) -> Result<()> {
    for link in publication.links(root)? {
        fs::remove_file(&link).with_context(|| format!("removing {}", link.display()))?;
        if let Some(directory) = link.parent() {
            // There may be others.
            let _ = fs::remove_dir(directory);
        }
    }
    Ok(())
}

/// Where systemd keeps its programs depends on the distribution.
fn proxy(root: &Root) -> Result<String> {
    let places = ["/usr/lib/systemd", "/lib/systemd"];
    let paths = places.map(|place| format!("{place}/systemd-socket-proxyd"));
    let found = paths.iter().find(|path| root.path(path).exists()).cloned();
    found
        .with_context(|| {
            format!(
                "systemd-socket-proxyd is needed, and not in {}",
                places.join(" or ")
            )
        })
        .or_exit(Exit::NotInstalled)
}

fn texts(
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
        let unit = |instance: &Instance| Part::Inside.unit(&instance.nstype, &instance.nsname);
        let lines = instances.iter().map(unit);
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
