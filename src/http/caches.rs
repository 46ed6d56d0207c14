//! The JSON twins of what the page shows.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;

use super::reply;
use super::state::AppState;
use crate::api::caches::{CacheDetail, CacheSummary, Caches, Findings};
use crate::azure;
use crate::clock;
use crate::model::{ProbeReport, Resolver, Timestamp};
use crate::sink::CacheState;

/// `/api/v1/caches`: every cache in short.
pub(super) async fn caches(Shared(state): Shared<AppState>) -> Response {
    let (snapshot, now) = (state.board.snapshot(), clock::now());
    let caches = snapshot.caches.values().map(|watched| summary(watched, now)).collect();
    reply::json(StatusCode::OK, Caches { caches })
}

/// `/api/v1/caches/{name}`: one cache, with the report of its last probe, that of a lookup since, and what happened last.
pub(super) async fn cache(Shared(state): Shared<AppState>, Path(name): Path<String>) -> Response {
    let snapshot = state.board.snapshot();
    let Some(watched) = snapshot.caches.get(name.as_str()) else { return reply::no_such_cache() };
    let detail = CacheDetail {
        summary: summary(watched, clock::now()),
        report: watched.report.as_deref(),
        lookup: watched.lookup.as_deref(),
        events: &watched.events,
    };
    reply::json(StatusCode::OK, detail)
}

/// `/api/v1/findings`: every open finding.
pub(super) async fn findings(Shared(state): Shared<AppState>) -> Response {
    let snapshot = state.board.snapshot();
    reply::json(StatusCode::OK, Findings { findings: snapshot.open(), machine: &snapshot.machine })
}

fn summary(watched: &CacheState, now: Timestamp) -> CacheSummary<'_> {
    let (cache, report) = (&*watched.cache, watched.report.as_deref());
    let endpoint = azure::identify(&cache.host);
    CacheSummary {
        name: &cache.name,
        host: &cache.host,
        port: cache.port,
        product: endpoint.product,
        cloud: endpoint.cloud,
        tier: cache.tier.as_ref().map(|(name, _)| name.as_str()),
        isolation: cache.expectation.isolation,
        expected_addresses: cache.expectation.addresses.iter().map(ToString::to_string).collect(),
        resolvers: cache.resolvers.iter().map(Resolver::name).collect(),
        interval: cache.interval,
        connect_to: cache.connect_to.iter().map(ToString::to_string).collect(),
        standing: watched.standing(now),
        probed_at: report.map(|report| report.lookup.at),
        succeeded: report.map(ProbeReport::succeeded),
        clients: report.and_then(|report| cache.busiest(report)).and_then(|(_, _, clients)| clients),
        findings: &watched.open,
    }
}
