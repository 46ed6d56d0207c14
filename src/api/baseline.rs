//! `POST /api/v1/caches/{name}/baseline`.

use serde::{Deserialize, Serialize};

use crate::model::Event;

/// What came of accepting what the resolvers of a cache answered last.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// The name of the cache, as the request gave it.
    #[serde(default)]
    pub cache: String,
    /// What changed by it; nothing where all of it was accepted before.
    pub accepted: Vec<Event>,
}

/// The path to ask.
#[must_use]
pub fn path(cache: &str) -> String {
    format!("{}/{cache}/baseline", super::caches::PATH)
}
