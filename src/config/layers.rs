//! The layers merged into one tree by the `config` crate, in which every value still knows where it stood.

use config::{ConfigError, Map, Source, ValueKind};

use super::sources::SourceEntry;
use super::value::Value;

/// The merged tree.
#[derive(Debug)]
pub(super) struct Effective {
    /// Invariant: every value in it is a number, the position of what it stands for in `values`.
    root: Map<String, config::Value>,
    /// The values of all layers, those that others won over among them.
    values: Vec<Value>,
}

impl Effective {
    /// Merges the layers; later ones win.
    ///
    /// # Errors
    /// Where the `config` crate refuses a tree. None that a schema admits is known to be.
    pub(super) fn merge(layers: Vec<Vec<SourceEntry>>) -> Result<Self, ConfigError> {
        let mut values = Vec::new();
        let mut builder = config::Config::builder();
        for entries in layers {
            builder = builder.add_source(Layer::new(entries, &mut values));
        }
        let root = builder.build()?.collect()?;
        Ok(Self { root, values })
    }

    /// The value at a path, from the strongest layer that has one.
    pub(super) fn find(&self, path: &[String]) -> Option<&Value> {
        let (last, tables) = path.split_last()?;
        let mut table = &self.root;
        for name in tables {
            match &table.get(name)?.kind {
                ValueKind::Table(inner) => table = inner,
                _ => return None,
            }
        }
        match table.get(last)?.kind {
            ValueKind::U64(position) => self.values.get(usize::try_from(position).ok()?),
            _ => None,
        }
    }
}

/// One layer, as a source of the `config` crate.
#[derive(Debug, Clone)]
struct Layer(Map<String, config::Value>);

impl Layer {
    fn new(entries: Vec<SourceEntry>, values: &mut Vec<Value>) -> Self {
        let mut root = Map::new();
        for SourceEntry { path, value } in entries {
            insert(&mut root, &path, ValueKind::U64(values.len() as u64));
            values.push(value);
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

fn insert(table: &mut Map<String, config::Value>, path: &[String], value: ValueKind) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), config::Value::new(None, value));
        }
        [name, rest @ ..] => {
            let table_value = || config::Value::new(None, ValueKind::Table(Map::new()));
            let inner = table.entry(name.clone()).or_insert_with(table_value);
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}
