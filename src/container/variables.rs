//! The variables that the network of a container sets for the functions of a type.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use serde_json::Value as Json;

use crate::instance::sources::is_identifier_part;

/// The value of a bash variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BashValue {
    Text(String),
    List(Vec<String>),
}

pub type ContainerVariables = BTreeMap<String, BashValue>;

/// The prefix of the variables that contain facts.
pub const PREFIX: &str = "CONTAINER_";

impl BashValue {
    pub fn is_empty(&self) -> bool {
        match self {
            BashValue::Text(text) => text.is_empty(),
            BashValue::List(words) => words.is_empty(),
        }
    }

    /// Converts a string, a number, a Boolean, or an array of these.
    fn of_json(json: &Json) -> Result<Self> {
        match json {
            Json::Array(items) => items
                .iter()
                .map(word)
                .collect::<Result<_>>()
                .map(Self::List),
            json => word(json).map(Self::Text),
        }
    }
}

fn word(json: &Json) -> Result<String> {
    let word = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "no".to_owned(),
        _ => bail!("must be a string or an array of strings"),
    };
    ensure!(!word.contains('\0'), "must not contain a NUL character");
    Ok(word)
}

/// Reads the variables in the configuration of a network.
///
/// # Errors
/// The name or the value of a variable, which the error names, is not valid.
pub fn read<'a>(
    object: impl IntoIterator<Item = (&'a String, &'a Json)>,
) -> Result<ContainerVariables> {
    let mut variables = ContainerVariables::new();
    for (name, json) in object {
        ensure!(is_variable(name), "invalid variable name '{name}'");
        let value = BashValue::of_json(json).map_err(|error| error.context(name.clone()))?;
        variables.insert(name.clone(), value);
    }
    Ok(variables)
}

/// Whether a network may set a variable of this name: an identifier that is neither reserved for us nor
/// read-only in bash.
fn is_variable(name: &str) -> bool {
    const RESERVED: [&str; 10] = [
        "NSTYPE",
        "NSNAME",
        "UPDOWN",
        "INOUT",
        "BASHOPTS",
        "BASHPID",
        "EUID",
        "PPID",
        "SHELLOPTS",
        "UID",
    ];
    const OURS: [&str; 3] = [PREFIX, "__netns", "BASH_"];
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(is_identifier_part)
        && !RESERVED.contains(&name)
        && !OURS.iter().any(|prefix| name.starts_with(prefix))
}

/// The content of the file that `__netns_read_values` reads.
pub fn file(variables: &ContainerVariables) -> Vec<u8> {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in variables {
        words.push(name.clone());
        match value {
            BashValue::Text(text) => words.extend(["string".to_owned(), text.clone()]),
            BashValue::List(items) => {
                words.push(items.len().to_string());
                words.extend(items.iter().cloned());
            }
        }
    }
    let words = words
        .into_iter()
        .flat_map(|word| (word + "\0").into_bytes());
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_data() {
        let json = serde_json::json!({"A": "$(id)\n'", "B": ["1 2", 3, true], "C": []});
        let variables = read(json.as_object().unwrap()).unwrap();
        assert_eq!(
            file(&variables),
            b"A\0string\0$(id)\n'\0B\x003\x001 2\x003\0yes\0C\x000\0"
        );
        for bad in [
            r#"{"a b": ""}"#,
            r#"{"A[0]": ""}"#,
            r#"{"": ""}"#,
            r#"{"1": ""}"#,
            r#"{"NSNAME": ""}"#,
            r#"{"A": {}}"#,
            r#"{"A": null}"#,
            r#"{"A": "\u0000"}"#,
        ] {
            let json: Json = serde_json::from_str(bad).unwrap();
            assert!(read(json.as_object().unwrap()).is_err(), "{bad}");
        }
    }
}
