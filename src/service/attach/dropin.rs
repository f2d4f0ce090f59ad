//! The drop-in that attaches a service, as text.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::instance::name::{Instance, NsName};
use crate::systemd::service::ServiceName;
use crate::systemd::unit;

/// The first line of our drop-ins.
const MARKER: &str = "# Written by netnsctl attach: ";
const DIRECTORY_MARK: &str = "# Its directory was made with it.";

/// The files of systemd-resolved, to which `/etc/resolv.conf` often is a symlink.
pub const RESOLVED: &str = "/run/systemd/resolve";

/// The sockets of the name service cache daemon (nscd(8)).
const NSCD: &str = "/run/nscd";

/// A bind mount of a file or directory over another, with paths as the service sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    pub from: PathBuf,
    pub to: PathBuf,
}

/// The content of a drop-in.
#[derive(Debug, Clone)]
pub struct DropIn<'a> {
    pub service: &'a ServiceName,
    /// Types of one namespace. Not empty.
    pub instances: &'a [Instance],
    /// The bind mounts over files in `/etc`.
    pub binds: &'a [Bind],
    /// `/etc/netns/NSNAME/resolv.conf`, unless the service uses that of the host.
    pub resolv_conf: Option<&'a Path>,
    /// `/etc/resolv.conf` is a symlink to a file of systemd-resolved, which may not exist yet.
    pub stub: bool,
    pub strict_dns: bool,
    /// The service keeps running when the units of the namespace stop.
    pub keep: bool,
    pub directory_made: bool,
}

impl DropIn<'_> {
    pub fn text(&self) -> String {
        let name = &self.instances[0].nsname;
        let mut text = format!("{MARKER}{} in {name}\n", self.service);
        let _ = writeln!(
            text,
            "# 'netnsctl detach {}' removes it.",
            self.service.as_str()
        );
        if self.directory_made {
            text += DIRECTORY_MARK;
            text.push('\n');
        }
        self.unit_section(&mut text);
        self.service_section(&mut text, name);
        text
    }

    fn unit_section(&self, text: &mut String) {
        let units = self.instances.iter().map(unit::inside);
        let units: Vec<String> = units.collect();
        *text += "\n[Unit]\n";
        // Not BindsTo=: on reload, newer systemd would stop a running service while the namespace is
        // down. The units of a namespace never stop by themselves.
        let needs = if self.keep { "Wants" } else { "Requires" };
        for unit in &units {
            let _ = writeln!(text, "{needs}={unit}\nAfter={unit}");
        }
        if self.binds.is_empty() && self.resolv_conf.is_none() {
            return;
        }
        *text += "# When a file of the host is replaced, what is bound over it is lost.\n";
        let _ = writeln!(text, "Wants={}", unit::REBIND);
        *text += "# Without the first file, the service would see that of the host; without the\n\
                  # second, systemd would create an empty one.\n";
        for Bind { from, to } in self.all_binds() {
            // systemd creates no mount point on the host for such a symlink: see below.
            let created_below = to == Path::new("/etc/resolv.conf") && self.stub;
            let _ = writeln!(text, "AssertPathExists={}", from.display());
            if !created_below {
                let _ = writeln!(text, "AssertPathExists={}", to.display());
            }
        }
    }

    fn service_section(&self, text: &mut String, name: &NsName) {
        *text += "\n[Service]\n";
        let _ = writeln!(text, "NetworkNamespacePath=/run/netns/{name}");
        if self.keep {
            // With Wants= alone it would start in a namespace that is only partly set up.
            for instance in self.instances {
                let unit = unit::inside(instance);
                let _ = writeln!(text, "ExecStartPre=+systemctl is-active {unit}");
            }
        }
        for Bind { from, to } in self.all_binds() {
            let _ = writeln!(
                text,
                "BindReadOnlyPaths={}:{}",
                from.display(),
                to.display()
            );
        }
        if let Some(from) = self.resolv_conf {
            *text += "# /etc/resolv.conf may be a symlink to one of these. systemd-resolved replaces them,\n\
                      # so they are bound in a directory that it does not see.\n";
            let _ = writeln!(text, "TemporaryFileSystem={RESOLVED}:ro");
            for file in ["resolv.conf", "stub-resolv.conf"] {
                let _ = writeln!(
                    text,
                    "BindReadOnlyPaths={}:{RESOLVED}/{file}",
                    from.display()
                );
            }
        }
        if self.strict_dns {
            *text += "# The name service cache of the host.\n";
            let _ = writeln!(text, "TemporaryFileSystem={NSCD}:ro");
        }
    }

    fn all_binds(&self) -> impl Iterator<Item = Bind> {
        let resolv_conf = self.resolv_conf.map(|from| Bind {
            from: from.to_owned(),
            to: "/etc/resolv.conf".into(),
        });
        self.binds.iter().cloned().chain(resolv_conf)
    }
}

