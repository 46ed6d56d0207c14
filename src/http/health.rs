//! Health: `/livez` and `/readyz` speak of the daemon, `/healthz` of the caches.

use std::fmt::Write;

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::admit::Unauthenticated;
use super::reply;
use super::state::State;
use crate::clock;
use crate::model::{CacheName, Finding, FindingId, Pending, Refusal, Severity, Stage, Standing, Timestamp};
use crate::sink::CacheState;

/// `/livez`: whether the daemon's loops turn. Never the caches: restarting a monitor heals nothing it looks at.
/// A refused configuration is told and is no reason to restart; a stranger is not told of it.
pub(super) async fn live(Shared(state): Shared<State>, stranger: Option<Extension<Unauthenticated>>) -> Response {
    if let Some((which, still)) = state.pulse.standstill(state.standstill) {
        let words = format!("the {which} loop of the daemon stands still for {} s\n", still.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    }
    let mut words = "alive\n".to_owned();
    if let Some(refusal) = state.board.snapshot().configuration.refused.as_ref().filter(|_| stranger.is_none()) {
        words += &told(refusal);
        words.push('\n');
    }
    if let Some((which, still)) = state.pulse.waiting(state.standstill) {
        // Writing to a string cannot fail.
        let _ = writeln!(words, "the {which} loop waits for a disk for {} s; monitoring goes on", still.as_secs());
    }
    words.into_response()
}

fn told(refusal: &Refusal) -> String {
    format!("{} since {}, the old one stays: {}", Refusal::WORDS, refusal.since(), refusal.reason())
}

/// `/readyz`: whether every cache has had its first report. A reload that adds a cache makes it wait for that one. A
/// stranger is not told which.
pub(super) async fn ready(Shared(state): Shared<State>, stranger: Option<Extension<Unauthenticated>>) -> Response {
    let snapshot = state.board.snapshot();
    if snapshot.is_ready() {
        return "ready\n".into_response();
    }
    let awaited: Vec<_> = snapshot.awaited().map(CacheName::as_str).collect();
    let text = match awaited.as_slice() {
        [] => "waiting for the configuration\n".to_owned(),
        names if stranger.is_some() => format!("waiting for the first report of {} caches\n", names.len()),
        names => format!("waiting for the first report of {}\n", names.join(", ")),
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// `/healthz`: 200 where no cache is ill or unknown, else 503.
///
/// An application's readiness may hang on it, so no evidence is no health: a cache that was not probed yet, or not for
/// three intervals, or that has only failed so far, is unknown and answers 503.
pub(super) async fn of_all(Shared(state): Shared<State>) -> Response {
    let (snapshot, now) = (state.board.snapshot(), clock::now());
    let caches: Vec<_> = snapshot.caches.values().map(|watched| CacheHealth::new(watched, now)).collect();
    let healthy = state.is_judging()
        && snapshot.configuration.generation > 0
        && caches.iter().all(|cache| is_healthy(cache.standing));
    let configuration_refused = snapshot.configuration.refused.as_ref();
    reply::json(status(healthy), Health { healthy, caches, configuration_refused })
}

/// `/healthz/{cache}`: the same, of one cache.
pub(super) async fn of_one(Shared(state): Shared<State>, Path(name): Path<String>) -> Response {
    let snapshot = state.board.snapshot();
    let Some(watched) = snapshot.caches.get(name.as_str()) else { return reply::no_such_cache() };
    let cache = CacheHealth::new(watched, clock::now());
    let healthy = state.is_judging() && is_healthy(cache.standing);
    let configuration_refused = snapshot.configuration.refused.as_ref();
    reply::json(status(healthy), Health { healthy, caches: vec![cache], configuration_refused })
}

#[derive(Serialize)]
struct Health<'a> {
    healthy: bool,
    caches: Vec<CacheHealth<'a>>,
    /// A newer configuration that is not in use; null where there is none.
    configuration_refused: Option<&'a Refusal>,
}

#[derive(Serialize)]
struct CacheHealth<'a> {
    cache: &'a CacheName,
    standing: Standing,
    probed_at: Option<Timestamp>,
    findings: Vec<Complaint<'a>>,
    /// What was seen and has not been seen often enough to be a finding.
    doubts: &'a [Pending],
    /// When the next probe is due, where that is known.
    next_probe_at: Option<Timestamp>,
}

/// A finding in few words: what gates on it needs no remedy.
#[derive(Serialize)]
struct Complaint<'a> {
    finding: FindingId,
    severity: Severity,
    stage: Stage,
    summary: &'a str,
    since: Timestamp,
}

impl<'a> CacheHealth<'a> {
    fn new(watched: &'a CacheState, now: Timestamp) -> Self {
        Self {
            cache: &watched.cache.name,
            standing: watched.standing(now),
            probed_at: watched.report.as_ref().map(|report| report.lookup.at),
            findings: watched.open.iter().map(Complaint::new).collect(),
            doubts: &watched.pending,
            next_probe_at: watched.next,
        }
    }
}

impl<'a> Complaint<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            finding: finding.id,
            severity: finding.severity,
            stage: finding.stage,
            summary: &finding.summary,
            since: finding.since,
        }
    }
}

fn is_healthy(standing: Standing) -> bool {
    match standing {
        Standing::Well | Standing::AtRisk => true,
        Standing::Ill | Standing::Unknown => false,
    }
}

fn status(healthy: bool) -> StatusCode {
    if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
