//! Watches one cache over many rounds: a condition becomes an open finding after enough bad rounds, and clears after
//! enough good ones. A round that could not tell counts as neither.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::findings;
use super::lenient;
use super::memory::{self, Memory, NothingToAccept, Persisted};
use crate::model::{
    Cache, Event, EventKind, Finding, FindingId, LookupReport, Observation, Pending, Resolution, Rules, Severity,
    Stage, Timestamp, Verdict, WireText,
};

/// What of a [`Watch`] must outlive the program that kept it, as it is written to a journal. What cannot be read of it,
/// such as a finding of another version, is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavedState {
    #[serde(default, deserialize_with = "lenient::list")]
    conditions: Vec<Condition>,
    #[serde(default, deserialize_with = "lenient::part")]
    memory: Persisted,
}

impl SavedState {
    /// Which findings were open.
    pub fn open(&self) -> impl Iterator<Item = FindingId> + '_ {
        self.conditions.iter().filter(|condition| condition.open).map(|condition| condition.finding.id)
    }
}

/// The memory of one cache, and its open findings.
#[derive(Debug, Default)]
pub struct Watch {
    memory: Memory,
    conditions: BTreeMap<FindingId, LiveCondition>,
}

/// A condition, and the finding as the last round saw it.
#[derive(Debug)]
struct LiveCondition {
    condition: Condition,
    /// `since` is when it was first seen in this run of bad rounds.
    now: Finding,
}

/// One condition that was seen lately, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Condition {
    /// As it was when it was first seen, when it opened, or when its severity changed, whichever was last: what a round
    /// adds to its words, such as a TTL, is not worth writing down.
    finding: Finding,
    open: bool,
    /// Bad rounds in a row, counted until it opens.
    bad: u32,
    /// Good rounds in a row.
    good: u32,
}

impl Watch {
    /// Takes one observation in and tells what changed. `others_reach` is whether another cache is reached while this one is
    /// not.
    ///
    /// A probe is a round: what it saw, and what it could have seen and did not, is counted. What comes between two probes
    /// opens what must open at once, and is neither a bad nor a good round of anything else.
    #[must_use]
    pub fn observe(&mut self, cache: &Cache, seen: &Observation, others_reach: bool) -> Vec<Event> {
        let (at, is_round) = (seen.at(), seen.probe().is_some());
        // The baseline comes first: what is right in this round is no drift in it.
        let mut events = seen.lookup().map(|lookup| self.memory.learn_answers(cache, lookup)).unwrap_or_default();
        let diagnosis = findings::diagnose(cache, seen, &self.memory, others_reach);
        if let Some(report) = seen.probe() {
            events.extend(self.memory.learn_server(cache, report));
        }
        let mut held = Vec::with_capacity(diagnosis.findings.len());
        for finding in diagnosis.findings {
            held.push(finding.id);
            let urgent = diagnosis.urgent.contains(&finding.id);
            if is_round || (urgent && !self.is_open(finding.id)) {
                let rules = findings::explain(finding.id).rounds(cache.rules);
                events.extend(self.saw(finding, urgent, rules, at));
            }
        }
        let unseen = self.conditions.keys().filter(|id| !held.contains(id)).map(|id| findings::explain(*id));
        let missing: Vec<_> = unseen.filter(|rule| diagnosis.covered.has(rule.denied_by)).collect();
        for rule in missing {
            events.extend(self.missed(rule.id, rule.rounds(cache.rules), at));
        }
        events
    }

    fn is_open(&self, id: FindingId) -> bool {
        self.conditions.get(&id).is_some_and(|seen| seen.condition.open)
    }

    /// What is held of the cache after the observation of this moment was taken in.
    #[must_use]
    pub fn verdict(&self, cache: &Cache, at: Timestamp) -> Verdict {
        Verdict { open: self.open(), pending: self.pending(cache), exhaustion: self.exhaustion(at) }
    }

