//! A cache as its operator described it: where it is, what is expected of it, how to walk the path to it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::{
    AddressClass, CacheName, Clients, LimitSource, Opening, Resolution, Resolver, ServerFacts, Tls, destination,
    vocabulary,
};

/// One cache, checked: everything a probe and a judgement need. Two equal values are the same cache to a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    /// The operator's name for it.
    pub name: CacheName,
    /// The host name an application would dial, without a trailing dot; an address is accepted and becomes a finding.
    pub host: String,
    /// The port an application would dial.
    pub port: u16,
    /// Where the name should lead.
    pub expectation: Expectation,
    /// The resolvers to ask for the addresses. Never empty; the connection follows the first.
    pub resolvers: Vec<Resolver>,
    /// How to speak TLS; `None` speaks plain Redis.
    pub tls: Option<Tls>,
    /// How to authenticate.
    pub auth: Auth,
    /// The client limit the operator states, which wins over every other source.
    pub max_clients: Option<u64>,
    /// The tier's name and its client limit, used where the server reports none.
    pub tier: Option<(String, u64)>,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// The shortest time from one lookup beside the probes to the next, where answers that run out before the next probe
    /// are asked for again; `None` asks only as part of a probe.
    pub follow_ttl: Option<Duration>,
    /// How long each part of a probe may take.
    pub timeouts: Timeouts,
    /// When a finding opens and clears.
    pub rules: Rules,
    /// Where advice becomes a finding.
    pub thresholds: Thresholds,
    /// A place that answers TCP whenever the network of this machine is up; dialled only after no address was reached.
    pub control: Option<SocketAddr>,
    /// What is tested beside the path of an application, at a pace of its own.
    pub exposure: Exposure,
    /// Addresses to dial in place of resolved ones. For tests and demonstrations; shown wherever results are.
    pub connect_to: Vec<DialOverride>,
}

impl Cache {
    /// After how many intervals without a report the last one proves nothing any more.
    const STALE_AFTER: u32 = 3;

    /// A cache at this endpoint, with everything else as a configuration has it by default. What is special about one is
    /// said around it: `Cache { auth, ..Cache::new("orders", "orders.redis.cache.windows.net", 6380) }`.
    #[must_use]
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self {
            name: CacheName::new(name),
            host: host.to_owned(),
            port,
            expectation: Expectation::default(),
            resolvers: vec![Resolver::System],
            tls: Some(Tls::default()),
            auth: Auth::None,
            max_clients: None,
            tier: None,
            interval: Duration::from_secs(30),
            follow_ttl: Some(Duration::from_secs(5)),
            timeouts: Timeouts::default(),
            rules: Rules::default(),
            thresholds: Thresholds::default(),
            control: None,
            exposure: Exposure::default(),
            connect_to: Vec::new(),
        }
    }

    /// For how long from its beginning a report speaks of now: three intervals, and the time a probe may take.
    #[must_use]
    pub fn report_lasts(&self) -> Duration {
        self.interval * Self::STALE_AFTER + self.timeouts.total
    }

    /// The name on the certificate that the connection must prove.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(&self.host)
    }

    /// `host:port`, as an application would write it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).to_string(),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    /// Where to dial for `address`: the address itself unless the operator says otherwise.
    #[must_use]
    pub fn dial(&self, address: IpAddr) -> SocketAddr {
        self.dial_at(address, self.port)
    }

    /// The same for another port of the cache than the one an application dials.
    #[must_use]
    pub fn dial_at(&self, address: IpAddr, port: u16) -> SocketAddr {
        self.connect_to
            .iter()
            .find(|redirect| redirect.address == address && redirect.port.is_none_or(|own| own == port))
            .map_or_else(|| SocketAddr::new(address, port), |redirect| redirect.to)
    }

    /// Connected clients against the limit: the operator's own number, else the server's, else the tier's.
    ///
    /// `None` where the server did not say how many clients it has.
    #[must_use]
    pub fn clients(&self, server: &ServerFacts) -> Option<Clients> {
        let connected = server.connected_clients?;
        let configured = self.max_clients.map(|limit| (limit, LimitSource::Configured));
        let reported = server.max_clients.map(|limit| (limit, LimitSource::Server));
        let tier = self.tier.as_ref().map(|(_, limit)| (*limit, LimitSource::Tier));
        let limit = configured.or(reported).or(tier).filter(|(limit, _)| *limit > 0);
        Some(Clients { connected, limit })
    }
}

