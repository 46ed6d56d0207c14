//! What the probes talk to: a real redis-server with TLS and name servers, on a core of their own.

use std::cell::Cell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use testlab::dns::{Answer, DnsServer, Transport};
use testlab::pki::{Authority, Leaf};
use testlab::redis::RedisServer;

use super::cores::Cores;

/// The name that the server's certificate covers.
pub(crate) const SERVER_NAME: &str = "bench.redis.cache.test";

pub(crate) const PASSWORD: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH=";

/// The most names that lead to the server.
pub(crate) const MOST_HOSTS: usize = 1_000;

/// How long a name server in another place takes for an answer.
pub(crate) const FAR: Duration = Duration::from_millis(5);

/// How long an answer may be kept: what the address of a private endpoint has in Azure's zones.
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// How many name servers there are. All know the first host; only the first of them knows the others.
pub(crate) const NAME_SERVERS: usize = 3;

pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) redis: RedisServer,
    pub(crate) dns: DnsServer,
    other_dns: [DnsServer; NAME_SERVERS - 1],
    /// How often the traffic was counted: to ask Redis is a connection as well.
    counts: Cell<usize>,
    _leaf: Leaf,
    directory: TempDir,
}

/// What a probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Questions to name servers over UDP.
    pub(crate) questions: usize,
    /// Questions to name servers over TCP.
    pub(crate) dns_connections: usize,
    /// Connections to Redis.
    pub(crate) redis_connections: usize,
}

impl Site {
    /// A leaf below an intermediate below a root, as Azure's chains are, with P-256 keys; each host is an alias into a
    /// privatelink zone, as a private endpoint's is.
    pub(crate) fn start(cores: &Cores) -> Self {
        let authority = Authority::new();
        let leaf = authority.intermediate().leaf(&[SERVER_NAME]);
        let (redis, dns, other_dns) = cores.start_servers(|| {
            let redis = RedisServer::builder().tls(&leaf).password(PASSWORD).max_clients(1_000).start();
            (redis, DnsServer::start(), std::array::from_fn(|_| DnsServer::start()))
        });
        let directory = TempDir::new().expect("a temporary directory");
        fs::write(directory.path().join("key"), PASSWORD).expect("a temporary directory can be written to");
        let site = Self { authority, redis, dns, other_dns, counts: Cell::new(0), _leaf: leaf, directory };
        for number in 0..MOST_HOSTS {
            site.dns.set(&site.host(number), answer(number, Ipv4Addr::LOCALHOST));
        }
        for dns in site.every_dns() {
            dns.set(&site.host(0), answer(0, Ipv4Addr::LOCALHOST));
            dns.set(&site.far_host(), answer(0, Ipv4Addr::LOCALHOST).after(FAR));
        }
        site
    }

    /// Where the name servers listen, the one that knows every host first.
    pub(crate) fn name_servers(&self) -> impl Iterator<Item = SocketAddr> {
        self.every_dns().map(DnsServer::address)
    }

    fn every_dns(&self) -> impl Iterator<Item = &DnsServer> {
        std::iter::once(&self.dns).chain(&self.other_dns)
    }

    /// What each of so many probes sends, as those who get it count it. No probe may send more than another.
    pub(crate) fn traffic(&self, probes: usize, mut probe: impl FnMut()) -> Traffic {
        let before = self.count();
        for _ in 0..probes {
            probe();
        }
        let after = self.count();
        let each = |what: fn(&Traffic) -> usize| {
            let all = what(&after) - what(&before);
            assert!(all.is_multiple_of(probes), "{probes} equal probes sent {all} in all: {before:?}, {after:?}");
            all / probes
        };
        Traffic {
            questions: each(|traffic| traffic.questions),
            dns_connections: each(|traffic| traffic.dns_connections),
            redis_connections: each(|traffic| traffic.redis_connections),
        }
    }

    /// Everything that has come in so far.
    pub(crate) fn count(&self) -> Traffic {
        let asked: Vec<_> = self.every_dns().flat_map(DnsServer::asked).collect();
        let over_udp = asked.iter().filter(|asked| asked.over == Transport::Udp).count();
        let stats = self.redis.command(&["INFO", "stats"]);
        let connections = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        let connections: usize = connections.and_then(|count| count.parse().ok()).expect("Redis counts connections");
        let own = self.counts.replace(self.counts.get() + 1) + 1;
        Traffic { questions: over_udp, dns_connections: asked.len() - over_udp, redis_connections: connections - own }
    }

    /// The name of one of the caches: as Azure's are, so that a daemon tells of it what it tells of those. Only the name
    /// servers here are asked for it.
    #[expect(clippy::unused_self, reason = "a name leads nowhere without the site")]
    pub(crate) fn host(&self, number: usize) -> String {
        format!("cache-{number}.redis.cache.windows.net")
    }

    /// A name that every name server knows, and takes [`FAR`] to tell.
    #[expect(clippy::unused_self, reason = "a name leads nowhere without the site")]
    pub(crate) fn far_host(&self) -> String {
        "far.redis.cache.test".to_owned()
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

/// An alias into a privatelink zone, and the address behind it.
pub(crate) fn answer(number: usize, address: Ipv4Addr) -> Answer {
    let target = format!("cache-{number}.privatelink.redis.cache.windows.net");
    Answer::new().alias(&target, 300).address(address, u32::try_from(TTL.as_secs()).expect("a short time"))
}
