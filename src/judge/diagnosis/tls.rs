//! Causes in the TLS handshake and in the certificate.

use std::time::Duration;

use super::{Case, Diagnosis, Draft, narrate, observations};
use crate::azure::{self, Product};
use crate::judge::memory::Memory;
use crate::model::{Certificate, Fault, FaultKind, FindingId, Leg, Severity, Stage, TlsSession, WireText};

pub(super) fn diagnose(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    for (kind, group) in Case::by_kind(case.failed_at(Stage::Tls)) {
        if kind == FaultKind::NameMismatch && follows_from_the_name(case, &group, diagnosis) {
            continue;
        }
        let draft = if kind == FaultKind::Closed { closed(case, memory, &group) } else { failure(case, kind, &group) };
        let draft = draft.evidences(observations(case.cache, &group));
        diagnosis.findings.push(draft.evidences(certificates(&group)).done());
    }
    inspection(case, diagnosis);
    expiry(case, diagnosis);
}

/// No certificate covers the configured name, which was told already: that is the cause.
fn follows_from_the_name(case: &Case<'_>, group: &[(&Leg, &Fault)], diagnosis: &mut Diagnosis) -> bool {
    let evidence = [observations(case.cache, group), certificates(group)].concat();
    let causes = [FindingId::ConfigPrivatelinkName, FindingId::ConfigIpAddress];
    // Where another name is verified, the host is not to blame.
    case.cache.server_name() == case.cache.host
        && diagnosis.follows_from(&causes, case.severity_of(group.len()), evidence)
}

fn failure(case: &Case<'_>, kind: FaultKind, group: &[(&Leg, &Fault)]) -> Draft {
    let endpoint = case.cache.endpoint();
    let session = group.iter().find_map(|(leg, _)| leg.tls.as_ref());
    let leaf = session.and_then(TlsSession::leaf);
    let severity = case.severity_of(group.len());
    let draft = |id, summary| case.finding(id, severity, Stage::Tls, summary);
    match kind {
        FaultKind::NameMismatch => name_mismatch(case, draft, leaf).run(case.certificate()),
        FaultKind::CertificateExpired => {
            let expired =
                session.and_then(|session| session.chain.iter().min_by_key(|certificate| certificate.not_after));
            let summary = match expired {
                Some(certificate) => {
                    format!("the certificate of {endpoint} expired on {}", certificate.not_after.date())
                }
                None => format!("the certificate of {endpoint} has expired"),
            };
            draft(FindingId::TlsExpired, summary)
                .note("Azure renews its certificates by itself: is this the cache, and is the clock of this machine right?")
                .run("timedatectl status")
                .run(case.certificate())
        }
        FaultKind::CertificateNotYetValid => {
            let from = leaf.map_or_else(String::new, |leaf| format!(" before {}", leaf.not_before.date()));
            draft(FindingId::TlsNotYetValid, format!("the certificate of {endpoint} is not valid{from}"))
                .note("the clock of this machine is most likely behind")
                .run("timedatectl status")
                .run(case.certificate())
        }
        FaultKind::UntrustedIssuer => untrusted(case, draft, session).run(case.certificate()),
        FaultKind::TrustUnreadable => draft(
            FindingId::TlsUntrusted,
            format!("the roots to verify {endpoint} with cannot be read on this machine"),
        )
        .run("apt-get install --reinstall ca-certificates")
        .note("or name a readable PEM file: --ca-file for a bare host, caches.tls.ca_file in a configuration"),
        FaultKind::NotTls => not_spoken(case, draft),
        FaultKind::TlsVersion => {
            draft(FindingId::TlsVersion, format!("{endpoint} offers no TLS version that is still allowed (1.2 or 1.3)"))
                .note("what answers is older than Azure's services of today, or stands between")
                .run(format!("{} -tls1_2 </dev/null", case.openssl()))
        }
        FaultKind::NoCommonCipher => draft(
            FindingId::TlsNoCommonCipher,
            format!("{endpoint} and this probe have no cipher suite in common"),
        )
        .note(
            "this probe speaks AEAD suites only (AES-GCM, ChaCha20); another client with CBC suites may still connect",
        )
        .run(format!("{} </dev/null", case.openssl())),
        FaultKind::Timeout => draft(
            FindingId::TlsTimeout,
            format!("{endpoint} accepts the connection and does not answer the TLS handshake"),
        )
        .note("a port without TLS, an overloaded server, or a path that drops large packets (MTU)")
        .run(case.certificate()),
        _ => draft(FindingId::TlsFailed, format!("the TLS handshake with {endpoint} failed")).run(case.certificate()),
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
            narrate::clients(clients)
        );
        return case
            .finding(FindingId::RedisClientLimitReached, severity, Stage::Tls, summary)
            .evidence(format!("{} at {at}", narrate::clients(clients)))
            .evidence("a server with native TLS drops a client beyond the limit before the handshake, without a word")
            .note("find the client that opens too many connections; restart it, then share one connection per process")
            .azure(case.metric("connectedclients"))
            .run(case.clients_by_address());
    }
    let summary = format!("{endpoint} accepts the connection and closes it inside the TLS handshake");
    let draft = case.finding(FindingId::TlsClosed, severity, Stage::Tls, summary);
    let draft = match counted {
        Some((at, clients)) => draft
            .evidence(format!("{} at {at}, so the limit is not the likely cause", narrate::clients(clients)))
            .note("two causes are left that look like this: TLS inspection on the path, and public access disabled"),
        None => draft.note(
            "three causes look like this: TLS inspection on the path, public access disabled, the client limit reached",
        ),
    };
    draft.azure(case.show("publicNetworkAccess")).azure(case.metric("connectedclients")).run(case.certificate())
}

