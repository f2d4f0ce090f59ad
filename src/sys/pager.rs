//! Shows long output on a terminal in a pager, as systemctl(1) does.

use std::env;
use std::io::{self, IsTerminal};

use anyhow::Result;

use crate::sys::{command, terminal};

/// Set by programs such as sudo that run a command with the privileges of another user, who may not
/// be allowed to run other commands.
const ELEVATED: [&str; 4] = ["SUDO_UID", "DOAS_USER", "PKEXEC_UID", "SYSTEMD_PAGERSECURE"];

/// Prints `text`, in a pager if it is longer than the terminal.
pub fn print(text: &str) -> Result<()> {
    let height = terminal_size::terminal_size().map(|(_, height)| usize::from(height.0));
    let long = height.is_some_and(|height| text.lines().count() >= height);
    let words = command_line().filter(|_| long && io::stdout().is_terminal());
    let Some([program, arguments @ ..]) = words.as_deref() else {
        return terminal::print(text);
    };
    // A text longer than the pipe's buffer is written while the pager reads.
    let shown = command::find(program).and_then(|program| {
        let options = env::var("SYSTEMD_LESS").unwrap_or_else(|_| "FRSXMK".to_owned());
        duct::cmd(program, arguments)
            .env("LESS", options)
            // No shell commands and no other files.
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

/// The command in `$SYSTEMD_PAGER` or `$PAGER`, or `less`. `None` if no pager is wanted.
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
