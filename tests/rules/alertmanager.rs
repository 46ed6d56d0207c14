//! The example for Alertmanager: accepted, routed, and asked what it holds back.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use cachewatch::clock::Stopwatch;
use serde_json::json;
use testlab::PATIENCE;
use testlab::alertmanager::{Alertmanager, EXAMPLE, PACKAGE};

use crate::{rules, run, words};

#[test]
fn amtool_accepts_the_example() {
    let output = run("amtool", PACKAGE, &["check-config", EXAMPLE]);
    assert!(output.status.success(), "{}", words(&output));
}

#[test]
fn every_alert_goes_to_whom_it_is_for() {
    for rule in rules::alerts() {
        let mut labels: Vec<_> = rule.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.push(format!("alertname={}", rule.name));
        let config = format!("--config.file={EXAMPLE}");
        let arguments: Vec<_> =
            ["config", "routes", "test", &config].into_iter().chain(labels.iter().map(String::as_str)).collect();
        let receiver = match &*rule.labels["severity"] {
            "page" => "on-call",
            "ticket" => "tickets",
            _ => "nobody",
        };
        let output = run("amtool", PACKAGE, &arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), receiver, "{}: {}", rule.name, words(&output));
    }
}

/// Alerts that fire together, as `name label=value ..`, and those of them that somebody is told.
const TOGETHER: &[(&[&str], &[&str])] = &[
    // DNS leads to a public address that is closed: one cause, one page.
    (
        &[
            "CachewatchDnsPathPublic cache=orders finding=dns-zone-not-linked level=1",
            "CachewatchDnsResolversDisagree cache=orders finding=dns-resolvers-disagree level=2",
            "CachewatchDnsDrift cache=orders finding=dns-drift level=3",
            "CachewatchUnexplainedFailure cache=orders",
            "CachewatchLatencyHigh cache=orders stage=connect",
            "CachewatchBudgetBurn1h cache=orders",
            "CachewatchBudgetBurn6h cache=orders",
            "CachewatchBudgetBurn1d cache=orders",
            "CachewatchBudgetBurn3d cache=orders",
        ],
        &["CachewatchDnsPathPublic"],
    ),
    // A cache that is exposed and answers: what fails there has another cause.
    (
        &["CachewatchDnsPathPublic cache=orders finding=dns-drift level=2", "CachewatchBudgetBurn1h cache=orders"],
        &["CachewatchBudgetBurn1h", "CachewatchDnsPathPublic"],
    ),
    // The client limit, from the worst to the mildest.
    (
        &[
            "CachewatchCacheUnreachable cache=orders finding=redis-client-limit-reached level=1",
            "CachewatchConnectionsRejected cache=orders finding=connections-rejected level=2",
            "CachewatchConnectionsRejectedBurst cache=orders",
            "CachewatchHeadroomCritical cache=orders finding=clients-headroom-low level=2",
            "CachewatchExhaustionNear cache=orders",
            "CachewatchBudgetBurn1h cache=orders",
        ],
        &["CachewatchCacheUnreachable"],
    ),
    (
        &[
            "CachewatchHeadroomCritical cache=orders finding=clients-headroom-low level=2",
            "CachewatchExhaustionNear cache=orders",
            "CachewatchExhaustionForecast cache=orders",
        ],
        &["CachewatchHeadroomCritical"],
    ),
    (
        &[
            "CachewatchExhaustionNear cache=orders",
            "CachewatchExhaustionForecast cache=orders",
            "CachewatchHeadroomLow cache=orders finding=clients-headroom-low level=3",
        ],
        &["CachewatchExhaustionNear"],
    ),
    // Two causes are two pages, and a risk is not a symptom of any.
    (
        &[
            "CachewatchCacheUnreachable cache=orders finding=tcp-refused level=1",
            "CachewatchCertificateCritical cache=orders finding=tls-expires-soon level=2",
            "CachewatchHeadroomCritical cache=orders finding=clients-headroom-low level=2",
        ],
        &["CachewatchCacheUnreachable", "CachewatchCertificateCritical", "CachewatchHeadroomCritical"],
    ),
    // Another cache, and the same name in another cluster, are silenced by nothing.
    (
        &[
            "CachewatchCacheUnreachable cache=orders cluster=a finding=tcp-refused level=1",
            "CachewatchBudgetBurn1h cache=orders cluster=b",
            "CachewatchBudgetBurn1d cache=sessions cluster=a",
        ],
        &["CachewatchBudgetBurn1d", "CachewatchBudgetBurn1h", "CachewatchCacheUnreachable"],
    ),
    // A machine that is offline knows nothing of the cache. One that is gone silences nothing that another one sees.
    (
        &[
            "CachewatchMonitorOffline cache=orders finding=monitor-offline level=1",
            "CachewatchBudgetBurn1h cache=orders",
        ],
        &["CachewatchMonitorOffline"],
    ),
    (
        &[
            "CachewatchDown instance=watch-1:9847",
            "CachewatchCacheUnreachable cache=orders instance=watch-2:9847 finding=tcp-refused level=1",
            "CachewatchBudgetBurn1d cache=sessions",
            "CachewatchProbesStopped cache=carts instance=watch-2:9847",
        ],
        &["CachewatchBudgetBurn1d", "CachewatchCacheUnreachable", "CachewatchDown", "CachewatchProbesStopped"],
    ),
    (
        &[
            "CachewatchJournalDown instance=watch-1:9847",
            "CachewatchSinkFailing instance=watch-1:9847 sink=journal",
            "CachewatchSinkFailing instance=watch-2:9847 sink=journal",
        ],
        &["CachewatchJournalDown", "CachewatchSinkFailing"],
    ),
    // The faster burn is the news. Last, and with something to hold back: where this is done, all before it is.
    (
        &[
            "CachewatchBudgetBurn1h cache=orders",
            "CachewatchBudgetBurn6h cache=orders",
            "CachewatchBudgetBurn1d cache=orders",
            "CachewatchBudgetBurn3d cache=orders",
            "CachewatchUnexplainedFailure cache=orders",
        ],
        &["CachewatchBudgetBurn1h"],
    ),
];

