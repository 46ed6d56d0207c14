//! How many may listen to what happens.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

/// Streams at once; each holds a connection for as long as its reader likes. All of them together hold no more than a quarter
/// of the connections there may be: half of what one peer may hold, so that pages left open on one machine leave room for
/// what these pages fetch.
const MOST_STREAMS: usize = 64;

/// How many streams there may be, and when they all end.
#[derive(Debug, Clone)]
pub struct Streams {
    pub(super) places: Arc<Semaphore>,
    pub(super) most: usize,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Streams {
    /// Streams that end when `stopped` turns true, so that they do not hold up the end of the daemon, among at most so many
    /// connections.
    #[must_use]
    pub fn new(stopped: watch::Receiver<bool>, max_connections: usize) -> Self {
        let most = MOST_STREAMS.min((max_connections / 4).max(1));
        Self { places: Arc::new(Semaphore::new(most)), most, stopped }
    }
}
