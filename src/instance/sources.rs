//! The configuration files of an instance.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::instance::name::{Instance, NsType};
use crate::instance::paths::Root;
use crate::instance::phase::Phase;
use crate::instance::trust::Trust;
use crate::sys::exit::{self, Exit, OrExit};
use crate::sys::file;
use crate::sys::process;

/// Shipped types that an administrator's type of the same name replaces: people had written their
/// own `bridge.conf` before there was a `bridge.sh`.
const YIELDING: [&str; 10] = [
    "bridge",
    "cni",
    "ifupdown",
    "ipvlan",
    "nat",
    "openvpn",
    "phys",
    "vip",
    "vlan",
    "wireguard",
];

/// The position of a file in the order of sourcing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Script,
    Default,
    Type,
    Instance,
    /// Not bash, but the values of variables that the network of a container sets. All other files can use
    /// them, and they take precedence over what those files set.
    Container,
}

/// A file for bash to source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub slot: Slot,
    pub path: PathBuf,
    pub content: Vec<u8>,
}

/// The files of an instance, in the order in which they are sourced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    pub files: Vec<Source>,
    /// There is a script without configuration: it has to set NO_CONFIG_REQUIRED.
    pub unconfigured: bool,
}

impl Sources {
    /// Those that bash sources.
    pub fn scripts(&self) -> impl DoubleEndedIterator<Item = &Source> {
        let files = self.files.iter();
        files.filter(|source| source.slot != Slot::Container)
    }

    pub fn get(&self, slot: Slot) -> Option<&Source> {
        self.files.iter().find(|source| source.slot == slot)
    }

    /// The file and line that set a variable. Not the script, which sets defaults.
    pub fn line_that_sets(&self, variable: &str) -> Option<(&Path, u32)> {
        let own = self.scripts().filter(|file| file.slot != Slot::Script);
        own.rev().find_map(|file| {
            let text = String::from_utf8_lossy(&file.content);
            Some((&*file.path, line_that_sets(&text, variable)?))
        })
    }
}

/// The last line of a bash script that assigns a variable, by its text.
pub fn line_that_sets(text: &str, variable: &str) -> Option<u32> {
    let numbered = (1..).zip(text.lines());
    let sets = numbered.filter(|(_, line)| {
        occurrences(line, variable).any(|(before, after)| {
            let after = after.strip_prefix('+').unwrap_or(after);
            !before.trim_start().starts_with('#')
                && !before.ends_with(['$', '{'])
                && (after.starts_with('=') || after.starts_with('['))
        })
    });
    sets.last().map(|(number, _)| number)
}

/// Whether names of bash variables can contain this character.
pub fn is_identifier_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits a line at each whole word: what is before it and what is after.
pub fn occurrences<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let part = is_identifier_part;
    line.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        (!before.ends_with(part) && !after.starts_with(part)).then_some((before, after))
    })
}

/// Finds the files of `instance`, and checks that each is readable and trusted.
///
/// # Errors
/// All with [`Exit::Config`]: the type is unknown, or a file cannot be read or trusted.
pub fn find(root: &Root, instance: &Instance, trust: Trust) -> Result<Sources> {
    let sources = look_up(root, instance).or_exit(Exit::Config)?;
    trust.check(sources.files.iter().map(|source| source.path.as_path()))?;
    Ok(sources)
}

