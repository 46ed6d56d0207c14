//! What the program said of a world, against what it should say.

use std::{sync::Arc, time::Duration};

use cachewatch::{
    clock::Stopwatch,
    config::{self, Inputs},
    judge::Watch,
    model::{Cache, FindingId, Observation, ProbeReport},
    probe::Prober,
};
use serde_json::Value;
use testlab::{
    PATIENCE,
    cache::{SLACK, runtime},
    program::cachewatch,
};

use crate::{
    scenario::{self, Scenario},
    world::Real,
};

/// What came of a scenario.
#[derive(Debug)]
pub(crate) struct Verdict<'scenario> {
    pub(crate) scenario: &'scenario Scenario,
    pub(crate) findings: Vec<Found>,
    /// From the question to the answer.
    pub(crate) took: Duration,
    /// What `cachewatch check` tells a person, where that was asked for.
    pub(crate) told: Option<String>,
    wrong: Vec<String>,
}

/// A finding, as far as it is judged here.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) severity: u8,
    /// Summary and evidence, in lines.
    seen: String,
    remedy: String,
}

/// One judgement, before it is held against anything.
struct Answer {
    findings: Vec<Found>,
    exit: Option<i32>,
    took: Duration,
    deadline: Duration,
}

/// Builds the world of a scenario, has it judged, and compares.
/// With `tell`, what a person would read is kept.
pub(crate) fn of(scenario: &Scenario, tell: bool) -> Verdict<'_> {
    let unknown = scenario.unknown_ids();
    if let Some(complaint) = unknown.first() {
        return Verdict::broken(scenario, complaint);
    }
    let mut real = Real::new(&scenario.world);
    let mut wrong = Vec::new();
    let mut told = None;
    let answer = match &scenario.then {
        None => {
            told = tell.then(|| as_told(&real));
            checked(&real)
        }
        Some(then) => {
            let mut rounds = Rounds::new(&real);
            let first = rounds.judge(&real);
            if !is_this(&first.findings, &scenario.expect.before) {
                wrong.push(format!("in the first round found {}", listed(&first.findings)));
            }
            real.change(then);
            rounds.judge(&real)
        }
    };
    wrong.extend(faults(scenario, &answer));
    Verdict { scenario, findings: answer.findings, took: answer.took, told, wrong }
}

/// What the program tells a person.
fn as_told(real: &Real) -> String {
    let file = real.configuration();
    let arguments = ["check", "--config", &file.to_string_lossy()];
    real.network.run(|| cachewatch(&arguments).within(PATIENCE).run()).stdout
}

/// One call of the program.
fn checked(real: &Real) -> Answer {
    let file = real.configuration();
    let deadline = deadline(real);
    let watch = Stopwatch::start();
    let arguments = ["check", "--format", "json", "--config", &file.to_string_lossy()];
    let run = real.network.run(|| cachewatch(&arguments).within(PATIENCE).run());
    let took = watch.elapsed();
    assert_eq!(run.stderr, "", "the program complained");
    let caches = run.json()["caches"].as_array().cloned().unwrap_or_default();
    let findings = caches.iter().flat_map(|cache| cache["findings"].as_array().cloned().unwrap_or_default());
    Answer { findings: findings.map(|finding| Found::of(&finding)).collect(), exit: run.code, took, deadline }
}

/// The longest that one probe of this configuration may take.
fn deadline(real: &Real) -> Duration {
    let config = loaded(real);
    config.caches.iter().map(|cache| cache.timeouts.total).max().unwrap_or_default()
}

