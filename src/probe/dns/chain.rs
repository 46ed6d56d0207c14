//! What came of a lookup: where the name led, or the fault in words.

use hickory_resolver::proto::rr::Name;

use super::message::shown;
use crate::model::{Alias, Answer, Fault, FaultKind, Outcome, Query, Resolution, Stage, WireText};

/// What a name led to.
#[derive(Debug)]
pub(super) struct CnameChain {
    /// The name that was asked for.
    pub(super) name: Name,
    pub(super) chain: Vec<Alias>,
    /// IPv4 first, as they came.
    pub(super) addresses: Vec<Answer>,
    pub(super) queries: Vec<Query>,
    /// What came of the last question; tells why there is no address, where there is none.
    pub(super) outcome: Outcome,
    pub(super) detail: WireText,
    /// Whether the aliases lead in a circle, or too far.
    pub(super) looped: bool,
}

impl CnameChain {
    /// What is known of a name before its first answer.
    pub(super) fn nothing(name: Name) -> Self {
        Self {
            name,
            chain: Vec::new(),
            addresses: Vec::new(),
            queries: Vec::new(),
            outcome: Outcome::Timeout,
            detail: WireText::default(),
            looped: false,
        }
    }

    /// Writes what was found into a resolution.
    pub(super) fn write(self, resolution: &mut Resolution) {
        resolution.name = shown(&self.name);
        resolution.fault = self.fault();
        resolution.chain = self.chain;
        resolution.queries.extend(self.queries);
        for answer in self.addresses {
            if resolution.addresses.iter().any(|known| known.address == answer.address) {
                continue;
            }
            if resolution.addresses.len() < Resolution::MOST_ADDRESSES {
                resolution.addresses.push(answer);
            } else {
                resolution.addresses_dropped += 1;
            }
        }
    }

    /// Why there is no address, if there is none.
    pub(super) fn fault(&self) -> Option<Fault> {
        if !self.addresses.is_empty() {
            return None;
        }
        let last = self.chain.last().map_or_else(|| shown(&self.name), |alias| alias.target.clone());
        let (kind, words) = match self.outcome {
            Outcome::NxDomain => (FaultKind::NameNotFound, format!("{last} does not exist (NXDOMAIN)")),
            Outcome::Answered | Outcome::NoData => {
                (FaultKind::NoAddress, format!("{last} exists and has neither an A nor an AAAA record"))
            }
            Outcome::ServFail => (FaultKind::ServerFailure, format!("SERVFAIL for {last}")),
            Outcome::Refused => (FaultKind::QueryRefused, format!("the name server refuses to answer for {last}")),
            Outcome::Timeout | Outcome::Truncated if self.detail.as_str().is_empty() => {
                (FaultKind::Timeout, format!("no answer for {last} in time"))
            }
            Outcome::Timeout | Outcome::Truncated => {
                (FaultKind::Timeout, format!("no answer for {last} in time: {}", self.detail))
            }
            Outcome::Unreachable => {
                (FaultKind::ResolverUnreachable, format!("the name server cannot be reached: {}", self.detail))
            }
            Outcome::Untrusted => {
                (FaultKind::ResolverUntrusted, format!("the name server is not trusted: {}", self.detail))
            }
            Outcome::NotTls => (FaultKind::NotTls, format!("the name server does not speak TLS: {}", self.detail)),
            Outcome::HandshakeFailed => {
                (FaultKind::HandshakeFailed, format!("no TLS with the name server: {}", self.detail))
            }
            Outcome::HttpError => (FaultKind::HttpError, self.detail.to_string()),
            Outcome::Closed => (FaultKind::Closed, self.detail.to_string()),
            Outcome::TooLarge => (FaultKind::ReplyTooLarge, self.detail.to_string()),
            Outcome::LocalExhaustion => {
                (FaultKind::LocalExhaustion, format!("no socket for a lookup: {}", self.detail))
            }
            Outcome::Malformed if self.looped => (FaultKind::AliasLoop, self.detail.to_string()),
            Outcome::Malformed => (FaultKind::MalformedAnswer, self.detail.to_string()),
            Outcome::OtherCode => (FaultKind::Unrecognised, format!("{} for {last}", self.detail)),
        };
        Some(Fault::new(Stage::Resolve, kind, words))
    }
}