fn look_up(root: &Root, instance: &Instance) -> Result<Sources> {
    let [ours, shipped] = root.scripts(&instance.nstype);
    let type_conf = root.type_conf(&instance.nstype);
    let instance_conf = root.instance_conf(instance);
    let own = source(Slot::Script, &ours)?;
    let default = source(Slot::Default, &root.default_conf())?;
    let configuration = [
        source(Slot::Type, &type_conf)?,
        source(Slot::Instance, &instance_conf)?,
    ];
    let yields = YIELDING.contains(&instance.nstype.as_str())
        && configuration.iter().flatten().any(|source| {
            let text = String::from_utf8_lossy(&source.content);
            defines_a_phase(&text, &instance.nstype)
        });
    let script = match own {
        None if !yields => source(Slot::Script, &shipped)?,
        own => own,
    };
    let container = match source(Slot::Container, &root.container_values(instance)) {
        // Only root can set up the network of a container.
        Err(error) if exit::code(&error) == Exit::NotPermitted && !process::is_root() => None,
        container => container?,
    };
    let configured = configuration.iter().any(Option::is_some) || container.is_some();
    if script.is_none() && !configured {
        bail!(
            "unknown NSTYPE '{}': there is no {}, {}, {} or {}",
            instance.nstype,
            ours.display(),
            shipped.display(),
            type_conf.display(),
            instance_conf.display()
        );
    }
    let unconfigured = script.is_some() && !configured;
    let files = [script, default].into_iter().chain(configuration);
    let files = files.chain([container]);
    Ok(Sources {
        files: files.flatten().collect(),
        unconfigured,
    })
}

fn source(slot: Slot, path: &Path) -> Result<Option<Source>> {
    if !is_source(path)? {
        return Ok(None);
    }
    let path = path.to_owned();
    Ok(file::read(&path)?.map(|content| Source {
        slot,
        path,
        content,
    }))
}

/// Whether `text` defines one of the four functions of a type, in either syntax of bash.
pub fn defines_a_phase(text: &str, nstype: &NsType) -> bool {
    let defines = |line: &str, function: &str| {
        occurrences(line, function).any(|(before, after)| {
            let keyword = before.trim_end().ends_with("function") && before.ends_with([' ', '\t']);
            keyword || after.trim_start().starts_with('(')
        })
    };
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let functions = Phase::LIFE.map(|phase| phase.function(nstype));
    code.into_iter()
        .any(|line| functions.iter().any(|function| defines(line, function)))
}

