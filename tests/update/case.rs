//! The trees: a system before, a command line, and the system after.
//!
//! The lines of a `case` file:
//! ```text
//! # why there is this case
//! args --clean               more of the command line
//! exit 1                     its status, unless 0
//! > created /etc/...         a line on stdout, less the root
//! ! netnsupdate: ...         a line on stderr, less the root
//! mkdir PATH                 made first: what git does not keep,
//! chmod MODE PATH
//! raw PATH                   or cannot: an empty file, with \xNN in its name
//! unprivileged               root has to obey permission bits, too
//! ```
//! A file of the tree that holds nothing but `@netns@.service` is a copy of that template; one that
//! holds nothing but `-> TARGET` is a symlink.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::tree::{INSIDE, NETNSUPDATE, OUTSIDE, Outcome, Tree, snapshot};

/// One test for each directory of `directory` whose name begins with a number.
pub fn trials(directory: &Path) -> Vec<Trial> {
    let mut cases: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the directory of the cases")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    let trial = |case: PathBuf| {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        Trial::test(name, move || Case::read(&case).run())
    };
    cases.into_iter().map(trial).collect()
}

struct Case {
    directory: PathBuf,
    arguments: Vec<String>,
    status: i32,
    stdout: String,
    stderr: String,
    steps: Vec<Vec<String>>,
    unprivileged: bool,
}

impl Case {
    fn read(directory: &Path) -> Self {
        let mut case = Self {
            directory: directory.to_owned(),
            arguments: Vec::new(),
            status: 0,
            stdout: String::new(),
            stderr: String::new(),
            steps: Vec::new(),
            unprivileged: false,
        };
        for line in fs::read_to_string(directory.join("case")).unwrap().lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => {}
                "args" => case.arguments.extend(rest.split(' ').map(str::to_owned)),
                "exit" => case.status = rest.parse().unwrap(),
                ">" => case.stdout += &format!("{rest}\n"),
                "!" => case.stderr += &format!("{rest}\n"),
                "unprivileged" => case.unprivileged = true,
                _ => case
                    .steps
                    .push(line.split(' ').map(str::to_owned).collect()),
            }
        }
        case
    }

    fn run(&self) -> Result<(), Failed> {
        let tree = Tree::bare();
        for part in ["etc", "usr"] {
            copy_tree(&self.directory.join(part), &tree.path(part));
        }
        for step in &self.steps {
            self.prepare(&tree, step);
        }
        if !tree.path("usr/lib/systemd/system").exists() {
            tree.install_templates();
        }
        let before = snapshot(tree.root());
        let outcome = Outcome::of(&mut self.command(&tree));
        let after = snapshot(tree.root());

        let root = tree.root().to_str().unwrap();
        let stdout = outcome.stdout.replace(root, "");
        let stderr = outcome.stderr.replace(root, "");
        let expected = (Some(self.status), &self.stdout, &self.stderr);
        if (outcome.status, &stdout, &stderr) != expected {
            return Err(format!(
                "exit {:?}, expected {}\nstdout:\n{stdout}expected:\n{}stderr:\n{stderr}expected:\n{}",
                outcome.status, self.status, self.stdout, self.stderr
            )
            .into());
        }
        let unit_dir = fs::canonicalize(tree.unit_dir()).unwrap_or_default();
        for (path, old) in &before {
            if let Some(new) = after.get(path) {
                if new.content == old.content && new != old {
                    return Err(format!("{} was touched for nothing", path.display()).into());
                }
            }
        }
        for (path, new) in &after {
            if before.get(path) == Some(new) || path.is_dir() {
                continue;
            }
            if unit_dir.as_os_str().is_empty() || !path.starts_with(&unit_dir) {
                return Err(format!("{} is none of its business", path.display()).into());
            }
            if new.mode & 0o7777 != 0o644 {
                return Err(format!("{} has mode {:o}", path.display(), new.mode).into());
            }
        }
        let again = Outcome::of(&mut self.command(&tree));
        let settled = snapshot(tree.root()) == after && again.status == outcome.status;
        if !settled || (again.stdout != outcome.stdout && !again.stdout.is_empty()) {
            return Err(format!("a second run does something else: {again:#?}").into());
        }
        self.unlock(&tree);
        self.compare(&tree)
    }

    fn command(&self, tree: &Tree) -> Command {
        let mut command = if self.unprivileged && nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
            command.arg(NETNSUPDATE);
            command
        } else {
            Command::new(NETNSUPDATE)
        };
        command.arg("--root").arg(tree.root()).args(&self.arguments);
        command
    }

    fn prepare(&self, tree: &Tree, step: &[String]) {
        let words: Vec<&str> = step.iter().map(String::as_str).collect();
        match words[..] {
            ["mkdir", path] => fs::create_dir_all(tree.path(path)).unwrap(),
            ["chmod", mode, path] => {
                let mode = u32::from_str_radix(mode, 8).unwrap();
                fs::set_permissions(tree.path(path), Permissions::from_mode(mode)).unwrap();
            }
            ["raw", path] => {
                let path = tree.path(unescape(path));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                File::create(path).unwrap();
            }
            _ => panic!("{}/case: {words:?}", self.directory.display()),
        }
    }

    /// Makes files readable for diff that the program must not read.
    fn unlock(&self, tree: &Tree) {
        for step in self.steps.iter().filter(|step| step[0] == "chmod") {
            let path = tree.path(&step[2]);
            if path.exists() {
                fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    fn compare(&self, tree: &Tree) -> Result<(), Failed> {
        let expected = tempfile::tempdir().unwrap();
        copy_tree(&self.directory.join("expected"), expected.path());
        for step in &self.steps {
            // A file that is not text must be unchanged.
            if let ["raw", path] = step.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                if let Some(name) = path.strip_prefix("etc/systemd/system/") {
                    File::create(expected.path().join(unescape(name))).unwrap();
                }
            }
        }
        let nothing = tempfile::tempdir().unwrap();
        let unit_dir = match fs::canonicalize(tree.unit_dir()) {
            Ok(path) if path.is_dir() => path,
            _ => nothing.path().to_owned(),
        };
        let diff = Command::new("diff")
            .args(["-ru", "--no-dereference"])
            .arg(expected.path())
            .arg(&unit_dir)
            .output()
            .expect("diff");
        if diff.status.success() {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&diff.stdout)
            .replace(expected.path().to_str().unwrap(), "expected")
            .replace(tree.root().to_str().unwrap(), "");
        Err(format!("{shown}{}", String::from_utf8_lossy(&diff.stderr)).into())
    }
}

/// Copies everything below `from`, if it exists.
fn copy_tree(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else {
        return;
    };
    fs::create_dir_all(to).unwrap();
    for entry in entries {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy_tree(&from, &to);
            continue;
        }
        let content = fs::read(&from).unwrap();
        match std::str::from_utf8(&content).map(str::trim_end) {
            Ok("@netns@.service") => fs::write(to, INSIDE).unwrap(),
            Ok("@netns_outside@.service") => fs::write(to, OUTSIDE).unwrap(),
            Ok(line) if line.starts_with("-> ") => symlink(&line[3..], to).unwrap(),
            _ => fs::write(to, content).unwrap(),
        }
    }
}

/// Replaces `\xNN` by that byte.
fn unescape(path: &str) -> OsString {
    let mut parts = path.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    OsString::from_vec(bytes)
}
