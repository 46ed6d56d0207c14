//! What the rounds of one cache make of its series.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use prometheus::IntCounter;

use super::families::Families;
use super::number::{count, large_count, truth};
use super::series::SeriesTracker;
use crate::azure;
use crate::model::{
    AddressClass, Cache, CacheName, Event, EventKind, Fault, FaultKind, Finding, FindingId, LookupReport, Opening,
    ProbeReport, Resolver, Round, Severity, Source, Stage, Timestamp, WireText,
};

/// What the node label says where the whole endpoint is meant and not one node behind it.
const ENDPOINT: &str = "endpoint";

/// The most `dns_address_info` series of one cache, over all its resolvers.
pub(super) const MOST_ADDRESSES: usize = 16;

/// The most characters of a version in a label.
pub(super) const LONGEST_VERSION: usize = 32;

/// One cache's series, and what must be remembered from round to round to count them.
pub(super) struct CacheSeries {
    series: SeriesTracker,
    /// Every finding that was ever open, with its severity then.
    findings: BTreeSet<(FindingId, Severity)>,
    /// The address whose server's rejected connections are followed.
    followed: Option<IpAddr>,
    /// Until when the last report speaks of now.
    valid_until: Option<Timestamp>,
}

impl CacheSeries {
    pub(super) fn new(cache: CacheName) -> Self {
        Self { series: SeriesTracker::new(cache), findings: BTreeSet::new(), followed: None, valid_until: None }
    }

    /// Makes the series that must exist before the first probe, and drops those of resolvers no longer asked.
    pub(super) fn configure(&mut self, families: &Families, cache: &Cache) {
        let endpoint = azure::identify(&cache.host);
        let series = &mut self.series;
        series.forget(&families.cache_info, |_| true);
        let port = cache.port.to_string();
        let info = families.cache_info(
            &cache.host,
            &port,
            endpoint.product,
            endpoint.cloud,
            cache.tier.as_ref().map_or("", |(name, _)| name),
            cache.expectation.isolation.map_or("", |isolation| isolation.as_str()),
        );
        series.persistent(info).set(1.0);
        series.forget(&families.retirement_timestamp_seconds, |_| true);
        if let Some(end) = azure::retirement(endpoint.product) {
            series.persistent(families.retirement_timestamp_seconds()).set(end.unix_seconds());
        }
        let is_tested = |opening: &str| Opening::parse(opening).is_some_and(|opening| cache.exposure.tests(opening));
        series.forget(&families.exposure_open, |labels| !is_tested(&labels[0]));
        series.persistent(families.probes_total()).inc_by(0);
        series.persistent(families.lookups_total()).inc_by(0);
        let _ = series.persistent(families.probe_duration_seconds());

        let resolvers: Vec<_> = cache.resolvers.iter().map(Resolver::name).collect();
        for resolver in &resolvers {
            series.persistent(families.dns_changes_total(resolver)).inc_by(0);
            let _ = series.persistent(families.dns_lookup_duration_seconds(resolver));
        }
        // Gauges of a resolver no longer asked go with the next round; what is kept must go here.
        let is_gone = |labels: &[Box<str>]| !resolvers.iter().any(|resolver| *resolver.as_str() == *labels[0]);
        series.forget(&families.dns_lookup_duration_seconds, is_gone);
        series.forget(&families.dns_lookup_failures_total, is_gone);
        series.forget(&families.dns_changes_total, is_gone);
        series.forget(&families.dns_last_change_timestamp_seconds, is_gone);
    }

    pub(super) fn observe(&mut self, families: &Families, round: &Round) {
        let is_unrecognised = |fault: &&Fault| fault.kind == FaultKind::Unrecognised;
        let unrecognised = round.seen.every_fault().filter(is_unrecognised).count();
        families.unrecognised_errors_total().inc_by(unrecognised as u64);
        self.series.persistent(families.count_of(round.seen.kind())).inc();
        if let Some(lookup) = round.seen.lookup() {
            self.names(families, &round.cache, lookup);
            self.changes(families, lookup, &round.events);
        }
        if let Some(report) = round.seen.probe() {
            self.valid_until = Some(report.lookup.at.plus(round.cache.report_lasts()));
            self.probe(families, report);
            self.addresses(families, report);
            self.tls(families, report);
            self.exposure(families, report);
            self.servers(families, &round.cache, report, round.verdict.exhaustion);
        }
        self.findings(families, &round.verdict.open, &round.events);
        self.series.sweep(round.seen.kind());
    }

