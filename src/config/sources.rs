//! What the sources said, gathered before anything is merged: values, arrays of tables by name, problems.

use std::collections::HashSet;

use super::key::{Document, Key, Row};
use super::problem::{Diagnostic, Origin, Problem};
use super::schema;
use super::value::{Literal, Location, Value};

/// Everything the sources said.
#[derive(Debug, Default)]
pub(super) struct ParsedSources {
    /// What is wrong so far.
    pub(super) problems: Vec<Problem>,
    /// The values that passed, one layer per source, the weakest first. A value that did not pass is in no layer.
    pub(super) layers: Vec<Vec<SourceEntry>>,
    /// The tables of the arrays, in the order of declaration.
    pub(super) items: Vec<Item>,
    /// Whether some source could not be read, so that nothing may be concluded from what is missing.
    pub(super) is_partial: bool,
    /// The paths of values that did not pass, so that no second problem is made of their absence.
    invalid: HashSet<Vec<String>>,
}

/// One value and where it goes.
#[derive(Debug)]
pub(super) struct SourceEntry {
    /// The path in the merged tree, where the tables of an array go by their name.
    pub(super) path: Vec<String>,
    /// The value and where it stood.
    pub(super) value: Value,
}

/// One table of an array.
#[derive(Debug)]
pub(super) struct Item {
    /// Which array: `caches`, `resolvers`.
    pub(super) array: String,
    /// Its name; for one without a usable name, something that is no name.
    pub(super) name: String,
    /// Where the table stands.
    pub(super) location: Location,
}

impl ParsedSources {
    /// The tables of one array, in the order of declaration.
    pub(super) fn items(&self, array: &str) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.array == array)
    }

    pub(super) fn report(&mut self, origin: &Origin, key: &str, diagnostic: Diagnostic) {
        self.problems.push(Problem::at(origin, key, diagnostic));
    }

    /// Marks a value as given and not usable.
    pub(super) fn mark_invalid(&mut self, path: &[String]) {
        self.invalid.insert(path.to_vec());
    }

    /// Whether a value was given there and did not pass.
    pub(super) fn is_invalid(&self, path: &[String]) -> bool {
        self.invalid.contains(path)
    }

    /// Takes a table of an array in, and says by which name its values go.
    pub(super) fn add_item(&mut self, array: &str, name: Option<&str>, location: Location) -> String {
        // No name has a `?`, so a table that cannot go by its own name meets no other.
        let anonymous = format!("?{}", self.items.len());
        let first =
            name.and_then(|name| self.items(array).find(|item| item.name == name)).map(|item| item.location.clone());
        if let (Some(name), Some(first)) = (name, &first) {
            let diagnostic = Diagnostic::new(format!("{name:?} is already the name of {}", place(first)));
            let key = schema::join(&location.key, "name");
            self.report(&location.origin, &key, diagnostic.hint("names must be unique: rename one"));
        }
        let name = name.filter(|_| first.is_none()).map_or(anonymous, str::to_owned);
        self.items.push(Item { array: array.to_owned(), name: name.clone(), location });
        name
    }

    /// Takes what an option of the command line says, as a layer of its own: the strongest so far.
    pub(super) fn say<T>(&mut self, option: &'static str, key: Key<Document, T>, text: &str) {
        let path = key.row.path_in("");
        let location =
            Location { origin: Origin::Option(option), key: key.row.path.to_owned(), layer: self.layers.len() + 1 };
        let value = Value { literal: Literal::Text(text.to_owned()), location };
        if self.accept(&key.row, &path, &value) {
            self.layers.push(vec![SourceEntry { path, value }]);
        }
    }

    /// Checks a value, and its parts; says whether it may go into a layer.
    pub(super) fn accept(&mut self, key: &Row, path: &[String], value: &Value) -> bool {
        let mut diagnostics: Vec<(&Location, Diagnostic)> = Vec::new();
        let is_text = matches!(value.literal, Literal::Text(_));
        if key.is_near_a_secret() && !is_text {
            // A password of digits, without quotes, would otherwise be repeated as a number.
            diagnostics.push((&value.location, Diagnostic::new("the value (hidden) is not a string")));
        } else if let Err(diagnostic) = key.kind.check(&value.literal) {
            diagnostics.push((&value.location, diagnostic));
        } else if let (Some(kind), Literal::List(parts)) = (key.kind.part(), &value.literal) {
            diagnostics.extend(
                parts
                    .iter()
                    .filter_map(|part| kind.check(&part.literal).err().map(|diagnostic| (&part.location, diagnostic))),
            );
        }
        let is_good = diagnostics.is_empty();
        for (location, diagnostic) in diagnostics {
            self.report(&location.origin, &location.key, diagnostic);
        }
        if !is_good {
            self.mark_invalid(path);
        }
        is_good
    }
}

/// Where a table stands, in words.
fn place(location: &Location) -> String {
    format!("{} in {}", location.key, location.origin)
}