    /// How long until the answers of this lookup, taken in before, should be asked for again: when the first of them runs
    /// out, and soon while one of them is not where it was right. `None` where the next probe is soon enough, or where
    /// the name is not looked up between the probes.
    #[must_use]
    pub fn next_lookup(&self, cache: &Cache, lookup: &LookupReport) -> Option<Duration> {
        let floor = cache.follow_ttl?;
        let answers = || lookup.resolutions.iter().filter(|resolution| memory::is_answer(resolution));
        let has_left = |answer: &Resolution| {
            let known = self.memory.of(&answer.resolver);
            known.is_some_and(|known| known.has_left(&answer.sorted_addresses()))
        };
        let wait = if answers().any(has_left) {
            floor
        } else {
            let ttl = answers().filter_map(Resolution::smallest_ttl).min()?;
            Duration::from_secs(ttl.into()).max(floor)
        };
        (wait < cache.interval).then_some(wait)
    }

    /// Accepts the last answer of every resolver as its baseline: where the name leads now is no drift, and resolvers that
    /// answered differently may. What the configuration expects stays expected.
    ///
    /// # Errors
    /// Where no resolver has answered yet.
    pub fn accept(&mut self, cache: &Cache, at: Timestamp) -> Result<Vec<Event>, NothingToAccept> {
        let mut events = self.memory.accept(cache, at)?;
        for id in [FindingId::DnsDrift, FindingId::DnsResolversDisagree] {
            if let Some(LiveCondition { condition, now }) = self.conditions.remove(&id)
                && condition.open
            {
                events.push(cleared(&now, at).evidence("accepted by a person"));
            }
        }
        Ok(events)
    }

    /// What must outlive this program: equal states need not be written twice.
    #[must_use]
    pub fn saved_state(&self) -> SavedState {
        let conditions = self.conditions.values().map(|seen| seen.condition.clone()).collect();
        SavedState { conditions, memory: self.memory.persisted.clone() }
    }

    /// Whether a saved state still holds what must outlive this program. Nothing is copied to know it, for it is asked in every
    /// round.
    #[must_use]
    pub fn is_kept_by(&self, saved: &SavedState) -> bool {
        let conditions = self.conditions.values().map(|seen| &seen.condition);
        saved.memory == self.memory.persisted && saved.conditions.iter().eq(conditions)
    }

    /// A watch that goes on where another one ended. `last_alive` is when that one last watched, where it is known: what
    /// changed since then is told with the gap it fell into.
    #[must_use]
    pub fn restore(saved: SavedState, last_alive: Option<Timestamp>) -> Self {
        let seen = |condition: Condition| {
            let now = condition.finding.clone();
            (now.id, LiveCondition { condition, now })
        };
        let conditions = saved.conditions.into_iter().map(seen).collect();
        Self { conditions, memory: Memory::restore(saved.memory, last_alive) }
    }

    /// Merges the saved state of an earlier run that arrives only now: `is_told` says of which findings this watch has
    /// told something since. What was open then and is not known to be over is open, until a round says otherwise; what is
    /// open now has been so since then.
    pub fn take_up_findings(&mut self, saved: &SavedState, is_told: impl Fn(FindingId) -> bool) {
        for condition in saved.conditions.iter().filter(|condition| condition.open) {
            let before = &condition.finding;
            match self.conditions.get_mut(&before.id) {
                Some(seen) if seen.condition.open => {
                    seen.now.since = before.since;
                    seen.condition.finding = before.clone();
                }
                _ if is_told(before.id) => {}
                _ => {
                    let condition = Condition { good: 0, ..condition.clone() };
                    self.conditions.insert(before.id, LiveCondition { condition, now: before.clone() });
                }
            }
        }
    }

    /// Merges the baseline of an earlier run that arrives only now, and what it saw last, but for where
    /// this watch `has_told` a change since.
    pub fn take_up_memory(&mut self, saved: SavedState, last_alive: Option<Timestamp>, has_told: bool) {
        self.memory.take_up(saved.memory, last_alive, has_told);
    }