    /// Whether the last report is too old to speak of `now`.
    pub(super) fn is_outdated(&self, now: Timestamp) -> bool {
        self.valid_until.is_some_and(|until| now > until)
    }

    /// What was seen is too old to be told.
    pub(super) fn expire(&mut self) {
        self.valid_until = None;
        self.series.expire();
    }

    fn probe(&mut self, families: &Families, report: &ProbeReport) {
        let series = &mut self.series;
        series.transient(families.probe_success()).set(truth(report.succeeded()));
        series.persistent(families.probe_duration_seconds()).observe(report.took.as_secs_f64());
        series.persistent(families.last_probe_timestamp_seconds()).set(report.lookup.at.unix_seconds());

        let failures: BTreeSet<_> = report.faults().map(|fault| (fault.stage, fault.kind)).collect();
        for (stage, kind) in failures {
            series.persistent(families.probe_failures_total(stage, kind)).inc();
        }

        let resolve = report.lookup.followed().map(|resolution| (Stage::Resolve, resolution.took));
        for (stage, took) in resolve.into_iter().chain(report.used_legs().flat_map(|leg| leg.timings.iter())) {
            series.persistent(families.stage_duration_seconds(stage)).observe(took.as_secs_f64());
        }
    }

    fn names(&mut self, families: &Families, cache: &Cache, lookup: &LookupReport) {
        let mut room = MOST_ADDRESSES;
        for resolution in &lookup.resolutions {
            let resolver = &resolution.resolver;
            let series = &mut self.series;
            if resolution.source != Source::Literal {
                let took = resolution.took.as_secs_f64();
                series.persistent(families.dns_lookup_duration_seconds(resolver)).observe(took);
            }
            // A name server that knows the alias and not what it leads to has still shown the alias.
            let has_alias = resolution.has_privatelink_alias();
            if resolution.source == Source::Dns && (has_alias || resolution.fault.is_none()) {
                series.transient(families.dns_privatelink_alias(resolver)).set(truth(has_alias));
            }
            if let Some(fault) = &resolution.fault {
                series.persistent(families.dns_lookup_failures_total(resolver, fault.kind)).inc();
                continue;
            }
            for class in AddressClass::ALL {
                let of_class = resolution.addresses.iter().filter(|answer| answer.class == *class).count();
                series.transient(families.dns_addresses(resolver, *class)).set(count(of_class));
            }
            for answer in resolution.addresses.iter().take(room) {
                let address = answer.address.to_string();
                series.transient(families.dns_address_info(resolver, &address, answer.class)).set(1.0);
            }
            room = room.saturating_sub(resolution.addresses.len());

            let expectation = &cache.expectation;
            if expectation.is_asserted() {
                let as_expected = expectation.is_met_by(resolution);
                series.transient(families.dns_as_expected(resolver)).set(truth(as_expected));
            }
            if let Some(ttl) = resolution.smallest_ttl() {
                series.transient(families.dns_ttl_seconds(resolver)).set(f64::from(ttl));
            }
        }
    }

    /// Counts what the judge saw change; an event that names no resolver is about the one followed.
    fn changes(&mut self, families: &Families, lookup: &LookupReport, events: &[Event]) {
        let followed = lookup.followed().map(|resolution| &resolution.resolver);
        for event in events.iter().filter(|event| event.kind == EventKind::AddressesChanged) {
            let Some(resolver) = event.resolver.as_ref().or(followed) else { continue };
            self.series.persistent(families.dns_changes_total(resolver)).inc();
            self.series.persistent(families.dns_last_change_timestamp_seconds(resolver)).set(event.at.unix_seconds());
        }
    }

    fn addresses(&mut self, families: &Families, report: &ProbeReport) {
        let legs = report.used_legs().count();
        if legs == 0 {
            return;
        }
        let reachable = report.used_legs().filter(|leg| leg.passed(Stage::Connect)).count();
        self.series.transient(families.address_reachable("reachable")).set(count(reachable));
        self.series.transient(families.address_reachable("unreachable")).set(count(legs - reachable));
    }

