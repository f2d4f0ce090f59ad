//! Which NSTYPEs there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::instance::name::{NsName, NsType};
use crate::instance::paths::Root;
use crate::instance::sources::is_source;
use crate::sys::file::Missing;

/// The types that the files of a system speak of, and what is wrong with other files.
#[derive(Debug, Default)]
pub struct Types {
    pub found: BTreeSet<NsType>,
    /// Those of files that cannot be read: they are there, but nothing else is known of them.
    pub doubtful: BTreeSet<NsType>,
    pub problems: Vec<String>,
}

impl Types {
    /// Looks through the administrator's files and the scripts that are shipped.
    ///
    /// # Errors
    /// A directory cannot be read. A file that is no good is a problem, not an error.
    pub fn find(root: &Root) -> Result<Self> {
        let mut types = Types::default();
        types.scan(&root.conf_dir(), &["sh", "conf"])?;
        types.scan(&root.share_dir(), &["sh"])?;
        Ok(types)
    }

    fn scan(&mut self, directory: &Path, extensions: &[&str]) -> Result<()> {
        let reading = || format!("reading {}", directory.display());
        let Some(entries) = fs::read_dir(directory).missing_ok().with_context(reading)? else {
            // To take all types for gone because of a disk that is not there would do harm.
            if fs::symlink_metadata(directory).is_ok() {
                bail!("{} is not a directory", directory.display());
            }
            return Ok(());
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.with_context(reading)?.path());
        }
        paths.sort();
        for path in paths {
            let extension = path.extension().unwrap_or_default();
            if !extensions.iter().any(|known| extension == *known) {
                continue;
            }
            self.look_at(&path);
        }
        Ok(())
    }

    fn look_at(&mut self, path: &Path) {
        let source = is_source(path);
        if matches!(source, Ok(false)) {
            return;
        }
        let nstype = match nstype(path) {
            Ok(Some(nstype)) => nstype,
            Ok(None) => return,
            Err(error) => {
                self.problems.push(format!("{error:#}"));
                return;
            }
        };
        match source.and_then(|_| readable(path)) {
            Ok(()) => self.found.insert(nstype),
            Err(error) => {
                self.problems.push(format!("{error:#}"));
                self.doubtful.insert(nstype)
            }
        };
    }
}

/// The type that a file is named after; `None` where it serves no type of its own.
pub fn nstype(path: &Path) -> Result<Option<NsType>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let conf = path
        .extension()
        .is_some_and(|extension| extension == "conf");
    if stem.starts_with('.') || (conf && stem == "default") {
        return Ok(None);
    }
    let naming = || path.display().to_string();
    let (nstype, nsname) = match stem.split_once('-') {
        Some((nstype, nsname)) if conf => (nstype, Some(nsname)),
        _ => (stem.as_ref(), None),
    };
    let nstype: NsType = nstype.parse().with_context(naming)?;
    if let Some(nsname) = nsname {
        nsname.parse::<NsName>().with_context(naming)?;
    }
    Ok(Some(nstype))
}

fn readable(path: &Path) -> Result<()> {
    match fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{} cannot be read: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "etc/conf.d/netns/1st.conf",
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
