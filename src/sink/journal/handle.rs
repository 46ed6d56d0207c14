//! How the rest of the program speaks to the journal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{broadcast, mpsc as channel, oneshot, watch};

use super::messages::{JournalShared, Limits, Message, Page};
use super::query::Recorded;
use super::state::{Late, Recovered, Settled, State};
use super::writer::Writer;
use crate::model::{CacheName, Event, EventQuery};
use crate::sink::metrics::Metrics;
use crate::sink::name::SinkName;
use crate::sink::pulse::Pulse;

/// Messages that may wait for the thread; more are dropped, and counted.
const MOST_WHILE_IT_HANGS: usize = 4_096;

/// How long a question may wait: a disk that hangs must not hold up every request.
const PATIENCE: Duration = Duration::from_secs(5);

/// A journal that is kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    inbox: SyncSender<Message>,
    shared: Arc<JournalShared>,
    /// Its sender goes with the thread.
    running: watch::Receiver<()>,
}

/// Where and how much.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file; `None` keeps the events in memory.
    pub path: Option<PathBuf>,
    /// How much of it.
    pub limits: Limits,
}

/// Why a question got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// There is too much to do.
    #[error("the journal does not answer in time: its disk is slow, or it has too many requests")]
    Busy,
    /// The daemon ends.
    #[error("the daemon is stopping")]
    Closed,
}

impl Journal {
    /// Starts the thread that keeps the journal. The receiver gets what an earlier run left, once the file was looked
    /// through; a file that cannot be used is told in the log, and nothing of that is an error here.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(
        settings: Settings,
        metrics: Arc<Metrics>,
        pulse: Arc<Pulse>,
    ) -> io::Result<(Self, oneshot::Receiver<Recovered>)> {
        let (inbox, messages) = mpsc::sync_channel(MOST_WHILE_IT_HANGS);
        let shared = Arc::new(JournalShared::new(metrics, pulse));
        let writer = Writer::new(settings.path, settings.limits, messages, Arc::clone(&shared));
        let (recovered, answer) = oneshot::channel();
        let (runs, running) = watch::channel(());
        let thread = move || {
            let _runs = runs;
            writer.run(recovered);
        };
        thread::Builder::new().name(SinkName::Journal.as_str().to_owned()).spawn(thread)?;
        Ok((Self { inbox, shared, running }, answer))
    }

    /// What a file knows that can be opened only later, each time that happens. Who asks for it must answer with
    /// [`settle`](Self::settle): until then nothing is written.
    #[must_use]
    pub fn late(&self) -> channel::UnboundedReceiver<Late> {
        let (late, comes) = channel::unbounded_channel();
        // It is asked for at the start, where nothing else waits.
        if self.inbox.try_send(Message::Late(late)).is_err() {
            tracing::warn!("the journal is busy: the saved state of a file that opened late is not merged");
        }
        comes
    }

    /// Answers what came late; false where the thread is so far behind that it must be said again.
    #[must_use]
    pub fn settle(&self, settled: &Settled) -> bool {
        let settled = Settled { caches: settled.caches.clone(), open: settled.open.clone() };
        !matches!(self.inbox.try_send(Message::Settled(settled)), Err(TrySendError::Full(_)))
    }

    /// Keeps these events, and what is known of a cache after them. Never waits and never fails: what cannot be kept is
    /// counted.
    pub fn record(&self, events: &[Event], state: Option<State>) {
        // What is lost has been counted.
        let _ = self.offer(events, state);
    }

    /// The same; false where the thread is so far behind that it took neither.
    #[must_use]
    pub fn offer(&self, events: &[Event], state: Option<State>) -> bool {
        self.send(events, state.map(|state| (state.cache.clone(), Some(state))))
    }

    /// Keeps these events, and forgets what is known of a cache.
    pub fn forget(&self, events: &[Event], cache: &CacheName) {
        self.send(events, Some((cache.clone(), None)));
    }

    fn send(&self, events: &[Event], state: Option<(CacheName, Option<State>)>) -> bool {
        let count = events.len() as u64;
        match self.inbox.try_send(Message::Record { events: events.to_vec(), state }) {
            Ok(()) => {
                let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    tracing::info!(dropped, "the journal keeps up again");
                }
                true
            }
            Err(TrySendError::Full(_)) => {
                self.shared.metrics.sink_failed(SinkName::Journal, count);
                self.shared.lost.fetch_add(count, Ordering::Relaxed);
                // A message without events counts as one, so that a run of drops has a beginning.
                if self.shared.dropped.fetch_add(count.max(1), Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        waiting = MOST_WHILE_IT_HANGS,
                        "the journal does not keep up: its disk is slow or hangs; events are dropped until it does"
                    );
                }
                false
            }
            Err(TrySendError::Disconnected(_)) => {
                if !self.shared.closed.load(Ordering::Relaxed) {
                    self.shared.metrics.sink_failed(SinkName::Journal, count);
                    self.shared.tell_up(false);
                    if self.shared.dropped.fetch_add(count.max(1), Ordering::Relaxed) == 0 {
                        tracing::error!(
                            "the journal's thread panicked, which is a defect of cachewatch; restart the daemon"
                        );
                    }
                }
                false
            }
        }
    }

    /// The events that a query asks for.
    ///
    /// # Errors
    /// Where the thread does not answer within five seconds, or has ended.
    pub async fn events(&self, query: EventQuery) -> Result<Page, Unanswered> {
        let (answer, answered) = oneshot::channel();
        match self.inbox.try_send(Message::Read { query, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Unanswered::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(Unanswered::Closed),
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(_)) => Err(Unanswered::Closed),
            Err(_) => Err(Unanswered::Busy),
        }
    }

    /// Every event from now on, once it is kept. A reader that lags behind by more than a thousand is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Recorded> {
        self.shared.acknowledged.subscribe()
    }

    /// The highest id that was given.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.shared.last_id.load(Ordering::Acquire)
    }

    /// Keeps other limits from now on.
    pub fn limit(&self, limits: Limits) {
        // Where the thread is behind, the limits of before hold until the next reload.
        if self.inbox.try_send(Message::Limit(limits)).is_err() {
            tracing::warn!("the journal is busy: its new limits take effect at the next reload");
        }
    }

    /// Completes when the thread has ended: it was told to, or broke. Safe to drop and to call again.
    pub async fn ended(&self) {
        let mut running = self.running.clone();
        // Nothing is ever sent; the error is that the sender is gone.
        while running.changed().await.is_ok() {}
    }

    /// Writes what waits and closes the file, as far as that can be done within `limit`.
    pub async fn close(&self, limit: Duration) {
        const PAUSE: Duration = Duration::from_millis(10);
        self.shared.closed.store(true, Ordering::Relaxed);
        let close = async {
            let (answer, closed) = oneshot::channel();
            let mut message = Message::Close { answer };
            while let Err(TrySendError::Full(same)) = self.inbox.try_send(message) {
                message = same;
                tokio::time::sleep(PAUSE).await;
            }
            // An error means that the thread has ended already.
            let _ = closed.await;
        };
        if tokio::time::timeout(limit, close).await.is_err() {
            tracing::warn!("the journal was not closed in time; the next start repairs it");
        }
    }
}