    fn tls(&mut self, families: &Families, report: &ProbeReport) {
        let sessions: Vec<_> = report.used_legs().filter_map(|leg| leg.tls.as_ref()).collect();
        if sessions.is_empty() {
            return;
        }
        let series = &mut self.series;
        let verified = sessions.iter().all(|session| session.verified);
        series.transient(families.tls_chain_verified()).set(truth(verified));
        let leaf = sessions.iter().filter_map(|session| session.leaf()).map(|leaf| leaf.not_after).min();
        let chain = sessions.iter().filter_map(|session| session.earliest_expiry()).min();
        for (position, not_after) in [("leaf", leaf), ("chain", chain)] {
            if let Some(not_after) = not_after {
                let gauge = series.transient(families.tls_certificate_not_after_timestamp_seconds(position));
                gauge.set(not_after.unix_seconds());
            }
        }
        for session in sessions.iter().filter(|session| !session.version.is_empty()) {
            series.transient(families.tls_info(&session.version, &session.cipher)).set(1.0);
        }
    }

    /// The tests are rare, so what one showed stays until the next.
    fn exposure(&mut self, families: &Families, report: &ProbeReport) {
        if report.exposure.is_none() {
            return;
        }
        for opening in Opening::ALL {
            match report.exposed(*opening) {
                Some(open) => self.series.persistent(families.exposure_open(*opening)).set(truth(open)),
                None => self.series.forget(&families.exposure_open, |labels| *labels[0] == *opening.as_str()),
            }
        }
    }

    fn servers(&mut self, families: &Families, cache: &Cache, report: &ProbeReport, exhaustion: Option<Duration>) {
        if let Some((_, _, Some(clients))) = cache.busiest(report) {
            self.series.transient(families.clients_connected(ENDPOINT)).set(large_count(clients.connected));
            if let Some((limit, source)) = clients.limit {
                self.series.transient(families.clients_limit(ENDPOINT, source)).set(large_count(limit));
            }
            if let Some(headroom) = clients.headroom() {
                self.series.transient(families.clients_headroom_ratio(ENDPOINT)).set(headroom);
            }
            if let Some(left) = exhaustion {
                self.series.transient(families.clients_exhaustion_seconds(ENDPOINT)).set(left.as_secs_f64());
            }
        }
        for server in report.used_legs().filter_map(|leg| leg.server.as_ref()) {
            let version = version_label(server.version.as_ref());
            let role = server.role.map_or("", |role| role.as_str());
            let mode = server.mode.map_or("", |mode| mode.as_str());
            self.series.transient(families.server_info(&version, role, mode)).set(1.0);
        }
        self.rejected(families, report);
    }

    /// Follows one server's own counter.
    ///
    /// It stays with that server for as long as the name leads to it: going from one server to another would read as
    /// rejections that never were. A round in which it does not speak leaves the counter where it was.
    fn rejected(&mut self, families: &Families, report: &ProbeReport) {
        let still_there = |address: &IpAddr| report.legs.iter().any(|leg| leg.address == *address);
        let counts =
            || report.used_legs().filter_map(|leg| Some((leg.address, leg.server.as_ref()?.rejected_connections?)));
        if !report.legs.is_empty() && !self.followed.as_ref().is_some_and(still_there) {
            self.followed = counts().next().map(|(address, _)| address);
        }
        if let Some((_, rejected)) = counts().find(|(address, _)| Some(*address) == self.followed) {
            follow(&self.series.persistent(families.rejected_connections_total(ENDPOINT)), rejected);
        }
    }

    pub(super) fn findings(&mut self, families: &Families, open: &[Finding], events: &[Event]) {
        self.show_open(families, open);
        for event in events.iter().filter(|event| event.kind == EventKind::FindingOpened) {
            if let (Some(finding), Some(severity)) = (event.finding, event.severity) {
                self.series.persistent(families.findings_total(finding, severity)).inc();
            }
        }
    }

    pub(super) fn show_open(&mut self, families: &Families, open: &[Finding]) {
        let open: BTreeSet<_> = open.iter().map(|finding| (finding.id, finding.severity)).collect();
        self.findings.extend(&open);
        for (finding, severity) in &self.findings {
            let is_open = open.contains(&(*finding, *severity));
            self.series.persistent(families.finding_open(*finding, *severity)).set(truth(is_open));
        }
    }
}

/// Moves a counter to the value that its subject reports. A smaller value means that the subject started again, which
/// is how counters reset.
fn follow(counter: &IntCounter, reported: u64) {
    if reported < counter.get() {
        counter.reset();
    }
    counter.inc_by(reported - counter.get());
}

/// A server's version as a label: it is the server's own word, so its length and its letters are bounded.
pub(super) fn version_label(version: Option<&WireText>) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '+' | '-');
    let letters = version.map_or("", WireText::as_str).chars().take(LONGEST_VERSION);
    letters.map(|letter| if is_plain(&letter) { letter } else { '_' }).collect()
}
