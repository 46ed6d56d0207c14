//! The journal as the daemon uses it, on real files.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::backlog::MOST_UNWRITTEN;
use super::reference::Kept;
use super::store::{Store, Trouble, beside};
use super::writer::MOST_IN_MEMORY;
use super::*;
use crate::clock::{self, Stopwatch};
use crate::model::{
    CacheName, Event, EventKind, EventOrder, EventQuery, FindingId, ResolverName, Severity, Timestamp, WireText,
};
use crate::sink::Metrics;

const ROOMY: Limits = Limits { retention: Duration::from_hours(24), max_size: 256 << 20 };

/// How long anything that should happen soon may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    directory: TempDir,
    metrics: Arc<Metrics>,
}

impl Place {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), metrics: Arc::new(Metrics::new("1", "r")) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn start(&self) -> (Journal, Recovered) {
        let settings = Settings { path: Some(self.path()), limits: ROOMY };
        let (journal, recovered) = Journal::start(settings, Arc::clone(&self.metrics), Arc::default()).unwrap();
        (journal, recovered.await.unwrap())
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("cachewatch_{name}"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// Whole milliseconds, as the journal keeps them.
fn event(number: u64) -> Event {
    let at = clock::now();
    let cache = CacheName::new(["orders", "carts"][usize::try_from(number % 2).unwrap()]);
    let event = Event::new(at, Some(cache), EventKind::AddressesChanged).change(&format!("{number}"), "10.0.0.5");
    Event { lasted: Some(Duration::from_millis(1500)), ..event.by(&ResolverName::new("hub")).evidence("hub says so") }
}

fn opened(number: u64) -> Event {
    let found = (Some(FindingId::DnsDrift), Some(Severity::Degraded));
    let event = event(number);
    Event { kind: EventKind::FindingOpened, finding: found.0, severity: found.1, resolver: None, ..event }
}

fn state(memento: &str) -> State {
    let host = "orders.redis.cache.windows.net".to_owned();
    State { cache: CacheName::new("orders"), host, port: 6380, memento: memento.to_owned() }
}

/// What is asked for until it is there.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(watch.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn first_to_last(limit: usize) -> EventQuery {
    EventQuery { order: EventOrder::Ascending, ..EventQuery::latest(limit) }
}

/// Everything that is kept, the oldest first.
async fn kept(journal: &Journal) -> Vec<Event> {
    let page = journal.events(first_to_last(100_000)).await.unwrap();
    page.events.into_iter().map(|recorded| recorded.event).collect()
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_ids_go_on() {
    let place = Place::new();
    let (journal, recovered) = place.start().await;
    assert!(recovered.states.is_empty() && recovered.last_run.is_none());
    let mut live = journal.subscribe();
    let events = [opened(0), event(1), event(2)];
    journal.record(&events[..1], Some(state("1")));
    journal.record(&events[1..], Some(state("2")));
    let mut ids = Vec::new();
    for event in &events {
        let recorded = live.recv().await.unwrap();
        assert_eq!(recorded.event, *event);
        ids.push(recorded.id);
    }
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(journal.last_id(), ids[2]);
    journal.record(&[Event::new(clock::now(), None, EventKind::Stopping)], None);
    journal.close(PATIENCE).await;
    assert_eq!(place.names(), ["journal.db", "journal.db.lock"], "closed in order");
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);

    let (journal, recovered) = place.start().await;
    assert_eq!(recovered.states, [state("2")]);
    assert!(recovered.last_run.unwrap().stopped);
    let recent = recovered.recent[&CacheName::new("orders")].iter().map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(
        recent,
        [EventKind::AddressesChanged, EventKind::FindingOpened],
        "the latest first, of this cache alone"
    );
    journal.record(&[event(3)], None);
    let page = until(async || {
        Some(journal.events(EventQuery::following(ids[2] + 1, 9)).await.unwrap()).filter(|page| !page.events.is_empty())
    })
    .await;
    assert!(page.events[0].id > ids[2] + 1 && page.is_durable && page.is_up, "{page:?}");
    assert_eq!(kept(&journal).await[..3], events);
    journal.forget(&[], &CacheName::new("orders"));
    journal.close(PATIENCE).await;
    let (_journal, recovered) = place.start().await;
    assert_eq!((recovered.states.len(), recovered.last_run.unwrap().stopped), (0, true), "nothing started since");
}

#[tokio::test]
async fn a_query_gives_what_its_conditions_say() {
    let place = Place::new();
    let (journal, _) = place.start().await;
    let mut events: Vec<_> = (0..20).map(event).collect();
    for (number, event) in events.iter_mut().enumerate() {
        event.at = Timestamp::from_unix_seconds(1_800_000_000 + i64::try_from(number).unwrap());
    }
    events[5] = Event { at: events[5].at, ..opened(5) };
    journal.record(&events, None);
    let all =
        until(async || Some(journal.events(first_to_last(99)).await.unwrap().events).filter(|all| all.len() == 20))
            .await;
    let at = |number: usize| Some(events[number].at);
    let any = || first_to_last(99);
    let queries = [
        any(),
        EventQuery { since: at(3), ..any() },
        EventQuery { until: at(3), ..any() },
        EventQuery { since: at(3), until: at(9), cache: Some(CacheName::new("carts")), ..any() },
        EventQuery { kind: Some(EventKind::FindingOpened), ..any() },
        EventQuery { finding: Some(FindingId::DnsDrift), cache: Some(CacheName::new("orders")), ..any() },
        EventQuery { kind: Some(EventKind::AddressesChanged), ..any() },
    ];
    for query in queries {
        let expected: Vec<_> = all.iter().filter(|recorded| query.admits(&recorded.event)).cloned().collect();
        assert_eq!(journal.events(query.clone()).await.unwrap().events, expected, "{query:?}");
        let backwards = EventQuery { order: EventOrder::Descending, limit: 3, ..query };
        let latest: Vec<_> = expected.iter().rev().take(3).cloned().collect();
        let page = journal.events(backwards).await.unwrap();
        assert_eq!(page.next.is_some(), latest.len() == 3);
        assert_eq!(page.events, latest);
    }
    // Page by page, in both directions: all of it, once.
    for order in [EventOrder::Ascending, EventOrder::Descending] {
        let (mut query, mut seen) = (EventQuery { order, ..EventQuery::latest(7) }, Vec::new());
        loop {
            let page = journal.events(query.clone()).await.unwrap();
            seen.extend(page.events);
            match order {
                EventOrder::Ascending => query.after = page.next,
                EventOrder::Descending => query.before = page.next,
            }
            if page.next.is_none() {
                break;
            }
        }
        seen.sort_by_key(|recorded| recorded.id);
        assert_eq!(seen, all);
    }
}

/// A journal that was kept in this file, and closed.
async fn closed(place: &Place) -> Vec<Event> {
    let (journal, _) = place.start().await;
    let events: Vec<_> = (0..200).map(event).collect();
    journal.record(&events, Some(state("kept")));
    journal.close(PATIENCE).await;
    events
}

async fn refused(place: &Place, words: &str) {
    let before = fs::read(place.path()).unwrap();
    let (journal, recovered) = place.start().await;
    assert!(recovered.states.is_empty());
    journal.record(&[event(1)], None);
    let page = journal.events(EventQuery::latest(10)).await.unwrap();
    assert_eq!((page.events.len(), page.waiting.len(), page.is_up), (0, 1, false));
    assert_eq!(place.metric("journal_up"), 0);
    journal.close(PATIENCE).await;
    assert_eq!(fs::read(place.path()).unwrap(), before, "not a byte is touched");
    let error = Reader::open(&place.path()).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[tokio::test]
async fn what_is_not_for_this_program_is_not_touched() {
    let place = Place::new();
    closed(&place).await;
    Connection::open(place.path()).unwrap().pragma_update(None, "user_version", JOURNAL_VERSION + 1).unwrap();
    refused(&place, "a later cachewatch wrote it (version 2, this one supports 1)").await;

    let place = Place::new();
    Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE t (a); CREATE TABLE u (a)").unwrap();
    refused(&place, "the database of another program").await;

    let place = Place::new();
    fs::write(place.path(), "[server]\nlisten = \"127.0.0.1:9847\"\n").unwrap();
    refused(&place, "not a journal but a text").await;
}

/// Garbage in place of it, its end cut off, its middle overwritten: at the start.
#[tokio::test]
async fn a_broken_file_is_set_aside_and_never_deleted() {
    type Break = fn(&Path);
    let garbage: Break = |path| fs::write(path, vec![0xfe; 20_000]).unwrap();
    let zeros: Break = |path| fs::write(path, vec![0; 20_000]).unwrap();
    let short: Break = |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(50).unwrap();
    let half: Break = |path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2 + 100).unwrap();
    };
    let hole: Break = |path| {
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        file.seek(SeekFrom::Start(4096)).unwrap();
        file.write_all(&vec![0x55; usize::try_from(length - 8192).unwrap()]).unwrap();
    };
    for (name, damage) in [("garbage", garbage), ("zeros", zeros), ("short", short), ("half", half), ("hole", hole)] {
        let place = Place::new();
        closed(&place).await;
        damage(&place.path());
        let broken = fs::read(place.path()).unwrap();
        let (journal, _) = place.start().await;
        journal.record(&[event(1)], None);
        let events = until(async || Some(kept(&journal).await).filter(|events| events.len() == 2)).await;
        assert_eq!(events[0].kind, EventKind::JournalSetAside, "{name}");
        let aside = place
            .names()
            .into_iter()
            .find(|file| file.starts_with("journal.db.corrupt-") && !file.contains("-wal") && !file.contains("-shm"))
            .unwrap();
        assert!(events[0].after.as_ref().unwrap().as_str().ends_with(&aside), "{name}: {:?}", events[0]);
        assert_eq!(fs::read(place.directory.path().join(aside)).unwrap(), broken, "{name}: kept as it was");
        assert_eq!(place.metric("sink_failures_total"), 1, "{name}");
        journal.close(PATIENCE).await;
    }
}

