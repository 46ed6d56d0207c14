//! A name that is found, and late: what an application waits for.

use std::time::Duration;

use super::case::{Case, Diagnosis};
use super::coverage::Coverage;
use super::rule::{Rule, note, run};
use crate::model::{ApplicationLookup, ApplicationWait, FindingId, RecordType, Resolution, Severity, Stage};

pub(super) const RULES: &[Rule] = &[Rule {
    id: FindingId::DnsSlow,
    stage: Stage::Resolve,
    denied_by: Coverage::Answer,
    severity: "3",
    title: "an application waits long for the name",
    means: "Each new connection of an application begins with this wait, however quick the cache is. The time is that of the C \
            library (glibc) with the files and name servers of this machine, and not that of this lookup, which asks side by side.",
    told_apart: "The library returns addresses, and later than thresholds.slow_lookup. The evidence names each server, type and \
                 name of the search list that costs time.",
    on_the_wire: "A question without an answer, or with a late one, before the one that is answered.",
    steps: |c| {
        vec![
            run("cat /etc/resolv.conf".to_owned()),
            note("a server without an answer: mend it, or take it out of resolv.conf"),
            note(
                "AAAA without an answer: options single-request-reopen, or no-aaaa where nothing needs IPv6 (glibc 2.36)",
            ),
            note("names of the search list: lower ndots (in Kubernetes: dnsConfig.options)"),
            run(c.nslookup(None)),
        ]
    },
}];

/// The way that is followed is this machine's own, and it is slow.
pub(super) fn diagnose(case: &Case<'_>, resolution: &Resolution, diagnosis: &mut Diagnosis) {
    let threshold = case.cache.thresholds.slow_lookup;
    let slow = resolution.application.as_ref().filter(|lookup| lookup.success && lookup.took > threshold);
    let Some(lookup) = slow else { return };
    let host = &case.cache.host;
    let summary = format!(
        "an application waits {} for the address of {host} ({}), longer than {}",
        seconds(lookup.took),
        lookup.libc,
        seconds(threshold)
    );
    let finding = case.finding(FindingId::DnsSlow, Severity::Risk, Stage::Resolve, summary);
    let finding = finding.evidences(lookup.waits.iter().map(told)).run("cat /etc/resolv.conf");
    diagnosis.findings.push(finding.notes(cures(host, lookup)).run(case.commands.nslookup(None)).done());
}

/// One wait, in words.
fn told(wait: &ApplicationWait) -> String {
    let record_type = wait.record_type.map_or("A and AAAA", RecordType::as_str);
    format!("{} for {} ({record_type}) from {}: {}", seconds(wait.waited), wait.name, wait.server, wait.ended)
}

/// What helps against the waits there are.
fn cures(host: &str, lookup: &ApplicationLookup) -> Vec<String> {
    let is_searched = |wait: &&ApplicationWait| !wait.name.as_str().eq_ignore_ascii_case(host);
    let mut cures = Vec::new();
    if lookup.waits.iter().any(|wait| is_searched(&wait)) {
        cures.push(
            "lower ndots (in Kubernetes: dnsConfig.options), so that the name is tried as it stands first".to_owned(),
        );
    }
    let own: Vec<_> = lookup.waits.iter().filter(|wait| !is_searched(wait)).collect();
    let is_of_aaaa = |wait: &&&ApplicationWait| wait.record_type == Some(RecordType::Aaaa);
    if own.iter().any(|wait| is_of_aaaa(&wait)) {
        cures.push(
            "a question for AAAA stays without an answer: set options single-request-reopen in resolv.conf, or no-aaaa \
             where nothing needs IPv6 (glibc 2.36)"
                .to_owned(),
        );
    }
    let mut servers: Vec<_> = own.iter().filter(|wait| !is_of_aaaa(wait)).map(|wait| wait.server).collect();
    servers.sort_unstable();
    servers.dedup();
    cures.extend(servers.iter().map(|server| {
        format!("mend the name server {}, or take it out of resolv.conf; a local cache of answers (NodeLocal DNSCache in Kubernetes) hides it", server.ip())
    }));
    cures
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{PRIVATELINK, cache, leg, report, resolution, verdict};
    use crate::model::{Libc, WireText};

    #[test]
    fn a_late_answer_is_told_with_what_costs_the_time() {
        let waits = |seconds: u64, name: &str, record_type| {
            let server = "10.0.0.4:53".parse().unwrap();
            let waited = Duration::from_secs(seconds);
            ApplicationWait {
                server,
                name: WireText::new(name),
                record_type,
                waited,
                ended: WireText::new("no answer"),
            }
        };
        let round = |success, took, wait: ApplicationWait| {
            let took = Duration::from_millis(took);
            let application = Some(ApplicationLookup { libc: Libc::Glibc, success, took, waits: vec![wait] });
            let resolution = Resolution { application, ..resolution(&[PRIVATELINK], &["10.20.1.4"]) };
            report(resolution, vec![leg("10.20.1.4")])
        };
        let own = || waits(5, &cache().host, None);
        assert_eq!(verdict(&cache(), &round(true, 1_000, own())), [""; 0]);
        assert_eq!(verdict(&cache(), &round(true, 5_001, own())), ["dns-slow 3"]);
        assert_eq!(verdict(&cache(), &round(false, 5_001, own())), [""; 0], "a failure has a finding of its own");

        let cures = |wait| {
            let took = Duration::from_secs(5);
            cures(&cache().host, &ApplicationLookup { libc: Libc::Glibc, success: true, took, waits: vec![wait] })
                .join("; ")
        };
        assert!(cures(own()).starts_with("mend the name server 10.0.0.4, or take it out"), "{}", cures(own()));
        let aaaa = waits(5, &cache().host, Some(RecordType::Aaaa));
        assert!(cures(aaaa.clone()).contains("single-request-reopen") && !cures(aaaa).contains("mend"));
        let searched = waits(5, "orders.redis.cache.windows.net.corp.example", None);
        assert!(cures(searched).starts_with("lower ndots"));
    }
}
