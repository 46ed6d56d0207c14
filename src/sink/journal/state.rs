//! What outlives the daemon beside its events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{CacheName, Event, EventKind, FindingId, Timestamp, WireText};

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

/// What a file knows that could be opened only after the watching had begun. Nothing is written to it before the answer,
/// [`Settled`], so that what it says and what waits for it do not contradict each other.
#[derive(Debug)]
pub struct Late {
    /// What the file kept.
    pub recovered: Recovered,
    /// Whether it is the first file of this run: then what it knows is older than all that was seen since.
    pub is_first: bool,
    /// What happened at the caches and waits to be written.
    pub told: BTreeSet<(CacheName, EventKind, Option<FindingId>)>,
}

/// What of a file that came late is known now.
#[derive(Debug, Default)]
pub struct Settled {
    /// Caches that it knew: they were not added since.
    pub caches: BTreeSet<CacheName>,
    /// Findings that were open in it, those of this machine without a cache: what waits opens none of them once more.
    pub open: BTreeSet<(Option<CacheName>, FindingId)>,
}

/// How an earlier run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it last wrote.
    pub last_alive: Timestamp,
    /// Whether it was asked to stop; otherwise it was cut off.
    pub stopped: bool,
}

impl Run {
    /// The start of the run after this one, with how long no daemon had run.
    #[must_use]
    pub fn before(self, started: Event) -> Event {
        let gap = started.at.since(self.last_alive);
        let ended = if self.stopped { "it had been asked to stop" } else { "it was cut off" };
        let words = humantime::format_duration(Duration::from_secs(gap.as_secs()));
        let first = format!("not watched for {words}: the previous run was last alive at {}", self.last_alive);
        let lines = [first, format!("that run ended: {ended}")].map(|line| WireText::new(&line));
        let evidence = lines.into_iter().chain(started.evidence).collect();
        Event { lasted: Some(gap), evidence, ..started }
    }
}
