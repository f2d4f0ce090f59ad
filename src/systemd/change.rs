//! Changes to unit files and drop-ins, made by one process at a time and atomically.
//!
//! Before the first change, a journal in the unit directory records how to undo all of them. On
//! error they are undone at once. If the process is killed, the next one that takes the lock undoes
//! them, so an interrupted command can simply be run again.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::instance::resolv_conf::ResolvConf;
use crate::sys::exit::after_undo;
use crate::sys::file;
use crate::sys::lock::Lock;
use crate::sys::log;
use crate::systemd::manager::Manager;

/// A change takes a fraction of a second unless the disk or systemd hangs.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The exclusive right to write units, and the systemd that reads them.
pub struct Units<'a> {
    root: &'a Root,
    manager: Option<&'a Manager>,
    _lock: Lock,
}

/// The content of a path.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FileContent {
    Text(String),
    Link(PathBuf),
}

/// What to write and remove.
#[derive(Debug, Default)]
pub struct Change {
    files: Vec<(PathBuf, Option<FileContent>)>,
    directories: Vec<PathBuf>,
    started: Vec<String>,
    part: Option<(NsName, String)>,
}

impl Change {
    /// Writes `text` to `path`, or removes `path`.
    pub fn file(&mut self, path: PathBuf, text: Option<String>) {
        self.files.push((path, text.map(FileContent::Text)));
    }

    pub fn remove(&mut self, path: PathBuf) {
        self.files.push((path, None));
    }

    pub fn link(&mut self, path: PathBuf, target: PathBuf) {
        self.files.push((path, Some(FileContent::Link(target))));
    }

    /// Removes a directory if it is empty after the other changes.
    pub fn remove_empty(&mut self, directory: PathBuf) {
        self.directories.push(directory);
    }

    /// Declares units that will be started. Undoing the change stops them.
    pub fn starts(&mut self, units: &[String]) {
        self.started.extend_from_slice(units);
    }

    /// Declares that the part of `owner` in the resolv.conf of `name` will change.
    pub fn changes_part(&mut self, name: &NsName, owner: &str) {
        self.part = Some((name.clone(), owner.to_owned()));
    }

    fn make(&self) -> Result<()> {
        for (path, content) in &self.files {
            put(path, content.as_ref())?;
        }
        for directory in &self.directories {
            file::remove_empty(directory);
        }
        Ok(())
    }
}

/// How to undo a change.
#[derive(Debug, Default, Serialize, Deserialize)]
struct UndoRecord {
    files: Vec<(PathBuf, Option<FileContent>)>,
    /// Directories that did not exist.
    directories: Vec<PathBuf>,
    started: Vec<String>,
    /// Namespace and owner of each changed part of a resolv.conf, and its previous lines.
    part: Option<(String, String, Option<String>)>,
}

impl UndoRecord {
    fn of(change: &Change, root: &Root) -> Result<Self> {
        let mut undo = Self {
            started: change.started.clone(),
            ..Self::default()
        };
        for (path, _) in &change.files {
            undo.files.push((path.clone(), content(path)?));
            let directory = path.parent().unwrap_or(path);
            if !file::exists(directory)? && !undo.directories.iter().any(|other| other == directory)
            {
                undo.directories.push(directory.to_owned());
            }
        }
        if let Some((name, owner)) = &change.part {
            let lines = ResolvConf::of(root, name).part(owner)?;
            undo.part = Some((name.to_string(), owner.clone(), lines));
        }
        Ok(undo)
    }
}

impl<'a> Units<'a> {
    /// Takes the lock, and undoes the unfinished change of a process that was killed.
    pub fn lock(root: &'a Root, manager: Option<&'a Manager>) -> Result<Self> {
        let units = Self {
            root,
            manager,
            _lock: Lock::take_within(&root.units_lock(), LOCK_TIMEOUT)?,
        };
        file::remove_temporary(&root.unit_dir())?;
        if let Some(text) = file::read_text(&root.units_journal())? {
            log::info("a previous change of units was interrupted; undoing it");
            let undo = serde_json::from_str(&text)
                .with_context(|| format!("reading {}", root.units_journal().display()))?;
            units.undo(&undo)?;
        }
        Ok(units)
    }

    /// Makes the change and runs `then`. If either fails, undoes everything.
    pub fn apply(&self, change: &Change, then: impl FnOnce() -> Result<()>) -> Result<()> {
        let undo = UndoRecord::of(change, self.root)?;
        let journal = self.root.units_journal();
        let text = serde_json::to_string(&undo).context("writing JSON")?;
        file::write(&journal, text.as_bytes(), 0o600)?;
        change
            .make()
            .and_then(|()| then())
            .map_err(|error| after_undo(error, self.undo(&undo)))?;
        file::remove(&journal)?;
        Ok(())
    }

