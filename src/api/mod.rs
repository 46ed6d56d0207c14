//! The documents of the wire: what the daemon answers and what the commands read, or print themselves, is one type.
//!
//! A document that a command reads from a daemon of another version takes unknown words as text, and leaves out fields that
//! it does not need.

pub mod baseline;
pub mod caches;
pub mod events;
pub mod health;

use serde::Serialize;

use crate::model::SCHEMA_VERSION;

/// A document with the version of its shape ahead of its fields.
#[derive(Debug, Serialize)]
pub struct Versioned<T> {
    schema_version: u32,
    #[serde(flatten)]
    body: T,
}

impl<T> Versioned<T> {
    /// This document, in the present version.
    #[must_use]
    pub fn new(body: T) -> Self {
        Self { schema_version: SCHEMA_VERSION, body }
    }
}
