//! The one loop that judges: it takes what the probes saw, one at a time, and tells every sink.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::machine;
use super::messages::{CacheSet, Hint, Observed};
use super::sinks::Sinks;
use crate::clock;
use crate::http::{Accept, AcceptError};
use crate::judge::{SavedState, Watch};
use crate::model::{
    Cache, CacheName, Event, EventKind, Finding, LookupReport, Observation, ProbeReport, Round, Timestamp,
};
use crate::sink::journal::{Late, Recovered, Run, Settled, State};
use crate::sink::{Board, Chronicle, Loop, Metrics, Pulse};

/// The loop. It owns all judging state.
pub(super) struct Dispatch {
    observed: mpsc::Receiver<Observed>,
    configured: mpsc::Receiver<CacheSet>,
    hints: mpsc::Sender<Hint>,
    accepts: mpsc::Receiver<Accept>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    pulse: Arc<Pulse>,
    chronicle: Chronicle,
    /// What an earlier run left, until the first caches are known.
    recovered: Recovered,
    /// What a journal knows that could not be opened at the start.
    late: mpsc::UnboundedReceiver<Late>,
    /// Late saved state that was merged, until the journal has confirmed it.
    settled: Option<Settled>,
    /// Whether the first caches are known.
    is_configured: bool,
    watched: BTreeMap<CacheName, TrackedCache>,
}

struct TrackedCache {
    cache: Arc<Cache>,
    watch: Watch,
    /// What the journal knows of the watch; `None` where it must be told.
    kept: Option<SavedState>,
    /// When a probe of it last reached an address.
    reached: Option<Timestamp>,
    /// When the first probe began of those that have reached none since.
    unreached: Option<Timestamp>,
}

impl TrackedCache {
    fn note_reach(&mut self, report: &ProbeReport) {
        let at = report.lookup.at;
        if report.reached_anything() {
            (self.reached, self.unreached) = (Some(at), None);
        } else {
            self.unreached.get_or_insert(at);
        }
    }

    /// Tells what happened, with what is to be known again by the next run where that is not what the journal has. `tell`
    /// says whether the journal took it.
    fn keep(&mut self, tell: impl FnOnce(Option<State>) -> bool) {
        if self.kept.as_ref().is_some_and(|kept| self.watch.is_kept_by(kept)) {
            tell(None);
            return;
        }
        let memento = self.watch.saved_state();
        let news = state(&self.cache, &memento);
        let is_news = news.is_some();
        if tell(news) && is_news {
            self.kept = Some(memento);
        }
    }
}

impl Dispatch {
    /// A loop that watches nothing yet, and where it is told what to watch.
    pub(super) fn new(
        observed: mpsc::Receiver<Observed>,
        hints: mpsc::Sender<Hint>,
        accepts: mpsc::Receiver<Accept>,
        Sinks { metrics, board, pulse, chronicle }: Sinks,
        recovered: Recovered,
        late: mpsc::UnboundedReceiver<Late>,
    ) -> (Self, mpsc::Sender<CacheSet>) {
        let (sender, configured) = mpsc::channel(1);
        let watched = BTreeMap::new();
        let dispatch = Self {
            observed,
            configured,
            hints,
            accepts,
            metrics,
            board,
            pulse,
            chronicle,
            recovered,
            late,
            settled: None,
            is_configured: false,
            watched,
        };
        (dispatch, sender)
    }

    /// Runs until the schedule has ended and its last report is judged.
    pub(super) async fn run(mut self) {
        let mut heartbeat = tokio::time::interval(Duration::from_secs(1));
        loop {
            self.pulse.turned(Loop::Dispatch);
            tokio::select! {
                biased;
                Some(caches) = self.configured.recv() => self.watch(caches),
                Some(late) = self.late.recv(), if self.is_configured => self.take_up(late),
                Some(accept) = self.accepts.recv() => {
                    // Who asked may have gone; what was accepted stays so.
                    let _ = accept.answer.send(self.accept(&accept.cache));
                }
                observed = self.observed.recv() => match observed {
                    Some(observed) => self.observe(observed),
                    None => return,
                },
                _ = heartbeat.tick() => {}
            }
            self.settled.take_if(|settled| self.chronicle.journal().settle(settled));
        }
    }

