//! Causes in the numbers that the server gives: clients against their limit, and time.

use std::time::Duration;

use super::case::{Case, Diagnosis, place};
use super::coverage::Coverage;
use super::rule::{Rule, azure, run};
use crate::judge::describe;
use crate::judge::memory::Memory;
use crate::model::{Clients, FindingId, Severity, Stage};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::ClientsHeadroomLow,
        stage: Stage::Inspect,
        denied_by: Coverage::Info,
        severity: "3 at 75 %, 2 at 90 % (configurable)",
        title: "the client limit is near",
        means: "When the limit is reached, new connections are turned away: the next deployment or restart is the outage.",
        told_apart: "connected_clients of INFO against the limit, and the limit's source: configuration, server or tier.",
        on_the_wire: "INFO.",
        steps: |c| vec![run(c.redis_cli("CLIENT LIST")), azure(c.metric("connectedclients"))],
    },
    Rule {
        id: FindingId::ConnectionsRejected,
        stage: Stage::Inspect,
        denied_by: Coverage::Info,
        severity: "2",
        title: "the server turned connections away since the last round",
        means: "The client limit was hit between two probes, even if there is room again.",
        told_apart: "rejected_connections of INFO rose within one process (the same run_id).",
        on_the_wire: "INFO.",
        steps: |c| vec![azure(c.metric("connectedclients --aggregation Maximum"))],
    },
    Rule {
        id: FindingId::ClientsLimitMismatch,
        stage: Stage::Inspect,
        denied_by: Coverage::Info,
        severity: "4",
        title: "the configured tier and the server disagree about the client limit",
        means: "The headroom is computed with the wrong limit, or the cache was scaled and the configuration was not updated.",
        told_apart: "maxclients of INFO differs from the limit of the configured tier.",
        on_the_wire: "INFO.",
        steps: |c| vec![azure(c.sku_and_limit())],
    },
    Rule {
        id: FindingId::ClockSkew,
        stage: Stage::Inspect,
        denied_by: Coverage::Time,
        severity: "3",
        title: "the clocks of this machine and of the server differ",
        means: "Certificates and tokens are checked against the clock of this machine: a wrong clock rejects valid ones.",
        told_apart: "The server's time (server_time_usec of INFO, else TIME) less the time here, beyond 30 seconds.",
        on_the_wire: "INFO, or TIME.",
        steps: |_| vec![run("timedatectl status")],
    },
];

pub(super) fn diagnose(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    headroom(case, memory, diagnosis);
    rejected(case, memory, diagnosis);
    limit_mismatch(case, diagnosis);
    clock_skew(case, diagnosis);
}

fn headroom(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some((leg, _, Some(clients))) = case.busiest() else { return };
    let Some(free) = clients.headroom() else { return };
    let used = 1.0 - free;
    let thresholds = &case.cache.thresholds;
    let (severity, threshold) = if used >= thresholds.headroom_critical {
        (Severity::Degraded, thresholds.headroom_critical)
    } else if used >= thresholds.headroom_warning {
        (Severity::Risk, thresholds.headroom_warning)
    } else {
        return;
    };
    let summary = format!(
        "{} has {}: {} in use, the threshold is {}",
        case.cache.endpoint(),
        describe::clients(clients),
        describe::percent(used),
        describe::percent(threshold)
    );
    let finding = case.finding(FindingId::ClientsHeadroomLow, severity, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: {}", place(leg, case.cache.port), describe::clients(clients)))
            .evidences(forecast(clients, memory))
            .note("find the client that holds too many connections, or scale to a tier with a higher limit")
            .run(case.clients_by_address())
            .azure(case.commands.metric_by_minute("connectedclients"))
            .done(),
    );
}

/// When the limit is reached if the number of clients goes on rising as it has.
fn forecast(clients: Clients, memory: &Memory) -> Option<String> {
    let (limit, _) = clients.limit?;
    let left = memory.forecast.exhaustion(limit)?;
    let left = Duration::from_mins(left.as_secs() / 60);
    let when =
        if left.is_zero() { "within a minute".to_owned() } else { format!("in {}", humantime::format_duration(left)) };
    Some(format!("at the present rate the limit is reached {when}"))
}

/// The server turned connections away since the last round.
fn rejected(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some((leg, server, _)) = case.busiest() else { return };
    let (Some(now), Some((process, before))) = (server.rejected_connections, &memory.persisted.rejected) else {
        return;
    };
    if server.run_id != *process || now <= *before {
        return;
    }
    let summary = format!("{} has rejected {} connections since the last round", case.cache.endpoint(), now - before);
    let finding = case.finding(FindingId::ConnectionsRejected, Severity::Degraded, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: rejected_connections went from {before} to {now}", place(leg, case.cache.port)))
            .note("the client limit was hit in between: see the clients' metric for the peak")
            .azure(case.commands.metric_by_minute("connectedclients"))
            .done(),
    );
}

