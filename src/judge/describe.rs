//! Says what was seen, in the words of the field. The same words serve evidence and terminal.

use crate::model::{Answer, Clients, FaultKind, LimitSource, Outcome, Query, Resolution, ServerFacts, Source};

/// `10.20.1.4 (private)`.
pub(super) fn address(answer: &Answer) -> String {
    match answer.ttl {
        Some(ttl) => format!("{} ({}, TTL {ttl}s)", answer.address, answer.class),
        None => format!("{} ({})", answer.address, answer.class),
    }
}

/// `10.20.1.4 (private), 10.20.1.5 (private)`.
pub(super) fn addresses<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> String {
    let shown: Vec<_> = answers.into_iter().map(|answer| format!("{} ({})", answer.address, answer.class)).collect();
    shown.join(", ")
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
/// no server answered.
pub(super) fn nowhere(resolution: &Resolution) -> Option<String> {
    let last = resolution.chain.last().map_or(&resolution.name, |alias| &alias.target);
    match resolution.fault.as_ref()?.kind {
        FaultKind::NameNotFound => Some(format!("NXDOMAIN for {last}")),
        FaultKind::NoAddress => Some(format!("no data for {last}")),
        _ => None,
    }
}

/// Who answered: `resolver system: 10.0.0.4:53 over udp`, or the hosts file. Where servers asked before it failed, that
/// is said as well: another answer than before may come of nothing else.
#[must_use]
pub fn who(resolution: &Resolution) -> String {
    match resolution.source {
        Source::Literal => "no lookup: the host is an address".to_owned(),
        Source::HostsFile => format!("resolver {}: the hosts file of this machine", resolution.resolver),
        Source::Dns => match answering(resolution) {
            Some(query) => {
                let instead = stand_in(resolution).map_or_else(String::new, |words| format!(" ({words})"));
                format!("resolver {}: {} over {}{instead}", resolution.resolver, query.server, query.transport)
            }
            None => format!("resolver {}", resolution.resolver),
        },
    }
}

/// `10.0.0.4:53: SERVFAIL; 10.0.0.6:53 answered in its place`: the servers of one resolution that failed on a question
/// which another one of them answered. `None` where none did.
fn stand_in(resolution: &Resolution) -> Option<String> {
    let queries = &resolution.queries;
    let is_replaced = |query: &&Query| {
        let mut answers = answers(queries, query).peekable();
        answers.peek().is_some() && answers.all(|answer| answer.server != query.server)
    };
    let failed = queries.iter().filter(|query| query.outcome != Outcome::Truncated && !tells(query.outcome));
    let mut servers: Vec<&Query> = Vec::new();
    for query in failed.filter(is_replaced) {
        if !servers.iter().any(|known| known.server == query.server) {
            servers.push(query);
        }
    }
    let answered = answers(queries, servers.first()?).last()?.server;
    let words: Vec<_> = servers.iter().map(|query| format!("{}: {}", query.server, failing(query.outcome))).collect();
    let place = if words.len() == 1 { "its" } else { "their" };
    Some(format!("{}; {answered} answered in {place} place", words.join(", ")))
}

/// What came of a question, by those that answered it.
fn answers<'a>(queries: &'a [Query], query: &'a Query) -> impl Iterator<Item = &'a Query> {
    let is_same = |other: &&Query| other.name == query.name && other.record_type == query.record_type;
    queries.iter().filter(is_same).filter(|other| tells(other.outcome))
}

/// The question that the answer came of; of a lookup that failed, the last one.
fn answering(resolution: &Resolution) -> Option<&Query> {
    let last = |settles: fn(Outcome) -> bool| resolution.queries.iter().rev().find(|query| settles(query.outcome));
    let answering = match &resolution.fault {
        None => last(|outcome| outcome == Outcome::Answered),
        Some(_) if nowhere(resolution).is_some() => last(tells),
        Some(_) => None,
    };
    answering.or(resolution.queries.last())
}

/// Whether a server said what it knows of the name.
fn tells(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Answered | Outcome::NoData | Outcome::NxDomain)
}

/// How a server failed, as a person says it.
fn failing(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ServFail => "SERVFAIL",
        Outcome::Refused => "REFUSED",
        Outcome::Timeout => "no answer in time",
        other => other.as_str(),
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