/// The file is cut, broken or taken away under a daemon that runs: what was acknowledged before is lost with it, and
/// nothing after.
#[tokio::test]
async fn a_file_that_is_lost_while_it_is_open_is_begun_anew_with_all_that_is_known() {
    type Loss = fn(&Path);
    let cut: Loss = |path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    let removed: Loss = |path| fs::remove_file(path).unwrap();
    let replaced: Loss = |path| {
        let other = beside(path, ".other");
        fs::write(&other, "").unwrap();
        fs::rename(other, path).unwrap();
    };
    let directory: Loss = |path| {
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir(path.parent().unwrap()).unwrap();
    };
    for (name, lose) in [("cut", cut), ("removed", removed), ("replaced", replaced), ("directory", directory)] {
        let place = Place::new();
        closed(&place).await;
        let (journal, recovered) = place.start().await;
        assert_eq!(recovered.states, [state("kept")]);
        let last = journal.last_id();
        // In the file, and not only beside it.
        Connection::open(place.path()).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let mut live = journal.subscribe();
        lose(&place.path());
        journal.record(&[event(7)], None);
        let told = [live.recv().await.unwrap(), live.recv().await.unwrap()];
        assert_eq!(told[0].event.kind, EventKind::JournalSetAside, "{name}");
        assert_eq!(told[1].event.before, event(7).before, "{name}");
        assert!(told[0].id > last && told[1].id > told[0].id, "{name}: an id is never used again");
        journal.close(PATIENCE).await;
        let (journal, recovered) = place.start().await;
        assert_eq!(recovered.states, [state("kept")], "{name}");
        assert_eq!(kept(&journal).await.len(), 2, "{name}");
        journal.close(PATIENCE).await;
    }
}

