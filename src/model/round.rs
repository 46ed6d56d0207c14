//! One round: what was seen of a cache, and what was made of it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{
    Cache, Clients, Event, Finding, FindingId, Leg, Observation, ProbeReport, ServerFacts, Severity, Stage, Timestamp,
};

/// What every sink is given, once for each observation.
#[derive(Debug, Clone)]
pub struct Round {
    /// The cache, as it is configured.
    pub cache: Arc<Cache>,
    /// What was seen.
    pub seen: Observation,
    /// What was made of it.
    pub verdict: Verdict,
    /// What changed in this round.
    pub events: Vec<Event>,
    /// When the next probe is due, where that is known.
    pub next: Option<Timestamp>,
}

/// What is held of a cache after a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The findings that are open, the deepest cause first.
    pub open: Vec<Finding>,
    /// What would make the cache ill, was seen, and has not been seen often enough to open; the deepest cause first.
    pub pending: Vec<Pending>,
    /// How long until the client limit is reached at the present rate; `None` while the count does not rise steadily.
    pub exhaustion: Option<Duration>,
}

/// A condition on its way to become a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Which finding it would be.
    pub finding: FindingId,
    /// How bad.
    pub severity: Severity,
    /// Where on the path it was seen.
    pub stage: Stage,
    /// What is wrong, in one sentence.
    pub summary: String,
    /// Bad rounds so far.
    pub bad_rounds: u32,
    /// With so many in a row it opens.
    pub open_after: u32,
}

impl Pending {
    /// `1 of 2 bad rounds seen`.
    #[must_use]
    pub fn progress(&self) -> String {
        format!("{} of {} bad rounds seen", self.bad_rounds, self.open_after)
    }
}

impl Cache {
    /// The leg of `report` whose server is nearest to its client limit, with what it said: one address short of room is
    /// one address too many. `None` where no server spoke.
    #[must_use]
    pub fn busiest<'report>(
        &self,
        report: &'report ProbeReport,
    ) -> Option<(&'report Leg, &'report ServerFacts, Option<Clients>)> {
        report
            .used_legs()
            .filter_map(|leg| leg.server.as_ref().map(|server| (leg, server, self.clients(server))))
            .min_by(|(.., left), (.., right)| {
                let free = |clients: &Option<Clients>| clients.and_then(|clients| clients.headroom()).unwrap_or(1.0);
                free(left).total_cmp(&free(right))
            })
    }
}
