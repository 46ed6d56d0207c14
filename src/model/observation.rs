//! What was seen of a cache: a closed list of kinds, each with a report of its own.

use std::sync::Arc;
use std::time::Duration;

use super::{Cache, Fault, FaultKind, LookupReport, ProbeReport, Stage, Timestamp, vocabulary};

/// One observation of one cache. Who takes one in asks it for the parts it needs, and so passes over a kind that has none.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// The whole path was walked.
    Probe(Arc<ProbeReport>),
    /// The name was looked up between two probes, and nothing beyond.
    Lookup(Arc<LookupReport>),
}

vocabulary! {
    /// The kinds of observation.
    pub enum ObservationKind {
        /// The whole path.
        Probe = "probe",
        /// Where the name leads, and nothing beyond.
        Lookup = "lookup",
    }
}

impl Observation {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ObservationKind {
        match self {
            Self::Probe(_) => ObservationKind::Probe,
            Self::Lookup(_) => ObservationKind::Lookup,
        }
    }

    /// When it began.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Probe(report) => report.lookup.at,
            Self::Lookup(report) => report.at,
        }
    }

    /// How long it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        match self {
            Self::Probe(report) => report.took,
            Self::Lookup(report) => report.took,
        }
    }

    /// What was seen of the path; `None` where it was not walked.
    #[must_use]
    pub fn probe(&self) -> Option<&Arc<ProbeReport>> {
        match self {
            Self::Probe(report) => Some(report),
            Self::Lookup(_) => None,
        }
    }

    /// What the resolvers said, also where that was the first part of a probe; `None` where none was asked.
    #[must_use]
    pub fn lookup(&self) -> Option<&LookupReport> {
        match self {
            Self::Probe(report) => Some(&report.lookup),
            Self::Lookup(report) => Some(report),
        }
    }

    /// The first fault that keeps an application from the cache, as far as this observation goes.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Probe(report) => report.faults().next(),
            Self::Lookup(report) => report.faults().next(),
        }
    }

    /// Every fault, also those that keep no application from the cache.
    pub fn every_fault(&self) -> impl Iterator<Item = &Fault> {
        let (probe, lookup) = match self {
            Self::Probe(report) => (Some(report.every_fault()), None),
            Self::Lookup(report) => (None, Some(report.every_fault())),
        };
        probe.into_iter().flatten().chain(lookup.into_iter().flatten())
    }

    /// What is reported of an observation that panicked: a defect of this program, and all that is known.
    #[must_use]
    pub fn broken(kind: ObservationKind, cache: &Cache, at: Timestamp) -> Self {
        let words = format!("the {kind} itself failed; this is a defect of cachewatch, the log has the panic");
        let fault = Some(Fault::new(Stage::Resolve, FaultKind::Internal, words));
        let lookup = LookupReport { fault, ..LookupReport::new(cache, at) };
        match kind {
            ObservationKind::Probe => Self::Probe(Arc::new(ProbeReport::new(lookup, Vec::new()))),
            ObservationKind::Lookup => Self::Lookup(Arc::new(lookup)),
        }
    }
}

impl ObservationKind {
    /// The kinds of which an observation of this kind tells everything: a probe begins with a lookup.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self == other || (self, other) == (Self::Probe, Self::Lookup)
    }
}