    /// The open findings, the deepest cause first.
    #[must_use]
    pub fn open(&self) -> Vec<Finding> {
        let open = self.conditions.values().filter(|seen| seen.condition.open);
        let mut open: Vec<_> = open.map(|seen| seen.now.clone()).collect();
        open.sort_by_key(rank);
        open
    }

    /// How long until the client limit is reached at the present rate; `None` where no clients were counted at that moment
    /// or where their number does not rise steadily.
    fn exhaustion(&self, at: Timestamp) -> Option<Duration> {
        let (counted_at, clients) = self.memory.clients?;
        let (limit, _) = clients.limit.filter(|_| counted_at == at)?;
        self.memory.forecast.exhaustion(limit)
    }

    /// What of severity 1 or 2 was seen and has not been seen often enough to open, the deepest cause first.
    #[must_use]
    pub fn pending(&self, cache: &Cache) -> Vec<Pending> {
        let is_pending = |LiveCondition { condition, now }: &&LiveCondition| {
            !condition.open && condition.good == 0 && now.severity.is_serious()
        };
        let mut pending: Vec<_> = self.conditions.values().filter(is_pending).collect();
        pending.sort_by_key(|seen| rank(&seen.now));
        let shown = |LiveCondition { condition, now }: &LiveCondition| Pending {
            finding: now.id,
            severity: now.severity,
            stage: now.stage,
            summary: now.summary.clone(),
            bad_rounds: condition.bad,
            open_after: findings::explain(now.id).rounds(cache.rules).open_after,
        };
        pending.into_iter().map(shown).collect()
    }

    /// The condition holds in this round.
    fn saw(&mut self, finding: Finding, urgent: bool, rules: Rules, at: Timestamp) -> Option<Event> {
        let Some(LiveCondition { condition, now }) = self.conditions.get_mut(&finding.id) else {
            let open = urgent || rules.open_after <= 1;
            let event = open.then(|| event(EventKind::FindingOpened, &finding, at));
            let condition = Condition { finding: finding.clone(), open, bad: 1, good: 0 };
            self.conditions.insert(finding.id, LiveCondition { condition, now: finding });
            return event;
        };
        condition.good = 0;
        *now = Finding { since: now.since, ..finding };
        let before = condition.finding.severity;
        if condition.open {
            if before == now.severity {
                return None;
            }
            condition.finding = now.clone();
            let event = event(EventKind::FindingChanged, now, at);
            return Some(event.change(before.as_str(), now.severity.as_str()));
        }
        condition.bad = condition.bad.saturating_add(1);
        condition.open = urgent || condition.bad >= rules.open_after;
        if !condition.open {
            return None;
        }
        condition.finding = now.clone();
        Some(event(EventKind::FindingOpened, now, at))
    }

    /// The condition does not hold in this round, and the round could tell.
    fn missed(&mut self, id: FindingId, rules: Rules, at: Timestamp) -> Option<Event> {
        let LiveCondition { condition, .. } = self.conditions.get_mut(&id)?;
        condition.good = condition.good.saturating_add(1);
        if condition.open && condition.good < rules.clear_after {
            return None;
        }
        let LiveCondition { condition, now } = self.conditions.remove(&id)?;
        condition.open.then(|| cleared(&now, at))
    }
}

/// The deepest cause first: what breaks or exposes the cache in the order of the path, then risks and advice. What follows from a
/// cause may be worse than the cause itself.
fn rank(finding: &Finding) -> (Reverse<bool>, Stage, Severity, FindingId) {
    (Reverse(finding.severity.is_serious()), finding.stage, finding.severity, finding.id)
}

/// It is over, and for how long it was so.
fn cleared(finding: &Finding, at: Timestamp) -> Event {
    Event { lasted: Some(at.since(finding.since)), ..event(EventKind::FindingCleared, finding, at) }
}

fn event(kind: EventKind, finding: &Finding, at: Timestamp) -> Event {
    Event {
        finding: Some(finding.id),
        severity: Some(finding.severity),
        after: Some(WireText::new(&finding.summary)),
        ..Event::new(at, Some(finding.cache.clone()), kind)
    }
}
