//! Output that verbs of netnsctl have in common.

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
    /// Prints `text`, through a pager if it is longer than the terminal.
    pub fn print(&self, text: &str) -> Result<()> {
        match self.no_pager {
            true => terminal::print(text),
            false => pager::print(text),
        }
    }
}

/// The version of the JSON documents. Within a version, keys may be added, but none is removed or
/// changes its meaning.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a, T> {
    version: u32,
    #[serde(flatten)]
    content: &'a T,
}

/// Prints a JSON document with `version` and the fields of `content`, which must be a struct.
pub fn print_json(content: &impl Serialize) -> Result<()> {
    let version = VERSION;
    let document = Document { version, content };
    let text = serde_json::to_string_pretty(&document).context("writing JSON")?;
    terminal::print(&(text + "\n"))
}

/// The lines of a table that may be as wide as it is: much faster than laying it out for a width.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let mut widths = Vec::new();
    for cells in rows {
        widths.resize(cells.len(), 0);
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = terminal::width(cell).max(*width);
        }
    }
    let line = |cells: &Vec<String>| {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(cells) {
            line += cell;
            let gap = width + 2 - terminal::width(cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        line
    };
    rows.iter().map(line).collect()
}

/// Prints a warning for each thing that could not be read.
pub fn warn_unreadable(unreadable: &[String]) {
    for what in unreadable {
        log::warn(&format!("not read: {what}"));
    }
}

/// Restarts the service if `now` is set; otherwise prints the command that does.
pub fn restart(manager: Option<&Manager>, service: &ServiceName, now: bool) -> Result<u8> {
    let pattern = service.pattern();
    match manager {
        None => log::info("systemd is not running, not reloading it"),
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
