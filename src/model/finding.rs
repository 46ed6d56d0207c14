//! A finding: a condition with a cause, evidence and a remedy.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{CacheName, Stage, Step, Timestamp, vocabulary};

vocabulary! {
    /// The stable id of a cause. What each means is in the catalogue of `judge`.
    pub enum FindingId {
        /// The name does not exist, and no alias led to it.
        DnsNameNotFound = "dns-name-not-found",
        /// An alias leads into a privatelink zone where there is no record.
        DnsRecordMissing = "dns-record-missing",
        /// A private endpoint exists, and this machine is led to the public address.
        DnsZoneNotLinked = "dns-zone-not-linked",
        /// A private address is expected, and nothing on the way speaks of a private endpoint.
        DnsNoPrivateEndpoint = "dns-no-private-endpoint",
        /// Private and public addresses in one answer.
        DnsMixedAnswer = "dns-mixed-answer",
        /// An address inside a network, and not the expected one.
        DnsUnexpectedPrivate = "dns-unexpected-private",
        /// A public address, and not the expected one.
        DnsUnexpectedPublic = "dns-unexpected-public",
        /// An address that no cache can have: the name is blocked on the way, or answered by invention.
        DnsBlocked = "dns-blocked",
        /// A private address where a public one is expected.
        DnsPrivateWhenPublicExpected = "dns-private-when-public-expected",
        /// The addresses left the ones seen before.
        DnsDrift = "dns-drift",
        /// Another resolver answers differently than the one that is followed.
        DnsResolversDisagree = "dns-resolvers-disagree",
        /// No resolver answered in time.
        DnsTimeout = "dns-timeout",
        /// SERVFAIL.
        DnsServerFailure = "dns-server-failure",
        /// REFUSED.
        DnsRefused = "dns-refused",
        /// No name server can be reached.
        DnsUnreachable = "dns-unreachable",
        /// The lookup failed in a way that has no name of its own.
        DnsFailed = "dns-failed",
        /// An application waits long for the name.
        DnsSlow = "dns-slow",
        /// The answer may be kept for very long.
        DnsTtlLong = "dns-ttl-long",
        /// The hosts file answers, and the name servers say otherwise.
        DnsHostsOverride = "dns-hosts-override",
        /// The search list made another name of it, and that name answered.
        DnsSearchSuffixAnswer = "dns-search-suffix-answer",
        /// There are IPv6 addresses only.
        DnsIpv6Only = "dns-ipv6-only",
        /// The configured host is a privatelink name.
        ConfigPrivatelinkName = "config-privatelink-name",
        /// The configured host is an address.
        ConfigIpAddress = "config-ip-address",
        /// The configured port is another product's.
        ConfigPortProduct = "config-port-product",

        /// The connection was refused.
        TcpRefused = "tcp-refused",
        /// No answer to SYN.
        TcpFiltered = "tcp-filtered",
        /// No route.
        TcpUnreachable = "tcp-unreachable",
        /// The connection failed in a way that has no name of its own.
        TcpFailed = "tcp-failed",
        /// Some addresses connect, others do not.
        TcpPartial = "tcp-partial",
        /// This machine ran out of something.
        LocalExhaustion = "local-exhaustion",
        /// The public address answers, and the cache should be private.
        PublicPathOpen = "public-path-open",
        /// The port without TLS answers.
        PlainPortOpen = "plain-port-open",

        /// The peer does not speak TLS.
        TlsNotSpoken = "tls-not-spoken",
        /// No TLS version in common.
        TlsVersion = "tls-version",
        /// No cipher suite in common.
        TlsNoCommonCipher = "tls-no-common-cipher",
        /// The certificate covers other names.
        TlsNameMismatch = "tls-name-mismatch",
        /// The certificate has expired.
        TlsExpired = "tls-expired",
        /// The certificate is not valid yet.
        TlsNotYetValid = "tls-not-yet-valid",
        /// The certificate expires soon.
        TlsExpiresSoon = "tls-expires-soon",
        /// No trusted root issued the certificate.
        TlsUntrusted = "tls-untrusted",
        /// An authority that Azure does not use signed the certificate of an Azure host.
        TlsIntercepted = "tls-intercepted",
        /// The connection closed inside the handshake.
        TlsClosed = "tls-closed",
        /// The handshake did not end in time.
        TlsTimeout = "tls-timeout",
        /// The handshake failed in a way that has no name of its own.
        TlsFailed = "tls-failed",
        /// TLS 1.0 or 1.1 is still accepted.
        TlsLegacyAccepted = "tls-legacy-accepted",

        /// The server wants a password and none was sent.
        AuthRequired = "auth-required",
        /// The server does not accept the password.
        AuthRejected = "auth-rejected",
        /// A password was sent where none is set.
        AuthNotConfigured = "auth-not-configured",
        /// A command that a probe needs is denied.
        AuthNotPermitted = "auth-not-permitted",
        /// The password cannot be read on this machine.
        CredentialUnreadable = "credential-unreadable",

        /// The server takes no more clients.
        RedisClientLimitReached = "redis-client-limit-reached",
        /// The client limit is near.
        ClientsHeadroomLow = "clients-headroom-low",
        /// The server has rejected connections since the last round.
        ConnectionsRejected = "connections-rejected",
        /// The tier that is configured and the server disagree about the client limit.
        ClientsLimitMismatch = "clients-limit-mismatch",
        /// The clock here and the server's are apart.
        ClockSkew = "clock-skew",
        /// The product comes to its end.
        RetirementNear = "retirement-near",
        /// The server is loading its data set.
        RedisLoading = "redis-loading",
        /// The server is busy with a script.
        RedisBusy = "redis-busy",
        /// The server is a replica that lost its primary.
        RedisMasterDown = "redis-master-down",
        /// The cluster does not serve.
        RedisClusterDown = "redis-cluster-down",
        /// The server refuses to write.
        RedisReadOnly = "redis-read-only",
        /// Connected, and no reply in time.
        RedisTimeout = "redis-timeout",
        /// Replies, but slowly.
        RedisSlow = "redis-slow",
        /// The server's answers do not belong to the questions before them.
        RedisOutOfStep = "redis-out-of-step",
        /// Not Redis at the other end.
        RedisProtocol = "redis-protocol",
        /// The server failed in a way that has no name of its own.
        RedisFailed = "redis-failed",

        /// Nothing is reached from here, the control target included: this machine, not the caches.
        MonitorOffline = "monitor-offline",
        /// The kernel's TCP settings notice a broken connection late.
        HostTcpTuning = "host-tcp-tuning",
        /// Probes are left out: more are due than this daemon may run at once.
        ProbesSkipped = "probes-skipped",
        /// The probe itself broke.
        ProbeFailed = "probe-failed",
    }
}