fn name_mismatch(case: &Case<'_>, draft: impl Fn(FindingId, String) -> Draft, leaf: Option<&Certificate>) -> Draft {
    let name = case.cache.server_name();
    let covered = match leaf {
        Some(leaf) if !leaf.names.is_empty() => {
            leaf.names.iter().take(4).map(WireText::as_str).collect::<Vec<_>>().join(", ")
        }
        _ => "no name at all".to_owned(),
    };
    let summary = format!("the certificate presented for {name} covers {covered}, and not {name}");
    draft(FindingId::TlsNameMismatch, summary)
        .note("the name leads to another server, or the application dials a name or an address that no certificate covers")
        .run(case.nslookup(None))
}

fn untrusted(case: &Case<'_>, draft: impl Fn(FindingId, String) -> Draft, session: Option<&TlsSession>) -> Draft {
    let last = session.and_then(|session| session.chain.last());
    let wanted = last.map_or_else(|| "an unknown authority".to_owned(), |last| format!("\"{}\"", last.issuer));
    let store = case.cache.tls.as_ref().and_then(|tls| tls.ca_file.as_ref());
    let store = store.map_or_else(|| "the platform's store".to_owned(), |file| file.display().to_string());
    let summary =
        format!("the certificate of {} was issued by {wanted}, which {store} does not trust", case.cache.endpoint());
    if case.cache.tls.as_ref().is_some_and(|tls| tls.ca_file.is_none())
        && session.is_some_and(|session| is_foreign(case, session))
    {
        let summary = format!(
            "{} presents a certificate issued by {wanted}, and Azure's come from other authorities",
            case.cache.endpoint()
        );
        return intercepted(draft(FindingId::TlsIntercepted, summary));
    }
    let draft = draft(FindingId::TlsUntrusted, summary);
    if case.endpoint.product == Product::Other {
        return draft
            .note("if you know and trust that root: --ca-file for a bare host, caches.tls.ca_file in a configuration");
    }
    draft
        .note("Azure's chains end at DigiCert Global Root G2 or Microsoft RSA Root CA 2017: if the issuer is another, something inspects TLS on the path")
        .run("apt-get install --reinstall ca-certificates")
}

/// Whether a host of Azure shows a chain that none of Azure's authorities is in. A self-signed certificate is nobody's
/// inspection: something else answers.
fn is_foreign(case: &Case<'_>, session: &TlsSession) -> bool {
    let is_self_signed = session.leaf().is_none_or(|leaf| leaf.issuer == leaf.subject);
    case.endpoint.product != Product::Other
        && !is_self_signed
        && !session.chain.iter().any(|certificate| azure::is_azure_authority(certificate.issuer.as_str()))
}

