//! Causes in the certificate.

use super::case::{Case, Diagnosis, Draft, place};
use super::coverage::Coverage;
use super::rule::{Rule, note, run};
use crate::azure::{self, Product};
use crate::model::{Certificate, Fault, FaultKind, FindingId, Leg, Severity, Stage, TlsSession, WireText};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::TlsNameMismatch,
        stage: Stage::Tls,
        denied_by: Coverage::Certificate,
        severity: "1; 2 where other addresses serve",
        title: "the certificate covers other names",
        means: "The name leads to another server, or the application dials a name or an address that no certificate covers.",
        told_apart: "The chain is trusted and valid, and none of the names on it matches the one dialled; both are shown.",
        on_the_wire: "A handshake that completes; the certificate's subject alternative names.",
        steps: |c| {
            vec![run(format!("{} | openssl x509 -noout -ext subjectAltName", c.handshake(""))), run(c.nslookup(None))]
        },
    },
    Rule {
        id: FindingId::TlsExpired,
        stage: Stage::Tls,
        denied_by: Coverage::Certificate,
        severity: "1; 2 where other addresses serve",
        title: "the certificate has expired",
        means: "Clients that verify refuse to connect. Azure renews its own certificates: is this the cache, and is the clock \
                here right?",
        told_apart: "The end of validity is earlier than this machine's time.",
        on_the_wire: "A handshake that completes; notAfter in the past.",
        steps: |c| vec![run("timedatectl status"), run(format!("{} | openssl x509 -noout -dates", c.handshake("")))],
    },
    Rule {
        id: FindingId::TlsNotYetValid,
        stage: Stage::Tls,
        denied_by: Coverage::Certificate,
        severity: "1; 2 where other addresses serve",
        title: "the certificate is not valid yet",
        means: "Usually the clock of this machine is behind.",
        told_apart: "The start of validity is later than this machine's time.",
        on_the_wire: "A handshake that completes; notBefore in the future.",
        steps: |_| vec![run("timedatectl status")],
    },
    Rule {
        id: FindingId::TlsExpiresSoon,
        stage: Stage::Tls,
        denied_by: Coverage::Certificate,
        severity: "3 at 30 days, 2 at 7 days (configurable)",
        title: "the certificate expires soon",
        means: "If it is not renewed, clients that verify will refuse to connect from that day on.",
        told_apart: "The chain verifies today; the first of its certificates to expire is named.",
        on_the_wire: "notAfter of every certificate of the chain.",
        steps: |c| vec![run(format!("{} | openssl x509 -noout -dates", c.handshake("")))],
    },
    Rule {
        id: FindingId::TlsUntrusted,
        stage: Stage::Tls,
        denied_by: Coverage::Certificate,
        severity: "1; 2 where other addresses serve",
        title: "no trusted root issued the certificate",
        means: "The root is missing from the trust store here, an intermediate is missing from what the server sends, or \
                something on the path presents its own certificate.",
        told_apart: "The chain leads to no root of the store that was read; issuer and store are named. Azure's chains end at \
                     DigiCert Global Root G2 or Microsoft RSA Root CA 2017.",
        on_the_wire: "A handshake that completes; an issuer that is not in the store.",
        steps: |c| {
            vec![
                run(c.handshake(" -showcerts")),
                note("if the platform's store is old or broken: apt-get install --reinstall ca-certificates"),
            ]
        },
    },
    Rule {
        id: FindingId::TlsIntercepted,
        stage: Stage::Tls,
        denied_by: Coverage::Certificate,
        severity: "1; 2 where this machine trusts the issuer",
        title: "an authority that Azure does not use signed the certificate",
        means: "Something on the path opens TLS and signs anew: a firewall with TLS inspection, or a proxy. It reads everything, \
                the access key included, and breaks clients that pin or verify.",
        told_apart: "A host of Azure, the platform's trust store, and a chain in which no authority of Azure (DigiCert, Microsoft) \
                     appears. With a ca_file the operator has named the authority, and this is not judged; a self-signed \
                     certificate is tls-untrusted.",
        on_the_wire: "A handshake that completes; an issuer that is not one of Azure's.",
        steps: |c| vec![run(c.handshake(" -showcerts")), note("exempt the cache from inspection")],
    },
];

/// A certificate that verifies today, and that will not for long, or that an authority other than Azure's signed.
pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    inspection(case, diagnosis);
    expiry(case, diagnosis);
}

