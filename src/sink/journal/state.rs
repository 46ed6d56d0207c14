//! What outlives the daemon beside its events.

use std::collections::BTreeMap;

use crate::model::{CacheName, Event, Timestamp};

/// What is known of one cache, for the daemon that comes after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The cache.
    pub cache: CacheName,
    /// Where it was: what is known of one endpoint says nothing of another.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What its watch wants to be told again, as JSON.
    pub memento: String,
}

/// What the journal kept of the daemon before this one.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The caches it watched.
    pub states: Vec<State>,
    /// What happened last at each of them, the latest first.
    pub recent: BTreeMap<CacheName, Vec<Event>>,
    /// How it ended; `None` where the journal is new, or cannot be read.
    pub last_run: Option<Run>,
}

/// How an earlier run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it last wrote.
    pub last_alive: Timestamp,
    /// Whether it was asked to stop; otherwise it was cut off.
    pub stopped: bool,
}
