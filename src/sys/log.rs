//! Lines on stderr: errors, warnings and information.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use crate::sys::terminal::clean;

static PROGRAM: OnceLock<&'static str> = OnceLock::new();

/// Sets the program name that begins each line on a terminal.
pub fn set_program(name: &'static str) {
    PROGRAM.get_or_init(|| name);
}

/// Prints an error without ending the program.
pub fn error(message: &str) {
    say(Level::Error, message);
}

/// Prints a warning.
pub fn warn(message: &str) {
    say(Level::Warning, message);
}

/// Prints information about what was done.
pub fn info(message: &str) {
    say(Level::Info, message);
}

/// Prints a line of another program's output, indented below a message about it.
pub fn quote(line: &str) {
    let line = clean(&line.replace('\t', "    "));
    let _ = io::stderr().write_all(format!("    {line}\n").as_bytes());
}

#[derive(Clone, Copy)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// Writes one line to stderr. Ignores errors, such as a full disk or a closed pipe.
fn say(level: Level, message: &str) {
    let message = clean(message);
    let line = if stderr_is_journal() {
        // The journal reads the number as the priority (sd-daemon(3)), and records the program itself.
        format!("<{}>{message}\n", level as u8)
    } else {
        let program = PROGRAM.get().copied().unwrap_or("systemd-netns");
        let word = match level {
            Level::Warning => "warning: ",
            Level::Error | Level::Info => "",
        };
        format!("{program}: {word}{message}\n")
    };
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Whether stderr is connected to the journal, by `$JOURNAL_STREAM` (systemd.exec(5)).
fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| stream.to_str() == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)))
}
