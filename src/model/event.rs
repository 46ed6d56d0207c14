//! An event: a moment, where a finding is a condition.

use serde::Serialize;

use super::{CacheName, FindingId, Severity, Timestamp, WireText, vocabulary};

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
        /// The daemon watches a cache from now on.
        CacheAdded = "cache_added",
        /// The daemon watches a cache no longer.
        CacheRemoved = "cache_removed",
        /// The configuration was read again.
        ConfigReloaded = "config_reloaded",
        /// A new configuration was refused; the old one stays.
        ConfigRejected = "config_rejected",
        /// The daemon started.
        Started = "started",
        /// The daemon stops.
        Stopping = "stopping",
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// How it was before.
    pub before: Option<WireText>,
    /// How it is now.
    pub after: Option<WireText>,
}

impl Event {
    /// An event with nothing but its time, cache and kind.
    #[must_use]
    pub fn new(at: Timestamp, cache: Option<CacheName>, kind: EventKind) -> Self {
        Self { at, cache, kind, finding: None, severity: None, before: None, after: None }
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
}