/// A parsed drop-in.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    pub nsname: NsName,
    pub directory_made: bool,
    pub binds: Vec<Bind>,
}

/// Parses a drop-in. `None` if it is not ours.
pub fn read(text: &str) -> Option<Written> {
    let head = text.lines().next()?.strip_prefix(MARKER)?;
    let (_, nsname) = head.split_once(" in ")?;
    let bind = |line: &str| {
        let (from, to) = line.strip_prefix("BindReadOnlyPaths=")?.split_once(':')?;
        Some(Bind {
            from: from.into(),
            to: to.into(),
        })
    };
    Some(Written {
        nsname: nsname.parse().ok()?,
        directory_made: text.lines().any(|line| line == DIRECTORY_MARK),
        binds: text.lines().filter_map(bind).collect(),
    })
}

/// Whether a path can be written in a unit file without escaping.
pub fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|path| {
        path.chars()
            .all(|c| c.is_alphanumeric() || "/._-+=,@~#^".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(golden: &str, drop_in: &DropIn) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(golden);
        let text = drop_in.text();
        if std::env::var_os("NETNS_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(path).unwrap(), "{golden}");
    }

    #[test]
    fn texts() {
        let service = "nginx".parse().unwrap();
        let one = ["veth@web".parse().unwrap()];
        let two = ["veth@web".parse().unwrap(), "nft@web".parse().unwrap()];
        let hosts = [Bind {
            from: "/etc/netns/web/hosts".into(),
            to: "/etc/hosts".into(),
        }];
        let resolv_conf = Path::new("/etc/netns/web/resolv.conf");
        let plain = DropIn {
            service: &service,
            instances: &one,
            binds: &hosts,
            resolv_conf: Some(resolv_conf),
            stub: false,
            strict_dns: false,
            keep: false,
            directory_made: true,
        };
        compare("attach.conf", &plain);
        let strict = DropIn {
            instances: &two,
            stub: true,
            strict_dns: true,
            ..plain.clone()
        };
        compare("attach-strict.conf", &strict);
        let kept = DropIn {
            binds: &[],
            resolv_conf: None,
            keep: true,
            directory_made: false,
            ..plain.clone()
        };
        compare("attach-keep.conf", &kept);

        let written = read(&plain.text()).unwrap();
        assert_eq!(written.nsname.as_str(), "web");
        assert!(written.directory_made);
        assert_eq!(written.binds.len(), 4);
        assert_eq!(written.binds[0], hosts[0]);
        assert!(!read(&kept.text()).unwrap().directory_made);
        assert_eq!(
            read("[Service]\nNetworkNamespacePath=/run/netns/web\n"),
            None
        );
    }

    #[test]
    fn paths_that_a_unit_file_cannot_carry() {
        assert!(is_plain(Path::new("/etc/netns/vm-001/resolv.conf")));
        for bad in [
            "/etc/a b",
            "/etc/a:b",
            "/etc/%i",
            "/etc/a\\x20",
            "/etc/a'b",
            "/etc/\"a",
        ] {
            assert!(!is_plain(Path::new(bad)), "{bad}");
        }
    }
}
