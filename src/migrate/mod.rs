//! Translates the configuration of other programs: a module for each format. Nothing is run or written
//! here.
//!
//! Uses `systemd`, `instance` and `sys`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::sys::file;
use crate::sys::terminal::clean;
use crate::systemd::unit;

mod client;
mod early;
mod helper_units;
mod ifupdown;
mod named_netns;
mod namespaced_openvpn;
mod openvpn;
mod units;
mod variables;
mod vopono;
mod wg_netns;
mod wg_quick;
mod yaml;

/// The programs whose configuration can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    #[value(name = "systemd-named-netns")]
    NamedNetns,
    WgNetns,
    WgQuick,
    Vopono,
    NamespacedOpenvpn,
    Openvpn,
    #[value(name = "systemd-netns")]
    Early,
    Ifupdown,
    HelperUnits,
}

/// The formats that are looked for if no file is given: their files are used only for namespaces.
pub const SEARCHED: [ConfigFormat; 6] = [
    ConfigFormat::NamedNetns,
    ConfigFormat::WgNetns,
    ConfigFormat::NamespacedOpenvpn,
    ConfigFormat::Early,
    ConfigFormat::Ifupdown,
    ConfigFormat::HelperUnits,
];

impl ConfigFormat {
    /// Guesses the format of a file from its name.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = file::name_of(path)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default() {
            "json" | "yaml" | "yml" => Some(Self::WgNetns),
            "toml" => Some(Self::Vopono),
            "ovpn" => Some(Self::Openvpn),
            "service" => Some(Self::NamespacedOpenvpn),
            _ if name == "netns" || name.starts_with("netns-") => Some(Self::NamedNetns),
            "conf" if path.starts_with("/etc/conf.d/netns") => Some(Self::Early),
            "conf" if path.starts_with("/etc/openvpn") => Some(Self::Openvpn),
            "conf" => Some(Self::WgQuick),
            _ if name.starts_with("ns-") => Some(Self::HelperUnits),
            _ if path.starts_with("/etc/network") => Some(Self::Ifupdown),
            _ => None,
        }
    }

    /// Translates `files`, or the files in the usual places if there are none.
    ///
    /// # Errors
    /// A file cannot be read, or is not of this format.
    pub fn plan(self, root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
        match self {
            Self::NamedNetns => named_netns::plan(root, files),
            Self::WgNetns => wg_netns::plan(root, files),
            Self::WgQuick => wg_quick::WG_QUICK.plan(root, files),
            Self::Vopono => vopono::plan(root, files),
            Self::NamespacedOpenvpn => namespaced_openvpn::plan(root, files),
            Self::Openvpn => openvpn::OPENVPN.plan(root, files),
            Self::Early => early::plan(root, files),
            Self::Ifupdown => ifupdown::plan(root, files),
            Self::HelperUnits => helper_units::plan(root, files),
        }
    }
}

/// The result of a translation.
#[derive(Debug, Default)]
pub struct MigrationPlan {
    pub drafts: Vec<Draft>,
    /// Warnings about settings that were not translated, and remarks, each with the path of the file.
    pub notes: Vec<String>,
    /// Commands for the administrator to run afterwards.
    pub next: Vec<String>,
}

/// A new file.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    pub path: PathBuf,
    pub text: String,
    /// Only root may read it.
    pub secret: bool,
}

impl MigrationPlan {
    pub fn extend(&mut self, other: MigrationPlan) {
        self.drafts.extend(other.drafts);
        self.notes.extend(other.notes);
        self.next.extend(other.next);
    }

    fn note(&mut self, source: &Path, text: &str) {
        self.notes.push(format!("{}: {text}", source.display()));
    }

    /// Adds the configuration of an instance, and the command that starts it.
    fn instance(&mut self, conf: Conf) {
        let instance = &conf.instance;
        let unit = unit::inside(instance);
        self.next
            .push(format!("systemctl enable --now {}", unit::short(&unit)));
        self.drafts.push(conf.draft());
    }

    /// Adds the commands that attach the services which join `unit`, a unit of the other program.
    fn services(&mut self, root: &Root, unit: &str, instance: &Instance) -> Result<()> {
        for (service, path) in units::that_name(root, unit)? {
            self.note(
                &path,
                &format!("joins {unit}: remove that, then use 'netnsctl attach'"),
            );
            self.next
                .push(format!("netnsctl attach {service} {instance}"));
        }
        Ok(())
    }

