//! The one loop that judges: it takes what the probes saw, one at a time, and tells every sink.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::judge::Watch;
use crate::model::{
    Cache, CacheName, Errand, Event, EventKind, Fault, FaultKind, ProbeReport, Round, Stage, Timestamp,
};
use crate::sink::{self, Board, Metrics, Pulse};

/// What reaches the loop.
#[derive(Debug)]
pub(super) enum Observation {
    /// A probe has reported.
    Probed { cache: Arc<Cache>, report: Arc<ProbeReport> },
    /// A probe has panicked: a defect of this program, and the end of that probe only.
    Panicked { cache: Arc<Cache> },
}

/// The caches to watch from now on; answered once every sink knows them.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) caches: Vec<Arc<Cache>>,
    pub(super) done: oneshot::Sender<()>,
}

/// The loop. It owns all judging state.
pub(super) struct Dispatch {
    observed: mpsc::Receiver<Observation>,
    configured: mpsc::Receiver<Caches>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    pulse: Arc<Pulse>,
    watched: BTreeMap<CacheName, Watched>,
}

struct Watched {
    cache: Arc<Cache>,
    watch: Watch,
    /// When a probe of it last reached an address.
    reached: Option<Timestamp>,
    /// When the first probe began of those that have reached none since.
    unreached: Option<Timestamp>,
}

impl Dispatch {
    /// A loop that watches nothing yet, and where it is told what to watch.
    pub(super) fn new(
        observed: mpsc::Receiver<Observation>,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
        pulse: Arc<Pulse>,
    ) -> (Self, mpsc::Sender<Caches>) {
        let (sender, configured) = mpsc::channel(1);
        (Self { observed, configured, metrics, board, pulse, watched: BTreeMap::new() }, sender)
    }

    /// Runs until the schedule has ended and its last report is judged.
    pub(super) async fn run(mut self) {
        let mut heartbeat = tokio::time::interval(Duration::from_secs(1));
        loop {
            self.pulse.loop_turned();
            tokio::select! {
                biased;
                Some(caches) = self.configured.recv() => self.watch(caches),
                observation = self.observed.recv() => match observation {
                    Some(observation) => self.observe(observation),
                    None => return,
                },
                _ = heartbeat.tick() => {}
            }
        }
    }

    /// Takes a new set of caches: those that stay at their endpoint keep what is known of them.
    fn watch(&mut self, Caches { caches, done }: Caches) {
        let now = clock::now();
        let mut before = std::mem::take(&mut self.watched);
        for cache in caches {
            let known = before.remove(&cache.name);
            let same_endpoint =
                known.as_ref().is_some_and(|known| known.cache.host == cache.host && known.cache.port == cache.port);
            let watch = match known {
                Some(known) if same_endpoint => {
                    if !Arc::ptr_eq(&known.cache, &cache) {
                        self.metrics.add_cache(&cache);
                        self.board.add_cache(Arc::clone(&cache));
                    }
                    known.watch
                }
                known => {
                    if let Some(known) = known {
                        self.forget(&known.cache.name);
                    }
                    self.metrics.add_cache(&cache);
                    self.board.add_cache(Arc::clone(&cache));
                    sink::log_event(
                        &Event::new(now, Some(cache.name.clone()), EventKind::CacheAdded).now(&cache.endpoint()),
                    );
                    Watch::default()
                }
            };
            self.watched.insert(cache.name.clone(), Watched { cache, watch, reached: None, unreached: None });
        }
        for name in before.into_keys() {
            self.forget(&name);
            sink::log_event(&Event::new(now, Some(name), EventKind::CacheRemoved));
        }
        // Who asked may have gone; the caches are watched all the same.
        let _ = done.send(());
    }

    fn forget(&self, name: &CacheName) {
        self.metrics.remove_cache(name);
        self.board.remove_cache(name);
    }

    fn observe(&mut self, observation: Observation) {
        let (cache, report) = match observation {
            Observation::Probed { cache, report } => (cache, report),
            Observation::Panicked { cache } => {
                tracing::error!(cache = %cache.name, "a probe panicked; this is a defect of cachewatch, please report it");
                self.metrics.probe_panicked();
                let report = broken(&cache);
                (cache, Arc::new(report))
            }
        };
        let others_reach = self.others_reach(&report);
        // A report of a cache that a reload has removed or changed speaks of something that is no longer watched.
        let Some(watched) = self.watched.get_mut(&cache.name).filter(|watched| Arc::ptr_eq(&watched.cache, &cache))
        else {
            return;
        };
        if report.reached_anything() {
            (watched.reached, watched.unreached) = (Some(report.at), None);
        } else {
            watched.unreached.get_or_insert(report.at);
        }
        let events = watched.watch.observe(&cache, &report, others_reach);
        let (open, suspicious) = (watched.watch.open(), watched.watch.is_suspicious());
        let exhaustion = watched.watch.exhaustion(&report);
        let round = Round { errand: Errand::Probe, cache, report, open, suspicious, exhaustion, events };
        self.metrics.observe(&round);
        self.board.observe(&round);
        sink::log_round(&round);
    }
}

impl Dispatch {
    /// Whether another cache was reached since this one is not: then the network of this machine is up.
    fn others_reach(&self, report: &ProbeReport) -> bool {
        let since = self.watched.get(&report.cache).and_then(|watched| watched.unreached).unwrap_or(report.at);
        let mut others = self.watched.values().filter(|watched| watched.cache.name != report.cache);
        others.any(|watched| watched.reached.is_some_and(|at| at >= since))
    }
}

/// What is reported of a probe that panicked.
fn broken(cache: &Cache) -> ProbeReport {
    let words = "the probe itself failed; this is a defect of cachewatch, the log has the panic";
    ProbeReport {
        cache: cache.name.clone(),
        at: clock::now(),
        took: Duration::ZERO,
        resolutions: Vec::new(),
        legs: Vec::new(),
        control_reached: None,
        exposure: None,
        fault: Some(Fault::new(Stage::Resolve, FaultKind::Internal, words)),
    }
}