#[test]
fn one_cause_is_one_page() {
    let alertmanager = Alertmanager::start();
    let rules: BTreeMap<_, _> = rules::alerts().into_iter().map(|rule| (rule.name, rule.labels)).collect();
    for (number, (together, _)) in TOGETHER.iter().enumerate() {
        let alerts: Vec<_> = together
            .iter()
            .map(|alert| {
                let mut words = alert.split(' ');
                let name = words.next().unwrap();
                let mut labels = rules[name].clone();
                labels.insert("alertname".to_owned(), name.to_owned());
                // No inhibition crosses a job: each row is alone.
                labels.insert("job".to_owned(), job(number));
                labels.extend(
                    words.map(|word| word.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())),
                );
                json!({ "labels": labels })
            })
            .collect();
        alertmanager.ask("POST", "alerts", &json!(alerts).to_string());
    }
    // What fires is taken in one after the other, so that the last row tells when all of them are.
    let (last, (_, expected)) = TOGETHER.iter().enumerate().next_back().unwrap();
    let waiting = Stopwatch::start();
    while told(&alertmanager, last) != *expected {
        assert!(waiting.elapsed() < PATIENCE, "still told: {:?}", told(&alertmanager, last));
        thread::sleep(Duration::from_millis(20));
    }
    for (number, (together, expected)) in TOGETHER.iter().enumerate() {
        assert_eq!(told(&alertmanager, number), *expected, "of {together:#?}");
    }
}

fn job(number: usize) -> String {
    format!("row-{number}")
}

/// The alerts of a row that nothing holds back, by name.
fn told(alertmanager: &Alertmanager, number: usize) -> Vec<String> {
    let alerts = alertmanager.ask("GET", "alerts", "");
    let of_row = alerts.as_array().unwrap().iter().filter(|alert| alert["labels"]["job"] == job(number));
    let told = of_row.filter(|alert| alert["status"]["inhibitedBy"] == json!([]));
    let mut names: Vec<_> = told.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
