//! The one way to tell that something happened: to the log for who looks now, to the journal for who looks later.

use super::journal::{Journal, State};
use super::log;
use crate::model::{CacheName, Event, Finding, Round};

/// Records events. It is the only way to record one, so that the log and the journal cannot differ.
#[derive(Debug, Clone)]
pub struct Chronicle {
    journal: Journal,
}

impl Chronicle {
    /// A chronicle that is kept in this journal.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        Self { journal }
    }

    /// Tells what happened to the daemon.
    pub fn tell(&self, events: &[Event]) {
        for event in events {
            log::log_event(event, &[]);
        }
        self.journal.record(events, None);
    }

    /// Tells what happened at a cache, with the findings `open` there after it. `state` is what is to be known again by the
    /// next run, where that is not what it was before.
    ///
    /// False where the journal is so far behind that it took nothing, and should be given the state again.
    #[must_use]
    pub fn tell_of(&self, events: &[Event], open: &[Finding], state: Option<State>) -> bool {
        for event in events {
            log::log_event(event, open);
        }
        (events.is_empty() && state.is_none()) || self.journal.offer(events, state)
    }

    /// Tells one round: that it was, and what happened in it.
    #[must_use]
    pub fn tell_round(&self, round: &Round, state: Option<State>) -> bool {
        log::log_round(round);
        self.tell_of(&round.events, &round.verdict.open, state)
    }

    /// Tells that a cache is watched no longer, or another one under its name: what was known of it is forgotten.
    pub fn tell_end(&self, events: &[Event], cache: &CacheName) {
        for event in events {
            log::log_event(event, &[]);
        }
        self.journal.forget(events, cache);
    }

    /// The journal, to read it.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}
