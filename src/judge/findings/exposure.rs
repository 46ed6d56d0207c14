//! What should be closed and is open.
//!
//! The tests are rare, and each is a fact: these conditions open at the first sight and clear at the first test that shows
//! the opening closed, whatever the rules for the path say.

use super::case::{Case, Diagnosis};
use super::commands::plain_ping;
use super::coverage::Coverage;
use super::rule::{Rule, azure, note, run};
use crate::judge::describe;
use crate::model::{ExposureReport, FindingId, Opening, Passage, Severity, Stage, TlsSession, Trial};

/// A way in.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::PublicPathOpen,
        stage: Stage::Connect,
        denied_by: Coverage::PublicPath,
        severity: "2; 3 where the certificate is the cache's and no command was answered",
        title: "the public address answers, and the cache should be private",
        means: "Applications here use the private path, and the public path is open as well: a client with the key \
                needs no private network. It is tested only where exposure.public_resolver names a resolver for the \
                public answer.",
        told_apart: "An address of the public answer that this machine's own answer does not have is dialled. The path \
                     is open if it shows the cache's own certificate and answers PING, even with NOAUTH. A connection \
                     that is accepted and leads no \
                     further proves nothing: a shared entry point accepts TCP for many caches, and is no finding. A network without a way \
                     to the internet sees every public path closed.",
        on_the_wire: "SYN to a public address, a TLS handshake with the cache's certificate, PING, a reply. The password is sent \
                      only with exposure.send_credentials, behind a certificate that verified.",
        steps: |c| {
            vec![
                azure(c.private_endpoints_as("\"")),
                azure(c.disable_public_access()),
                note(
                    "Azure Managed Redis and Enterprise: az redisenterprise update -n NAME -g GROUP \
                     --public-network-access Disabled",
                )
                .filter(|_| c.is_sample()),
            ]
        },
    },
    Rule {
        id: FindingId::PlainPortOpen,
        stage: Stage::Connect,
        denied_by: Coverage::PlainPort,
        severity: "3",
        title: "the port without TLS is open",
        means: "The cache is used with TLS, and answers without it as well: a client that is configured wrong sends \
                its key unencrypted, without an error. It is tested only with exposure.plain_port.",
        told_apart: "Port 6379 of an address answers PING as Redis does, even with NOAUTH. A peer that accepts the \
                     connection and does not speak Redis is no finding: a proxy or a service mesh accepts for everyone.",
        on_the_wire: "PING in plain text on port 6379, a reply that begins with + or -. No password is ever sent there.",
        steps: |c| vec![azure(c.plain_port_state()), azure(c.close_plain_port())],
    },
];

/// An old version.
pub(super) const LEGACY_TLS: &[Rule] = &[Rule {
    id: FindingId::TlsLegacyAccepted,
    stage: Stage::Tls,
    denied_by: Coverage::LegacyTls,
    severity: "3",
    title: "TLS 1.0 or 1.1 is still accepted",
    means: "Both versions are broken and retired, and an audit will ask. Azure ended them for its caches; where one is still \
                accepted, the minimum version is set too low, or something else answers. It is tested only with exposure.legacy_tls.",
    told_apart: "A greeting that offers nothing newer is answered with a ServerHello of that version. An alert or a close is a \
                     refusal; silence and anything that is not TLS prove nothing.",
    on_the_wire: "ClientHello of version 3.1 or 3.2 on a connection of its own, ServerHello of the same version; the handshake is \
                      not ended.",
    steps: |c| vec![azure(c.show("minimumTlsVersion")), azure(c.raise_tls_version()), run(c.legacy_handshake())],
}];

pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let Some(exposure) = case.probe.and_then(|report| report.exposure.as_ref()) else { return };
    public_path(case, exposure, diagnosis);
    plain_port(case, exposure, diagnosis);
    legacy_tls(case, exposure, diagnosis);
}

/// Those tests of an opening that got through, with whether any got all the way.
fn passed(exposure: &ExposureReport, opening: Opening) -> (Vec<&Trial>, bool) {
    let passed = exposure.trials_of(opening).filter(|trial| matches!(trial.passage, Passage::Open | Passage::HalfOpen));
    let passed: Vec<_> = passed.collect();
    let is_open = passed.iter().any(|trial| trial.passage == Passage::Open);
    (passed, is_open)
}

