//! `cachewatch events`: what changed, read from the journal beside the daemon that writes it.

mod lasting;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::lasting::Lasting;
pub use self::text::print;
use crate::model::{CacheName, Event, EventKind, SCHEMA_VERSION, Timestamp};
use crate::sink::journal::{Order, Query, ReadError, Reader, Recorded};

/// Events that are read at a time.
const PAGE: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// From this moment on.
    pub since: Timestamp,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of this cache.
    pub cache: Option<CacheName>,
    /// Of this kind.
    pub kind: Option<EventKind>,
}

/// What changed, the oldest first.
#[derive(Debug)]
pub struct History {
    journal: PathBuf,
    asked: Asked,
    /// When the journal was read.
    now: Timestamp,
    /// When the daemon last wrote: what is said to last was so then.
    last_alive: Option<Timestamp>,
    /// The latest event of the journal that is asked for, where none of the time is.
    latest: Option<Event>,
    entries: Vec<(Recorded, Lasting)>,
    /// Events that this version cannot read.
    left_out: usize,
}

/// Reads a journal.
///
/// # Errors
/// Where it is missing, broken, of a later version, or may not be read.
pub fn read(journal: &Path, asked: Asked, now: Timestamp) -> Result<History, ReadError> {
    let reader = Reader::open(journal)?;
    let last_alive = reader.run()?.map(|run| run.last_alive);
    // All of the time up to now, whatever is asked for: how long something lasted is told by what ended it.
    let mut query =
        Query { since: Some(asked.since), cache: asked.cache.clone(), order: Order::Ascending, ..Query::latest(PAGE) };
    let (mut all, mut left_out) = (Vec::new(), 0);
    loop {
        let rows = reader.events(&query)?;
        left_out += rows.unreadable;
        all.extend(rows.events);
        match rows.next {
            Some(id) => query.after = Some(id),
            None => break,
        }
    }
    let lasting = lasting::of(&all.iter().map(|recorded| &recorded.event).collect::<Vec<_>>());
    // What an event does not say of the time before it, the event before it may.
    for (recorded, lasting) in all.iter_mut().zip(&lasting) {
        recorded.event.lasted = recorded.event.lasted.or(lasting.held);
    }
    let is_asked = |(recorded, _): &(Recorded, Lasting)| {
        asked.until.is_none_or(|until| recorded.event.at < until)
            && asked.kind.is_none_or(|kind| recorded.event.kind == kind)
    };
    let entries: Vec<_> = all.into_iter().zip(lasting).filter(is_asked).collect();
    let latest = if entries.is_empty() {
        let query = Query { cache: asked.cache.clone(), kind: asked.kind, ..Query::latest(1) };
        reader.events(&query)?.events.pop().map(|recorded| recorded.event)
    } else {
        None
    };
    Ok(History { journal: journal.to_owned(), asked, now, last_alive, latest, entries, left_out })
}

/// Writes one JSON document.
///
/// # Errors
/// Where it cannot be written.
pub fn print_json(out: &mut impl Write, history: &History) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema_version: u32,
        journal: &'a Path,
        since: Timestamp,
        until: Option<Timestamp>,
        last_alive: Option<Timestamp>,
        left_out: usize,
        events: Vec<Entry<'a>>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(flatten)]
        recorded: &'a Recorded,
        #[serde(flatten)]
        lasting: &'a Lasting,
    }
    let document = Document {
        schema_version: SCHEMA_VERSION,
        journal: &history.journal,
        since: history.asked.since,
        until: history.asked.until,
        last_alive: history.last_alive,
        left_out: history.left_out,
        events: history.entries.iter().map(|(recorded, lasting)| Entry { recorded, lasting }).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
