//! Health: `/livez` and `/readyz` speak of the daemon, `/healthz` of the caches.

use std::fmt::Write;

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::admit::Unauthenticated;
use super::reply;
use super::state::AppState;
use crate::api::health::{CacheHealth, Health};
use crate::clock;
use crate::model::{CacheName, Refusal, Standing, Timestamp};
use crate::sink::CacheState;

/// `/livez`: whether the daemon's loops turn. Never the caches: restarting a monitor heals nothing it looks at.
/// A refused configuration is told and is no reason to restart; a stranger is not told of it.
pub(super) async fn live(Shared(state): Shared<AppState>, stranger: Option<Extension<Unauthenticated>>) -> Response {
    if let Some((which, still)) = state.pulse.standstill(state.standstill) {
        let words = format!("the {which} loop of the daemon has made no progress for {} s\n", still.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    }
    let mut words = "alive\n".to_owned();
    if let Some(refusal) = state.board.snapshot().configuration.refused.as_ref().filter(|_| stranger.is_none()) {
        words += &told(refusal);
        words.push('\n');
    }
    if let Some((which, still)) = state.pulse.waiting(state.standstill) {
        // Writing to a string cannot fail.
        let _ =
            writeln!(words, "the {which} loop has waited for a disk for {} s; monitoring continues", still.as_secs());
    }
    words.into_response()
}

fn told(refusal: &Refusal) -> String {
    format!("{} since {}, the old one stays: {}", Refusal::WORDS, refusal.since(), refusal.reason())
}

/// `/readyz`: whether every cache has had its first report. A reload that adds a cache makes it wait for that one. A
/// stranger is not told which.
pub(super) async fn ready(Shared(state): Shared<AppState>, stranger: Option<Extension<Unauthenticated>>) -> Response {
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
pub(super) async fn of_all(Shared(state): Shared<AppState>) -> Response {
    let (snapshot, now) = (state.board.snapshot(), clock::now());
    let caches: Vec<_> = snapshot.caches.values().map(|watched| of(watched, now)).collect();
    let healthy = state.is_judging()
        && snapshot.configuration.generation > 0
        && caches.iter().all(|cache| is_healthy(cache.standing));
    let configuration_refused = snapshot.configuration.refused.clone();
    reply::json(status(healthy), Health { healthy, caches, configuration_refused })
}

/// `/healthz/{cache}`: the same, of one cache.
pub(super) async fn of_one(Shared(state): Shared<AppState>, Path(name): Path<String>) -> Response {
    let snapshot = state.board.snapshot();
    let Some(watched) = snapshot.caches.get(name.as_str()) else { return reply::no_such_cache() };
    let cache = of(watched, clock::now());
    let healthy = state.is_judging() && is_healthy(cache.standing);
    let configuration_refused = snapshot.configuration.refused.clone();
    reply::json(status(healthy), Health { healthy, caches: vec![cache], configuration_refused })
}

fn of(watched: &CacheState, now: Timestamp) -> CacheHealth<'_> {
    CacheHealth {
        cache: watched.cache.name.as_str().into(),
        standing: watched.standing(now),
        probed_at: watched.report.as_ref().map(|report| report.lookup.at),
        findings: watched.open.iter().map(Into::into).collect(),
        pending: watched.pending.iter().map(Into::into).collect(),
        next_probe_at: watched.next,
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
