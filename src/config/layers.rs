//! The layers merged into one tree by the `config` crate, in which every value still knows where it stood.

use config::{ConfigError, Map, Source, ValueKind};

use super::parse;
use super::sources::Entry;
use super::value::{Literal, Location, Value};

/// The merged tree.
#[derive(Debug)]
pub(super) struct Effective {
    root: Map<String, config::Value>,
    locations: Vec<Location>,
}

impl Effective {
    /// Merges the layers; later ones win.
    ///
    /// # Errors
    /// Where the `config` crate refuses a tree. None that a schema admits is known to be.
    pub(super) fn merge(layers: Vec<Vec<Entry>>) -> Result<Self, ConfigError> {
        let mut locations = Vec::new();
        let mut builder = config::Config::builder();
        for entries in layers {
            builder = builder.add_source(Layer::new(entries, &mut locations));
        }
        let root = builder.build()?.collect()?;
        Ok(Self { root, locations })
    }

    /// The value at a path, from the strongest layer that has one.
    pub(super) fn find(&self, path: &[&str]) -> Option<Found<'_>> {
        let (last, tables) = path.split_last()?;
        let mut table = &self.root;
        for name in tables {
            match &table.get(*name)?.kind {
                ValueKind::Table(inner) => table = inner,
                _ => return None,
            }
        }
        self.found(table.get(*last)?)
    }

    fn found<'a>(&'a self, value: &'a config::Value) -> Option<Found<'a>> {
        let location = self.locations.get(value.origin()?.parse::<usize>().ok()?)?;
        Some(Found { value, location, effective: self })
    }
}

/// A value in the merged tree and where it stood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    value: &'a config::Value,
    pub(super) location: &'a Location,
    effective: &'a Effective,
}

/// The kinds were checked before the values came here, so that each of these finds what it looks for.
impl<'a> Found<'a> {
    pub(super) fn text(self) -> &'a str {
        if let ValueKind::String(text) = &self.value.kind { text } else { "" }
    }

    pub(super) fn integer(self) -> i64 {
        if let ValueKind::I64(number) = self.value.kind { number } else { 0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "the bounds of every number here are far below 2^52")]
    pub(super) fn number(self) -> f64 {
        match self.value.kind {
            ValueKind::Float(number) => number,
            ValueKind::I64(number) => number as f64,
            _ => 0.0,
        }
    }

    /// The value as a message shows it.
    pub(super) fn shown(self) -> String {
        match &self.value.kind {
            ValueKind::String(text) => parse::quoted(text),
            ValueKind::Array(_) => "the list".to_owned(),
            kind => kind.to_string(),
        }
    }

    pub(super) fn flag(self) -> bool {
        matches!(self.value.kind, ValueKind::Boolean(true))
    }

    /// The parts of a list, each with its own place.
    pub(super) fn parts(self) -> Vec<Found<'a>> {
        match &self.value.kind {
            ValueKind::Array(parts) => parts.iter().filter_map(|part| self.effective.found(part)).collect(),
            _ => Vec::new(),
        }
    }
}

/// One layer, as a source of the `config` crate.
///
/// Invariant: the `origin` of every value is the number of its [`Location`]; merging keeps it.
#[derive(Debug, Clone)]
struct Layer(Map<String, config::Value>);

impl Layer {
    fn new(entries: Vec<Entry>, locations: &mut Vec<Location>) -> Self {
        let mut root = Map::new();
        for Entry { path, value } in entries {
            let value = to_value(value, locations);
            insert(&mut root, &path, value);
        }
        Self(root)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn to_value(Value { literal, location }: Value, locations: &mut Vec<Location>) -> config::Value {
    let kind = match literal {
        Literal::Text(text) | Literal::Other(text, _) => ValueKind::String(text),
        Literal::Integer(number) => ValueKind::I64(number),
        Literal::Number(number) => ValueKind::Float(number),
        Literal::Flag(flag) => ValueKind::Boolean(flag),
        Literal::List(parts) => ValueKind::Array(parts.into_iter().map(|part| to_value(part, locations)).collect()),
    };
    locations.push(location);
    config::Value::new(Some(&(locations.len() - 1).to_string()), kind)
}

fn insert(table: &mut Map<String, config::Value>, path: &[String], value: config::Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner =
                table.entry(name.clone()).or_insert_with(|| config::Value::new(None, ValueKind::Table(Map::new())));
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}
