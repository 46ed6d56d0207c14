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

impl Protocol {
    /// The default port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 53,
            Self::Tls => 853,
            Self::Https => 443,
        }
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
