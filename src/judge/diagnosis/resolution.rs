//! Causes in the resolution of the name.

use std::net::IpAddr;
use std::time::Duration;

use super::{Case, Diagnosis, Draft, commands, narrate, resolvers};
use crate::azure::{self, Product};
use crate::judge::memory::{Memory, is_answer, listed};
use crate::model::{
    AddressClass, Answer, Fault, FaultKind, Finding, FindingId, Isolation, Resolution, ResolverName, Severity, Source,
    Stage,
};

pub(super) fn diagnose(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    name(case, diagnosis);
    let Some(resolution) = case.lookup.followed() else { return };
    match &resolution.fault {
        Some(fault) => diagnosis.findings.push(failure(case, resolution, fault).done()),
        None if resolution.source == Source::Literal => return,
        None => {
            answer(case, resolution, diagnosis);
            ipv6_only(case, resolution, diagnosis);
            drift(case, resolution, memory, diagnosis);
            ttl(case, resolution, diagnosis);
        }
    }
    resolvers::diagnose(case, memory, diagnosis);
}

/// The name itself, before anyone is asked.
fn name(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let host = &case.cache.host;
    if host.parse::<IpAddr>().is_ok() {
        let summary = format!(
            "the configured host {host} is an address: certificates of Azure cover names only, and it can move"
        );
        let expectation = &case.cache.expectation;
        let expected = case
            .lookup
            .followed()
            .is_none_or(|resolution| resolution.addresses.iter().all(|answer| expectation.admits(answer.address)));
        let severity = if expected { Severity::Risk } else { Severity::Degraded };
        let finding = case.finding(FindingId::ConfigIpAddress, severity, Stage::Resolve, summary);
        let unexpected = (!expected).then(|| "it is not an address that is expected either".to_owned());
        diagnosis.findings.push(
            finding
                .evidences(unexpected)
                .evidence(format!("host = \"{host}\" in the configuration of cache {}", case.cache.name))
                .note("configure the host name that the application uses, such as NAME.redis.cache.windows.net")
                .done(),
        );
    }
    port(case, diagnosis);
    retirement(case, diagnosis);
    if case.endpoint.is_privatelink {
        let summary = format!(
            "the configured host {host} is the privatelink name: no certificate covers it, and it is not for use"
        );
        let public = host.replacen(".privatelink.", ".", 1);
        let finding = case.finding(FindingId::ConfigPrivatelinkName, Severity::Risk, Stage::Resolve, summary);
        diagnosis.findings.push(
            finding
                .evidence(format!("host = \"{host}\" in the configuration of cache {}", case.cache.name))
                .note(format!("use {public}: DNS leads it to the private endpoint by itself"))
                .done(),
        );
    }
}

/// A port that belongs to another product.
fn port(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let (port, product) = (case.cache.port, case.endpoint.product);
    let is_anothers = match product {
        Product::CacheForRedis => port == Product::ManagedRedis.tls_port(),
        Product::ManagedRedis | Product::Enterprise => {
            port == Product::CacheForRedis.tls_port() || port == Product::CacheForRedis.plain_port()
        }
        Product::Other => false,
    };
    if !is_anothers {
        return;
    }
    let right = product.tls_port();
    let summary =
        format!("{} is {}, which listens on {right}, and port {port} is configured", case.cache.host, product.title());
    let finding = case.finding(FindingId::ConfigPortProduct, Severity::Risk, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("port = {port} in the configuration of cache {}", case.cache.name))
            .note(format!("configure port {right}, here and in the application"))
            .run(case.dial(&case.cache.host))
            .done(),
    );
}

