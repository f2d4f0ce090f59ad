//! What several verbs of netnsctl print.

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::sys::{log, pager, terminal};
use crate::systemd::manager::Manager;
use crate::systemd::service::ServiceName;

// The options of verbs whose output may be long. (A doc comment would become the verb's help.)
#[derive(Debug, Default, Args)]
pub struct Paging {
    /// Do not pipe the output into a pager
    #[arg(long)]
    no_pager: bool,
}

impl Paging {
    /// Prints `text`, through a pager where it is longer than the terminal.
    pub fn print(&self, text: &str) -> Result<()> {
        match self.no_pager {
            true => terminal::print(text),
            false => pager::print(text),
        }
    }
}

/// The version of the JSON documents. Keys may be added to a version; none is removed or changes
/// its meaning.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a, T> {
    version: u32,
    #[serde(flatten)]
    content: &'a T,
}

/// Prints a JSON document of `content`, which has to be a struct.
pub fn print_json(content: &impl Serialize) -> Result<()> {
    let version = VERSION;
    let document = Document { version, content };
    let text = serde_json::to_string_pretty(&document).context("writing JSON")?;
    terminal::print(&(text + "\n"))
}

/// Warns of what could not be read.
pub fn warn_unreadable(unreadable: &[String]) {
    for what in unreadable {
        log::warn(&format!("not read: {what}"));
    }
}

/// Restarts the service, or prints how to.
pub fn restart(manager: Option<&Manager>, service: &ServiceName, now: bool) -> Result<u8> {
    let pattern = service.pattern();
    match manager {
        None => log::info("systemd is not running: nothing was reloaded"),
        Some(manager) if now => manager
            .restart(&pattern)
            .with_context(|| format!("{service} has its new settings, but failed to restart"))?,
        Some(_) => log::info(&format!(
            "to apply the change: systemctl restart {}",
            shell_words::quote(&pattern)
        )),
    }
    Ok(0)
}