#[tokio::test]
async fn events_wait_for_a_directory_and_the_oldest_give_way() {
    let place = Place::new();
    let directory = place.directory.path().join("later");
    let settings = Settings { path: Some(directory.join("journal.db")), limits: ROOMY };
    let (journal, _recovered) = Journal::start(settings, Arc::clone(&place.metrics), Arc::default()).unwrap();
    journal.record(&[event(0)], Some(state("waits")));
    let page = journal.events(EventQuery::latest(10)).await.unwrap();
    assert_eq!((page.events.len(), page.waiting.len(), page.is_up, page.lost), (0, 1, false, 0));
    let many: Vec<_> = (1..=MOST_UNWRITTEN as u64).map(event).collect();
    journal.record(&many, None);
    let page = journal.events(first_to_last(2)).await.unwrap();
    assert_eq!((page.waiting.len(), page.lost), (2, 1));
    assert_eq!(page.waiting[0].before, many[0].before, "the very first one gave way");
    let failed = place.metric("sink_failures_total");
    assert!(failed >= 2, "an attempt and a lost event: {failed}");
    assert_eq!((place.metric("journal_up"), place.metric("journal_events_total")), (0, 0));

    fs::create_dir(&directory).unwrap();
    let events = until(async || Some(kept(&journal).await).filter(|events| !events.is_empty())).await;
    assert_eq!(events, many);
    assert_eq!((place.metric("journal_up"), place.metric("journal_events_total")), (1, MOST_UNWRITTEN as u64));
    journal.close(PATIENCE).await;
    let reader = Reader::open(&directory.join("journal.db")).unwrap();
    assert_eq!(reader.states().unwrap(), [state("waits")]);
}

