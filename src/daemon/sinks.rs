//! The sinks, as the loops share them.

use std::sync::Arc;

use crate::sink::{Board, Chronicle, Metrics, Pulse};

/// Where the loops tell what they know. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sinks {
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Arc<Board>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) chronicle: Chronicle,
}
