//! Where the writer stands with its file.

use std::time::Duration;

use tokio::time::Instant;

use super::store::Store;
use crate::clock;

/// From one attempt on a file that cannot be written to the next: at first, and at most.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(15);

/// Where the writer stands with its file.
pub(super) enum FilePhase {
    /// It is not open, and nothing has failed since it was asked for.
    Opening,
    /// It is open and written.
    Open(Store),
    /// It could be opened again after a failure, and nothing was written since: it is not known yet whether it can be.
    Reopened(Store, Away),
    /// It cannot be used.
    Away(Away),
}

/// The file cannot be used.
pub(super) struct Away {
    pub(super) retry_at: Instant,
    pause: Duration,
    /// What was last said of it in the log.
    words: String,
    /// Events that gave way meanwhile.
    pub(super) lost: u64,
}

impl FilePhase {
    pub(super) fn store(&self) -> Option<&Store> {
        match self {
            Self::Open(store) | Self::Reopened(store, _) => Some(store),
            Self::Opening | Self::Away(_) => None,
        }
    }

    pub(super) fn store_mut(&mut self) -> Option<&mut Store> {
        match self {
            Self::Open(store) | Self::Reopened(store, _) => Some(store),
            Self::Opening | Self::Away(_) => None,
        }
    }

    /// Since when and why nothing is written, where that is so.
    pub(super) fn away(&self) -> Option<&Away> {
        match self {
            Self::Away(away) | Self::Reopened(_, away) => Some(away),
            Self::Opening | Self::Open(_) => None,
        }
    }

    /// The file is open.
    pub(super) fn open(&mut self, store: Store) {
        *self = match std::mem::replace(self, Self::Opening) {
            Self::Opening | Self::Open(_) => Self::Open(store),
            Self::Away(away) | Self::Reopened(_, away) => Self::Reopened(store, away),
        };
    }

    /// Something was written; gives what was away until now.
    pub(super) fn written(&mut self) -> Option<Away> {
        match std::mem::replace(self, Self::Opening) {
            Self::Reopened(store, away) => {
                *self = Self::Open(store);
                Some(away)
            }
            same => {
                *self = same;
                None
            }
        }
    }

    /// Lets the file go.
    pub(super) fn close(&mut self) -> Option<Store> {
        match std::mem::replace(self, Self::Opening) {
            Self::Open(store) => Some(store),
            Self::Reopened(store, away) => {
                *self = Self::Away(away);
                Some(store)
            }
            same => {
                *self = same;
                None
            }
        }
    }

    /// The file cannot be used, for this reason. Whether that is news: it was not away, or for another reason.
    pub(super) fn go_away(&mut self, words: &str) -> bool {
        let before = match std::mem::replace(self, Self::Opening) {
            Self::Away(away) | Self::Reopened(_, away) => Some(away),
            Self::Opening | Self::Open(_) => None,
        };
        let is_news = before.as_ref().is_none_or(|away| away.words != words);
        let pause = before.as_ref().map_or(FIRST_RETRY, |away| (away.pause * 2).min(LAST_RETRY));
        let lost = before.map_or(0, |away| away.lost);
        *self = Self::Away(Away { retry_at: clock::instant() + pause, pause, words: words.to_owned(), lost });
        is_news
    }

    /// Events gave way because the file cannot be used.
    pub(super) fn lose(&mut self, events: u64) {
        if let Self::Away(away) | Self::Reopened(_, away) = self {
            away.lost += events;
        }
    }
}
