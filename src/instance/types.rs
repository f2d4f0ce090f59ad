//! Finds the NSTYPEs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::instance::name::{Instance, NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::{Slot, is_source};
use crate::sys::file::{self, Listed};

/// The types that the files of a system define, and problems with other files.
#[derive(Debug, Default)]
pub struct Types {
    pub found: BTreeSet<NsType>,
    /// Types whose files cannot be read: they exist, but nothing else is known about them.
    pub doubtful: BTreeSet<NsType>,
    pub problems: Vec<String>,
    /// Type, instance and position of each file that bash sources, and the file. No shipped script
    /// that is replaced by the administrator's.
    pub files: BTreeMap<(Option<NsType>, Option<NsName>, Slot), TypeFile>,
}

#[derive(Debug)]
pub struct TypeFile {
    pub path: PathBuf,
    /// `None` if it cannot be read.
    pub text: Option<String>,
}

impl Types {
    /// Reads the administrator's files and the shipped scripts.
    ///
    /// # Errors
    /// A directory cannot be read. An invalid file is a problem, not an error.
    pub fn find(root: &Root) -> Result<Self> {
        let mut types = Types::default();
        types.scan(&root.conf_dir(), &["sh", "conf"])?;
        types.scan(&root.share_dir(), &["sh"])?;
        Ok(types)
    }

    fn scan(&mut self, directory: &Path, extensions: &[&str]) -> Result<()> {
        // An unmounted disk must not look as if all types had been removed.
        let found = file::metadata(directory)?;
        let is_usable = match found {
            Some(found) => found.is_dir(),
            None => !file::exists(directory)?,
        };
        if !is_usable {
            bail!("{} is not a directory", directory.display());
        }
        for Listed { name, regular } in file::listing(directory)? {
            let path = directory.join(name);
            let extension = path.extension().unwrap_or_default();
            let Some(known) = extensions.iter().find(|known| extension == **known) else {
                continue;
            };
            let source = if regular { Ok(true) } else { is_source(&path) };
            if !matches!(source, Ok(false)) {
                self.add(path, *known == "sh", source);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, script: bool, source: Result<bool>) {
        let (nstype, nsname, slot) = match Scope::of(&path) {
            Ok(Some(Scope::All)) => (None, None, Slot::Default),
            Ok(Some(Scope::Type(nstype))) if script => (Some(nstype), None, Slot::Script),
            Ok(Some(Scope::Type(nstype))) => (Some(nstype), None, Slot::Type),
            Ok(Some(Scope::Instance(Instance { nstype, nsname }))) => {
                (Some(nstype), Some(nsname), Slot::Instance)
            }
            Ok(None) => return,
            Err(error) => {
                self.problems.push(format!("{error:#}"));
                return;
            }
        };
        let text = match (source.and_then(|_| file::read_text(&path)), &nstype) {
            (Ok(text), Some(nstype)) => {
                self.found.insert(nstype.clone());
                text
            }
            (Err(error), Some(nstype)) => {
                self.problems.push(format!("{error:#}"));
                self.doubtful.insert(nstype.clone());
                None
            }
            // Whoever sources it reports an error.
            (text, None) => text.unwrap_or_default(),
        };
        let file = TypeFile { path, text };
        self.files.entry((nstype, nsname, slot)).or_insert(file);
    }
}

/// The instances that a file in `/etc/conf.d/netns` or `/usr/share/systemd-netns` applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// `default.conf`
    All,
    /// `NSTYPE.sh`, `NSTYPE.conf`
    Type(NsType),
    /// `NSTYPE-NSNAME.conf`, split at the first hyphen.
    Instance(Instance),
}

impl Scope {
    /// The scope of a file, by its name. `None` if netnsinit never reads such a file.
    ///
    /// # Errors
    /// The name has the right form, but NSTYPE or NSNAME is not valid.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default();
        if stem.starts_with('.') || (extension != "sh" && extension != "conf") {
            return Ok(None);
        }
        let conf = extension == "conf";
        if conf && stem == "default" {
            return Ok(Some(Scope::All));
        }
        let naming = || path.display().to_string();
        Ok(Some(match stem.split_once('-').filter(|_| conf) {
            Some((nstype, nsname)) => Scope::Instance(Instance {
                nstype: nstype.parse().with_context(naming)?,
                nsname: nsname.parse().with_context(naming)?,
            }),
            None => Scope::Type(stem.parse().with_context(naming)?),
        }))
    }
}

/// The instances that have their own file in `/etc/conf.d/netns`, and that file.
pub fn configured_instances(root: &Root) -> Result<Vec<(PathBuf, Instance)>> {
    let paths = file::entries(&root.conf_dir())?.into_iter();
    Ok(paths
        .filter_map(|path| match Scope::of(&path) {
            Ok(Some(Scope::Instance(instance))) => Some((path, instance)),
            _ => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn types(files: &[&str]) -> Types {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        for file in files {
            let path = root.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        Types::find(&root).unwrap()
    }

    #[test]
    fn every_file_of_a_type_counts() {
        let types = types(&[
            "etc/conf.d/netns/veth.conf",
            "etc/conf.d/netns/macvlan-vm-001.conf",
            "etc/conf.d/netns/own.sh",
            "etc/conf.d/netns/default.conf",
            "usr/share/systemd-netns/lo.sh",
        ]);
        let found: Vec<_> = types.found.iter().map(NsType::as_str).collect();
        assert_eq!(found, ["lo", "macvlan", "own", "veth"]);
        assert!(types.problems.is_empty());
    }

    #[test]
    fn other_files_do_not() {
        let types = types(&[
            "etc/conf.d/netns/.veth.conf",
            "etc/conf.d/netns/veth.conf~",
            "etc/conf.d/netns/nft.rules",
            "etc/conf.d/netns/dir.conf/x",
            "usr/share/systemd-netns/veth.conf",
        ]);
        assert!(types.found.is_empty());
        assert!(types.problems.is_empty(), "{:?}", types.problems);
    }

    #[test]
    fn bad_names_are_told_and_do_not_hide_good_ones() {
        let bad = [
            "etc/conf.d/netns/a b.conf",
            "etc/conf.d/netns/veth-a b.conf",
            "etc/conf.d/netns/-web.conf",
            "etc/conf.d/netns/veth-.conf",
            "etc/conf.d/netns/default-web.conf",
            "etc/conf.d/netns/default.sh",
            "etc/conf.d/netns/a-b.sh",
        ];
        let mut files = bad.to_vec();
        files.push("etc/conf.d/netns/good.conf");
        let types = types(&files);
        assert_eq!(types.found.len(), 1);
        assert_eq!(types.problems.len(), bad.len(), "{:?}", types.problems);
        for file in bad {
            assert!(
                types.problems.iter().any(|problem| problem.contains(file)),
                "{file}"
            );
        }
    }
}
