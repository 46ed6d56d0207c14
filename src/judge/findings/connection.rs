//! Causes between this machine and the address: TCP.

use super::case::{Case, Diagnosis, Draft, observations};
use super::coverage::Coverage;
use super::rule::{Rule, azure, run};
use crate::azure::Product;
use crate::model::{AddressClass, Fault, FaultKind, FindingId, Leg, Severity, Stage};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::TcpRefused,
        stage: Stage::Connect,
        denied_by: Coverage::Dial,
        severity: "1",
        title: "the connection was refused",
        means: "Something is at the address and nothing listens on the port: the wrong port for the product, the port without \
                TLS (off by default), or a cache that is restarting.",
        told_apart: "The answer to SYN is RST. Silence is tcp-filtered; no route is tcp-unreachable.",
        on_the_wire: "SYN, RST.",
        steps: |c| vec![azure(c.state_and_tls_port()), run(c.dial(c.host()))],
    },
    Rule {
        id: FindingId::TcpFiltered,
        stage: Stage::Connect,
        denied_by: Coverage::Dial,
        severity: "1",
        title: "no answer to SYN",
        means: "Packets are dropped on the way. At a private address that is the network between: a security group, a route \
                table, a missing peering, a NetworkPolicy. At a public address it is the cache's own public endpoint: public access disabled, or a firewall rule that leaves this machine out.",
        told_apart: "SYN is repeated until the time is up, and nothing comes back. The class of the address tells where to look.",
        on_the_wire: "SYN, SYN, SYN.",
        steps: |c| vec![run(c.test_connectivity()), azure(c.show("publicNetworkAccess")), azure(c.firewall_rules())],
    },
    Rule {
        id: FindingId::TcpUnreachable,
        stage: Stage::Connect,
        denied_by: Coverage::Dial,
        severity: "1",
        title: "no route to the address",
        means: "This machine, or a router on the way, says that the address cannot be reached: a missing peering, a route that \
                sends it nowhere, an address of another network.",
        told_apart: "The kernel or an ICMP message says so at once.",
        on_the_wire: "No SYN, or SYN and ICMP host (or network, or administratively) unreachable.",
        steps: |c| vec![run(format!("ip route get {}", c.address())), run(c.effective_routes())],
    },
    Rule {
        id: FindingId::TcpFailed,
        stage: Stage::Connect,
        denied_by: Coverage::Dial,
        severity: "1",
        title: "the connection failed with an unclassified error",
        means: "The kernel gave an error that cachewatch does not classify; its text is the evidence.",
        told_apart: "Every classified failure has its own finding.",
        on_the_wire: "See the evidence.",
        steps: |c| vec![run(c.dial(c.address()))],
    },
    Rule {
        id: FindingId::TcpPartial,
        stage: Stage::Connect,
        denied_by: Coverage::Dial,
        severity: "2",
        title: "some addresses connect, others do not",
        means: "Applications fail whenever they pick the wrong one: the failures look random.",
        told_apart: "Of several addresses of one answer, at least one accepts a connection and at least one does not.",
        on_the_wire: "Several connections from one probe, of which some are refused, dropped or unreachable.",
        steps: |c| vec![run(c.nslookup(None)), run(c.dial(c.address()))],
    },
];

pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let mut failed = case.failed_at(Stage::Connect);
    // What is no place for a cache answers nothing, and that was told of the name.
    if diagnosis.findings.iter().any(|finding| finding.id == FindingId::DnsBlocked) {
        failed.retain(|(leg, _)| leg.class != AddressClass::Other);
    }
    if failed.is_empty() {
        return;
    }
    // The name leads to the wrong place, and that place does not answer: the first is the cause, the second follows.
    let misled = [
        FindingId::DnsZoneNotLinked,
        FindingId::DnsNoPrivateEndpoint,
        FindingId::DnsHostsOverride,
        FindingId::DnsSearchSuffixAnswer,
        FindingId::DnsIpv6Only,
    ];
    let is_misled =
        diagnosis.findings.iter().any(|finding| misled.contains(&finding.id) && finding.severity.is_serious());
    if is_misled && case.all_fail_to_connect() {
        return;
    }
    let used = case.used_legs().count();
    if failed.len() < used {
        diagnosis.findings.push(partial(case, &failed, used).evidences(observations(case.cache, &failed)).done());
        return;
    }
    for (kind, group) in Case::by_kind(failed) {
        let seen = observations(case.cache, &group);
        // The port of another product is closed here, as it must be.
        let is_closed = matches!(kind, FaultKind::Refused | FaultKind::Filtered);
        let port = [FindingId::ConfigPortProduct];
        if is_closed && diagnosis.follows_from(&port, Severity::Unavailable, seen.clone()) {
            continue;
        }
        diagnosis.findings.push(closed(case, kind, &group).evidences(seen).done());
    }
}