/// The tier says one limit and the server another.
fn limit_mismatch(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let Some((leg, server, _)) = case.busiest() else { return };
    let (Some((tier, expected)), Some(reported)) = (&case.cache.tier, server.max_clients) else { return };
    if *expected == reported {
        return;
    }
    let summary = format!(
        "{} is configured as tier {tier}, which admits {expected} clients, and the server says {reported}",
        case.cache.endpoint()
    );
    let finding = case.finding(FindingId::ClientsLimitMismatch, Severity::Advice, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: maxclients of INFO is {reported}", place(leg, case.cache.port)))
            .note("the tier in the configuration is out of date, or the limit was changed: correct caches.tier, or set max_clients")
            .azure(case.commands.sku_and_limit())
            .done(),
    );
}

/// The clock here and the server's are apart.
fn clock_skew(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    /// Seconds that tell a wrong clock from a slow answer.
    const TELLING: u64 = 30;
    let told = case.used_legs().filter_map(|leg| Some((leg, leg.server.as_ref()?.clock_skew_seconds?)));
    let Some((leg, skew)) = told.max_by_key(|(_, skew)| skew.unsigned_abs()) else { return };
    if skew.unsigned_abs() <= TELLING {
        return;
    }
    let direction = if skew > 0 { "behind" } else { "ahead of" };
    let summary = format!(
        "the clock of this machine is {} seconds {direction} that of {}: certificates and tokens are checked against it",
        skew.unsigned_abs(),
        case.cache.endpoint()
    );
    let finding = case.finding(FindingId::ClockSkew, Severity::Risk, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: its time less ours is {skew} s", place(leg, case.cache.port)))
            .run("timedatectl status")
            .note("Azure keeps its clocks; make sure that time synchronisation runs here (chrony, systemd-timesyncd)")
            .done(),
    );
}

#[cfg(test)]
mod tests {
    use crate::judge::Watch;
    use crate::judge::tests::{PRIVATELINK, cache, leg, report, resolution, story, verdict};
    use crate::model::{Cache, Rules, ServerFacts, WireText};

    #[test]
    fn a_remedy_names_this_cache_and_its_own_tools() {
        let remedies = |cache: &Cache| {
            let mut busy = leg("10.20.1.4");
            busy.server.as_mut().unwrap().connected_clients = Some(95);
            let mut watch = Watch::default();
            let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache.clone() };
            let _ = watch.probed(&at_once, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![busy]), false);
            watch.open().remove(0).remedy_lines()
        };
        assert_eq!(
            remedies(&cache()),
            [
                "# find the client that holds too many connections, or scale to a tier with a higher limit",
                "redis-cli -h orders.redis.cache.windows.net -p 6380 --tls --sni orders.redis.cache.windows.net CLIENT LIST \
                 | grep -o ' addr=[^:]*' | sort | uniq -c | sort -rn | head",
                "az monitor metrics list --resource $(az redis show -n orders -g <resource-group> --query id -o tsv) \
                 --metric connectedclients --interval PT1M --aggregation Maximum -o table",
            ]
        );
        let elsewhere = Cache { host: "cache.example.com".into(), ..cache() };
        assert!(remedies(&elsewhere).iter().all(|command| !command.contains("az ")), "{:?}", remedies(&elsewhere));
    }

    #[test]
    fn what_the_server_says_of_limit_and_time_is_compared() {
        let said = |change: fn(&mut ServerFacts)| {
            let mut leg = leg("10.20.1.4");
            change(leg.server.as_mut().unwrap());
            let cache = Cache { tier: Some(("P1".into(), 7_500)), ..cache() };
            verdict(&cache, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg]))
        };
        assert_eq!(said(|server| server.max_clients = Some(7_500)), [""; 0]);
        assert_eq!(said(|server| server.max_clients = None), [""; 0]);
        assert_eq!(said(|server| server.max_clients = Some(10_000)), ["clients-limit-mismatch 4"]);
        let skewed = |seconds| {
            let mut leg = leg("10.20.1.4");
            leg.server.as_mut().unwrap().clock_skew_seconds = Some(seconds);
            verdict(&cache(), &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg]))
        };
        assert_eq!(skewed(-30), [""; 0]);
        assert_eq!(skewed(31), ["clock-skew 3"]);
        assert_eq!(skewed(-4_000), ["clock-skew 3"]);
    }

    #[test]
    fn rejected_connections_count_within_one_process() {
        let at = |process: &str, rejected| {
            let mut leg = leg("10.20.1.4");
            let server = leg.server.as_mut().unwrap();
            server.run_id = Some(WireText::new(process));
            server.rejected_connections = Some(rejected);
            report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg])
        };
        let cache = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
        assert_eq!(
            story(&cache, &[at("one", 7), at("one", 9), at("one", 9), at("two", 50)]),
            [
                vec![],
                vec!["finding_opened connections-rejected".to_owned()],
                vec!["finding_cleared connections-rejected".to_owned()],
                vec![]
            ]
        );
    }
}
