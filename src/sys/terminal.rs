//! Text on the terminal: width, colours, control characters.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use unicode_width::UnicodeWidthStr;

/// The properties of stdout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// The width in columns. `None` if lines can have any length.
    pub width: Option<usize>,
    pub colours: bool,
}

/// The meaning of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Highlight {
    Good,
    Bad,
    Busy,
    Faint,
    Heading,
}

impl Terminal {
    /// The properties of the terminal if stdout is one. `$COLUMNS` overrides its width; `$NO_COLOR`
    /// (no-color.org) and `TERM=dumb` disable colours.
    pub fn of_stdout() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let measured = terminal_size::terminal_size().filter(|_| terminal);
        let measured = measured.map(|(width, _)| usize::from(width.0));
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let plain = set("NO_COLOR").is_some() || set("TERM").as_deref() == Some("dumb");
        Self {
            width: columns.or(measured).filter(|width| *width > 0),
            colours: terminal && !plain,
        }
    }

    /// `text` in a colour, if colours are enabled.
    pub fn paint(self, highlight: Highlight, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let style = match highlight {
            Highlight::Good => AnsiColor::Green.on_default(),
            Highlight::Bad => AnsiColor::Red.on_default().bold(),
            Highlight::Busy => AnsiColor::Yellow.on_default(),
            Highlight::Faint => Style::new().dimmed(),
            Highlight::Heading => Style::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// The colour of a state of a unit or a link.
pub fn highlight(state: &str) -> Highlight {
    match state {
        "active" | "up" => Highlight::Good,
        "failed" | "missing" | "leftover" | "no-carrier" => Highlight::Bad,
        "activating" | "deactivating" | "reloading" | "maintenance" => Highlight::Busy,
        _ => Highlight::Faint,
    }
}

/// Untrusted text without control characters and without those Unicode characters that change the
/// direction of writing (UAX #9).
pub fn clean(text: &str) -> String {
    let is_bad = |c: char| {
        let direction = ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c);
        c.is_control() || direction
    };
    text.replace(is_bad, "\u{fffd}")
}

/// The width in columns of a text without colours.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Truncates a text to `columns`, with an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if width(&cut) >= columns {
            cut.pop();
            break;
        }
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// Wraps `words`, each with the space after it, into lines of at most `columns`. The first line
/// begins with `first`, the others with `next`. A word that is longer than a line is truncated.
pub fn wrap<'a>(
    words: impl IntoIterator<Item = &'a str>,
    columns: usize,
    first: &str,
    next: &str,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words {
        if !empty && width(&line) + width(word.trim_end()) > columns {
            lines.push(line.trim_end().to_owned());
            line = next.to_owned();
        }
        line += word;
        empty = false;
    }
    lines.push(line.trim_end().to_owned());
    lines.iter().map(|line| cut(line, columns)).collect()
}

/// Writes to stdout. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to stdout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(
            wrap(["ab  ", "cd ", "ef"], 7, "- ", "  "),
            ["- ab", "  cd ef"]
        );
        assert_eq!(wrap(["abcdefghi"], 5, "", ""), ["abcd…"]);
        assert_eq!(wrap([], 5, "", ""), [""]);
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }

    #[test]
    fn colours_are_only_used_where_wanted() {
        let plain = Terminal::default();
        assert_eq!(plain.paint(Highlight::Bad, "x"), "x");
        let colours = true;
        assert!(
            Terminal { colours, ..plain }
                .paint(Highlight::Bad, "x")
                .starts_with('\u{1b}')
        );
    }
}
