//! Watches one cache over many rounds: a condition becomes an open finding after enough bad rounds, and clears after
//! enough good ones. A round that could not tell counts as neither.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::diagnosis::{self, Diagnosis};
use super::memory::Memory;
use crate::model::{Cache, Event, EventKind, Finding, FindingId, ProbeReport, Rules, Timestamp, WireText};

/// What of a [`Watch`] must outlive the program that kept it, as it is written to a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memento {
    conditions: Vec<Condition>,
}

/// The memory of one cache, and its open findings.
#[derive(Debug, Default)]
pub struct Watch {
    memory: Memory,
    conditions: BTreeMap<FindingId, Condition>,
}

/// One condition that was seen lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Condition {
    /// As last seen; `since` is when it was first seen in this run of bad rounds.
    finding: Finding,
    open: bool,
    bad: u32,
    good: u32,
}

impl Watch {
    /// Takes one round in and tells what changed. `others_reach` is whether another cache is reached while this one is not.
    #[must_use]
    pub fn observe(&mut self, cache: &Cache, report: &ProbeReport, others_reach: bool) -> Vec<Event> {
        let Diagnosis { findings, urgent, learned } = diagnosis::diagnose(cache, report, &self.memory, others_reach);
        let mut events = self.memory.learn(cache, report);
        let mut seen = Vec::with_capacity(findings.len());
        for finding in findings {
            seen.push(finding.id);
            let urgent = urgent.contains(&finding.id);
            events.extend(self.saw(finding, urgent, cache.rules, report.at));
        }
        let missing: Vec<_> =
            self.conditions.keys().filter(|id| !seen.contains(id) && learned.tells(**id)).copied().collect();
        for id in missing {
            events.extend(self.missed(id, cache.rules, report.at));
        }
        events
    }

    /// What must outlive this program: equal mementos need not be written twice.
    #[must_use]
    pub fn memento(&self) -> Memento {
        Memento { conditions: self.conditions.values().cloned().collect() }
    }

    /// A watch that goes on where another one ended.
    #[must_use]
    pub fn restore(memento: Memento) -> Self {
        let conditions = memento.conditions.into_iter().map(|condition| (condition.finding.id, condition)).collect();
        Self { conditions, ..Self::default() }
    }

    /// The open findings, the deepest cause first.
    #[must_use]
    pub fn open(&self) -> Vec<Finding> {
        let mut open: Vec<_> = self
            .conditions
            .values()
            .filter(|condition| condition.open)
            .map(|condition| condition.finding.clone())
            .collect();
        sort(&mut open);
        open
    }

    /// How long until the client limit is reached at the present rate, as of this report; `None` where it counted no clients
    /// or where their number does not rise steadily.
    #[must_use]
    pub fn exhaustion(&self, report: &ProbeReport) -> Option<Duration> {
        let (at, clients) = self.memory.clients?;
        let (limit, _) = clients.limit.filter(|_| at == report.at)?;
        self.memory.forecast.exhaustion(limit)
    }

    /// Whether something of severity 1 or 2 was seen and has not been seen often enough to open.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.conditions
            .values()
            .any(|condition| !condition.open && condition.good == 0 && condition.finding.severity.is_serious())
    }

    /// The condition holds in this round.
    fn saw(&mut self, finding: Finding, urgent: bool, rules: Rules, at: Timestamp) -> Option<Event> {
        let Some(condition) = self.conditions.get_mut(&finding.id) else {
            let open = urgent || rules.open_after <= 1;
            let event = open.then(|| event(EventKind::FindingOpened, &finding, at));
            self.conditions.insert(finding.id, Condition { finding, open, bad: 1, good: 0 });
            return event;
        };
        condition.bad = condition.bad.saturating_add(1);
        condition.good = 0;
        let since = condition.finding.since;
        let before = std::mem::replace(&mut condition.finding, Finding { since, ..finding });
        if condition.open {
            let changed = before.severity != condition.finding.severity;
            return changed.then(|| {
                let event = event(EventKind::FindingChanged, &condition.finding, at);
                event.change(before.severity.as_str(), condition.finding.severity.as_str())
            });
        }
        condition.open = urgent || condition.bad >= rules.open_after;
        condition.open.then(|| event(EventKind::FindingOpened, &condition.finding, at))
    }

    /// The condition does not hold in this round, and the round could tell.
    fn missed(&mut self, id: FindingId, rules: Rules, at: Timestamp) -> Option<Event> {
        let condition = self.conditions.get_mut(&id)?;
        condition.good = condition.good.saturating_add(1);
        if condition.open && condition.good < rules.clear_after {
            return None;
        }
        let condition = self.conditions.remove(&id)?;
        condition.open.then(|| event(EventKind::FindingCleared, &condition.finding, at))
    }
}

/// The deepest cause first: what breaks or exposes the cache in the order of the path, then risks and advice.
fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| {
        let serious = finding.severity.is_serious();
        (Reverse(serious), finding.stage, finding.severity, finding.id)
    });
}

fn event(kind: EventKind, finding: &Finding, at: Timestamp) -> Event {
    Event {
        finding: Some(finding.id),
        severity: Some(finding.severity),
        after: Some(WireText::new(&finding.summary)),
        ..Event::new(at, Some(finding.cache.clone()), kind)
    }
}
