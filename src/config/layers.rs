//! The layers merged into one tree by the `config` crate, in which every value still knows where it stood.

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::kind::{Literal, Located, Site};
use super::reading::Entry;
use super::value;

/// The merged tree.
#[derive(Debug)]
pub(super) struct Effective {
    root: Map<String, Value>,
    sites: Vec<Site>,
}

impl Effective {
    /// Merges the layers; later ones win.
    ///
    /// # Errors
    /// Where the `config` crate refuses a tree. None that a schema admits is known to be.
    pub(super) fn merge(layers: Vec<Vec<Entry>>) -> Result<Self, ConfigError> {
        let mut sites = Vec::new();
        let mut builder = config::Config::builder();
        for entries in layers {
            builder = builder.add_source(Layer::new(entries, &mut sites));
        }
        let root = builder.build()?.collect()?;
        Ok(Self { root, sites })
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

    fn found<'a>(&'a self, value: &'a Value) -> Option<Found<'a>> {
        let site = self.sites.get(value.origin()?.parse::<usize>().ok()?)?;
        Some(Found { value, site, effective: self })
    }
}

/// A value in the merged tree and where it stood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    value: &'a Value,
    pub(super) site: &'a Site,
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
            ValueKind::String(text) => value::quoted(text),
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
/// Invariant: the `origin` of every value is the number of its [`Site`]; merging keeps it.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Layer {
    fn new(entries: Vec<Entry>, sites: &mut Vec<Site>) -> Self {
        let mut root = Map::new();
        for Entry { path, value } in entries {
            let value = located(value, sites);
            insert(&mut root, &path, value);
        }
        Self(root)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn located(Located { literal, site }: Located, sites: &mut Vec<Site>) -> Value {
    let kind = match literal {
        Literal::Text(text) | Literal::Other(text, _) => ValueKind::String(text),
        Literal::Integer(number) => ValueKind::I64(number),
        Literal::Number(number) => ValueKind::Float(number),
        Literal::Flag(flag) => ValueKind::Boolean(flag),
        Literal::List(parts) => ValueKind::Array(parts.into_iter().map(|part| located(part, sites)).collect()),
    };
    sites.push(site);
    Value::new(Some(&(sites.len() - 1).to_string()), kind)
}

fn insert(table: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}