fn public_path(case: &Case<'_>, exposure: &ExposureReport, diagnosis: &mut Diagnosis) {
    let (trials, is_open) = passed(exposure, Opening::PublicPath);
    if trials.is_empty() || !case.cache.expectation.is_private() {
        return;
    }
    let endpoint = case.cache.endpoint();
    let proved = trials.iter().any(|trial| trial.tls.is_some());
    let with_tls = if proved { "speaks TLS with the cache's own certificate" } else { "accepts TCP" };
    let (severity, did) = if is_open {
        (Severity::Degraded, format!("{with_tls} and answers commands: a client with the key needs no private network"))
    } else {
        (Severity::Risk, format!("{with_tls}, and answered no command"))
    };
    let summary = format!("{endpoint} should be private, and its public address {} {did}", places(&trials));
    let stage = if proved { Stage::Tls } else { Stage::Connect };
    let draft = case.finding(FindingId::PublicPathOpen, severity, stage, summary).evidences(observations(&trials));
    let draft = match &exposure.resolution {
        Some(resolution) => draft.evidence(describe::path(resolution)).evidence(describe::who(resolution)),
        None => draft,
    };
    let draft = if is_open {
        draft
    } else {
        draft.note(
            "whether the service admits a client there is not known: check in Azure first, and with a client \
                   that has the key",
        )
    };
    let draft = draft
        .note("first make sure that a private endpoint is approved: without one, no client can reach the cache")
        .azure(case.commands.private_endpoints())
        .azure(case.commands.show("publicNetworkAccess"))
        .azure(case.commands.disable_public_access());
    let draft = match case.commands.firewall_rules() {
        Some(rules) => draft.note("firewall rules may exclude others and admit this machine").run(rules),
        None => draft,
    };
    let place = trials[0].address.to_string();
    diagnosis.findings.push(draft.run(case.commands.dial(&place)).done());
}

fn plain_port(case: &Case<'_>, exposure: &ExposureReport, diagnosis: &mut Diagnosis) {
    let (trials, _) = passed(exposure, Opening::PlainPort);
    let Some(first) = trials.first() else { return };
    let port = case.endpoint.product.side_port().unwrap_or_default();
    let summary = format!(
        "{} has its port without TLS open: Redis answers at {} on port {port}, where the key and the data can be read on the way",
        case.cache.host,
        places(&trials),
    );
    let finding = case.finding(FindingId::PlainPortOpen, Severity::Risk, Stage::Connect, summary);
    diagnosis.findings.push(
        finding
            .evidences(observations(&trials))
            .note("first make sure that no client uses it: it would be cut off")
            .run(plain_ping(&first.address.to_string(), &port.to_string()))
            .azure(case.commands.plain_port_state())
            .azure(case.commands.close_plain_port())
            .done(),
    );
}

fn legacy_tls(case: &Case<'_>, exposure: &ExposureReport, diagnosis: &mut Diagnosis) {
    let (trials, _) = passed(exposure, Opening::LegacyTls);
    if trials.is_empty() {
        return;
    }
    let mut versions: Vec<_> = trials.iter().filter_map(|trial| trial.version).collect();
    versions.sort_unstable();
    versions.dedup();
    let versions: Vec<_> = versions.iter().map(|version| version.as_str()).collect();
    let summary = format!(
        "{} still accepts {}, which Azure and all standards have retired",
        case.cache.endpoint(),
        versions.join(" and ")
    );
    let finding = case.finding(FindingId::TlsLegacyAccepted, Severity::Risk, Stage::Tls, summary);
    diagnosis.findings.push(
        finding
            .evidences(observations(&trials))
            .note("first make sure that every client supports TLS 1.2 or newer: others would be cut off")
            .azure(case.commands.show("minimumTlsVersion"))
            .azure(case.commands.raise_tls_version())
            .run(case.commands.legacy_handshake())
            .done(),
    );
}

/// `20.50.1.10 (public)`, each address once.
fn places(trials: &[&Trial]) -> String {
    let mut places: Vec<_> = trials.iter().map(|trial| format!("{} ({})", trial.address, trial.class)).collect();
    places.dedup();
    places.join(", ")
}