vocabulary! {
    /// How the cache is meant to be isolated.
    pub enum Isolation {
        /// Behind an Azure private endpoint: the name must lead to a private address.
        PrivateEndpoint = "private_endpoint",
        /// A Premium cache injected into a virtual network: the name must lead to a private address.
        VnetInjected = "vnet_injected",
        /// Reached over the internet, on purpose.
        Public = "public",
    }
}

/// Where a cache's name should lead. With neither part set, nothing is asserted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expectation {
    /// How the cache is meant to be isolated, if the operator said so.
    pub isolation: Option<Isolation>,
    /// Networks that every answer must lie in; they win over what the isolation alone would say.
    pub addresses: Vec<IpNet>,
}

impl Expectation {
    /// Whether the operator asserted anything.
    #[must_use]
    pub fn is_asserted(&self) -> bool {
        self.isolation.is_some() || !self.addresses.is_empty()
    }

    /// Whether an address is one the cache should have; true where nothing is asserted.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = destination(address);
        if !self.addresses.is_empty() {
            return self.addresses.iter().any(|network| network.contains(&address));
        }
        let inside = AddressClass::of(address).is_inside_a_network();
        match self.isolation {
            Some(Isolation::PrivateEndpoint | Isolation::VnetInjected) => inside,
            Some(Isolation::Public) => !inside && AddressClass::of(address) != AddressClass::Other,
            None => true,
        }
    }

    /// Whether every address that a name leads to is one the cache should have.
    #[must_use]
    pub fn is_met_by(&self, resolution: &Resolution) -> bool {
        resolution.usable().all(|answer| self.admits(answer.address))
    }

    /// Whether the traffic is meant to stay inside a network: said by the isolation, or by the networks expected.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self.isolation {
            Some(Isolation::PrivateEndpoint | Isolation::VnetInjected) => true,
            Some(Isolation::Public) => false,
            None => {
                !self.addresses.is_empty()
                    && self.addresses.iter().all(|network| AddressClass::of(network.network()).is_inside_a_network())
            }
        }
    }
}

/// How a probe authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// It does not: nothing is configured.
    None,
    /// It does not, on purpose: the monitor must not have the key. That the cache requires one is an answer like any other.
    Withheld,
    /// With an access key, or with a user's password.
    AccessKey {
        /// The ACL user; `None` sends the key alone.
        username: Option<String>,
        /// Where the key is kept.
        password: Password,
    },
}

/// Where a password is kept. The password itself is read when a probe needs it, and is never part of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// A file, read again when it changes; trailing line ends are not part of the password.
    File(PathBuf),
    /// An environment variable of this process.
    Environment(String),
}

/// A file that systemd makes for one service when that starts, from what `LoadCredential=` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'path> {
    /// The service, such as `cachewatch.service`.
    pub unit: &'path str,
    /// The credential's name.
    pub name: &'path str,
}

impl<'path> Credential<'path> {
    /// The credential that a path leads to; `None` where it is another kind of file.
    #[must_use]
    pub fn of(path: &'path Path) -> Option<Self> {
        let (unit, name) = path.to_str()?.strip_prefix("/run/credentials/")?.split_once('/')?;
        Some(Self { unit, name })
    }
}

/// How long the parts of a probe may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The one deadline over all stages.
    pub total: Duration,
    /// All lookups of one resolver.
    pub resolve: Duration,
    /// One TCP connection.
    pub connect: Duration,
    /// One TLS handshake.
    pub tls: Duration,
    /// One Redis command: AUTH, PING, INFO.
    pub command: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let stage = Duration::from_secs(5);
        let (total, command) = (Duration::from_secs(10), Duration::from_secs(3));
        Self { total, resolve: stage, connect: stage, tls: stage, command }
    }
}

/// How often a condition must be seen before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Bad rounds in a row before a finding opens.
    pub open_after: u32,
    /// Good rounds in a row before it clears.
    pub clear_after: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self { open_after: 2, clear_after: 2 }
    }
}