/// The product comes to its end.
fn retirement(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    const QUARTER: Duration = Duration::from_hours(24 * 90);
    let Some(end) = azure::retirement(case.endpoint.product) else { return };
    let left = end.since(case.lookup.at);
    if left > case.cache.thresholds.retirement {
        return;
    }
    let severity = match left {
        left if left <= QUARTER => Severity::Degraded,
        left if left <= YEAR => Severity::Risk,
        _ => Severity::Advice,
    };
    let title = case.endpoint.product.title();
    let days = left.as_secs() / 86_400;
    let summary = format!(
        "{title} is retired, and disabled from {}: in {days} days {} will be gone",
        end.date(),
        case.cache.host
    );
    let finding = case.finding(FindingId::RetirementNear, severity, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!(
                "{} is a name of {title}; after a migration it may lead to another product",
                case.cache.host
            ))
            .note("plan the migration to Azure Managed Redis: other port (10000), other private zone, other tiers")
            .azure(case.list())
            .done(),
    );
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
        finding = finding.evidence(narrate::path(resolution));
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

/// The others that know an address, where that contradicts the failure of the one that is followed. Who sees no private
/// zone contradicts nobody who sees one without the record.
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

/// A failure that nobody contradicts.
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
    let others = resolvers::named(&names);
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
        .azure(case.zone_links())
        .azure(case.nslookup_inside_azure())
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
            .azure(case.zone_records())
            .azure(case.private_endpoints())
            .note("the endpoint was deleted, or has no DNS zone group: create it, and the record comes by itself")
            .run("az network private-endpoint dns-zone-group list -g <resource-group> --endpoint-name <endpoint>"),
        FindingId::DnsNameNotFound => finding
            .azure(case.list())
            .note("where it is not listed, the cache was deleted or its name is misspelt; compare with the host above")
            .run(ask),
        FindingId::DnsTimeout | FindingId::DnsUnreachable => {
            finding.run(ask).note(&case.is_port_open(resolution)).run("cat /etc/resolv.conf")
        }
        FindingId::DnsServerFailure | FindingId::DnsRefused => finding
            .run(ask)
            .note("the forwarder behind this server is failing: check its upstream and its conditional forwarding rule")
            .azure(case.nslookup_inside_azure()),
        FindingId::LocalExhaustion => {
            finding.run("ss -s").run("cat /proc/sys/fs/file-nr").note("raise LimitNOFILE, or find what leaks sockets")
        }
        _ => finding.run(ask).notes(case.trust(resolution)),
    }
}

/// Whether this round can tell if the hosts file says something else than the name servers.
pub(super) fn is_compared(resolution: &Resolution) -> bool {
    match &resolution.overridden {
        Some(beneath) => is_answer(beneath),
        None => resolution.source != Source::HostsFile,
    }
}

/// The name led somewhere: is it where it should? Where this machine itself bends the name, that is the cause.
fn answer(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    let bent = hosts_override(case, resolution).or_else(|| search_suffix(case, resolution));
    match bent {
        Some(finding) => diagnosis.findings.push(finding),
        None => place(case, resolution, diagnosis),
    }
}

/// How bad it is that this machine bends the name: a risk while it leads where it should.
fn severity_of_bend(case: &Case<'_>, resolution: &Resolution) -> Severity {
    let expected = resolution.addresses.iter().all(|answer| case.cache.expectation.admits(answer.address));
    match expected {
        true => Severity::Risk,
        false if all_fail_to_connect(case) => Severity::Unavailable,
        false => Severity::Degraded,
    }
}

/// The hosts file answers, and the name servers say otherwise.
fn hosts_override(case: &Case<'_>, resolution: &Resolution) -> Option<Finding> {
    let beneath = resolution.overridden.as_ref().filter(|beneath| is_answer(beneath))?;
    if beneath.sorted_addresses() == resolution.sorted_addresses() {
        return None;
    }
    let host = &case.cache.host;
    let others = match beneath.addresses.as_slice() {
        [] => "that it does not exist".to_owned(),
        answers => shown(&answers.iter().collect::<Vec<_>>()),
    };
    let pinned = shown(&resolution.addresses.iter().collect::<Vec<_>>());
    let summary = format!("the hosts file of this machine pins {host} to {pinned}, and DNS says {others}");
    let severity = severity_of_bend(case, resolution);
    let finding = case.finding(FindingId::DnsHostsOverride, severity, Stage::Resolve, summary);
    Some(
        finding
            .evidence(narrate::path(resolution))
            .evidence(format!("DNS, unheard: {}", narrate::path(beneath)))
            .evidence(narrate::who(beneath))
            .run(format!("grep -n '{host}' /etc/hosts"))
            .note("remove the line: the pin does not follow when the address changes")
            .run(case.nslookup(None))
            .done(),
    )
}

