//! `cachewatch events`: what changed, read from the journal beside the daemon that writes it, or asked of the daemon.

mod ask;
mod lasting;
mod text;

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::ask::ask;
use self::lasting::Lasting;
pub use self::text::print;
use crate::model::{CacheName, Event, EventKind, SCHEMA_VERSION, Timestamp};
use crate::sink::journal::{Order, Query, ReadError, Reader, Recorded};

/// Events that are read at a time; the daemon gives no more.
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
    /// What was read: a file, or the address of a daemon.
    journal: String,
    /// Whether it goes when the daemon does.
    is_in_memory: bool,
    asked: Asked,
    /// When the journal was read.
    now: Timestamp,
    /// When the daemon last wrote, or answered: what is said to last was so then.
    last_alive: Option<Timestamp>,
    /// The latest event of the journal that is asked for, where none of the time is.
    latest: Option<Event>,
    entries: Vec<(Told, Lasting)>,
    /// Events that this version cannot read.
    left_out: usize,
}

/// An event as it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    /// None where the event waits for a file that cannot be written.
    id: Option<u64>,
    /// Whether it is there after the daemon has ended, however it ends.
    durable: bool,
    #[serde(flatten)]
    event: Event,
}

/// Events that were asked for, as many as come at once.
#[derive(Debug, Default)]
struct Page {
    events: Vec<Told>,
    /// The id of the last one, where there may be more behind it.
    next: Option<u64>,
    left_out: usize,
    is_in_memory: bool,
}

/// Reads a journal.
///
/// # Errors
/// Where it is missing, broken, of a later version, or may not be read.
pub fn read(journal: &Path, asked: Asked, now: Timestamp) -> Result<History, ReadError> {
    let reader = Reader::open(journal)?;
    let last_alive = reader.run()?.map(|run| run.last_alive);
    let told = |Recorded { id, event }| Told { id: Some(id), durable: true, event };
    let history = gather(journal.display().to_string(), asked, now, |query| {
        let rows = reader.events(query)?;
        let events = rows.events.into_iter().map(told).collect();
        Ok(Page { events, next: rows.next, left_out: rows.unreadable, is_in_memory: false })
    })?;
    Ok(History { last_alive, ..history })
}

/// What is asked for, put together from the pages of a journal, wherever they come from.
fn gather<E>(
    journal: String,
    asked: Asked,
    now: Timestamp,
    mut page: impl FnMut(&Query) -> Result<Page, E>,
) -> Result<History, E> {
    // All of the time up to now, whatever is asked for: how long something lasted is told by what ended it.
    let mut query =
        Query { since: Some(asked.since), cache: asked.cache.clone(), order: Order::Ascending, ..Query::latest(PAGE) };
    let mut all = Page::default();
    loop {
        let more = page(&query)?;
        all.left_out += more.left_out;
        all.is_in_memory = more.is_in_memory;
        all.events.extend(more.events);
        match more.next {
            Some(id) => query.after = Some(id),
            None => break,
        }
    }
    // What waits to be kept comes last, and may have happened before.
    if all.events.iter().any(|told| told.id.is_none()) {
        all.events.sort_by_key(|told| told.event.at);
    }
    let lasting = lasting::of(&all.events.iter().map(|told| &told.event).collect::<Vec<_>>());
    // What an event does not say of the time before it, the event before it may.
    for (told, lasting) in all.events.iter_mut().zip(&lasting) {
        told.event.lasted = told.event.lasted.or(lasting.held);
    }
    let is_asked = |(told, _): &(Told, Lasting)| {
        asked.until.is_none_or(|until| told.event.at < until) && asked.kind.is_none_or(|kind| told.event.kind == kind)
    };
    let entries: Vec<_> = all.events.into_iter().zip(lasting).filter(is_asked).collect();
    let latest = if entries.is_empty() {
        let query = Query { cache: asked.cache.clone(), kind: asked.kind, ..Query::latest(1) };
        page(&query)?.events.pop().map(|told| told.event)
    } else {
        None
    };
    let Page { left_out, is_in_memory, .. } = all;
    Ok(History { journal, is_in_memory, asked, now, last_alive: None, latest, entries, left_out })
}

/// Writes one JSON document.
///
/// # Errors
/// Where it cannot be written.
pub fn print_json(out: &mut impl Write, history: &History) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema_version: u32,
        journal: &'a str,
        kept_in: &'static str,
        since: Timestamp,
        until: Option<Timestamp>,
        last_alive: Option<Timestamp>,
        left_out: usize,
        events: Vec<Entry<'a>>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(flatten)]
        told: &'a Told,
        #[serde(flatten)]
        lasting: &'a Lasting,
    }
    let document = Document {
        schema_version: SCHEMA_VERSION,
        journal: &history.journal,
        kept_in: if history.is_in_memory { "memory" } else { "file" },
        since: history.asked.since,
        until: history.asked.until,
        last_alive: history.last_alive,
        left_out: history.left_out,
        events: history.entries.iter().map(|(told, lasting)| Entry { told, lasting }).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