#[tokio::test]
async fn a_second_daemon_waits_until_the_first_is_gone() {
    let place = Place::new();
    let (first, _) = place.start().await;
    first.record(&[event(1)], Some(state("first")));
    until(async || Some(kept(&first).await).filter(|events| events.len() == 1)).await;
    assert!(
        matches!(Store::open(&place.path(), 0, 0, None), Err(Trouble::Unavailable(words)) if words.contains("another cachewatch"))
    );
    let (second, recovered) = place.start().await;
    assert_eq!(recovered.states, [state("first")], "it goes on where the first one is");
    second.record(&[event(2)], None);
    assert_eq!(second.events(EventQuery::latest(9)).await.unwrap().waiting.len(), 1);
    assert_eq!(kept(&first).await.len(), 1);
    first.close(PATIENCE).await;
    let events = until(async || Some(kept(&second).await).filter(|events| events.len() == 2)).await;
    assert_eq!(events.iter().map(|event| event.before.clone()).collect::<Vec<_>>(), [event(1).before, event(2).before]);
    second.close(PATIENCE).await;
}

#[tokio::test]
async fn a_journal_in_memory_is_bounded_and_says_what_it_is() {
    let metrics = Arc::new(Metrics::new("1", "r"));
    let (journal, _recovered) =
        Journal::start(Settings { path: None, limits: ROOMY }, metrics, Arc::default()).unwrap();
    let begun = journal.events(EventQuery::latest(1)).await.unwrap();
    assert!(begun.events.is_empty() && !begun.is_durable && begun.is_up, "{begun:?}");
    for chunk in (0..MOST_IN_MEMORY as u64 + 500).map(event).collect::<Vec<_>>().chunks(700) {
        journal.record(chunk, None);
    }
    let events = until(async || {
        Some(kept(&journal).await).filter(|events| events.last().unwrap().before == event(10_499).before)
    })
    .await;
    assert_eq!((events.len(), &events[0].before), (MOST_IN_MEMORY, &event(500).before));
    journal.close(PATIENCE).await;
}

