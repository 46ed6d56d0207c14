//! A moment of wall-clock time.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01 UTC. Shown as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z: a certificate may claim any year.
const LAST_SECOND: u64 = 253_402_300_799;

impl Timestamp {
    /// From seconds since 1970; a moment before 1970 reads as 1970, one after the year 9999 as its last second.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND) * 1000)
    }

    /// From the system's clock, cut to the millisecond.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX).min(LAST_SECOND * 1000))
    }

    /// From milliseconds since 1970; one after the year 9999 reads as its last second.
    #[must_use]
    pub fn from_unix_millis(millis: u64) -> Self {
        Self(millis.min(LAST_SECOND * 1000))
    }

    /// What is said of words that [`Timestamp::said`] does not read.
    pub const NOT_SAID: &'static str = "not a duration, such as 24h, and not a time, such as 2026-11-21T12:00:00Z";

    /// A moment as a person says it at `now`: how long ago, such as `24h`, a day, or in RFC 3339.
    #[must_use]
    pub fn said(text: &str, now: Self) -> Option<Self> {
        let ago = humantime::parse_duration(text).map(|ago| now.minus(ago));
        let day = || humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z"));
        ago.ok().or_else(|| humantime::parse_rfc3339_weak(text).or_else(|_| day()).map(Self::from_system_time).ok())
    }

    /// Milliseconds since 1970, for a row of a table.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Seconds since 1970, for a metric.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit 53 bits until the year 287396")]
    pub fn unix_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The time from `earlier` to this moment; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment, `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)).min(LAST_SECOND * 1000))
    }

    /// This moment, `by` earlier; 1970 where that is before it.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The date alone, `2026-11-21`.
    #[must_use]
    pub fn date(self) -> String {
        let mut text = self.to_string();
        text.truncate(10);
        text
    }

    /// The time of day alone, `12:03:11`.
    #[must_use]
    pub fn clock(self) -> String {
        self.to_string().chars().skip(11).take(8).collect()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_millis(self.0);
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

impl FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_rfc3339_weak(text).map(Self::from_system_time)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_moment_can_be_written() {
        assert_eq!(Timestamp::from_unix_seconds(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_seconds(-5).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX).date(), "9999-12-31");
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX).plus(Duration::MAX).date(), "9999-12-31");
    }

    #[test]
    fn a_moment_is_said_from_now_or_in_full() {
        let now = Timestamp::from_unix_seconds(1_795_000_000);
        assert_eq!(Timestamp::said("24h", now), Some(now.minus(Duration::from_hours(24))));
        assert_eq!(Timestamp::said("2026-11-18T11:06:40Z", now), Some(now));
        assert_eq!(Timestamp::said("2026-11-18 11:06:40", now), Some(now));
        assert_eq!(Timestamp::said("2026-11-18", now).map(Timestamp::date).as_deref(), Some("2026-11-18"));
        assert_eq!(["", "24", "yesterday", "2026-11"].map(|text| Timestamp::said(text, now)), [None; 4]);
    }

    #[test]
    fn what_is_written_reads_back() {
        for at in [Timestamp::from_unix_millis(0), Timestamp::from_unix_millis(1_795_000_000_123)] {
            let text = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at, "{text}");
        }
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
