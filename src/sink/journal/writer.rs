//! The thread that owns the journal's file. Everything goes through it, one message at a time, so that nothing is locked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::backlog::{Backlog, MOST_UNWRITTEN};
use super::handover::Handover;
use super::messages::{JournalShared, Limits, Message, Page};
use super::phase::{FIRST_RETRY, FilePhase};
use super::query::{Recorded, Rows};
use super::reader::Reader;
use super::reference::Reference;
use super::state::{Late, Recovered, Run, State};
use super::store::{self, Identity, Store, Trouble};
use crate::clock;
use crate::model::{Event, EventKind, EventOrder, EventQuery};
use crate::sink::log;
use crate::sink::name::SinkName;
use crate::sink::pulse::Loop;

/// The most events of a journal in memory.
pub(super) const MOST_IN_MEMORY: usize = 10_000;

/// The most messages taken into one transaction.
const BATCH: usize = 1_000;

/// How often the journal says that the daemon is alive: what a restart can state of a gap is no finer.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often the thread turns at least, so that its pulse is felt.
const TURN: Duration = Duration::from_secs(1);

/// How long a state without events may wait, so that many of them share a transaction.
const STATES: Duration = Duration::from_secs(1);

/// How often it is looked for events beyond their time.
const PRUNING: Duration = Duration::from_mins(5);

/// How many of the last events of a cache are recovered.
const RECENT: usize = 20;

/// The thread's own state.
pub(super) struct Writer {
    path: Option<PathBuf>,
    limits: Limits,
    inbox: Receiver<Message>,
    shared: Arc<JournalShared>,
    phase: FilePhase,
    /// The file that was open last.
    known: Option<Identity>,
    /// Whether it was looked through, so that it is not looked through at every attempt.
    is_checked: bool,
    /// What is not in the file yet.
    backlog: Backlog,
    handover: Handover,
    /// Whether a file was written in this run, or read for it.
    had_file: bool,
    /// The highest id that was given.
    last_id: u64,
    /// Why the file that was written before is not there any more, until the next one has been told.
    loss: Option<String>,
    /// When a broken file was last set aside.
    set_aside_at: Option<Instant>,
    /// What the age of events is measured against.
    reference: Reference,
    /// Events in memory.
    held: usize,
    write_states_at: Option<Instant>,
    beat_at: Instant,
    prune_at: Instant,
    pruned_at: Option<Instant>,
    reads: Vec<(EventQuery, oneshot::Sender<Page>)>,
    closing: Option<oneshot::Sender<()>>,
}

impl Writer {
    pub(super) fn new(
        path: Option<PathBuf>,
        limits: Limits,
        inbox: Receiver<Message>,
        shared: Arc<JournalShared>,
    ) -> Self {
        let now = clock::instant();
        Self {
            path,
            limits,
            inbox,
            shared,
            phase: FilePhase::Opening,
            known: None,
            is_checked: false,
            backlog: Backlog::default(),
            handover: Handover::Unasked(None),
            had_file: false,
            last_id: 0,
            loss: None,
            set_aside_at: None,
            reference: Reference::of(None, clock::now(), now),
            held: 0,
            write_states_at: None,
            beat_at: now,
            prune_at: now,
            pruned_at: None,
            reads: Vec::new(),
            closing: None,
        }
    }

