//! A key: where its value stands, and as what it is read.

use std::marker::PhantomData;

use super::kind::{Kind, Type};
use super::value::Value;

/// What is known of a key, whatever the type of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its path; `[]` follows the name of an array of tables.
    pub(super) path: &'static str,
    /// What its value must be.
    pub(super) kind: Kind,
    /// Its default as TOML; `None` where the default follows from other keys, or where there is none.
    pub(super) default: Option<&'static str>,
}

impl Row {
    /// Whether an operator may have put a secret here by mistake, so that what stands here is not shown.
    pub(super) fn is_near_a_secret(&self) -> bool {
        self.path.contains("password") || self.path.contains("token")
    }

    /// The table that the key stands in, as a pattern, and its own name.
    pub(super) fn split(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// The path in the merged tree, in the table of that name where the key is one of an array of tables.
    pub(super) fn path_in(&self, table: &str) -> Vec<String> {
        let mut path = Vec::new();
        for part in self.path.split('.') {
            match part.strip_suffix("[]") {
                Some(array) => path.extend([array.to_owned(), table.to_owned()]),
                None => path.push(part.to_owned()),
            }
        }
        path
    }
}

/// A key of the tables `S`, whose value is read as a `T`: an `Option` where no default stands in for a missing value.
#[derive(Debug)]
pub(super) struct Key<S, T> {
    pub(super) row: Row,
    read: fn(Option<&Value>) -> T,
    tables: PhantomData<S>,
}

impl<S, T> Clone for Key<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T> Copy for Key<S, T> {}

impl<S, T> Key<S, T> {
    /// A key whose default stands in for a missing value; `read` reads the value as one of that type.
    pub(super) const fn with_default(
        path: &'static str,
        of: &Type<T>,
        default: &'static str,
        read: fn(Option<&Value>) -> T,
    ) -> Self {
        Self { row: Row { path, kind: of.kind, default: Some(default) }, read, tables: PhantomData }
    }

    /// What the value means.
    ///
    /// Invariant: only a value that the key's kind admitted is merged, and a default is merged into every table. So one
    /// whose key has a default is always there.
    pub(super) fn read(self, value: Option<&Value>) -> T {
        (self.read)(value)
    }
}

impl<S, T> Key<S, Option<T>> {
    /// A key without a default.
    pub(super) const fn open(path: &'static str, of: &Type<T>, read: fn(Option<&Value>) -> Option<T>) -> Self {
        Self { row: Row { path, kind: of.kind, default: None }, read, tables: PhantomData }
    }
}

/// The sections of the document, of which there is one each.
#[derive(Debug)]
pub(super) enum Document {}

/// The tables of `[[resolvers]]`.
#[derive(Debug)]
pub(super) enum ResolverTable {}

/// The tables of `[[caches]]`.
#[derive(Debug)]
pub(super) enum CacheTable {}
