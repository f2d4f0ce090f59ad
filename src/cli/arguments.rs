//! The command lines of netnsinit and netnsupdate, and how all programs parse theirs.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::sys::log;
use crate::sys::terminal::clean;

/// Run one of the four functions that configure a network namespace
///
/// Sources the files of NSTYPE and NSNAME in /etc/conf.d/netns and calls the bash function
/// configure_NSTYPE_{up,down}_{outside,inside} with NSNAME and each PARAM. Outside is the network
/// namespace of the caller, inside is /run/netns/NSNAME.
#[derive(Debug, Parser)]
#[command(
    name = "netnsinit",
    version,
    max_term_width = 80,
    override_usage = "netnsinit [--undo] NSTYPE NSNAME [PARAM...] up|down inside|outside",
    after_help = "Example: netnsinit veth web up outside"
)]
pub struct Init {
    /// With down: do nothing unless the previous up failed or was killed
    #[arg(long)]
    pub undo: bool,

    /// Function to run
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// Generate the systemd units of network namespace types
///
/// For each NSTYPE in /etc/conf.d/netns and /usr/share/systemd-netns, writes netns-NSTYPE@.service
/// and netns_outside-NSTYPE@.service to /etc/systemd/system, and removes those of types that no
/// longer exist. Run it after adding or removing a type, or changing NETNS_REQUIRES.
#[derive(Debug, Parser)]
#[command(
    name = "netnsupdate",
    version,
    max_term_width = 80,
    after_help = "Example: netnsupdate --dry-run"
)]
pub struct Update {
    /// Remove the units of all types
    #[arg(long)]
    pub clean: bool,

    /// Remove units even if instances are running
    #[arg(long)]
    pub force: bool,

    /// Reload systemd even if nothing changed
    #[arg(long, conflicts_with = "no_reload")]
    pub daemon_reload: bool,

    /// Do not reload systemd
    #[arg(long)]
    pub no_reload: bool,

    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Work on the system below DIR, without systemd
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Print only warnings and errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// Parses the command line of this process. Exits after printing the help, the version or a usage
/// error.
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            // The message quotes arguments, which must not control the terminal.
            let words = std::env::args_os().map(|word| clean(&word.to_string_lossy()));
            if let Err(error) = T::try_parse_from(words) {
                error.exit()
            }
            log::error("the command line contains control characters or is not UTF-8");
            std::process::exit(error.exit_code())
        }
        error.exit()
    })
}

/// Exits with a usage error, as clap does.
pub fn usage_error<T: CommandFactory>(message: impl Display) -> ! {
    let message = clean(&message.to_string());
    T::command().error(ErrorKind::InvalidValue, message).exit()
}