fn intercepted(draft: Draft) -> Draft {
    draft
        .note("something on the path opens TLS and signs anew: a firewall with TLS inspection, or a proxy; it reads the access key")
        .note("exempt the cache from inspection: *.redis.cache.windows.net on 6380, *.redis.azure.net on 10000")
}

/// A chain that verifies here, because the inspection's root was installed here.
fn inspection(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    if case.cache.tls.as_ref().is_none_or(|tls| tls.ca_file.is_some()) {
        return;
    }
    let sessions = case.used_legs().filter_map(|leg| leg.tls.as_ref().map(|session| (leg, session)));
    let foreign: Vec<_> = sessions.filter(|(_, session)| session.verified && is_foreign(case, session)).collect();
    let Some((_, session)) = foreign.first() else { return };
    let issuer = session.leaf().map_or_else(String::new, |leaf| leaf.issuer.to_string());
    let summary = format!(
        "{} presents a certificate issued by \"{issuer}\", which this machine trusts and Azure does not use",
        case.cache.endpoint()
    );
    let finding = case.finding(FindingId::TlsIntercepted, Severity::Degraded, Stage::Tls, summary);
    let evidence = foreign.iter().filter_map(|(leg, session)| {
        session.leaf().map(|leaf| format!("{}: {}", super::place(leg, case.cache.port), described(leaf)))
    });
    diagnosis.findings.push(intercepted(finding.evidences(evidence)).run(case.certificate()).done());
}

fn not_spoken(case: &Case<'_>, draft: impl Fn(FindingId, String) -> Draft) -> Draft {
    let (port, product) = (case.cache.port, case.endpoint.product);
    let draft = draft(FindingId::TlsNotSpoken, format!("what answers at {} does not speak TLS", case.cache.endpoint()));
    if port == product.plain_port() && port != product.tls_port() {
        draft.note(format!("port {port} is the one without TLS: use port {}", product.tls_port()))
    } else {
        draft
            .note("the port has TLS off, or a proxy stands between")
            .run(format!("printf 'PING\\r\\n' | nc -w 3 {} {port}", case.cache.host))
    }
}

fn described(leaf: &Certificate) -> String {
    let names: Vec<_> = leaf.names.iter().take(8).map(WireText::as_str).collect();
    format!(
        "certificate: subject \"{}\", issuer \"{}\", valid {} to {}, covers {}",
        leaf.subject,
        leaf.issuer,
        leaf.not_before.date(),
        leaf.not_after.date(),
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    )
}

/// What each failing address presented.
fn certificates(group: &[(&Leg, &Fault)]) -> Vec<String> {
    let mut lines: Vec<_> =
        group.iter().filter_map(|(leg, _)| leg.tls.as_ref().and_then(TlsSession::leaf)).map(described).collect();
    lines.dedup();
    lines
}

/// A certificate that verifies today and will not for long.
fn expiry(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let sessions = case.used_legs().filter_map(|leg| leg.tls.as_ref()).filter(|session| session.verified);
    let Some(certificate) = sessions.flat_map(|session| &session.chain).min_by_key(|certificate| certificate.not_after)
    else {
        return;
    };
    let left = certificate.not_after.since(case.lookup.at);
    let thresholds = &case.cache.thresholds;
    let severity = if left < thresholds.certificate_critical {
        Severity::Degraded
    } else if left < thresholds.certificate_warning {
        Severity::Risk
    } else {
        return;
    };
    let days = left.as_secs() / 86_400;
    let summary = format!(
        "the certificate of {} expires in {days} days, on {}",
        case.cache.endpoint(),
        certificate.not_after.date()
    );
    let finding = case.finding(FindingId::TlsExpiresSoon, severity, Stage::Tls, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("\"{}\" is valid until {}", certificate.subject, certificate.not_after))
            .note("Azure renews its certificates some weeks ahead, and where this stays wants a support case; others are renewed by you")
            .run(case.certificate())
            .done(),
    );
}
