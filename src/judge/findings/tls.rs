//! Causes in the TLS handshake.

use std::time::Duration;

use super::case::{Case, Diagnosis, Draft, observations};
use super::certificate;
use super::coverage::Coverage;
use super::rule::{Rule, azure, run};
use crate::judge::describe;
use crate::judge::memory::Memory;
use crate::model::{Fault, FaultKind, FindingId, Leg, Stage};

/// What the peer cannot do.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::TlsNotSpoken,
        stage: Stage::Tls,
        denied_by: Coverage::Connection,
        severity: "1; 2 where other addresses serve",
        title: "the peer does not speak TLS",
        means: "A port without TLS, a cache with TLS switched off, or a proxy in between.",
        told_apart: "The first bytes of the peer are no TLS record; they are shown as evidence.",
        on_the_wire: "ClientHello, then plain text such as -ERR or HTTP/1.1 400.",
        steps: |c| vec![run(c.plain_ping())],
    },
    Rule {
        id: FindingId::TlsVersion,
        stage: Stage::Tls,
        denied_by: Coverage::Connection,
        severity: "1; 2 where other addresses serve",
        title: "no TLS version in common",
        means: "The peer offers only TLS 1.1 or older, which Azure retired and this probe does not speak.",
        told_apart: "An alert protocol_version, or a ServerHello of an older version.",
        on_the_wire: "ClientHello, alert 70.",
        steps: |c| vec![run(c.handshake(" -tls1_2"))],
    },
    Rule {
        id: FindingId::TlsNoCommonCipher,
        stage: Stage::Tls,
        denied_by: Coverage::Connection,
        severity: "1; 2 where other addresses serve",
        title: "no cipher suite in common",
        means: "The peer accepts none of the suites offered. This probe offers AEAD suites only (AES-GCM, ChaCha20); another \
                client, with CBC suites, may still connect.",
        told_apart: "An alert handshake_failure or insufficient_security.",
        on_the_wire: "ClientHello, alert 40.",
        steps: |c| vec![run(c.handshake(""))],
    },
];

/// What has several causes.
pub(super) const UNEXPLAINED: &[Rule] = &[
    Rule {
        id: FindingId::TlsClosed,
        stage: Stage::Tls,
        denied_by: Coverage::Connection,
        severity: "1; 2 where other addresses serve",
        title: "the connection closed inside the handshake",
        means: "Three causes look alike: TLS inspection on the path, public access disabled, and the client limit (a server \
                with native TLS drops the connection before it can say so).",
        told_apart: "End or reset of the connection after ClientHello, without an alert. The client count of the ten \
                     minutes before shows whether the client limit is likely (then it is redis-client-limit-reached) \
                     or not; the \
                     rest must be looked up.",
        on_the_wire: "ClientHello, FIN or RST.",
        steps: |c| vec![azure(c.show("publicNetworkAccess")), azure(c.metric("connectedclients"))],
    },
    Rule {
        id: FindingId::TlsTimeout,
        stage: Stage::Tls,
        denied_by: Coverage::Connection,
        severity: "1; 2 where other addresses serve",
        title: "the handshake did not end in time",
        means: "A port without TLS that waits for more, an overloaded server, or a path that drops large packets (MTU).",
        told_apart: "The connection stands and the handshake does not go on until the time is up.",
        on_the_wire: "ClientHello, acknowledged; then nothing.",
        steps: |c| vec![run(c.handshake(""))],
    },
    Rule {
        id: FindingId::TlsFailed,
        stage: Stage::Tls,
        denied_by: Coverage::Connection,
        severity: "1; 2 where other addresses serve",
        title: "the handshake failed with an unclassified error",
        means: "An alert or an error that is not known here, a certificate that is broken in an unusual way, or a server that \
                wants a client certificate. The raw words are the evidence.",
        told_apart: "Every classified failure has its own finding.",
        on_the_wire: "See the evidence.",
        steps: |c| vec![run(c.handshake(""))],
    },
];

pub(super) fn diagnose(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    for (kind, group) in Case::by_kind(case.failed_at(Stage::Tls)) {
        if kind == FaultKind::NameMismatch && follows_from_the_name(case, &group, diagnosis) {
            continue;
        }
        let draft = if kind == FaultKind::Closed { closed(case, memory, &group) } else { failure(case, kind, &group) };
        let draft = draft.evidences(observations(case.cache, &group));
        diagnosis.findings.push(draft.evidences(certificate::presented(&group)).done());
    }
}

/// No certificate covers the configured name, which was told already: that is the cause.
fn follows_from_the_name(case: &Case<'_>, group: &[(&Leg, &Fault)], diagnosis: &mut Diagnosis) -> bool {
    let evidence = [observations(case.cache, group), certificate::presented(group)].concat();
    let causes = [FindingId::ConfigPrivatelinkName, FindingId::ConfigIpAddress];
    // Where another name is verified, the host is not to blame.
    case.cache.server_name() == case.cache.host
        && diagnosis.follows_from(&causes, case.severity_of(group.len()), evidence)
}