    /// Checks that no two drafts have the same path.
    ///
    /// # Errors
    /// Two drafts have the same path.
    pub fn check(&self) -> Result<()> {
        let mut paths = BTreeSet::new();
        for draft in &self.drafts {
            ensure!(
                paths.insert(&draft.path),
                "{} would be written twice: migrate one file at a time",
                draft.path.display()
            );
        }
        Ok(())
    }
}

/// A configuration file of an instance that is being written.
struct Conf {
    instance: Instance,
    path: PathBuf,
    text: String,
}

impl Conf {
    fn new(root: &Root, nstype: &str, nsname: &str, source: &Path) -> Result<Self> {
        let nstype: NsType = nstype.parse()?;
        let nsname: NsName = nsname.parse()?;
        let instance = Instance { nstype, nsname };
        let source = clean(&source.to_string_lossy());
        Ok(Self {
            path: root.instance_conf(&instance),
            text: format!("# From {source}, by netnsctl migrate.\n"),
            instance,
        })
    }

    /// Sets a variable, quoted so that no part of the value is run.
    fn set(&mut self, variable: &str, value: &str) -> Result<()> {
        let quoted = quote(value).with_context(|| format!("{variable} for {}", self.instance))?;
        self.text += &format!("{variable}={quoted}\n");
        Ok(())
    }

    fn draft(self) -> Draft {
        Draft {
            path: self.path,
            text: self.text,
            secret: false,
        }
    }
}

/// Quotes a value for bash.
///
/// # Errors
/// It contains control characters, which no address or name needs and a reader of the file would not see.
fn quote(value: &str) -> Result<String> {
    if value.chars().any(char::is_control) {
        bail!("'{}' contains control characters", clean(value));
    }
    Ok(shell_words::quote(value).into_owned())
}

/// The files to translate: those given, otherwise those in `directory` that are `wanted`.
fn given_or_all(
    files: &[PathBuf],
    directory: &Path,
    wanted: impl Fn(&PathBuf) -> bool,
) -> Result<Vec<PathBuf>> {
    if !files.is_empty() {
        return Ok(files.to_vec());
    }
    let mut files = file::entries(directory)?;
    files.retain(wanted);
    Ok(files)
}

/// The text of a file that must exist.
fn read(path: &Path) -> Result<String> {
    file::read_text(path)?.with_context(|| format!("{} does not exist", path.display()))
}

/// The name of a file without its extension.
fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn bash_reads_what_was_written() {
        let nasty = [
            "10.0.0.1/24",
            "",
            " ",
            "$(id)",
            "`id`",
            "a'b",
            "'",
            "''",
            "\"",
            "\\",
            "a\\'b",
            "$HOME",
            "${x@P}",
            "*",
            "~",
            "~root",
            "a;b",
            "a&b",
            "a|b",
            "(a)",
            "!x",
            "#x",
            "a #b",
            "-n",
            "=",
            "{a,b}",
            "ünï",
            "<(id)",
        ];
        let mut conf = Conf::new(&Root::default(), "nat", "a", Path::new("x\n$(id)")).unwrap();
        for (at, value) in nasty.iter().enumerate() {
            conf.set(&format!("V{at}"), value).unwrap();
        }
        let mut script = conf.text.clone();
        for at in 0..nasty.len() {
            script += &format!("printf '%s\\0' \"${{V{at}}}\"\n");
        }
        let run = Command::new("bash").args(["-c", &script]).output().unwrap();
        let expected: String = nasty.iter().flat_map(|v| [*v, "\0"]).collect();
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected);
        assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
        for bad in ["a\nb", "a\0b", "\u{1b}[2J", "a\rb"] {
            assert!(quote(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_tell_formats() {
        for (path, format) in [
            ("/etc/default/netns", Some(ConfigFormat::NamedNetns)),
            ("/etc/default/netns-a.b", Some(ConfigFormat::NamedNetns)),
            ("/etc/wireguard/a.yml", Some(ConfigFormat::WgNetns)),
            ("a.conf", Some(ConfigFormat::WgQuick)),
            ("/etc/openvpn/client/a.conf", Some(ConfigFormat::Openvpn)),
            ("/etc/conf.d/netns/a.conf", Some(ConfigFormat::Early)),
            ("/etc/network/namespaces/a", Some(ConfigFormat::Ifupdown)),
            ("/usr/local/bin/ns-a", Some(ConfigFormat::HelperUnits)),
            ("/etc/passwd", None),
        ] {
            assert_eq!(ConfigFormat::of_name(Path::new(path)), format, "{path}");
        }
    }
}
