//! What waits to be written: events, and what is known of the caches after them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::state::{Run, Settled, State};
use crate::model::{CacheName, Event, EventKind, FindingId};

/// The most events that wait for a file that cannot be written; the oldest give way.
pub(super) const MOST_UNWRITTEN: usize = 10_000;

/// What is not in the file yet, and every state, for a file that has to know them all.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    /// So many events, from the front, may be in the file already: their transaction was cut off in its last moment.
    in_doubt: usize,
    /// What is known of every cache; `None` where it was forgotten.
    states: BTreeMap<CacheName, Option<State>>,
    /// Those of them that are not in the file yet.
    unwritten: BTreeSet<CacheName>,
}

impl Backlog {
    pub(super) fn events(&self) -> &VecDeque<Event> {
        &self.events
    }

    /// Takes in events, and says how many of the oldest had to give way.
    pub(super) fn add(&mut self, events: Vec<Event>) -> usize {
        self.events.extend(events);
        let beyond = self.events.len().saturating_sub(MOST_UNWRITTEN);
        self.events.drain(..beyond);
        self.in_doubt = self.in_doubt.saturating_sub(beyond);
        beyond
    }

    /// Takes in one event of the journal itself, behind the others.
    pub(super) fn add_last(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Takes in one event of the journal itself, before the others.
    pub(super) fn add_first(&mut self, event: Event) {
        self.events.push_front(event);
    }

    /// Takes in what is known of a cache now; `None` forgets it.
    pub(super) fn set_state(&mut self, cache: CacheName, state: Option<State>) {
        self.states.insert(cache.clone(), state);
        self.unwritten.insert(cache);
    }

    /// What the file knew at the start, as far as nothing newer is known.
    pub(super) fn recall(&mut self, states: &[State]) {
        for state in states {
            self.states.entry(state.cache.clone()).or_insert_with(|| Some(state.clone()));
        }
    }

    /// The file that is written from now on is another one: it must know every state.
    pub(super) fn write_every_state(&mut self) {
        self.unwritten.extend(self.states.keys().cloned());
    }

    /// What the next transaction has to write.
    pub(super) fn next_write(&mut self) -> (&[Event], Vec<(CacheName, Option<State>)>) {
        let state = |cache: &CacheName| Some((cache.clone(), self.states.get(cache)?.clone()));
        let states = self.unwritten.iter().filter_map(state).collect();
        (self.events.make_contiguous(), states)
    }

    /// All of it is in the file: gives the events.
    pub(super) fn written(&mut self) -> impl Iterator<Item = Event> {
        self.unwritten.clear();
        self.states.retain(|_, state| state.is_some());
        self.events.drain(..)
    }

    /// A write has failed, perhaps only in its last moment.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = self.events.len();
    }

    /// Ends the doubt, where the file has `grown` by so many events since: gives those that it has.
    pub(super) fn settle_doubt(&mut self, grown: u64) -> impl ExactSizeIterator<Item = Event> {
        let in_doubt = std::mem::take(&mut self.in_doubt).min(self.events.len());
        let written = if grown < in_doubt as u64 { 0 } else { in_doubt };
        self.events.drain(..written)
    }

    /// The start of this run, told with what a file that came late knows of the run before.
    pub(super) fn follow(&mut self, run: Run) {
        let is_start = |event: &&mut Event| {
            event.kind == EventKind::Started && event.lasted.is_none() && event.at > run.last_alive
        };
        if let Some(event) = self.events.iter_mut().find(is_start) {
            *event = run.before(event.clone());
        }
    }

    /// What happened at caches and waits.
    pub(super) fn told(&self) -> BTreeSet<(CacheName, EventKind, Option<FindingId>)> {
        let told = |event: &Event| Some((event.cache.clone()?, event.kind, event.finding));
        self.events.iter().filter_map(told).collect()
    }

    /// What waits goes on where a file ends that came late: it opens nothing that is open there.
    pub(super) fn settle(&mut self, settled: &Settled) {
        for (cache, finding) in &settled.open {
            let is_about = |event: &Event| event.cache == *cache && event.finding == Some(*finding);
            let first = self.events.iter().position(is_about);
            if let Some(place) = first.filter(|place| self.events[*place].kind == EventKind::FindingOpened) {
                self.events.remove(place);
            }
        }
        for cache in &settled.caches {
            let is_about = |event: &Event| event.cache.as_ref() == Some(cache) && event.kind == EventKind::CacheAdded;
            if let Some(place) = self.events.iter().position(is_about) {
                self.events.remove(place);
            }
        }
    }

    /// What a file says of these caches, and of this machine, stays: says how many events that contradict it are dropped.
    pub(super) fn yield_to_file(&mut self, caches: &BTreeSet<CacheName>) -> usize {
        let before = self.events.len();
        self.events.retain(|event| {
            let is_state = event.finding.is_some() || event.kind == EventKind::CacheAdded;
            let is_known = |cache: &CacheName| caches.contains(cache);
            // A finding of no cache is one of this machine.
            !(is_state && event.cache.as_ref().is_none_or(is_known))
        });
        self.unwritten.retain(|cache| !caches.contains(cache));
        before - self.events.len()
    }
}
