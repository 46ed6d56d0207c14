//! Causes in this machine, its network and this program.

use super::case::Case;
use super::coverage::Coverage;
use super::rule::{Rule, note, run};
use crate::azure::TCP_SETTINGS;
use crate::model::{CacheName, Fault, Finding, FindingId, ProbeReport, Severity, Stage, Step, Sysctl, Timestamp};

/// What a connection or a lookup lacks here.
pub(super) const EXHAUSTION: &[Rule] = &[Rule {
    id: FindingId::LocalExhaustion,
    stage: Stage::Connect,
    denied_by: Coverage::Dial,
    severity: "2 at a connection; 1 at a lookup",
    title: "this machine ran out of sockets, ports or memory",
    means: "The cache is not at fault: no new connection can be opened from here, to anyone.",
    told_apart: "The kernel says EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS or ENOMEM before any packet is sent.",
    on_the_wire: "Nothing.",
    steps: |_| vec![run("ss -s"), run("cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/fs/file-nr")],
}];

/// What is about no cache.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::MonitorOffline,
        stage: Stage::Connect,
        denied_by: Coverage::Lookup,
        severity: "1",
        title: "this machine is offline",
        means: "Nothing is reached from here, so nothing is known about the caches. Findings about them are held back: they \
                neither open nor clear.",
        told_apart: "No address of the cache is reached, the control target (probe.control) is not either, and no other cache \
                     has been since. Without a control target it is not judged.",
        on_the_wire: "Lookups or connections that fail, to everyone.",
        steps: |c| {
            vec![
                run("ip address; ip route"),
                run(format!(
                    "nc -vz -w 5 {}",
                    c.blank("CONTROL-ADDRESS CONTROL-PORT", "<control-address> <control-port>")
                )),
            ]
        },
    },
    Rule {
        id: FindingId::HostTcpTuning,
        stage: Stage::Connect,
        denied_by: Coverage::Lookup,
        severity: "4",
        title: "the kernel's TCP settings notice a broken connection late",
        means: "After a failover an application may go on writing into a connection that is gone, for a quarter of an hour with \
                the defaults of Linux. It concerns this machine, not a cache: the daemon reports it, `check` does not.",
        told_apart: "net.ipv4.tcp_retries2 (recommended: 5) and the keepalive settings, read below /proc/sys.",
        on_the_wire: "Nothing.",
        steps: |_| {
            vec![
                run("sysctl -w net.ipv4.tcp_retries2=5"),
                note("and in /etc/sysctl.d/, so that it stays"),
                note(
                    "in a pod: spec.securityContext.sysctls of the application's pod, where the kubelet allows it (AKS: allowedUnsafeSysctls in the kubelet configuration of the node pool)",
                ),
            ]
        },
    },
    Rule {
        id: FindingId::ProbesSkipped,
        stage: Stage::Connect,
        denied_by: Coverage::Lookup,
        severity: "3",
        title: "probes are skipped",
        means: "More probes are due than the daemon may run at once, most often because many caches do not answer and each takes \
                its whole deadline. A skipped probe sees nothing: findings open and clear later. It concerns the daemon, not a cache: the daemon reports it, `check` does not.",
        told_apart: "A probe was due while the one before of the same cache still ran, or waited for its place, within the last \
                     minute (cachewatch_probes_skipped_total).",
        on_the_wire: "Nothing: the probe is not sent.",
        steps: |_| {
            vec![
                note(
                    "raise probe.max_in_flight, or lower probe.timeout, or lengthen probe.interval; or share the caches among daemons",
                ),
                run("curl -s http://127.0.0.1:9847/metrics | grep -E 'probes_skipped|probes_in_flight|probe_lateness'"),
            ]
        },
    },
    Rule {
        id: FindingId::ProbeFailed,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookup,
        severity: "2",
        title: "the probe itself failed",
        means: "A defect of cachewatch: nothing is known about this cache. Please report it with the log.",
        told_apart: "The probe panicked; the log has where.",
        on_the_wire: "Nothing that can be relied on.",
        steps: |_| vec![note("report it, with the lines of the log around it")],
    },
];

