//! What is configured of a TLS connection, and what a handshake showed.

use std::path::PathBuf;

use serde::Serialize;

use super::{Timestamp, WireText};

/// How TLS is spoken to a cache, or to a name server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Roots to trust, PEM; `None` is the platform's store.
    pub ca_file: Option<PathBuf>,
    /// The name to send and to verify; `None` is the cache's host, or the name server's address.
    pub server_name: Option<String>,
}

/// A completed TLS handshake. A completed handshake is not yet a trusted one: see `verified`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsSession {
    /// `TLSv1.3` or `TLSv1.2`; empty where the handshake broke off before it was agreed.
    pub version: String,
    /// The cipher suite by its IANA name; empty where the handshake broke off before it was agreed.
    pub cipher: String,
    /// The name that was sent and verified.
    pub server_name: String,
    /// Whether the chain leads to a trusted root, is valid now and covers the name.
    pub verified: bool,
    /// The chain as presented, leaf first, at most [`TlsSession::LONGEST_CHAIN`] certificates.
    pub chain: Vec<Certificate>,
}

impl TlsSession {
    /// The most certificates kept of one chain.
    pub const LONGEST_CHAIN: usize = 10;

    /// The server's own certificate.
    #[must_use]
    pub fn leaf(&self) -> Option<&Certificate> {
        self.chain.first()
    }

    /// When the first certificate of the chain expires.
    #[must_use]
    pub fn earliest_expiry(&self) -> Option<Timestamp> {
        self.chain.iter().map(|certificate| certificate.not_after).min()
    }
}

/// One certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Who it speaks of.
    pub subject: WireText,
    /// Who signed it.
    pub issuer: WireText,
    /// The names and addresses it covers, at most [`Certificate::MOST_NAMES`].
    pub names: Vec<WireText>,
    /// Its serial number, in hexadecimal.
    pub serial: WireText,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
}

impl Certificate {
    /// The most names kept of one certificate.
    pub const MOST_NAMES: usize = 32;
}