    /// Takes a new set of caches: those that stay at their endpoint keep what is known of them.
    fn watch(&mut self, CacheSet { caches, done }: CacheSet) {
        self.is_configured = true;
        let now = clock::now();
        let mut before = std::mem::take(&mut self.watched);
        let Recovered { states, mut recent, last_run } = std::mem::take(&mut self.recovered);
        let mut states: BTreeMap<_, _> = states.into_iter().map(|state| (state.cache.clone(), state)).collect();
        for cache in caches {
            let known = before.remove(&cache.name);
            let left = states.remove(&cache.name).filter(|state| state.host == cache.host && state.port == cache.port);
            let same_endpoint =
                known.as_ref().is_some_and(|known| known.cache.host == cache.host && known.cache.port == cache.port);
            let (watch, kept) = match known {
                Some(known) if same_endpoint => {
                    if !Arc::ptr_eq(&known.cache, &cache) {
                        self.metrics.add_cache(&cache);
                        self.board.add_cache(Arc::clone(&cache));
                    }
                    (known.watch, known.kept)
                }
                known => {
                    if let Some(known) = known {
                        self.forget(&known.cache.name);
                    }
                    self.metrics.add_cache(&cache);
                    self.board.add_cache(Arc::clone(&cache));
                    match left {
                        Some(left) => self.go_on(&left, last_run, recent.remove(&cache.name).unwrap_or_default()),
                        None => self.begin(&cache, now),
                    }
                }
            };
            let watched = TrackedCache { kept, watch, reached: None, unreached: None, cache };
            self.watched.insert(watched.cache.name.clone(), watched);
        }
        // Those of the run before that are configured no longer are gone as those that a reload has removed.
        for name in before.into_keys().chain(states.into_keys()) {
            self.forget(&name);
            let event = Event::new(now, Some(name.clone()), EventKind::CacheRemoved);
            self.chronicle.tell_end(&[event], &name);
        }
        // Who asked may have gone; the caches are watched all the same.
        let _ = done.send(());
    }

    /// A cache that was not watched before.
    fn begin(&self, cache: &Cache, now: Timestamp) -> (Watch, Option<SavedState>) {
        let watch = Watch::default();
        let memento = watch.saved_state();
        let added = Event::new(now, Some(cache.name.clone()), EventKind::CacheAdded).now(&cache.endpoint());
        let told = self.chronicle.tell_of(&[added], &[], state(cache, &memento));
        (watch, told.then_some(memento))
    }

    /// A cache that an earlier run watched: what was open then is open now, until a probe says otherwise.
    fn go_on(&self, left: &State, last_run: Option<Run>, recent: Vec<Event>) -> (Watch, Option<SavedState>) {
        let (watch, kept) = match serde_json::from_str::<SavedState>(&left.memento) {
            Ok(memento) => (Watch::restore(memento.clone(), last_run.map(|run| run.last_alive)), Some(memento)),
            Err(error) => {
                tracing::warn!(cache = %left.cache, %error, "the saved state of the cache cannot be read; it starts \
                                                             without saved state");
                (Watch::default(), None)
            }
        };
        self.metrics.restore(&left.cache, &watch.open());
        self.board.recall(&left.cache, watch.open(), recent);
        (watch, kept)
    }

