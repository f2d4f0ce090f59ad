//! What is being waited for, on one line of the terminal that is written again and again.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::sys::terminal;

/// A line on stderr; nothing where that is no terminal.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    since: Instant,
    told: Option<Duration>,
}

/// Nobody wonders about less.
const UNTOLD: Duration = Duration::from_secs(1);

impl Progress {
    pub fn begin() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            since: Instant::now(),
            told: None,
        }
    }

    /// Shows, once a second, what `what` gives to wait for. `what` is not asked more often.
    pub fn tell(&mut self, what: impl FnOnce() -> Option<String>) {
        let passed = Duration::from_secs(self.since.elapsed().as_secs());
        if !self.terminal || passed < UNTOLD || self.told == Some(passed) {
            return;
        }
        self.told = Some(passed);
        let Some(what) = what() else { return };
        let line = format!(
            "waiting for {} ... {} s",
            terminal::clean(&what),
            passed.as_secs()
        );
        let width = terminal_size::terminal_size_of(io::stderr());
        let width = width.map_or(80, |(width, _)| usize::from(width.0));
        // The last column would make some terminals begin a new line.
        let line = terminal::cut(&line, width.saturating_sub(1));
        write(&format!("\r{ERASE}{line}"));
    }

    /// Takes the line away again, before anything else is written.
    pub fn clear(&mut self) {
        if self.told.take().is_some() {
            write(&format!("\r{ERASE}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// "Erase in line" of ECMA-48: from the cursor to the end.
const ERASE: &str = "\u{1b}[K";

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // If nobody listens, there is nobody to tell.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}
