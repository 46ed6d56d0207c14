//! Where a count of clients leads.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Timestamp;

/// Recent counts of clients, and where they lead if they go on like that.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    /// The latest last.
    counts: VecDeque<(Timestamp, u64)>,
}

impl Forecast {
    /// So many counts tell a trend; more would tell of another time.
    const MOST: usize = 30;

    /// Fewer counts tell nothing.
    const FEWEST: usize = 5;

    /// The share of the counts' spread that a straight line must explain to be taken for a trend.
    const STRAIGHT: f64 = 0.6;

    /// Beyond this, a straight line says nothing of the future.
    const FARTHEST: Duration = Duration::from_hours(24 * 7);

    /// Takes one count in.
    pub(super) fn add(&mut self, at: Timestamp, connected: u64) {
        self.counts.push_back((at, connected));
        if self.counts.len() > Self::MOST {
            self.counts.pop_front();
        }
    }

    /// How long until `limit` is reached at the present rate; `None` where the count is not rising, or not steadily.
    #[expect(clippy::cast_precision_loss, reason = "client counts are far below 2^52")]
    pub(super) fn exhaustion(&self, limit: u64) -> Option<Duration> {
        let (start, _) = *self.counts.front()?;
        let (_, now) = *self.counts.back()?;
        if self.counts.len() < Self::FEWEST {
            return None;
        }
        let points: Vec<_> =
            self.counts.iter().map(|(at, count)| (at.since(start).as_secs_f64(), *count as f64)).collect();
        let (slope, straightness) = line(&points)?;
        if slope <= 0.0 || straightness < Self::STRAIGHT {
            return None;
        }
        let left = limit.saturating_sub(now) as f64 / slope;
        (left <= Self::FARTHEST.as_secs_f64()).then(|| Duration::from_secs_f64(left))
    }
}

/// The slope of the straight line through points, and how much of their spread it explains (the square of the
/// correlation, 0 to 1); `None` where they do not spread in both directions.
#[expect(clippy::cast_precision_loss, reason = "there are thirty points at most")]
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let number = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / number;
    let (middle_x, middle_y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, y)| of(x - middle_x, y - middle_y)).sum::<f64>();
    let (spread_x, spread_y) = (sum(&|x, _| x * x), sum(&|_, y| y * y));
    let together = sum(&|x, y| x * y);
    (spread_x > 0.0 && spread_y > 0.0).then(|| (together / spread_x, together * together / (spread_x * spread_y)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forecast(counts: &[u64]) -> Forecast {
        let mut forecast = Forecast::default();
        for (index, count) in counts.iter().enumerate() {
            let seconds = 30 * i64::try_from(index).unwrap();
            forecast.add(Timestamp::from_unix_seconds(1_800_000_000 + seconds), *count);
        }
        forecast
    }

    #[test]
    fn a_steady_rise_is_carried_on() {
        // Ten clients in thirty seconds, and a hundred places left.
        let rising = forecast(&[860, 870, 880, 890, 900]);
        assert_eq!(rising.exhaustion(1000).map(|left| left.as_secs()), Some(300));
        assert_eq!(rising.exhaustion(900), Some(Duration::ZERO));
    }

    #[test]
    fn what_does_not_rise_steadily_has_no_end() {
        for counts in [&[900; 6][..], &[900, 890, 880, 870, 860], &[10, 900, 20, 890, 30, 880, 40], &[860, 870, 880]] {
            assert_eq!(forecast(counts).exhaustion(1000), None, "{counts:?}");
        }
        let slow = forecast(&[100, 100, 100, 101, 101, 101]);
        assert_eq!(slow.exhaustion(40_000), None, "more than a week away");
    }

    proptest! {
        #[test]
        fn any_counts_are_borne(counts in proptest::collection::vec(any::<u32>(), 0..60), limit in any::<u32>()) {
            let counts: Vec<_> = counts.into_iter().map(u64::from).collect();
            let _ = forecast(&counts).exhaustion(limit.into());
        }
    }
}
