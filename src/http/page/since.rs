//! What a page left open knows already: the answer to `?since=` leaves that out.
//! Nothing is kept for a browser. The page says which revision of the board it shows, and gets back, in its place, the
//! empty element of every row that is the same.

use std::fmt;

use super::components;
use crate::model::{ProbeReport, Standing, Timestamp};
use crate::sink::{CacheState, Snapshot};

/// A state of the board, and the time at which it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RevisionToken {
    epoch: u64,
    revision: u64,
    at: Timestamp,
}

impl RevisionToken {
    /// What a page shows that is made of `snapshot` at `now`.
    pub(super) fn of(snapshot: &Snapshot, now: Timestamp) -> Self {
        Self { epoch: snapshot.epoch, revision: snapshot.revision, at: now }
    }

    /// Reads `since`; `None` where all must be sent: the request names no revision, or one of an earlier run, or something
    /// changed that is of no single cache.
    pub(super) fn read(parameters: &[(String, String)], snapshot: &Snapshot) -> Option<Self> {
        let (_, text) = parameters.iter().find(|(name, _)| name == "since")?;
        let mut parts = text.splitn(3, '-');
        let epoch = u64::from_str_radix(parts.next()?, 16).ok()?;
        let revision = parts.next()?.parse().ok()?;
        let at = Timestamp::said(parts.next()?, Timestamp::from_unix_seconds(0))?;
        let is_ours = epoch == snapshot.epoch && (snapshot.settled..=snapshot.revision).contains(&revision);
        is_ours.then_some(Self { epoch, revision, at })
    }

    /// Whether what is shown of a cache is still the same at `now`. Time alone changes little: whether a report still
    /// proves something, and the days of a certificate.
    pub(super) fn covers(self, watched: &CacheState, now: Timestamp) -> bool {
        watched.revision <= self.revision && aged(watched, self.at) == aged(watched, now)
    }
}

fn aged(watched: &CacheState, now: Timestamp) -> (Standing, Option<i64>) {
    let report: Option<&ProbeReport> = watched.report.as_deref();
    (watched.standing(now), report.and_then(|report| components::certificate_days(report, now)))
}

impl fmt::Display for RevisionToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}-{}-{}", self.epoch, self.revision, self.at)
    }
}
