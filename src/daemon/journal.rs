//! The journal at the daemon's start: what the run before this one left.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::error::RunError;
use crate::config::Config;
use crate::model::{CacheName, Event, EventKind, Timestamp};
use crate::sink::journal::{Late, Limits, Recovered, Run, Settings, State};
use crate::sink::{Journal, Metrics, Pulse};

/// How long the start waits for the journal, which is looked through first: a disk that hangs must not keep the daemon from
/// watching.
const JOURNAL_OPENS: Duration = Duration::from_secs(20);

/// What the run before this one left.
pub(super) struct Left {
    pub(super) recovered: Recovered,
    /// What a journal knows that could not be opened at the start.
    pub(super) late: mpsc::UnboundedReceiver<Late>,
}

impl Left {
    /// Takes out what is known of this machine, which is no cache.
    pub(super) fn take_machine(&mut self) -> Option<State> {
        let states = &mut self.recovered.states;
        let place = states.iter().position(|state| state.cache.as_str() == CacheName::MACHINE)?;
        Some(states.remove(place))
    }
}

/// Opens the journal and reads what the run before this one left.
pub(super) async fn open(
    config: &Config,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
) -> Result<(Journal, Left), RunError> {
    let path = config.journal.file();
    if path.is_none() {
        tracing::info!(target: "cachewatch::daemon", "events are kept in memory and are lost at the next start; journal.path keeps them in a file");
    }
    let (journal, recovered) = Journal::start(Settings { path, limits: limits(config) }, metrics, pulse)?;
    let late = journal.late();
    let recovered = tokio::time::timeout(JOURNAL_OPENS, recovered).await;
    if recovered.is_err() {
        tracing::warn!(target: "cachewatch::daemon", "the journal is still not open: watching starts without the saved \
                                state of the caches");
    }
    let recovered = recovered.ok().and_then(Result::ok).unwrap_or_default();
    Ok((journal, Left { recovered, late }))
}

pub(super) fn limits(config: &Config) -> Limits {
    Limits { retention: config.journal.retention, max_size: config.journal.max_size }
}

/// That the daemon started, and for how long no daemon had watched.
pub(super) fn started(at: Timestamp, last_run: Option<Run>, journal: Option<&Path>) -> Event {
    let event = Event::new(at, None, EventKind::Started).now(&format!("cachewatch {}", crate::VERSION));
    let event = match journal {
        Some(path) => event.evidence(&format!("the journal is {}", path.display())),
        None => event.evidence("events are kept in memory"),
    };
    match last_run {
        Some(run) => run.before(event),
        None => event,
    }
}