    /// A journal that could not be opened at the start can be now: what it knows is older than what was seen since.
    fn take_up(&mut self, Late { recovered, is_first, told }: Late) {
        let now = clock::now();
        let last_alive = recovered.last_run.map(|run| run.last_alive);
        let mut settled = Settled { caches: BTreeSet::new(), open: BTreeSet::new() };
        for left in recovered.states {
            let name = left.cache.clone();
            if name.as_str() == CacheName::MACHINE {
                settled.open.extend(self.take_up_machine(&left, now).into_iter().map(|finding| (None, finding.id)));
                continue;
            }
            let Some(watched) = self.watched.get_mut(&name) else {
                self.chronicle.tell_end(&[Event::new(now, Some(name.clone()), EventKind::CacheRemoved)], &name);
                continue;
            };
            let cache = &watched.cache;
            if (&left.host, left.port) != (&cache.host, cache.port) {
                continue;
            }
            settled.caches.insert(name.clone());
            let Ok(memento) = serde_json::from_str::<SavedState>(&left.memento) else { continue };
            settled.open.extend(memento.open().map(|id| (Some(name.clone()), id)));
            let is_told = |kind, id| told.contains(&(name.clone(), kind, id));
            watched.watch.take_up_findings(&memento, |id| is_told(EventKind::FindingCleared, Some(id)));
            if is_first {
                use EventKind::{AddressesChanged, CertificateChanged, ChainChanged};
                let has_told = [AddressesChanged, ChainChanged, CertificateChanged].map(|kind| is_told(kind, None));
                watched.watch.take_up_memory(memento, last_alive, has_told.contains(&true));
            }
            let open = watched.watch.open();
            self.metrics.judged(&name, &open, &[]);
            self.board.judged(&name, open.clone(), &[]);
            watched.kept = None;
            watched.keep(|news| self.chronicle.tell_of(&[], &open, news));
        }
        tracing::info!(
            caches = settled.caches.len(),
            "the journal opened late: its saved state of the caches is merged"
        );
        self.settled = Some(settled);
    }

    /// What the journal said of this machine; it is over where it is not open now.
    fn take_up_machine(&self, left: &State, now: Timestamp) -> Vec<Finding> {
        let left = machine::findings_of(left);
        let open = &self.board.snapshot().machine;
        for before in left.iter().filter(|before| open.iter().all(|finding| finding.id != before.id)) {
            let event = Event::new(now, None, EventKind::FindingCleared).now(&before.summary);
            let (finding, severity) = (Some(before.id), Some(before.severity));
            let lasted = Some(now.since(before.since));
            let event = Event { finding, severity, lasted, ..event };
            self.chronicle.tell(&[event.evidence("the journal could not be opened before")]);
        }
        left
    }

    fn forget(&self, name: &CacheName) {
        self.metrics.remove_cache(name);
        self.board.remove_cache(name);
    }

    fn observe(&mut self, Observed { cache, outcome, next }: Observed) {
        let seen = outcome.unwrap_or_else(|kind| {
            tracing::error!(cache = %cache.name, "a {kind} panicked; this is a defect of cachewatch, please report it");
            self.metrics.probe_panicked();
            Observation::broken(kind, &cache, clock::now())
        });
        let others_reach = seen.probe().is_some_and(|report| self.others_reach(report));
        // A report of a cache that a reload has removed or changed speaks of something that is no longer watched.
        let Some(watched) = self.watched.get_mut(&cache.name).filter(|watched| Arc::ptr_eq(&watched.cache, &cache))
        else {
            return;
        };
        if let Some(report) = seen.probe() {
            watched.note_reach(report);
        }
        let events = watched.watch.observe(&cache, &seen, others_reach);
        if let Some(lookup) = seen.lookup()
            && let Some(after) = watched.watch.next_lookup(&cache, lookup)
        {
            // Where the schedule cannot keep up a hint is lost, and the next probe gives another.
            let at = run_out(lookup, seen.took(), after);
            let _ = self.hints.try_send(Hint { cache: Arc::clone(&cache), at });
        }
        let verdict = watched.watch.verdict(&cache, seen.at());
        let next = next.map(|next| clock::now().plus(next.saturating_duration_since(clock::instant())));
        let round = Round { cache, seen, verdict, events, next };
        self.metrics.observe(&round);
        self.board.observe(&round);
        watched.keep(|news| self.chronicle.tell_round(&round, news));
    }
}

