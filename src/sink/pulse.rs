//! Whether the daemon itself still turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// When the daemon's loops last turned, on the monotonic clock: a clock set by hand must not look like a standstill.
///
/// It says nothing of the caches. A monitor must not be restarted because its subject is ill.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    dispatch: AtomicU64,
    schedule: AtomicU64,
}

impl Pulse {
    /// A pulse that has just been felt.
    #[must_use]
    pub fn new() -> Self {
        Self { start: clock::instant(), dispatch: AtomicU64::new(0), schedule: AtomicU64::new(0) }
    }

    /// The dispatch loop turned.
    pub fn loop_turned(&self) {
        self.dispatch.store(self.elapsed(), Ordering::Relaxed);
    }

    /// The schedule advanced.
    pub fn schedule_advanced(&self) {
        self.schedule.store(self.elapsed(), Ordering::Relaxed);
    }

    /// Whether both moved within `limit`. Both must be told to move where there is nothing to do.
    #[must_use]
    pub fn is_alive(&self, limit: Duration) -> bool {
        let oldest = self.dispatch.load(Ordering::Relaxed).min(self.schedule.load(Ordering::Relaxed));
        Duration::from_millis(self.elapsed().saturating_sub(oldest)) <= limit
    }

    /// Milliseconds since the start.
    fn elapsed(&self) -> u64 {
        let elapsed = clock::instant().saturating_duration_since(self.start);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_loops_must_turn() {
        let limit = Duration::from_secs(10);
        let pulse = Pulse::new();
        tokio::time::advance(limit).await;
        assert!(pulse.is_alive(limit));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!pulse.is_alive(limit));
        pulse.loop_turned();
        assert!(!pulse.is_alive(limit), "the schedule stands still");
        pulse.schedule_advanced();
        assert!(pulse.is_alive(limit));
    }
}
