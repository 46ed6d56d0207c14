//! Which name servers are asked, and how.

use std::net::SocketAddr;
use std::time::Duration;

use super::tls::DnsTls;
use crate::model::{Fault, Protocol};
use crate::net::deadline::Deadline;

/// The name servers to try, and how: the way a resolver library of this machine would.
#[derive(Debug, Clone)]
pub(super) struct NameServers {
    /// In the order in which they are tried.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) transport: Transport,
    /// How long one server is waited for in one round.
    pub(super) patience: Duration,
    /// How many rounds through the list.
    pub(super) rounds: usize,
}

/// How name servers are asked: a protocol, with what it needs.
#[derive(Debug, Clone)]
pub(super) enum Transport {
    /// With a datagram, and over TCP where the answer was cut short.
    Udp,
    Tcp,
    Tls(DnsTls),
    Https {
        tls: DnsTls,
        path: String,
    },
}

impl NameServers {
    /// One name server. It is asked twice over UDP if it stays silent, since a datagram may be lost; a connection loses
    /// nothing.
    pub(super) fn single(address: SocketAddr, transport: Transport) -> Self {
        let rounds = if matches!(transport, Transport::Udp) { 2 } else { 1 };
        Self { addresses: vec![address], transport, patience: Duration::MAX, rounds }
    }

    /// The wait for one server that lets every server have its turns before the deadline.
    pub(super) fn turn(&self, deadline: Deadline) -> Duration {
        let turns = u32::try_from(self.addresses.len() * self.rounds).unwrap_or(u32::MAX).max(1);
        self.patience.min(deadline.remaining() / turns)
    }
}

impl Transport {
    /// This protocol, with what it needs; `proof` is how the server proves its name.
    pub(super) fn new(
        protocol: Protocol,
        path: &str,
        proof: impl FnOnce() -> Result<DnsTls, Fault>,
    ) -> Result<Self, Fault> {
        Ok(match protocol {
            Protocol::Udp => Self::Udp,
            Protocol::Tcp => Self::Tcp,
            Protocol::Tls => Self::Tls(proof()?),
            Protocol::Https => Self::Https { tls: proof()?, path: path.to_owned() },
        })
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp => Protocol::Tcp,
            Self::Tls(_) => Protocol::Tls,
            Self::Https { .. } => Protocol::Https,
        }
    }
}
