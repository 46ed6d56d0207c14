//! Whether the daemon itself still turns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::model::vocabulary;

vocabulary! {
    /// A loop of the daemon. Each turns once a second at least, also where there is nothing to do.
    pub enum Loop {
        /// Takes signals, and looks after the other loops.
        Main = "main",
        /// Reads the configuration again, and tells the init system.
        Reload = "reload",
        /// Starts probes.
        Schedule = "schedule",
        /// Judges what the probes saw.
        Dispatch = "dispatch",
        /// Takes connections.
        Http = "http",
        /// Keeps what happened.
        Journal = "journal",
    }
}

/// When the daemon's loops last turned, on the monotonic clock: a clock set by hand must not look like a standstill.
///
/// It says nothing of the caches. A monitor must not be restarted because its subject is ill.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// By [`Loop`], milliseconds since the start.
    turned: [AtomicU64; Loop::ALL.len()],
    /// By [`Loop`], whether it waits for a disk.
    waits: [AtomicBool; Loop::ALL.len()],
}

impl Pulse {
    /// The pulse of loops that have all just turned.
    #[must_use]
    pub fn new() -> Self {
        Self { start: clock::instant(), turned: Default::default(), waits: Default::default() }
    }

    /// A loop turned.
    pub fn turned(&self, which: Loop) {
        self.turned[which as usize].store(self.elapsed(), Ordering::Relaxed);
        self.waits[which as usize].store(false, Ordering::Relaxed);
    }

    /// All loops begin now; one that waits for a disk waits on.
    pub fn begin(&self) {
        for which in Loop::ALL {
            self.turned[*which as usize].store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// A loop hands work to a disk from now until it turns again. A disk that hangs is not mended by a restart, so this is
    /// told and is no reason for one.
    pub fn waits_for_disk(&self, which: Loop) {
        self.waits[which as usize].store(true, Ordering::Relaxed);
    }

    /// For how long a loop has stood still, where that is longer than `limit`, whatever it waits for.
    #[must_use]
    pub fn stands_still(&self, which: Loop, limit: Duration) -> Option<Duration> {
        let turned = self.turned[which as usize].load(Ordering::Relaxed);
        let still = Duration::from_millis(self.elapsed().saturating_sub(turned));
        (still > limit).then_some(still)
    }

    /// The first loop that stands still for longer than `limit`, where a restart can mend that.
    #[must_use]
    pub fn standstill(&self, limit: Duration) -> Option<(Loop, Duration)> {
        self.first_still(false, limit)
    }

    /// The first loop that has waited for a disk for longer than `limit`.
    #[must_use]
    pub fn waiting(&self, limit: Duration) -> Option<(Loop, Duration)> {
        self.first_still(true, limit)
    }

    fn first_still(&self, waits: bool, limit: Duration) -> Option<(Loop, Duration)> {
        let mut chosen = Loop::ALL.iter().filter(|which| self.waits[**which as usize].load(Ordering::Relaxed) == waits);
        chosen.find_map(|which| Some((*which, self.stands_still(*which, limit)?)))
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
    async fn every_loop_must_turn_and_one_that_waits_for_a_disk_is_told() {
        let limit = Duration::from_secs(10);
        let late = limit + Duration::from_millis(1);
        let pulse = Pulse::new();
        tokio::time::advance(limit).await;
        assert_eq!(pulse.standstill(limit), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        for which in Loop::ALL {
            assert_eq!(pulse.standstill(limit), Some((*which, late)));
            pulse.turned(*which);
        }
        assert_eq!(pulse.standstill(limit), None);

        pulse.waits_for_disk(Loop::Journal);
        tokio::time::advance(late).await;
        Loop::ALL.iter().filter(|which| **which != Loop::Journal).for_each(|which| pulse.turned(*which));
        assert_eq!((pulse.standstill(limit), pulse.waiting(limit)), (None, Some((Loop::Journal, late))));
        // A journal that waits since before the start does not look dead after it.
        pulse.begin();
        assert_eq!(pulse.waiting(limit), None);
        tokio::time::advance(late).await;
        Loop::ALL.iter().filter(|which| **which != Loop::Journal).for_each(|which| pulse.turned(*which));
        assert_eq!((pulse.standstill(limit), pulse.waiting(limit)), (None, Some((Loop::Journal, late))));
        pulse.turned(Loop::Journal);
        assert_eq!(pulse.waiting(limit), None);
    }
}
