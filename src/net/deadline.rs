//! One deadline over all stages, and a limit for each.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// The moment at which work ends, whatever it is doing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

/// A time as a person says it: `5s`, `250ms`.
pub(crate) fn span(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        format!("{:.1}s", time.as_secs_f64()).replace(".0s", "s")
    } else {
        format!("{}ms", time.as_millis())
    }
}

/// The time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeadlinePassed;

impl Deadline {
    /// From now on, for `total`.
    pub(crate) fn after(total: Duration) -> Self {
        Self(clock::instant() + total)
    }

    /// The earlier of this deadline and `limit` from now.
    pub(crate) fn or_within(self, limit: Duration) -> Self {
        Self(self.0.min(clock::instant() + limit))
    }

    /// The deadline of one stage, and the time that it gives the stage, for its message.
    pub(crate) fn stage(self, limit: Duration) -> (Self, Duration) {
        (self.or_within(limit), limit.min(self.remaining()))
    }

    /// The time that is left.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(clock::instant())
    }

    /// Runs `work` until it ends or the deadline comes.
    pub(crate) async fn run<T>(self, work: impl Future<Output = T>) -> Result<T, DeadlinePassed> {
        tokio::time::timeout_at(self.0, work).await.map_err(|_| DeadlinePassed)
    }
}
