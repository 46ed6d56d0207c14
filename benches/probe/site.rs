//! What the probes talk to: a real redis-server with TLS and a name server, both on a core of their own.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use tempfile::TempDir;

use super::cores::Cores;
use super::support::dns::{Answer, DnsServer};
use super::support::pki::{Authority, Leaf};
use super::support::redis::RedisServer;

/// The name that the server's certificate covers.
pub(crate) const SERVER_NAME: &str = "bench.redis.cache.test";

pub(crate) const PASSWORD: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH=";

/// The most names that lead to the server.
pub(crate) const MOST_HOSTS: usize = 1_000;

pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) redis: RedisServer,
    pub(crate) dns: DnsServer,
    _leaf: Leaf,
    directory: TempDir,
}

impl Site {
    /// A leaf below an intermediate below a root, as Azure's chains are, with P-256 keys; each host is an alias into a
    /// privatelink zone, as a private endpoint's is.
    pub(crate) fn start(cores: &Cores) -> Self {
        let authority = Authority::new();
        let leaf = authority.intermediate().leaf(&[SERVER_NAME]);
        let (redis, dns) = cores.start_servers(|| {
            let redis = RedisServer::builder().tls(&leaf).password(PASSWORD).max_clients(1_000).start();
            (redis, DnsServer::start())
        });
        let directory = TempDir::new().expect("a temporary directory");
        fs::write(directory.path().join("key"), PASSWORD).expect("a temporary directory can be written to");
        let site = Self { authority, redis, dns, _leaf: leaf, directory };
        for number in 0..MOST_HOSTS {
            let target = format!("cache-{number}.privatelink.redis.cache.test");
            site.dns.set(&site.host(number), Answer::new().alias(&target, 300).address(Ipv4Addr::LOCALHOST, 10));
        }
        site
    }

    /// The name of one of the caches.
    #[expect(clippy::unused_self, reason = "a name leads nowhere without the site")]
    pub(crate) fn host(&self, number: usize) -> String {
        format!("cache-{number}.redis.cache.test")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// The server in its own words: `redis_version`.
    pub(crate) fn redis_version(&self) -> String {
        let info = self.redis.command(&["INFO", "server"]);
        info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").to_owned()
    }
}