    /// Runs until it gets the message to close, or until the last sender is gone.
    pub(super) fn run(mut self, recovered: oneshot::Sender<Recovered>) {
        self.shared.pulse.waits_for_disk(Loop::Journal);
        let begun = self.begin();
        self.had_file = self.phase.store().is_some();
        // Who waited may have gone on without it, and then has to be told as of a file that comes late.
        if let Err(unheard) = recovered.send(begun) {
            self.had_file = false;
            self.handover = Handover::Unasked(Some(unheard));
        }
        loop {
            self.shared.pulse.turned(Loop::Journal);
            let is_alone = match self.inbox.recv_timeout(self.pause().min(TURN)) {
                Ok(message) => {
                    self.take(message);
                    for _ in 1..BATCH {
                        let Ok(message) = self.inbox.try_recv() else { break };
                        self.take(message);
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.shared.pulse.waits_for_disk(Loop::Journal);
            self.turn();
            for (query, answer) in std::mem::take(&mut self.reads) {
                // Who asked may have gone.
                let _ = answer.send(self.page(&query));
            }
            if is_alone || self.closing.is_some() {
                return self.end();
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Record { events, state } => {
                let beyond = self.backlog.add(events);
                self.lose(beyond);
                if let Some((cache, state)) = state {
                    self.backlog.set_state(cache, state);
                    self.write_states_at.get_or_insert(clock::instant() + STATES);
                }
            }
            Message::Late(late) => {
                if let Some(recovered) = self.handover.ask(late) {
                    self.tell_late(recovered);
                }
            }
            Message::Settled(settled) => {
                self.handover.settle();
                self.backlog.settle(&settled);
            }
            Message::Read { query, answer } => self.reads.push((query, answer)),
            Message::Limit(limits) => {
                self.limits = limits;
                self.prune_at = clock::instant();
            }
            Message::Close { answer } => self.closing = Some(answer),
        }
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Duration {
        let until = match self.phase.away() {
            // What has to answer does so in a moment, and wakes this thread.
            _ if self.handover.is_unsettled() => return FIRST_RETRY,
            Some(away) => away.retry_at,
            None => self.write_states_at.into_iter().chain([self.beat_at, self.prune_at]).min().unwrap_or(self.beat_at),
        };
        until.saturating_duration_since(clock::instant())
    }

    /// Does what is due.
    fn turn(&mut self) {
        let now = clock::instant();
        let is_last = self.closing.is_some();
        if matches!(&self.phase, FilePhase::Away(away) if away.retry_at <= now || is_last) {
            self.open();
        }
        if is_last && let Some(caches) = self.handover.settle() {
            // No answer will come any more: what the file says of its caches stays, for the next start to go on with.
            let dropped = self.backlog.yield_to_file(&caches);
            self.lose(dropped);
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if matches!(self.phase, FilePhase::Reopened(..))
            || is_last
            || !self.backlog.events().is_empty()
            || is_due(self.write_states_at)
            || self.beat_at <= now
        {
            self.write();
        }
        if self.prune_at <= now {
            self.prune();
        }
    }

    /// Opens the journal for the first time and reads what was kept.
    fn begin(&mut self) -> Recovered {
        self.shared.tell_up(true);
        self.open();
        if self.path.is_none() {
            return Recovered::default();
        }
        // What cannot be written can perhaps be read: a restart should not look like a recovery for want of room.
        let read = match self.phase.store() {
            Some(store) => recover(|| store.states(), || store.last_run(), |query| store.read(query)),
            None => self.recover_unwritable(),
        };
        let recovered = read.unwrap_or_else(|trouble| {
            self.fail(trouble);
            Recovered::default()
        });
        self.backlog.recall(&recovered.states);
        recovered
    }

    fn recover_unwritable(&self) -> Result<Recovered, Trouble> {
        let reader = self.path.as_deref().and_then(|path| Reader::open(path).ok());
        let Some(reader) = reader else { return Ok(Recovered::default()) };
        recover(|| Ok(reader.states()?), || Ok(reader.last_run()?), |query| Ok(reader.rows(query)?))
    }

    /// Opens the journal, and sets a broken one aside. Ends either with a file that can be written or away.
    fn open(&mut self) {
        let Some(path) = self.path.clone() else {
            match Store::in_memory(clock::now().unix_millis()) {
                Ok(store) => self.opened(store),
                Err(trouble) => self.go_away(&trouble),
            }
            return;
        };
        let checked = self.known.filter(|_| self.is_checked);
        let opened = match Store::open(&path, self.last_id, clock::now().unix_millis(), checked) {
            Err(Trouble::Damaged(words)) => self.begin_anew(&path, &words),
            opened => opened,
        };
        match opened {
            Ok(store) => self.opened(store),
            Err(trouble) => self.go_away(&trouble),
        }
    }

    fn opened(&mut self, store: Store) {
        let last_id = match store.last_id() {
            Ok(last_id) => last_id,
            Err(trouble) => return self.go_away(&trouble),
        };
        let is_same = self.known.is_some() && self.known == store.identity();
        if !is_same {
            match store.kept_time() {
                Ok(kept) => self.reference = Reference::of(kept, clock::now(), self.reference.looked()),
                Err(trouble) => return self.go_away(&trouble),
            }
        }
        (self.known, self.is_checked) = (store.identity(), true);
        self.phase.open(store);
        let grown = if is_same { last_id.saturating_sub(self.last_id) } else { 0 };
        self.settle_doubt(grown, last_id);
        if !is_same {
            // Another file than the one that was written before: it must know all of it.
            self.backlog.write_every_state();
        }
        self.last_id = last_id;
        if !is_same && self.handover.is_asked() && self.path.is_some() {
            self.read_late();
        }
        self.shared.last_id.store(last_id, Ordering::Release);
        if let Some((path, words)) = self.path.clone().zip(self.loss.take()) {
            self.note_new_file(&path, "begun anew, or another one", &words);
        }
    }

    /// Reads what a file knows that could not be opened before.
    fn read_late(&mut self) {
        let Some(store) = self.phase.store() else { return };
        match recover(|| store.states(), || store.last_run(), |query| store.read(query)) {
            Ok(recovered) => self.tell_late(recovered),
            Err(trouble) => self.fail(trouble),
        }
    }

    fn tell_late(&mut self, recovered: Recovered) {
        let is_first = !std::mem::replace(&mut self.had_file, true);
        if let Some(run) = recovered.last_run.filter(|_| is_first) {
            self.backlog.follow(run);
        }
        if !recovered.states.is_empty() {
            self.handover.tell(Late { recovered, is_first, told: self.backlog.told() });
        }
    }

    /// A write that failed in its last moment may have been done all the same; then it is not done again.
    fn settle_doubt(&mut self, grown: u64, last_id: u64) {
        let written = self.backlog.settle_doubt(grown);
        let count = written.len() as u64;
        for (id, event) in (last_id - count + 1..).zip(written) {
            self.shared.acknowledge(Recorded { id, event });
        }
        self.shared.metrics.journal_recorded(count);
    }

    /// Moves a broken file out of the way and begins another one.
    fn begin_anew(&mut self, path: &Path, words: &str) -> Result<Store, Trouble> {
        const TOO_SOON: Duration = Duration::from_mins(1);
        let (now, at) = (clock::instant(), clock::now());
        if self.set_aside_at.replace(now).is_some_and(|before| now.saturating_duration_since(before) < TOO_SOON) {
            return Err(Trouble::Unavailable(format!("{words}; it broke again within a minute: is the disk sound?")));
        }
        self.shared.metrics.sink_failed(SinkName::Journal, 1);
        let aside = store::set_aside(path, at).map_err(|error| {
            Trouble::Unavailable(format!("{words}; and it cannot be set aside: {error}; move it away by hand"))
        })?;
        self.note_new_file(path, &format!("set aside as {}", aside.display()), words);
        Store::open(path, self.last_id, at.unix_millis(), None)
    }

    /// Tells that the journal before is not to be found here, in the journal that begins now.
    fn note_new_file(&mut self, path: &Path, what: &str, words: &str) {
        let event = Event::new(clock::now(), None, EventKind::JournalSetAside);
        let event = event.change(&path.display().to_string(), what).evidence(words);
        log::log_event(&event, &[]);
        self.backlog.add_first(event);
    }

    /// Writes everything that waits, in one transaction.
    fn write(&mut self) {
        if self.handover.is_unsettled() {
            return;
        }
        let now = clock::instant();
        self.beat_at = now + HEARTBEAT;
        self.write_states_at = None;
        let Some(store) = self.phase.store_mut() else { return };
        let at = clock::now();
        if let Some(jump) = self.reference.follow(at, now) {
            let event = jump.event();
            log::log_event(&event, &[]);
            self.backlog.add_last(event);
        }
        let (events, states) = self.backlog.next_write();
        let ids = match store.write(events, &states, at, self.reference.at()) {
            Ok(ids) => ids,
            Err(trouble) => {
                self.backlog.doubt();
                return self.fail(trouble);
            }
        };
        let written = ids.len();
        // Only now is it true that it is kept.
        for (id, event) in ids.into_iter().zip(self.backlog.written()) {
            self.last_id = id;
            self.shared.acknowledge(Recorded { id, event });
        }
        self.shared.metrics.journal_recorded(written as u64);
        if let Some(away) = self.phase.written() {
            let path = self.path.as_deref().unwrap_or(Path::new("")).display().to_string();
            tracing::info!(
                path,
                written,
                lost = away.lost,
                "the journal is written again, with the events that waited"
            );
            self.shared.tell_up(true);
        }
        if self.path.is_none() {
            self.held += written;
            if self.held > MOST_IN_MEMORY {
                self.forget_oldest();
            }
        }
        self.measure();
    }

    fn forget_oldest(&mut self) {
        let Some(store) = self.phase.store_mut() else { return };
        match store.keep_latest(MOST_IN_MEMORY).and_then(|()| store.count()) {
            Ok(count) => self.held = count,
            Err(trouble) => self.fail(trouble),
        }
    }

    /// Tells how large the journal is, and has it made smaller where it is too large.
    fn measure(&mut self) {
        let Some(store) = self.phase.store() else { return };
        match store.size() {
            Ok(size) => {
                self.shared.metrics.journal_size(size);
                if size > self.limits.max_size {
                    // Not after every event: somebody who reads may keep it from becoming smaller.
                    let soon = self.pruned_at.map_or_else(clock::instant, |at| at + HEARTBEAT);
                    self.prune_at = self.prune_at.min(soon);
                }
            }
            Err(trouble) => self.fail(trouble),
        }
    }

    /// One step; the next one follows at once where it is needed, after the messages that have come meanwhile.
    fn prune(&mut self) {
        self.prune_at = clock::instant() + PRUNING;
        let Some(store) = self.phase.store_mut() else { return };
        let oldest = self.reference.oldest(self.limits.retention, clock::now());
        match store.prune(oldest, self.limits.max_size) {
            Ok(true) => self.prune_at = clock::instant(),
            Ok(false) => {
                self.pruned_at = Some(clock::instant());
                if let Ok(size) = store.size() {
                    self.shared.metrics.journal_size(size);
                }
            }
            Err(trouble) => self.fail(trouble),
        }
    }

    /// Takes a failure: the file is left, and tried again; a broken one is set aside and another one begun.
    fn fail(&mut self, trouble: Trouble) {
        if let Some(store) = self.phase.close() {
            store.abandon();
        }
        // What could not be written is tried again at once where there is a file that can be.
        self.beat_at = clock::instant();
        match trouble {
            Trouble::Damaged(words) => {
                let Some(path) = self.path.clone() else { return self.go_away(&Trouble::Damaged(words)) };
                match self.begin_anew(&path, &words) {
                    Ok(store) => self.opened(store),
                    Err(trouble) => self.go_away(&trouble),
                }
            }
            Trouble::Suspect(_) => {
                self.is_checked = false;
                self.open();
            }
            Trouble::Gone(words) => {
                self.shared.metrics.sink_failed(SinkName::Journal, 1);
                self.known = None;
                self.loss = Some(words);
                self.open();
            }
            Trouble::Unavailable(_) | Trouble::Refused(_) => self.go_away(&trouble),
        }
    }

    fn go_away(&mut self, trouble: &Trouble) {
        self.shared.metrics.sink_failed(SinkName::Journal, 1);
        self.shared.tell_up(false);
        let words = trouble.words();
        if self.phase.go_away(words) {
            let path = self.path.as_deref().unwrap_or(Path::new("")).display().to_string();
            tracing::warn!(
                path,
                most = MOST_UNWRITTEN,
                "the journal cannot be written: {words}; monitoring continues, events wait in memory, and writing is retried"
            );
        }
    }

    fn lose(&mut self, events: usize) {
        if events == 0 {
            return;
        }
        let events = events as u64;
        self.shared.metrics.sink_failed(SinkName::Journal, events);
        self.shared.lost.fetch_add(events, Ordering::Relaxed);
        self.phase.lose(events);
    }

    fn page(&mut self, query: &EventQuery) -> Page {
        let read = self.phase.store().map(|store| store.read(query));
        let rows = match read {
            Some(Ok(rows)) => rows,
            Some(Err(trouble)) => {
                self.fail(trouble);
                Rows::default()
            }
            None => Rows::default(),
        };
        let asked = self.backlog.events().iter().filter(|event| query.admits(event));
        let waiting = match query.order {
            EventOrder::Ascending => asked.take(query.limit).cloned().collect(),
            EventOrder::Descending => asked.rev().take(query.limit).cloned().collect(),
        };
        Page {
            events: rows.events,
            next: rows.next,
            unreadable: rows.unreadable,
            waiting,
            is_durable: self.path.is_some(),
            is_up: self.phase.away().is_none(),
            lost: self.shared.lost.load(Ordering::Relaxed),
        }
    }

    fn end(mut self) {
        if !self.backlog.events().is_empty() {
            tracing::warn!(
                events = self.backlog.events().len(),
                "these events were never written to the journal; the log has them"
            );
        }
        // Closes the file, and merges into it what waits beside it.
        drop(self.phase.close());
        if let Some(answer) = self.closing.take() {
            let _ = answer.send(());
        }
    }
}

fn recover(
    states: impl FnOnce() -> Result<Vec<State>, Trouble>,
    last_run: impl FnOnce() -> Result<Option<Run>, Trouble>,
    read: impl Fn(&EventQuery) -> Result<Rows, Trouble>,
) -> Result<Recovered, Trouble> {
    let (states, last_run) = (states()?, last_run()?);
    let mut recent = BTreeMap::new();
    for state in &states {
        let query = EventQuery { cache: Some(state.cache.clone()), ..EventQuery::latest(RECENT) };
        let events = read(&query)?.events.into_iter().map(|recorded| recorded.event).collect();
        recent.insert(state.cache.clone(), events);
    }
    Ok(Recovered { states, recent, last_run })
}