impl Dispatch {
    /// Accepts the last answers of the resolvers of a cache as the baseline, and shows it at once.
    fn accept(&mut self, cache: &str) -> Result<Vec<Event>, AcceptError> {
        let watched = self.watched.get_mut(cache).ok_or(AcceptError::NoSuchCache)?;
        let accepted = watched.watch.accept(&watched.cache, clock::now());
        let events = accepted.map_err(|error| AcceptError::Nothing(error.to_string()))?;
        let open = watched.watch.open();
        self.metrics.judged(&watched.cache.name, &open, &events);
        self.board.judged(&watched.cache.name, open.clone(), &events);
        watched.keep(|news| self.chronicle.tell_of(&events, &open, news));
        Ok(events)
    }

    /// Whether another cache was reached since this one is not: then the network of this machine is up.
    fn others_reach(&self, report: &ProbeReport) -> bool {
        let LookupReport { cache, at, .. } = &report.lookup;
        let since = self.watched.get(cache).and_then(|watched| watched.unreached).unwrap_or(*at);
        let mut others = self.watched.values().filter(|watched| watched.cache.name != *cache);
        others.any(|watched| watched.reached.is_some_and(|at| at >= since))
    }
}

/// The moment `after` the answers of an observation that has just come in and `took` so long: the last of them was there
/// before its probe went on to the server. Not the first of them: what is asked for before it runs out is answered from the
/// same cache once more.
fn run_out(lookup: &LookupReport, took: Duration, after: Duration) -> Instant {
    let answered = lookup.resolutions.iter().filter(|resolution| resolution.fault.is_none());
    let last = answered.map(|resolution| resolution.took).max().unwrap_or_default();
    clock::instant() + after.saturating_sub(took.saturating_sub(last))
}