#[test]
fn the_oldest_give_way_to_age_and_size_in_small_steps() {
    let place = Place::new();
    let mut store = Store::open(&place.path(), 0, 0, None).unwrap();
    let start = Timestamp::from_unix_seconds(1_800_000_000);
    let events: Vec<_> = (0..12_000)
        .map(|number| Event { at: start.plus(Duration::from_secs(number)), ..event(number).evidence(&"x".repeat(200)) })
        .collect();
    for chunk in events.chunks(1_000) {
        store.write(chunk, &[], start, start).unwrap();
    }
    let steps = |store: &mut Store, oldest: Timestamp, max_size: u64| {
        let mut steps = 1;
        while {
            let before = store.count().unwrap();
            let more = store.prune(oldest, max_size).unwrap();
            assert!(before - store.count().unwrap() <= 1_000, "a step is bounded");
            more
        } {
            steps += 1;
            assert!(steps < 1_000, "it never ends");
        }
        steps
    };
    let large = store.size().unwrap();
    assert!(steps(&mut store, start.plus(Duration::from_secs(2_000)), u64::MAX) > 3);
    assert_eq!(store.count().unwrap(), 10_000);
    let oldest = store.read(&first_to_last(1)).unwrap().events;
    assert_eq!(oldest[0].event.at, start.plus(Duration::from_secs(2_000)));
    assert!(store.size().unwrap() < large, "room is given back to the file system");

    let most = 1 << 20;
    steps(&mut store, start, most);
    let size = store.size().unwrap();
    assert!(size <= most && size > most / 2, "{size}");
    let left = store.count().unwrap();
    assert!(left > 500, "{left}");
    assert_eq!(store.read(&EventQuery::latest(1)).unwrap().events[0].event.at, events[11_999].at, "the latest stay");
    assert_eq!(steps(&mut store, start, most), 1, "nothing more to do");
    assert_eq!(store.last_id().unwrap(), 12_000);
    assert_eq!(store.write(&events[..1], &[], start, start).unwrap(), [12_001]);
}

/// A file whose last run ended ten years ago is for its journal the same as a clock that is ten years ahead.
#[tokio::test]
async fn a_clock_that_is_years_ahead_does_not_empty_the_journal() {
    const YEARS: Duration = Duration::from_hours(10 * 365 * 24);
    let place = Place::new();
    let before = clock::now().minus(YEARS);
    let old: Vec<_> = (0..40).map(|number| Event { at: before, ..event(number) }).collect();
    Store::open(&place.path(), 0, 0, None).unwrap().write(&old, &[], before, before).unwrap();
    Connection::open(place.path()).unwrap().execute("DELETE FROM meta WHERE name = 'reference_ms'", []).unwrap();
    // An older version kept no reference; and a daemon that starts again and again does not move it each time.
    for start in 1..=3 {
        let (journal, _) = place.start().await;
        journal.record(&[event(start)], None);
        // What is due is removed in the turn in which this is written, before anything is read.
        let is_new = |kept: &Event| kept.before == event(start).before && kept.at > before;
        let kept = until(async || Some(kept(&journal).await).filter(|kept| kept.iter().any(is_new))).await;
        let left = kept.iter().filter(|event| event.at == before).count();
        assert_eq!(left, old.len(), "old events after start {start}");
        let told: Vec<_> = kept.iter().filter(|event| event.kind.as_str() == "clock_jumped").collect();
        assert_eq!(told.len(), 1, "told once, and not again at start {start}: {kept:#?}");
        let words = told[0].evidence.iter().map(WireText::as_str).collect::<Vec<_>>().join("; ");
        for part in
            [before.to_string().as_str(), told[0].at.to_string().as_str(), "timedatectl", "a day of them an hour"]
        {
            assert!(words.contains(part), "{part}: {words}");
        }
        journal.close(PATIENCE).await;
    }
}

