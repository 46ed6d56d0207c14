//! The plain part of YAML that a configuration needs, with the line of everything: mappings, lists, scalars.
//!
//! Anchors, aliases, tags, second documents and keys that stand twice are refused: none of them says anything here that
//! cannot be said without, and the first two let a small file stand for a very large one.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// How deep mappings and lists may stand within each other.
const DEEPEST: usize = 16;

/// A value and the line where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: YamlValue,
}

#[derive(Debug)]
pub(super) enum YamlValue {
    /// Nothing, as after a key that has no value.
    Nothing,
    /// A scalar; quoted ones are never a boolean or a number.
    Scalar {
        text: String,
        is_quoted: bool,
    },
    List(Vec<Node>),
    /// Name, line of the name, value.
    Mapping(Vec<(String, usize, Node)>),
}

/// A line and what is wrong there.
pub(super) type YamlError = (usize, String);

/// The one document of a text.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut reader = YamlReader(Parser::new_from_str(text));
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), span) if document.is_some() => {
                return Err((span.start.line(), "a second document begins here; only one is allowed".to_owned()));
            }
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                document = Some(reader.node(first, 0)?);
            }
            _ => {}
        }
    }
    Ok(document.unwrap_or(Node { line: 1, value: YamlValue::Nothing }))
}

struct YamlReader<'a>(Parser<'a, saphyr_parser::StrInput<'a>>);

impl<'a> YamlReader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.0.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err((error.marker().line(), format!("is not YAML: {}", error.info()))),
            None => Err((1, "is not YAML: it ends too early".to_owned())),
        }
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        let refuse = |words: &str| Err((line, words.to_owned()));
        if depth > DEEPEST {
            return refuse("is nested too deep");
        }
        let value = match event {
            Event::Alias(_) => return refuse("an alias is not supported; write the value again"),
            Event::Scalar(_, _, 1.., _) | Event::SequenceStart(1.., _) | Event::MappingStart(1.., _) => {
                return refuse("an anchor is not supported; write the value where it is used");
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return refuse("a tag is not supported; remove it");
            }
            Event::Scalar(text, style, ..) => {
                let is_quoted = style != ScalarStyle::Plain;
                match &*text {
                    "" | "~" | "null" if !is_quoted => YamlValue::Nothing,
                    _ => YamlValue::Scalar { text: text.into_owned(), is_quoted },
                }
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.mapping(depth)?,
            _ => return refuse("is not YAML: a value is missing"),
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<YamlValue, YamlError> {
        let mut parts = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(YamlValue::List(parts)),
                part => parts.push(self.node(part, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<YamlValue, YamlError> {
        let mut entries: Vec<(String, usize, Node)> = Vec::new();
        loop {
            let name = match self.next()? {
                (Event::MappingEnd, _) => return Ok(YamlValue::Mapping(entries)),
                name => self.node(name, depth + 1)?,
            };
            let YamlValue::Scalar { text, .. } = name.value else {
                return Err((name.line, "a key is a plain word".to_owned()));
            };
            if entries.iter().any(|(known, ..)| *known == text) {
                return Err((name.line, "this key is on an earlier line as well; remove one of the two".to_owned()));
            }
            let value = self.next()?;
            entries.push((text, name.line, self.node(value, depth + 1)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_refused_with_its_line() {
        for (text, line, words) in [
            ("a: &x 1\nb: *x\n", 1, "an anchor"),
            ("a: 1\na: 2\n", 2, "is on an earlier line"),
            ("a: !!str 1\n", 1, "a tag"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a:\n  - b\n c: [\n", 3, "is not YAML"),
            (&("[".repeat(40) + &"]".repeat(40)), 1, "nested too deep"),
            ("? [a]\n: 1\n", 1, "a key is a plain word"),
        ] {
            let (at, said) = parse(text).unwrap_err();
            assert!(at == line && said.contains(words), "{text:?}: {at}: {said}");
        }
    }

    #[test]
    fn a_document_is_read_with_its_lines() {
        let Node { value: YamlValue::Mapping(entries), .. } = parse("# nothing\na: 'true'\nb:\n  - x\nc:\n").unwrap()
        else {
            panic!("a mapping");
        };
        let lines: Vec<_> = entries.iter().map(|(name, line, _)| (name.as_str(), *line)).collect();
        assert_eq!(lines, [("a", 2), ("b", 3), ("c", 5)]);
        assert!(matches!(&entries[0].2.value, YamlValue::Scalar { text, is_quoted: true } if text == "true"));
        assert!(matches!(&entries[1].2.value, YamlValue::List(parts) if parts[0].line == 4));
        assert!(matches!(entries[2].2.value, YamlValue::Nothing));
        assert!(matches!(parse("").unwrap().value, YamlValue::Nothing));
    }
}
