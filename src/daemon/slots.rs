//! When one cache is due: spread over the interval, and the same after every restart.

use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::model::Cache;

/// The moments at which a cache is due: its phase, every interval, each moved by its jitter.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    origin: Instant,
    interval: Duration,
    /// The hash of the cache's name and this machine's: sidecars of many pods that start together do not probe together, and
    /// a restart changes nothing.
    seed: u64,
    jitter: f64,
    next: u32,
}

impl Slots {
    pub(super) fn new(origin: Instant, cache: &Cache, jitter: f64, place: u64) -> Self {
        let seed = seed(cache.name.as_str(), place);
        Self { origin: origin + cache.interval.mul_f64(share(seed)), interval: cache.interval, seed, jitter, next: 0 }
    }

    /// How far into a window the cache's first probe is, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        share(self.seed)
    }

    /// Whether no slot has been taken yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.next == 0
    }

    /// The first slot after `now`; those that have passed are left out, not made up for.
    pub(super) fn after(&mut self, now: Instant) -> Instant {
        loop {
            let slot = self.at(self.next);
            self.next = self.next.saturating_add(1);
            if slot > now || self.next == u32::MAX {
                return slot;
            }
            let behind = now.saturating_duration_since(slot).as_nanos() / self.interval.as_nanos().max(1);
            self.next = self.next.saturating_add(u32::try_from(behind).unwrap_or(u32::MAX));
        }
    }

    fn at(&self, number: u32) -> Instant {
        let moved = xxh3_64_with_seed(&number.to_le_bytes(), self.seed);
        self.origin + self.interval * number + self.interval.mul_f64(share(moved) * self.jitter)
    }
}

fn seed(name: &str, place: u64) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), place)
}

/// XXH3: stable over restarts and versions, unlike the standard library's hashers.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// A hash as a share of one, 0 to 1.
fn share(hash: u64) -> f64 {
    f64::from(u32::try_from(hash >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MACHINE: &[u8] = b"node-1147";

    fn slots(name: &str, jitter: f64) -> Slots {
        let seed = seed(name, 0);
        let interval = Duration::from_secs(30);
        Slots { origin: clock::instant() + interval.mul_f64(share(seed)), interval, seed, jitter, next: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_spread_over_the_interval() {
        are_spread(|number| seed(&format!("cache-{number}"), hash(MACHINE)));
    }

    /// 200 sidecars of one cache, started by one rollout.
    #[tokio::test(start_paused = true)]
    async fn pods_are_spread_over_the_interval() {
        are_spread(|number| seed("orders", hash(format!("orders-api-6c9f7b5d4-{number:05}").as_bytes())));
    }

    #[track_caller]
    fn are_spread(seed: impl Fn(u32) -> u64) {
        let mut tenths = [0_u32; 10];
        for number in 0..1000 {
            let place = share(seed(number));
            let tenth = tenths.iter_mut().enumerate().find(|(index, _)| {
                let index = f64::from(u32::try_from(*index).unwrap());
                place < (index + 1.0) / 10.0
            });
            *tenth.unwrap().1 += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slots_keep_their_interval_and_leave_out_what_has_passed() {
        let start = clock::instant();
        let mut slots = slots("orders", 0.1);
        let mut previous = slots.after(start);
        assert!(previous > start && previous <= start + Duration::from_secs(33));
        for _ in 0..100 {
            let next = slots.after(previous);
            let gap = next - previous;
            assert!(gap >= Duration::from_secs(27) && gap <= Duration::from_secs(33), "{gap:?}");
            previous = next;
        }
        let later = previous + Duration::from_hours(1);
        let next = slots.after(later);
        assert!(next > later && next <= later + Duration::from_secs(66), "{:?}", next - later);
    }
}
