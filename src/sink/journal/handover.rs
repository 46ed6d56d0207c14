//! What a file knows that could be opened only late, on its way to those who watch by then.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use super::state::{Late, Recovered};
use crate::model::CacheName;

/// Where it is told, and whether that was answered.
pub(super) enum Handover {
    /// It is not asked for yet. Holds what was read at the start, where the start did not wait for it.
    Unasked(Option<Recovered>),
    /// It is told there.
    Asked {
        late: mpsc::UnboundedSender<Late>,
        /// The caches of what was told and not answered: nothing is written meanwhile.
        unsettled: Option<BTreeSet<CacheName>>,
    },
}

impl Handover {
    /// From now on it is told there; gives what is to be told at once.
    pub(super) fn ask(&mut self, asked: mpsc::UnboundedSender<Late>) -> Option<Recovered> {
        match self {
            Self::Unasked(untold) => {
                let untold = untold.take();
                *self = Self::Asked { late: asked, unsettled: None };
                untold
            }
            Self::Asked { late, .. } => {
                *late = asked;
                None
            }
        }
    }

    /// Tells it. Where no answer will come any more, the end settles it.
    pub(super) fn tell(&mut self, told: Late) {
        if let Self::Asked { late, unsettled } = self {
            *unsettled = Some(told.recovered.states.iter().map(|state| state.cache.clone()).collect());
            let _ = late.send(told);
        }
    }

    /// Takes in the answer, or does without; gives the caches that it was about.
    pub(super) fn settle(&mut self) -> Option<BTreeSet<CacheName>> {
        match self {
            Self::Unasked(_) => None,
            Self::Asked { unsettled, .. } => unsettled.take(),
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked { .. })
    }

    pub(super) fn is_unsettled(&self) -> bool {
        matches!(self, Self::Asked { unsettled: Some(_), .. })
    }
}
