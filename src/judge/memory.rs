//! What a judgement needs to know of earlier rounds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::forecast::Forecast;
use super::{describe, lenient};
use crate::model::{
    AddressClass, Cache, CacheName, Clients, Event, EventKind, FaultKind, LookupReport, ProbeReport, Resolution,
    ResolverName, Timestamp, WireText,
};

/// What is remembered of one cache.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) persisted: Persisted,
    /// What was last seen before a time without a daemon, and when that time began; until it is seen again.
    unwatched: BTreeMap<Subject, Timestamp>,
    /// The clients against their limit, and when they were last counted.
    pub(super) clients: Option<(Timestamp, Clients)>,
    /// Where the number of clients leads.
    pub(super) forecast: Forecast,
}

/// What must outlive the program. It changes only where something else was seen than before, so that a healthy cache
/// writes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Persisted {
    #[serde(default, deserialize_with = "lenient::map")]
    resolvers: BTreeMap<ResolverName, Known>,
    #[serde(default, deserialize_with = "lenient::part")]
    certificate: Option<Since<(WireText, WireText)>>,
    /// The process behind the cache and how many connections it had rejected.
    #[serde(default, deserialize_with = "lenient::part")]
    pub(super) rejected: Option<(Option<WireText>, u64)>,
}

/// What is known of one resolver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// What counts as right; `None` before the first good answer.
    #[serde(default, deserialize_with = "lenient::part")]
    pub(super) baseline: Option<Baseline>,
    /// Where the last answer led, good or not, in order of value; empty where it led nowhere.
    #[serde(default, deserialize_with = "lenient::part")]
    pub(super) addresses: Option<Since<Vec<IpAddr>>>,
    /// Why the last answer led nowhere, where it did.
    #[serde(default, deserialize_with = "lenient::part")]
    nowhere: Option<WireText>,
    /// The aliases of the last answer that led somewhere.
    #[serde(default, deserialize_with = "lenient::part")]
    chain: Option<Since<Vec<WireText>>>,
}

/// The addresses that count as right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// In order of value; empty where a person accepted that the name leads nowhere.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether a person said so.
    pub(super) accepted: bool,
    /// Since when they do.
    pub(super) since: Timestamp,
}

/// A state, and since when it has been seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Since<T> {
    pub(super) value: T,
    pub(super) since: Timestamp,
}

/// What a change is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Addresses(ResolverName),
    Chain(ResolverName),
    Certificate,
}

/// There is nothing to accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no resolver has answered for cache {0} yet, so there is nothing to accept; wait for its first probe")]
pub struct NothingToAccept(CacheName);

impl Memory {
    /// A memory that goes on where another one ended; `last_alive` is when that one last learned.
    pub(super) fn restore(persisted: Persisted, last_alive: Option<Timestamp>) -> Self {
        let mut subjects: Vec<_> = persisted.resolvers.keys().cloned().map(Subject::Addresses).collect();
        subjects.extend(persisted.resolvers.keys().cloned().map(Subject::Chain));
        subjects.push(Subject::Certificate);
        let unwatched = last_alive.map(|at| subjects.into_iter().map(|subject| (subject, at)).collect());
        Self { persisted, unwatched: unwatched.unwrap_or_default(), ..Self::default() }
    }

    /// Takes up what another memory had kept before this one began. Its baseline is right, unless a person has said
    /// otherwise since; and what it saw last is what the next answer is held to.
    pub(super) fn take_up(&mut self, persisted: Persisted, last_alive: Option<Timestamp>, has_told: bool) {
        let earlier = Self::restore(persisted, last_alive);
        for (resolver, before) in earlier.persisted.resolvers {
            let known = self.persisted.resolvers.entry(resolver).or_default();
            let said = known.baseline.as_ref().filter(|baseline| baseline.accepted).map(|baseline| baseline.since);
            let is_older = |before: &Baseline| said.is_none_or(|said| before.since >= said);
            if let Some(baseline) = before.baseline.filter(is_older) {
                known.baseline = Some(baseline);
            }
            if !has_told {
                known.nowhere = before.nowhere;
                known.addresses = before.addresses.or_else(|| known.addresses.take());
                known.chain = before.chain.or_else(|| known.chain.take());
            }
        }
        if !has_told {
            self.persisted.certificate = earlier.persisted.certificate.or_else(|| self.persisted.certificate.take());
            self.unwatched = earlier.unwatched;
        }
        self.persisted.rejected = self.persisted.rejected.take().or(earlier.persisted.rejected);
    }

    /// What is known of a resolver.
    pub(super) fn of(&self, resolver: &ResolverName) -> Option<&Known> {
        self.persisted.resolvers.get(resolver)
    }

