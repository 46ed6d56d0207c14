//! What the thread of the journal is told and asked, and what it shares with those who do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::query::Recorded;
use super::state::{Late, Settled, State};
use crate::model::{CacheName, Event, EventQuery};
use crate::sink::metrics::Metrics;
use crate::sink::pulse::Pulse;

/// Events that a slow stream may lag behind before it has to read them from the journal.
const STREAMED: usize = 1_024;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Message {
    /// To keep these events, and what of this cache follows from them: `None` forgets it.
    Record { events: Vec<Event>, state: Option<(CacheName, Option<State>)> },
    /// To read.
    Read { query: EventQuery, answer: oneshot::Sender<Page> },
    /// To tell there what a file knows that can be opened only later.
    Late(mpsc::UnboundedSender<Late>),
    /// That what came late is known.
    Settled(Settled),
    /// To keep other limits from now on.
    Limit(Limits),
    /// To write what waits, to close the file and to end.
    Close { answer: oneshot::Sender<()> },
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For how long.
    pub retention: Duration,
    /// In how many bytes, with what waits to be merged into the file.
    pub max_size: u64,
}

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Recorded>,
    /// The last id, where there may be more behind it.
    pub next: Option<u64>,
    /// Events that are left out: a later version wrote them, or another hand.
    pub unreadable: usize,
    /// Events that are asked for as well and are not in the journal yet, because it cannot be written now: they have no id,
    /// and are lost if the daemon ends before.
    pub waiting: Vec<Event>,
    /// Whether the journal is a file.
    pub is_durable: bool,
    /// Whether it can be written.
    pub is_up: bool,
    /// Events that were lost since the daemon started.
    pub lost: u64,
}

/// What the thread and its callers share.
#[derive(Debug)]
pub(super) struct JournalShared {
    pub(super) metrics: Arc<Metrics>,
    pub(super) pulse: Arc<Pulse>,
    /// The highest id that was acknowledged.
    pub(super) last_id: AtomicU64,
    /// Events that were lost since the start.
    pub(super) lost: AtomicU64,
    /// Events of the present run of drops.
    pub(super) dropped: AtomicU64,
    /// Whether the thread was told to end.
    pub(super) closed: AtomicBool,
    pub(super) acknowledged: broadcast::Sender<Recorded>,
}

impl JournalShared {
    pub(super) fn new(metrics: Arc<Metrics>, pulse: Arc<Pulse>) -> Self {
        Self {
            metrics,
            pulse,
            last_id: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            acknowledged: broadcast::Sender::new(STREAMED),
        }
    }

    /// Invariant: the event is on disk.
    pub(super) fn acknowledge(&self, recorded: Recorded) {
        // First the number, then the event: whoever subscribes in between has one of the two.
        self.last_id.store(recorded.id, Ordering::Release);
        // Nobody may be listening.
        let _ = self.acknowledged.send(recorded);
    }

    pub(super) fn tell_up(&self, up: bool) {
        self.metrics.journal_up(up);
    }
}
