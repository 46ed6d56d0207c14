//! How many requests are let through in a time.

use std::time::Duration;

/// How many requests are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    /// From one request to the next, in the long run; not zero.
    pub(super) interval: Duration,
    /// How many may come at once; at least 1.
    pub(super) burst: u32,
}

/// A bucket of tokens that fills at a rate; every request takes one.
#[derive(Debug, Default)]
pub(super) struct Bucket(Option<(f64, tokio::time::Instant)>);

impl Bucket {
    pub(super) fn take(&mut self, rate: Rate, now: tokio::time::Instant) -> bool {
        let full = f64::from(rate.burst);
        let left = self.0.map_or(full, |(left, at)| {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            (left + passed / rate.interval.as_secs_f64()).min(full)
        });
        let admits = left >= 1.0;
        self.0 = Some((if admits { left - 1.0 } else { left }, now));
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { interval: Duration::from_secs(1), burst: 3 };
        let mut bucket = Bucket::default();
        let mut take = |seconds: u64, times: usize| {
            let at = clock::instant() + Duration::from_secs(seconds);
            (0..times).filter(|_| bucket.take(rate, at)).count()
        };
        assert_eq!([take(0, 5), take(1, 5), take(3, 5), take(60, 5)], [3, 1, 2, 3]);
    }
}