fn failure(case: &Case<'_>, kind: FaultKind, group: &[(&Leg, &Fault)]) -> Draft {
    if let Some(draft) = certificate::failure(case, kind, group) {
        return draft;
    }
    let endpoint = case.cache.endpoint();
    let draft = |id, summary| case.finding(id, case.severity_of(group.len()), Stage::Tls, summary);
    match kind {
        FaultKind::NotTls => not_spoken(case, draft),
        FaultKind::TlsVersion => {
            draft(FindingId::TlsVersion, format!("{endpoint} offers no TLS version that is still allowed (1.2 or 1.3)"))
                .note("the peer is older than Azure's current services, or something in between answers")
                .run(case.commands.handshake(" -tls1_2"))
        }
        FaultKind::NoCommonCipher => draft(
            FindingId::TlsNoCommonCipher,
            format!("{endpoint} and this probe have no cipher suite in common"),
        )
        .note(
            "this probe speaks AEAD suites only (AES-GCM, ChaCha20); another client with CBC suites may still connect",
        )
        .run(case.commands.handshake("")),
        FaultKind::Timeout => draft(
            FindingId::TlsTimeout,
            format!("{endpoint} accepts the connection and does not answer the TLS handshake"),
        )
        .note("a port without TLS, an overloaded server, or a path that drops large packets (MTU)")
        .run(case.commands.certificate()),
        _ => draft(FindingId::TlsFailed, format!("the TLS handshake with {endpoint} failed"))
            .run(case.commands.certificate()),
    }
}

/// Closed inside the handshake: three causes look alike. What was seen before may tell.
fn closed(case: &Case<'_>, memory: &Memory, group: &[(&Leg, &Fault)]) -> Draft {
    /// Below this share that is free, a moment ago, the limit is the likely cause.
    const NEARLY_FULL: f64 = 0.05;
    /// How long a count of clients tells something of now.
    const LATELY: Duration = Duration::from_mins(10);
    let endpoint = case.cache.endpoint();
    let severity = case.severity_of(group.len());
    let counted = memory.clients.filter(|(at, _)| case.lookup.at.since(*at) <= LATELY);
    let nearly_full = counted.filter(|(_, clients)| clients.headroom().is_some_and(|free| free <= NEARLY_FULL));
    if let Some((at, clients)) = nearly_full {
        let summary = format!(
            "{endpoint} closes connections inside the TLS handshake, and had {} a moment ago: most likely the limit is reached",
            describe::clients(clients)
        );
        return case
            .finding(FindingId::RedisClientLimitReached, severity, Stage::Tls, summary)
            .evidence(format!("{} at {at}", describe::clients(clients)))
            .evidence("a server with native TLS drops a client beyond the limit before the handshake, without an error")
            .note("find the client that opens too many connections; restart it, then share one connection per process")
            .azure(case.commands.metric_by_minute("connectedclients"))
            .run(case.clients_by_address());
    }
    let summary = format!("{endpoint} accepts the connection and closes it inside the TLS handshake");
    let draft = case.finding(FindingId::TlsClosed, severity, Stage::Tls, summary);
    let draft = match counted {
        Some((at, clients)) => draft
            .evidence(format!("{} at {at}, so the limit is not the likely cause", describe::clients(clients)))
            .note("two causes are left that look like this: TLS inspection on the path, and public access disabled"),
        None => draft.note(
            "three causes look like this: TLS inspection on the path, public access disabled, the client limit reached",
        ),
    };
    draft
        .azure(case.commands.show("publicNetworkAccess"))
        .azure(case.commands.metric_by_minute("connectedclients"))
        .run(case.commands.certificate())
}

fn not_spoken(case: &Case<'_>, draft: impl Fn(FindingId, String) -> Draft) -> Draft {
    let (port, product) = (case.cache.port, case.endpoint.product);
    let draft = draft(FindingId::TlsNotSpoken, format!("what answers at {} does not speak TLS", case.cache.endpoint()));
    if port == product.plain_port() && port != product.tls_port() {
        draft.note(format!("port {port} is the one without TLS: use port {}", product.tls_port()))
    } else {
        draft.note("the port has TLS off, or a proxy stands between").run(case.commands.plain_ping())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Watch;
    use crate::judge::tests::{PRIVATELINK, cache, failed, leg, report, resolution};
    use crate::model::{Cache, Rules};

    /// A server with native TLS hangs up without a word at its limit; what was counted before tells it from the other causes.
    #[test]
    fn a_connection_closed_in_the_handshake_is_judged_by_what_was_counted_before() {
        let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
        let after = |connected: Option<u64>| {
            let mut watch = Watch::default();
            if let Some(connected) = connected {
                let mut before = leg("10.20.1.4");
                before.server.as_mut().unwrap().connected_clients = Some(connected);
                let _ =
                    watch.probed(&at_once, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![before]), false);
            }
            let closed = failed("10.20.1.4", Stage::Tls, FaultKind::Closed);
            let _ = watch.probed(&at_once, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![closed]), false);
            watch.open().iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(after(Some(99)), ["redis-client-limit-reached", "clients-headroom-low"]);
        assert_eq!(after(Some(10)), ["tls-closed"]);
        assert_eq!(after(None), ["tls-closed"]);
    }
}
