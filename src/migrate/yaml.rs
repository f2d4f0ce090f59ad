//! YAML as JSON, with what a configuration needs of it.

use anyhow::{Context, Result, bail, ensure};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};

/// As deep as anything may be nested.
const DEPTH: usize = 16;

/// The only document of a text. Numbers are text, too.
///
/// # Errors
/// It is no YAML, or has aliases, which could make a short text endless.
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
    ensure!(values.len() == 1, "it has {} documents", values.len());
    Ok(values.remove(0))
}

struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        Ok(self.0.next().context("it has no end")??)
    }

    fn value(&mut self, event: &Event<'a>, span: Span, depth: usize) -> Result<Value> {
        let line = span.start.line();
        ensure!(depth < DEPTH, "line {line}: nested too deep");
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
                        _ => bail!("line {}: a key that is no text", at.start.line()),
                    };
                    let (event, span) = self.next()?;
                    let value = self.value(&event, span, depth + 1)?;
                    ensure!(
                        map.insert(key, value).is_none(),
                        "line {}: a key that is there already",
                        at.start.line()
                    );
                }
            }
            Event::Alias(_) => bail!("line {line}: aliases are not supported"),
            _ => bail!("line {line}: not expected here"),
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
