//! What changed, read from the journal beside the daemon that writes it.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::durations::{self, Lasting};
use crate::api::Versioned;
use crate::api::events::{EventEntry, KeptIn, MOST};
use crate::model::{CacheName, Event, EventKind, EventOrder, EventQuery, Timestamp};
use crate::sink::journal::{ReadError, Reader, Recorded};

/// Events that are read at a time; the daemon gives no more.
pub(super) const PAGE: usize = MOST;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// From this moment on.
    pub(super) since: Timestamp,
    /// Before this moment.
    pub(super) until: Option<Timestamp>,
    /// Of this cache.
    pub(super) cache: Option<CacheName>,
    /// Of this kind.
    pub(super) kind: Option<EventKind>,
}

/// What changed, the oldest first.
#[derive(Debug)]
pub(super) struct History {
    /// What was read: a file, or the address of a daemon.
    pub(super) journal: String,
    /// Whether it goes when the daemon does.
    pub(super) is_in_memory: bool,
    pub(super) asked: Asked,
    /// When the journal was read.
    pub(super) now: Timestamp,
    /// When the daemon last wrote, or answered: what is said to last was so then.
    pub(super) last_alive: Option<Timestamp>,
    /// The latest event of the journal that is asked for, where none of the time is.
    pub(super) latest: Option<Event>,
    pub(super) entries: Vec<(EventEntry, Lasting)>,
    /// Events that this version cannot read.
    pub(super) left_out: usize,
}

/// Events that were asked for, as many as come at once.
#[derive(Debug, Default)]
pub(super) struct HistoryPage {
    pub(super) events: Vec<EventEntry>,
    /// The id of the last one, where there may be more behind it.
    pub(super) next: Option<u64>,
    pub(super) left_out: usize,
    pub(super) is_in_memory: bool,
}

/// Reads a journal.
///
/// # Errors
/// Where it is missing, broken, of a later version, or may not be read.
pub(super) fn read(journal: &Path, asked: Asked, now: Timestamp) -> Result<History, ReadError> {
    let reader = Reader::open(journal)?;
    let last_alive = reader.run()?.map(|run| run.last_alive);
    let told = |Recorded { id, event }| EventEntry { id: Some(id), durable: true, event };
    let history = gather(journal.display().to_string(), asked, now, |query| {
        let rows = reader.events(query)?;
        let events = rows.events.into_iter().map(told).collect();
        Ok(HistoryPage { events, next: rows.next, left_out: rows.unreadable, is_in_memory: false })
    })?;
    Ok(History { last_alive, ..history })
}

/// What is asked for, put together from the pages of a journal, wherever they come from.
pub(super) fn gather<E>(
    journal: String,
    asked: Asked,
    now: Timestamp,
    mut page: impl FnMut(&EventQuery) -> Result<HistoryPage, E>,
) -> Result<History, E> {
    // All of the time up to now, whatever is asked for: how long something lasted is told by what ended it.
    let mut query = EventQuery {
        since: Some(asked.since),
        cache: asked.cache.clone(),
        order: EventOrder::Ascending,
        ..EventQuery::latest(PAGE)
    };
    let mut all = HistoryPage::default();
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
    let lasting = durations::of(&all.events.iter().map(|told| &told.event).collect::<Vec<_>>());
    // What an event does not say of the time before it, the event before it may.
    for (told, lasting) in all.events.iter_mut().zip(&lasting) {
        told.event.lasted = told.event.lasted.or(lasting.held);
    }
    let is_asked = |(told, _): &(EventEntry, Lasting)| {
        asked.until.is_none_or(|until| told.event.at < until) && asked.kind.is_none_or(|kind| told.event.kind == kind)
    };
    let entries: Vec<_> = all.events.into_iter().zip(lasting).filter(is_asked).collect();
    let latest = if entries.is_empty() {
        let query = EventQuery { cache: asked.cache.clone(), kind: asked.kind, ..EventQuery::latest(1) };
        page(&query)?.events.pop().map(|told| told.event)
    } else {
        None
    };
    let HistoryPage { left_out, is_in_memory, .. } = all;
    Ok(History { journal, is_in_memory, asked, now, last_alive: None, latest, entries, left_out })
}

/// Writes one JSON document.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn print_json(out: &mut impl Write, history: &History) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        journal: &'a str,
        kept_in: KeptIn,
        since: Timestamp,
        until: Option<Timestamp>,
        last_alive: Option<Timestamp>,
        left_out: usize,
        events: Vec<Entry<'a>>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(flatten)]
        told: &'a EventEntry,
        #[serde(flatten)]
        lasting: &'a Lasting,
    }
    let document = Document {
        journal: &history.journal,
        kept_in: if history.is_in_memory { KeptIn::Memory } else { KeptIn::File },
        since: history.asked.since,
        until: history.asked.until,
        last_alive: history.last_alive,
        left_out: history.left_out,
        events: history.entries.iter().map(|(told, lasting)| Entry { told, lasting }).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &Versioned::new(document))?;
    writeln!(out)
}
