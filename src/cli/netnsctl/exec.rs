use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::{self, NetNs};
use crate::sys::command;
use crate::sys::exit::{self, Exit, OrExit};
use crate::sys::process;
use crate::sys::user::User;

/// Run a command in a network namespace
///
/// As with 'ip netns exec', /sys shows the interfaces of the namespace, and the
/// files of /etc/netns/NSNAME replace those of /etc.
#[derive(Debug, Args)]
#[command(after_help = "\
With --user, COMMAND has no capabilities and cannot gain any by running other
programs. It has a new session keyring, no open files except stdin, stdout and
stderr, and cannot insert input into the terminal. Its environment is reduced to
PATH, the variables of desktop programs (DISPLAY, WAYLAND_DISPLAY, XAUTHORITY,
XDG_RUNTIME_DIR, LANG, ...), and the user's HOME, USER, LOGNAME and SHELL.

Exit status: that of COMMAND, or 5 if there is no such command.

Example: netnsctl exec --user alice web -- firefox")]
pub struct Exec {
    /// Run as this user, with the user's groups and without privileges
    #[arg(long, short)]
    user: Option<String>,

    /// With --user: keep N open files after stderr, descriptors 3 to N+2
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    #[arg(requires = "user", value_parser = clap::value_parser!(i32).range(0..=65536))]
    preserve_fds: i32,

    /// Set the host name to NSNAME in a private UTS namespace
    #[arg(long)]
    hostname: bool,

    /// Set a variable, or keep one that --user removes (can be repeated)
    #[arg(short = 'E', long = "env", value_name = "VAR[=VALUE]")]
    variables: Vec<OsString>,

    /// Name of the network namespace
    #[arg(value_name = "NSNAME", value_parser = NsName::of_any)]
    name: NsName,

    /// Command to run, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `HOST_NAME_MAX` of Linux, sethostname(2).
const HOST_NAME_MAX: usize = 64;

impl Exec {
    /// Parses `exec NSNAME [--] COMMAND...`; `None` for any other command line.
    pub fn plain(words: &[OsString]) -> Option<Self> {
        let [verb, name, command @ ..] = words else {
            return None;
        };
        let command = match command {
            [dashes, command @ ..] if dashes == "--" => command,
            [first, ..] if first.as_bytes().starts_with(b"-") => return None,
            command => command,
        };
        let name = name.to_str().filter(|name| !name.starts_with('-'))?;
        (verb == "exec" && !command.is_empty()).then_some(Self {
            user: None,
            preserve_fds: 0,
            hostname: false,
            variables: Vec::new(),
            name: NsName::of_any(name).ok()?,
            command: command.to_vec(),
        })
    }

    pub fn run(&self, root: &Root) -> Result<u8> {
        let Self { name, .. } = self;
        let variables = self.variables().or_exit(Exit::Usage)?;
        let long = name.as_str().len() > HOST_NAME_MAX;
        if self.hostname && long {
            return Err(anyhow!(
                "'{name}' cannot be a host name: it is longer than {HOST_NAME_MAX} bytes"
            ))
            .or_exit(Exit::Usage);
        }
        let Some(namespace) = NetNs::open(root, name)? else {
            bail!("there is no network namespace '{name}': see 'netnsctl list'");
        };
        // The user database, such as LDAP, may be reachable only from outside.
        let user = self.user.as_deref().map(User::find).transpose()?;
        let mut environment = match &user {
            Some(user) => user.environment(),
            None => std::env::vars_os().collect(),
        };
        for (variable, value) in variables {
            environment.retain(|(other, _)| *other != variable);
            environment.push((variable, value));
        }
        self.go(root, namespace, user.as_ref())
            .map_err(|error| match exit::code(&error) {
                Exit::NotPermitted => error.context("this needs root, as with sudo"),
                _ => error,
            })?;
        let [program, arguments @ ..] = self.command.as_slice() else {
            bail!("no command");
        };
        match command::replace(program, arguments, Some(environment))? {}
    }

    fn go(&self, root: &Root, namespace: NetNs, user: Option<&User>) -> Result<()> {
        namespace.enter()?;
        namespace::see_only(root, &self.name)?;
        if self.hostname {
            namespace::own_hostname(self.name.as_str())?;
        }
        let Some(user) = user else { return Ok(()) };
        process::close_from(3 + self.preserve_fds)?;
        user.become_it()
    }

    /// The variables of `--env`. `VAR` without a value is left out if it is not set here.
    fn variables(&self) -> Result<Vec<(OsString, OsString)>> {
        let mut variables = Vec::new();
        for word in &self.variables {
            let bytes = word.as_bytes();
            let name = bytes.split(|byte| *byte == b'=').next().unwrap_or_default();
            ensure!(
                !name.is_empty(),
                "-E '{}': variable name missing",
                word.to_string_lossy()
            );
            let value = match bytes.get(name.len() + 1..) {
                Some(value) => Some(OsString::from_vec(value.to_vec())),
                None => std::env::var_os(word),
            };
            let name = OsString::from_vec(name.to_vec());
            variables.extend(value.map(|value| (name, value)));
        }
        Ok(variables)
    }
}
