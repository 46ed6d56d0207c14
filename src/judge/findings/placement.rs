//! Causes in where the name leads: to another place than it should.

use super::bent;
use super::case::{Case, Diagnosis, Draft};
use super::commands::AZURE_DNS;
use super::coverage::Coverage;
use super::rule::{Rule, azure, note, run};
use crate::judge::describe;
use crate::model::{AddressClass, Answer, FindingId, Isolation, Resolution, Severity, Source, Stage};

/// The family of the addresses.
pub(super) const FAMILY: &[Rule] = &[Rule {
    id: FindingId::DnsIpv6Only,
    stage: Stage::Resolve,
    denied_by: Coverage::Answer,
    severity: "2; 1 where nothing answers there either",
    title: "there are IPv6 addresses and no IPv4 address",
    means: "Private endpoints are reached over IPv4 only; a client without IPv6 finds nothing.",
    told_apart: "AAAA records, and no A record, in the same answer.",
    on_the_wire: "The A query answered without data, the AAAA query with an address.",
    steps: |c| vec![run(format!("nslookup -type=A {}", c.host()))],
}];

/// Where they are.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::DnsZoneNotLinked,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "2; 1 where the public address does not answer either",
        title: "a private endpoint exists, and this machine gets the public address",
        means: "Traffic that should stay inside the network leaves it, or is dropped at the public endpoint. Three \
                causes give the \
                same answer: the private zone is not linked to this network; this machine asks a name server that does not \
                see the zone; the record is missing and the link falls back to the internet (NxDomainRedirect).",
        told_apart: "The chain has a privatelink alias, so an endpoint exists, and ends at a public address where a private one \
                     is expected. Which of the three it is cannot be seen in the answer: the commands decide.",
        on_the_wire: "CNAME NAME.privatelink.…, further aliases, then an A record with a public address.",
        steps: |c| vec![azure(c.zone_links()), run(c.nslookup(Some(AZURE_DNS))), azure(c.zone_records())],
    },
    Rule {
        id: FindingId::DnsNoPrivateEndpoint,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "2; 1 where the public address does not answer either",
        title: "a private address is expected, and no alias shows a private endpoint",
        means: "The cache is reached over its public address although the configuration says it is private. The \
                endpoint was never created, is not approved yet, or was deleted.",
        told_apart: "No alias in the chain lies in a privatelink zone. With one, the endpoint exists and DNS is at fault: \
                     dns-zone-not-linked.",
        on_the_wire: "A chain without any privatelink name that ends at a public address.",
        steps: |c| vec![azure(c.private_endpoints_as("\" -o table")), azure(c.show("privateEndpointConnections"))],
    },
    Rule {
        id: FindingId::DnsMixedAnswer,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "2",
        title: "private and public addresses in one answer",
        means: "Connections go either way, by chance: some stay inside the network, some do not, and each failure looks random.",
        told_apart: "One answer holds an address of each class, and they are not all expected by configuration.",
        on_the_wire: "Several A records under one name, of both classes.",
        steps: |c| vec![azure(c.zone_records()), run(c.nslookup(None))],
    },
    Rule {
        id: FindingId::DnsUnexpectedPrivate,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "2",
        title: "an address inside a network, and not the expected one",
        means: "The name leads to a private (or loopback) address that the configuration does not name: a stale \
                record, a recreated endpoint, or another network's endpoint for the same cache.",
        told_apart: "The class is private, shared, loopback or link-local, and the address lies outside expected_addresses.",
        on_the_wire: "An A record outside the expected networks.",
        steps: |c| vec![run(c.nslookup(None)), azure(c.private_endpoints_as("\" -o jsonc"))],
    },
    Rule {
        id: FindingId::DnsUnexpectedPublic,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "2",
        title: "a public address, and not the expected one",
        means: "The name leads to a public address that the configuration does not name. Azure may move a public cache when it \
                is scaled or patched; where firewalls list addresses, they must follow.",
        told_apart: "No private address is expected, and the answer lies outside expected_addresses.",
        on_the_wire: "An A record outside the expected networks.",
        steps: |c| vec![run(c.nslookup(None)), note("if the move is right, change expected_addresses and reload")],
    },
    Rule {
        id: FindingId::DnsBlocked,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "1; 2 where a right address stands beside it; 3 where the cache answers there all the same",
        title: "an address that no cache can have",
        means: "The name leads to an address that is set aside for something else, such as 0.0.0.0 or 198.18.0.1. A resolver or a \
                filter on the way blocks the name, or a proxy invents addresses and carries the connections itself.",
        told_apart: "The class is other: no cache of Azure has such an address, private or public. What is behind it, a block \
                     list or a proxy, the settings of the resolver that answered decide.",
        on_the_wire: "An A record such as 0.0.0.0, 198.18.0.1 or 240.0.0.1.",
        steps: |c| {
            vec![
                run(c.nslookup(None)),
                note("look for the name in the block lists of the resolver that answered; inside Azure, compare with"),
                run(c.nslookup(Some(AZURE_DNS))),
            ]
        },
    },
    Rule {
        id: FindingId::DnsPrivateWhenPublicExpected,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "3",
        title: "a private address where a public one is expected",
        means: "The path is more private than the configuration says. Usually the configuration is out of date: a private \
                endpoint was added. It may also be a resolver that sees another network's zone.",
        told_apart: "isolation is public, and every address lies inside a network.",
        on_the_wire: "An A record with a private address.",
        steps: |c| vec![run(c.nslookup(None)), note("if the endpoint is meant, set isolation = \"private_endpoint\"")],
    },
];

