//! The only place where time enters. Everything pure takes its time as an argument.
//!
//! [`instant`] is tokio's clock, so that a test with paused time governs every wait and every measured duration.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Timestamp;

/// The wall clock, to the millisecond. A clock before 1970 reads as 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this room is where time enters")]
pub fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}

/// The monotonic clock, for durations and deadlines.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this room is where time enters")]
pub fn instant() -> Instant {
    Instant::now()
}

/// The time since this machine started, also that in which it was suspended, which [`instant`] leaves out.
#[must_use]
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// Measures one span of time from where it is made.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(instant())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        instant().saturating_duration_since(self.0)
    }
}
