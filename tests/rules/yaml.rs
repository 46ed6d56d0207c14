//! YAML, as far as a rules file needs it: texts, lists, maps and aliases. Every scalar is a text.

use std::collections::HashMap;
use std::ops::Index;

use saphyr_parser::{Event, Parser};

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        let Self::Text(text) = self else { panic!("no text: {self:?}") };
        text
    }

    #[track_caller]
    pub(crate) fn list(&self) -> &[Self] {
        let Self::List(list) = self else { panic!("no list: {self:?}") };
        list
    }

    #[track_caller]
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        let Self::Map(entries) = self else { panic!("no map: {self:?}") };
        entries
    }

    pub(crate) fn find(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

impl Index<&str> for Yaml {
    type Output = Self;

    #[track_caller]
    fn index(&self, key: &str) -> &Self {
        self.find(key).unwrap_or_else(|| panic!("no {key}: {self:?}"))
    }
}

/// The one document of `text`.
pub(crate) fn parse(text: &str) -> Yaml {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new() };
    loop {
        if let Event::DocumentStart(_) = reader.next() {
            let first = reader.next();
            return reader.value(first);
        }
    }
}

struct Reader<'text> {
    events: Parser<'text, saphyr_parser::StrInput<'text>>,
    anchors: HashMap<usize, Yaml>,
}

impl<'text> Reader<'text> {
    fn next(&mut self) -> Event<'text> {
        let event = self.events.next().expect("a document that ends ends with an event");
        event.unwrap_or_else(|error| panic!("{error}")).0
    }

    fn value(&mut self, event: Event<'_>) -> Yaml {
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.anchors[&anchor].clone(),
            Event::Scalar(text, _, anchor, _) => (anchor, Yaml::Text(text.into_owned())),
            Event::SequenceStart(anchor, _) => {
                let mut list = Vec::new();
                loop {
                    match self.next() {
                        Event::SequenceEnd => break (anchor, Yaml::List(list)),
                        event => list.push(self.value(event)),
                    }
                }
            }
            Event::MappingStart(anchor, _) => {
                let mut entries = Vec::new();
                loop {
                    match self.next() {
                        Event::MappingEnd => break (anchor, Yaml::Map(entries)),
                        key => {
                            let key = self.value(key).text().to_owned();
                            let value = self.next();
                            entries.push((key, self.value(value)));
                        }
                    }
                }
            }
            other => panic!("{other:?} is no value"),
        };
        self.anchors.insert(anchor, value.clone());
        value
    }
}