/// What the journal keeps of a watch.
fn state(cache: &Cache, memento: &SavedState) -> Option<State> {
    let memento = serde_json::to_string(memento)
        .inspect_err(|error| tracing::error!(%error, "the state of a cache cannot be saved; please report it"));
    let (name, host) = (cache.name.clone(), cache.host.clone());
    Some(State { cache: name, host, port: cache.port, memento: memento.ok()? })
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::model::{FindingId, ObservationKind};
    use crate::sink::journal::{Limits, Settings};
    use crate::sink::{Journal, fixture};

    /// A loop that watches one cache, driven by hand; a single hint fits into its channel.
    fn watching(cache: &Arc<Cache>) -> (Dispatch, mpsc::Receiver<Hint>) {
        let (hints, hinted) = mpsc::channel(1);
        let metrics = Arc::new(Metrics::new("1", "r"));
        let limits = Limits { retention: Duration::from_hours(24), max_size: 1 << 20 };
        let (journal, _) =
            Journal::start(Settings { path: None, limits }, Arc::clone(&metrics), Arc::default()).unwrap();
        let late = journal.late();
        let sinks = Sinks {
            metrics,
            board: Arc::new(Board::new()),
            pulse: Arc::new(Pulse::new()),
            chronicle: Chronicle::new(journal),
        };
        let (mut dispatch, _) =
            Dispatch::new(mpsc::channel(1).1, hints, mpsc::channel(1).1, sinks, Recovered::default(), late);
        dispatch.watch(CacheSet { caches: vec![Arc::clone(cache)], done: oneshot::channel().0 });
        (dispatch, hinted)
    }

    fn cache(follow_ttl: Option<Duration>) -> Arc<Cache> {
        Arc::new(Cache { follow_ttl, ..fixture::cache("orders") })
    }

    fn value(dispatch: &Dispatch, metric: &str) -> Option<f64> {
        let text = dispatch.metrics.encode().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("cachewatch_{metric}")))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn observed(cache: &Arc<Cache>, outcome: Result<Observation, ObservationKind>) -> Observed {
        Observed { cache: Arc::clone(cache), outcome, next: None }
    }

    fn probed(cache: &Arc<Cache>) -> Observed {
        observed(cache, Ok(fixture::healthy(cache).seen))
    }

    fn looked_up(cache: &Arc<Cache>, address: &str) -> Observed {
        observed(cache, Ok(fixture::looked_up(cache, &[address]).seen))
    }

    /// The answers were there after 2 ms and may be kept for 10 s; the probe went on for 250 ms.
    #[tokio::test(start_paused = true)]
    async fn the_schedule_is_told_when_the_answers_run_out() {
        let followed = cache(Some(Duration::from_secs(5)));
        let (mut dispatch, mut hints) = watching(&followed);
        let now = clock::instant();
        dispatch.observe(probed(&followed));
        let hint = hints.try_recv().unwrap();
        assert!(Arc::ptr_eq(&hint.cache, &followed));
        assert_eq!(hint.at - now, Duration::from_millis(10_000 + 2 - 250));
        dispatch.observe(looked_up(&followed, "10.20.1.4"));
        assert_eq!(hints.try_recv().unwrap().at - now, Duration::from_secs(10));

        // A hint that nobody takes keeps nothing up.
        for _ in 0..3 {
            dispatch.observe(looked_up(&followed, "10.20.1.4"));
        }
        assert_eq!(value(&dispatch, "lookups_total"), Some(4.0));

        for follow_ttl in [None, Some(fixture::cache("orders").interval)] {
            let cache = cache(follow_ttl);
            let (mut dispatch, mut hints) = watching(&cache);
            dispatch.observe(probed(&cache));
            assert!(hints.try_recv().is_err(), "{follow_ttl:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_board_knows_when_the_next_probe_is_due() {
        let cache = cache(None);
        let (mut dispatch, _hints) = watching(&cache);
        let (before, next) = (clock::now(), Some(clock::instant() + Duration::from_secs(30)));
        dispatch.observe(Observed { next, ..probed(&cache) });
        let shown = dispatch.board.snapshot().caches["orders"].next.unwrap();
        assert!(shown >= before.plus(Duration::from_secs(30)) && shown <= clock::now().plus(Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_judged_and_told_beside_the_last_probe() {
        let cache = cache(Some(Duration::from_secs(5)));
        let (mut dispatch, _hints) = watching(&cache);
        dispatch.observe(probed(&cache));
        dispatch.observe(looked_up(&cache, "20.50.1.2"));
        let watched = Arc::clone(&dispatch.board.snapshot().caches["orders"]);
        assert_eq!(watched.report.as_deref().map(|report| report.legs.len()), Some(1));
        assert!(watched.lookup.is_some());
        // What exactly is told is the judge's.
        assert!(watched.events.iter().any(|event| event.kind == EventKind::AddressesChanged), "{:#?}", watched.events);
        assert!(watched.open.iter().any(|finding| finding.id == FindingId::DnsZoneNotLinked), "{:#?}", watched.open);
        assert_eq!((value(&dispatch, "probes_total"), value(&dispatch, "lookups_total")), (Some(1.0), Some(1.0)));

        // Of a cache that a reload has changed meanwhile.
        let changed = Arc::new(Cache { max_clients: Some(9), ..Cache::clone(&cache) });
        dispatch.observe(looked_up(&changed, "10.20.1.4"));
        assert_eq!(value(&dispatch, "lookups_total"), Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_panicked_is_counted_and_takes_nothing_from_the_probe() {
        let cache = cache(Some(Duration::from_secs(5)));
        let (mut dispatch, _hints) = watching(&cache);
        dispatch.observe(probed(&cache));
        dispatch.observe(observed(&cache, Err(ObservationKind::Lookup)));
        assert_eq!((value(&dispatch, "probe_panics_total"), value(&dispatch, "probe_success")), (Some(1.0), Some(1.0)));
        let watched = Arc::clone(&dispatch.board.snapshot().caches["orders"]);
        assert_eq!(watched.report.as_deref().map(|report| report.legs.len()), Some(1));
        assert!(watched.lookup.as_deref().is_some_and(|report| report.fault.is_some()));
    }
}
