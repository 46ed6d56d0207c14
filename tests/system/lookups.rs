//! Between two probes: a name is looked up again when its answer runs out, and nobody but the resolvers notices.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![expect(clippy::float_cmp, reason = "a scrape holds whole numbers, and they come through unharmed")]

use std::{net::Ipv4Addr, time::Duration};

use cachewatch::{clock, model::Timestamp};
use hickory_resolver::proto::rr::RecordType;
use rustix::process::Signal;
use serde_json::{Value, json};
use testlab::{
    cache::SLACK,
    dns::{Answer, DnsServer, Transport},
    fleet::{PRIVATE, PUBLIC, alias, host},
    peer::{Peer, Replies, Step},
    program::{Daemon, field},
};

const TTL: Duration = Duration::from_secs(1);
const FLOOR: Duration = Duration::from_millis(200);
const ORDERS: &[(&str, &str)] = &[("cache", "orders")];

/// A cache that counts its connections, asked for at two name servers of which the first is followed.
struct Scene {
    followed: DnsServer,
    other: DnsServer,
    cache: Peer,
}

impl Scene {
    fn new() -> Self {
        let cache = Peer::plain([Step::Serve(Replies::redis())]);
        let scene = Self { followed: DnsServer::start(), other: DnsServer::start(), cache };
        lead(&scene.followed, PRIVATE);
        lead(&scene.other, PRIVATE);
        scene
    }

    fn watched(&self, probe: &str) -> Daemon {
        let dialled = self.cache.address();
        let daemon = Daemon::start(&format!(
            "[log]\nlevel = \"debug\"\n[probe]\nlookup_floor = \"{}ms\"\njitter = 0.0\n{probe}\n\
             [[resolvers]]\nname = \"followed\"\naddress = \"{}\"\n[[resolvers]]\nname = \"other\"\naddress = \"{}\"\n\
             [[caches]]\nname = \"orders\"\nhost = \"{}\"\nresolvers = [\"followed\", \"other\"]\n\
             isolation = \"private_endpoint\"\ntls.enabled = false\n\
             connect_to = [\"{PRIVATE}={dialled}\", \"{PUBLIC}={dialled}\"]\n",
            FLOOR.as_millis(),
            self.followed.address(),
            self.other.address(),
            host("orders"),
        ));
        daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
        daemon
    }

    /// How often each name server was asked for each type of record.
    fn asked(&self) -> [usize; 4] {
        let count = |server: &DnsServer, record_type| server.count(&host("orders"), record_type, Transport::Udp);
        let types = [RecordType::A, RecordType::AAAA];
        let [[a, b], [c, d]] = [&self.followed, &self.other].map(|server| types.map(|kind| count(server, kind)));
        [a, b, c, d]
    }
}

fn lead(server: &DnsServer, address: Ipv4Addr) {
    let ttl = u32::try_from(TTL.as_secs()).unwrap();
    server.set(&host("orders"), Answer::new().alias(&alias("orders"), 300).address(address, ttl));
}

fn value(daemon: &Daemon, metric: &str) -> f64 {
    daemon.scrape().value(&format!("cachewatch_{metric}"), ORDERS).unwrap()
}

/// Waits until the name is told to lead to this address now, and returns when that was seen.
fn seen(daemon: &Daemon, address: Ipv4Addr) -> Timestamp {
    daemon.wait_until("addresses_changed", |daemon| {
        let document = daemon.get("/api/v1/caches/orders").json();
        let is_this = |event: &&Value| event["kind"] == "addresses_changed" && event["after"] == address.to_string();
        let event = document["events"].as_array().unwrap().iter().find(is_this)?.clone();
        Some(serde_json::from_value(event["at"].clone()).unwrap())
    })
}

/// Lets it end, and counts its probes and its lookups.
fn ended(mut daemon: Daemon) -> (usize, usize) {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.log();
    let records = || log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let count = |message| records().filter(|record| field(record, "message") == Some(message)).count();
    (count("probed"), count("looked up"))
}

