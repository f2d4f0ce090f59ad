//! Which NSTYPEs there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::is_source;
use crate::file::Missing;
use crate::name::{NsName, NsType};
use crate::root::Root;

/// The types that the files of a system speak of, and what is wrong with other files.
#[derive(Debug, Default)]
pub struct Types {
    pub found: BTreeSet<NsType>,
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
            match nstype(&path) {
                Ok(nstype) => self.found.extend(nstype),
                Err(error) => self.problems.push(format!("{error:#}")),
            }
        }
        Ok(())
    }
}

/// The type that a file belongs to; `None` where it is no file of a type.
fn nstype(path: &Path) -> Result<Option<NsType>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let conf = path
        .extension()
        .is_some_and(|extension| extension == "conf");
    if stem.starts_with('.') || (conf && stem == "default") || !is_source(path)? {
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
    if let Err(error) = fs::File::open(path) {
        bail!("{} cannot be read: {error}", path.display());
    }
    Ok(Some(nstype))
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
