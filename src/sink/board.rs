//! What HTTP shows: the last round of every cache.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{
    Cache, CacheName, Event, Finding, LookupReport, Observation, Pending, ProbeReport, Refusal, Round, Stage, Standing,
    Timestamp, WireText,
};

/// The last state of every cache, written by the dispatch loop and read by HTTP.
///
/// A reader takes a [`Snapshot`], one pointer; the writer copies the map of pointers only while a reader still has one.
#[derive(Debug)]
pub struct Board(RwLock<Snapshot>);

/// Everything the board held at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The caches, in the order of their names.
    pub caches: Arc<BTreeMap<CacheName, Arc<Watched>>>,
    /// The configuration in use.
    pub configuration: Arc<Configuration>,
    /// What is to be said of this machine, apart from any cache.
    pub machine: Arc<Vec<Finding>>,
    /// Which board this is: another one after each start of the daemon, so that no revision of an earlier one is taken for
    /// one of this.
    pub epoch: u64,
    /// How often something was written.
    pub revision: u64,
    /// The revision in which something apart from the rounds of caches last changed: which there are, how they are
    /// configured, this machine.
    pub settled: u64,
}

/// Which configuration is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// How many configurations have been taken into use; 0 before the first.
    pub generation: u64,
    /// When the one in use was read.
    pub read_at: Option<Timestamp>,
    /// The newer one that was last refused; `None` once one is accepted again.
    pub refused: Option<Refusal>,
}

/// One cache as the board knows it.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The cache as it is configured now.
    pub cache: Arc<Cache>,
    /// What the last probe saw; `None` before the first.
    pub report: Option<Arc<ProbeReport>>,
    /// What a lookup has seen since, which knows of nothing but names; `None` where the probe is the latest to have asked.
    pub lookup: Option<Arc<LookupReport>>,
    /// The findings open now, the deepest cause first.
    pub open: Vec<Finding>,
    /// What was seen and has not been seen often enough to open, the deepest cause first.
    pub pending: Vec<Pending>,
    /// When the next probe is due, where that is known.
    pub next: Option<Timestamp>,
    /// The last probe that tested what should be closed; `None` where none has.
    pub tested: Option<Arc<ProbeReport>>,
    /// The revision of the board in which anything of this last changed.
    pub revision: u64,
    /// What happened last, the latest first, at most [`Watched::MOST_EVENTS`].
    pub events: VecDeque<Event>,
    /// Whether a round has shown the cache without a suspicion: until then nothing speaks for it.
    pub proven: bool,
    /// What the last probes came to, the latest last, at most [`Watched::MOST_GLIMPSES`].
    pub recent: VecDeque<Glimpse>,
}

/// What one probe came to, in 32 bytes: enough for a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glimpse {
    /// When the probe began.
    pub at: Timestamp,
    /// Whether every address answered PING.
    pub succeeded: bool,
    /// How long the slowest PING took, in microseconds; `None` where none was answered.
    pub ping_micros: Option<u32>,
    /// The share of the client limit in use, 0 to 1; `None` where it is not known.
    pub used: Option<f32>,
}

