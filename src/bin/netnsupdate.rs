//! Gives every network namespace type its systemd units.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use systemd_netns::exit::{self, Exit, OrExit};
use systemd_netns::manager::Manager;
use systemd_netns::root::Root;
use systemd_netns::update::{self, Reload, Request};

/// Give every network namespace type its systemd units
///
/// For each NSTYPE in /etc/conf.d/netns and /usr/share/systemd-netns there is a netns-NSTYPE@.service
/// in /etc/systemd/system, and a netns_outside-NSTYPE@.service. To be run whenever a type has come
/// or gone.
#[derive(Parser)]
#[command(name = "netnsupdate", version)]
struct Arguments {
    /// Remove all units, whatever types there are
    #[arg(long)]
    clean: bool,

    /// Remove units even while instances of them run
    #[arg(long)]
    force: bool,

    /// Have systemd read its units again even if nothing changed
    #[arg(long, conflicts_with = "no_reload")]
    daemon_reload: bool,

    /// Leave it to the caller to have systemd read its units again
    #[arg(long)]
    no_reload: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Work below DIR, and leave systemd alone
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Say nothing but warnings and errors
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    exit::main("netnsupdate", || run(Arguments::parse()))
}

fn run(arguments: Arguments) -> Result<u8> {
    let system = arguments.root.is_none();
    if system && !arguments.dry_run && !nix::unistd::geteuid().is_root() {
        return Err(anyhow!("changing units is not permitted")).or_exit(Exit::NotPermitted);
    }
    if let Some(root) = arguments.root.as_ref().filter(|root| !root.is_dir()) {
        // Else a mistyped name would become a new tree, and an empty one this directory.
        return Err(anyhow!("--root '{}' is not a directory", root.display())).or_exit(Exit::Usage);
    }
    let root = arguments.root.map_or_else(Root::default, Root::at);
    let manager = if system {
        Manager::running(&root)?
    } else {
        None
    };
    let reload = match (arguments.daemon_reload, arguments.no_reload) {
        (true, _) => Reload::Always,
        (_, true) => Reload::Never,
        _ => Reload::IfChanged,
    };
    let request = Request {
        clean: arguments.clean,
        force: arguments.force,
        dry_run: arguments.dry_run,
        quiet: arguments.quiet,
        reload,
    };
    let status = update::run(&root, manager.as_ref(), &request)?;
    let reloads = !request.dry_run && reload != Reload::Never;
    if system && manager.is_none() && reloads && !request.quiet {
        exit::note("systemd does not run here: nothing was reloaded");
    }
    Ok(status)
}
