//! What a judgement needs to know of earlier rounds.

use std::net::IpAddr;

use super::forecast::Forecast;
use crate::model::{AddressClass, Cache, Clients, Event, EventKind, ProbeReport, Resolution, Timestamp, WireText};

/// What is remembered of one cache.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The addresses that are accepted as right, in order of their value; `None` before the first good answer.
    pub(super) baseline: Option<Vec<IpAddr>>,
    /// The last answer, good or not.
    last_addresses: Option<Vec<IpAddr>>,
    last_chain: Option<Vec<WireText>>,
    last_certificate: Option<(WireText, WireText)>,
    /// The process behind the cache and how many connections it had rejected.
    pub(super) rejected: Option<(Option<WireText>, u64)>,
    /// The clients against their limit, and when they were last counted.
    pub(super) clients: Option<(Timestamp, Clients)>,
    /// Where the number of clients leads.
    pub(super) forecast: Forecast,
}

impl Memory {
    /// Takes this round in: sets the baseline where there is none, and tells what changed. Nothing is learned from what
    /// a round did not see.
    pub(super) fn learn(&mut self, cache: &Cache, report: &ProbeReport) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(resolution) = report.followed().filter(|resolution| resolution.fault.is_none()) {
            self.learn_addresses(cache, report, resolution, &mut events);
            self.learn_chain(report, resolution, &mut events);
        }
        self.learn_certificate(report, &mut events);
        if let Some((_, server, clients)) = cache.busiest(report) {
            if let Some(rejected) = server.rejected_connections {
                self.rejected = Some((server.run_id.clone(), rejected));
            }
            if let Some(clients) = clients {
                self.clients = Some((report.at, clients));
                self.forecast.add(report.at, clients.connected);
            }
        }
        events
    }

    fn learn_addresses(
        &mut self,
        cache: &Cache,
        report: &ProbeReport,
        resolution: &Resolution,
        events: &mut Vec<Event>,
    ) {
        let addresses = resolution.sorted_addresses();
        if accepts(cache, self.baseline.as_deref(), &addresses) {
            self.baseline = Some(addresses.clone());
        }
        if let Some(before) = self.last_addresses.replace(addresses.clone())
            && before != addresses
        {
            let event = Event::new(report.at, Some(report.cache.clone()), EventKind::AddressesChanged);
            events.push(event.change(&listed(&before), &listed(&addresses)));
        }
    }

    fn learn_chain(&mut self, report: &ProbeReport, resolution: &Resolution, events: &mut Vec<Event>) {
        let chain: Vec<_> = resolution.chain.iter().map(|alias| alias.target.clone()).collect();
        let shown = |chain: &[WireText]| match chain {
            [] => "no alias".to_owned(),
            names => names.iter().map(WireText::as_str).collect::<Vec<_>>().join(" → "),
        };
        if let Some(before) = self.last_chain.replace(chain.clone())
            && before != chain
        {
            let event = Event::new(report.at, Some(report.cache.clone()), EventKind::ChainChanged);
            events.push(event.change(&shown(&before), &shown(&chain)));
        }
    }

    fn learn_certificate(&mut self, report: &ProbeReport, events: &mut Vec<Event>) {
        let leaf = report.used_legs().find_map(|leg| leg.tls.as_ref()).and_then(|tls| tls.leaf());
        let Some(leaf) = leaf else { return };
        let now = (leaf.issuer.clone(), leaf.serial.clone());
        if let Some(before) = self.last_certificate.replace(now.clone())
            && before != now
        {
            let shown = |(issuer, serial): &(WireText, WireText)| format!("{issuer}, serial {serial}");
            let event = Event::new(report.at, Some(report.cache.clone()), EventKind::CertificateChanged);
            events.push(event.change(&shown(&before), &shown(&now)));
        }
    }
}

/// Whether an answer becomes the baseline: the first good one does, and any that the configuration names.
fn accepts(cache: &Cache, baseline: Option<&[IpAddr]>, addresses: &[IpAddr]) -> bool {
    let good = !addresses.is_empty() && addresses.iter().all(|address| cache.expectation.admits(*address));
    let named = !cache.expectation.addresses.is_empty();
    let public_to_public = |baseline: &[IpAddr]| {
        let all_public =
            |addresses: &[IpAddr]| addresses.iter().all(|address| AddressClass::of(*address) == AddressClass::Public);
        !cache.expectation.is_private() && all_public(baseline) && all_public(addresses)
    };
    // A public cache may move: Azure changes its public address on scaling and patching.
    good && baseline.is_none_or(|baseline| named || public_to_public(baseline))
}

/// `10.0.0.4, 10.0.0.5`.
pub(super) fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
