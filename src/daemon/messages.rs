//! What the loops of the daemon say to each other.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::Config;
use crate::model::{Cache, Observation, ObservationKind};
use crate::probe::Prober;

/// From the schedule to the loop that judges: one observation has ended.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) cache: Arc<Cache>,
    /// What was seen; where the observation panicked, a defect of this program and the end of it alone, which kind it was.
    pub(super) outcome: Result<Observation, ObservationKind>,
    /// When the cache is due for a probe again.
    pub(super) next: Option<Instant>,
}

/// The caches to watch from now on; answered once every sink knows them.
#[derive(Debug)]
pub(super) struct CacheSet {
    pub(super) caches: Vec<Arc<Cache>>,
    pub(super) done: oneshot::Sender<()>,
}

/// What the schedule should follow from now on.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) caches: Vec<Arc<Cache>>,
    pub(super) max_in_flight: usize,
    pub(super) jitter: f64,
    /// Set where the files of the resolver are others than before.
    pub(super) prober: Option<Arc<Prober>>,
}

impl Plan {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            caches: config.caches.clone(),
            max_in_flight: config.probe.max_in_flight,
            jitter: config.probe.jitter,
            prober: None,
        }
    }
}

/// When a cache should be looked up again, unless it is probed before that.
#[derive(Debug)]
pub(super) struct Hint {
    pub(super) cache: Arc<Cache>,
    pub(super) at: Instant,
}
