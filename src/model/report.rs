//! What one lookup saw, and what one probe saw.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{
    AddressClass, Cache, CacheName, ExposureReport, Fault, FaultKind, Opening, Resolution, ServerFacts, Stage,
    Timestamp, Timings, TlsSession, seconds,
};

/// What the resolvers said about the name of one cache.
///
/// Invariant: a lookup never fails to report; failure is its subject.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupReport {
    /// Which cache.
    pub cache: CacheName,
    /// When the first question was asked.
    pub at: Timestamp,
    /// How long until the last resolver had answered.
    pub took: Duration,
    /// What each resolver said, in the order of the cache's resolvers; the first is the one followed.
    pub resolutions: Vec<Resolution>,
    /// Why there is nothing else to report: the observation itself broke.
    pub fault: Option<Fault>,
}

impl LookupReport {
    /// A lookup that has asked no resolver yet.
    #[must_use]
    pub fn new(cache: &Cache, at: Timestamp) -> Self {
        Self { cache: cache.name.clone(), at, took: Duration::ZERO, resolutions: Vec::new(), fault: None }
    }

    /// The resolution that an application would follow.
    #[must_use]
    pub fn followed(&self) -> Option<&Resolution> {
        self.resolutions.first()
    }

    /// Whether both lead the same way, however long the answers took and however long they may be kept.
    #[must_use]
    pub fn leads_as(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Resolution, &Resolution)| one.leads_as(other);
        self.fault == other.fault
            && self.resolutions.len() == other.resolutions.len()
            && self.resolutions.iter().zip(&other.resolutions).all(is_same)
    }

    /// The faults that keep an application from an address.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.fault.iter().chain(self.followed().and_then(|resolution| resolution.fault.as_ref()))
    }

    /// Every fault, also of the resolvers that are not followed.
    pub fn every_fault(&self) -> impl Iterator<Item = &Fault> {
        self.fault.iter().chain(self.resolutions.iter().filter_map(|resolution| resolution.fault.as_ref()))
    }
}

/// One walk along the path to one cache.
///
/// Invariant: a probe never fails to report; failure is its subject.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeReport {
    /// Its first part: where the name leads.
    pub lookup: LookupReport,
    /// How long the whole walk took.
    pub took: Duration,
    /// One leg per address of the resolution followed.
    pub legs: Vec<Leg>,
    /// Whether the control target answered; `None` where it was not asked, because an address was reached or none is set.
    pub control_reached: Option<bool>,
    /// What was tested beside the path; `None` where this round tested nothing.
    pub exposure: Option<ExposureReport>,
}

impl ProbeReport {
    /// A walk of these legs, as far as nothing else was tested; it took as long as its lookup.
    #[must_use]
    pub fn new(lookup: LookupReport, legs: Vec<Leg>) -> Self {
        Self { took: lookup.took, lookup, legs, control_reached: None, exposure: None }
    }

    /// The legs an application would use: all but those of an address family this machine does not have.
    pub fn used_legs(&self) -> impl Iterator<Item = &Leg> {
        let every_one_is_unavailable = self.legs.iter().all(Leg::is_of_unavailable_family);
        self.legs.iter().filter(move |leg| every_one_is_unavailable || !leg.is_of_unavailable_family())
    }

    /// Whether any address accepted a connection.
    #[must_use]
    pub fn reached_anything(&self) -> bool {
        self.legs.iter().any(|leg| leg.passed(Stage::Connect))
    }

