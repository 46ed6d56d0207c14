//! Causes of a lookup that failed.

use super::case::{Case, Diagnosis, Draft};
use super::coverage::Coverage;
use super::rule::{Rule, azure, note, run};
use crate::azure;
use crate::judge::describe;
use crate::model::{Fault, FaultKind, FindingId, Resolution, Severity, Stage};

/// The name leads nowhere.
pub(super) const NOWHERE: &[Rule] = &[
    Rule {
        id: FindingId::DnsNameNotFound,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "1",
        title: "the name does not exist",
        means: "Every new connection fails before it begins. The cache was deleted, its name is misspelt, or this machine's \
                resolver does not know the zone.",
        told_apart: "NXDOMAIN (or a name without any address), and no alias in the answer. With an alias into a privatelink \
                     zone it is dns-record-missing; a server that fails or refuses is dns-server-failure or dns-refused.",
        on_the_wire: "A and AAAA queries, both answered with response code 3 and an empty answer section.",
        steps: |c| vec![azure(c.list()), run(c.nslookup(None))],
    },
    Rule {
        id: FindingId::DnsRecordMissing,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "1",
        title: "the private zone has no record for the cache",
        means: "A private endpoint exists or existed: the public name is an alias into the privatelink zone, and that zone, \
                which this network sees, holds no address for it. The endpoint was deleted, its DNS zone group is missing, or \
                two endpoints share a zone and the deletion of one took the record of the other.",
        told_apart: "The alias chain reaches a privatelink name and ends there in NXDOMAIN or without data. Were the zone not \
                     linked here, the public address would answer (dns-zone-not-linked).",
        on_the_wire: "An answer with CNAME NAME.privatelink.…, response code 3 (NXDOMAIN), or 0 without an address.",
        steps: |c| vec![azure(c.zone_records()), azure(c.private_endpoints_as(".name\"")), run(c.zone_groups())],
    },
];

/// The name servers do not say where it leads.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::DnsTimeout,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookups,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "no name server answered in time",
        means: "Applications hang for seconds on each connection and then fail. The name server is down or overloaded, or \
                port 53 is dropped on the way.",
        told_apart: "Questions were sent and nothing came back. A closed port or a missing route answers at once and is \
                     dns-unreachable.",
        on_the_wire: "Queries without replies, each server twice.",
        steps: |c| vec![run(c.nslookup(None)), run("cat /etc/resolv.conf")],
    },
    Rule {
        id: FindingId::DnsServerFailure,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookups,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "the name server failed (SERVFAIL)",
        means: "The server that was asked could not get an answer itself: a forwarder's upstream is gone, a conditional \
                forwarding rule leads nowhere, or validation failed.",
        told_apart: "Response code 2. The name may well exist.",
        on_the_wire: "A reply with response code 2, from every server that was asked.",
        steps: |c| {
            vec![
                run(c.nslookup(None)),
                azure(c.nslookup_inside_azure()),
                note("compare: where Azure answers, the forwarder is at fault"),
            ]
        },
    },
    Rule {
        id: FindingId::DnsRefused,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookups,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "the name server refuses to answer (REFUSED)",
        means: "The server does not serve this client or this zone: its access list leaves this network out.",
        told_apart: "Response code 5: the server is reachable and refuses.",
        on_the_wire: "A reply with response code 5.",
        steps: |c| vec![run(c.nslookup(None)), run("cat /etc/resolv.conf")],
    },
    Rule {
        id: FindingId::DnsUnreachable,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookups,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "no name server can be reached",
        means: "Nothing can be looked up from here. The name server's port is closed, there is no route to it, or resolv.conf \
                is missing or names none.",
        told_apart: "The network says so at once (ICMP, RST, no route), or no name server is configured. Silence is \
                     dns-timeout.",
        on_the_wire: "ICMP port unreachable in reply to the query; or no packet at all.",
        steps: |c| vec![run("cat /etc/resolv.conf"), run(c.nslookup(None))],
    },
    Rule {
        id: FindingId::DnsFailed,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookups,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "the lookup failed with an unclassified error",
        means: "An answer that cannot be read, aliases in a circle, an unusual response code. The raw words are the evidence.",
        told_apart: "Every classified failure has its own finding.",
        on_the_wire: "See the evidence.",
        steps: |c| vec![run(c.nslookup(None))],
    },
];

