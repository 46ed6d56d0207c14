//! What a server says of itself.

use serde::{Serialize, Serializer};

use super::{WireText, vocabulary};

/// What the server says of itself in INFO; each part is absent where the server does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServerFacts {
    /// `redis_version`, or `valkey_version` where there is one.
    pub version: Option<WireText>,
    /// `role`.
    pub role: Option<Role>,
    /// `redis_mode`.
    pub mode: Option<Mode>,
    /// `run_id`: changes when the process does.
    pub run_id: Option<WireText>,
    /// `uptime_in_seconds`.
    pub uptime_seconds: Option<u64>,
    /// `connected_clients`.
    pub connected_clients: Option<u64>,
    /// `maxclients`; Redis says it since 6.2.
    pub max_clients: Option<u64>,
    /// `rejected_connections`, since the process started.
    pub rejected_connections: Option<u64>,
    /// `connected_slaves`.
    pub connected_replicas: Option<u64>,
    /// The server's clock less this machine's, in seconds, when the server told its time.
    pub clock_skew_seconds: Option<i64>,
}

vocabulary! {
    /// The part a server plays in replication.
    pub enum Role {
        /// Takes writes.
        Primary = "primary",
        /// Follows a primary.
        Replica = "replica",
        /// Something else.
        Other = "other",
    }
}

vocabulary! {
    /// How a server is run.
    pub enum Mode {
        /// Alone, or behind a proxy.
        Standalone = "standalone",
        /// As a node of a cluster.
        Cluster = "cluster",
        /// As a sentinel, which is no cache.
        Sentinel = "sentinel",
        /// Something else.
        Other = "other",
    }
}

/// Connected clients against the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients {
    /// How many are connected, this probe among them.
    pub connected: u64,
    /// The limit and its source; never zero.
    pub limit: Option<(u64, LimitSource)>,
}

impl Clients {
    /// The share of the limit that is still free, 0 to 1. A negative share (more clients than the limit) reads as 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "client counts are far below 2^52")]
    pub fn headroom(&self) -> Option<f64> {
        let (limit, _) = self.limit?;
        Some((1.0 - self.connected as f64 / limit as f64).max(0.0))
    }
}

impl Serialize for Clients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape {
            connected: u64,
            limit: Option<u64>,
            limit_source: Option<LimitSource>,
            headroom_ratio: Option<f64>,
        }
        Shape {
            connected: self.connected,
            limit: self.limit.map(|(limit, _)| limit),
            limit_source: self.limit.map(|(_, source)| source),
            headroom_ratio: self.headroom(),
        }
        .serialize(serializer)
    }
}

vocabulary! {
    /// Who says how many clients are allowed.
    pub enum LimitSource {
        /// The server, in INFO.
        Server = "server",
        /// The documented limit of the tier.
        Tier = "tier",
        /// The operator.
        Configured = "configured",
    }
}