    /// Whether every address answered PING.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.used_legs().next().is_some() && self.used_legs().all(|leg| leg.fault.is_none())
    }

    /// Whether any address wants a key, where none is given on purpose.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        self.used_legs().any(|leg| leg.wants_key)
    }

    /// Whether something is open that should be closed; `None` where this round did not test for it or could not tell.
    ///
    /// Silence is a closed door only where the cache itself speaks: one that is frozen, full or out of reach from here has
    /// no open port at all, and that proves nothing.
    #[must_use]
    pub fn exposed(&self, opening: Opening) -> Option<bool> {
        let is_open = self.exposure.as_ref()?.verdict(opening)?;
        (is_open || self.used_legs().any(|leg| leg.passed(Stage::Tls))).then_some(is_open)
    }

    /// The faults that keep an application from the cache, the earliest stage first.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.lookup.faults().chain(self.used_legs().filter_map(|leg| leg.fault.as_ref()))
    }

    /// Every fault, also those that keep no application from the cache.
    pub fn every_fault(&self) -> impl Iterator<Item = &Fault> {
        self.lookup.every_fault().chain(self.legs.iter().flat_map(|leg| leg.fault.iter().chain(&leg.notes)))
    }
}

/// How a report is written down. A lookup is written as a report that has no legs.
#[derive(Serialize)]
struct ReportDocument<'report> {
    cache: &'report CacheName,
    at: Timestamp,
    #[serde(serialize_with = "seconds::serialize")]
    took_seconds: Duration,
    resolutions: &'report [Resolution],
    legs: &'report [Leg],
    fault: Option<&'report Fault>,
    control_reached: Option<bool>,
    exposure: Option<&'report ExposureReport>,
}

impl<'report> ReportDocument<'report> {
    fn of(lookup: &'report LookupReport) -> Self {
        let LookupReport { cache, at, took, resolutions, fault } = lookup;
        Self {
            cache,
            at: *at,
            took_seconds: *took,
            resolutions,
            legs: &[],
            fault: fault.as_ref(),
            control_reached: None,
            exposure: None,
        }
    }
}

impl Serialize for LookupReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ReportDocument::of(self).serialize(serializer)
    }
}

impl Serialize for ProbeReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { lookup, took, legs, control_reached, exposure } = self;
        let (control_reached, exposure) = (*control_reached, exposure.as_ref());
        ReportDocument { took_seconds: *took, legs, control_reached, exposure, ..ReportDocument::of(lookup) }
            .serialize(serializer)
    }
}

/// The walk to one address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leg {
    /// The resolved address.
    pub address: IpAddr,
    /// Its class.
    pub class: AddressClass,
    /// What was dialled; differs from the address where the operator redirects it.
    pub dialled: SocketAddr,
    /// How long each stage took, in seconds.
    #[serde(rename = "timings_seconds")]
    pub timings: Timings,
    /// The TLS session, also where its verification failed.
    pub tls: Option<TlsSession>,
    /// What the server says of itself.
    pub server: Option<ServerFacts>,
    /// Whether it answered that it wants a key, where none is given on purpose; nothing more is known of the server then.
    pub wants_key: bool,
    /// Why this address does not serve; `None` once it answered PING.
    pub fault: Option<Fault>,
    /// What went wrong without making the cache unreachable: a command denied, an INFO that never came.
    pub notes: Vec<Fault>,
}

impl Leg {
    /// A leg before its first step.
    #[must_use]
    pub fn new(address: IpAddr, dialled: SocketAddr) -> Self {
        Self {
            address,
            class: AddressClass::of(address),
            dialled,
            timings: Timings::default(),
            tls: None,
            server: None,
            wants_key: false,
            fault: None,
            notes: Vec::new(),
        }
    }

    /// What is said of a server that wants a key, where none is given on purpose.
    pub const WANTS_KEY: &'static str = "answers; it requires a key, and none is given here";

    /// Whether something else than the resolved address was dialled.
    #[must_use]
    pub fn is_redirected(&self, port: u16) -> bool {
        self.dialled != SocketAddr::new(self.address, port)
    }

    /// Whether the walk got past a stage.
    #[must_use]
    pub fn passed(&self, stage: Stage) -> bool {
        self.fault.as_ref().is_none_or(|fault| fault.stage > stage)
    }

    fn is_of_unavailable_family(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::FamilyUnavailable)
    }
}
