//! The text of a sourced file: the lines that set a variable, and the names that are mentioned.

use std::path::PathBuf;

use crate::instance::sources::{self, Slot, Source, occurrences};

/// A file that is sourced.
#[derive(Debug)]
pub struct Text {
    pub slot: Slot,
    pub path: PathBuf,
    pub text: String,
}

impl Text {
    pub fn of(source: &Source) -> Self {
        Self {
            slot: source.slot,
            path: source.path.clone(),
            text: String::from_utf8_lossy(&source.content).into_owned(),
        }
    }

    /// The last line that appears to assign a value to a variable, counted from 1.
    pub fn line_that_sets(&self, variable: &str) -> Option<u32> {
        sources::line_that_sets(&self.text, variable)
    }

    /// Whether a function is mentioned outside its own definition.
    pub fn calls(&self, function: &str) -> bool {
        self.mentions(function, |before, after| {
            let defined = after.trim_start().starts_with("()");
            !defined && !before.trim_end().ends_with("function")
        })
    }

    /// Whether a variable is mentioned other than to set it, so that its value may be used.
    pub fn uses(&self, variable: &str) -> bool {
        self.mentions(variable, |before, after| {
            let set = after.starts_with('=') || after.starts_with("+=");
            !set || before.ends_with(['$', '{'])
        })
    }

    /// Whether a word occurs in a line of code, with text before and after it that `counts` accepts.
    fn mentions(&self, word: &str, counts: impl Fn(&str, &str) -> bool) -> bool {
        let mut code = self
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        code.any(|line| occurrences(line, word).any(|(before, after)| counts(before, after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_a_variable_is_not_using_it() {
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
        let file_of_functions = text("f() { g; }\nfunction h { f\n}\n# h\n");
        assert!(file_of_functions.calls("f") && file_of_functions.calls("g"));
        assert!(!file_of_functions.calls("h"));
        assert!(!file.uses("A") && !file.uses("XY") && !file.uses("Q"));
    }
}