/// How bad a finding is. The order is from worst to mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 1: unavailable for all.
    Unavailable = 1,
    /// 2: degraded, exposed, or about to break.
    Degraded = 2,
    /// 3: intermittent, or a risk.
    Risk = 3,
    /// 4: advice.
    Advice = 4,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 4] = [Self::Unavailable, Self::Degraded, Self::Risk, Self::Advice];

    /// The number, 1 to 4.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The number as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "1",
            Self::Degraded => "2",
            Self::Risk => "3",
            Self::Advice => "4",
        }
    }

    /// What the number stands for.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Degraded => "degraded",
            Self::Risk => "risk",
            Self::Advice => "advice",
        }
    }

    /// Whether the cache counts as ill: severity 1 or 2.
    #[must_use]
    pub const fn is_serious(self) -> bool {
        matches!(self, Self::Unavailable | Self::Degraded)
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|severity| severity.number() == number);
        known.ok_or_else(|| de::Error::custom(format_args!("{number} is not a severity")))
    }
}

vocabulary! {
    /// How a cache fares, in one word.
    pub enum Standing {
        /// No finding is open.
        Well = "well",
        /// Only findings of severity 3 and 4 are open.
        AtRisk = "at_risk",
        /// A finding of severity 1 or 2 is open.
        Ill = "ill",
        /// There is no way to tell: not probed yet, not for too long, or a probe that proves nothing.
        Unknown = "unknown",
    }
}

impl Standing {
    /// The word for people, on a terminal and on the page; `as_str` is the word for programs.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Well => "healthy",
            Self::AtRisk => "at risk",
            Self::Ill => "unhealthy",
            Self::Unknown => "unknown",
        }
    }

    /// What open findings come to.
    #[must_use]
    pub fn of(open: &[Finding]) -> Self {
        match open.iter().map(|finding| finding.severity).min() {
            None => Self::Well,
            Some(severity) if severity.is_serious() => Self::Ill,
            Some(_) => Self::AtRisk,
        }
    }
}

/// One cause, seen at one cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which cause.
    pub id: FindingId,
    /// How bad it is here.
    pub severity: Severity,
    /// Which cache; [`CacheName::MACHINE`] where it is about this machine.
    pub cache: CacheName,
    /// Where on the path it was seen.
    pub stage: Stage,
    /// What is wrong, in one sentence that names the cache's own host, addresses and numbers.
    pub summary: String,
    /// What the finding rests on, one observation a line.
    pub evidence: Vec<String>,
    /// What to do, in order, with this cache's own names filled in.
    pub remedy: Vec<Step>,
    /// When it was first seen.
    pub since: Timestamp,
}
