//! Causes that show over time: the answer left what was right, or would be kept for long.

use std::net::IpAddr;

use super::case::{Case, Diagnosis};
use super::coverage::Coverage;
use super::rule::{Rule, note, run};
use crate::judge::describe;
use crate::judge::memory::{Memory, listed};
use crate::model::{AddressClass, FindingId, Resolution, ResolverName, Severity, Source, Stage};

/// What moved.
pub(super) const MOVED: &[Rule] = &[Rule {
    id: FindingId::DnsDrift,
    stage: Stage::Resolve,
    denied_by: Coverage::Answer,
    severity: "2 from private to public, at once; 3 otherwise",
    title: "the addresses differ from the accepted ones",
    means: "The name leads to other addresses than the accepted ones. A move from a private to a public address is an \
            exposure or a coming outage, and opens this finding at once.",
    told_apart: "The set of addresses holds one that the baseline (the first good answer, expected_addresses, or what a \
                     person accepted) does not. Another order, a part of the known addresses, a TTL that counts down and a \
                     public cache that moves are no drift. It ends when the old addresses return, when expected_addresses \
                     names the new ones, or when they are accepted.",
    on_the_wire: "Another A record than in the rounds before.",
    steps: |c| {
        vec![
            run(c.nslookup(None)),
            note("if the move is right, accept it, or set expected_addresses and reload"),
            Some(c.accept()),
        ]
    },
}];

/// How long a move would stay unseen.
pub(super) const TTL: &[Rule] = &[Rule {
    id: FindingId::DnsTtlLong,
    stage: Stage::Resolve,
    denied_by: Coverage::Answer,
    severity: "4",
    title: "the TTL of the answer is very long",
    means: "After a failover or a migration, clients and caches in between keep the old address for that long.",
    told_apart: "The smallest TTL on the way exceeds thresholds.ttl_long.",
    on_the_wire: "The TTL of every record of the chain.",
    steps: |_| vec![note("lower the TTL of the record to 300 seconds or less, well before a migration")],
}];

pub(super) fn diagnose(case: &Case<'_>, resolution: &Resolution, memory: &Memory, diagnosis: &mut Diagnosis) {
    drift(case, resolution, memory, diagnosis);
    ttl(case, resolution, diagnosis);
}

/// The answer left the addresses that were accepted.
fn drift(case: &Case<'_>, resolution: &Resolution, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some((known, baseline)) =
        memory.of(&resolution.resolver).and_then(|known| Some((known, known.baseline.as_ref()?)))
    else {
        return;
    };
    let now = resolution.sorted_addresses();
    // Where a person accepted that the name leads nowhere, leading somewhere is no drift.
    if baseline.addresses.is_empty() || !known.has_left(&now) {
        return;
    }
    // Public to public on a public cache: Azure moves it at will.
    let is_public = |address: &IpAddr| AddressClass::of(*address) == AddressClass::Public;
    if !case.cache.expectation.is_private() && baseline.addresses.iter().chain(&now).all(is_public) {
        return;
    }
    let private_to_public = known.has_gone_public(&now);
    let severity = if private_to_public { Severity::Degraded } else { Severity::Risk };
    let summary = format!(
        "{} has moved from {} to {}{}",
        case.cache.host,
        listed(&baseline.addresses),
        listed(&now),
        if private_to_public { ": from a private address to a public one" } else { "" }
    );
    if private_to_public {
        // Whatever this round makes of the public answer, it does not wait for a second look.
        diagnosis.urgent.extend(
            diagnosis.findings.iter().filter(|finding| finding.severity.is_serious()).map(|finding| finding.id),
        );
        diagnosis.urgent.push(FindingId::DnsDrift);
    }
    // A name that this machine bends to another place inside has not moved.
    let bends = [FindingId::DnsHostsOverride, FindingId::DnsSearchSuffixAnswer];
    let moved = format!("before: {}", baseline.describe());
    if !private_to_public && diagnosis.follows_from(&bends, severity, vec![moved]) {
        return;
    }
    let finding = case.finding(FindingId::DnsDrift, severity, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("before: {}", baseline.describe()))
            .evidence(format!("now: {}", describe::path(resolution)))
            .evidence(describe::who(resolution))
            .run(case.commands.nslookup(None))
            .note("if the move was meant, accept it, or set expected_addresses to the new addresses and reload")
            .step(case.commands.accept())
            .done(),
    );
}

/// The answer may be kept for longer than a failover or a migration can wait.
fn ttl(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    let Some(seconds) = resolution.smallest_ttl() else { return };
    let threshold = case.cache.thresholds.ttl_long.as_secs();
    if u64::from(seconds) <= threshold || resolution.source != Source::Dns {
        return;
    }
    let summary = format!(
        "the answer for {} has a TTL of {seconds}s, longer than {threshold}s: clients would see a move that much later",
        case.cache.host
    );
    let finding = case.finding(FindingId::DnsTtlLong, Severity::Advice, Stage::Resolve, summary);
    let resolver = if resolution.resolver.as_str() == ResolverName::SYSTEM { "" } else { " at the zone that answers" };
    diagnosis.findings.push(
        finding
            .evidence(describe::path(resolution))
            .note(format!("lower the TTL of the record{resolver} to 300 seconds or less"))
            .done(),
    );
}
