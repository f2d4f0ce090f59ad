//! Long output on a terminal goes through a pager, as that of systemctl(1) does.

use std::env;
use std::io::{self, IsTerminal};

use anyhow::Result;

use crate::sys::{command, terminal};

/// Set by programs that run commands with the rights of another user, for people who may not be
/// allowed to run any command that way.
const ELEVATED: [&str; 4] = ["SUDO_UID", "DOAS_USER", "PKEXEC_UID", "SYSTEMD_PAGERSECURE"];

/// Prints `text`, through a pager where it is longer than the terminal.
pub fn print(text: &str) -> Result<()> {
    let height = terminal_size::terminal_size().map(|(_, height)| usize::from(height.0));
    let long = height.is_some_and(|height| text.lines().count() >= height);
    let words = command_line().filter(|_| long && io::stdout().is_terminal());
    let Some([program, arguments @ ..]) = words.as_deref() else {
        return terminal::print(text);
    };
    // A text longer than that of a pipe's buffer is written while the pager reads it.
    let shown = command::find(program).and_then(|program| {
        let options = env::var("SYSTEMD_LESS").unwrap_or_else(|_| "FRSXMK".to_owned());
        duct::cmd(program, arguments)
            .env("LESS", options)
            // No commands, no other files.
            .env("LESSSECURE", "1")
            .stdin_bytes(text)
            .unchecked()
            .run()
            .map_err(Into::into)
    });
    match shown {
        Ok(_) => Ok(()),
        Err(_) => terminal::print(text),
    }
}

/// The words of `$SYSTEMD_PAGER`, else `$PAGER`, else `less`; `None` where no pager is wanted.
fn command_line() -> Option<Vec<String>> {
    let set = ["SYSTEMD_PAGER", "PAGER"];
    let set = set.iter().find_map(|name| env::var(name).ok());
    let elevated = ELEVATED.iter().any(|name| env::var_os(name).is_some());
    match set {
        Some(pager) if ["", "cat"].contains(&pager.trim()) => None,
        Some(pager) if !elevated => shell_words::split(&pager).ok(),
        _ => Some(vec!["less".to_owned()]),
    }
}
