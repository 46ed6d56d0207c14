//! One cache as the board knows it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::history::Sample;
use crate::model::{
    Cache, Event, Finding, LookupReport, Observation, Pending, ProbeReport, Round, Standing, Timestamp,
};

/// One cache as the board knows it.
#[derive(Debug, Clone)]
pub struct CacheState {
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
    /// What happened last, the latest first, at most [`CacheState::MOST_EVENTS`].
    pub events: VecDeque<Event>,
    /// Whether a round has shown the cache without a suspicion: until then nothing speaks for it.
    pub proven: bool,
    /// What the last probes came to, the latest last, at most [`CacheState::MOST_SAMPLES`].
    pub recent: VecDeque<Sample>,
}

impl CacheState {
    /// The most events kept for each cache; the journal keeps the rest.
    pub const MOST_EVENTS: usize = 20;

    /// The most probes kept as a curve: an hour at the default interval, for 3.75 KiB a cache.
    pub const MOST_SAMPLES: usize = 120;

    pub(super) fn new(cache: Arc<Cache>) -> Self {
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
            recent: VecDeque::with_capacity(Self::MOST_SAMPLES),
        }
    }

    /// Takes in a round, and says whether it tells anything new. A lookup that finds the name where it was does not.
    pub(super) fn observe(&mut self, round: &Round) -> bool {
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
                if self.recent.len() >= Self::MOST_SAMPLES {
                    self.recent.pop_front();
                }
                self.recent.push_back(Sample::of(cache, report));
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

    pub(super) fn judged(&mut self, open: Vec<Finding>, events: &[Event]) {
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
