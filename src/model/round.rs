//! One round: what a probe saw, and what was made of it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{
    Cache, Clients, Event, Finding, FindingId, Leg, ProbeReport, ServerFacts, Severity, Stage, Timestamp, vocabulary,
};

/// What every sink is given, once for each probe and for each lookup beside the probes.
#[derive(Debug, Clone)]
pub struct Round {
    /// What was set out to see: what a lookup did not see, it has nothing to say of.
    pub errand: Errand,
    /// The cache, as it is configured.
    pub cache: Arc<Cache>,
    /// What was seen.
    pub report: Arc<ProbeReport>,
    /// The findings open after this round, the deepest cause first.
    pub open: Vec<Finding>,
    /// What would make the cache ill, was seen, and has not been seen often enough to open; the deepest cause first.
    pub doubts: Vec<Doubt>,
    /// When the next probe is due, where that is known.
    pub next: Option<Timestamp>,
    /// How long until the client limit is reached at the present rate; `None` while the count does not rise steadily.
    pub exhaustion: Option<Duration>,
    /// What changed in this round.
    pub events: Vec<Event>,
}

/// A condition on its way to become a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubt {
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

impl Doubt {
    /// `1 of 2 bad rounds seen`.
    #[must_use]
    pub fn progress(&self) -> String {
        format!("{} of {} bad rounds seen", self.bad_rounds, self.open_after)
    }
}

vocabulary! {
    /// What was set out to see.
    pub enum Errand {
        /// The whole path.
        Probe = "probe",
        /// Where the name leads, and nothing beyond.
        Lookup = "lookup",
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
