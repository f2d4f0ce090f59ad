//! The command lines of netnsinit and netnsupdate.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

/// Run one of the four functions that configure a network namespace
///
/// Sources the files of NSTYPE and NSNAME in /etc/conf.d/netns and calls the bash function
/// configure_NSTYPE_{up,down}_{outside,inside} with NSNAME and each PARAM: outside in the network
/// namespace of the caller, inside in /run/netns/NSNAME.
#[derive(Debug, Parser)]
#[command(
    name = "netnsinit",
    version,
    max_term_width = 80,
    override_usage = "netnsinit [--undo] NSTYPE NSNAME [PARAM...] up|down inside|outside",
    after_help = "Example: netnsinit veth web up outside"
)]
pub struct Init {
    /// With down: do nothing unless the up before it failed or was killed
    #[arg(long)]
    pub undo: bool,

    /// What to run
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// Give every network namespace type its systemd units
///
/// For each NSTYPE in /etc/conf.d/netns and /usr/share/systemd-netns there is a netns-NSTYPE@.service
/// in /etc/systemd/system, and a netns_outside-NSTYPE@.service. To be run whenever a type has come
/// or gone.
#[derive(Debug, Parser)]
#[command(
    name = "netnsupdate",
    version,
    max_term_width = 80,
    after_help = "Example: netnsupdate --dry-run"
)]
pub struct Update {
    /// Remove all units, whatever types there are
    #[arg(long)]
    pub clean: bool,

    /// Remove units even while instances of them run
    #[arg(long)]
    pub force: bool,

    /// Have systemd read its units again even if nothing changed
    #[arg(long, conflicts_with = "no_reload")]
    pub daemon_reload: bool,

    /// Leave it to the caller to have systemd read its units again
    #[arg(long)]
    pub no_reload: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Work below DIR, and leave systemd alone
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Say nothing but warnings and errors
    #[arg(long, short)]
    pub quiet: bool,
}
