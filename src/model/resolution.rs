//! What one resolver said about a name: the whole path from alias to address, never a bare list.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::{AddressClass, Fault, Protocol, ResolverName, WireText, destination, seconds, vocabulary};

/// One resolver's answer about one name. It exists also when the lookup failed: the aliases seen up to there are what
/// tells one cause from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// Who was asked.
    pub resolver: ResolverName,
    /// Where the addresses came from.
    pub source: Source,
    /// The name that was answered for; differs from the host where the search list was applied.
    pub name: WireText,
    /// Whether the search list made that name.
    pub searched: bool,
    /// The aliases from the name to the owner of the addresses, in order.
    pub chain: Vec<Alias>,
    /// The addresses, IPv4 first, each once, at most [`Resolution::MOST_ADDRESSES`].
    pub addresses: Vec<Answer>,
    /// How many more addresses the answer held than are kept.
    pub addresses_dropped: usize,
    /// Every question that was asked, in the order of the answers: one whose connection could not be opened too.
    pub queries: Vec<Query>,
    /// From the first question to the last answer.
    #[serde(rename = "took_seconds", serialize_with = "seconds::serialize")]
    pub took: Duration,
    /// Why there is no address.
    pub fault: Option<Fault>,
    /// What an application gets, where this machine's own way was asked: nothing else says how long it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationLookup>,
    /// Where the hosts file answered: what the name servers answer, which no application here gets.
    pub overridden: Option<Box<Resolution>>,
}

impl Resolution {
    /// The most addresses kept of one answer.
    pub const MOST_ADDRESSES: usize = 16;

    /// The addresses that lead anywhere: unspecified ones (`0.0.0.0`, `::`) are none, unless there is no other.
    pub fn usable(&self) -> impl Iterator<Item = &Answer> {
        let is_none = |answer: &Answer| destination(answer.address).is_unspecified();
        let has_other = self.addresses.iter().any(|answer| !is_none(answer));
        self.addresses.iter().filter(move |answer| !(has_other && is_none(answer)))
    }

    /// Whether an alias on the way lies in a `privatelink` zone: the mark of a private endpoint.
    #[must_use]
    pub fn has_privatelink_alias(&self) -> bool {
        self.privatelink_alias().is_some()
    }

    /// The first name on the way that lies in a `privatelink` zone.
    #[must_use]
    pub fn privatelink_alias(&self) -> Option<&WireText> {
        self.chain
            .iter()
            .map(|alias| &alias.target)
            .find(|target| target.as_str().split('.').any(|label| label.eq_ignore_ascii_case("privatelink")))
    }

    /// The smallest TTL on the way, in seconds: how long the answer may be kept. `None` where none was said.
    #[must_use]
    pub fn smallest_ttl(&self) -> Option<u32> {
        let aliases = self.chain.iter().map(|alias| alias.ttl);
        aliases.chain(self.addresses.iter().filter_map(|answer| answer.ttl)).min()
    }

    /// Whether both lead the same way, however long the answers took and however long they may be kept.
    #[must_use]
    pub fn leads_as(&self, other: &Self) -> bool {
        let path = |of: &Self| of.chain.iter().map(|alias| alias.target.clone()).collect::<Vec<_>>();
        let overridden = match (&self.overridden, &other.overridden) {
            (Some(own), Some(other)) => own.leads_as(other),
            (own, other) => own.is_none() && other.is_none(),
        };
        (&self.resolver, self.source, &self.name) == (&other.resolver, other.source, &other.name)
            && path(self) == path(other)
            && self.sorted_addresses() == other.sorted_addresses()
            && self.fault == other.fault
            && overridden
    }

    /// The addresses alone, in order of their value.
    #[must_use]
    pub fn sorted_addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<_> = self.addresses.iter().map(|answer| answer.address).collect();
        addresses.sort_unstable();
        addresses
    }
}

