//! Files with `NAME=VALUE` lines, as read by systemd (systemd.exec(5), EnvironmentFile=) and shells.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::{MigrationPlan, read};
use crate::instance::sources::is_identifier_part;

/// The variables that have not been translated yet.
#[derive(Debug, Default, Clone)]
pub struct ForeignVariables(BTreeMap<String, String>);

impl ForeignVariables {
    /// Reads a file. Lines that a shell would expand or run are left out, with a warning in `plan`.
    pub fn of_file(path: &Path, plan: &mut MigrationPlan) -> Result<Self> {
        Self::read(path, plan, |line| line.to_owned())
    }

    /// Reads a flat TOML file, with lines `name = "value"`.
    pub fn of_toml(path: &Path, plan: &mut MigrationPlan) -> Result<Self> {
        Self::read(path, plan, |line| match line.split_once('=') {
            Some((name, value)) => format!("{}={}", name.trim(), value.trim()),
            None => line.to_owned(),
        })
    }

    fn read(path: &Path, plan: &mut MigrationPlan, normal: fn(&str) -> String) -> Result<Self> {
        let mut variables = Self::default();
        for (number, line) in (1..).zip(read(path)?.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            match assignment(&normal(line)) {
                Some((name, value)) => drop(variables.0.insert(name, value)),
                None => plan.note(
                    path,
                    &format!("line {number} was not translated: not a plain NAME=VALUE"),
                ),
            }
        }
        Ok(variables)
    }

    /// Sets the variables of `other`.
    pub fn overlay(&mut self, other: &Self) {
        self.0.extend(other.0.clone());
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// Whether one of these is set.
    pub fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// The variables that have not been taken.
    pub fn rest(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Parses `NAME=VALUE`, where the value is one word, possibly quoted, that a shell does not expand.
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line
        .strip_prefix("export ")
        .unwrap_or(line)
        .split_once('=')?;
    if name.is_empty() || !name.chars().all(is_identifier_part) || value.contains(['$', '`']) {
        return None;
    }
    let mut words = shell_words::split(value).ok()?.into_iter();
    let value = words.next().unwrap_or_default();
    match words.next() {
        Some(_) => None,
        None => Some((name.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::assignment;

    #[test]
    fn only_plain_values_are_read() {
        for (line, expected) in [
            ("A=b", Some("b")),
            ("export A='b c'", Some("b c")),
            ("A=\"b\" # c", Some("b")),
            ("A=", Some("")),
            ("A=b c", None),
            ("A=$(id)", None),
            ("A=`id`", None),
            ("A='b", None),
            ("A B=c", None),
            ("=b", None),
            ("rm -rf /", None),
        ] {
            let found = assignment(line).map(|(_, value)| value);
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }
}