/// The search list made another name of it.
fn search_suffix(case: &Case<'_>, resolution: &Resolution) -> Option<Finding> {
    if !resolution.searched {
        return None;
    }
    let host = &case.cache.host;
    let summary = format!(
        "{host} was not looked up as it stands: the search list made {} of it, and that name answered",
        resolution.name
    );
    let severity = severity_of_bend(case, resolution);
    let finding = case.finding(FindingId::DnsSearchSuffixAnswer, severity, Stage::Resolve, summary);
    Some(
        finding
            .evidence(narrate::path(resolution))
            .evidence(narrate::who(resolution))
            .run("cat /etc/resolv.conf")
            .note("lower ndots (in Kubernetes: dnsConfig.options), or dial the name with a dot at its end")
            .run(format!("nslookup {host}."))
            .done(),
    )
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
    let severity = if all_fail_to_connect(case) { Severity::Unavailable } else { Severity::Degraded };
    let finding = case.finding(FindingId::DnsIpv6Only, severity, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(narrate::path(resolution))
            .azure(case.zone_records())
            .run(format!("nslookup -type=A {}", case.cache.host))
            .done(),
    );
}

/// The name led somewhere: is it where it should?
fn place(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    let expectation = &case.cache.expectation;
    let (inside, outside): (Vec<&Answer>, Vec<&Answer>) =
        resolution.addresses.iter().partition(|answer| answer.class.is_inside_a_network());
    let unexpected: Vec<_> = resolution.addresses.iter().filter(|answer| !expectation.admits(answer.address)).collect();
    let public_among_unexpected =
        unexpected.iter().any(|answer| matches!(answer.class, AddressClass::Public | AddressClass::Other));
    let named_both = unexpected.is_empty() && expectation.is_asserted();
    let has_public = outside.iter().any(|answer| answer.class == AddressClass::Public);
    let finding = if !inside.is_empty() && has_public && !named_both {
        mixed(case, resolution, &inside, &outside)
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
            shown(&unexpected)
        );
        case.finding(FindingId::DnsPrivateWhenPublicExpected, Severity::Risk, Stage::Resolve, summary)
            .note("either a private endpoint was added, and the expectation is out of date, or this resolver is not the intended one")
            .run(case.nslookup(None))
    } else {
        elsewhere(case, &unexpected, public_among_unexpected)
    };
    diagnosis.findings.push(finding.evidence(narrate::path(resolution)).evidence(narrate::who(resolution)).done());
}

fn mixed(case: &Case<'_>, resolution: &Resolution, inside: &[&Answer], outside: &[&Answer]) -> Draft {
    let summary = format!(
        "{} leads to private and public addresses in one answer ({} and {}): connections go either way",
        case.cache.host,
        shown(inside),
        shown(outside)
    );
    let server =
        resolution.queries.last().map_or_else(|| "the hosts file".to_owned(), |query| query.server.to_string());
    case.finding(FindingId::DnsMixedAnswer, Severity::Degraded, Stage::Resolve, summary)
        .note(format!("find the record that does not belong, at {server}"))
        .azure(case.zone_records())
        .run(case.nslookup(None))
}

