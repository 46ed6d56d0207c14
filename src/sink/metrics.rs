//! Every metric there is. `docs/metrics.md` lists them for people; a test keeps the two alike.
//!
//! Gauges of what a probe saw hold for one round: where a stage was not reached, its gauges are absent, never left at
//! their last value (see [`ledger`](super::ledger)). Counters, histograms and the few gauges that are true whatever was
//! seen stay until the cache goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use super::ledger::{Family, Ledger, Vector};
use super::pulse::{Loop, Pulse};
use crate::azure;
use crate::model::{
    AddressClass, Cache, CacheName, Event, EventKind, Fault, FaultKind, Finding, FindingId, LookupReport,
    ObservationKind, Opening, ProbeReport, Resolver, Round, Severity, Source, Stage, Sysctl, Timestamp, WireText,
};

/// What the node label says where the whole endpoint is meant and not one node behind it.
const ENDPOINT: &str = "endpoint";

/// The most `dns_address_info` series of one cache, over all its resolvers.
const MOST_ADDRESSES: usize = 16;

/// The most characters of a version in a label.
const LONGEST_VERSION: usize = 32;

/// Bounds of every duration from a lookup to a whole probe, in seconds: from a LAN's millisecond to the deadline. Few,
/// since each is a series for every cache and stage.
const DURATION_BUCKETS: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Declares the families: name, type, labels, help text, and for a gauge of what was seen the kind of observation that shows
/// it stand in one place. A field's name is the
/// metric's name without the prefix `cachewatch_`; its doc comment is the help text.
macro_rules! families {
    ($( #[doc = $help:literal] $name:ident: $kind:ident [$($label:literal),*] $(of $of:ident)?; )+) => {
        struct Families {
            $( #[doc = $help] $name: Family<families!(@type $kind)>, )+
        }

        impl Families {
            fn register(registries: &mut Registries) -> Self {
                Self {
                    $( $name: register(
                        registries,
                        concat!("cachewatch_", stringify!($name)),
                        families!(@of $($of)?),
                        |name| $kind(name, $help.trim(), &[$($label),*]),
                    ), )+
                }
            }
        }

        /// Name, type and labels of every metric.
        #[cfg(test)]
        const CATALOGUE: &[(&str, &str, &[&str])] =
            &[$( (concat!("cachewatch_", stringify!($name)), stringify!($kind), &[$($label),*]), )+];
    };
    (@of) => { None };
    (@of $of:ident) => { Some(ObservationKind::$of) };
    (@type gauge) => { GaugeVec };
    (@type counter) => { IntCounterVec };
    (@type histogram) => { HistogramVec };
}

families! {
    /// The version of this program and the revision it was built from; always 1.
    build_info: gauge["version", "revision"];
    /// Whether the last attempt to read the configuration succeeded.
    config_last_reload_successful: gauge[];
    /// When the configuration in use was read.
    config_last_reload_success_timestamp_seconds: gauge[];
    /// How many caches the configuration in use names.
    config_caches: gauge[];

    /// A cache as it is configured; always 1.
    cache_info: gauge["cache", "host", "port", "product", "cloud", "tier", "isolation"];

    /// Whether every address of the cache answered PING in the last probe.
    probe_success: gauge["cache"] of Probe;
    /// When the product of the cache comes to its announced end.
    retirement_timestamp_seconds: gauge["cache"];
    /// Probes that have ended.
    probes_total: counter["cache"];
    /// Probes in which a stage failed for a reason, counted once for each pair of both.
    probe_failures_total: counter["cache", "stage", "reason"];
    /// How long a whole probe took.
    probe_duration_seconds: histogram["cache"];
    /// How long one stage took, for each address dialled; failed stages too.
    stage_duration_seconds: histogram["cache", "stage"];
    /// When the last probe began.
    last_probe_timestamp_seconds: gauge["cache"];

    /// Lookups beside the probes that have ended.
    lookups_total: counter["cache"];
    /// How many addresses of a class the resolver answered with.
    dns_addresses: gauge["cache", "resolver", "class"] of Lookup;
    /// An address the resolver answered with, at most 16 a cache; always 1.
    dns_address_info: gauge["cache", "resolver", "address", "class"] of Lookup;
    /// Whether an alias on the way to the addresses lies in a privatelink zone.
    dns_privatelink_alias: gauge["cache", "resolver"] of Lookup;
    /// Whether every address is one the configuration expects.
    dns_as_expected: gauge["cache", "resolver"] of Lookup;
    /// The smallest TTL on the way from the name to the addresses.
    dns_ttl_seconds: gauge["cache", "resolver"] of Lookup;
    /// How long all questions to the resolver took.
    dns_lookup_duration_seconds: histogram["cache", "resolver"];
    /// Lookups that gave no address.
    dns_lookup_failures_total: counter["cache", "resolver", "reason"];
    /// How often the resolver answered with other addresses than in its last good answer.
    dns_changes_total: counter["cache", "resolver"];
    /// When the resolver last answered with other addresses than before.
    dns_last_change_timestamp_seconds: gauge["cache", "resolver"];

    /// How many addresses accepted a TCP connection, and how many did not.
    address_reachable: gauge["cache", "state"] of Probe;
    /// When the server's certificate, or the first one of its chain, expires.
    tls_certificate_not_after_timestamp_seconds: gauge["cache", "position"] of Probe;
    /// The TLS version and cipher suite agreed on; always 1.
    tls_info: gauge["cache", "version", "cipher"] of Probe;
    /// Whether every address presented a chain that is trusted, valid now and covers the name.
    tls_chain_verified: gauge["cache"] of Probe;

    /// Whether something is open that should be closed, by the last test that could tell.
    exposure_open: gauge["cache", "kind"];

    /// Connected clients, by the server's own count.
    clients_connected: gauge["cache", "node"] of Probe;
    /// How many clients may be connected, and who says so.
    clients_limit: gauge["cache", "node", "source"] of Probe;
    /// The share of the client limit that is free, 0 to 1.
    clients_headroom_ratio: gauge["cache", "node"] of Probe;
    /// How long until the client limit is reached at the present rate; absent while the count does not rise steadily.
    clients_exhaustion_seconds: gauge["cache", "node"] of Probe;
    /// Connections the server says it has rejected for want of room; starts again when the server does.
    rejected_connections_total: counter["cache", "node"];
    /// What the server says of itself; always 1.
    server_info: gauge["cache", "redis_version", "role", "mode"] of Probe;

    /// Whether a finding is open; 0 after it has been open once.
    finding_open: gauge["cache", "finding", "severity"];
    /// How often a finding opened.
    findings_total: counter["cache", "finding", "severity"];

    /// Connections that found each place busy and asked for more than an open path, or for nothing at all.
    http_connections_refused_total: counter[];
    /// TLS handshakes with a client that failed.
    http_tls_handshake_failures_total: counter[];
    /// Requests with a user and a password, or a token, that were not right.
    http_auth_failures_total: counter[];
    /// Whether the last attempt to read certificate, key and users succeeded.
    http_files_last_reload_successful: gauge[];
    /// A TCP setting of this machine's kernel, by its name under net.ipv4.
    host_sysctl: gauge["name"];
    /// How long after its due time a probe started.
    probe_lateness_seconds: histogram[];
    /// Probes left out because the one before still ran, or waited for a place, of which there are `probe.max_in_flight`.
    probes_skipped_total: counter[];
    /// Probes running now.
    probes_in_flight: gauge[];
    /// Probes and lookups that broke for a defect of this program.
    probe_panics_total: counter[];
    /// Errors this program has no word for; each is worth a report to its makers.
    unrecognised_errors_total: counter[];

    /// Events that a sink has taken in for good.
    journal_events_total: counter["sink"];
    /// What a sink could not do: each attempt that failed, and each event it lost.
    sink_failures_total: counter["sink"];
    /// Whether a loop of the daemon turns; 0 where it stands still.
    loop_up: gauge["loop"];
    /// Whether the journal can be written.
    journal_up: gauge[];
    /// Bytes of the journal.
    journal_size_bytes: gauge[];
}

/// The metrics of the daemon and of every cache it watches.
pub struct Metrics {
    registries: Registries,
    families: Families,
    caches: Mutex<BTreeMap<CacheName, Account>>,
    /// How long the last scrape was, in bytes.
    length: AtomicUsize,
    /// Whether the journal says that it can be written.
    journal_up: Mutex<bool>,
}

/// One for every family, by its name. To gather is to copy: family by family, a scrape holds a copy of one, not of all.
type Registries = BTreeMap<&'static str, Registry>;

impl Metrics {
    /// The metrics of a daemon that watches nothing yet.
    ///
    /// # Panics
    /// Where a family's labels are none, which a test would show first.
    #[must_use]
    pub fn new(version: &str, revision: &str) -> Self {
        let mut registries = Registries::new();
        let process = Registry::new();
        process.register(Box::new(ProcessCollector::for_self())).expect("the registry is empty");
        registries.insert("process", process);
        let families = Families::register(&mut registries);
        families.build_info.of(&[version, revision]).set(1.0);
        families.config_last_reload_successful.of(&[]).set(0.0);
        families.config_caches.of(&[]).set(0.0);
        families.probes_in_flight.of(&[]).set(0.0);
        families.probe_panics_total.of(&[]).inc_by(0);
        families.probes_skipped_total.of(&[]).inc_by(0);
        families.unrecognised_errors_total.of(&[]).inc_by(0);
        families.http_connections_refused_total.of(&[]).inc_by(0);
        families.http_tls_handshake_failures_total.of(&[]).inc_by(0);
        families.http_auth_failures_total.of(&[]).inc_by(0);
        families.http_files_last_reload_successful.of(&[]).set(1.0);
        families.journal_events_total.of(&["journal"]).inc_by(0);
        for sink in ["journal", super::log::SINK] {
            families.sink_failures_total.of(&[sink]).inc_by(0);
        }
        // Made, and thereby shown as zero.
        let _ = families.probe_lateness_seconds.of(&[]);
        Self {
            registries,
            families,
            caches: Mutex::default(),
            length: AtomicUsize::default(),
            journal_up: Mutex::default(),
        }
    }

    /// Watches a cache from now on. A cache known already is taken as configured anew: its counters go on.
    pub fn add_cache(&self, cache: &Cache) {
        let mut caches = self.caches();
        let account = caches.entry(cache.name.clone()).or_insert_with(|| Account::new(cache.name.clone()));
        account.configure(&self.families, cache);
    }

    /// Watches a cache no longer: every series of it goes.
    pub fn remove_cache(&self, cache: &CacheName) {
        self.caches().remove(cache);
    }

    /// Takes in one round. A round of a cache that is not watched (removed while its probe ran) leaves no trace.
    pub fn observe(&self, round: &Round) {
        if let Some(account) = self.caches().get_mut(&round.cache.name) {
            account.observe(&self.families, round);
        }
    }

    /// Takes in what was judged without a probe: the findings open now, and what changed.
    pub fn judged(&self, cache: &CacheName, open: &[Finding], events: &[Event]) {
        if let Some(account) = self.caches().get_mut(cache) {
            account.findings(&self.families, open, events);
        }
    }

    /// A connection was refused: each place there may be is busy.
    pub fn connection_refused(&self) {
        self.families.http_connections_refused_total.of(&[]).inc();
    }

    /// A client broke off the TLS handshake, or was refused in it.
    pub fn tls_handshake_failed(&self) {
        self.families.http_tls_handshake_failures_total.of(&[]).inc();
    }

    /// A request named a user and a password that are not right.
    pub fn auth_failed(&self) {
        self.families.http_auth_failures_total.of(&[]).inc();
    }

    /// Certificate, key and users were read again; where that failed, the ones before stay in use.
    pub fn guard_reloaded(&self, success: bool) {
        self.families.http_files_last_reload_successful.of(&[]).set(truth(success));
    }

    /// The configuration was read: `caches` is how many are in use after it.
    pub fn config_reloaded(&self, success: bool, at: Timestamp, caches: usize) {
        self.families.config_last_reload_successful.of(&[]).set(truth(success));
        self.families.config_caches.of(&[]).set(count(caches));
        if success {
            self.families.config_last_reload_success_timestamp_seconds.of(&[]).set(at.unix_seconds());
        }
    }

    /// A probe started that long after it was due.
    pub fn probe_late(&self, by: Duration) {
        self.families.probe_lateness_seconds.of(&[]).observe(by.as_secs_f64());
    }

    /// A probe was due and left out.
    pub fn probe_skipped(&self) {
        self.families.probes_skipped_total.of(&[]).inc();
    }

    /// How many probes were started, and how many were left out, since the daemon started.
    #[must_use]
    pub fn probes_started_and_skipped(&self) -> (u64, u64) {
        let started = self.families.probe_lateness_seconds.of(&[]).get_sample_count();
        (started, self.families.probes_skipped_total.of(&[]).get())
    }

    /// So many probes run now.
    pub fn probes_in_flight(&self, probes: usize) {
        self.families.probes_in_flight.of(&[]).set(count(probes));
    }

    /// A probe or a lookup broke for a defect of this program.
    pub fn probe_panicked(&self) {
        self.families.probe_panics_total.of(&[]).inc();
    }

    /// So many events are kept for good.
    pub fn journal_recorded(&self, sink: &str, events: u64) {
        self.families.journal_events_total.of(&[sink]).inc_by(events);
    }

    /// A sink failed that often, or lost so many events.
    pub fn sink_failed(&self, sink: &str, times: u64) {
        self.families.sink_failures_total.of(&[sink]).inc_by(times);
    }

    /// Whether the journal can be written. Its counters are there from then on.
    pub fn journal_up(&self, up: bool) {
        // Held while the gauge is set: a scrape must not set it back.
        let mut known = self.journal_up.lock().unwrap_or_else(PoisonError::into_inner);
        *known = up;
        self.families.journal_up.of(&[]).set(truth(up));
    }

    /// The journal has this size.
    pub fn journal_size(&self, bytes: u64) {
        self.families.journal_size_bytes.of(&[]).set(large_count(bytes));
    }

    /// What was open when an earlier run ended: it counts as open until a probe says otherwise, and has not opened again.
    pub fn restore(&self, cache: &CacheName, open: &[Finding]) {
        if let Some(account) = self.caches().get_mut(cache) {
            account.show_open(&self.families, open);
        }
    }

    /// This machine's settings. What is to be said of them is no finding of a cache, and `host_sysctl` tells it as well.
    pub fn machine(&self, settings: &[Sysctl]) {
        for setting in settings {
            self.families.host_sysctl.of(&[setting.name]).set(large_count(setting.value));
        }
    }

    /// Brings up to `now` what changes by itself: which loops turn, and what is too old to be true. A gauge of what a probe
    /// saw goes where no probe was judged for three intervals, and at once where the loops that start and judge probes
    /// stand still for longer than `limit`.
    pub fn before_scrape(&self, pulse: &Pulse, limit: Duration, now: Timestamp) {
        let is_up = |which| pulse.stands_still(which, limit).is_none();
        for which in Loop::ALL {
            self.families.loop_up.of(&[which.as_str()]).set(truth(is_up(*which)));
        }
        {
            let known = self.journal_up.lock().unwrap_or_else(PoisonError::into_inner);
            if *known {
                self.families.journal_up.of(&[]).set(truth(is_up(Loop::Journal)));
            }
        }
        let is_judging = is_up(Loop::Schedule) && is_up(Loop::Dispatch);
        for account in self.caches().values_mut() {
            if !is_judging || account.valid_until.is_some_and(|until| now > until) {
                account.expire();
            }
        }
    }

    /// Everything, in Prometheus' text format 0.0.4. Takes some 0.3 s where there are 100 000 series, so it belongs on
    /// a thread that may block.
    ///
    /// # Errors
    /// Where a metric cannot be written, which would be a defect of this room.
    pub fn encode(&self) -> prometheus::Result<String> {
        // Grown step by step, a long text is there twice at the last step.
        let before = self.length.load(Ordering::Relaxed);
        let mut text = String::with_capacity(before + before / 8);
        for registry in self.registries.values() {
            TextEncoder::new().encode_utf8(&registry.gather(), &mut text)?;
        }
        self.length.store(text.len(), Ordering::Relaxed);
        Ok(text)
    }

    fn caches(&self) -> MutexGuard<'_, BTreeMap<CacheName, Account>> {
        // A panic elsewhere leaves at worst one cache's round half counted.
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// One cache's series, and what must be remembered from round to round to count them.
struct Account {
    ledger: Ledger,
    /// Every finding that was ever open, with its severity then.
    findings: BTreeSet<(FindingId, Severity)>,
    /// The address whose server's rejected connections are followed.
    followed: Option<IpAddr>,
    /// Until when the last report speaks of now.
    valid_until: Option<Timestamp>,
}

impl Account {
    fn new(cache: CacheName) -> Self {
        Self { ledger: Ledger::new(cache), findings: BTreeSet::new(), followed: None, valid_until: None }
    }

    /// Makes the series that must exist before the first probe, and drops those of resolvers no longer asked.
    fn configure(&mut self, families: &Families, cache: &Cache) {
        let endpoint = azure::identify(&cache.host);
        let ledger = &mut self.ledger;
        ledger.forget(&families.cache_info, |_| true);
        let info = [
            cache.host.as_str(),
            &cache.port.to_string(),
            endpoint.product.as_str(),
            endpoint.cloud.as_str(),
            cache.tier.as_ref().map_or("", |(name, _)| name),
            cache.expectation.isolation.map_or("", |isolation| isolation.as_str()),
        ];
        ledger.keep(&families.cache_info, &info).set(1.0);
        ledger.forget(&families.retirement_timestamp_seconds, |_| true);
        if let Some(end) = azure::retirement(endpoint.product) {
            ledger.keep(&families.retirement_timestamp_seconds, &[]).set(end.unix_seconds());
        }
        let is_tested = |opening: &str| Opening::parse(opening).is_some_and(|opening| cache.exposure.tests(opening));
        ledger.forget(&families.exposure_open, |labels| !is_tested(&labels[0]));
        ledger.keep(&families.probes_total, &[]).inc_by(0);
        ledger.keep(&families.lookups_total, &[]).inc_by(0);
        let _ = ledger.keep(&families.probe_duration_seconds, &[]);

        let resolvers: Vec<_> = cache.resolvers.iter().map(Resolver::name).collect();
        for resolver in &resolvers {
            ledger.keep(&families.dns_changes_total, &[resolver.as_str()]).inc_by(0);
            let _ = ledger.keep(&families.dns_lookup_duration_seconds, &[resolver.as_str()]);
        }
        // Gauges of a resolver no longer asked go with the next round; what is kept must go here.
        let is_gone = |labels: &[Box<str>]| !resolvers.iter().any(|resolver| *resolver.as_str() == *labels[0]);
        ledger.forget(&families.dns_lookup_duration_seconds, is_gone);
        ledger.forget(&families.dns_lookup_failures_total, is_gone);
        ledger.forget(&families.dns_changes_total, is_gone);
        ledger.forget(&families.dns_last_change_timestamp_seconds, is_gone);
    }

    fn observe(&mut self, families: &Families, round: &Round) {
        let is_unrecognised = |fault: &&Fault| fault.kind == FaultKind::Unrecognised;
        let unrecognised = round.seen.every_fault().filter(is_unrecognised).count();
        families.unrecognised_errors_total.of(&[]).inc_by(unrecognised as u64);
        self.ledger.keep(families.count_of(round.seen.kind()), &[]).inc();
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
        self.ledger.sweep(round.seen.kind());
    }

    /// What was seen is too old to be told.
    fn expire(&mut self) {
        self.valid_until = None;
        self.ledger.expire();
    }

    fn probe(&mut self, families: &Families, report: &ProbeReport) {
        let ledger = &mut self.ledger;
        ledger.hold(&families.probe_success, &[]).set(truth(report.succeeded()));
        ledger.keep(&families.probe_duration_seconds, &[]).observe(report.took.as_secs_f64());
        ledger.keep(&families.last_probe_timestamp_seconds, &[]).set(report.lookup.at.unix_seconds());

        let failures: BTreeSet<_> = report.faults().map(|fault| (fault.stage, fault.kind)).collect();
        for (stage, kind) in failures {
            ledger.keep(&families.probe_failures_total, &[stage.as_str(), kind.as_str()]).inc();
        }

        let resolve = report.lookup.followed().map(|resolution| (Stage::Resolve, resolution.took));
        for (stage, took) in resolve.into_iter().chain(report.used_legs().flat_map(|leg| leg.timings.iter())) {
            ledger.keep(&families.stage_duration_seconds, &[stage.as_str()]).observe(took.as_secs_f64());
        }
    }

    fn names(&mut self, families: &Families, cache: &Cache, lookup: &LookupReport) {
        let mut room = MOST_ADDRESSES;
        for resolution in &lookup.resolutions {
            let resolver = resolution.resolver.as_str();
            let ledger = &mut self.ledger;
            if resolution.source != Source::Literal {
                let took = resolution.took.as_secs_f64();
                ledger.keep(&families.dns_lookup_duration_seconds, &[resolver]).observe(took);
            }
            // A name server that knows the alias and not what it leads to has still shown the alias.
            let has_alias = resolution.has_privatelink_alias();
            if resolution.source == Source::Dns && (has_alias || resolution.fault.is_none()) {
                ledger.hold(&families.dns_privatelink_alias, &[resolver]).set(truth(has_alias));
            }
            if let Some(fault) = &resolution.fault {
                ledger.keep(&families.dns_lookup_failures_total, &[resolver, fault.kind.as_str()]).inc();
                continue;
            }
            for class in AddressClass::ALL {
                let of_class = resolution.addresses.iter().filter(|answer| answer.class == *class).count();
                ledger.hold(&families.dns_addresses, &[resolver, class.as_str()]).set(count(of_class));
            }
            for answer in resolution.addresses.iter().take(room) {
                let labels = [resolver, &*answer.address.to_string(), answer.class.as_str()];
                ledger.hold(&families.dns_address_info, &labels).set(1.0);
            }
            room = room.saturating_sub(resolution.addresses.len());

            let expectation = &cache.expectation;
            if expectation.is_asserted() {
                let as_expected = resolution.addresses.iter().all(|answer| expectation.admits(answer.address));
                ledger.hold(&families.dns_as_expected, &[resolver]).set(truth(as_expected));
            }
            if let Some(ttl) = resolution.smallest_ttl() {
                ledger.hold(&families.dns_ttl_seconds, &[resolver]).set(f64::from(ttl));
            }
        }
    }

    /// Counts what the judge saw change; an event that names no resolver is about the one followed.
    fn changes(&mut self, families: &Families, lookup: &LookupReport, events: &[Event]) {
        let followed = lookup.followed().map(|resolution| &resolution.resolver);
        for event in events.iter().filter(|event| event.kind == EventKind::AddressesChanged) {
            let Some(resolver) = event.resolver.as_ref().or(followed) else { continue };
            let labels = [resolver.as_str()];
            self.ledger.keep(&families.dns_changes_total, &labels).inc();
            self.ledger.keep(&families.dns_last_change_timestamp_seconds, &labels).set(event.at.unix_seconds());
        }
    }

    fn addresses(&mut self, families: &Families, report: &ProbeReport) {
        let legs = report.used_legs().count();
        if legs == 0 {
            return;
        }
        let reachable = report.used_legs().filter(|leg| leg.passed(Stage::Connect)).count();
        self.ledger.hold(&families.address_reachable, &["reachable"]).set(count(reachable));
        self.ledger.hold(&families.address_reachable, &["unreachable"]).set(count(legs - reachable));
    }

    fn tls(&mut self, families: &Families, report: &ProbeReport) {
        let sessions: Vec<_> = report.used_legs().filter_map(|leg| leg.tls.as_ref()).collect();
        if sessions.is_empty() {
            return;
        }
        let ledger = &mut self.ledger;
        let verified = sessions.iter().all(|session| session.verified);
        ledger.hold(&families.tls_chain_verified, &[]).set(truth(verified));
        let leaf = sessions.iter().filter_map(|session| session.leaf()).map(|leaf| leaf.not_after).min();
        let chain = sessions.iter().filter_map(|session| session.earliest_expiry()).min();
        for (position, not_after) in [("leaf", leaf), ("chain", chain)] {
            if let Some(not_after) = not_after {
                let gauge = ledger.hold(&families.tls_certificate_not_after_timestamp_seconds, &[position]);
                gauge.set(not_after.unix_seconds());
            }
        }
        for session in sessions.iter().filter(|session| !session.version.is_empty()) {
            ledger.hold(&families.tls_info, &[&session.version, &session.cipher]).set(1.0);
        }
    }

    /// The tests are rare, so what one showed stays until the next.
    fn exposure(&mut self, families: &Families, report: &ProbeReport) {
        if report.exposure.is_none() {
            return;
        }
        for opening in Opening::ALL {
            match report.exposed(*opening) {
                Some(open) => self.ledger.keep(&families.exposure_open, &[opening.as_str()]).set(truth(open)),
                None => self.ledger.forget(&families.exposure_open, |labels| *labels[0] == *opening.as_str()),
            }
        }
    }

    fn servers(&mut self, families: &Families, cache: &Cache, report: &ProbeReport, exhaustion: Option<Duration>) {
        if let Some((_, _, Some(clients))) = cache.busiest(report) {
            self.ledger.hold(&families.clients_connected, &[ENDPOINT]).set(large_count(clients.connected));
            if let Some((limit, source)) = clients.limit {
                self.ledger.hold(&families.clients_limit, &[ENDPOINT, source.as_str()]).set(large_count(limit));
            }
            if let Some(headroom) = clients.headroom() {
                self.ledger.hold(&families.clients_headroom_ratio, &[ENDPOINT]).set(headroom);
            }
            if let Some(left) = exhaustion {
                self.ledger.hold(&families.clients_exhaustion_seconds, &[ENDPOINT]).set(left.as_secs_f64());
            }
        }
        for server in report.used_legs().filter_map(|leg| leg.server.as_ref()) {
            let version = version_label(server.version.as_ref());
            let role = server.role.map_or("", |role| role.as_str());
            let mode = server.mode.map_or("", |mode| mode.as_str());
            self.ledger.hold(&families.server_info, &[&version, role, mode]).set(1.0);
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
            follow(&self.ledger.keep(&families.rejected_connections_total, &[ENDPOINT]), rejected);
        }
    }

    fn findings(&mut self, families: &Families, open: &[Finding], events: &[Event]) {
        self.show_open(families, open);
        for event in events.iter().filter(|event| event.kind == EventKind::FindingOpened) {
            if let (Some(finding), Some(severity)) = (event.finding, event.severity) {
                self.ledger.keep(&families.findings_total, &[finding.as_str(), severity.as_str()]).inc();
            }
        }
    }
}

impl Account {
    fn show_open(&mut self, families: &Families, open: &[Finding]) {
        let open: BTreeSet<_> = open.iter().map(|finding| (finding.id, finding.severity)).collect();
        self.findings.extend(&open);
        for (finding, severity) in &self.findings {
            let is_open = open.contains(&(*finding, *severity));
            let labels = [finding.as_str(), severity.as_str()];
            self.ledger.keep(&families.finding_open, &labels).set(truth(is_open));
        }
    }
}

impl Families {
    /// The family that counts the observations of a kind.
    fn count_of(&self, kind: ObservationKind) -> &Family<IntCounterVec> {
        match kind {
            ObservationKind::Probe => &self.probes_total,
            ObservationKind::Lookup => &self.lookups_total,
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
fn version_label(version: Option<&WireText>) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '+' | '-');
    let letters = version.map_or("", WireText::as_str).chars().take(LONGEST_VERSION);
    letters.map(|letter| if is_plain(&letter) { letter } else { '_' }).collect()
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn count(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "a count of clients is far below 2^52")]
fn large_count(things: u64) -> f64 {
    things as f64
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(Opts::new(name, help), labels)
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec()), labels)
}

fn register<V: Vector + Collector>(
    registries: &mut Registries,
    name: &'static str,
    of: Option<ObservationKind>,
    make: impl FnOnce(&str) -> prometheus::Result<V>,
) -> Family<V> {
    let vector = make(name).expect("names and labels are literals, which a test builds");
    let registry = Registry::new();
    registry.register(Box::new(vector.clone())).expect("the registry is empty");
    let other = registries.insert(name, registry);
    debug_assert!(other.is_none(), "{name} stands twice in the list of families");
    Family::new(name, of, vector)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture;
    use super::*;
    use crate::model::{Event, Observation, Passage, ResolverName};

    /// The samples of this program, without those of the process and without the buckets of histograms.
    fn samples(metrics: &Metrics) -> Vec<String> {
        let text = metrics.encode().unwrap();
        let is_wanted = |line: &&str| line.starts_with("cachewatch_") && !line.contains("_bucket{");
        text.lines().filter(is_wanted).map(str::to_owned).collect()
    }

    /// The samples that carry a cache's label.
    fn of_caches(metrics: &Metrics) -> Vec<String> {
        samples(metrics).into_iter().filter(|line| line.contains("cache=")).collect()
    }

    #[track_caller]
    fn check(metrics: &Metrics, expected: &str) {
        let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(of_caches(metrics).join("\n"), expected.join("\n"));
    }

    fn watching(cache: &Cache) -> Metrics {
        let metrics = Metrics::new("1.2.3", "abc");
        metrics.add_cache(cache);
        metrics
    }

    /// What a probe saw is told while it is true, and no longer.
    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_to_be_true_is_not_told() {
        const LIMIT: Duration = Duration::from_secs(15);
        let cache = fixture::cache("orders");
        let (metrics, pulse) = (watching(&cache), Pulse::new());
        let told = |now| {
            metrics.before_scrape(&pulse, LIMIT, now);
            let names = ["cachewatch_probe_success{", "cachewatch_dns_addresses{", "cachewatch_tls_info{"];
            let samples = of_caches(&metrics);
            names.map(|name| samples.iter().any(|line| line.starts_with(name)))
        };
        let up = |which: &str| {
            let line = format!("cachewatch_loop_up{{loop=\"{which}\"}} 1");
            samples(&metrics).contains(&line)
        };
        let round = fixture::healthy(&cache);
        let last = round.seen.at().plus(cache.report_lasts());
        metrics.observe(&round);
        assert_eq!(told(last), [true; 3]);
        assert_eq!(told(last.plus(Duration::from_millis(1))), [false; 3], "three intervals have passed");
        assert!(
            of_caches(&metrics).iter().any(|line| line.starts_with("cachewatch_probes_total")),
            "what counts stays"
        );

        metrics.observe(&round);
        assert_eq!((told(last), up("dispatch")), ([true; 3], true));
        tokio::time::advance(LIMIT + Duration::from_millis(1)).await;
        Loop::ALL.iter().filter(|which| **which != Loop::Dispatch).for_each(|which| pulse.turned(*which));
        assert_eq!((told(last), up("dispatch"), up("schedule")), ([false; 3], false, true), "the judge stands still");
        pulse.turned(Loop::Dispatch);
        metrics.observe(&round);
        assert_eq!((told(last), up("dispatch")), ([true; 3], true));

        // A journal that hangs says nothing of the caches.
        metrics.journal_up(true);
        tokio::time::advance(LIMIT + Duration::from_millis(1)).await;
        Loop::ALL.iter().filter(|which| **which != Loop::Journal).for_each(|which| pulse.turned(*which));
        assert_eq!((told(last), up("journal")), ([true; 3], false));
        assert!(samples(&metrics).contains(&"cachewatch_journal_up 0".to_owned()));
    }

    #[test]
    fn series_exist_from_the_start() {
        let metrics = Metrics::new("1.2.3", "abc");
        let expected = [
            r#"cachewatch_build_info{revision="abc",version="1.2.3"} 1"#,
            "cachewatch_config_caches 0",
            "cachewatch_config_last_reload_successful 0",
            "cachewatch_http_auth_failures_total 0",
            "cachewatch_http_connections_refused_total 0",
            "cachewatch_http_files_last_reload_successful 1",
            "cachewatch_http_tls_handshake_failures_total 0",
            r#"cachewatch_journal_events_total{sink="journal"} 0"#,
            "cachewatch_probe_lateness_seconds_sum 0",
            "cachewatch_probe_lateness_seconds_count 0",
            "cachewatch_probe_panics_total 0",
            "cachewatch_probes_in_flight 0",
            "cachewatch_probes_skipped_total 0",
            r#"cachewatch_sink_failures_total{sink="journal"} 0"#,
            r#"cachewatch_sink_failures_total{sink="log"} 0"#,
            "cachewatch_unrecognised_errors_total 0",
        ];
        assert_eq!(samples(&metrics), expected);

        metrics.add_cache(&fixture::cache("orders"));
        check(&metrics, START);
    }

    const START: &str = r#"
        cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier="P1"} 1
        cachewatch_dns_changes_total{cache="orders",resolver="system"} 0
        cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="system"} 0
        cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="system"} 0
        cachewatch_lookups_total{cache="orders"} 0
        cachewatch_probe_duration_seconds_sum{cache="orders"} 0
        cachewatch_probe_duration_seconds_count{cache="orders"} 0
        cachewatch_probes_total{cache="orders"} 0
        cachewatch_retirement_timestamp_seconds{cache="orders"} 1853971200
    "#;

    #[test]
    fn a_failed_lookup_leaves_no_gauge_of_what_it_did_not_reach() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        metrics.observe(&fixture::healthy(&cache));
        check(
            &metrics,
            r#"
            cachewatch_address_reachable{cache="orders",state="reachable"} 1
            cachewatch_address_reachable{cache="orders",state="unreachable"} 0
            cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier="P1"} 1
            cachewatch_clients_connected{cache="orders",node="endpoint"} 750
            cachewatch_clients_headroom_ratio{cache="orders",node="endpoint"} 0.9
            cachewatch_clients_limit{cache="orders",node="endpoint",source="server"} 7500
            cachewatch_dns_address_info{address="10.20.1.4",cache="orders",class="private",resolver="system"} 1
            cachewatch_dns_addresses{cache="orders",class="link_local",resolver="system"} 0
            cachewatch_dns_addresses{cache="orders",class="loopback",resolver="system"} 0
            cachewatch_dns_addresses{cache="orders",class="other",resolver="system"} 0
            cachewatch_dns_addresses{cache="orders",class="private",resolver="system"} 1
            cachewatch_dns_addresses{cache="orders",class="public",resolver="system"} 0
            cachewatch_dns_addresses{cache="orders",class="shared",resolver="system"} 0
            cachewatch_dns_as_expected{cache="orders",resolver="system"} 1
            cachewatch_dns_changes_total{cache="orders",resolver="system"} 0
            cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="system"} 0.002
            cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="system"} 1
            cachewatch_dns_privatelink_alias{cache="orders",resolver="system"} 1
            cachewatch_dns_ttl_seconds{cache="orders",resolver="system"} 10
            cachewatch_last_probe_timestamp_seconds{cache="orders"} 1700000000
            cachewatch_lookups_total{cache="orders"} 0
            cachewatch_probe_duration_seconds_sum{cache="orders"} 0.25
            cachewatch_probe_duration_seconds_count{cache="orders"} 1
            cachewatch_probe_success{cache="orders"} 1
            cachewatch_probes_total{cache="orders"} 1
            cachewatch_rejected_connections_total{cache="orders",node="endpoint"} 3
            cachewatch_retirement_timestamp_seconds{cache="orders"} 1853971200
            cachewatch_server_info{cache="orders",mode="standalone",redis_version="6.0.14",role="primary"} 1
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="connect"} 0.004
            cachewatch_stage_duration_seconds_count{cache="orders",stage="connect"} 1
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="ping"} 0.016
            cachewatch_stage_duration_seconds_count{cache="orders",stage="ping"} 1
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="resolve"} 0.002
            cachewatch_stage_duration_seconds_count{cache="orders",stage="resolve"} 1
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="tls"} 0.008
            cachewatch_stage_duration_seconds_count{cache="orders",stage="tls"} 1
            cachewatch_tls_certificate_not_after_timestamp_seconds{cache="orders",position="chain"} 1750000000
            cachewatch_tls_certificate_not_after_timestamp_seconds{cache="orders",position="leaf"} 1760000000
            cachewatch_tls_chain_verified{cache="orders"} 1
            cachewatch_tls_info{cache="orders",cipher="TLS13_AES_256_GCM_SHA384",version="TLSv1.3"} 1
            "#,
        );

        metrics.observe(&fixture::name_not_found(&cache));
        check(
            &metrics,
            r#"
            cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier="P1"} 1
            cachewatch_dns_changes_total{cache="orders",resolver="system"} 0
            cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="system"} 0.004
            cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="system"} 2
            cachewatch_dns_lookup_failures_total{cache="orders",reason="name_not_found",resolver="system"} 1
            cachewatch_finding_open{cache="orders",finding="dns-name-not-found",severity="1"} 1
            cachewatch_findings_total{cache="orders",finding="dns-name-not-found",severity="1"} 1
            cachewatch_last_probe_timestamp_seconds{cache="orders"} 1700000030
            cachewatch_lookups_total{cache="orders"} 0
            cachewatch_probe_duration_seconds_sum{cache="orders"} 0.252
            cachewatch_probe_duration_seconds_count{cache="orders"} 2
            cachewatch_probe_failures_total{cache="orders",reason="name_not_found",stage="resolve"} 1
            cachewatch_probe_success{cache="orders"} 0
            cachewatch_probes_total{cache="orders"} 2
            cachewatch_rejected_connections_total{cache="orders",node="endpoint"} 3
            cachewatch_retirement_timestamp_seconds{cache="orders"} 1853971200
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="connect"} 0.004
            cachewatch_stage_duration_seconds_count{cache="orders",stage="connect"} 1
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="ping"} 0.016
            cachewatch_stage_duration_seconds_count{cache="orders",stage="ping"} 1
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="resolve"} 0.004
            cachewatch_stage_duration_seconds_count{cache="orders",stage="resolve"} 2
            cachewatch_stage_duration_seconds_sum{cache="orders",stage="tls"} 0.008
            cachewatch_stage_duration_seconds_count{cache="orders",stage="tls"} 1
            "#,
        );

        metrics.remove_cache(&cache.name);
        check(&metrics, "");
        metrics.observe(&fixture::healthy(&cache));
        check(&metrics, "");
    }

    #[test]
    fn a_cache_configured_anew_keeps_its_counters_and_loses_the_resolvers_it_no_longer_asks() {
        let mut cache = fixture::cache("orders");
        let metrics = watching(&cache);
        metrics.observe(&fixture::healthy(&cache));
        metrics.observe(&fixture::name_not_found(&cache));

        let resolver = Resolver::server("hub", "10.0.0.4:53".parse().unwrap(), crate::model::Protocol::Udp);
        cache.resolvers = vec![resolver];
        cache.tier = None;
        metrics.add_cache(&cache);
        let of_dns: Vec<_> = of_caches(&metrics).into_iter().filter(|line| line.contains("resolver=")).collect();
        assert_eq!(
            of_dns,
            [
                r#"cachewatch_dns_changes_total{cache="orders",resolver="hub"} 0"#,
                r#"cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="hub"} 0"#,
                r#"cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="hub"} 0"#,
            ]
        );
        let kept: Vec<_> = of_caches(&metrics)
            .into_iter()
            .filter(|line| line.contains("cache_info") || line.contains("probes_total"))
            .collect();
        assert_eq!(
            kept,
            [
                r#"cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier=""} 1"#,
                r#"cachewatch_probes_total{cache="orders"} 2"#,
            ]
        );
    }

    #[test]
    fn a_change_of_addresses_is_counted_for_the_resolver_whose_answer_changed() {
        let mut cache = fixture::cache("orders");
        cache.resolvers.push(Resolver::Listed(2));
        let metrics = watching(&cache);
        let change = |resolver: Option<&str>, seconds: i64| {
            let event = Event::new(Timestamp::from_unix_seconds(seconds), None, EventKind::AddressesChanged);
            Event { resolver: resolver.map(ResolverName::new), ..event }
        };
        let mut round = fixture::healthy(&cache);
        round.events = vec![
            change(None, 1_700_000_001),
            change(Some("system-2"), 1_700_000_002),
            change(Some("system-2"), 1_700_000_003),
        ];
        metrics.observe(&round);
        metrics.observe(&fixture::healthy(&cache));
        let expected = [r#",resolver="system"} 1"#, r#",resolver="system-2"} 2"#];
        assert_eq!(values(&metrics, "dns_changes_total"), expected);
        let expected = [r#",resolver="system"} 1700000001"#, r#",resolver="system-2"} 1700000003"#];
        assert_eq!(values(&metrics, "dns_last_change_timestamp_seconds"), expected);
    }

    #[test]
    fn every_resolver_is_measured_and_not_only_the_one_followed() {
        let mut cache = fixture::cache("orders");
        cache.resolvers = vec![Resolver::System, Resolver::Listed(2)];
        let metrics = watching(&cache);
        let with_resolver = || {
            let lines = of_caches(&metrics).into_iter().filter(|line| line.contains("dns_"));
            let of = |name: &str| lines.clone().filter(|line| line.contains(&format!("resolver=\"{name}\""))).count();
            (of("system"), of("system-2"))
        };
        assert_eq!(with_resolver(), (3, 3), "the changes, and two of the duration");
        let mut round = fixture::healthy(&cache);
        let mut second = fixture::report(&mut round).lookup.resolutions[0].clone();
        second.resolver = ResolverName::new("system-2");
        fixture::report(&mut round).lookup.resolutions.push(second);
        metrics.observe(&round);
        assert_eq!(
            with_resolver(),
            (13, 13),
            "six classes, the address, the alias, the expectation and the TTL as well"
        );

        let failed = &mut fixture::report(&mut round).lookup.resolutions[1];
        failed.fault = Some(Fault::new(Stage::Resolve, FaultKind::ResolverUntrusted, "expired"));
        (failed.chain, failed.addresses) = (Vec::new(), Vec::new());
        metrics.observe(&round);
        assert_eq!(with_resolver(), (13, 4), "what it did not say is gone, and its failure is counted");
        let failures = values(&metrics, "dns_lookup_failures_total");
        assert_eq!(failures, [r#",reason="resolver_untrusted",resolver="system-2"} 1"#]);
    }

    /// The values of one metric, with the labels after the cache's.
    fn values(metrics: &Metrics, name: &str) -> Vec<String> {
        let prefix = format!("cachewatch_{name}{{cache=\"orders\"");
        let lines = of_caches(metrics);
        lines.iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    #[test]
    fn one_bad_address_of_two_shows_in_every_metric_that_speaks_of_all() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        let mut round = fixture::leading_to(&cache, &["10.20.1.4", "10.20.1.5"]);
        let leg = &mut fixture::report(&mut round).legs[1];
        leg.fault = Some(Fault::new(Stage::Tls, FaultKind::CertificateExpired, "expired"));
        leg.server = None;
        let session = leg.tls.as_mut().unwrap();
        session.verified = false;
        session.chain.iter_mut().for_each(|link| link.not_after = Timestamp::from_unix_seconds(1_699_999_999));
        metrics.observe(&round);
        assert_eq!(values(&metrics, "probe_success"), ["} 0"]);
        let failures = values(&metrics, "probe_failures_total");
        assert_eq!(failures, [r#",reason="certificate_expired",stage="tls"} 1"#]);
        let reachable = values(&metrics, "address_reachable");
        assert_eq!(reachable, [r#",state="reachable"} 2"#, r#",state="unreachable"} 0"#], "TCP was accepted by both");
        assert_eq!(values(&metrics, "tls_chain_verified"), ["} 0"]);
        let expiry = values(&metrics, "tls_certificate_not_after_timestamp_seconds");
        assert_eq!(expiry, [r#",position="chain"} 1699999999"#, r#",position="leaf"} 1699999999"#]);
        assert_eq!(values(&metrics, "clients_connected"), [r#",node="endpoint"} 750"#]);

        let leg = &mut fixture::report(&mut round).legs[1];
        leg.fault = Some(Fault::new(Stage::Connect, FaultKind::Filtered, "no answer"));
        leg.tls = None;
        metrics.observe(&round);
        let reachable = values(&metrics, "address_reachable");
        assert_eq!(reachable, [r#",state="reachable"} 1"#, r#",state="unreachable"} 1"#]);
    }

    #[test]
    fn a_lookup_beside_the_probes_moves_what_is_told_of_names_and_of_findings_alone() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        metrics.observe(&fixture::healthy(&cache));
        let told = || of_caches(&metrics).into_iter().collect::<BTreeSet<_>>();
        let probed = told();
        let mut round = fixture::looked_up(&cache, &["20.50.1.2"]);
        let opened = fixture::name_not_found(&cache);
        (round.verdict, round.events) = (opened.verdict, opened.events);
        round.events.push(Event::new(round.seen.at(), Some(cache.name.clone()), EventKind::AddressesChanged));
        metrics.observe(&round);
        let looked_up = told();
        let changed = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            let lines = one.difference(other).map(|line| line.trim_start_matches("cachewatch_").to_owned());
            lines.map(|line| line.replace("cache=\"orders\",", "")).collect::<Vec<_>>()
        };
        assert_eq!(
            changed(&looked_up, &probed),
            [
                r#"dns_address_info{address="20.50.1.2",class="public",resolver="system"} 1"#,
                r#"dns_addresses{class="private",resolver="system"} 0"#,
                r#"dns_addresses{class="public",resolver="system"} 1"#,
                r#"dns_as_expected{resolver="system"} 0"#,
                r#"dns_changes_total{resolver="system"} 1"#,
                r#"dns_last_change_timestamp_seconds{resolver="system"} 1700000010"#,
                r#"dns_lookup_duration_seconds_count{resolver="system"} 2"#,
                r#"dns_lookup_duration_seconds_sum{resolver="system"} 0.004"#,
                r#"finding_open{finding="dns-name-not-found",severity="1"} 1"#,
                r#"findings_total{finding="dns-name-not-found",severity="1"} 1"#,
                r#"lookups_total{cache="orders"} 1"#,
            ]
        );
        // Of the gauges that went, each is one of names: what the probe saw beyond them stands.
        let gone = changed(&probed, &looked_up);
        assert_eq!(
            gone.iter().filter(|line| !line.starts_with("dns_")).collect::<Vec<_>>(),
            [r#"lookups_total{cache="orders"} 0"#]
        );

        let failed = fixture::name_not_found(&cache);
        let lookup = Observation::Lookup(Arc::new(failed.seen.lookup().unwrap().clone()));
        metrics.observe(&Round { seen: lookup, ..failed.clone() });
        assert_eq!(values(&metrics, "dns_addresses"), Vec::<String>::new(), "a failed lookup leaves no answer behind");
        let failures = values(&metrics, "dns_lookup_failures_total");
        assert_eq!(failures, [r#",reason="name_not_found",resolver="system"} 1"#]);
        let of_probes = ["probe_success", "probes_total", "last_probe_timestamp_seconds", "clients_connected"];
        let kept = of_probes.map(|name| values(&metrics, name).concat());
        assert_eq!(kept, ["} 1", "} 1", "} 1700000000", r#",node="endpoint"} 750"#]);

        metrics.observe(&failed);
        assert_eq!(
            values(&metrics, "clients_connected"),
            Vec::<String>::new(),
            "a probe sweeps what lookups have left"
        );
        assert_eq!(values(&metrics, "lookups_total"), ["} 2"]);
    }

    #[test]
    fn an_alias_that_leads_to_no_record_is_still_an_alias() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        let mut round = fixture::name_not_found(&cache);
        let chain = fixture::healthy(&cache).seen.lookup().unwrap().resolutions[0].chain.clone();
        fixture::report(&mut round).lookup.resolutions[0].chain = chain;
        metrics.observe(&round);
        assert_eq!(values(&metrics, "dns_privatelink_alias"), [r#",resolver="system"} 1"#]);
        assert_eq!(values(&metrics, "dns_as_expected"), Vec::<String>::new());
        assert_eq!(values(&metrics, "dns_ttl_seconds"), Vec::<String>::new());
    }

    #[test]
    fn expectation_is_judged_only_where_there_is_one() {
        let mut cache = fixture::cache("orders");
        let metrics = watching(&cache);
        metrics.observe(&fixture::leading_to(&cache, &["10.20.1.4", "20.50.1.2"]));
        assert_eq!(values(&metrics, "dns_as_expected"), [r#",resolver="system"} 0"#]);
        cache.expectation = crate::model::Expectation::default();
        metrics.observe(&fixture::leading_to(&cache, &["20.50.1.2"]));
        assert_eq!(values(&metrics, "dns_as_expected"), Vec::<String>::new());
    }

    #[test]
    fn what_a_test_showed_stays_until_the_next() {
        let mut cache = fixture::cache("orders");
        cache.exposure.plain_port = true;
        let metrics = watching(&cache);
        let after = |passage: Option<Passage>| {
            let mut round = fixture::healthy(&cache);
            fixture::report(&mut round).exposure = passage.map(fixture::plain_port);
            metrics.observe(&round);
            values(&metrics, "exposure_open")
        };
        let plain = |value: u8| vec![format!(r#",kind="plain_port"}} {value}"#)];
        assert_eq!(after(None), [""; 0], "not tested yet");
        assert_eq!(after(Some(Passage::Open)), plain(1));
        assert_eq!(after(None), plain(1), "a round without a test says nothing");
        assert_eq!(after(Some(Passage::Closed)), plain(0));
        assert_eq!(after(Some(Passage::Unclear)), [""; 0], "the last test could not tell");
        assert_eq!(after(Some(Passage::Open)), plain(1));
        metrics.add_cache(&fixture::cache("orders"));
        assert_eq!(values(&metrics, "exposure_open"), [""; 0], "tested no longer");
    }

    #[test]
    fn addresses_are_bounded_over_all_resolvers_of_a_cache() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        let many: Vec<_> = (0..12).map(|last| format!("10.20.1.{last}")).collect();
        let mut round = fixture::leading_to(&cache, &many.iter().map(String::as_str).collect::<Vec<_>>());
        let report = fixture::report(&mut round);
        let resolutions = &mut report.lookup.resolutions;
        let mut second = resolutions[0].clone();
        second.resolver = ResolverName::new("hub");
        resolutions.push(second);
        metrics.observe(&round);
        let shown = of_caches(&metrics).into_iter().filter(|line| line.contains("dns_address_info")).count();
        assert_eq!(shown, MOST_ADDRESSES);
    }

    #[test]
    fn rejected_connections_follow_one_server_through_its_restart() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        let shown = |counts: &[Option<u64>]| {
            let mut round = fixture::leading_to(&cache, &["10.20.1.4", "10.20.1.5"][..counts.len()]);
            for (leg, count) in fixture::report(&mut round).legs.iter_mut().zip(counts) {
                leg.server.as_mut().unwrap().rejected_connections = *count;
            }
            metrics.observe(&round);
            let line = of_caches(&metrics).into_iter().find(|line| line.contains("rejected_connections"));
            line.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        };
        assert_eq!(shown(&[None, None]), None);
        assert_eq!(shown(&[Some(3), Some(100)]), Some(3));
        assert_eq!(shown(&[Some(5), Some(100)]), Some(5));
        assert_eq!(shown(&[None, Some(100)]), Some(5), "the other server is not mistaken for a jump");
        assert_eq!(shown(&[Some(1), Some(100)]), Some(1), "a restart starts from the server's own count");
    }

    #[test]
    fn a_finding_leaves_a_zero_behind_for_each_severity_it_had() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        let open = |round: &Round| {
            metrics.observe(round);
            of_caches(&metrics).into_iter().filter(|line| line.contains("finding_open")).collect::<Vec<_>>()
        };
        let mut round = fixture::name_not_found(&cache);
        let line = |severity: u8, value: u8| {
            format!(
                r#"cachewatch_finding_open{{cache="orders",finding="dns-name-not-found",severity="{severity}"}} {value}"#
            )
        };
        assert_eq!(open(&round), [line(1, 1)]);
        round.verdict.open[0].severity = Severity::Degraded;
        assert_eq!(open(&round), [line(1, 0), line(2, 1)]);
        assert_eq!(open(&fixture::healthy(&cache)), [line(1, 0), line(2, 0)]);
    }

    #[test]
    fn errors_without_a_word_are_counted() {
        let cache = fixture::cache("orders");
        let metrics = watching(&cache);
        let mut round = fixture::healthy(&cache);
        let note = Fault::new(Stage::Inspect, FaultKind::Unrecognised, "-XYZZY");
        fixture::report(&mut round).legs[0].notes.push(note);
        round.events.push(Event::new(round.seen.at(), None, EventKind::AddressesChanged));
        metrics.observe(&round);
        assert!(samples(&metrics).contains(&"cachewatch_unrecognised_errors_total 1".to_owned()));
    }

    #[test]
    fn the_version_of_a_server_is_bounded() {
        let label = |text: &str| version_label(Some(&WireText::new(text)));
        assert_eq!(label("7.2.4-rc1+b"), "7.2.4-rc1+b");
        assert_eq!(label("7.2\"} 1\nfake{\u{1b}"), "7.2___1_nfake__u_1b_");
        assert_eq!(label(&"9".repeat(100)).len(), LONGEST_VERSION);
        assert_eq!(version_label(None), "");
    }

    #[test]
    fn the_configuration_and_the_daemon_itself_are_measured() {
        let metrics = Metrics::new("1", "r");
        metrics.config_reloaded(true, Timestamp::from_unix_seconds(1_700_000_000), 2);
        metrics.config_reloaded(false, Timestamp::from_unix_seconds(1_700_000_060), 2);
        metrics.probe_late(Duration::from_millis(500));
        metrics.probes_in_flight(3);
        metrics.probe_panicked();
        metrics.auth_failed();
        metrics.auth_failed();
        metrics.connection_refused();
        metrics.tls_handshake_failed();
        metrics.guard_reloaded(false);
        let expected = [
            r#"cachewatch_build_info{revision="r",version="1"} 1"#,
            "cachewatch_config_caches 2",
            "cachewatch_config_last_reload_success_timestamp_seconds 1700000000",
            "cachewatch_config_last_reload_successful 0",
            "cachewatch_http_auth_failures_total 2",
            "cachewatch_http_connections_refused_total 1",
            "cachewatch_http_files_last_reload_successful 0",
            "cachewatch_http_tls_handshake_failures_total 1",
            r#"cachewatch_journal_events_total{sink="journal"} 0"#,
            "cachewatch_probe_lateness_seconds_sum 0.5",
            "cachewatch_probe_lateness_seconds_count 1",
            "cachewatch_probe_panics_total 1",
            "cachewatch_probes_in_flight 3",
            "cachewatch_probes_skipped_total 0",
            r#"cachewatch_sink_failures_total{sink="journal"} 0"#,
            r#"cachewatch_sink_failures_total{sink="log"} 0"#,
            "cachewatch_unrecognised_errors_total 0",
        ];
        assert_eq!(samples(&metrics), expected);
    }

    #[test]
    fn names_keep_the_rules() {
        for (name, kind, labels) in CATALOGUE {
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
            assert!(name.starts_with("cachewatch_"), "{name}");
            let is_of_the_daemon = [&["version", "revision"][..], &["name"], &["sink"], &["loop"]].contains(labels);
            assert!(labels.first().is_none_or(|first| *first == "cache") || is_of_the_daemon, "{name}");
            let is_a_unit_too_small = ["_ms", "_millis", "_percent"].iter().any(|unit| name.ends_with(unit));
            assert!(!is_a_unit_too_small, "{name}");
        }
        let metrics = watching(&fixture::cache("orders"));
        for family in metrics.registries.values().flat_map(Registry::gather) {
            assert!(family.help().len() > 10, "{}", family.name());
        }
    }

    /// The tables of `docs/metrics.md` list exactly these metrics, with these types and labels.
    #[test]
    fn the_document_lists_exactly_these_metrics() {
        let document = include_str!("../../docs/metrics.md");
        let mut listed: Vec<_> = document
            .lines()
            .filter(|line| line.starts_with("| `cachewatch_"))
            .map(|line| line.split('|').skip(1).take(3).map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>())
            .map(|cells| cells.join(" | "))
            .collect();
        let mut known: Vec<_> =
            CATALOGUE.iter().map(|(name, kind, labels)| format!("{name} | {kind} | {}", labels.join(", "))).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed.join("\n"), known.join("\n"));
    }
}
