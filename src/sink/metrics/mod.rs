//! Every metric there is. `docs/metrics.md` lists them for people; a test keeps the two alike.
//!
//! Gauges of what a probe saw hold for one round: where a stage was not reached, its gauges are absent, never left at
//! their last value ([`series`]). Counters, histograms and the few gauges that are true whatever was seen stay until the
//! cache goes. Which families there are stands in [`families`], what a round makes of them in [`per_cache`].

mod families;
mod number;
mod per_cache;
mod series;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};

use self::families::{Families, Registries};
use self::number::{count, large_count, truth};
use self::per_cache::CacheSeries;
use super::name::SinkName;
use super::pulse::{Loop, Pulse};
use crate::model::{Cache, CacheName, Event, Finding, Round, Sysctl, Timestamp};

/// The metrics of the daemon and of every cache it watches.
pub struct Metrics {
    registries: Registries,
    families: Families,
    caches: Mutex<BTreeMap<CacheName, CacheSeries>>,
    /// How long the last scrape was, in bytes.
    length: AtomicUsize,
    /// Whether the journal says that it can be written.
    journal_up: Mutex<bool>,
}

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
        families.build_info(version, revision).set(1.0);
        families.config_last_reload_successful().set(0.0);
        families.config_caches().set(0.0);
        families.probes_in_flight().set(0.0);
        families.probe_panics_total().inc_by(0);
        families.probes_skipped_total().inc_by(0);
        families.unrecognised_errors_total().inc_by(0);
        families.http_connections_refused_total().inc_by(0);
        families.http_tls_handshake_failures_total().inc_by(0);
        families.http_auth_failures_total().inc_by(0);
        families.http_files_last_reload_successful().set(1.0);
        families.journal_events_total(SinkName::Journal).inc_by(0);
        for sink in SinkName::ALL {
            families.sink_failures_total(*sink).inc_by(0);
        }
        // Made, and thereby shown as zero.
        let _ = families.probe_lateness_seconds();
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
        let series = caches.entry(cache.name.clone()).or_insert_with(|| CacheSeries::new(cache.name.clone()));
        series.configure(&self.families, cache);
    }

    /// Watches a cache no longer: every series of it goes.
    pub fn remove_cache(&self, cache: &CacheName) {
        self.caches().remove(cache);
    }

    /// Takes in one round. A round of a cache that is not watched (removed while its probe ran) leaves no trace.
    pub fn observe(&self, round: &Round) {
        if let Some(series) = self.caches().get_mut(&round.cache.name) {
            series.observe(&self.families, round);
        }
    }

    /// Takes in what was judged without a probe: the findings open now, and what changed.
    pub fn judged(&self, cache: &CacheName, open: &[Finding], events: &[Event]) {
        if let Some(series) = self.caches().get_mut(cache) {
            series.findings(&self.families, open, events);
        }
    }

    /// A connection was refused: each place there may be is busy.
    pub fn connection_refused(&self) {
        self.families.http_connections_refused_total().inc();
    }

    /// A client broke off the TLS handshake, or was refused in it.
    pub fn tls_handshake_failed(&self) {
        self.families.http_tls_handshake_failures_total().inc();
    }

    /// A request named a user and a password that are not right.
    pub fn auth_failed(&self) {
        self.families.http_auth_failures_total().inc();
    }

    /// Certificate, key and users were read again; where that failed, the ones before stay in use.
    pub fn guard_reloaded(&self, success: bool) {
        self.families.http_files_last_reload_successful().set(truth(success));
    }

    /// The configuration was read: `caches` is how many are in use after it.
    pub fn config_reloaded(&self, success: bool, at: Timestamp, caches: usize) {
        self.families.config_last_reload_successful().set(truth(success));
        self.families.config_caches().set(count(caches));
        if success {
            self.families.config_last_reload_success_timestamp_seconds().set(at.unix_seconds());
        }
    }

    /// A probe started that long after it was due.
    pub fn probe_late(&self, by: Duration) {
        self.families.probe_lateness_seconds().observe(by.as_secs_f64());
    }

    /// A probe was due and left out.
    pub fn probe_skipped(&self) {
        self.families.probes_skipped_total().inc();
    }

    /// How many probes were started, and how many were left out, since the daemon started.
    #[must_use]
    pub fn probes_started_and_skipped(&self) -> (u64, u64) {
        let started = self.families.probe_lateness_seconds().get_sample_count();
        (started, self.families.probes_skipped_total().get())
    }

    /// So many probes run now.
    pub fn probes_in_flight(&self, probes: usize) {
        self.families.probes_in_flight().set(count(probes));
    }

    /// A probe or a lookup broke for a defect of this program.
    pub fn probe_panicked(&self) {
        self.families.probe_panics_total().inc();
    }

    /// So many events are kept for good.
    pub fn journal_recorded(&self, events: u64) {
        self.families.journal_events_total(SinkName::Journal).inc_by(events);
    }

    /// A sink failed that often, or lost so many events.
    pub fn sink_failed(&self, sink: SinkName, times: u64) {
        self.families.sink_failures_total(sink).inc_by(times);
    }

    /// Whether the journal can be written. Its counters are there from then on.
    pub fn journal_up(&self, up: bool) {
        // Held while the gauge is set: a scrape must not set it back.
        let mut known = self.journal_up.lock().unwrap_or_else(PoisonError::into_inner);
        *known = up;
        self.families.journal_up().set(truth(up));
    }

    /// The journal has this size.
    pub fn journal_size(&self, bytes: u64) {
        self.families.journal_size_bytes().set(large_count(bytes));
    }

    /// What was open when an earlier run ended: it counts as open until a probe says otherwise, and has not opened again.
    pub fn restore(&self, cache: &CacheName, open: &[Finding]) {
        if let Some(series) = self.caches().get_mut(cache) {
            series.show_open(&self.families, open);
        }
    }

    /// This machine's settings. What is to be said of them is no finding of a cache, and `host_sysctl` tells it as well.
    pub fn machine(&self, settings: &[Sysctl]) {
        for setting in settings {
            self.families.host_sysctl(setting.name).set(large_count(setting.value));
        }
    }

    /// Brings up to `now` what changes by itself: which loops turn, and what is too old to be true. A gauge of what a probe
    /// saw goes where no probe was judged for three intervals, and at once where the loops that start and judge probes
    /// stand still for longer than `limit`.
    pub fn before_scrape(&self, pulse: &Pulse, limit: Duration, now: Timestamp) {
        let is_up = |which| pulse.stands_still(which, limit).is_none();
        for which in Loop::ALL {
            self.families.loop_up(*which).set(truth(is_up(*which)));
        }
        {
            let known = self.journal_up.lock().unwrap_or_else(PoisonError::into_inner);
            if *known {
                self.families.journal_up().set(truth(is_up(Loop::Journal)));
            }
        }
        let is_judging = is_up(Loop::Schedule) && is_up(Loop::Dispatch);
        for series in self.caches().values_mut() {
            if !is_judging || series.is_outdated(now) {
                series.expire();
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

    fn caches(&self) -> MutexGuard<'_, BTreeMap<CacheName, CacheSeries>> {
        // A panic elsewhere leaves at worst one cache's round half counted.
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