/// The lookup that the connection follows failed.
pub(super) fn diagnose(case: &Case<'_>, resolution: &Resolution, fault: &Fault, diagnosis: &mut Diagnosis) {
    diagnosis.findings.push(failure(case, resolution, fault).done());
}

/// What it is that a lookup failed in this way.
pub(super) fn id_of(resolution: &Resolution, fault: &Fault) -> FindingId {
    match (fault.kind, resolution.privatelink_alias()) {
        (FaultKind::NameNotFound | FaultKind::NoAddress, Some(_)) => FindingId::DnsRecordMissing,
        (FaultKind::NameNotFound | FaultKind::NoAddress, None) => FindingId::DnsNameNotFound,
        (FaultKind::Timeout, _) => FindingId::DnsTimeout,
        (FaultKind::ServerFailure, _) => FindingId::DnsServerFailure,
        (FaultKind::QueryRefused, _) => FindingId::DnsRefused,
        (FaultKind::ResolverUnreachable | FaultKind::NoResolver, _) => FindingId::DnsUnreachable,
        (FaultKind::LocalExhaustion, _) => FindingId::LocalExhaustion,
        _ => FindingId::DnsFailed,
    }
}

/// The lookup failed.
fn failure(case: &Case<'_>, resolution: &Resolution, fault: &Fault) -> Draft {
    let host = &case.cache.host;
    let id = id_of(resolution, fault);
    let knowing = knowing(case, resolution, id);
    let summary = if knowing.is_empty() {
        alone(host, resolution, fault, id)
    } else {
        contradicted(host, resolution, fault, id, &knowing)
    };
    let mut finding =
        case.finding(id, Severity::Unavailable, Stage::Resolve, summary).evidence(fault.detail.to_string());
    if !resolution.chain.is_empty() {
        finding = finding.evidence(describe::path(resolution));
    }
    finding = finding.evidences(asked(resolution));
    if id == FindingId::DnsNameNotFound
        && knowing.is_empty()
        && let Some((end, suffix)) = azure::nearest_suffix(host)
    {
        finding = finding.note(format!("{end} is not a domain of Azure; {suffix} is, and may be meant"));
    }
    match (id, knowing.first()) {
        (FindingId::DnsNameNotFound, Some(other)) => other_view(case, resolution, other, finding),
        (FindingId::DnsRecordMissing, Some(other)) => {
            remedy(case, resolution, id, other_view(case, resolution, other, finding))
        }
        _ => remedy(case, resolution, id, finding),
    }
}

/// The others that know an address, where that contradicts the failure of the one that is followed. A resolver that sees no
/// private zone does not contradict one that sees it without the record.
fn knowing<'round>(case: &Case<'round>, resolution: &Resolution, id: FindingId) -> Vec<&'round Resolution> {
    let is_inside = |other: &Resolution| other.addresses.iter().any(|answer| answer.class.is_inside_a_network());
    let contradicts = |other: &&Resolution| {
        other.fault.is_none() && !other.addresses.is_empty() && (id != FindingId::DnsRecordMissing || is_inside(other))
    };
    if id == FindingId::LocalExhaustion {
        return Vec::new();
    }
    case.lookup.resolutions.iter().filter(|other| other.resolver != resolution.resolver).filter(contradicts).collect()
}

/// A failure that no other resolver contradicts.
fn alone(host: &str, resolution: &Resolution, fault: &Fault, id: FindingId) -> String {
    match id {
        FindingId::DnsRecordMissing => format!(
            "{host} is led to {}, and there is no record: the private zone is seen here, its A record is gone",
            resolution.chain.last().map_or_else(|| resolution.name.clone(), |alias| alias.target.clone())
        ),
        FindingId::DnsNameNotFound if fault.kind == FaultKind::NoAddress => format!("{host} exists and has no address"),
        FindingId::DnsNameNotFound => format!("{host} does not exist"),
        FindingId::DnsTimeout => format!("no name server answered for {host} in time"),
        FindingId::DnsServerFailure => format!("the name server failed on {host} (SERVFAIL)"),
        FindingId::DnsRefused => format!("the name server refuses to answer for {host} (REFUSED)"),
        FindingId::DnsUnreachable => format!("no name server can be reached to look up {host}"),
        FindingId::LocalExhaustion => format!("this machine cannot open a socket to look up {host}"),
        _ => format!("the lookup of {host} failed"),
    }
}