    /// Takes in what the resolvers said: sets a baseline where there is none, and tells what changed. A resolver that
    /// fails has said nothing.
    pub(super) fn learn_answers(&mut self, cache: &Cache, lookup: &LookupReport) -> Vec<Event> {
        let answers = || lookup.resolutions.iter();
        let is_asked = |name: &ResolverName| cache.resolvers.iter().any(|resolver| resolver.name() == *name);
        // What a resolver said that is asked no more will be of no use to anybody.
        self.persisted.resolvers.retain(|name, _| is_asked(name) || answers().any(|answer| answer.resolver == *name));
        let mut events = Vec::new();
        for resolution in answers().filter(|resolution| is_answer(resolution)) {
            // Of more addresses than are kept, others may be kept each time.
            if resolution.addresses_dropped == 0 {
                self.learn_addresses(cache, lookup, resolution, &mut events);
            }
            if !resolution.addresses.is_empty() {
                self.learn_chain(lookup, resolution, &mut events);
            }
        }
        events
    }

    /// Takes in what the server showed, and tells what changed. Nothing is learned from what a round did not see.
    pub(super) fn learn_server(&mut self, cache: &Cache, report: &ProbeReport) -> Vec<Event> {
        if let Some((_, server, clients)) = cache.busiest(report) {
            if let Some(rejected) = server.rejected_connections {
                self.persisted.rejected = Some((server.run_id.clone(), rejected));
            }
            if let Some(clients) = clients {
                self.clients = Some((report.lookup.at, clients));
                self.forecast.add(report.lookup.at, clients.connected);
            }
        }
        self.learn_certificate(report).into_iter().collect()
    }

    /// Accepts the last answer of every resolver as its baseline.
    pub(super) fn accept(&mut self, cache: &Cache, at: Timestamp) -> Result<Vec<Event>, NothingToAccept> {
        let answered = self.persisted.resolvers.iter_mut().filter(|(_, known)| known.addresses.is_some());
        let mut answered = answered.peekable();
        if answered.peek().is_none() {
            return Err(NothingToAccept(cache.name.clone()));
        }
        Ok(answered.filter_map(|(resolver, known)| known.accept(cache, resolver, at)).collect())
    }

    fn learn_addresses(
        &mut self,
        cache: &Cache,
        lookup: &LookupReport,
        resolution: &Resolution,
        events: &mut Vec<Event>,
    ) {
        let resolver = &resolution.resolver;
        let unwatched = self.unwatched.remove(&Subject::Addresses(resolver.clone()));
        let known = self.persisted.resolvers.entry(resolver.clone()).or_default();
        let now = resolution.sorted_addresses();
        let is_right = known.baseline.is_some() && !known.has_left(&now);
        if !is_right && accepts(cache, known.baseline.as_ref(), &now) {
            known.baseline = Some(Baseline { addresses: now.clone(), accepted: false, since: lookup.at });
        }
        let shown_before = known.shown();
        known.nowhere = describe::nowhere(resolution).map(|words| WireText::new(&words));
        if let Some(before) = Since::turn(&mut known.addresses, now, lookup.at) {
            let event = changed(lookup, EventKind::AddressesChanged, before.since, unwatched);
            let event = event.change(&shown_before, &known.shown());
            events.push(seen_by(event, resolution));
        }
    }

    fn learn_chain(&mut self, lookup: &LookupReport, resolution: &Resolution, events: &mut Vec<Event>) {
        let resolver = &resolution.resolver;
        let unwatched = self.unwatched.remove(&Subject::Chain(resolver.clone()));
        let known = self.persisted.resolvers.entry(resolver.clone()).or_default();
        // Some servers answer in the letters of the question, and some in their own: it is the same name.
        let lower = |name: &WireText| WireText::new(&name.as_str().to_ascii_lowercase());
        let chain: Vec<_> = resolution.chain.iter().map(|alias| lower(&alias.target)).collect();
        let shown = |chain: &[WireText]| match chain {
            [] => "no alias".to_owned(),
            names => names.iter().map(WireText::as_str).collect::<Vec<_>>().join(" → "),
        };
        let now = shown(&chain);
        if let Some(before) = Since::turn(&mut known.chain, chain, lookup.at) {
            let event = changed(lookup, EventKind::ChainChanged, before.since, unwatched);
            events.push(seen_by(event.change(&shown(&before.value), &now), resolution));
        }
    }

    fn learn_certificate(&mut self, report: &ProbeReport) -> Option<Event> {
        let leaf = report.used_legs().find_map(|leg| leg.tls.as_ref()).and_then(|tls| tls.leaf())?;
        let unwatched = self.unwatched.remove(&Subject::Certificate);
        let now = (leaf.issuer.clone(), leaf.serial.clone());
        let shown = |(issuer, serial): &(WireText, WireText)| format!("{issuer}, serial {serial}");
        let after = shown(&now);
        let before = Since::turn(&mut self.persisted.certificate, now, report.lookup.at)?;
        let event = changed(&report.lookup, EventKind::CertificateChanged, before.since, unwatched);
        Some(event.change(&shown(&before.value), &after))
    }
}

impl Baseline {
    /// `10.20.1.4, right since 2026-11-21T08:00:00.000Z`.
    pub(super) fn describe(&self) -> String {
        let by = if self.accepted { ", accepted by a person" } else { "" };
        format!("{}{by}, right since {}", listed(&self.addresses), self.since)
    }
}

