//! A progress line on the terminal, which is rewritten in place.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::sys::terminal;

/// A line on stderr. Nothing is shown if stderr is not a terminal.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    since: Instant,
    shown: Option<Duration>,
}

/// The time after which a wait is shown.
const DELAY: Duration = Duration::from_secs(1);

impl Progress {
    pub fn begin() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            since: Instant::now(),
            shown: None,
        }
    }

    /// Shows the text that `what` returns. Calls it once a second at most.
    pub fn update(&mut self, what: impl FnOnce() -> Option<String>) {
        let passed = Duration::from_secs(self.since.elapsed().as_secs());
        if !self.terminal || passed < DELAY || self.shown == Some(passed) {
            return;
        }
        self.shown = Some(passed);
        let Some(what) = what() else { return };
        let line = format!(
            "waiting for {} ... {} s",
            terminal::clean(&what),
            passed.as_secs()
        );
        show(&line);
    }

    /// Erases the line, before anything else is written.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            write(&format!("\r{ERASE}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A progress bar on stderr. Nothing is shown if stderr is not a terminal.
#[derive(Debug)]
pub struct Bar {
    progress: Progress,
    what: &'static str,
    total: usize,
}

impl Bar {
    /// `what` is shown after the bar, such as "creating pods".
    pub fn begin(what: &'static str, total: usize) -> Self {
        let progress = Progress::begin();
        Self {
            progress,
            what,
            total,
        }
    }

    pub fn update(&mut self, done: usize) {
        if !self.progress.terminal {
            return;
        }
        self.progress.shown = Some(self.progress.since.elapsed());
        let (what, total) = (self.what, self.total);
        show(&format!("{} {done}/{total} {what}", bar(done, total)));
    }

    /// Erases the line, before anything else is written.
    pub fn clear(&mut self) {
        self.progress.clear();
    }
}

fn bar(done: usize, total: usize) -> String {
    const WIDTH: usize = 24;
    let filled = (done * WIDTH).checked_div(total).unwrap_or(WIDTH);
    format!("[{:-<WIDTH$}]", "#".repeat(filled.min(WIDTH)))
}

fn show(line: &str) {
    let width = terminal_size::terminal_size_of(io::stderr());
    let width = width.map_or(80, |(width, _)| usize::from(width.0));
    // Some terminals wrap after the last column.
    let line = terminal::cut(line, width.saturating_sub(1));
    write(&format!("\r{ERASE}{line}"));
}

/// "Erase in line" of ECMA-48: from the cursor to the end.
const ERASE: &str = "\u{1b}[K";

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nothing can be done about an error.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_filled_from_the_left() {
        assert_eq!(bar(0, 8), "[------------------------]");
        assert_eq!(bar(2, 8), "[######------------------]");
        assert_eq!(bar(8, 8), bar(0, 0));
    }
}