/// Some addresses serve.
fn partial(case: &Case<'_>, failed: &[(&Leg, &Fault)], used: usize) -> Draft {
    let summary = format!(
        "{} of {used} addresses of {} do not accept connections: applications fail whenever they pick {}",
        failed.len(),
        case.cache.host,
        addresses(failed)
    );
    case.finding(FindingId::TcpPartial, Severity::Degraded, Stage::Connect, summary)
        .note("a stale record beside a good one, or a path that is closed to one of them only")
        .run(case.commands.nslookup(None))
        .run(case.commands.dial(&failed[0].0.address.to_string()))
}

/// No address serves, and these fail in the same way.
fn closed(case: &Case<'_>, kind: FaultKind, group: &[(&Leg, &Fault)]) -> Draft {
    let port = case.cache.port;
    let place = format!("{} at {}", case.cache.endpoint(), addresses(group));
    let draft = |id, severity, summary| case.finding(id, severity, Stage::Connect, summary);
    match kind {
        FaultKind::Refused => refused(
            case,
            draft(FindingId::TcpRefused, Severity::Unavailable, format!("{place} refuses connections on port {port}")),
        ),
        FaultKind::Filtered => {
            let inside = group.iter().all(|(leg, _)| leg.class.is_inside_a_network());
            let summary = format!("{place} does not answer: packets to port {port} are dropped on the way");
            let draft = draft(FindingId::TcpFiltered, Severity::Unavailable, summary);
            if inside { filtered_inside(case, draft) } else { filtered_outside(case, draft) }
        }
        FaultKind::Unreachable | FaultKind::FamilyUnavailable => {
            let summary = format!("there is no route from this machine to {place}");
            draft(FindingId::TcpUnreachable, Severity::Unavailable, summary)
                .run(format!("ip route get {}", group[0].0.address))
                .note("missing peering, a route table that sends it nowhere, or an address of another network")
        }
        FaultKind::LocalExhaustion => {
            let summary =
                format!("this machine cannot open a connection to {place}: it has run out of sockets or memory");
            draft(FindingId::LocalExhaustion, Severity::Degraded, summary)
                .run("ss -s")
                .run("cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/fs/file-nr")
                .note("find what leaks connections; raise LimitNOFILE or the port range")
        }
        _ => {
            let summary = format!("the connection to {place} failed");
            draft(FindingId::TcpFailed, Severity::Unavailable, summary)
                .run(case.commands.dial(&group[0].0.address.to_string()))
        }
    }
}

fn refused(case: &Case<'_>, draft: Draft) -> Draft {
    let (port, product) = (case.cache.port, case.endpoint.product);
    let draft = if port == product.plain_port() && port != product.tls_port() {
        draft.note(format!(
            "port {port} is the one without TLS, which is off by default: use port {} with TLS",
            product.tls_port()
        ))
    } else if product != Product::Other && port != product.tls_port() {
        draft.note(format!(
            "{} listens on port {}; this cache is configured with {port}",
            product.title(),
            product.tls_port()
        ))
    } else {
        draft.note("the cache is restarting or being updated, or nothing listens on this port")
    };
    draft.azure(case.commands.state_and_ports()).run(case.commands.dial(&case.cache.host))
}

/// A private address that stays silent: the network between.
fn filtered_inside(case: &Case<'_>, draft: Draft) -> Draft {
    draft
        .note("the address is private, so the network between drops it: a network security group, a route table, a missing peering, a firewall appliance")
        .run(case.commands.test_connectivity())
        .run(case.commands.effective_rules())
        .run(case.commands.effective_routes())
        .note("in AKS: a NetworkPolicy may close it")
        .run("kubectl get networkpolicy -A")
}

/// A public address that stays silent: the cache's own doors.
fn filtered_outside(case: &Case<'_>, draft: Draft) -> Draft {
    draft
        .note("the address is public: public access is disabled, a firewall rule leaves this machine out, or egress is filtered here")
        .azure(case.commands.show("publicNetworkAccess"))
        .azure(case.commands.firewall_rules())
        .run(case.commands.dial(&case.cache.host))
}

fn addresses(failed: &[(&Leg, &Fault)]) -> String {
    failed.iter().map(|(leg, _)| format!("{} ({})", leg.address, leg.class)).collect::<Vec<_>>().join(", ")
}
