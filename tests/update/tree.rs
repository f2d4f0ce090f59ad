//! A system in a temporary directory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub const NETNSUPDATE: &str = env!("CARGO_BIN_EXE_netnsupdate");

pub const INSIDE: &str = include_str!("../../systemd/netns@.service");
pub const OUTSIDE: &str = include_str!("../../systemd/netns_outside@.service");

/// A copy of an earlier version.
pub const OLD: &str = "# Template of systemd-netns: an earlier version\n[Service]\n";

/// A unit of the shell package.
pub const ORIGINAL: &str = "[Service]\nExecStart=/usr/sbin/netnsinit \"%J\" \"%I\" up inside\n";

pub struct Tree(TempDir);

impl Tree {
    /// An empty system, with the unit templates where the package installs them.
    pub fn new() -> Self {
        let tree = Self::bare();
        tree.install_templates();
        tree
    }

    pub fn bare() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn install_templates(&self) {
        self.write("usr/lib/systemd/system/netns@.service", INSIDE);
        self.write("usr/lib/systemd/system/netns_outside@.service", OUTSIDE);
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    pub fn unit_dir(&self) -> PathBuf {
        self.path("etc/systemd/system")
    }

    pub fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Writes a file of the unit directory.
    pub fn unit(&self, name: &str, text: &str) {
        self.write(Path::new("etc/systemd/system").join(name), text);
    }

    /// Creates a type.
    pub fn conf(&self, nstype: &str) {
        self.write(format!("etc/conf.d/netns/{nstype}.conf"), "");
    }

    pub fn link(&self, target: &str, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(NETNSUPDATE);
        command.arg("--root").arg(self.root());
        command
    }

    pub fn update(&self) -> Outcome {
        Outcome::of(&mut self.command())
    }

    /// The unit directory: the text of each file in it and below, or the target of a link.
    pub fn units(&self) -> BTreeMap<String, String> {
        let mut units = BTreeMap::new();
        let mut directories = vec![self.unit_dir()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let text = match fs::read_link(&path) {
                    Ok(target) => format!("-> {}", target.display()),
                    Err(_) => fs::read_to_string(&path).unwrap(),
                };
                let name = path.strip_prefix(self.unit_dir()).unwrap();
                units.insert(name.to_str().unwrap().to_owned(), text);
            }
        }
        units
    }
}

/// The result of a program.
#[derive(Debug)]
pub struct Outcome {
    /// `None` if a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(command: &mut Command) -> Self {
        // The tests may run in a unit, where messages have another format.
        command.env_remove("JOURNAL_STREAM");
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        output.into()
    }

    /// # Panics
    /// The program did not exit with `status`.
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The attributes that change when a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    inode: u64,
    changed: (i64, i64),
    pub mode: u32,
    pub content: Vec<u8>,
}

/// The files below `directory`, by path. Of directories, only the mode is compared.
pub fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut look = Seen {
            inode: metadata.ino(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            mode: metadata.mode(),
            content: Vec::new(),
        };
        if metadata.is_symlink() {
            look.content = OsString::from(fs::read_link(&path).unwrap()).into_vec();
        } else if metadata.is_dir() {
            look.changed = (0, 0);
            // One that a test has locked stays as it is, or the test shows it otherwise.
            let entries = fs::read_dir(&path).into_iter().flatten();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        } else if let Ok(file) = fs::File::open(&path) {
            // The start will do: a test has a file that is larger than memory.
            file.take(1 << 16).read_to_end(&mut look.content).unwrap();
        }
        seen.insert(path, look);
    }
    seen
}
