//! Which resolver is asked, and how.

use std::net::SocketAddr;

use super::{ResolverName, Tls, vocabulary};

vocabulary! {
    /// How a name server is asked.
    pub enum Protocol {
        /// UDP, and TCP where the answer was cut short.
        Udp = "udp",
        /// TCP only.
        Tcp = "tcp",
        /// DNS over TLS (RFC 7858).
        Tls = "tls",
        /// DNS over HTTPS (RFC 8484).
        Https = "https",
    }
}

/// What sets a protocol apart. Its name is also the scheme of its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolRow {
    /// The port where no other is given.
    pub port: u16,
    /// Whether a question is a datagram, and goes over TCP where its answer was cut short.
    pub datagrams: bool,
    /// Where the server proves its name by TLS: what is offered inside it (ALPN).
    pub tls: Option<&'static [&'static str]>,
    /// Whether a question is an HTTP request, to a path.
    pub http: bool,
}

impl Protocol {
    /// The one place where the protocols are told apart by what they need.
    #[must_use]
    pub const fn row(self) -> &'static ProtocolRow {
        match self {
            Self::Udp => &ProtocolRow { port: 53, datagrams: true, tls: None, http: false },
            Self::Tcp => &ProtocolRow { port: 53, datagrams: false, tls: None, http: false },
            // It has a word for ALPN too ("dot"), which servers need not know.
            Self::Tls => &ProtocolRow { port: 853, datagrams: false, tls: Some(&[]), http: false },
            Self::Https => &ProtocolRow { port: 443, datagrams: false, tls: Some(&["h2", "http/1.1"]), http: true },
        }
    }

    /// The protocols of which that holds.
    pub fn with(holds: fn(&ProtocolRow) -> bool) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |protocol| holds(protocol.row()))
    }
}

/// A resolver that can be asked for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// The machine's own way: hosts file, resolv.conf, search list, as an application's `getaddrinfo`.
    System,
    /// One name server of resolv.conf, asked alone for the name as it stands; the first is 1.
    Listed(usize),
    /// One name server, asked for the name as it stands.
    Server {
        /// The operator's name for it.
        name: ResolverName,
        /// Where it listens.
        address: SocketAddr,
        /// How it is asked.
        protocol: Protocol,
        /// How it proves its identity, where it is asked over TLS or HTTPS. Its name is the address where none is set.
        tls: Tls,
        /// The path of its URL, where it is asked over HTTPS.
        path: String,
    },
}

impl Resolver {
    /// How many name servers of resolv.conf are asked: the C library ignores the rest (resolv.conf(5), `MAXNS`).
    pub const MOST_LISTED: usize = 3;

    /// Where DNS over HTTPS is usually served.
    pub const PATH: &'static str = "/dns-query";

    /// A name server with nothing special about it.
    #[must_use]
    pub fn server(name: &str, address: SocketAddr, protocol: Protocol) -> Self {
        let name = ResolverName::new(name);
        Self::Server { name, address, protocol, tls: Tls::default(), path: Self::PATH.to_owned() }
    }

    /// The resolvers that exist without being declared, whose names are reserved.
    pub fn reserved() -> impl Iterator<Item = Self> {
        std::iter::once(Self::System).chain((1..=Self::MOST_LISTED).map(Self::Listed))
    }

    /// The resolver's name, as a label and as a word.
    #[must_use]
    pub fn name(&self) -> ResolverName {
        match self {
            Self::System => ResolverName::new(ResolverName::SYSTEM),
            Self::Listed(position) => ResolverName::new(&format!("{}-{position}", ResolverName::SYSTEM)),
            Self::Server { name, .. } => name.clone(),
        }
    }
}