impl Glimpse {
    fn of(cache: &Cache, report: &ProbeReport) -> Self {
        let answered = report.used_legs().filter(|leg| leg.fault.is_none());
        let slowest = answered.filter_map(|leg| leg.timings.of(Stage::Ping)).max();
        let clients = cache.busiest(report).and_then(|(_, _, clients)| clients);
        Self {
            at: report.lookup.at,
            succeeded: report.succeeded(),
            ping_micros: slowest.map(|took| u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
            used: clients.and_then(|clients| clients.headroom()).map(share_used),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share of 0 to 1, drawn some pixels high")]
fn share_used(free: f64) -> f32 {
    (1.0 - free) as f32
}

impl Board {
    /// A board without caches.
    #[must_use]
    pub fn new() -> Self {
        let epoch = RandomState::new().build_hasher().finish();
        Self(RwLock::new(Snapshot { epoch, ..Snapshot::default() }))
    }

    /// Shows a cache from now on. One that is shown already keeps its last round and takes the new configuration.
    pub fn add_cache(&self, cache: Arc<Cache>) {
        self.settle(|snapshot| {
            let caches = Arc::make_mut(&mut snapshot.caches);
            match caches.get_mut(&cache.name) {
                Some(watched) => Arc::make_mut(watched).cache = cache,
                None => {
                    caches.insert(cache.name.clone(), Arc::new(Watched::new(cache)));
                }
            }
        });
    }

    /// Shows a cache no longer.
    pub fn remove_cache(&self, cache: &CacheName) {
        self.settle(|snapshot| {
            Arc::make_mut(&mut snapshot.caches).remove(cache);
        });
    }

    /// What an earlier run knew of a cache: what was open when it ended, and what had happened last, the latest first.
    /// Until a probe has looked, nothing else speaks for the cache.
    pub fn recall(&self, cache: &CacheName, open: Vec<Finding>, events: impl IntoIterator<Item = Event>) {
        self.write(cache, |watched| {
            watched.open = open;
            watched.events.extend(events);
            watched.events.truncate(Watched::MOST_EVENTS);
            true
        });
    }

    /// Takes in one round. A round of a cache that is not shown (removed while its probe ran) leaves no trace.
    pub fn observe(&self, round: &Round) {
        self.write(&round.cache.name, |watched| watched.observe(round));
    }

    /// Takes in what was judged without a probe: the findings open now, and what changed.
    pub fn judged(&self, cache: &CacheName, open: Vec<Finding>, events: &[Event]) {
        self.write(cache, |watched| {
            watched.judged(open, events);
            true
        });
    }

    /// A configuration was taken into use: all its caches have been added. Until this is said once, nothing is ready.
    pub fn configured(&self, at: Timestamp) {
        self.settle(|snapshot| {
            let generation = snapshot.configuration.generation + 1;
            snapshot.configuration = Arc::new(Configuration { generation, read_at: Some(at), refused: None });
        });
    }

    /// What is to be said of this machine now.
    pub fn machine(&self, open: Vec<Finding>) {
        // It is looked at again and again, and hardly ever changes.
        if *self.snapshot().machine != open {
            self.settle(|snapshot| snapshot.machine = Arc::new(open));
        }
    }

    /// A new configuration was refused; the old one stays in use.
    pub fn configuration_refused(&self, at: Timestamp, problems: &[String]) {
        let problems = problems.iter().map(|problem| WireText::new(problem)).collect();
        self.settle(|snapshot| Arc::make_mut(&mut snapshot.configuration).refused = Some(Refusal { at, problems }));
    }

    /// Everything, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known of one cache, and says whether that is worth a look; of one that is not shown, nothing.
    fn write(&self, cache: &CacheName, change: impl FnOnce(&mut Watched) -> bool) {
        // A panic elsewhere leaves at worst one cache at its round before.
        let mut snapshot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let revision = snapshot.revision + 1;
        if let Some(watched) = Arc::make_mut(&mut snapshot.caches).get_mut(cache) {
            let watched = Arc::make_mut(watched);
            if change(watched) {
                watched.revision = revision;
                snapshot.revision = revision;
            }
        }
    }

    /// Changes anything else.
    fn settle(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        snapshot.revision += 1;
        snapshot.settled = snapshot.revision;
        change(&mut snapshot);
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Snapshot {
    /// The caches that have had no report yet.
    pub fn awaited(&self) -> impl Iterator<Item = &CacheName> {
        self.caches.iter().filter(|(_, watched)| watched.report.is_none()).map(|(name, _)| name)
    }

    /// Whether a configuration is in use and every cache of it has had its first report.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.configuration.generation > 0 && self.awaited().next().is_none()
    }

    /// The open findings of every cache, the worst first, then in the order of the caches.
    #[must_use]
    pub fn open(&self) -> Vec<&Finding> {
        let mut open: Vec<_> = self.caches.values().flat_map(|watched| &watched.open).collect();
        open.sort_by_key(|finding| finding.severity);
        open
    }
}

impl Watched {
    /// The most events kept for each cache; the journal keeps the rest.
    pub const MOST_EVENTS: usize = 20;

    /// The most probes kept as a curve: an hour at the default interval, for 3.75 KiB a cache.
    pub const MOST_GLIMPSES: usize = 120;

    fn new(cache: Arc<Cache>) -> Self {
        Self {
            cache,
            report: None,
            lookup: None,
            open: Vec::new(),
            pending: Vec::new(),
            next: None,
            tested: None,
            revision: 0,
            events: VecDeque::new(),
            proven: false,
            // All of it at once: what is taken later would look like a leak.
            recent: VecDeque::with_capacity(Self::MOST_GLIMPSES),
        }
    }

    /// Takes in a round, and says whether it tells anything new. A lookup that finds the name where it was does not.
    fn observe(&mut self, round: &Round) -> bool {
        let Round { cache, seen, verdict, events, next } = round;
        let is_news = self.take(cache, seen) || !events.is_empty() || verdict.open != self.open;
        if seen.probe().is_some() {
            // What comes between the probes proves nothing of the cache.
            self.proven |= verdict.pending.is_empty();
            self.next = *next;
        }
        self.pending.clone_from(&verdict.pending);
        self.judged(verdict.open.clone(), events);
        is_news
    }

    /// Keeps what was seen, and says whether it is anything new.
    fn take(&mut self, cache: &Cache, seen: &Observation) -> bool {
        match seen {
            Observation::Probe(report) => {
                if report.exposure.is_some() {
                    self.tested = Some(Arc::clone(report));
                }
                if self.recent.len() >= Self::MOST_GLIMPSES {
                    self.recent.pop_front();
                }
                self.recent.push_back(Glimpse::of(cache, report));
                (self.report, self.lookup) = (Some(Arc::clone(report)), None);
                true
            }
            Observation::Lookup(lookup) => {
                let is_news = !self.latest().is_some_and(|latest| latest.leads_as(lookup));
                self.lookup = Some(Arc::clone(lookup));
                is_news
            }
        }
    }

    fn judged(&mut self, open: Vec<Finding>, events: &[Event]) {
        self.open = open;
        for event in events {
            self.events.push_front(event.clone());
        }
        self.events.truncate(Self::MOST_EVENTS);
    }

    /// The latest lookup: one since the last probe, else that probe's.
    #[must_use]
    pub fn latest(&self) -> Option<&LookupReport> {
        self.lookup.as_deref().or_else(|| Some(&self.report.as_ref()?.lookup))
    }

    /// How the cache fares at `now`. Unknown is not good: a cache that was not probed, or not lately, or that has failed
    /// since it is watched and not yet often enough for a finding, is neither well nor at risk; it stays ill if it was.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let lasts = self.cache.report_lasts();
        let is_known = self.proven && self.report.as_ref().is_some_and(|report| now.since(report.lookup.at) <= lasts);
        match Standing::of(&self.open) {
            Standing::Ill => Standing::Ill,
            standing if is_known => standing,
            _ => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture;
    use super::*;
    use crate::model::{Passage, Severity};

    fn board(cache: &Cache) -> Board {
        let board = Board::new();
        board.add_cache(Arc::new(cache.clone()));
        board
    }

    /// A cache that is down from the start must not pass for well until its finding opens; one bad round of a cache that
    /// was well is what `open_after` is for.
    #[test]
    fn a_cache_that_has_only_failed_is_unknown_and_not_well() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        let suspicious = fixture::suspicious(fixture::name_not_found(&cache));
        board.observe(&suspicious);
        assert_eq!(standing(&board, fixture::start()), Standing::Unknown);
        board.observe(&fixture::healthy(&cache));
        board.observe(&suspicious);
        assert_eq!(standing(&board, fixture::start()), Standing::Well);
    }

    fn standing(board: &Board, now: Timestamp) -> Standing {
        board.snapshot().caches["orders"].standing(now)
    }

    #[test]
    fn nothing_is_ready_before_the_first_report_of_every_cache() {
        let cache = fixture::cache("orders");
        let board = Board::new();
        assert!(!board.snapshot().is_ready(), "an empty board may be one that is not filled yet");
        board.add_cache(Arc::new(cache.clone()));
        board.configured(fixture::start());
        assert!(!board.snapshot().is_ready());
        assert_eq!(board.snapshot().awaited().map(CacheName::as_str).collect::<Vec<_>>(), ["orders"]);
        board.observe(&fixture::name_not_found(&cache));
        assert!(board.snapshot().is_ready(), "a report of failure is a report");
    }

    #[test]
    fn a_cache_without_a_recent_report_is_unknown_unless_it_was_ill() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        let at = fixture::start();
        assert_eq!(standing(&board, at), Standing::Unknown);
        board.observe(&fixture::healthy(&cache));
        assert_eq!(standing(&board, at), Standing::Well);
        let limit = cache.interval * 3 + cache.timeouts.total;
        assert_eq!(standing(&board, at.plus(limit)), Standing::Well);
        assert_eq!(standing(&board, at.plus(limit + Duration::from_millis(1))), Standing::Unknown);

        let mut round = fixture::name_not_found(&cache);
        board.observe(&round);
        assert_eq!(standing(&board, at.plus(limit * 9)), Standing::Ill);
        round.verdict.open[0].severity = Severity::Risk;
        board.observe(&round);
        assert_eq!(standing(&board, at), Standing::AtRisk);
    }

    #[test]
    fn a_snapshot_does_not_change_under_its_reader() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        let before = board.snapshot();
        board.observe(&fixture::healthy(&cache));
        assert!(before.caches["orders"].report.is_none());
        assert!(board.snapshot().caches["orders"].report.is_some());
        board.remove_cache(&cache.name);
        board.observe(&fixture::healthy(&cache));
        assert!(board.snapshot().caches.is_empty(), "a late round brings no cache back");
    }

    #[test]
    fn the_last_events_are_kept_the_latest_first() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        let mut round = fixture::name_not_found(&cache);
        for second in 0..30 {
            round.events[0].at = Timestamp::from_unix_seconds(second);
            board.observe(&round);
        }
        let seconds: Vec<_> = board.snapshot().caches["orders"].events.iter().map(|e| e.at.unix_seconds()).collect();
        assert_eq!(seconds, (10..30).rev().map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_probes_are_kept_as_a_curve_and_lookups_are_not() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        let mut round = fixture::healthy(&cache);
        for second in 0..200 {
            fixture::report(&mut round).lookup.at = Timestamp::from_unix_seconds(second);
            board.observe(&round);
        }
        board.observe(&fixture::looked_up(&cache, &["10.20.1.5"]));
        board.observe(&fixture::name_not_found(&cache));
        let recent = board.snapshot().caches["orders"].recent.clone();
        assert_eq!((recent.len(), size_of::<Glimpse>()), (Watched::MOST_GLIMPSES, 32));
        let at = Timestamp::from_unix_seconds(199);
        let well = Glimpse { at, succeeded: true, ping_micros: Some(16_000), used: Some(0.1) };
        let ill =
            Glimpse { at: fixture::name_not_found(&cache).seen.at(), succeeded: false, ping_micros: None, used: None };
        assert_eq!(recent.iter().skip(118).copied().collect::<Vec<_>>(), [well, ill]);
    }

    #[test]
    fn a_lookup_shows_where_the_name_leads_and_proves_nothing() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        let lookup = fixture::looked_up(&cache, &["10.20.1.5"]);
        board.observe(&lookup);
        let watched = |board: &Board| Arc::clone(&board.snapshot().caches["orders"]);
        assert_eq!(standing(&board, lookup.seen.at()), Standing::Unknown, "nobody has reached it yet");

        board.observe(&fixture::healthy(&cache));
        let ill = fixture::name_not_found(&cache);
        board.observe(&Round { verdict: ill.verdict, events: ill.events, ..lookup });
        let shown = watched(&board);
        let leads_to = |lookup: &LookupReport| lookup.resolutions[0].addresses[0].address.to_string();
        assert_eq!(
            shown.report.as_deref().map(|report| (leads_to(&report.lookup), report.legs.len())),
            Some(("10.20.1.4".to_owned(), 1))
        );
        assert_eq!(shown.latest().map(leads_to).as_deref(), Some("10.20.1.5"));
        assert_eq!((shown.events.len(), standing(&board, fixture::start())), (1, Standing::Ill));

        board.observe(&fixture::healthy(&cache));
        assert_eq!(watched(&board).latest().map(leads_to).as_deref(), Some("10.20.1.4"), "the probe has asked since");
    }

    #[test]
    fn a_revision_tells_what_was_written_since() {
        let caches = ["orders", "carts"].map(fixture::cache);
        let board = Board::new();
        for cache in &caches {
            board.add_cache(Arc::new(cache.clone()));
        }
        let revisions = || {
            let snapshot = board.snapshot();
            let of = |name| snapshot.caches[name].revision;
            (of("orders"), of("carts"), snapshot.settled, snapshot.revision)
        };
        assert_eq!(revisions(), (0, 0, 2, 2));
        board.observe(&fixture::healthy(&caches[0]));
        assert_eq!(revisions(), (3, 0, 2, 3));
        board.judged(&caches[1].name, Vec::new(), &[]);
        board.recall(&caches[1].name, Vec::new(), []);
        assert_eq!(revisions(), (3, 5, 2, 5));
        board.observe(&fixture::looked_up(&caches[0], &["10.20.1.4"]));
        assert_eq!(revisions(), (3, 5, 2, 5), "a lookup that finds the name where it was");
        board.observe(&fixture::looked_up(&caches[0], &["10.20.1.5"]));
        assert_eq!(revisions(), (6, 5, 2, 6));
        board.observe(&fixture::healthy(&fixture::cache("gone")));
        assert_eq!(revisions(), (6, 5, 2, 6), "nothing is written of a cache that is not shown");
        board.machine(Vec::new());
        assert_eq!(revisions(), (6, 5, 2, 6), "the same as before");
        board.machine(fixture::name_not_found(&caches[0]).verdict.open);
        assert_eq!(revisions(), (6, 5, 7, 7));
        board.configured(fixture::start());
        board.configuration_refused(fixture::start(), &[]);
        assert_eq!(revisions(), (6, 5, 9, 9));
        assert_ne!(board.snapshot().epoch, Board::new().snapshot().epoch);
    }

    #[test]
    fn the_last_test_of_what_should_be_closed_is_kept_through_rounds_without_one() {
        let cache = fixture::cache("orders");
        let board = board(&cache);
        board.observe(&fixture::healthy(&cache));
        assert!(board.snapshot().caches["orders"].tested.is_none());
        let mut round = fixture::healthy(&cache);
        fixture::report(&mut round).exposure = Some(fixture::plain_port(Passage::Closed));
        board.observe(&round);
        board.observe(&fixture::name_not_found(&cache));
        board.observe(&fixture::looked_up(&cache, &["10.20.1.5"]));
        assert_eq!(board.snapshot().caches["orders"].tested.as_deref(), round.seen.probe().map(AsRef::as_ref));
    }

    #[test]
    fn a_refused_configuration_is_shown_until_one_is_accepted() {
        let board = Board::new();
        board.configured(fixture::start());
        board.configuration_refused(fixture::start(), &["caches.orders: no host".to_owned()]);
        assert!(board.snapshot().configuration.refused.is_some());
        board.configured(fixture::start());
        let configuration = board.snapshot().configuration;
        assert_eq!((configuration.generation, configuration.refused.is_some()), (2, false));
    }
}
