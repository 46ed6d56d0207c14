//! Stage one: the name becomes addresses.
//!
//! One name server is asked at a time and nothing of its answer is edited: the alias chain, the TTLs, the response code
//! and who answered are what this stage is for. Nothing is cached: a monitor that reads a cache measures the cache.

mod chase;
mod exchange;
mod system;

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

pub(super) use system::System;

use self::chase::{Chased, chase};
use super::deadline::Deadline;
use crate::clock::Stopwatch;
use crate::model::{
    AddressClass, Answer, Fault, FaultKind, Outcome, Resolution, Resolver, ResolverName, Source, Stage, WireText,
};

/// Asks one resolver for the addresses of `host`. It always gives a resolution; failure is part of it.
pub(super) async fn resolve(
    host: &str,
    resolver: &Resolver,
    system: &System,
    limit: Duration,
    deadline: Deadline,
) -> Resolution {
    let watch = Stopwatch::start();
    let mut resolution = unanswered(host, resolver.name());
    if let Ok(address) = host.parse::<IpAddr>() {
        resolution.source = Source::Literal;
        resolution.addresses.push(Answer::new(address, None));
        return resolution;
    }
    let deadline = deadline.or_within(limit);
    match absolute(host) {
        Ok(name) => match resolver {
            Resolver::System => system.resolve(host, &name, deadline, &mut resolution).await,
            Resolver::Server { address, protocol, .. } => {
                let servers = exchange::Servers::single(*address, *protocol);
                chase(&name, &servers, deadline).await.write(&mut resolution);
            }
        },
        Err(words) => {
            resolution.fault = Some(Fault::new(Stage::Resolve, FaultKind::NameNotFound, words));
        }
    }
    resolution.took = watch.elapsed();
    resolution
}

/// What the name servers say of a name that the hosts file pins; `None` where it pins none, or a name of this machine.
pub(super) async fn overridden(
    resolution: &Resolution,
    system: &System,
    limit: Duration,
    deadline: Deadline,
) -> Option<Box<Resolution>> {
    if resolution.source != Source::HostsFile
        || resolution.addresses.iter().all(|answer| answer.class == AddressClass::Loopback)
    {
        return None;
    }
    let host = resolution.name.as_str();
    let name = absolute(host).ok()?;
    let watch = Stopwatch::start();
    let mut beneath = unanswered(host, resolution.resolver.clone());
    system.ask_servers(&name, deadline.or_within(limit), &mut beneath).await;
    beneath.took = watch.elapsed();
    Some(Box::new(beneath))
}

/// A resolution before its first question.
fn unanswered(host: &str, resolver: ResolverName) -> Resolution {
    Resolution {
        resolver,
        source: Source::Dns,
        name: WireText::new(host),
        searched: false,
        chain: Vec::new(),
        addresses: Vec::new(),
        addresses_dropped: 0,
        queries: Vec::new(),
        took: Duration::ZERO,
        fault: None,
        overridden: None,
    }
}

/// The name as it stands, without any search list.
fn absolute(host: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(host).map_err(|error| format!("{host} is not a host name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

impl Chased {
    /// Writes what was found into a resolution.
    fn write(self, resolution: &mut Resolution) {
        resolution.name = exchange::shown(&self.name);
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
    fn fault(&self) -> Option<Fault> {
        if !self.addresses.is_empty() {
            return None;
        }
        let last = self.chain.last().map_or_else(|| exchange::shown(&self.name), |alias| alias.target.clone());
        let (kind, words) = match self.outcome {
            Outcome::NxDomain => (FaultKind::NameNotFound, format!("{last} does not exist (NXDOMAIN)")),
            Outcome::Answered | Outcome::NoData => {
                (FaultKind::NoAddress, format!("{last} exists and has neither an A nor an AAAA record"))
            }
            Outcome::ServFail => (FaultKind::ServerFailure, format!("SERVFAIL for {last}")),
            Outcome::Refused => (FaultKind::QueryRefused, format!("the name server refuses to answer for {last}")),
            Outcome::Timeout | Outcome::Truncated => (FaultKind::Timeout, format!("no answer for {last} in time")),
            Outcome::Unreachable => {
                (FaultKind::ResolverUnreachable, format!("the name server cannot be reached: {}", self.detail))
            }
            Outcome::LocalExhaustion => {
                (FaultKind::LocalExhaustion, format!("no socket for a lookup: {}", self.detail))
            }
            Outcome::Malformed if self.looped => (FaultKind::AliasLoop, self.detail.to_string()),
            Outcome::Malformed => (FaultKind::MalformedAnswer, self.detail.to_string()),
            Outcome::OtherCode => (FaultKind::Unrecognised, format!("response code {} for {last}", self.detail)),
        };
        Some(Fault::new(Stage::Resolve, kind, words))
    }
}