/// A private address is expected and the answer is public.
fn led_to_public(case: &Case<'_>, resolution: &Resolution, unexpected: &[&Answer]) -> Draft {
    let host = &case.cache.host;
    let addresses = shown(unexpected);
    let closed = all_fail_to_connect(case);
    let severity = if closed { Severity::Unavailable } else { Severity::Degraded };
    let path = if closed { ", and does not answer there" } else { "" };
    if resolution.has_privatelink_alias() {
        let summary = format!(
            "{host} leads to {addresses} where a private address is expected{path}: a private endpoint exists, and this machine is not led to it"
        );
        case.finding(FindingId::DnsZoneNotLinked, severity, Stage::Resolve, summary)
            .evidence("the alias into a privatelink zone is there, so a private endpoint exists")
            .note("1. is the zone linked to this network? (look for this virtual network in the list)")
            .azure(case.zone_links())
            .note("2. is the right name server asked? inside Azure, 168.63.129.16 must give the private address")
            .run(case.nslookup(Some("168.63.129.16")))
            .note("3. is the record missing and the link set to fall back to the internet (NxDomainRedirect)?")
            .azure(case.zone_records())
    } else {
        let summary = format!(
            "{host} leads to {addresses} where a private address is expected{path}, and nothing on the way speaks of a private endpoint"
        );
        case.finding(FindingId::DnsNoPrivateEndpoint, severity, Stage::Resolve, summary)
            .evidence("no alias into a privatelink zone: the endpoint was never made, is not approved, or was deleted")
            .azure(case.private_endpoints())
            .azure(case.show("privateEndpointConnections"))
            .run(case.nslookup(Some("168.63.129.16")))
    }
}

/// Whether every address that was dialled stayed closed.
pub(super) fn all_fail_to_connect(case: &Case<'_>) -> bool {
    let legs = case.used_legs().count();
    legs > 0 && case.failed_at(Stage::Connect).len() == legs
}

/// An address of the right kind, and not the expected one.
fn elsewhere(case: &Case<'_>, unexpected: &[&Answer], public: bool) -> Draft {
    let id = if public { FindingId::DnsUnexpectedPublic } else { FindingId::DnsUnexpectedPrivate };
    let expected: Vec<_> = case.cache.expectation.addresses.iter().map(ToString::to_string).collect();
    let expected = if expected.is_empty() { "a private one".to_owned() } else { expected.join(", ") };
    let summary = format!("{} leads to {}, and {expected} is expected", case.cache.host, shown(unexpected));
    case.finding(id, Severity::Degraded, Stage::Resolve, summary)
        .note("a stale record, an endpoint made anew with another address, or another network's endpoint")
        .run(case.nslookup(None))
        .azure(case.private_endpoints())
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
    let moved = format!("before: {}", resolvers::held(baseline));
    if !private_to_public && diagnosis.follows_from(&bends, severity, vec![moved]) {
        return;
    }
    let finding = case.finding(FindingId::DnsDrift, severity, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("before: {}", resolvers::held(baseline)))
            .evidence(format!("now: {}", narrate::path(resolution)))
            .evidence(narrate::who(resolution))
            .run(case.nslookup(None))
            .note("if the move was meant, accept it, or set expected_addresses to the new addresses and reload")
            .step(commands::accept_baseline(&case.cache.name))
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
        "the answer for {} may be kept for {seconds}s, longer than {threshold}s: a move would be seen that much later",
        case.cache.host
    );
    let finding = case.finding(FindingId::DnsTtlLong, Severity::Advice, Stage::Resolve, summary);
    let resolver = if resolution.resolver.as_str() == ResolverName::SYSTEM { "" } else { " at the zone that answers" };
    diagnosis.findings.push(
        finding
            .evidence(narrate::path(resolution))
            .note(format!("lower the TTL of the record{resolver} to 300 seconds or less"))
            .done(),
    );
}

/// `10.20.1.4 (private), 10.20.1.5 (private)`.
fn shown(answers: &[&Answer]) -> String {
    answers.iter().map(|answer| format!("{} ({})", answer.address, answer.class)).collect::<Vec<_>>().join(", ")
}
