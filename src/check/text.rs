//! The text of a file that is sourced, for what only text tells: lines, and what is mentioned.

use std::path::PathBuf;

use anyhow::Result;

use crate::instance::sources::{self, Slot, Source};

/// A file that is sourced.
#[derive(Debug)]
pub struct Text {
    pub slot: Slot,
    pub path: PathBuf,
    pub text: String,
}

impl Text {
    pub fn read(source: &Source) -> Result<Self> {
        let text = sources::read(source)?;
        Ok(Self {
            slot: source.slot,
            path: source.path.clone(),
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    /// The last line that gives a value to a variable, as far as that can be read off.
    pub fn line_that_sets(&self, variable: &str) -> Option<u32> {
        let numbered = (1..).zip(self.text.lines());
        let sets = numbered.filter(|(_, line)| {
            occurrences(line, variable).any(|(before, after)| {
                let after = after.strip_prefix('+').unwrap_or(after);
                !before.trim_start().starts_with('#')
                    && !before.ends_with(['$', '{'])
                    && (after.starts_with('=') || after.starts_with('['))
            })
        });
        sets.last().map(|(number, _)| number)
    }

    /// Whether the value of a variable is made use of, or may be: it is mentioned but for where it
    /// is set.
    pub fn uses(&self, variable: &str) -> bool {
        let mut lines = self
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        lines.any(|line| {
            occurrences(line, variable).any(|(before, after)| {
                let set = after.starts_with('=') || after.starts_with("+=");
                !set || before.ends_with(['$', '{'])
            })
        })
    }
}

/// Where a word stands in a line: what is before it and what is after.
fn occurrences<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        (!before.ends_with(part) && !after.starts_with(part)).then_some((before, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sets_and_what_uses_is_told_apart() {
        let text = |text: &str| Text {
            slot: Slot::Type,
            path: PathBuf::new(),
            text: text.to_owned(),
        };
        let file = text("# X=0\nX=1\nexport X=2; XY=3\nY=${X=4}\nA+=(1)\n[[ -z $Z ]]\n");
        assert_eq!(file.line_that_sets("X"), Some(3));
        assert_eq!(file.line_that_sets("A"), Some(5));
        assert_eq!(file.line_that_sets("Z"), None);
        assert!(file.uses("X") && file.uses("Z"));
        assert!(!file.uses("A") && !file.uses("XY") && !file.uses("Q"));
    }
}