    /// Reloads systemd, if it runs.
    pub fn reload(&self) -> Result<()> {
        self.manager.map_or(Ok(()), Manager::reload)
    }

    fn undo(&self, undo: &UndoRecord) -> Result<()> {
        for (path, content) in &undo.files {
            file::remove_temporary(path.parent().unwrap_or(path))?;
            put(path, content.as_ref())?;
        }
        for directory in &undo.directories {
            file::remove_empty(directory);
        }
        if let Some((name, owner, lines)) = &undo.part {
            let resolv_conf = ResolvConf::of(self.root, &name.parse()?);
            match lines {
                Some(lines) => resolv_conf.set(owner, lines).map(drop)?,
                None => resolv_conf.remove(owner)?,
            }
        }
        if let Some(manager) = self.manager {
            manager.reload()?;
            manager.stop(&undo.started)?;
        }
        file::remove(&self.root.units_journal())?;
        Ok(())
    }
}

/// # Errors
/// It is neither a text file nor a symlink, so it is not ours.
fn content(path: &Path) -> Result<Option<FileContent>> {
    if let Some(target) = file::read_link(path)? {
        return Ok(Some(FileContent::Link(target)));
    }
    match file::read(path)?.map(String::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(FileContent::Text(text))),
        Some(Err(_)) => bail!("{} is not a text file", path.display()),
    }
}

/// Writes the content to `path`, unless it is there already.
fn put(path: &Path, wanted: Option<&FileContent>) -> Result<()> {
    if content(path)?.as_ref() == wanted {
        return Ok(());
    }
    if wanted.is_some() {
        file::make_parent(path, 0o755)?;
    }
    match wanted {
        Some(FileContent::Text(text)) => file::write(path, text.as_bytes(), 0o644),
        Some(FileContent::Link(target)) => {
            file::remove(path)?;
            symlink(target, path)
                .with_context(|| format!("creating the symlink {}", path.display()))
        }
        None => file::remove(path).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        fs::create_dir_all(root.unit_dir()).unwrap();
        (directory, root)
    }

    fn change(root: &Root) -> Change {
        let mut change = Change::default();
        change.file(root.unit_dir().join("new.d/a.conf"), Some("a".into()));
        change.link(root.unit_dir().join("new.wants/b"), "../b".into());
        change.remove(root.unit_dir().join("old.d/c.conf"));
        change.remove_empty(root.unit_dir().join("old.d"));
        fs::create_dir_all(root.unit_dir().join("old.d")).unwrap();
        fs::write(root.unit_dir().join("old.d/c.conf"), "c").unwrap();
        change.changes_part(&"web".parse().unwrap(), "x@web");
        change
    }

    fn set(root: &Root) {
        let file = ResolvConf::of(root, &"web".parse().unwrap());
        assert!(file.set("x@web", "").unwrap());
    }

    fn assert_before(root: &Root) {
        let old = fs::read_to_string(root.unit_dir().join("old.d/c.conf"));
        assert_eq!(old.unwrap(), "c");
        assert_eq!(file::names(&root.unit_dir()).unwrap(), ["old.d"]);
        assert!(!root.path("/etc/netns").exists());
    }

    #[test]
    fn a_change_is_made_as_a_whole() {
        let (_directory, root) = tree();
        let units = Units::lock(&root, None).unwrap();
        units.apply(&change(&root), || Ok(())).unwrap();
        let names = file::names(&root.unit_dir()).unwrap();
        assert_eq!(names, ["new.d", "new.wants"]);
        let link = fs::read_link(root.unit_dir().join("new.wants/b"));
        assert_eq!(link.unwrap(), Path::new("../b"));
    }

    #[test]
    fn a_failed_change_is_undone() {
        let (_directory, root) = tree();
        let units = Units::lock(&root, None).unwrap();
        let failed = units.apply(&change(&root), || {
            set(&root);
            bail!("no")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_before(&root);
    }

    #[test]
    fn a_killed_change_is_undone_by_the_next_process() {
        let (_directory, root) = tree();
        let change = change(&root);
        let undo = UndoRecord::of(&change, &root).unwrap();
        let text = serde_json::to_string(&undo).unwrap();
        fs::write(root.units_journal(), text).unwrap();
        change.make().unwrap();
        set(&root);
        fs::write(root.unit_dir().join(".systemd-netns-abcdef"), "").unwrap();
        Units::lock(&root, None).unwrap();
        assert_before(&root);
    }
}