/// The name led somewhere: is it where it should? Where this machine itself bends the name, that is the cause.
pub(super) fn diagnose(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    match bent::diagnose(case, resolution) {
        Some(finding) => diagnosis.findings.push(finding),
        None => place(case, resolution, diagnosis),
    }
    ipv6_only(case, resolution, diagnosis);
}

/// IPv6 addresses and no other.
fn ipv6_only(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    if resolution.source == Source::Literal || resolution.addresses.iter().any(|answer| answer.address.is_ipv4()) {
        return;
    }
    let summary = format!(
        "{} has IPv6 addresses only: the path through a private endpoint is IPv4, and clients without IPv6 find nothing",
        case.cache.host
    );
    let severity = if case.all_fail_to_connect() { Severity::Unavailable } else { Severity::Degraded };
    let finding = case.finding(FindingId::DnsIpv6Only, severity, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(describe::path(resolution))
            .azure(case.commands.zone_records())
            .run(format!("nslookup -type=A {}", case.cache.host))
            .done(),
    );
}

/// The name led somewhere: is it where it should?
fn place(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    let expectation = &case.cache.expectation;
    let answers = resolution.usable().collect::<Vec<_>>();
    let (inside, outside): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().copied().partition(|answer| answer.class.is_inside_a_network());
    let unexpected: Vec<_> = answers.iter().copied().filter(|answer| !expectation.admits(answer.address)).collect();
    let public_among_unexpected = unexpected.iter().any(|answer| answer.class == AddressClass::Public);
    let named_both = unexpected.is_empty() && expectation.is_asserted();
    let has_public = outside.iter().any(|answer| answer.class == AddressClass::Public);
    let finding = if !inside.is_empty() && has_public && !named_both {
        mixed(case, resolution, &inside, &outside)
    } else if let Some(finding) = blocked(case, &answers) {
        finding
    } else if unexpected.is_empty() {
        return;
    } else if expectation.is_private() && public_among_unexpected {
        led_to_public(case, resolution, &unexpected)
    } else if expectation.isolation == Some(Isolation::Public)
        && unexpected.iter().all(|answer| answer.class.is_inside_a_network())
        && expectation.addresses.is_empty()
    {
        let summary = format!(
            "{} leads to {}, inside a network, where a public address is expected",
            case.cache.host,
            describe::addresses(unexpected.iter().copied())
        );
        case.finding(FindingId::DnsPrivateWhenPublicExpected, Severity::Risk, Stage::Resolve, summary)
            .note("either a private endpoint was added, and the expectation is out of date, or this resolver is not the intended one")
            .run(case.commands.nslookup(None))
    } else {
        elsewhere(case, &unexpected, public_among_unexpected)
    };
    diagnosis.findings.push(finding.evidence(describe::path(resolution)).evidence(describe::who(resolution)).done());
}

