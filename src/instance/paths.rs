//! The files and directories of this package, below `/` or below another root.

use std::path::{Path, PathBuf};

use crate::instance::name::{Instance, NsName, NsType};
use crate::sys::temporary::HIDDEN_PREFIX;

/// The installation directories, set by the Makefile.
const PREFIX: &str = match option_env!("NETNS_PREFIX") {
    Some(prefix) => prefix,
    None => "/usr",
};
const SYSCONFDIR: &str = match option_env!("NETNS_SYSCONFDIR") {
    Some(directory) => directory,
    None => "/etc",
};

/// The root of the file system to work on.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Root {
    /// The root at `path`: `/`, an image, a build root, or the tree of a test.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether this is the root of the running system.
    pub fn is_system(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Resolves `path`, absolute within the root, to a path for this process.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A path within the root as seen from inside: that of [`Self::path`], undone.
    pub fn seen(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.0).unwrap_or(path))
    }

    /// `/etc/conf.d/netns`: the files of the administrator.
    pub fn conf_dir(&self) -> PathBuf {
        self.path(SYSCONFDIR).join("conf.d/netns")
    }

    /// `/usr/share/systemd-netns`: the scripts of the shipped types.
    pub fn share_dir(&self) -> PathBuf {
        self.path(PREFIX).join("share/systemd-netns")
    }

    /// `/usr/share/doc/systemd-netns/examples`: a sample configuration for each shipped type.
    pub fn examples_dir(&self) -> PathBuf {
        self.path(PREFIX).join("share/doc/systemd-netns/examples")
    }

    /// The paths of the script of `nstype`, by precedence.
    pub fn scripts(&self, nstype: &NsType) -> [PathBuf; 2] {
        let name = format!("{nstype}.sh");
        [self.conf_dir().join(&name), self.share_dir().join(&name)]
    }

    pub fn default_conf(&self) -> PathBuf {
        self.conf_dir().join("default.conf")
    }

    pub fn type_conf(&self, nstype: &NsType) -> PathBuf {
        self.conf_dir().join(format!("{nstype}.conf"))
    }

    pub fn instance_conf(&self, instance: &Instance) -> PathBuf {
        let Instance { nstype, nsname } = instance;
        self.conf_dir().join(format!("{nstype}-{nsname}.conf"))
    }

    /// `/usr/lib/systemd/system`: the installed unit templates.
    pub fn template_dir(&self) -> PathBuf {
        self.path(PREFIX).join("lib/systemd/system")
    }

    /// `/usr/sbin/netnsctl`, as units call it.
    pub fn netnsctl(&self) -> PathBuf {
        Path::new(PREFIX).join("sbin/netnsctl")
    }

    /// `/etc/systemd/system`: the copies of the templates, and drop-ins.
    pub fn unit_dir(&self) -> PathBuf {
        self.path("/etc/systemd/system")
    }

    /// The administrator's drop-ins for `unit` (systemd.unit(5)).
    pub fn drop_in_dir(&self, unit: &str) -> PathBuf {
        self.unit_dir().join(format!("{unit}.d"))
    }

    /// The units that start with `unit`, as symlinks (systemd.unit(5)).
    pub fn wants_dir(&self, unit: &str) -> PathBuf {
        self.unit_dir().join(format!("{unit}.wants"))
    }

    /// `/run/netns`: the named network namespaces (ip-netns(8)).
    pub fn netns_dir(&self) -> PathBuf {
        self.path("/run/netns")
    }

    pub fn netns(&self, name: &NsName) -> PathBuf {
        self.netns_dir().join(name.as_str())
    }

    /// `/etc/netns/NSNAME`: files to bind over those of `/etc` in the namespace (ip-netns(8)).
    pub fn netns_etc(&self, name: &NsName) -> PathBuf {
        self.path("/etc/netns").join(name.as_str())
    }

    /// `/run/systemd-netns`: records of running instances.
    pub fn state_dir(&self) -> PathBuf {
        self.path("/run/systemd-netns")
    }

    /// The records of all instances.
    pub fn records_dir(&self) -> PathBuf {
        self.state_dir().join("instances")
    }

    /// The record of `instance` between `up` and `down`.
    pub fn record(&self, instance: &Instance) -> PathBuf {
        self.records_dir().join(instance.to_string())
    }

    /// The variables that the network of a container sets for `instance`.
    pub fn container_values(&self, instance: &Instance) -> PathBuf {
        self.state_dir().join("values").join(instance.to_string())
    }

    /// The records of the interfaces of containers.
    pub fn containers_dir(&self) -> PathBuf {
        self.state_dir().join("containers")
    }

    /// The namespaces with instances that were brought up without systemd.
    pub fn direct_dir(&self) -> PathBuf {
        self.state_dir().join("direct")
    }

    /// The instances of `name` that were brought up without systemd.
    pub fn direct(&self, name: &NsName) -> PathBuf {
        self.direct_dir().join(name.as_str())
    }

    /// The lock on `name` while an instance is brought up or taken down.
    pub fn lock_of(&self, name: &NsName) -> PathBuf {
        self.state_dir().join("locks").join(name.as_str())
    }

    /// The second mounts of the namespaces that we created.
    pub fn pins_dir(&self) -> PathBuf {
        self.state_dir().join("namespaces")
    }

    /// The second mount of the namespace that we created as `name`.
    pub fn pin(&self, name: &NsName) -> PathBuf {
        self.pins_dir().join(name.as_str())
    }

    /// The namespaces that units have created and not deleted yet, as empty files.
    pub fn unit_namespaces_dir(&self) -> PathBuf {
        self.state_dir().join("by-systemd")
    }

    pub fn unit_namespace(&self, name: &NsName) -> PathBuf {
        self.unit_namespaces_dir().join(name.as_str())
    }

    /// The sysctls of the host that types have changed, written by the type library.
    pub fn sysctl_dir(&self) -> PathBuf {
        self.state_dir().join("sysctl")
    }

    /// The links of the host that types have set up, written by the type library.
    pub fn parents_dir(&self) -> PathBuf {
        self.state_dir().join("parents")
    }

    /// The bridges of the host that types have created, for the library of the types.
    pub fn bridges_dir(&self) -> PathBuf {
        self.state_dir().join("bridges")
    }

    /// The settings of the pods that `netnsctl pods` has created.
    pub fn pods_dir(&self) -> PathBuf {
        self.state_dir().join("pods")
    }

    pub fn pod(&self, name: &NsName) -> PathBuf {
        self.pods_dir().join(name.as_str())
    }

    /// The lock that is held while pods are created, changed or deleted.
    pub fn pods_lock(&self) -> PathBuf {
        self.state_dir().join("pods.lock")
    }

    /// The settings that the administrator has for all pods.
    pub fn pods_settings(&self) -> PathBuf {
        self.conf_dir().join("pods")
    }

    /// The UTS namespace of a pod, with its host name.
    pub fn utsns(&self, name: &NsName) -> PathBuf {
        self.path("/run/utsns").join(name.as_str())
    }

    /// The ports that instances of type `nat` publish.
    pub fn nat_ports_dir(&self) -> PathBuf {
        self.state_dir().join("nat")
    }

    pub fn nat_ports(&self, instance: &Instance) -> PathBuf {
        self.nat_ports_dir().join(instance.to_string())
    }

    /// The lock on unit files and drop-ins.
    pub fn units_lock(&self) -> PathBuf {
        self.state_dir().join("units.lock")
    }

    /// The journal of an unfinished change of unit files.
    pub fn units_journal(&self) -> PathBuf {
        self.unit_dir().join(format!("{HIDDEN_PREFIX}journal"))
    }

    /// The lock on the resolv.conf of a namespace.
    pub fn resolv_conf_lock(&self) -> PathBuf {
        self.state_dir().join("resolv-conf.lock")
    }

    /// Exists while systemd has to reload unit files.
    pub fn reload_mark(&self) -> PathBuf {
        self.state_dir().join("reload")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_paths_are_below_the_root() {
        let root = Root::at("/tmp/tree");
        let instance: Instance = "veth@vm-001".parse().unwrap();
        assert_eq!(
            root.instance_conf(&instance),
            Path::new("/tmp/tree/etc/conf.d/netns/veth-vm-001.conf")
        );
        assert_eq!(
            root.scripts(&instance.nstype)[1],
            Path::new("/tmp/tree/usr/share/systemd-netns/veth.sh")
        );
        for path in [
            root.unit_dir(),
            root.template_dir(),
            root.netns(&instance.nsname),
            root.netns_etc(&instance.nsname),
            root.record(&instance),
        ] {
            assert!(path.starts_with("/tmp/tree"), "{}", path.display());
        }
        let conf = root.path("/etc/a.conf");
        assert_eq!(root.seen(&conf), Path::new("/etc/a.conf"));
        assert_eq!(Root::default().seen(&conf), conf);
        assert!(!root.is_system());
        assert!(Root::default().is_system());
    }
}
