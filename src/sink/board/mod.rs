//! What HTTP shows: the last round of every cache.

mod cache_state;
mod configuration;
mod history;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

pub use self::cache_state::CacheState;
pub use self::configuration::Configuration;
pub use self::history::Sample;
use crate::model::{Cache, CacheName, Event, Finding, Refusal, Round, Timestamp, WireText};

/// The last state of every cache, written by the dispatch loop and read by HTTP.
///
/// A reader takes a [`Snapshot`], one pointer; the writer copies the map of pointers only while a reader still has one.
#[derive(Debug)]
pub struct Board(RwLock<Snapshot>);

/// Everything the board held at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The caches, in the order of their names.
    pub caches: Arc<BTreeMap<CacheName, Arc<CacheState>>>,
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
                Some(state) => Arc::make_mut(state).cache = cache,
                None => {
                    caches.insert(cache.name.clone(), Arc::new(CacheState::new(cache)));
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
        self.write(cache, |state| {
            state.open = open;
            state.events.extend(events);
            state.events.truncate(CacheState::MOST_EVENTS);
            true
        });
    }

    /// Takes in one round. A round of a cache that is not shown (removed while its probe ran) leaves no trace.
    pub fn observe(&self, round: &Round) {
        self.write(&round.cache.name, |state| state.observe(round));
    }

    /// Takes in what was judged without a probe: the findings open now, and what changed.
    pub fn judged(&self, cache: &CacheName, open: Vec<Finding>, events: &[Event]) {
        self.write(cache, |state| {
            state.judged(open, events);
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
    fn write(&self, cache: &CacheName, change: impl FnOnce(&mut CacheState) -> bool) {
        // A panic elsewhere leaves at worst one cache at its round before.
        let mut snapshot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let revision = snapshot.revision + 1;
        if let Some(state) = Arc::make_mut(&mut snapshot.caches).get_mut(cache) {
            let state = Arc::make_mut(state);
            if change(state) {
                state.revision = revision;
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
        self.caches.iter().filter(|(_, state)| state.report.is_none()).map(|(name, _)| name)
    }

    /// Whether a configuration is in use and every cache of it has had its first report.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.configuration.generation > 0 && self.awaited().next().is_none()
    }

    /// The open findings of every cache, the worst first, then in the order of the caches.
    #[must_use]
    pub fn open(&self) -> Vec<&Finding> {
        let mut open: Vec<_> = self.caches.values().flat_map(|state| &state.open).collect();
        open.sort_by_key(|finding| finding.severity);
        open
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture;
    use super::*;
    use crate::model::{LookupReport, Passage, Severity, Standing};

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
        assert_eq!((recent.len(), size_of::<Sample>()), (CacheState::MOST_SAMPLES, 32));
        let at = Timestamp::from_unix_seconds(199);
        let well = Sample { at, succeeded: true, ping_micros: Some(16_000), used: Some(0.1) };
        let ill =
            Sample { at: fixture::name_not_found(&cache).seen.at(), succeeded: false, ping_micros: None, used: None };
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
