//! Parses the subset of YAML that configuration files need into a JSON value.

use anyhow::{Context, Result, bail, ensure};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};

/// The maximum nesting.
const DEPTH: usize = 16;

/// Parses a text with one document. Numbers become strings.
///
/// # Errors
/// The text is not YAML or has several documents, or it contains an alias, a repeated key or deep
/// nesting: aliases can expand a short text without limit.
pub fn parse(text: &str) -> Result<Value> {
    let mut events = Events(Parser::new_from_str(text));
    let mut values = Vec::new();
    loop {
        match events.next()? {
            (Event::StreamEnd, _) => break,
            (
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd,
                _,
            ) => {}
            (event, span) => values.push(events.value(&event, span, 0)?),
        }
    }
    ensure!(
        values.len() == 1,
        "expected one document, found {}",
        values.len()
    );
    Ok(values.remove(0))
}

struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        Ok(self.0.next().context("unexpected end")??)
    }

    fn value(&mut self, event: &Event<'a>, span: Span, depth: usize) -> Result<Value> {
        let line = span.start.line();
        ensure!(depth < DEPTH, "line {line}: nested too deeply");
        match event {
            Event::Scalar(text, style, ..) => Ok(match (style, &**text) {
                (ScalarStyle::Plain, "" | "~" | "null") => Value::Null,
                (ScalarStyle::Plain, "true") => Value::Bool(true),
                (ScalarStyle::Plain, "false") => Value::Bool(false),
                (_, text) => Value::String(text.to_owned()),
            }),
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => return Ok(Value::Array(list)),
                        (event, span) => list.push(self.value(&event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    let (key, at) = self.next()?;
                    let key = match key {
                        Event::MappingEnd => return Ok(Value::Object(map)),
                        Event::Scalar(key, ..) => key.into_owned(),
                        _ => bail!("line {}: the key is not a string", at.start.line()),
                    };
                    let (event, span) = self.next()?;
                    let value = self.value(&event, span, depth + 1)?;
                    ensure!(
                        map.insert(key, value).is_none(),
                        "line {}: repeated key",
                        at.start.line()
                    );
                }
            }
            Event::Alias(_) => bail!("line {line}: aliases are not supported"),
            _ => bail!("line {line}: unexpected syntax"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn yaml_becomes_json() {
        let text = "a: 1\nb: [x, 'true', true, ~]\nc:\n  - d: |\n      e\n      f\n";
        let value = json!({"a": "1", "b": ["x", "true", true, null], "c": [{"d": "e\nf\n"}]});
        assert_eq!(parse(text).unwrap(), value);
        assert_eq!(parse("{\"a\": {}}").unwrap(), json!({"a": {}}));
    }

    #[test]
    fn what_could_be_endless_is_refused() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        for bad in [
            "a: &x [1]\nb: *x",
            "a: 1\na: 2",
            "",
            "--- 1\n--- 2",
            "a: [",
            "? [a]\n: b",
            &deep,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
