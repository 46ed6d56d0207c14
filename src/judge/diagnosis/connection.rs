//! Causes between this machine and the address: TCP.

use super::{Case, Diagnosis, Draft, observations, resolution};
use crate::azure::Product;
use crate::model::{Fault, FaultKind, FindingId, Leg, Severity, Stage};

pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let failed = case.failed_at(Stage::Connect);
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
    if is_misled && resolution::all_fail_to_connect(case) {
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
        .run(case.nslookup(None))
        .run(case.dial(&failed[0].0.address.to_string()))
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
            draft(FindingId::TcpFailed, Severity::Unavailable, summary).run(case.dial(&group[0].0.address.to_string()))
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
    draft.azure(case.state_and_port()).run(case.dial(&case.cache.host))
}

/// A private address that stays silent: the network between.
fn filtered_inside(case: &Case<'_>, draft: Draft) -> Draft {
    let (host, port) = (&case.cache.host, case.cache.port);
    draft
        .note("the address is private, so the network between drops it: a network security group, a route table, a missing peering, a firewall appliance")
        .run(format!(
            "az network watcher test-connectivity -g <resource-group> --source-resource <this-vm> --dest-address {host} --dest-port {port}"
        ))
        .run("az network nic list-effective-nsg -g <resource-group> -n <nic-of-this-vm> -o table")
        .run("az network nic show-effective-route-table -g <resource-group> -n <nic-of-this-vm> -o table")
        .note("in AKS: a NetworkPolicy may close it")
        .run("kubectl get networkpolicy -A")
}

/// A public address that stays silent: the cache's own doors.
fn filtered_outside(case: &Case<'_>, draft: Draft) -> Draft {
    draft
        .note("the address is public: public access is disabled, a firewall rule leaves this machine out, or egress is filtered here")
        .azure(case.show("publicNetworkAccess"))
        .azure(case.firewall_rules())
        .run(case.dial(&case.cache.host))
}

fn addresses(failed: &[(&Leg, &Fault)]) -> String {
    failed.iter().map(|(leg, _)| format!("{} ({})", leg.address, leg.class)).collect::<Vec<_>>().join(", ")
}
