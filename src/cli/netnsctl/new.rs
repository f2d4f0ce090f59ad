use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::instance::name::NsType;
use crate::instance::paths::Root;
use crate::sys::file::{self, Missing};
use crate::sys::lock::Lock;
use crate::sys::log;
use crate::systemd::change::LOCK_TIMEOUT;

/// Create a new type
///
/// Writes a commented script NSTYPE.sh and configuration NSTYPE.conf to
/// /etc/conf.d/netns. Existing files are never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl new cable --from veth")]
pub struct New {
    /// Type of the library to copy
    #[arg(long, value_name = "NSTYPE")]
    from: Option<NsType>,

    /// Name of the new type: letters, digits and underscores
    #[arg(value_name = "NSTYPE")]
    nstype: NsType,
}

const SKELETON: [&str; 2] = [
    include_str!("skeleton/skeleton.sh"),
    include_str!("skeleton/skeleton.conf"),
];

impl New {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let Self { nstype, from } = self;
        let [script, _] = root.scripts(nstype);
        let paths = [script, root.type_conf(nstype)];
        let texts = match from {
            Some(from) => shipped(root, from)?.map(|text| renamed(&text, from, nstype)),
            None => {
                let skeleton = "skeleton".parse().context("it is a type")?;
                let library = root.share_dir();
                SKELETON.map(|text| {
                    renamed(text, &skeleton, nstype)
                        .replace("/usr/share/systemd-netns", &library.to_string_lossy())
                })
            }
        };
        file::make_directory(&root.conf_dir(), 0o755)?;
        let _lock = Lock::take_within(&root.units_lock(), LOCK_TIMEOUT)?;
        // A previous run was killed between the two files.
        let script = file::read(&paths[0]).ok().flatten();
        if script.as_deref() == Some(texts[0].as_bytes()) && !file::exists(&paths[1])? {
            file::write_new(&paths[1], texts[1].as_bytes(), 0o644)?;
        } else {
            paths.iter().try_for_each(|path| refuse(path))?;
            write(&paths, &texts)?;
        }
        for path in &paths {
            log::info(&format!("created {}", path.display()));
        }
        log::info(&format!("edit them, then run: netnsctl up {nstype}@NSNAME"));
        Ok(0)
    }
}

fn refuse(path: &Path) -> Result<()> {
    if file::exists(path)? {
        bail!(
            "{} already exists: choose another name, or remove it",
            path.display()
        );
    }
    Ok(())
}

/// Writes both files, or none if one fails.
fn write(paths: &[PathBuf; 2], texts: &[String; 2]) -> Result<()> {
    for (at, (path, text)) in paths.iter().zip(texts).enumerate() {
        if let Err(error) = file::write_new(path, text.as_bytes(), 0o644) {
            for written in &paths[..at] {
                if let Err(undo) = fs::remove_file(written) {
                    return Err(error.context(format!(
                        "and {} could not be removed again: {undo}",
                        written.display()
                    )));
                }
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The script and the sample configuration of a type that is shipped.
fn shipped(root: &Root, nstype: &NsType) -> Result<[String; 2]> {
    let [_, script] = root.scripts(nstype);
    let reading = |path: &Path| format!("reading {}", path.display());
    let Some(text) = fs::read_to_string(&script)
        .missing_ok()
        .with_context(|| reading(&script))?
    else {
        bail!(
            "there is no type '{nstype}' in {}; available types: {}",
            root.share_dir().display(),
            types(root)?.join(" ")
        );
    };
    let sample = root.examples_dir().join(format!("{nstype}.conf"));
    let conf = fs::read_to_string(&sample).missing_ok();
    // Administrators may exclude /usr/share/doc from packages.
    let conf = conf.with_context(|| reading(&sample))?.unwrap_or_else(|| {
        log::warn(&format!("no sample configuration {}", sample.display()));
        format!("# NSTYPE {nstype}\n")
    });
    Ok([text, conf])
}

fn types(root: &Root) -> Result<Vec<String>> {
    let names = file::names(&root.share_dir())?.into_iter();
    Ok(names
        .filter_map(|name| Some(name.strip_suffix(".sh")?.to_owned()))
        .collect())
}

/// Renames the functions, variables and files in the text of a type.
///
/// The bare name is left as it is: it may be a word of a command, as in `type veth`.
fn renamed(text: &str, from: &NsType, to: &NsType) -> String {
    let (from, to) = (from.as_str(), to.as_str());
    let (upper_from, upper_to) = (from.to_uppercase(), to.to_uppercase());
    let of = |word: &str, prefix: &str, new: &str| {
        let rest = word.strip_prefix(prefix)?.strip_prefix('_')?;
        Some(format!("{new}_{rest}"))
    };
    let word = |word: &str, before: &str, after: &str| {
        let function = of(
            word,
            &format!("configure_{from}"),
            &format!("configure_{to}"),
        )
        .or_else(|| of(word, &format!("_{from}"), &format!("_{to}")))
        .or_else(|| of(word, &format!("cleanup_{from}"), &format!("cleanup_{to}")))
        .or_else(|| of(word, &upper_from, &upper_to))
        .or_else(|| (word == upper_from && from != upper_from).then(|| upper_to.clone()));
        function.or_else(|| {
            let named = ["NSTYPE ", "netnsctl up ", "netnsctl down ", "netns-"];
            let named = named.iter().any(|end| before.ends_with(end));
            let file = before.ends_with("conf.d/netns/") || before.ends_with(' ');
            let conf = [".conf", "-NSNAME.conf"]
                .iter()
                .any(|e| after.starts_with(e));
            (word == from && (named || file && conf)).then(|| to.to_owned())
        })
    };
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !identifier(c)).unwrap_or(rest.len());
        if end == 0 {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            new += &rest[..length];
            at += length;
            continue;
        }
        let (found, after) = rest.split_at(end);
        new += &word(found, &text[..at], after).unwrap_or_else(|| found.to_owned());
        at += end;
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_words_of_commands_are_not() {
        let (veth, cable) = ("veth".parse().unwrap(), "cable".parse().unwrap());
        for (old, new) in [
            (
                "configure_veth_up_outside() {",
                "configure_cable_up_outside() {",
            ),
            (
                "_veth_names; \"${_veth_outside[@]}\"",
                "_cable_names; \"${_cable_outside[@]}\"",
            ),
            (": \"${VETH_IFNAME=ve-}\"", ": \"${CABLE_IFNAME=ve-}\""),
            (
                "netns_link_check VETH VETH_X",
                "netns_link_check CABLE CABLE_X",
            ),
            ("ip link add type veth peer", "ip link add type veth peer"),
            ("# NSTYPE veth: a", "# NSTYPE cable: a"),
            (
                "/etc/conf.d/netns/veth.conf or veth-NSNAME.conf",
                "/etc/conf.d/netns/cable.conf or cable-NSNAME.conf",
            ),
            ("MY_VETH_X my_veth_y ünï", "MY_VETH_X my_veth_y ünï"),
        ] {
            assert_eq!(renamed(old, &veth, &cable), new);
        }
    }

    #[test]
    fn every_name_of_the_skeleton_is_replaced() {
        let (skeleton, to) = ("skeleton".parse().unwrap(), "My_type2".parse().unwrap());
        for text in SKELETON {
            let text = renamed(text, &skeleton, &to);
            assert!(!text.to_lowercase().contains("skeleton"), "{text}");
        }
    }
}