/// What it is that a handshake failed in this way; `None` where that is not about the certificate.
pub(super) fn failure(case: &Case<'_>, kind: FaultKind, group: &[(&Leg, &Fault)]) -> Option<Draft> {
    let endpoint = case.cache.endpoint();
    let session = group.iter().find_map(|(leg, _)| leg.tls.as_ref());
    let leaf = session.and_then(TlsSession::leaf);
    let draft = |id, summary| case.finding(id, case.severity_of(group.len()), Stage::Tls, summary);
    let draft = match kind {
        FaultKind::NameMismatch => name_mismatch(case, draft, leaf).run(case.commands.certificate()),
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
                .run(case.commands.certificate())
        }
        FaultKind::CertificateNotYetValid => {
            let from = leaf.map_or_else(String::new, |leaf| format!(" before {}", leaf.not_before.date()));
            draft(FindingId::TlsNotYetValid, format!("the certificate of {endpoint} is not valid{from}"))
                .note("the clock of this machine is most likely behind")
                .run("timedatectl status")
                .run(case.commands.certificate())
        }
        FaultKind::UntrustedIssuer => untrusted(case, draft, session).run(case.commands.certificate()),
        FaultKind::TrustUnreadable => draft(
            FindingId::TlsUntrusted,
            format!("the roots to verify {endpoint} with cannot be read on this machine"),
        )
        .run("apt-get install --reinstall ca-certificates")
        .note("or name a readable PEM file: --ca-file for a bare host, caches.tls.ca_file in a configuration"),
        _ => return None,
    };
    Some(draft)
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
        .run(case.commands.nslookup(None))
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

/// Whether a host of Azure shows a chain that none of Azure's authorities is in. A self-signed certificate is no
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
        session.leaf().map(|leaf| format!("{}: {}", place(leg, case.cache.port), described(leaf)))
    });
    diagnosis.findings.push(intercepted(finding.evidences(evidence)).run(case.commands.certificate()).done());
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
pub(super) fn presented(group: &[(&Leg, &Fault)]) -> Vec<String> {
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
            .note(
                "Azure renews its certificates some weeks ahead: if this finding stays, open a support case; renew \
                   other certificates yourself",
            )
            .run(case.commands.certificate())
            .done(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{DAY, NOW, PRIVATELINK, cache, failed, leg, report, resolution, story, verdict};
    use crate::model::{Cache, Timestamp, Tls};

    #[test]
    fn a_foreign_authority_is_inspection_only_where_azure_should_answer() {
        let foreign = |mut leg: Leg, issuer: &str| {
            leg.tls.as_mut().unwrap().chain[0].issuer = WireText::new(issuer);
            report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg])
        };
        let untrusted = || {
            let mut leg = leg("10.20.1.4");
            leg.fault = Some(Fault::new(Stage::Tls, FaultKind::UntrustedIssuer, "unknown issuer"));
            leg.tls.as_mut().unwrap().verified = false;
            leg.server = None;
            leg
        };
        let inspection = "CN=Contoso Inspection CA";
        assert_eq!(verdict(&cache(), &foreign(leg("10.20.1.4"), inspection)), ["tls-intercepted 2"]);
        assert_eq!(verdict(&cache(), &foreign(untrusted(), inspection)), ["tls-intercepted 1"]);
        assert_eq!(
            verdict(&cache(), &foreign(untrusted(), "CN=*.redis.cache.windows.net")),
            ["tls-untrusted 1"],
            "a self-signed certificate"
        );
        let named = Tls { ca_file: Some("/etc/ssl/own.pem".into()), server_name: None };
        let named = Cache { tls: Some(named), ..cache() };
        assert_eq!(
            verdict(&named, &foreign(leg("10.20.1.4"), inspection)),
            [""; 0],
            "the operator named the authority"
        );
        let elsewhere = Cache { host: "cache.example.com".into(), ..cache() };
        assert_eq!(verdict(&elsewhere, &foreign(leg("10.20.1.4"), inspection)), [""; 0]);
    }

    #[test]
    fn a_failed_handshake_does_not_renew_a_certificate() {
        let mut old = leg("10.20.1.4");
        let at = Timestamp::from_unix_seconds(NOW);
        old.tls.as_mut().unwrap().chain[0].not_after = at.plus(DAY * 20);
        let path = || resolution(&[PRIVATELINK], &["10.20.1.4"]);
        let old = || report(path(), vec![old.clone()]);
        let silent = || report(path(), vec![failed("10.20.1.4", Stage::Tls, FaultKind::Timeout)]);
        let expected: [&[&str]; 6] =
            [&[], &["finding_opened tls-expires-soon"], &[], &["finding_opened tls-timeout"], &[], &[]];
        assert_eq!(story(&cache(), &[old(), old(), silent(), silent(), silent(), silent()]), expected);
    }
}