/// A later version may know other words; another hand may write anything.
#[test]
fn rows_that_cannot_be_read_are_left_out_and_counted() {
    let place = Place::new();
    let mut store = Store::open(&place.path(), 0, 0, None).unwrap();
    store.write(&(0..6).map(opened).collect::<Vec<_>>(), &[], clock::now(), clock::now()).unwrap();
    let other = Connection::open(place.path()).unwrap();
    for (id, change) in
        ["kind = 'teleported'", "finding = 'x'", "severity = 9", "evidence = 'no'", "at_ms = -5"].iter().enumerate()
    {
        other.execute(&format!("UPDATE events SET {change} WHERE id = {}", id + 1), []).unwrap();
    }
    let rows = store.read(&first_to_last(6)).unwrap();
    let ids: Vec<_> = rows.events.iter().map(|recorded| recorded.id).collect();
    assert_eq!((ids, rows.unreadable, rows.next), (vec![6], 5, Some(6)));
}

/// What the file says of time is read as it was written; what is no time says nothing.
#[test]
fn what_age_is_measured_against_is_kept_beside_the_time_of_the_last_write() {
    let place = Place::new();
    let mut store = Store::open(&place.path(), 0, 0, None).unwrap();
    assert_eq!(store.kept_time().unwrap(), None, "a new file");
    let (alive, reference) = (Timestamp::from_unix_seconds(1_800_000_000), Timestamp::from_unix_seconds(1_700_000_000));
    let newest = event(1);
    store.write(std::slice::from_ref(&newest), &[], alive, reference).unwrap();
    assert_eq!(store.kept_time().unwrap(), Some(Kept { reference: Some(reference), alive }));
    // Where nothing of it can be read, the newest event still tells when the journal was written.
    let of_newest = Some(Kept { reference: None, alive: newest.at });
    let other = Connection::open(place.path()).unwrap();
    for (change, kept) in [
        ("UPDATE meta SET value = 'x' WHERE name = 'reference_ms'", Some(Kept { reference: None, alive })),
        ("UPDATE meta SET value = -1 WHERE name = 'last_alive_ms'", of_newest),
    ] {
        other.execute(change, []).unwrap();
        assert_eq!(store.kept_time().unwrap(), kept, "{change}");
    }
    assert_eq!(store.last_run().unwrap(), None);
}

/// No query that names what it wants walks through the whole journal.
#[test]
fn every_condition_has_an_index() {
    let place = Place::new();
    drop(Store::open(&place.path(), 0, 0, None).unwrap());
    let connection = Connection::open(place.path()).unwrap();
    for (condition, index) in [
        ("cache = 'orders'", "events_by_cache"),
        ("kind = 'started'", "events_by_kind"),
        ("finding = 'dns-drift'", "events_by_finding"),
        ("id > 5", "PRIMARY KEY"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM events WHERE {condition} ORDER BY id DESC LIMIT 10");
        let plan: String = connection.query_row(&sql, [], |row| row.get(3)).unwrap();
        assert!(plan.contains(index), "{condition}: {plan}");
    }
}

/// What a reader who may only read sees, while it is written and after.
#[tokio::test]
async fn a_journal_is_read_while_it_is_written() {
    let place = Place::new();
    let (journal, _) = place.start().await;
    journal.record(&[event(1)], None);
    until(async || Some(kept(&journal).await).filter(|events| events.len() == 1)).await;
    let first = Reader::open(&place.path()).unwrap().events(&first_to_last(9)).unwrap();
    assert_eq!(first.events[0].event.before, event(1).before);
    let reader = Reader::open(&place.path()).unwrap();
    let shown = reader.events(&first_to_last(9)).unwrap();
    journal.record(&[event(2)], None);
    until(async || Some(()).filter(|()| journal.last_id() > first.events[0].id)).await;
    assert_eq!(reader.events(&first_to_last(9)).unwrap(), shown, "a reader sees one moment");
    journal.close(PATIENCE).await;
    drop(reader);
    let reader = Reader::open(&place.path()).unwrap();
    assert_eq!(reader.events(&first_to_last(9)).unwrap().events.len(), 2);
    assert!(!reader.run().unwrap().unwrap().stopped);
}
