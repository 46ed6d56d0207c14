//! Judges this machine, apart from any cache.

use crate::azure::TCP_SETTINGS;
use crate::model::{CacheName, Finding, FindingId, Severity, Stage, Step, Sysctl, Timestamp};

/// After the commands. A pod has settings of its own, which no shell inside may change.
const NOTES: [&str; 2] = [
    "and in /etc/sysctl.d/, so that it stays; a program can set the keepalive of its own sockets",
    "in a pod: spec.securityContext.sysctls of the application's pod, where the kubelet allows it (AKS: \
     allowedUnsafeSysctls in the kubelet configuration of the node pool)",
];

/// What is to be said of the kernel's TCP settings; `since` of an advice that stands already is kept.
#[must_use]
pub fn tcp_tuning(settings: &[Sysctl], at: Timestamp, before: Option<&Finding>) -> Option<Finding> {
    let value = |name| settings.iter().find(|setting| setting.name == name).map(|setting| setting.value);
    let over: Vec<_> = TCP_SETTINGS
        .iter()
        .filter_map(|setting| value(setting.name).map(|value| (setting, value)))
        .filter(|(setting, value)| *value > setting.recommended)
        .collect();
    let (worst, value) = *over.first()?;
    Some(Finding {
        id: FindingId::HostTcpTuning,
        severity: Severity::Advice,
        cache: CacheName::new(CacheName::MACHINE),
        stage: Stage::Connect,
        summary: format!(
            "net.ipv4.{} is {value} on this machine, and {} is recommended: applications notice a broken connection late",
            worst.name, worst.recommended
        ),
        evidence: over
            .iter()
            .map(|(setting, value)| {
                format!("net.ipv4.{} = {value}, recommended {}: {}", setting.name, setting.recommended, setting.why)
            })
            .collect(),
        remedy: over
            .iter()
            .map(|(setting, _)| Step::Run(format!("sysctl -w net.ipv4.{}={}", setting.name, setting.recommended)))
            .chain(NOTES.map(|words| Step::Note(words.to_owned())))
            .collect(),
        since: before.map_or(at, |finding| finding.since),
    })
}

/// What is to be said where probes were left out: so many were started and so many left out since the last look.
#[must_use]
pub fn probes_skipped(
    (started, skipped): (u64, u64),
    max_in_flight: usize,
    at: Timestamp,
    before: Option<&Finding>,
) -> Option<Finding> {
    if skipped == 0 {
        return None;
    }
    Some(Finding {
        id: FindingId::ProbesSkipped,
        severity: Severity::Risk,
        cache: CacheName::new(CacheName::MACHINE),
        stage: Stage::Connect,
        summary: format!("{skipped} of {} probes that were due within a minute were left out", started + skipped),
        evidence: vec![format!("at most {max_in_flight} run at once (probe.max_in_flight)")],
        remedy: [
            "raise probe.max_in_flight, or lower probe.timeout: each cache that does not answer takes all of it",
            "or lengthen probe.interval, or share the caches among several daemons",
        ]
        .map(|words| Step::Note(words.to_owned()))
        .into(),
        since: before.map_or(at, |finding| finding.since),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_that_are_left_out_are_told_for_as_long_as_they_are() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        assert_eq!(probes_skipped((100, 0), 64, at, None), None);
        let finding = probes_skipped((63, 37), 64, at, None).unwrap();
        assert_eq!(finding.summary, "37 of 100 probes that were due within a minute were left out");
        let later = probes_skipped((1, 1), 64, at.plus(std::time::Duration::from_mins(1)), Some(&finding)).unwrap();
        assert_eq!((later.since, later.severity), (at, Severity::Risk));
    }

    #[test]
    fn defaults_of_linux_are_worth_an_advice_and_the_recommended_values_are_not() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let settings = |values: [u64; 4]| {
            TCP_SETTINGS
                .iter()
                .zip(values)
                .map(|(setting, value)| Sysctl { name: setting.name, value })
                .collect::<Vec<_>>()
        };
        let advice = tcp_tuning(&settings([15, 7200, 75, 9]), at, None).unwrap();
        assert_eq!((advice.severity, advice.evidence.len(), advice.remedy.len()), (Severity::Advice, 4, 6));
        assert_eq!(tcp_tuning(&settings([5, 60, 10, 5]), at, None), None);
        let later =
            tcp_tuning(&settings([15, 60, 10, 5]), at.plus(std::time::Duration::from_mins(1)), Some(&advice)).unwrap();
        assert_eq!((later.since, later.evidence.len()), (at, 1));
        assert_eq!(tcp_tuning(&[], at, None), None, "a sandbox that hides them");
    }
}
