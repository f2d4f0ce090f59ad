//! The program `netnsupdate`: generates the systemd units of network namespace types.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use crate::cli::arguments::{self, Update};
use crate::instance::paths::Root;
use crate::sys::exit::{self, Exit, OrExit};
use crate::sys::log;
use crate::sys::rooted;
use crate::sys::user::require_root;
use crate::systemd::manager::Manager;
use crate::update::{self, Reload, UpdateRequest};

/// The whole of the program.
pub fn main() -> ExitCode {
    exit::main("netnsupdate", || run(arguments::parse::<Update>()))
}

fn run(arguments: Update) -> Result<u8> {
    let system = arguments.root.is_none();
    if system && !arguments.dry_run {
        require_root()?;
    }
    if let Some(root) = arguments.root.as_ref().filter(|root| !root.is_dir()) {
        // A mistyped name would create a new tree; an empty name would mean the working directory.
        return Err(anyhow!("--root '{}' is not a directory", root.display())).or_exit(Exit::Usage);
    }
    if let Some(root) = &arguments.root {
        rooted::confine(root).with_context(|| format!("opening {}", root.display()))?;
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
    let request = UpdateRequest {
        clean: arguments.clean,
        force: arguments.force,
        dry_run: arguments.dry_run,
        quiet: arguments.quiet,
        reload,
    };
    let status = update::run(&root, manager.as_ref(), &request)?;
    let reloads = !request.dry_run && reload != Reload::Never;
    if system && manager.is_none() && reloads && !request.quiet {
        log::info("systemd is not running, not reloading it");
    }
    Ok(status)
}