/// Where a number becomes a finding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Share of the client limit in use, 0 to 1, that is worth a warning.
    pub headroom_warning: f64,
    /// Share of the client limit in use, 0 to 1, that is close to an outage.
    pub headroom_critical: f64,
    /// Remaining validity of a certificate that is worth a warning.
    pub certificate_warning: Duration,
    /// Remaining validity of a certificate that is close to an outage.
    pub certificate_critical: Duration,
    /// A PING slower than this is slow.
    pub slow_ping: Duration,
    /// An application that waits longer than this for the name waits too long.
    pub slow_lookup: Duration,
    /// A TTL longer than this outlives a failover or a migration.
    pub ttl_long: Duration,
    /// How long before the end of a product it becomes a finding.
    pub retirement: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self {
            headroom_warning: 0.75,
            headroom_critical: 0.9,
            certificate_warning: day * 30,
            certificate_critical: day * 7,
            slow_ping: Duration::from_millis(100),
            slow_lookup: Duration::from_secs(1),
            ttl_long: Duration::from_hours(1),
            retirement: day * 548,
        }
    }
}

/// What should be closed and may be open, tested beside the path of an application. By default nothing is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exposure {
    /// The resolver to ask for the public answer, which an application here should not get; `None` tests no public address.
    pub public_resolver: Option<Resolver>,
    /// Whether to authenticate at the public address, once the same certificate and name verify there.
    pub send_credentials: bool,
    /// Whether to test for the port without TLS.
    pub plain_port: bool,
    /// Whether to test for TLS 1.0 and 1.1.
    pub legacy_tls: bool,
    /// From one test to the next.
    pub interval: Duration,
}

impl Exposure {
    /// Whether anything is tested.
    #[must_use]
    pub fn is_on(&self) -> bool {
        Opening::ALL.iter().any(|opening| self.tests(*opening))
    }

    /// Whether this is tested for.
    #[must_use]
    pub fn tests(&self, opening: Opening) -> bool {
        match opening {
            Opening::PublicPath => self.public_resolver.is_some(),
            Opening::PlainPort => self.plain_port,
            Opening::LegacyTls => self.legacy_tls,
        }
    }
}

/// One address to dial in place of a resolved one, in the manner of curl's `--connect-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialOverride {
    /// The resolved address this speaks of.
    pub address: IpAddr,
    /// The cache's port this speaks of; `None` is any.
    pub port: Option<u16>,
    /// Where to dial instead.
    pub to: SocketAddr,
}

impl fmt::Display for DialOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}={}", SocketAddr::new(self.address, port), self.to),
            None => write!(f, "{}={}", self.address, self.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(isolation: Option<Isolation>, addresses: &[&str]) -> Expectation {
        Expectation { isolation, addresses: addresses.iter().map(|net| net.parse().unwrap()).collect() }
    }

    #[test]
    fn expected_networks_win_over_the_isolation() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let private = expectation(Some(Isolation::PrivateEndpoint), &[]);
        assert!(private.admits(address("10.1.2.3")) && private.admits(address("100.64.0.9")));
        assert!(private.admits(address("::ffff:10.1.2.3")) && private.admits(address("64:ff9b::a01:203")));
        assert!(!private.admits(address("20.1.2.3")) && !private.admits(address("127.0.0.1")));

        let owned = expectation(Some(Isolation::PrivateEndpoint), &["20.1.2.0/24"]);
        assert!(owned.admits(address("20.1.2.3")) && !owned.admits(address("10.1.2.3")));

        let public = expectation(Some(Isolation::Public), &[]);
        assert!(public.admits(address("20.1.2.3")) && !public.admits(address("10.1.2.3")));
        for no_place in ["0.0.0.0", "::", "198.18.0.1", "240.0.0.1"] {
            assert!(!public.admits(address(no_place)) && !private.admits(address(no_place)), "{no_place}");
        }

        assert!(expectation(None, &[]).admits(address("20.1.2.3")));
        assert!(expectation(None, &["10.0.0.0/8"]).is_private());
        assert!(!expectation(None, &["10.0.0.0/8", "20.0.0.0/8"]).is_private());
    }
}
