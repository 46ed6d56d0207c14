//! An event: a moment, where a finding is a condition.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{CacheName, FindingId, ResolverName, Severity, Timestamp, WireText, seconds, vocabulary};

vocabulary! {
    /// What happened.
    pub enum EventKind {
        /// A finding opened.
        FindingOpened = "finding_opened",
        /// An open finding became better or worse.
        FindingChanged = "finding_changed",
        /// A finding cleared.
        FindingCleared = "finding_cleared",
        /// The name leads to other addresses than before.
        AddressesChanged = "addresses_changed",
        /// The name leads through other aliases than before.
        ChainChanged = "chain_changed",
        /// The server presents another certificate than before.
        CertificateChanged = "certificate_changed",
        /// An operator accepted the addresses that a resolver gives now.
        BaselineAccepted = "baseline_accepted",
        /// The daemon watches a cache from now on.
        CacheAdded = "cache_added",
        /// The daemon watches a cache no longer.
        CacheRemoved = "cache_removed",
        /// The configuration was read again.
        ConfigReloaded = "config_reloaded",
        /// A new configuration was refused; the old one stays.
        ConfigRejected = "config_rejected",
        /// The journal's file was broken, and set aside, or was taken away; another one was begun.
        JournalSetAside = "journal_set_aside",
        /// The daemon runs again after a time in which it did not: its process was stopped, or its machine suspended.
        Resumed = "resumed",
        /// The clock moved on by more than a day beyond the time that passed.
        ClockJumped = "clock_jumped",
        /// The daemon started.
        Started = "started",
        /// The daemon stops.
        Stopping = "stopping",
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Event {
    /// When it was seen.
    pub at: Timestamp,
    /// At which cache; `None` where it concerns the daemon.
    pub cache: Option<CacheName>,
    /// What happened.
    pub kind: EventKind,
    /// Which finding, where the event is about one.
    pub finding: Option<FindingId>,
    /// Its severity, where the event is about a finding.
    pub severity: Option<Severity>,
    /// By which resolver it was seen, where it is about an answer.
    pub resolver: Option<ResolverName>,
    /// How it was before.
    pub before: Option<WireText>,
    /// How it is now.
    pub after: Option<WireText>,
    /// How long it had been as it was before, where that is known.
    #[serde(rename = "before_lasted_seconds", with = "seconds::option")]
    pub lasted: Option<Duration>,
    /// Since when nothing was watched, where it fell into such a gap, which ends with the event itself. It is written as
    /// a line of evidence, and has no place of its own in any document.
    #[serde(skip)]
    pub unwatched_since: Option<Timestamp>,
    /// What it rests on, one observation a line.
    pub evidence: Vec<WireText>,
}

impl Event {
    /// An event with nothing but its time, cache and kind.
    #[must_use]
    pub fn new(at: Timestamp, cache: Option<CacheName>, kind: EventKind) -> Self {
        Self {
            at,
            cache,
            kind,
            finding: None,
            severity: None,
            resolver: None,
            before: None,
            after: None,
            lasted: None,
            unwatched_since: None,
            evidence: Vec::new(),
        }
    }

    /// This event, with how it is now.
    #[must_use]
    pub fn now(self, after: &str) -> Self {
        Self { after: Some(WireText::new(after)), ..self }
    }

    /// This event, with how it was before and how it is now.
    #[must_use]
    pub fn change(self, before: &str, after: &str) -> Self {
        Self { before: Some(WireText::new(before)), after: Some(WireText::new(after)), ..self }
    }

    /// This event, with the resolver by which it was seen.
    #[must_use]
    pub fn by(self, resolver: &ResolverName) -> Self {
        Self { resolver: Some(resolver.clone()), ..self }
    }

    /// This event, with one more line of evidence.
    #[must_use]
    pub fn evidence(mut self, line: &str) -> Self {
        self.evidence.push(WireText::new(line));
        self
    }

    /// This event, with since when nothing was watched, and what that says of it.
    #[must_use]
    pub fn unwatched(self, since: Timestamp, so: &str) -> Self {
        let line = format!("{UNWATCHED}{since} to {}: {so}", self.at);
        Self { unwatched_since: Some(since), ..self }.evidence(&line)
    }

    /// This event as it is read back, with what only its evidence says.
    #[must_use]
    pub fn read_back(self) -> Self {
        let since = |line: &WireText| line.as_str().strip_prefix(UNWATCHED)?.split_once(" to ")?.0.parse().ok();
        Self { unwatched_since: self.evidence.iter().find_map(since), ..self }
    }
}

/// What the line of evidence begins with that says since when nothing was watched.
const UNWATCHED: &str = "not watched from ";

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer).map(Self::read_back)
    }
}

/// Which events are asked for. All conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of this cache.
    pub cache: Option<CacheName>,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// About this finding.
    pub finding: Option<FindingId>,
    /// With an id above this one.
    pub after: Option<u64>,
    /// With an id below this one.
    pub before: Option<u64>,
    /// In which order; it also says which ones are left out where there are more than `limit`.
    pub order: EventOrder,
    /// At most so many.
    pub limit: usize,
}

/// The order of events, which is that of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrder {
    /// The latest first.
    Descending,
    /// The oldest first.
    Ascending,
}

impl EventQuery {
    /// The latest so many of all events, the latest first.
    #[must_use]
    pub fn latest(limit: usize) -> Self {
        Self {
            since: None,
            until: None,
            cache: None,
            kind: None,
            finding: None,
            after: None,
            before: None,
            order: EventOrder::Descending,
            limit,
        }
    }

    /// The first so many events after this one, the oldest first.
    #[must_use]
    pub fn following(id: u64, limit: usize) -> Self {
        Self { after: Some(id), order: EventOrder::Ascending, ..Self::latest(limit) }
    }

    /// Whether an event that has no id yet is asked for: it would have one above all others.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        self.before.is_none()
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
            && self.cache.as_ref().is_none_or(|cache| event.cache.as_ref() == Some(cache))
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.finding.is_none_or(|finding| event.finding == Some(finding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let at = Timestamp::from_unix_millis(1_795_000_000_123);
        let bare = Event::new(at, None, EventKind::Started);
        let full = Event {
            finding: Some(FindingId::DnsDrift),
            severity: Some(Severity::Degraded),
            lasted: Some(Duration::from_millis(1500)),
            ..Event::new(at, Some(CacheName::new("orders")), EventKind::AddressesChanged)
                .by(&ResolverName::new("hub"))
                .change("10.0.0.4", "20.1.2.3")
                .evidence("resolver hub: 10.0.0.2:53 over udp")
                .unwatched(at.minus(Duration::from_secs(15)), "the change fell into this gap")
        };
        for event in [bare, full] {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }

    #[test]
    fn a_gap_is_written_in_words_and_read_back() {
        let at = Timestamp::from_unix_millis(1_795_223_058_000);
        let event = Event::new(at, None, EventKind::AddressesChanged).evidence("resolver hub: 10.0.0.2:53 over udp");
        assert_eq!(event.clone().read_back().unwatched_since, None);
        let gap = event.clone().unwatched(at.minus(Duration::from_secs(15)), "the change fell into this gap");
        let words =
            "not watched from 2026-11-21T01:04:03.000Z to 2026-11-21T01:04:18.000Z: the change fell into this gap";
        assert_eq!(gap.evidence[1].as_str(), words);
        let value = serde_json::to_value(&gap).unwrap();
        assert_eq!(value.as_object().unwrap().len(), serde_json::to_value(&event).unwrap().as_object().unwrap().len());
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), gap);
    }
}