/// The probe broke, so nothing is known.
pub(super) fn probe_failed(case: &Case<'_>, fault: &Fault) -> Finding {
    let summary = "the probe itself failed, so nothing is known about this cache".to_owned();
    let finding = case.finding(FindingId::ProbeFailed, Severity::Degraded, Stage::Resolve, summary);
    finding.evidence(fault.detail.to_string()).done()
}

/// Nothing is reached from here: not this cache, not the control target, and no other cache.
pub(super) fn offline(case: &Case<'_>, report: &ProbeReport, others_reach: bool) -> Option<Finding> {
    let cache = case.cache;
    if report.reached_anything() || report.control_reached != Some(false) || others_reach {
        return None;
    }
    let control = cache.control?;
    let summary = format!(
        "this machine is offline: neither {} nor the control target {control} is reached from here, nor any other cache",
        cache.endpoint()
    );
    let finding = case.finding(FindingId::MonitorOffline, Severity::Unavailable, Stage::Connect, summary);
    let faults = report.faults().map(|fault| format!("{} at {}: {}", fault.kind, fault.stage, fault.detail));
    Some(
        finding
            .evidences(faults)
            .evidence(format!("the control target {control} does not accept a connection"))
            .run("ip address; ip route")
            .run(format!("nc -vz -w 5 {} {}", control.ip(), control.port()))
            .note("findings about caches are held back until this machine reaches a target again")
            .done(),
    )
}

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
        summary: format!("{skipped} of {} probes that were due within a minute were skipped", started + skipped),
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
    use crate::judge::Watch;
    use crate::judge::tests::{PRIVATELINK, cache, failed, healthy, no_address, report, resolution};
    use crate::model::{Cache, FaultKind, Rules};

    #[test]
    fn probes_that_are_left_out_are_told_for_as_long_as_they_are() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        assert_eq!(probes_skipped((100, 0), 64, at, None), None);
        let finding = probes_skipped((63, 37), 64, at, None).unwrap();
        assert_eq!(finding.summary, "37 of 100 probes that were due within a minute were skipped");
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

    #[test]
    fn a_machine_that_reaches_nothing_blames_no_cache() {
        let at_once = Cache {
            control: Some("10.0.0.4:53".parse().unwrap()),
            rules: Rules { open_after: 1, clear_after: 1 },
            ..cache()
        };
        let offline = |control_reached| ProbeReport { control_reached, ..no_address(&[], FaultKind::Timeout) };
        let verdict = |report: &ProbeReport, others_reach| {
            let mut watch = Watch::default();
            let _ = watch.probed(&at_once, report, others_reach);
            watch.open().iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(verdict(&offline(Some(false)), false), ["monitor-offline"]);
        assert_eq!(verdict(&offline(Some(true)), false), ["dns-timeout"]);
        assert_eq!(verdict(&offline(Some(false)), true), ["dns-timeout"], "another cache is reached from here");
        assert_eq!(verdict(&offline(None), false), ["dns-timeout"], "nobody asked the control target");

        // What was open before is held back: it neither clears nor is anything else opened beside it.
        let mut watch = Watch::default();
        let refused = report(
            resolution(&[PRIVATELINK], &["10.20.1.4"]),
            vec![failed("10.20.1.4", Stage::Connect, FaultKind::Refused)],
        );
        let open = |watch: &Watch| watch.open().iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>();
        let _ = watch.probed(&at_once, &refused, false);
        let _ = watch.probed(&at_once, &offline(Some(false)), false);
        assert_eq!(open(&watch), ["tcp-refused", "monitor-offline"]);
        let _ = watch.probed(&at_once, &healthy(), false);
        assert_eq!(open(&watch), [""; 0]);
    }
}