/// What each test saw, a line each.
fn observations(trials: &[&Trial]) -> Vec<String> {
    let observation = |trial: &&Trial| {
        let redirected =
            if trial.dialled.ip() == trial.address { String::new() } else { format!(", dialled as {}", trial.dialled) };
        let port = trial.dialled.port();
        let version = trial.version.map_or_else(String::new, |version| format!(" {version}"));
        let leaf = trial.tls.as_ref().filter(|session| session.verified).and_then(TlsSession::leaf);
        let proof = leaf.map_or_else(String::new, |leaf| format!(" TLS with the certificate \"{}\";", leaf.subject));
        format!(
            "{} ({}{redirected}), port {port}: accepted TCP;{proof}{version} {}",
            trial.address, trial.class, trial.detail
        )
    };
    trials.iter().map(observation).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::judge::Watch;
    use crate::judge::tests::{HOST, PRIVATELINK, cache, failed, healthy, leg, report, resolution, story, verdict};
    use crate::model::{
        AddressClass, Cache, Expectation, Exposure, FaultKind, LegacyVersion, ProbeReport, Resolver, Rules, WireText,
    };

    /// The public answer of a cache that is led to its private address here.
    const PUBLIC: &str = "20.1.2.3";

    /// A cache that has everything tested.
    fn exposed() -> Cache {
        let exposure = Exposure {
            public_resolver: Some(Resolver::System),
            send_credentials: false,
            plain_port: true,
            legacy_tls: true,
            interval: Duration::from_mins(15),
        };
        Cache { exposure, ..cache() }
    }

    fn trial(opening: Opening, passage: Passage) -> Trial {
        let (address, port) = match opening {
            Opening::PublicPath => (PUBLIC, 6380),
            Opening::PlainPort => ("10.20.1.4", 6379),
            Opening::LegacyTls => ("10.20.1.4", 6380),
        };
        let address: IpAddr = address.parse().unwrap();
        let proved = opening == Opening::PublicPath && matches!(passage, Passage::Open | Passage::HalfOpen);
        Trial {
            opening,
            version: (opening == Opening::LegacyTls).then_some(LegacyVersion::Tls11),
            address,
            class: AddressClass::of(address),
            dialled: (address, port).into(),
            passage,
            stage: Stage::Connect,
            detail: WireText::new("words of the test"),
            tls: leg(PUBLIC).tls.filter(|_| proved),
            took: Duration::from_millis(1),
        }
    }

    /// A round on the path `of` that has tested everything, with these outcomes in the order of the openings.
    fn tested(of: ProbeReport, passages: [Passage; 3]) -> ProbeReport {
        let trials = Opening::ALL.iter().zip(passages).map(|(opening, passage)| trial(*opening, passage)).collect();
        let resolution = Some(resolution(&[PRIVATELINK], &[PUBLIC]));
        ProbeReport { exposure: Some(ExposureReport { resolution, trials, took: Duration::ZERO }), ..of }
    }

    #[test]
    fn what_should_be_closed_and_is_open_is_told() {
        use Passage::{Closed, HalfOpen, Open, Unclear};
        let table: &[([Passage; 3], &[&str])] = &[
            ([Closed, Closed, Closed], &[]),
            ([Unclear, Unclear, Unclear], &[]),
            ([Open, Closed, Closed], &["public-path-open 2"]),
            ([HalfOpen, Closed, Closed], &["public-path-open 3"]),
            ([Closed, Open, Closed], &["plain-port-open 3"]),
            ([Closed, Closed, Open], &["tls-legacy-accepted 3"]),
            ([Open, Open, Open], &["public-path-open 2", "plain-port-open 3", "tls-legacy-accepted 3"]),
        ];
        let elsewhere = Cache { host: "cache.example.com".into(), ..exposed() };
        for (passages, expected) in table {
            let report = tested(healthy(), *passages);
            assert_eq!(verdict(&exposed(), &report), *expected, "{passages:?}");
            assert_eq!(verdict(&elsewhere, &report), *expected, "{passages:?}");
        }
        let unasserted = Cache { expectation: Expectation::default(), ..exposed() };
        assert_eq!(
            verdict(&unasserted, &tested(healthy(), [Open, Closed, Closed])),
            [""; 0],
            "nobody said it is private"
        );
    }

    #[test]
    fn the_commands_that_close_it_are_those_of_the_product() {
        let remedies = |host: &str| {
            let cache =
                Cache { host: host.into(), port: 10000, rules: Rules { open_after: 1, clear_after: 1 }, ..exposed() };
            let mut watch = Watch::default();
            let _ = watch.probed(&cache, &tested(healthy(), [Passage::Open; 3]), false);
            let lines = watch.open().into_iter().flat_map(|finding| finding.remedy_lines());
            lines.filter(|line| line.contains(" update ")).collect::<Vec<_>>()
        };
        assert_eq!(
            remedies(HOST),
            [
                "az redis update -n orders -g <resource-group> --set publicNetworkAccess=Disabled",
                "az redis update -n orders -g <resource-group> --set enableNonSslPort=false",
                "az redis update -n orders -g <resource-group> --set minimumTlsVersion=1.2",
            ]
        );
        assert_eq!(
            remedies("orders.westeurope.redis.azure.net"),
            [
                "az redisenterprise update -n orders -g <resource-group> --public-network-access Disabled",
                "az redisenterprise update -n orders -g <resource-group> --minimum-tls-version 1.2",
            ]
        );
    }

    /// The tests are rare: a finding opens with the first that shows it, stays through rounds without a test and tests that
    /// could not tell, and clears with the first that shows it closed.
    #[test]
    fn an_opening_stays_open_until_a_test_shows_it_closed() {
        use Passage::{Closed, Open, Unclear};
        let frozen = || {
            let silent = vec![failed("10.20.1.4", Stage::Tls, FaultKind::Timeout)];
            report(resolution(&[PRIVATELINK], &["10.20.1.4"]), silent)
        };
        let rounds = [
            tested(healthy(), [Open, Closed, Closed]),
            healthy(),
            healthy(),
            tested(healthy(), [Unclear, Closed, Closed]),
            tested(frozen(), [Closed; 3]),
            tested(healthy(), [Closed; 3]),
        ];
        let expected: [&[&str]; 6] =
            [&["finding_opened public-path-open"], &[], &[], &[], &[], &["finding_cleared public-path-open"]];
        assert_eq!(story(&exposed(), &rounds), expected);
    }

    #[test]
    fn an_opening_that_is_tested_no_longer_is_held_against_nobody() {
        let mut watch = Watch::default();
        let _ = watch.probed(&exposed(), &tested(healthy(), [Passage::Open; 3]), false);
        assert_eq!(watch.open().len(), 3);
        let _ = watch.probed(&cache(), &healthy(), false);
        assert_eq!(watch.open(), []);
    }
}