/// A failure of one resolver, where others give an address: neither the name nor the cache is to blame.
fn contradicted(host: &str, resolution: &Resolution, fault: &Fault, id: FindingId, knowing: &[&Resolution]) -> String {
    let one = format!("resolver {}", resolution.resolver);
    let names: Vec<_> = knowing.iter().map(|other| other.resolver.as_str()).collect();
    let others = named(&names);
    let (know, answer) = if names.len() == 1 { ("knows", "answers") } else { ("know", "answer") };
    match id {
        FindingId::DnsRecordMissing => format!(
            "{one} leads {host} to {} and finds no record there, and {others} {know} one",
            resolution.chain.last().map_or_else(|| resolution.name.clone(), |alias| alias.target.clone())
        ),
        FindingId::DnsNameNotFound if fault.kind == FaultKind::NoAddress => {
            format!("{one} says that {host} has no address, and {others} {know} one")
        }
        FindingId::DnsNameNotFound => format!("{one} says that {host} does not exist, and {others} {know} it"),
        FindingId::DnsTimeout => format!("{one} did not answer for {host} in time; {others} did"),
        FindingId::DnsServerFailure => format!("{one} failed on {host} (SERVFAIL); {others} {answer}"),
        FindingId::DnsRefused => format!("{one} refuses to answer for {host} (REFUSED); {others} {answer}"),
        FindingId::DnsUnreachable => format!("{one} cannot be reached to look up {host}; {others} {answer}"),
        _ => format!("the lookup of {host} by {one} failed; {others} {answer}"),
    }
}

/// `resolver hub`, or `resolvers hub and dc`.
pub(super) fn named(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("resolver {name}"),
        [first @ .., last] => format!("resolvers {} and {last}", first.join(", ")),
    }
}

/// What to do where the name is known elsewhere: the name server that does not know it has another view.
fn other_view(case: &Case<'_>, resolution: &Resolution, other: &Resolution, finding: Draft) -> Draft {
    let server = case.server_of(resolution).map_or_else(String::new, |server| format!(" ({server})"));
    finding
        .run(case.ask(resolution))
        .run(case.ask(other))
        .note(format!(
            "the name is known elsewhere, so look at the name server of resolver {}{server}: is the private zone linked to \
             its network, and does its forwarder lead to 168.63.129.16 in that network?",
            resolution.resolver
        ))
        .azure(case.commands.zone_links())
        .azure(case.commands.nslookup_inside_azure())
}

/// What was asked, and what came of it, one line a question.
pub(super) fn asked(resolution: &Resolution) -> Vec<String> {
    let mut asked: Vec<_> = resolution
        .queries
        .iter()
        .map(|query| {
            format!(
                "{} {} at {} over {}: {}",
                query.name, query.record_type, query.server, query.transport, query.outcome
            )
        })
        .collect();
    asked.dedup();
    asked.truncate(6);
    asked
}

/// What to run where a lookup failed.
fn remedy(case: &Case<'_>, resolution: &Resolution, id: FindingId, finding: Draft) -> Draft {
    let ask = case.ask(resolution);
    match id {
        FindingId::DnsRecordMissing => finding
            .azure(case.commands.zone_records())
            .azure(case.commands.private_endpoints())
            .note("the endpoint was deleted, or has no DNS zone group: create it, and the record comes by itself")
            .run(case.commands.zone_groups()),
        FindingId::DnsNameNotFound => finding
            .azure(case.commands.list())
            .note("where it is not listed, the cache was deleted or its name is misspelt; compare with the host above")
            .run(ask),
        FindingId::DnsTimeout | FindingId::DnsUnreachable => {
            finding.run(ask).note(case.is_port_open(resolution)).run("cat /etc/resolv.conf")
        }
        FindingId::DnsServerFailure | FindingId::DnsRefused => finding
            .run(ask)
            .note("the forwarder behind this server is failing: check its upstream and its conditional forwarding rule")
            .azure(case.commands.nslookup_inside_azure()),
        FindingId::LocalExhaustion => {
            finding.run("ss -s").run("cat /proc/sys/fs/file-nr").note("raise LimitNOFILE, or find what leaks sockets")
        }
        _ => finding.run(ask).notes(case.trust(resolution)),
    }
}