impl Known {
    /// Whether an answer leads elsewhere than the baseline. A part of the baseline is not elsewhere: a server may show
    /// some of many addresses at a time.
    pub(super) fn has_left(&self, now: &[IpAddr]) -> bool {
        let Some(baseline) = &self.baseline else { return false };
        now.is_empty() && !baseline.addresses.is_empty() || now.iter().any(|now| !baseline.addresses.contains(now))
    }

    /// Whether an answer leads to a public address, and the baseline into a network.
    pub(super) fn has_gone_public(&self, now: &[IpAddr]) -> bool {
        let Some(Baseline { addresses, .. }) = &self.baseline else { return false };
        let was_inside = addresses.iter().all(|address| AddressClass::of(*address).is_inside_a_network());
        let mut strangers = now.iter().filter(|now| !addresses.contains(now));
        !addresses.is_empty()
            && was_inside
            && strangers.any(|address| AddressClass::of(*address) == AddressClass::Public)
    }

    /// Whether a person said that this answer is right.
    pub(super) fn is_accepted(&self, now: &[IpAddr]) -> bool {
        self.baseline.as_ref().is_some_and(|baseline| baseline.accepted) && !self.has_left(now)
    }

    /// The last answer becomes the baseline. Nothing is told where it was accepted before.
    fn accept(&mut self, cache: &Cache, resolver: &ResolverName, at: Timestamp) -> Option<Event> {
        let now = self.addresses.as_ref()?.value.clone();
        let event = Event::new(at, Some(cache.name.clone()), EventKind::BaselineAccepted).by(resolver);
        let Some(before) = self.baseline.take() else {
            self.baseline = Some(Baseline { addresses: now, accepted: true, since: at });
            return Some(event.now(&self.shown()));
        };
        let is_same = before.addresses == now;
        let since = if is_same { before.since } else { at };
        self.baseline = Some(Baseline { addresses: now, accepted: true, since });
        if is_same && before.accepted {
            return None;
        }
        let mut event = event.change(&listed(&before.addresses), &self.shown());
        event.lasted = Some(at.since(before.since));
        Some(event)
    }

    /// The last answer: `10.0.0.4, 10.0.0.5`, or why there was no address.
    fn shown(&self) -> String {
        let addresses = self.addresses.as_ref().map_or_else(String::new, |addresses| listed(&addresses.value));
        match &self.nowhere {
            Some(words) => format!("no address ({words})"),
            None => addresses,
        }
    }
}

impl<T: PartialEq> Since<T> {
    /// Takes what is seen now; gives what was seen before, where that is something else.
    fn turn(known: &mut Option<Self>, value: T, at: Timestamp) -> Option<Self> {
        match known {
            Some(known) if known.value == value => None,
            _ => known.replace(Self { value, since: at }),
        }
    }
}

/// A change in this round of what had been seen `since`. After a time without a daemon, it is known to have held only
/// until that time began.
fn changed(lookup: &LookupReport, kind: EventKind, since: Timestamp, unwatched: Option<Timestamp>) -> Event {
    let event = Event::new(lookup.at, Some(lookup.cache.clone()), kind);
    let event = Event { lasted: Some(unwatched.unwrap_or(lookup.at).since(since)), ..event };
    match unwatched {
        Some(since) => event.unwatched(since, "the change fell into this gap"),
        None => event,
    }
}

/// The event, with the resolver that answered ahead of its other evidence.
fn seen_by(event: Event, resolution: &Resolution) -> Event {
    let mut event = event.by(&resolution.resolver);
    event.evidence.insert(0, WireText::new(&describe::who(resolution)));
    event
}

/// Whether an answer becomes the baseline: the first good one does, and any that the configuration names.
fn accepts(cache: &Cache, baseline: Option<&Baseline>, addresses: &[IpAddr]) -> bool {
    let good = !addresses.is_empty() && addresses.iter().all(|address| cache.expectation.admits(*address));
    let named = !cache.expectation.addresses.is_empty();
    let public_to_public = |baseline: &[IpAddr]| {
        let all_public =
            |addresses: &[IpAddr]| addresses.iter().all(|address| AddressClass::of(*address) == AddressClass::Public);
        !cache.expectation.is_private() && all_public(baseline) && all_public(addresses)
    };
    // A public cache may move: Azure changes its public address on scaling and patching. A baseline without an address
    // is left by any, and by a good one for good.
    let replaces =
        |baseline: &Baseline| named || baseline.addresses.is_empty() || public_to_public(&baseline.addresses);
    good && baseline.is_none_or(replaces)
}

/// Whether a lookup told where the name leads, be it nowhere.
pub(super) fn is_answer(resolution: &Resolution) -> bool {
    let nowhere = [FaultKind::NameNotFound, FaultKind::NoAddress];
    resolution.fault.as_ref().is_none_or(|fault| nowhere.contains(&fault.kind))
}

/// `10.0.0.4, 10.0.0.5`, or `no address`.
pub(super) fn listed(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "no address".to_owned(),
        addresses => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
