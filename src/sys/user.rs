//! Users of the system: look them up, and switch to one.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use caps::CapSet;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::sys::command;
use crate::sys::exit::{Exit, OrExit};
use crate::sys::process;

/// Fails unless the caller is root.
///
/// # Errors
/// With [`Exit::NotPermitted`].
pub fn require_root() -> Result<()> {
    if process::is_root() {
        return Ok(());
    }
    Err(anyhow!("must be run as root")).or_exit(Exit::NotPermitted)
}

/// A user with all supplementary groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    home: String,
    shell: String,
}

/// The exit status of getent(1) for an unknown key.
const NOT_FOUND: Option<i32> = Some(2);

/// Environment variables that desktop programs and terminals need.
const KEPT: [&str; 8] = [
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "PULSE_SERVER",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
];

impl User {
    /// Looks up a user by name or number.
    ///
    /// Runs getent(1) and id(1), which use all sources in nsswitch.conf(5): this program is linked
    /// statically and cannot load NSS modules.
    pub fn find(word: &str) -> Result<Self> {
        if word.is_empty() || word.starts_with('-') || word.contains([':', '\0', '\n']) {
            bail!("'{}' is not a user name", word.escape_debug());
        }
        let getent = command::find("getent")?;
        let found = command::try_output(&getent, &["passwd", word])?;
        if found.status.code() == NOT_FOUND {
            bail!("user '{word}' does not exist");
        }
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let Some(mut user) = passwd(&text).filter(|_| found.status.success()) else {
            bail!("'getent passwd {word}' gave no valid entry");
        };
        let groups = command::output(&command::find("id")?, &["-G", "--", &user.name])?;
        let group = |word: &str| word.parse().map(Gid::from_raw);
        let groups: Result<_, _> = groups.split_whitespace().map(group).collect();
        user.groups = groups.with_context(|| format!("reading the groups of '{word}'"))?;
        Ok(user)
    }

    /// Permanently switches this process to the user: only the user's groups, no capabilities, none
    /// from file capabilities either, no access to root's keyring, no input into root's terminal.
    pub fn become_it(&self) -> Result<()> {
        let becoming = || format!("becoming user '{}'", self.name);
        process::forbid_terminal_input().with_context(becoming)?;
        caps::clear(None, CapSet::Bounding).with_context(becoming)?;
        setgroups(&self.groups).with_context(becoming)?;
        setresgid(self.gid, self.gid, self.gid).with_context(becoming)?;
        setresuid(self.uid, self.uid, self.uid).with_context(becoming)?;
        // With some securebits of the caller, these survive the change of user (capabilities(7)).
        // Ambient ones first: they must be both permitted and inheritable.
        for set in [
            CapSet::Ambient,
            CapSet::Effective,
            CapSet::Permitted,
            CapSet::Inheritable,
        ] {
            caps::clear(None, set).with_context(becoming)?;
        }
        process::join_new_keyring().with_context(becoming)
    }

    /// The environment for programs of this user: from the caller's, only what a desktop needs.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> =
            env::vars_os().filter(|(name, _)| is_kept(name)).collect();
        let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.into()));
        set("PATH", &command::search_path());
        set("HOME", self.home.as_ref());
        set("USER", self.name.as_ref());
        set("LOGNAME", self.name.as_ref());
        set("SHELL", self.shell.as_ref());
        let callers = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let callers_is_theirs = callers.as_deref().is_some_and(|path| self.owns(path));
        let theirs = PathBuf::from(format!("/run/user/{}", self.uid));
        // As sudo does: the caller's directory may not be accessible to the user.
        let runtime = match &callers {
            Some(path) if callers_is_theirs => Some(path),
            _ => Some(&theirs).filter(|path| self.owns(path)),
        };
        if let Some(path) = runtime {
            set("XDG_RUNTIME_DIR", path.as_os_str());
        }
        let bus = env::var_os("DBUS_SESSION_BUS_ADDRESS");
        let of_another = |bus: &OsString| {
            let callers = callers.as_ref().filter(|_| !callers_is_theirs);
            callers.is_some_and(|path| contains(bus.as_bytes(), path.as_os_str().as_bytes()))
        };
        if let Some(bus) = bus.filter(|bus| !of_another(bus)) {
            set("DBUS_SESSION_BUS_ADDRESS", &bus);
        }
        variables
    }

    fn owns(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == self.uid.as_raw())
    }
}

fn is_kept(name: &OsStr) -> bool {
    KEPT.iter().any(|kept| name == *kept) || name.as_bytes().starts_with(b"LC_")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// Parses a line of passwd(5), without the groups.
fn passwd(text: &str) -> Option<User> {
    let fields: Vec<&str> = text.lines().next()?.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields.as_slice() else {
        return None;
    };
    let or = |text: &&str, default: &str| match *text {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    Some(User {
        name: (*name).to_owned(),
        uid: Uid::from_raw(uid.parse().ok()?),
        gid: Gid::from_raw(gid.parse().ok()?),
        groups: Vec::new(),
        home: or(home, "/"),
        shell: or(shell, "/bin/sh"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_read() {
        let user = passwd("web:x:33:34:,,,:/var/www:\n").unwrap();
        assert_eq!((user.uid.as_raw(), user.gid.as_raw()), (33, 34));
        assert_eq!((&*user.home, &*user.shell), ("/var/www", "/bin/sh"));
        for bad in ["", "web", "web:x:33:34:,,,:/var/www", "web:x:-1:34:::"] {
            assert_eq!(passwd(bad), None, "{bad}");
        }
    }

    #[test]
    fn root_is_found_by_name_and_number() {
        let root = User::find("root").unwrap();
        assert!(root.uid.is_root() && root.groups.contains(&Gid::from_raw(0)));
        assert_eq!(User::find("0").unwrap(), root);
        for bad in ["", "-r", "a:b", "no-such-user-here"] {
            assert!(User::find(bad).is_err(), "{bad}");
        }
    }
}
