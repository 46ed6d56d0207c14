//! The JSON twins of what the page shows.

use std::collections::VecDeque;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::reply;
use super::state::State;
use crate::azure::{self, Cloud, Product};
use crate::clock;
use crate::model::{
    CacheName, Clients, Event, Finding, Isolation, LookupReport, ProbeReport, Resolver, ResolverName, Standing,
    Timestamp, seconds,
};
use crate::sink::CacheState;

/// `/api/v1/caches`: every cache in short.
pub(super) async fn caches(Shared(state): Shared<State>) -> Response {
    #[derive(Serialize)]
    struct Caches<'a> {
        caches: Vec<Summary<'a>>,
    }
    let (snapshot, now) = (state.board.snapshot(), clock::now());
    let caches = snapshot.caches.values().map(|watched| Summary::new(watched, now)).collect();
    reply::json(StatusCode::OK, Caches { caches })
}

/// `/api/v1/caches/{name}`: one cache, with the report of its last probe, that of a lookup since, and what happened last.
pub(super) async fn cache(Shared(state): Shared<State>, Path(name): Path<String>) -> Response {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        summary: Summary<'a>,
        report: Option<&'a ProbeReport>,
        /// A lookup since that report: it has the later resolutions, and no legs.
        lookup: Option<&'a LookupReport>,
        events: &'a VecDeque<Event>,
    }
    let snapshot = state.board.snapshot();
    let Some(watched) = snapshot.caches.get(name.as_str()) else { return reply::no_such_cache() };
    let whole = Whole {
        summary: Summary::new(watched, clock::now()),
        report: watched.report.as_deref(),
        lookup: watched.lookup.as_deref(),
        events: &watched.events,
    };
    reply::json(StatusCode::OK, whole)
}

/// `/api/v1/findings`: every open finding of the caches, the worst first, and apart from them what is to be said of this
/// machine.
pub(super) async fn findings(Shared(state): Shared<State>) -> Response {
    #[derive(Serialize)]
    struct Findings<'a> {
        findings: Vec<&'a Finding>,
        machine: &'a [Finding],
    }
    let snapshot = state.board.snapshot();
    reply::json(StatusCode::OK, Findings { findings: snapshot.open(), machine: &snapshot.machine })
}

/// A cache as it is configured, and how it fares.
#[derive(Serialize)]
struct Summary<'a> {
    name: &'a CacheName,
    host: &'a str,
    port: u16,
    product: Product,
    cloud: Cloud,
    tier: Option<&'a str>,
    isolation: Option<Isolation>,
    expected_addresses: Vec<String>,
    resolvers: Vec<ResolverName>,
    #[serde(rename = "interval_seconds", serialize_with = "seconds::serialize")]
    interval: std::time::Duration,
    /// Addresses dialled in place of resolved ones: results speak of these, not of the path an application takes.
    connect_to: Vec<String>,
    standing: Standing,
    probed_at: Option<Timestamp>,
    succeeded: Option<bool>,
    clients: Option<Clients>,
    findings: &'a [Finding],
}

impl<'a> Summary<'a> {
    fn new(watched: &'a CacheState, now: Timestamp) -> Self {
        let (cache, report) = (&*watched.cache, watched.report.as_deref());
        let endpoint = azure::identify(&cache.host);
        Self {
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
}
