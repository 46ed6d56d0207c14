//! The merged values, each under its key, and what is found to be wrong with them.

use super::key::{Document, Key};
use super::layers::Effective;
use super::problem::{Diagnostic, Origin};
use super::schema;
use super::sources::ParsedSources;
use super::value::{Location, Value};

/// Reads the merged values, and takes reports of what is wrong with them.
///
/// Every value has passed its kind, and in place of one that did not stands a weaker layer's or the default, so that
/// building never stops; whether the result may be used is told by the problems.
pub(super) struct Checker<'a> {
    effective: &'a Effective,
    sources: &'a mut ParsedSources,
    pub(super) notices: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(effective: &'a Effective, sources: &'a mut ParsedSources) -> Self {
        Self { effective, sources, notices: Vec::new() }
    }

    /// What is set under a key of the document.
    pub(super) fn get<T>(&self, key: Key<Document, T>) -> T {
        self.setting(key).parsed
    }

    /// The same, with where it was set.
    pub(super) fn setting<T>(&self, key: Key<Document, T>) -> Setting<'a, T> {
        self.setting_in("", key)
    }

    /// The setting of a key in the table of that name, of the array that the key is for.
    pub(super) fn setting_in<S, T>(&self, table: &str, key: Key<S, T>) -> Setting<'a, T> {
        let path = key.row.path_in(table);
        let value = self.effective.find(&path);
        Setting { parsed: key.read(value), value, is_invalid: self.sources.is_invalid(&path) }
    }

    /// The tables of one array, in the order of declaration: the name of each, and where it stands.
    pub(super) fn tables(&self, array: &str) -> Vec<(String, Location)> {
        self.sources.items(array).map(|item| (item.name.clone(), item.location.clone())).collect()
    }

    /// Reports what is wrong with what stands there.
    pub(super) fn report(&mut self, location: &Location, diagnostic: Diagnostic) {
        self.report_at(&location.origin, &location.key, diagnostic);
    }

    /// Reports that a table lacks a value which it must have.
    pub(super) fn report_missing<S, T>(&mut self, table: &Location, key: Key<S, T>, hint: &str) {
        let (_, name) = key.row.split();
        let diagnostic = Diagnostic::new("missing").hint(hint);
        self.report_at(&table.origin, &schema::join(&table.key, name), diagnostic);
    }

    pub(super) fn report_at(&mut self, origin: &Origin, key: &str, diagnostic: Diagnostic) {
        self.sources.report(origin, key, diagnostic);
    }

    /// Reports what is wrong with a value that an operator gave; a default is not contradicted.
    pub(super) fn report_if_explicit(&mut self, value: Option<&Value>, diagnostic: impl FnOnce(&str) -> Diagnostic) {
        if let Some(value) = value.filter(|value| value.location.is_explicit()) {
            self.report(&value.location, diagnostic(&value.shown()));
        }
    }
}

/// What is set under a key, and what a message about it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a, T> {
    /// The value as it is used.
    pub(super) parsed: T,
    /// The value as it was written; `None` where there is none.
    pub(super) value: Option<&'a Value>,
    /// Whether a value was given that did not pass, so that nothing may be concluded from what stands in its place.
    pub(super) is_invalid: bool,
}

impl<T> Setting<'_, T> {
    /// The layer that says it; `None` where none does.
    pub(super) fn layer(&self) -> Option<usize> {
        self.value.map(|value| value.location.layer)
    }
}

impl<'a> Setting<'a, Vec<String>> {
    /// The parts of a list of names, each with the place it stands at.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, &'a Value)> {
        self.parsed.iter().map(String::as_str).zip(self.value.map_or(&[][..], Value::parts))
    }
}

impl<'a, T> Setting<'a, Option<T>> {
    /// This setting, or the other where this one says nothing.
    pub(super) fn or(self, other: Setting<'a, T>) -> Setting<'a, T> {
        match self.parsed {
            Some(parsed) => Setting { parsed, value: self.value, is_invalid: self.is_invalid },
            None => Setting { is_invalid: self.is_invalid || other.is_invalid, ..other },
        }
    }

    /// The value that says something: an empty text is a value, and says nothing.
    pub(super) fn given(&self) -> Option<&'a Value> {
        self.value.filter(|_| self.parsed.is_some())
    }
}

impl<'a> Setting<'a, bool> {
    /// The value that switches something on.
    pub(super) fn switched_on(&self) -> Option<&'a Value> {
        self.value.filter(|_| self.parsed)
    }
}
