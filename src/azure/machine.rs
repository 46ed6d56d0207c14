//! What is recommended for a machine that talks to a cache.

/// A kernel setting under `net.ipv4` and the value that is recommended for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpSetting {
    /// Its name under `net.ipv4`.
    pub name: &'static str,
    /// The recommended value; a larger one notices a broken connection later.
    pub recommended: u64,
    /// What it does, and what a larger value costs.
    pub why: &'static str,
}

/// TCP settings of a Linux client.
///
/// Sources: Microsoft Learn, "Connection resilience" of Azure Cache for Redis (`tcp_retries2 = 5`; the default of 15 lets
/// a connection stall for 13 to 15 minutes after a failover). The keepalive values are those of guides by third parties;
/// Microsoft says only that an idle connection is closed after ten minutes, which they stay well below.
pub const TCP_SETTINGS: [TcpSetting; 4] = [
    TcpSetting {
        name: "tcp_retries2",
        recommended: 5,
        why: "how often unacknowledged data is sent again: with 15, a connection that a failover broke stalls for a quarter \
              of an hour",
    },
    TcpSetting {
        name: "tcp_keepalive_time",
        recommended: 60,
        why: "seconds without traffic before the first keepalive probe: caches close connections that are idle for ten minutes",
    },
    TcpSetting { name: "tcp_keepalive_intvl", recommended: 10, why: "seconds between keepalive probes" },
    TcpSetting {
        name: "tcp_keepalive_probes",
        recommended: 5,
        why: "keepalive probes before a connection counts as dead",
    },
];
