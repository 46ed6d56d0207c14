//! What should be closed and is open.
//!
//! The tests are rare, and each is a fact: these conditions open at the first sight and clear at the first test that shows
//! the opening closed, whatever the rules for the path say.

use super::{Case, Diagnosis, narrate};
use crate::model::{
    Cache, ExposureReport, FindingId, Opening, Passage, ProbeReport, Rules, Severity, Stage, TlsSession, Trial,
};

pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let Some(exposure) = case.probe.and_then(|report| report.exposure.as_ref()) else { return };
    public_path(case, exposure, diagnosis);
    plain_port(case, exposure, diagnosis);
    legacy_tls(case, exposure, diagnosis);
}

/// Whether this round told of an opening. Nobody tells of one that is tested no longer, and so nothing is held against it.
pub(super) fn is_seen(cache: &Cache, report: &ProbeReport, opening: Opening) -> bool {
    !cache.exposure.tests(opening) || report.exposed(opening).is_some()
}

/// When a condition opens and clears: at once where it rests on a rare test, else as the rules of the cache say.
pub(in crate::judge) fn rules(id: FindingId, rules: Rules) -> Rules {
    match id {
        FindingId::PublicPathOpen | FindingId::PlainPortOpen | FindingId::TlsLegacyAccepted => {
            Rules { open_after: 1, clear_after: 1 }
        }
        _ => rules,
    }
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
        (Severity::Degraded, format!("{with_tls} and answers commands: who has the key needs no private network"))
    } else {
        (Severity::Risk, format!("{with_tls}, and answered no command"))
    };
    let summary = format!("{endpoint} should be private, and its public address {} {did}", places(&trials));
    let stage = if proved { Stage::Tls } else { Stage::Connect };
    let draft = case.finding(FindingId::PublicPathOpen, severity, stage, summary).evidences(observations(&trials));
    let draft = match &exposure.resolution {
        Some(resolution) => draft.evidence(narrate::path(resolution)).evidence(narrate::who(resolution)),
        None => draft,
    };
    let draft = if is_open {
        draft
    } else {
        draft
            .note("whether the service lets a client in there is not known: ask Azure first, and a client with the key")
    };
    let draft = draft
        .note("first see that a private endpoint is approved: without one nobody reaches the cache any more")
        .azure(case.private_endpoints())
        .azure(case.show("publicNetworkAccess"))
        .azure(case.disable_public_access());
    let draft = match case.firewall_rules() {
        Some(rules) => draft.note("firewall rules may leave others out and let this machine in").run(rules),
        None => draft,
    };
    let place = trials[0].address.to_string();
    diagnosis.findings.push(draft.run(case.dial(&place)).done());
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
            .note("first see that no client uses it: it would be cut off")
            .run(format!("printf 'PING\\r\\n' | nc -w 3 {} {port}", first.address))
            .azure(case.show("enableNonSslPort"))
            .azure(case.close_plain_port())
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
        "{} still accepts {}, which Azure and every standard have given up",
        case.cache.endpoint(),
        versions.join(" and ")
    );
    let finding = case.finding(FindingId::TlsLegacyAccepted, Severity::Risk, Stage::Tls, summary);
    diagnosis.findings.push(
        finding
            .evidences(observations(&trials))
            .note("first see that every client speaks TLS 1.2 or newer: others would be cut off")
            .azure(case.show("minimumTlsVersion"))
            .azure(case.raise_tls_version())
            .run(format!("{} -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null", case.openssl()))
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
