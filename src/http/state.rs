//! What the handlers read, and what they can ask of the daemon.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::streams::Streams;
use crate::model::Event;
use crate::sink::{Board, Journal, Loop, Metrics, Pulse};

/// A request to read the configuration again. The answer says what was taken into use, or all that is wrong.
pub type Reload = oneshot::Sender<Result<String, String>>;

/// A request to accept the last answers of the resolvers of a cache as the baseline.
#[derive(Debug)]
pub struct Accept {
    /// The name of the cache, as the request gave it.
    pub cache: String,
    /// Where what was accepted is told.
    pub answer: oneshot::Sender<Result<Vec<Event>, AcceptError>>,
}

/// Why nothing was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// No cache of that name is watched.
    #[error("no cache of that name is watched")]
    NoSuchCache,
    /// There is nothing to accept yet, in words.
    #[error("{0}")]
    Nothing(String),
}

/// What the handlers read, and what they can ask for.
#[derive(Clone)]
pub struct AppState {
    /// The last round of every cache.
    pub board: Arc<Board>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the daemon's loops turn.
    pub pulse: Arc<Pulse>,
    /// How long a loop may stand still before the daemon counts as dead.
    pub standstill: Duration,
    /// Where requests to reload go; a few places are enough.
    pub reload: mpsc::Sender<Reload>,
    /// Where requests to accept a baseline go; a few places are enough.
    pub accept: mpsc::Sender<Accept>,
    /// What happened.
    pub journal: Journal,
    /// Who listens to what happens.
    pub streams: Streams,
}

impl AppState {
    /// Whether probes are started and judged: where one of the two stands still, what was seen last says nothing of now.
    pub(super) fn is_judging(&self) -> bool {
        [Loop::Schedule, Loop::Dispatch].iter().all(|which| self.pulse.stands_still(*which, self.standstill).is_none())
    }
}