/// Addresses that no cache can have. Where nothing is expected of the name, only what does not answer is told of.
fn blocked(case: &Case<'_>, answers: &[&Answer]) -> Option<Draft> {
    let expectation = &case.cache.expectation;
    let is_named = |answer: &Answer| !expectation.addresses.is_empty() && expectation.admits(answer.address);
    let (others, rest): (Vec<_>, Vec<_>) =
        answers.iter().copied().partition(|answer| answer.class == AddressClass::Other && !is_named(answer));
    let reached = case.used_legs().any(|leg| leg.class == AddressClass::Other && leg.fault.is_none());
    if others.is_empty() || (!expectation.is_asserted() && !case.all_fail_to_connect()) {
        return None;
    }
    let severity = match (reached, rest.is_empty()) {
        (true, _) => Severity::Risk,
        (false, true) => Severity::Unavailable,
        (false, false) => Severity::Degraded,
    };
    let summary = format!(
        "{} leads to {}, which no cache can have: the name is blocked, or its address invented, on the way",
        case.cache.host,
        describe::addresses(others.iter().copied())
    );
    let words = others.iter().filter_map(|answer| {
        AddressClass::what_other(answer.address).map(|words| format!("{} is {words}", answer.address))
    });
    let finding = case.finding(FindingId::DnsBlocked, severity, Stage::Resolve, summary).evidences(words);
    Some(
        finding
            .run(case.commands.nslookup(None))
            .note("look for the name in the block lists of the resolver that answered; inside Azure, compare with")
            .run(case.commands.nslookup(Some(AZURE_DNS))),
    )
}

fn mixed(case: &Case<'_>, resolution: &Resolution, inside: &[&Answer], outside: &[&Answer]) -> Draft {
    let summary = format!(
        "{} leads to private and public addresses in one answer ({} and {}): connections go either way",
        case.cache.host,
        describe::addresses(inside.iter().copied()),
        describe::addresses(outside.iter().copied())
    );
    let server =
        resolution.queries.last().map_or_else(|| "the hosts file".to_owned(), |query| query.server.to_string());
    case.finding(FindingId::DnsMixedAnswer, Severity::Degraded, Stage::Resolve, summary)
        .note(format!("find the record that does not belong, at {server}"))
        .azure(case.commands.zone_records())
        .run(case.commands.nslookup(None))
}

/// A private address is expected and the answer is public.
fn led_to_public(case: &Case<'_>, resolution: &Resolution, unexpected: &[&Answer]) -> Draft {
    let host = &case.cache.host;
    let addresses = describe::addresses(unexpected.iter().copied());
    let closed = case.all_fail_to_connect();
    let severity = if closed { Severity::Unavailable } else { Severity::Degraded };
    let path = if closed { ", and does not answer there" } else { "" };
    if resolution.has_privatelink_alias() {
        let summary = format!(
            "{host} leads to {addresses} where a private address is expected{path}: a private endpoint exists, and \
             this machine does not get its address"
        );
        case.finding(FindingId::DnsZoneNotLinked, severity, Stage::Resolve, summary)
            .evidence("the alias into a privatelink zone is there, so a private endpoint exists")
            .note("1. is the zone linked to this network? (look for this virtual network in the list)")
            .azure(case.commands.zone_links())
            .note("2. is the right name server asked? inside Azure, 168.63.129.16 must give the private address")
            .run(case.commands.nslookup(Some(AZURE_DNS)))
            .note("3. is the record missing and the link set to fall back to the internet (NxDomainRedirect)?")
            .azure(case.commands.zone_records())
    } else {
        let summary = format!(
            "{host} leads to {addresses} where a private address is expected{path}, and no alias shows a private endpoint"
        );
        case.finding(FindingId::DnsNoPrivateEndpoint, severity, Stage::Resolve, summary)
            .evidence(
                "no alias into a privatelink zone: the endpoint was never created, is not approved, or was deleted",
            )
            .azure(case.commands.private_endpoints())
            .azure(case.commands.show("privateEndpointConnections"))
            .run(case.commands.nslookup(Some(AZURE_DNS)))
    }
}