/// What the C library of an application returns, by its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplicationLookup {
    /// Which library.
    pub libc: Libc,
    /// Whether it returns addresses.
    pub success: bool,
    /// From the call to its return. It can be longer than the lookup took here, where questions wait side by side.
    #[serde(rename = "took_seconds", serialize_with = "seconds::serialize")]
    pub took: Duration,
    /// Where it waits for long, in order.
    pub waits: Vec<ApplicationWait>,
}

/// One wait of an application for a name server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplicationWait {
    /// The name server.
    pub server: SocketAddr,
    /// The name it was asked for.
    pub name: WireText,
    /// The type it was asked for; `None` where both types are waited for together.
    pub record_type: Option<RecordType>,
    /// How long.
    #[serde(rename = "waited_seconds", serialize_with = "seconds::serialize")]
    pub waited: Duration,
    /// What ended the wait, in words.
    pub ended: WireText,
}

vocabulary! {
    /// A C library whose lookup is modelled.
    pub enum Libc {
        /// The GNU C library.
        Glibc = "glibc",
        /// The C library of Alpine Linux.
        Musl = "musl",
    }
}

vocabulary! {
    /// Where addresses came from.
    pub enum Source {
        /// A name server.
        Dns = "dns",
        /// The hosts file of this machine.
        HostsFile = "hosts_file",
        /// The host is an address already.
        Literal = "literal",
    }
}

/// One alias (CNAME).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alias {
    /// The name that is an alias.
    pub owner: WireText,
    /// What it stands for.
    pub target: WireText,
    /// Seconds it may be kept.
    #[serde(rename = "ttl_seconds")]
    pub ttl: u32,
}

/// One address of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The address; IPv4 inside IPv6 is kept as the IPv4 address it is.
    pub address: IpAddr,
    /// Its class.
    pub class: AddressClass,
    /// Seconds it may be kept; `None` where it did not come from a name server.
    #[serde(rename = "ttl_seconds")]
    pub ttl: Option<u32>,
}

impl Answer {
    /// An address with its class.
    #[must_use]
    pub fn new(address: IpAddr, ttl: Option<u32>) -> Self {
        let address = address.to_canonical();
        Self { address, class: AddressClass::of(address), ttl }
    }
}

/// One question to one name server, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Query {
    /// The name server.
    pub server: SocketAddr,
    /// How it was asked: over TCP too where a server is asked over UDP and cut its answer short.
    pub transport: Protocol,
    /// The name asked for.
    pub name: WireText,
    /// A or AAAA.
    pub record_type: RecordType,
    /// What came of it.
    pub outcome: Outcome,
    /// The raw words where the outcome alone does not say it.
    pub detail: WireText,
    /// From question to answer.
    #[serde(rename = "took_seconds", serialize_with = "seconds::serialize")]
    pub took: Duration,
}

vocabulary! {
    /// What was asked for.
    pub enum RecordType {
        /// IPv4 addresses.
        A = "A",
        /// IPv6 addresses.
        Aaaa = "AAAA",
    }
}

vocabulary! {
    /// What came of a question.
    pub enum Outcome {
        /// Addresses, or an alias to follow.
        Answered = "noerror",
        /// The name exists; there is nothing of that type.
        NoData = "nodata",
        /// The name does not exist.
        NxDomain = "nxdomain",
        /// The server failed.
        ServFail = "servfail",
        /// The server will not answer this client.
        Refused = "refused",
        /// Another response code.
        OtherCode = "other_code",
        /// The answer was cut short; asked again over TCP.
        Truncated = "truncated",
        /// No answer in time.
        Timeout = "timeout",
        /// The server cannot be reached.
        Unreachable = "unreachable",
        /// The server closed the connection without an answer.
        Closed = "closed",
        /// The server did not prove its identity.
        Untrusted = "untrusted",
        /// The server does not speak TLS.
        NotTls = "not_tls",
        /// TLS could not be agreed on.
        HandshakeFailed = "handshake_failed",
        /// The server answered in HTTP, and not with an answer of DNS.
        HttpError = "http_error",
        /// The answer is larger than one is accepted.
        TooLarge = "too_large",
        /// This machine could not send.
        LocalExhaustion = "local_exhaustion",
        /// The answer cannot be understood.
        Malformed = "malformed",
    }
}
