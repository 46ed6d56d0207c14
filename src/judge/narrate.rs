//! Says what was seen, in the words of the field. The same words serve evidence and terminal.

use crate::model::{Answer, Clients, FaultKind, LimitSource, Resolution, ServerFacts, Source};

/// `10.20.1.4 (private)`.
pub(super) fn address(answer: &Answer) -> String {
    match answer.ttl {
        Some(ttl) => format!("{} ({}, TTL {ttl}s)", answer.address, answer.class),
        None => format!("{} ({})", answer.address, answer.class),
    }
}

/// The way from name to addresses: `a → b (TTL 300s) → 10.0.0.4 (private, TTL 10s)`.
#[must_use]
pub fn path(resolution: &Resolution) -> String {
    let mut steps = vec![resolution.name.to_string()];
    steps.extend(resolution.chain.iter().map(|alias| format!("{} (TTL {}s)", alias.target, alias.ttl)));
    let addresses: Vec<_> = resolution.addresses.iter().map(address).collect();
    if !addresses.is_empty() {
        let dropped = match resolution.addresses_dropped {
            0 => String::new(),
            more => format!(" and {more} more, not dialled"),
        };
        steps.push(format!("{}{dropped}", addresses.join(", ")));
    }
    steps.join(" → ")
}

/// Why an answer has no address: `NXDOMAIN for a`, where the last alias led to `a`. `None` where it has one, or where
/// nobody answered.
pub(super) fn nowhere(resolution: &Resolution) -> Option<String> {
    let last = resolution.chain.last().map_or(&resolution.name, |alias| &alias.target);
    match resolution.fault.as_ref()?.kind {
        FaultKind::NameNotFound => Some(format!("NXDOMAIN for {last}")),
        FaultKind::NoAddress => Some(format!("no data for {last}")),
        _ => None,
    }
}

/// Who answered: `resolver system, 10.0.0.4:53 over udp`, or the hosts file.
#[must_use]
pub fn who(resolution: &Resolution) -> String {
    match resolution.source {
        Source::Literal => "no lookup: the host is an address".to_owned(),
        Source::HostsFile => format!("resolver {}: the hosts file of this machine", resolution.resolver),
        Source::Dns => match resolution.queries.last() {
            Some(query) => format!("resolver {}: {} over {}", resolution.resolver, query.server, query.transport),
            None => format!("resolver {}", resolution.resolver),
        },
    }
}

/// What the server said of itself: `7.2.4, primary, standalone, 17 of 10000 clients (limit by server)`.
#[must_use]
pub fn server(facts: &ServerFacts, clients: Option<Clients>) -> String {
    let mut parts = Vec::new();
    if let Some(version) = &facts.version {
        parts.push(format!("Redis {version}"));
    }
    parts.extend(facts.role.map(|role| role.to_string()));
    parts.extend(facts.mode.map(|mode| mode.to_string()));
    parts.push(clients.map_or_else(|| "clients unknown".to_owned(), self::clients));
    parts.join(", ")
}

/// `17 of 10000 clients (limit by server)`.
pub(super) fn clients(clients: Clients) -> String {
    match clients.limit {
        Some((limit, source)) => {
            let source = match source {
                LimitSource::Server => "the server",
                LimitSource::Tier => "the tier",
                LimitSource::Configured => "the configuration",
            };
            format!("{} of {limit} clients (limit from {source})", clients.connected)
        }
        None => format!("{} clients, limit unknown", clients.connected),
    }
}

/// A share as a person reads it: `91 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