/// One probe at the start and the next one ten minutes later: what is seen meanwhile, lookups have seen.
#[test]
fn a_change_between_two_probes_is_told_within_the_ttl_and_costs_the_cache_nothing() {
    let scene = Scene::new();
    let daemon = scene.watched("interval = \"10m\"");
    daemon.wait_until("a lookup", |daemon| (value(daemon, "lookups_total") >= 1.0).then_some(()));
    let document = daemon.get("/api/v1/caches/orders").json();
    assert_eq!(
        (&document["events"], &document["findings"]),
        (&json!([]), &json!([])),
        "an answer given again is no event"
    );

    let moved = clock::now();
    lead(&scene.followed, PUBLIC);
    let late = seen(&daemon, PUBLIC).since(moved);
    assert!(late <= TTL + FLOOR + SLACK, "seen after {late:?}");
    // From private to public is urgent: it opens in the round that has seen it, with no probe since.
    let document = daemon.get("/api/v1/caches/orders").json();
    let open: Vec<_> = document["findings"].as_array().unwrap().iter().map(|finding| &finding["id"]).collect();
    assert!(open.contains(&&json!("dns-zone-not-linked")), "{open:?}");
    let leads_to = |report: &str| document[report]["resolutions"][0]["addresses"][0]["address"].clone();
    assert_eq!((leads_to("report"), leads_to("lookup")), (json!(PRIVATE), json!(PUBLIC)));
    assert_eq!(document["lookup"]["legs"], json!([]));

    let moved = clock::now();
    lead(&scene.followed, PRIVATE);
    let late = seen(&daemon, PRIVATE).since(moved);
    assert!(late <= TTL + FLOOR + SLACK, "seen after {late:?}");

    let scrape = daemon.scrape();
    let of_followed = [("cache", "orders"), ("resolver", "followed")];
    assert_eq!(scrape.value("cachewatch_dns_changes_total", &of_followed), Some(2.0));
    assert_eq!(scrape.value("cachewatch_dns_changes_total", &[("cache", "orders"), ("resolver", "other")]), Some(0.0));
    assert_eq!(value(&daemon, "probes_total"), 1.0);
    assert_eq!(value(&daemon, "probe_success"), 1.0);
    let (probes, lookups) = ended(daemon);
    assert!(probes == 1 && lookups >= 3, "{probes} {lookups}");
    assert_eq!(scene.cache.connections(), 1, "that of the one probe");
    assert_eq!(scene.asked(), [probes + lookups; 4], "each errand asks each name server once for each type");
}

#[test]
fn where_the_ttl_is_not_followed_nothing_is_asked_between_probes() {
    for follow in [false, true] {
        let scene = Scene::new();
        let daemon = scene.watched(&format!("follow_ttl = {follow}\ninterval = \"2s\"\ntimeout = \"1900ms\""));
        daemon.wait_until("three probes", |daemon| (value(daemon, "probes_total") >= 3.0).then_some(()));
        let lookups_told = value(&daemon, "lookups_total");
        let (probes, lookups) = ended(daemon);
        assert_eq!((lookups > 0, lookups_told > 0.0), (follow, follow), "{lookups} lookups");
        assert_eq!(scene.cache.connections(), probes);
        if !follow {
            assert_eq!(scene.asked(), [probes; 4]);
        }
    }
}

/// An answer that may be kept for longer than the interval is asked for again by the probe.
#[test]
fn an_answer_that_outlasts_the_interval_is_left_to_the_probe() {
    let scene = Scene::new();
    let daemon = scene.watched("interval = \"1s\"\ntimeout = \"900ms\"");
    daemon.wait_until("three probes", |daemon| (value(daemon, "probes_total") >= 3.0).then_some(()));
    let (probes, lookups) = ended(daemon);
    assert_eq!((lookups, scene.asked()), (0, [probes; 4]));
}