/// An address of the right kind, and not the expected one.
fn elsewhere(case: &Case<'_>, unexpected: &[&Answer], public: bool) -> Draft {
    let id = if public { FindingId::DnsUnexpectedPublic } else { FindingId::DnsUnexpectedPrivate };
    let expected: Vec<_> = case.cache.expectation.addresses.iter().map(ToString::to_string).collect();
    let expected = if expected.is_empty() { "a private one".to_owned() } else { expected.join(", ") };
    let summary = format!(
        "{} leads to {}, and {expected} is expected",
        case.cache.host,
        describe::addresses(unexpected.iter().copied())
    );
    case.finding(id, Severity::Degraded, Stage::Resolve, summary)
        .note("a stale record, an endpoint recreated with another address, or another network's endpoint")
        .run(case.commands.nslookup(None))
        .azure(case.commands.private_endpoints())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{PRIVATELINK, cache, failed, healthy, leg, report, resolution, verdict};
    use crate::model::{Cache, Expectation, FaultKind};

    #[test]
    fn what_is_not_asserted_is_not_judged() {
        let nothing = Cache { expectation: Expectation::default(), ..cache() };
        assert_eq!(verdict(&nothing, &report(resolution(&[], &["20.1.2.3"]), vec![leg("20.1.2.3")])), [""; 0]);

        let public = Expectation { isolation: Some(Isolation::Public), addresses: Vec::new() };
        let public = Cache { expectation: public, ..cache() };
        assert_eq!(verdict(&public, &report(resolution(&[], &["20.1.2.3"]), vec![leg("20.1.2.3")])), [""; 0]);
        assert_eq!(verdict(&public, &healthy()), ["dns-private-when-public-expected 3"]);

        let named = Expectation { isolation: None, addresses: vec!["10.20.2.0/24".parse().unwrap()] };
        assert_eq!(verdict(&Cache { expectation: named, ..cache() }, &healthy()), ["dns-unexpected-private 2"]);
        let named = Expectation { isolation: None, addresses: vec!["20.1.2.0/24".parse().unwrap()] };
        let named = Cache { expectation: named, ..cache() };
        assert_eq!(
            verdict(&named, &report(resolution(&[], &["20.9.9.9"]), vec![leg("20.9.9.9")])),
            ["dns-unexpected-public 2"]
        );
    }

    #[test]
    fn an_address_that_no_cache_can_have_is_blocked_or_invented() {
        let refused = |address: &str| failed(address, Stage::Connect, FaultKind::Refused);
        let leads = |cache: &Cache, addresses: &[&str], legs| verdict(cache, &report(resolution(&[], addresses), legs));
        for address in ["0.0.0.0", "198.18.0.1", "240.0.0.1"] {
            let told = leads(&cache(), &[address], vec![refused(address)]);
            assert_eq!(told, ["dns-blocked 1"], "{address}");
        }
        // A proxy that carries what it invents, and a right address beside a wrong one.
        assert_eq!(leads(&cache(), &["198.18.0.1"], vec![leg("198.18.0.1")]), ["dns-blocked 3"]);
        let beside = leads(&cache(), &["10.20.1.4", "240.0.0.1"], vec![leg("10.20.1.4"), refused("240.0.0.1")]);
        assert_eq!(beside, ["dns-blocked 2"]);
        // Nothing is said of what is not asserted and answers, nor of what the operator names.
        let nothing = Cache { expectation: Expectation::default(), ..cache() };
        assert_eq!(leads(&nothing, &["198.18.0.1"], vec![leg("198.18.0.1")]), [""; 0]);
        assert_eq!(leads(&nothing, &["198.18.0.1"], vec![refused("198.18.0.1")]), ["dns-blocked 1"]);
        let named = Expectation { isolation: None, addresses: vec!["198.18.0.0/15".parse().unwrap()] };
        let named = Cache { expectation: named, ..cache() };
        assert_eq!(leads(&named, &["198.18.0.1"], vec![leg("198.18.0.1")]), [""; 0]);
    }

    #[test]
    fn the_address_of_a_nat64_is_the_one_behind_it_and_unspecified_is_none() {
        let beside =
            |extra: &str, legs| verdict(&cache(), &report(resolution(&[PRIVATELINK], &["10.20.1.4", extra]), legs));
        let lacks = failed("64:ff9b::a14:104", Stage::Connect, FaultKind::FamilyUnavailable);
        assert_eq!(beside("64:ff9b::a14:104", vec![leg("10.20.1.4"), lacks]), [""; 0]);
        assert_eq!(beside("64:ff9b::a14:104", vec![leg("10.20.1.4"), leg("64:ff9b::a14:104")]), [""; 0]);
        for none in ["::", "0.0.0.0"] {
            assert_eq!(beside(none, vec![leg("10.20.1.4")]), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_private_path_without_ipv4_is_no_path() {
        let only = report(resolution(&[PRIVATELINK], &["fd00::4"]), vec![leg("fd00::4")]);
        assert_eq!(verdict(&cache(), &only), ["dns-ipv6-only 2"]);
    }

    #[test]
    fn an_address_family_this_machine_lacks_is_no_fault() {
        let both = resolution(&[PRIVATELINK], &["10.20.1.4", "fd00::4"]);
        let legs = vec![leg("10.20.1.4"), failed("fd00::4", Stage::Connect, FaultKind::FamilyUnavailable)];
        assert_eq!(verdict(&cache(), &report(both, legs)), [""; 0]);
        let only = resolution(&[PRIVATELINK], &["fd00::4"]);
        let legs = vec![failed("fd00::4", Stage::Connect, FaultKind::FamilyUnavailable)];
        assert_eq!(verdict(&cache(), &report(only, legs)), ["dns-ipv6-only 1"]);
    }
}