/// Whether `path` is a file to source: a regular file or a symlink to one.
///
/// # Errors
/// It cannot be read, or is a dangling symlink.
pub fn is_source(path: &Path) -> Result<bool> {
    if let Some(metadata) = file::metadata(path)? {
        return Ok(metadata.is_file());
    }
    match file::read_link(path)? {
        None => Ok(false),
        // Another root may not have the device.
        Some(target) if target == Path::new("/dev/null") => Ok(false),
        Some(target) => bail!(
            "{} is a symlink to {}, which does not exist",
            path.display(),
            target.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::exit;
    use std::fs;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::fs::symlink;

    fn tree(files: &[&str]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        for directory in [root.conf_dir(), root.share_dir()] {
            crate::sys::file::make_directory(&directory, 0o755).unwrap();
        }
        for file in files {
            let path = root.path(file);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
        (directory, root)
    }

    fn found(root: &Root, instance: &str) -> Result<Vec<String>> {
        let sources = find(root, &instance.parse().unwrap(), Trust::Checked)?;
        let names = sources.files.iter().map(|source| {
            let below = source.path.strip_prefix(root.path("/")).unwrap();
            below.to_string_lossy().into_owned()
        });
        Ok(names.collect())
    }

    #[test]
    fn files_come_in_their_order_and_the_own_script_wins() {
        let (_keep, root) = tree(&[
            "etc/conf.d/netns/veth-web.conf",
            "etc/conf.d/netns/veth.conf",
            "etc/conf.d/netns/default.conf",
            "etc/conf.d/netns/veth.sh",
            "usr/share/systemd-netns/veth.sh",
        ]);
        assert_eq!(
            found(&root, "veth@web").unwrap(),
            [
                "etc/conf.d/netns/veth.sh",
                "etc/conf.d/netns/default.conf",
                "etc/conf.d/netns/veth.conf",
                "etc/conf.d/netns/veth-web.conf",
            ]
        );
        fs::remove_file(root.path("etc/conf.d/netns/veth.sh")).unwrap();
        assert_eq!(
            found(&root, "veth@web").unwrap()[0],
            "usr/share/systemd-netns/veth.sh"
        );
    }

    #[test]
    fn an_unknown_type_names_the_files_looked_for() {
        let (_keep, root) = tree(&["etc/conf.d/netns/default.conf"]);
        let error = found(&root, "foo@web").unwrap_err();
        assert_eq!(exit::code(&error), Exit::Config);
        for name in [
            "'foo'",
            "netns/foo.sh",
            "systemd-netns/foo.sh",
            "foo.conf",
            "foo-web.conf",
        ] {
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn a_script_alone_is_unconfigured() {
        let (_keep, root) = tree(&["usr/share/systemd-netns/lo.sh"]);
        let sources = find(&root, &"lo@web".parse().unwrap(), Trust::Checked).unwrap();
        assert!(sources.unconfigured);
    }

    #[test]
    fn links_to_files_count_and_directories_do_not() {
        let (_keep, root) = tree(&["usr/share/systemd-netns/real"]);
        let conf = root.conf_dir();
        symlink(root.share_dir().join("real"), conf.join("a.conf")).unwrap();
        fs::create_dir(conf.join("b.conf")).unwrap();
        symlink("nowhere", conf.join("c.conf")).unwrap();
        assert_eq!(found(&root, "a@x").unwrap().len(), 1);
        assert!(
            found(&root, "b@x")
                .unwrap_err()
                .to_string()
                .contains("unknown NSTYPE")
        );
        assert!(
            found(&root, "c@x")
                .unwrap_err()
                .to_string()
                .contains("symlink to nowhere")
        );
    }

    #[test]
    fn what_others_may_write_is_refused_with_the_cure() {
        let (_keep, root) = tree(&["etc/conf.d/netns/a.conf"]);
        let path = root.conf_dir().join("a.conf");
        for mode in [0o664, 0o646, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = found(&root, "a@x").unwrap_err();
            assert_eq!(exit::code(&error), Exit::Config);
            assert!(error.to_string().contains("run 'chmod go-w /"), "{error}");
        }
        let instance = "a@x".parse().unwrap();
        assert!(find(&root, &instance, Trust::Blind).is_ok());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(root.conf_dir(), Permissions::from_mode(0o777)).unwrap();
        let error = found(&root, "a@x").unwrap_err().to_string();
        assert!(error.contains("etc/conf.d/netns is writable"), "{error}");
        let parent = root.path("etc");
        fs::set_permissions(root.conf_dir(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&parent, Permissions::from_mode(0o777)).unwrap();
        let error = found(&root, "a@x").unwrap_err().to_string();
        assert!(error.contains("etc is writable"), "{error}");
        fs::set_permissions(&parent, Permissions::from_mode(0o1777)).unwrap();
        assert!(found(&root, "a@x").is_ok());
    }

    #[test]
    fn a_new_type_gives_way_to_functions_of_its_configuration() {
        let (_keep, root) = tree(&[
            "etc/conf.d/netns/bridge.conf",
            "usr/share/systemd-netns/bridge.sh",
        ]);
        let path = root.conf_dir().join("bridge.conf");
        let script = "usr/share/systemd-netns/bridge.sh".to_owned();
        for (text, yields) in [
            ("configure_bridge_up_outside() { :; }", true),
            ("X=1; configure_bridge_down_inside ( ) {", true),
            ("  function configure_bridge_up_inside {", true),
            ("function configure_bridge_up_inside() (", true),
            ("# configure_bridge_up_outside() { :; }", false),
            ("my_configure_bridge_up_outside() { :; }", false),
            ("configure_bridge_up_outside2() { :; }", false),
            ("configure_bridge_up_outside", false),
            ("X=1", false),
        ] {
            fs::write(&path, text).unwrap();
            let found = found(&root, "bridge@x").unwrap();
            assert_eq!(!found.contains(&script), yields, "{text}");
        }
    }
}
