//! `/api/v1/caches` and `/api/v1/caches/{name}`.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::azure::{Cloud, Product};
use crate::model::{
    CacheName, Clients, Event, Finding, Isolation, LookupReport, ProbeReport, ResolverName, Standing, Timestamp,
    WireText, seconds,
};

/// Where the list of caches is.
pub const PATH: &str = "/api/v1/caches";

/// Every cache: in short where the daemon writes it, by name alone where a command reads it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Caches<C> {
    /// In the order of their names.
    pub caches: Vec<C>,
}

/// What a command reads of a [`CacheSummary`].
#[derive(Debug, Deserialize)]
pub struct CacheListed {
    /// The name of the cache.
    pub name: WireText,
}

/// A cache as it is configured, and how it fares.
#[derive(Debug, Serialize)]
pub struct CacheSummary<'a> {
    /// The name of the cache.
    pub name: &'a CacheName,
    /// The host name that applications use.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The product, by the suffix of the host.
    pub product: Product,
    /// The cloud, by the suffix of the host.
    pub cloud: Cloud,
    /// The tier, where one is configured.
    pub tier: Option<&'a str>,
    /// How the cache should be reached, where that is configured.
    pub isolation: Option<Isolation>,
    /// Addresses and networks that the name should lead to.
    pub expected_addresses: Vec<String>,
    /// The resolvers that are asked; the first is followed.
    pub resolvers: Vec<ResolverName>,
    /// How often the cache is probed.
    #[serde(rename = "interval_seconds", serialize_with = "seconds::serialize")]
    pub interval: Duration,
    /// Addresses dialled in place of resolved ones: results speak of these, not of the path an application takes.
    pub connect_to: Vec<String>,
    /// How the cache fares.
    pub standing: Standing,
    /// When the last probe began.
    pub probed_at: Option<Timestamp>,
    /// Whether every address answered PING in it.
    pub succeeded: Option<bool>,
    /// Clients of the server that has the least room.
    pub clients: Option<Clients>,
    /// The open findings, the deepest cause first.
    pub findings: &'a [Finding],
}

/// One cache, with what was seen of it and what happened last.
#[derive(Debug, Serialize)]
pub struct CacheDetail<'a> {
    /// The same as in the list.
    #[serde(flatten)]
    pub summary: CacheSummary<'a>,
    /// The report of the last probe.
    pub report: Option<&'a ProbeReport>,
    /// A lookup since that report: it has the later resolutions, and no legs.
    pub lookup: Option<&'a LookupReport>,
    /// What happened last, the latest first.
    pub events: &'a VecDeque<Event>,
}

/// Every open finding of the caches, the worst first, and apart from them what is to be said of the machine.
#[derive(Debug, Serialize)]
pub struct Findings<'a> {
    /// Of the caches.
    pub findings: Vec<&'a Finding>,
    /// Of the machine.
    pub machine: &'a [Finding],
}
