//! What a diagnosis rests on, and what comes of it.

use super::commands::Commands;
use super::coverage::Covered;
use crate::azure::{self, Endpoint};
use crate::model::{
    Cache, Clients, Fault, FaultKind, Finding, FindingId, Leg, LookupReport, Observation, ProbeReport, ServerFacts,
    Severity, Stage, Step,
};

/// What one round says.
#[derive(Debug, Default)]
pub(in crate::judge) struct Diagnosis {
    /// The causes seen in this round.
    pub(in crate::judge) findings: Vec<Finding>,
    /// Those of them that open at once: traffic that was private and is public now.
    pub(in crate::judge) urgent: Vec<FindingId>,
    /// How far the round could tell.
    pub(in crate::judge) covered: Covered,
}

impl Diagnosis {
    /// Says that something follows from one of these causes, if one was told: the cause is as bad as what follows from
    /// it, which becomes its evidence and is not told beside it.
    pub(super) fn follows_from(&mut self, causes: &[FindingId], severity: Severity, evidence: Vec<String>) -> bool {
        let Some(cause) = self.findings.iter_mut().find(|finding| causes.contains(&finding.id)) else { return false };
        cause.severity = cause.severity.min(severity);
        cause.evidence.extend(evidence);
        true
    }

    /// Makes one finding of those with one id, such as a socket that was lacking for a lookup and for a connection: one
    /// cause counts once in a round.
    pub(super) fn merge(&mut self) {
        let mut merged: Vec<Finding> = Vec::with_capacity(self.findings.len());
        for mut finding in std::mem::take(&mut self.findings) {
            let Some(known) = merged.iter_mut().find(|known| known.id == finding.id) else {
                merged.push(finding);
                continue;
            };
            if finding.severity < known.severity {
                std::mem::swap(known, &mut finding);
            }
            known.evidence.append(&mut finding.evidence);
        }
        self.findings = merged;
    }
}

/// What a diagnosis rests on.
pub(super) struct Case<'round> {
    pub(super) cache: &'round Cache,
    pub(super) lookup: &'round LookupReport,
    /// What was seen beyond the lookup, where the path was walked.
    pub(super) probe: Option<&'round ProbeReport>,
    pub(super) endpoint: Endpoint,
    pub(super) commands: Commands,
}

impl<'round> Case<'round> {
    /// The case of an observation; `None` where it holds no lookup.
    pub(super) fn of(cache: &'round Cache, seen: &'round Observation) -> Option<Self> {
        let endpoint = azure::identify(&cache.host);
        let commands = Commands::of(cache, endpoint.clone());
        Some(Self { cache, lookup: seen.lookup()?, probe: seen.probe().map(AsRef::as_ref), endpoint, commands })
    }

    /// A finding about this cache, to be completed.
    pub(super) fn finding(&self, id: FindingId, severity: Severity, stage: Stage, summary: String) -> Draft {
        Draft(Finding {
            id,
            severity,
            cache: self.cache.name.clone(),
            stage,
            summary,
            evidence: Vec::new(),
            remedy: Vec::new(),
            since: self.lookup.at,
        })
    }

    /// The legs an application would use.
    pub(super) fn used_legs(&self) -> impl Iterator<Item = &'round Leg> + use<'round> {
        self.probe.into_iter().flat_map(ProbeReport::used_legs)
    }

    /// See [`Cache::busiest`].
    pub(super) fn busiest(&self) -> Option<(&'round Leg, &'round ServerFacts, Option<Clients>)> {
        self.cache.busiest(self.probe?)
    }

    /// The legs that failed at `stage`, with their faults.
    pub(super) fn failed_at(&self, stage: Stage) -> Vec<(&'round Leg, &'round Fault)> {
        let failed = self.used_legs().filter_map(|leg| leg.fault.as_ref().map(|fault| (leg, fault)));
        failed.filter(|(_, fault)| fault.stage == stage).collect()
    }

    /// Whether every address that was dialled stayed closed.
    pub(super) fn all_fail_to_connect(&self) -> bool {
        let legs = self.used_legs().count();
        legs > 0 && self.failed_at(Stage::Connect).len() == legs
    }

    /// The severity of something that breaks a leg: unavailable where it breaks them all, else degraded.
    pub(super) fn severity_of(&self, broken: usize) -> Severity {
        if broken == self.used_legs().count() { Severity::Unavailable } else { Severity::Degraded }
    }

    /// Groups failed legs by what is wrong with them, in order of their first appearance.
    pub(super) fn by_kind(
        failed: Vec<(&'round Leg, &'round Fault)>,
    ) -> Vec<(FaultKind, Vec<(&'round Leg, &'round Fault)>)> {
        let mut groups: Vec<(FaultKind, Vec<_>)> = Vec::new();
        for (leg, fault) in failed {
            match groups.iter_mut().find(|(kind, _)| *kind == fault.kind) {
                Some((_, group)) => group.push((leg, fault)),
                None => groups.push((fault.kind, vec![(leg, fault)])),
            }
        }
        groups
    }
}

/// How a leg is named in evidence: the address, its class, and what was dialled in its place.
pub(super) fn place(leg: &Leg, port: u16) -> String {
    let redirected = if leg.is_redirected(port) { format!(", dialled as {}", leg.dialled) } else { String::new() };
    format!("{} ({}{redirected})", leg.address, leg.class)
}

/// `20.1.2.3 (public): what happened`, one line a leg.
pub(super) fn observations(cache: &Cache, failed: &[(&Leg, &Fault)]) -> Vec<String> {
    failed.iter().map(|(leg, fault)| format!("{}: {}", place(leg, cache.port), fault.detail)).collect()
}

/// What went wrong, behind a colon.
pub(super) fn words(group: &[(&Leg, &Fault)]) -> String {
    group.first().map_or_else(String::new, |(_, fault)| format!(": {}", fault.detail))
}

/// A finding in the making.
pub(super) struct Draft(Finding);

impl Draft {
    pub(super) fn evidence(mut self, line: impl Into<String>) -> Self {
        self.0.evidence.push(line.into());
        self
    }

    pub(super) fn evidences(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.0.evidence.extend(lines);
        self
    }

    pub(super) fn run(self, command: impl Into<String>) -> Self {
        self.step(Step::Run(command.into()))
    }

    /// A command that there is for hosts of Azure alone.
    pub(super) fn azure(self, command: Option<String>) -> Self {
        match command {
            Some(command) => self.run(command),
            None => self,
        }
    }

    pub(super) fn note(self, words: impl Into<String>) -> Self {
        self.step(Step::Note(words.into()))
    }

    /// Notes, each of them once.
    pub(super) fn notes(self, notes: impl IntoIterator<Item = String>) -> Self {
        notes.into_iter().fold(self, |draft, words| {
            let note = Step::Note(words);
            if draft.0.remedy.contains(&note) { draft } else { draft.step(note) }
        })
    }

    pub(super) fn step(mut self, step: Step) -> Self {
        self.0.remedy.push(step);
        self
    }

    pub(super) fn done(self) -> Finding {
        self.0
    }
}