fn loaded(real: &Real) -> config::Config {
    let inputs = Inputs { files: vec![real.configuration()], ..Inputs::default() };
    config::load(&inputs).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Many rounds of the library's own: the probe and the watch that the daemon runs.
struct Rounds {
    prober: Prober,
    watches: Vec<Watch>,
}

impl Rounds {
    fn new(real: &Real) -> Self {
        let config = loaded(real);
        Self { prober: Prober::new(&config.system), watches: config.caches.iter().map(|_| Watch::default()).collect() }
    }

    fn judge(&mut self, real: &Real) -> Answer {
        let config = loaded(real);
        let watch = Stopwatch::start();
        let walk = |cache: &Arc<Cache>| {
            let report = real.network.run(|| runtime().block_on(self.prober.walk_with_exposure(cache)));
            Arc::new(report)
        };
        let reports: Vec<_> = config.caches.iter().map(walk).collect();
        let mut findings = Vec::new();
        for (own, (cache, memory)) in config.caches.iter().zip(&mut self.watches).enumerate() {
            let others = reports.iter().enumerate().filter(|(other, _)| *other != own);
            let others_reach = others.map(|(_, report)| &**report).any(ProbeReport::reached_anything);
            let seen = Observation::Probe(Arc::clone(&reports[own]));
            let _ = memory.observe(cache, &seen, others_reach);
            let open = serde_json::to_value(memory.open()).expect("findings have no odd keys");
            findings.extend(open.as_array().into_iter().flatten().map(Found::of));
        }
        Answer { findings, exit: None, took: watch.elapsed(), deadline: deadline(real) }
    }
}

impl Found {
    fn of(finding: &Value) -> Self {
        let text = |key: &str| match &finding[key] {
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            value => value.as_str().unwrap_or_default().to_owned(),
        };
        let severity = finding["severity"].as_u64().and_then(|severity| u8::try_from(severity).ok());
        Self {
            id: text("id"),
            severity: severity.expect("a severity is a small number"),
            seen: format!("{}\n{}", text("summary"), text("evidence")),
            remedy: text("remedy"),
        }
    }
}

/// Everything in which the answer is not what was expected.
fn faults(scenario: &Scenario, answer: &Answer) -> Vec<String> {
    let expect = &scenario.expect;
    let mut wrong = Vec::new();
    let found = &answer.findings;
    let advice_only = found.iter().all(|found| found.severity == 4);
    let is_as_expected = if scenario.is_healthy() { advice_only } else { is_this(found, &expect.findings) };
    if !is_as_expected {
        let expected: Vec<_> = expect.findings.iter().map(|(id, severity)| format!("{id} ({severity})")).collect();
        wrong.push(format!("found {}; expected [{}]", listed(&answer.findings), expected.join(", ")));
    }
    let mistaken = expect.not.iter().filter(|id| found.iter().any(|found| found.id == **id));
    wrong.extend(mistaken.map(|id| format!("taken for {id}")));
    if expect.exit.is_some() && answer.exit != expect.exit {
        wrong.push(format!("exit code {:?}, expected {:?}", answer.exit, expect.exit));
    }
    if answer.took > answer.deadline + SLACK {
        wrong.push(format!("late: {:?}, the probe's deadline is {:?}", answer.took, answer.deadline));
    }
    if let Some(first) = answer.findings.first() {
        let missing = |words: &[String], text: &str, where_: &str| -> Vec<String> {
            let missing = words.iter().filter(|words| !text.contains(*words));
            missing.map(|words| format!("\"{words}\" is not in the {where_}:\n{text}")).collect()
        };
        wrong.extend(missing(&expect.remedy, &first.remedy, "remedy"));
        wrong.extend(missing(&expect.evidence, &first.seen, "evidence"));
    }
    wrong
}

/// Whether these are the findings, in this order.
fn is_this(found: &[Found], expected: &[(String, u8)]) -> bool {
    let fits = |(found, (id, severity)): (&Found, &(String, u8))| {
        found.id == *id && (found.severity == *severity || *severity == scenario::BY_DATE)
    };
    found.len() == expected.len() && found.iter().zip(expected).all(fits)
}

fn listed(findings: &[Found]) -> String {
    let each = findings.iter().map(|found| format!("{} ({}): {}", found.id, found.severity, found.seen.trim_end()));
    let each: Vec<_> = each.collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join("; ") }
}

impl<'scenario> Verdict<'scenario> {
    /// What is left to say where the scenario itself could not be played.
    pub(crate) fn broken(scenario: &'scenario Scenario, words: &str) -> Self {
        let wrong = vec![format!("not played: {words}")];
        Self { scenario, findings: vec![], took: Duration::ZERO, told: None, wrong }
    }

    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The finding that was named first.
    pub(crate) fn named(&self) -> Option<FindingId> {
        FindingId::parse(&self.findings.first()?.id)
    }

    pub(crate) fn complaints(&self) -> impl Iterator<Item = String> {
        self.wrong.iter().map(|words| format!("{}: {words}", self.scenario.name))
    }
}
