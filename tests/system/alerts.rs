//! From a fault to a page: the real daemon, a real Prometheus, and the rules of `deploy/prometheus/`. That each rule is
//! right is for `tests/rules/`.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{collections::BTreeSet, fs, io::Write as _, path::Path, thread, time::Duration};

use cachewatch::clock::Stopwatch;
use serde_json::Value;
use testlab::{
    PATIENCE,
    alertmanager::Alertmanager,
    fleet::{Fleet, PRIVATE, PUBLIC},
    program::Daemon,
    prometheus::Prometheus,
    starvation::Starvation,
};

/// From one probe, scrape and evaluation to the next, each.
const PACE: Duration = Duration::from_secs(1);

/// What starting a probe, answering a scrape and asking for the alerts may take in addition.
const GRACE: Duration = Duration::from_millis(1500);

#[test]
fn an_answer_that_turns_public_pages_within_a_probe_a_scrape_and_an_evaluation() {
    let fleet = Fleet::new();
    fleet.lead("orders", PRIVATE);
    let settings = "interval = \"1s\"\ntimeout = \"900ms\"\njitter = 0.0\n";
    let cache = fleet.cache("orders", "isolation = \"private_endpoint\"");
    let daemon = Daemon::start(&format!("{}{cache}", fleet.settings(settings)));
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/cachewatch.rules.yml");
    // The rules as they are, at the pace of this test.
    let rules = fs::read_to_string(rules).unwrap().replace("    interval: 1m\n", "    interval: 1s\n");
    let prometheus = Prometheus::start(&daemon.address().to_string(), Some(&rules));
    prometheus.wait_for("cachewatch_probe_success == 1");
    prometheus.wait_for("cachewatch:finding_open:host_stage == 0 or absent(cachewatch:finding_open:host_stage)");
    assert_eq!(firing(&prometheus), [""; 0], "before anything happened");

    let starvation = Starvation::of(&[daemon.pid(), prometheus.pid()]);
    let watch = Stopwatch::start();
    fleet.lead("orders", PUBLIC);
    while !firing(&prometheus).contains(&"CachewatchDnsPathPublic".to_owned()) {
        assert!(watch.elapsed() < PATIENCE, "nobody is paged: {:?}", prometheus.get("alerts"));
        thread::sleep(Duration::from_millis(20));
    }
    let (took, starved) = (watch.elapsed(), starvation.so_far());
    let limit = PACE * 3;
    // A figure of the project's: shown whether the test passes or not.
    let _ = writeln!(std::io::stderr(), "from the public answer to a firing alert: {took:.1?}, of {limit:?} at most");
    assert!(took <= limit + GRACE + starved, "{took:?}, of which the machine took {starved:?} at most");
}

/// What a real Alertmanager makes of the alerts that a Prometheus has, those that wait for their time among them: for each
/// receiver the notifications, each with the alerts that nothing holds back.
pub(crate) struct Told {
    alertmanager: Alertmanager,
}

impl Told {
    pub(crate) fn of(prometheus: &Prometheus) -> Self {
        let alertmanager = Alertmanager::start();
        let document = prometheus.get("alerts").unwrap();
        alertmanager.ask("POST", "alerts", &document["data"]["alerts"].to_string());
        Self { alertmanager }
    }

    /// Each as `receiver cache alert ..`, by now.
    pub(crate) fn notifications(&self) -> BTreeSet<String> {
        let groups = self.alertmanager.ask("GET", "alerts/groups?inhibited=false", "");
        let groups = groups.as_array().unwrap().iter();
        groups
            .map(|group| {
                let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
                let alerts = group["alerts"].as_array().unwrap().iter();
                let names: BTreeSet<_> = alerts.map(|alert| word(&alert["labels"]["alertname"])).collect();
                let names: Vec<_> = names.into_iter().collect();
                let [receiver, cache] = [&group["receiver"]["name"], &group["labels"]["cache"]].map(word);
                format!("{receiver} {cache} {}", names.join(" "))
            })
            .collect()
    }
}

/// The alerts that fire, but for what is said of the fixture itself.
fn firing(prometheus: &Prometheus) -> Vec<String> {
    let document = prometheus.get("alerts").unwrap();
    let alerts = document["data"]["alerts"].as_array().unwrap();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
}
