//! One deadline over all stages, and a limit for each.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// The moment at which a probe ends, whatever it is doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

/// The time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late;

impl Deadline {
    /// From now on, for `total`.
    pub(super) fn after(total: Duration) -> Self {
        Self(clock::instant() + total)
    }

    /// The earlier of this deadline and `limit` from now.
    pub(super) fn or_within(self, limit: Duration) -> Self {
        Self(self.0.min(clock::instant() + limit))
    }

    /// The deadline of one stage, and the time that it gives the stage, for its message.
    pub(super) fn stage(self, limit: Duration) -> (Self, Duration) {
        (self.or_within(limit), limit.min(self.remaining()))
    }

    /// The time that is left.
    pub(super) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(clock::instant())
    }

    /// Runs `work` until it ends or the deadline comes.
    pub(super) async fn run<T>(self, work: impl Future<Output = T>) -> Result<T, Late> {
        tokio::time::timeout_at(self.0, work).await.map_err(|_| Late)
    }
}
