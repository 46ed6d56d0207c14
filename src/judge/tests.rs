//! Whole rounds, judged: what was seen on the left, every finding that must come of it on the right.

mod memento;
mod resolvers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Watch, narrate};
use crate::model::{
    AddressClass, Alias, Answer, Auth, Cache, CacheName, Certificate, Event, Expectation, Exposure, ExposureReport,
    Fault, FaultKind, Isolation, Leg, LegacyVersion, LookupReport, Observation, Opening, Outcome, Passage, Password,
    ProbeReport, Protocol, Query, RecordType, Resolution, Resolver, ResolverName, Rules, ServerFacts, Source, Stage,
    Thresholds, Timeouts, Timestamp, Timings, Tls, TlsSession, Trial, WireText,
};

const HOST: &str = "orders.redis.cache.windows.net";
const NOW: i64 = 1_800_000_000;
const DAY: Duration = Duration::from_hours(24);

fn cache() -> Cache {
    let second = Duration::from_secs(1);
    Cache {
        name: CacheName::new("orders"),
        host: HOST.to_owned(),
        port: 6380,
        expectation: Expectation { isolation: Some(Isolation::PrivateEndpoint), addresses: Vec::new() },
        resolvers: vec![Resolver::System],
        tls: Some(Tls::default()),
        auth: Auth::None,
        max_clients: None,
        tier: None,
        interval: second * 30,
        timeouts: Timeouts { total: second * 10, resolve: second, connect: second, tls: second, command: second },
        rules: Rules { open_after: 2, clear_after: 2 },
        thresholds: Thresholds {
            headroom_warning: 0.75,
            headroom_critical: 0.9,
            certificate_warning: DAY * 30,
            certificate_critical: DAY * 7,
            slow_ping: Duration::from_millis(100),
            ttl_long: Duration::from_hours(1),
            retirement: Duration::from_hours(24 * 548),
        },
        control: None,
        follow_ttl: None,
        exposure: Exposure::default(),
        connect_to: Vec::new(),
    }
}

fn resolution(aliases: &[&str], addresses: &[&str]) -> Resolution {
    let mut owner = HOST;
    let chain = aliases.iter().map(|target| {
        let alias = Alias { owner: WireText::new(owner), target: WireText::new(target), ttl: 300 };
        owner = target;
        alias
    });
    Resolution {
        resolver: ResolverName::new("system"),
        source: Source::Dns,
        name: WireText::new(HOST),
        searched: false,
        chain: chain.collect(),
        addresses: addresses.iter().map(|address| Answer::new(address.parse().unwrap(), Some(10))).collect(),
        addresses_dropped: 0,
        queries: vec![Query {
            server: "10.0.0.4:53".parse().unwrap(),
            transport: Protocol::Udp,
            name: WireText::new(HOST),
            record_type: RecordType::A,
            outcome: Outcome::Answered,
            detail: WireText::default(),
            took: Duration::from_millis(2),
        }],
        took: Duration::from_millis(2),
        fault: None,
        overridden: None,
    }
}

const PRIVATELINK: &str = "orders.privatelink.redis.cache.windows.net";

fn leg(address: &str) -> Leg {
    let address: IpAddr = address.parse().unwrap();
    let certificate = Certificate {
        subject: WireText::new("CN=*.redis.cache.windows.net"),
        issuer: WireText::new("C=US, O=Microsoft Corporation, CN=Microsoft Azure RSA TLS Issuing CA 04"),
        names: vec![WireText::new("*.redis.cache.windows.net")],
        serial: WireText::new("01"),
        not_before: Timestamp::from_unix_seconds(NOW - 1_000_000),
        not_after: Timestamp::from_unix_seconds(NOW).plus(DAY * 200),
    };
    let mut timings = Timings::default();
    timings.set(Stage::Ping, Duration::from_millis(1));
    Leg {
        timings,
        tls: Some(TlsSession {
            version: "TLSv1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            server_name: HOST.into(),
            verified: true,
            chain: vec![certificate],
        }),
        server: Some(ServerFacts {
            connected_clients: Some(10),
            max_clients: Some(100),
            run_id: Some(WireText::new("one")),
            rejected_connections: Some(0),
            ..ServerFacts::default()
        }),
        ..Leg::new(address, (address, 6380).into())
    }
}

fn failed(address: &str, stage: Stage, kind: FaultKind) -> Leg {
    let good = leg(address);
    Leg {
        tls: good.tls.filter(|_| stage > Stage::Tls),
        fault: Some(Fault::new(stage, kind, "words of the peer")),
        ..Leg::new(good.address, good.dialled)
    }
}

fn report(resolution: Resolution, legs: Vec<Leg>) -> ProbeReport {
    let lookup = LookupReport {
        cache: CacheName::new("orders"),
        at: Timestamp::from_unix_seconds(NOW),
        took: Duration::from_millis(20),
        resolutions: vec![resolution],
        fault: None,
    };
    ProbeReport::new(lookup, legs)
}

impl Watch {
    fn probed(&mut self, cache: &Cache, report: &ProbeReport, others_reach: bool) -> Vec<Event> {
        self.observe(cache, &Observation::Probe(Arc::new(report.clone())), others_reach)
    }

    fn looked_up(&mut self, cache: &Cache, lookup: &LookupReport) -> Vec<Event> {
        self.observe(cache, &Observation::Lookup(Arc::new(lookup.clone())), false)
    }
}

fn healthy() -> ProbeReport {
    report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg("10.20.1.4")])
}

fn no_address(aliases: &[&str], kind: FaultKind) -> ProbeReport {
    let fault = Some(Fault::new(Stage::Resolve, kind, "words of the resolver"));
    report(Resolution { fault, ..resolution(aliases, &[]) }, Vec::new())
}

/// What one round says, as `id severity`, where every condition opens at once.
fn verdict(cache: &Cache, report: &ProbeReport) -> Vec<String> {
    let cache = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache.clone() };
    let mut watch = Watch::default();
    let _ = watch.probed(&cache, report, false);
    for finding in watch.open() {
        assert!(!finding.summary.is_empty() && !finding.evidence.is_empty(), "{finding:?}");
        assert!(!finding.remedy.is_empty(), "{} tells nobody what to do", finding.id);
    }
    watch.open().iter().map(|finding| format!("{} {}", finding.id, finding.severity.number())).collect()
}

#[test]
fn a_healthy_round_says_nothing() {
    assert_eq!(verdict(&cache(), &healthy()), [""; 0]);
}

#[test]
fn each_broken_round_names_its_cause_and_nothing_else() {
    use FaultKind as Kind;
    let public = || resolution(&[PRIVATELINK], &["20.1.2.3"]);
    let private = || resolution(&[PRIVATELINK], &["10.20.1.4"]);
    let two = || resolution(&[PRIVATELINK], &["10.20.1.4", "10.20.1.5"]);
    let at = |stage, kind| report(private(), vec![failed("10.20.1.4", stage, kind)]);
    let table: Vec<(ProbeReport, &[&str])> = vec![
        (no_address(&[], Kind::NameNotFound), &["dns-name-not-found 1"]),
        (no_address(&[PRIVATELINK], Kind::NameNotFound), &["dns-record-missing 1"]),
        (no_address(&[PRIVATELINK], Kind::NoAddress), &["dns-record-missing 1"]),
        (no_address(&[], Kind::Timeout), &["dns-timeout 1"]),
        (no_address(&[], Kind::ServerFailure), &["dns-server-failure 1"]),
        (no_address(&[], Kind::QueryRefused), &["dns-refused 1"]),
        (no_address(&[], Kind::ResolverUnreachable), &["dns-unreachable 1"]),
        (no_address(&[], Kind::AliasLoop), &["dns-failed 1"]),
        (report(public(), vec![leg("20.1.2.3")]), &["dns-zone-not-linked 2"]),
        (report(public(), vec![failed("20.1.2.3", Stage::Connect, Kind::Filtered)]), &["dns-zone-not-linked 1"]),
        (report(resolution(&[], &["20.1.2.3"]), vec![leg("20.1.2.3")]), &["dns-no-private-endpoint 2"]),
        (
            report(resolution(&[PRIVATELINK], &["10.20.1.4", "20.1.2.3"]), vec![leg("10.20.1.4"), leg("20.1.2.3")]),
            &["dns-mixed-answer 2"],
        ),
        (report(resolution(&[], &["127.0.0.1"]), vec![leg("127.0.0.1")]), &["dns-unexpected-private 2"]),
        (at(Stage::Connect, Kind::Refused), &["tcp-refused 1"]),
        (at(Stage::Connect, Kind::Filtered), &["tcp-filtered 1"]),
        (at(Stage::Connect, Kind::Unreachable), &["tcp-unreachable 1"]),
        (at(Stage::Connect, Kind::LocalExhaustion), &["local-exhaustion 2"]),
        (at(Stage::Connect, Kind::Unrecognised), &["tcp-failed 1"]),
        (
            report(two(), vec![leg("10.20.1.4"), failed("10.20.1.5", Stage::Connect, Kind::Filtered)]),
            &["tcp-partial 2"],
        ),
        (at(Stage::Tls, Kind::NotTls), &["tls-not-spoken 1"]),
        (at(Stage::Tls, Kind::TlsVersion), &["tls-version 1"]),
        (at(Stage::Tls, Kind::NoCommonCipher), &["tls-no-common-cipher 1"]),
        (at(Stage::Tls, Kind::NameMismatch), &["tls-name-mismatch 1"]),
        (at(Stage::Tls, Kind::CertificateExpired), &["tls-expired 1"]),
        (at(Stage::Tls, Kind::CertificateNotYetValid), &["tls-not-yet-valid 1"]),
        (at(Stage::Tls, Kind::UntrustedIssuer), &["tls-untrusted 1"]),
        (at(Stage::Tls, Kind::Closed), &["tls-closed 1"]),
        (at(Stage::Tls, Kind::Timeout), &["tls-timeout 1"]),
        (at(Stage::Tls, Kind::Unrecognised), &["tls-failed 1"]),
        (
            report(two(), vec![leg("10.20.1.4"), failed("10.20.1.5", Stage::Tls, Kind::CertificateExpired)]),
            &["tls-expired 2"],
        ),
        (at(Stage::Auth, Kind::AuthRequired), &["auth-required 1"]),
        (at(Stage::Auth, Kind::AuthRejected), &["auth-rejected 1"]),
        (at(Stage::Auth, Kind::AuthNotConfigured), &["auth-not-configured 1"]),
        (at(Stage::Auth, Kind::CredentialUnreadable), &["credential-unreadable 1"]),
        (at(Stage::Auth, Kind::ClientLimit), &["redis-client-limit-reached 1"]),
        (at(Stage::Ping, Kind::Loading), &["redis-loading 1"]),
        (at(Stage::Ping, Kind::Busy), &["redis-busy 1"]),
        (at(Stage::Ping, Kind::MasterDown), &["redis-master-down 1"]),
        (at(Stage::Ping, Kind::ClusterDown), &["redis-cluster-down 1"]),
        (at(Stage::Ping, Kind::ReadOnly), &["redis-read-only 1"]),
        (at(Stage::Ping, Kind::Timeout), &["redis-timeout 1"]),
        (at(Stage::Ping, Kind::NotRedis), &["redis-protocol 1"]),
        (at(Stage::Ping, Kind::OutOfStep), &["redis-out-of-step 1"]),
        (at(Stage::Ping, Kind::Closed), &["redis-failed 1"]),
        // Two causes at once, the deepest first.
        (
            report(public(), vec![failed("20.1.2.3", Stage::Tls, Kind::CertificateExpired)]),
            &["dns-zone-not-linked 2", "tls-expired 1"],
        ),
    ];
    let elsewhere = Cache { host: "cache.example.com".into(), ..cache() };
    for (report, expected) in &table {
        assert_eq!(verdict(&cache(), report), *expected, "{report:?}");
        assert_eq!(verdict(&elsewhere, report), *expected, "{report:?}");
    }
}

#[test]
fn a_bad_round_is_counted_until_it_opens_and_not_beyond() {
    let mut watch = Watch::default();
    let cache = Cache { rules: Rules { open_after: 3, clear_after: 2 }, ..cache() };
    let public = || resolution(&[PRIVATELINK], &["20.1.2.3"]);
    let bad = || report(public(), vec![failed("20.1.2.3", Stage::Tls, FaultKind::CertificateExpired)]);
    let counted = |watch: &Watch| {
        let pending = watch.pending(&cache);
        pending
            .iter()
            .map(|doubt| format!("{} {}: {}", doubt.stage, doubt.finding, doubt.progress()))
            .collect::<Vec<_>>()
    };
    for round in ["1", "2"] {
        let _ = watch.probed(&cache, &bad(), false);
        let of = |what: &str| format!("{what}: {round} of 3 bad rounds seen");
        assert_eq!(counted(&watch), [of("resolve dns-zone-not-linked"), of("tls tls-expired")], "the deepest first");
    }
    let _ = watch.probed(&cache, &bad(), false);
    assert_eq!((counted(&watch).len(), watch.open().len()), (0, 2));
    let mut watch = Watch::default();
    let _ = watch.probed(&cache, &bad(), false);
    let _ = watch.probed(&cache, &healthy(), false);
    assert_eq!(counted(&watch), [""; 0], "a good round ends it");
}

#[test]
fn a_remedy_names_this_cache_and_its_own_tools() {
    let remedies = |cache: &Cache| {
        let mut busy = leg("10.20.1.4");
        busy.server.as_mut().unwrap().connected_clients = Some(95);
        let mut watch = Watch::default();
        let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache.clone() };
        let _ = watch.probed(&at_once, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![busy]), false);
        watch.open().remove(0).remedy
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
fn a_new_key_is_taken_up_the_way_the_old_one_came() {
    let remedy = |kind, auth: &Auth| {
        let cache = Cache { auth: auth.clone(), rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
        let legs = vec![failed("10.20.1.4", Stage::Auth, kind)];
        let mut watch = Watch::default();
        let _ = watch.probed(&cache, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), legs), false);
        watch.open().remove(0)
    };
    let of = |password| Auth::AccessKey { username: None, password };
    let file = |path: &str| of(Password::File(path.into()));
    let rejected = |auth: &Auth| remedy(FaultKind::AuthRejected, auth).remedy.join("\n");
    let by_itself = rejected(&file("/etc/cachewatch/keys/orders"));
    assert!(by_itself.contains("read again by itself") && !by_itself.contains("restart"), "{by_itself}");
    let credential = rejected(&file("/run/credentials/cachewatch.service/orders"));
    let words =
        "LoadCredential=orders: of cachewatch.service takes it from, then:\nsudo systemctl restart cachewatch.service";
    assert!(credential.ends_with(words) && !credential.contains("by itself"), "{credential}");
    let variable = rejected(&of(Password::Environment("ORDERS_KEY".to_owned())));
    assert!(variable.ends_with("set ORDERS_KEY anew, and start cachewatch again"), "{variable}");

    let unreadable = remedy(FaultKind::CredentialUnreadable, &file("/nope"));
    let detail = failed("10.20.1.4", Stage::Auth, FaultKind::CredentialUnreadable).fault.unwrap().detail;
    let end = format!("cannot be read on this machine: {detail}");
    assert!(unreadable.summary.as_str().ends_with(&end), "{}", unreadable.summary);
}

#[test]
fn what_is_not_asserted_is_not_judged() {
    let nothing = Cache { expectation: Expectation::default(), ..cache() };
    assert_eq!(verdict(&nothing, &report(resolution(&[], &["20.1.2.3"]), vec![leg("20.1.2.3")])), [""; 0]);

    let public = Expectation { isolation: Some(Isolation::Public), addresses: Vec::new() };
    let public = Cache { expectation: public, ..cache() };
    assert_eq!(verdict(&public, &report(resolution(&[], &["20.1.2.3"]), vec![leg("20.1.2.3")])), [""; 0]);
    assert_eq!(verdict(&public, &healthy()), ["dns-private-when-public-expected 3"]);

    let named = Expectation { isolation: None, addresses: vec!["10.20.2.0/24".parse().unwrap()] };
    assert_eq!(verdict(&Cache { expectation: named, ..cache() }, &healthy()), ["dns-unexpected-private 2"]);
    let named = Expectation { isolation: None, addresses: vec!["20.1.2.0/24".parse().unwrap()] };
    let named = Cache { expectation: named, ..cache() };
    assert_eq!(
        verdict(&named, &report(resolution(&[], &["20.9.9.9"]), vec![leg("20.9.9.9")])),
        ["dns-unexpected-public 2"]
    );
}

#[test]
fn the_configured_name_itself_can_be_wrong() {
    let address = Cache { host: "10.20.1.4".into(), ..cache() };
    let literal = Resolution { source: Source::Literal, ..resolution(&[], &["10.20.1.4"]) };
    assert_eq!(verdict(&address, &report(literal, vec![leg("10.20.1.4")])), ["config-ip-address 3"]);
    let privatelink = Cache { host: PRIVATELINK.into(), ..cache() };
    assert_eq!(
        verdict(&privatelink, &report(resolution(&[], &["10.20.1.4"]), vec![leg("10.20.1.4")])),
        ["config-privatelink-name 3"]
    );
    // That no certificate covers it follows, and makes it an outage.
    let mismatch = vec![failed("10.20.1.4", Stage::Tls, FaultKind::NameMismatch)];
    assert_eq!(
        verdict(&privatelink, &report(resolution(&[], &["10.20.1.4"]), mismatch.clone())),
        ["config-privatelink-name 1"]
    );
    let other = Tls { server_name: Some("other.test".into()), ..Tls::default() };
    let other = Cache { tls: Some(other), ..privatelink };
    assert_eq!(
        verdict(&other, &report(resolution(&[], &["10.20.1.4"]), mismatch)),
        ["tls-name-mismatch 1", "config-privatelink-name 3"]
    );
}

#[test]
fn a_port_of_another_product_is_seen_before_the_first_packet() {
    let at = |host: &str, port| {
        let cache = Cache { host: host.into(), port, ..cache() };
        verdict(&cache, &healthy())
    };
    assert_eq!(at("orders.westeurope.redis.azure.net", 6380), ["config-port-product 3"]);
    assert_eq!(at("orders.westeurope.redis.azure.net", 10000), [""; 0]);
    assert_eq!(at(HOST, 10000), ["config-port-product 3"]);
    assert_eq!(at(HOST, 6379), [""; 0]);
    assert_eq!(at("cache.example.com", 10000), [""; 0]);
    // That nothing listens there follows, and makes it an outage.
    let closed = report(resolution(&[], &["10.20.1.4"]), vec![failed("10.20.1.4", Stage::Connect, FaultKind::Refused)]);
    assert_eq!(verdict(&Cache { port: 10000, ..cache() }, &closed), ["config-port-product 1"]);
}

#[test]
fn a_retirement_is_near_in_its_last_months() {
    const ENTERPRISE: &str = "orders.eastus.redisenterprise.cache.azure.net";
    let at = |host: &str, date: i64| {
        let cache = Cache { host: host.into(), port: 10000, ..cache() };
        let mut seen = healthy();
        seen.lookup.at = Timestamp::from_unix_seconds(date);
        seen.legs[0].tls.as_mut().unwrap().chain[0].not_after = seen.lookup.at.plus(DAY * 200);
        verdict(&cache, &seen)
    };
    let end = 1_806_537_600;
    let day = 86_400;
    assert_eq!(at(ENTERPRISE, end - 600 * day), [""; 0]);
    assert_eq!(at(ENTERPRISE, end - 500 * day), ["retirement-near 4"]);
    assert_eq!(at(ENTERPRISE, end - 300 * day), ["retirement-near 3"]);
    assert_eq!(at(ENTERPRISE, end - 10 * day), ["retirement-near 2"]);
    assert_eq!(at(ENTERPRISE, end + 10 * day), ["retirement-near 2"]);
    assert_eq!(at("orders.westeurope.redis.azure.net", end), [""; 0]);
}

#[test]
fn a_machine_that_bends_the_name_is_the_cause() {
    let pinned = |address: &str, beneath: Option<Resolution>| Resolution {
        source: Source::HostsFile,
        overridden: beneath.map(Box::new),
        ..resolution(&[], &[address])
    };
    let dns = || resolution(&[PRIVATELINK], &["10.20.1.4"]);
    let round = |pin: Resolution, leg: Leg| verdict(&cache(), &report(pin, vec![leg]));
    assert_eq!(round(pinned("10.20.1.4", Some(dns())), leg("10.20.1.4")), [""; 0]);
    assert_eq!(round(pinned("10.20.1.9", Some(dns())), leg("10.20.1.9")), ["dns-hosts-override 3"]);
    assert_eq!(round(pinned("20.1.2.3", Some(dns())), leg("20.1.2.3")), ["dns-hosts-override 2"]);
    let dead = failed("20.1.2.3", Stage::Connect, FaultKind::Filtered);
    assert_eq!(round(pinned("20.1.2.3", Some(dns())), dead), ["dns-hosts-override 1"]);
    let gone = no_address(&[], FaultKind::NameNotFound).lookup.resolutions.remove(0);
    assert_eq!(round(pinned("10.20.1.4", Some(gone)), leg("10.20.1.4")), ["dns-hosts-override 3"]);
    let silent = no_address(&[], FaultKind::Timeout).lookup.resolutions.remove(0);
    assert_eq!(round(pinned("10.20.1.9", Some(silent)), leg("10.20.1.9")), [""; 0], "silence contradicts nobody");

    let searched = |address: &str| Resolution {
        searched: true,
        name: WireText::new("orders.redis.cache.windows.net.corp.example"),
        ..resolution(&[], &[address])
    };
    assert_eq!(round(searched("10.20.1.9"), leg("10.20.1.9")), ["dns-search-suffix-answer 3"]);
    assert_eq!(round(searched("20.1.2.3"), leg("20.1.2.3")), ["dns-search-suffix-answer 2"]);
}

/// A server with native TLS hangs up without a word at its limit; what was counted before tells it from the other causes.
#[test]
fn a_connection_closed_in_the_handshake_is_judged_by_what_was_counted_before() {
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
    let after = |connected: Option<u64>| {
        let mut watch = Watch::default();
        if let Some(connected) = connected {
            let mut before = leg("10.20.1.4");
            before.server.as_mut().unwrap().connected_clients = Some(connected);
            let _ = watch.probed(&at_once, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![before]), false);
        }
        let closed = failed("10.20.1.4", Stage::Tls, FaultKind::Closed);
        let _ = watch.probed(&at_once, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![closed]), false);
        watch.open().iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(after(Some(99)), ["redis-client-limit-reached", "clients-headroom-low"]);
    assert_eq!(after(Some(10)), ["tls-closed"]);
    assert_eq!(after(None), ["tls-closed"]);
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

#[test]
fn a_private_path_without_ipv4_is_no_path() {
    let only = report(resolution(&[PRIVATELINK], &["fd00::4"]), vec![leg("fd00::4")]);
    assert_eq!(verdict(&cache(), &only), ["dns-ipv6-only 2"]);
}

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
    assert_eq!(verdict(&named, &foreign(leg("10.20.1.4"), inspection)), [""; 0], "the operator named the authority");
    let elsewhere = Cache { host: "cache.example.com".into(), ..cache() };
    assert_eq!(verdict(&elsewhere, &foreign(leg("10.20.1.4"), inspection)), [""; 0]);
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
fn an_address_family_this_machine_lacks_is_no_fault() {
    let both = resolution(&[PRIVATELINK], &["10.20.1.4", "fd00::4"]);
    let legs = vec![leg("10.20.1.4"), failed("fd00::4", Stage::Connect, FaultKind::FamilyUnavailable)];
    assert_eq!(verdict(&cache(), &report(both, legs)), [""; 0]);
    let only = resolution(&[PRIVATELINK], &["fd00::4"]);
    let legs = vec![failed("fd00::4", Stage::Connect, FaultKind::FamilyUnavailable)];
    assert_eq!(verdict(&cache(), &report(only, legs)), ["dns-ipv6-only 1"]);
}

#[test]
fn numbers_become_findings_at_their_thresholds() {
    let clients = |connected| {
        let mut busy = leg("10.20.1.4");
        busy.server.as_mut().unwrap().connected_clients = Some(connected);
        verdict(&cache(), &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![busy]))
    };
    assert_eq!(clients(74), [""; 0]);
    assert_eq!(clients(75), ["clients-headroom-low 3"]);
    assert_eq!(clients(90), ["clients-headroom-low 2"]);
    assert_eq!(clients(500), ["clients-headroom-low 2"]);

    let expiring = |left: Duration| {
        let mut leg = leg("10.20.1.4");
        leg.tls.as_mut().unwrap().chain[0].not_after = Timestamp::from_unix_seconds(NOW).plus(left);
        verdict(&cache(), &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg]))
    };
    assert_eq!(expiring(DAY * 30), [""; 0]);
    assert_eq!(expiring(DAY * 29), ["tls-expires-soon 3"]);
    assert_eq!(expiring(DAY * 6), ["tls-expires-soon 2"]);

    let mut slow = leg("10.20.1.4");
    slow.timings.set(Stage::Ping, Duration::from_millis(101));
    let slow = report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![slow]);
    assert_eq!(verdict(&cache(), &slow), ["redis-slow 3"]);

    let mut long = healthy();
    long.lookup.resolutions[0].chain[0].ttl = 86_400;
    long.lookup.resolutions[0].addresses[0].ttl = Some(7_200);
    assert_eq!(verdict(&cache(), &long), ["dns-ttl-long 4"]);
}

#[test]
fn a_denied_info_is_a_risk_and_not_an_outage() {
    let mut denied = leg("10.20.1.4");
    denied.server = None;
    denied.notes.push(Fault::new(Stage::Inspect, FaultKind::NotPermitted, "NOPERM"));
    let denied = report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![denied]);
    assert!(denied.succeeded());
    assert_eq!(verdict(&cache(), &denied), ["auth-not-permitted 3"]);
}

/// The kinds of events that rounds gave, one list a round.
fn story(cache: &Cache, rounds: &[ProbeReport]) -> Vec<Vec<String>> {
    let mut watch = Watch::default();
    let shown = |event: crate::model::Event| match event.finding {
        Some(id) => format!("{} {id}", event.kind),
        None => event.kind.to_string(),
    };
    rounds.iter().map(|report| watch.probed(cache, report, false).into_iter().map(shown).collect()).collect()
}

#[test]
fn a_finding_opens_and_clears_after_its_rounds() {
    let bad = || {
        report(
            resolution(&[PRIVATELINK], &["10.20.1.4"]),
            vec![failed("10.20.1.4", Stage::Connect, FaultKind::Refused)],
        )
    };
    let rounds = [bad(), healthy(), bad(), bad(), healthy(), bad(), healthy(), healthy(), healthy()];
    let expected: [&[&str]; 9] =
        [&[], &[], &[], &["finding_opened tcp-refused"], &[], &[], &[], &["finding_cleared tcp-refused"], &[]];
    assert_eq!(story(&cache(), &rounds), expected);
}

#[test]
fn what_is_unknown_neither_opens_nor_clears() {
    let full = || {
        let mut busy = leg("10.20.1.4");
        busy.server.as_mut().unwrap().connected_clients = Some(95);
        report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![busy])
    };
    let blind = || no_address(&[], FaultKind::Timeout);
    let cache = cache();
    let mut watch = Watch::default();
    let open = |watch: &Watch| watch.open().iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>();
    for report in [full(), blind(), full()] {
        let _ = watch.probed(&cache, &report, false);
    }
    assert_eq!(open(&watch), ["clients-headroom-low"], "a blind round broke the run of bad ones");
    for _ in 0..5 {
        let _ = watch.probed(&cache, &blind(), false);
    }
    assert_eq!(open(&watch), ["dns-timeout", "clients-headroom-low"], "blindness cleared what it could not see");
    for _ in 0..2 {
        let _ = watch.probed(&cache, &healthy(), false);
    }
    assert_eq!(open(&watch), [""; 0]);
}

#[test]
fn a_failed_lookup_does_not_say_where_a_name_leads() {
    let public = || report(resolution(&[PRIVATELINK], &["20.1.2.3"]), vec![leg("20.1.2.3")]);
    let lookup = |kind| no_address(&[], kind);
    let cache = cache();
    let mut watch = Watch::default();
    let mut after = |rounds: [ProbeReport; 3]| {
        for report in rounds {
            let _ = watch.probed(&cache, &report, false);
        }
        watch.open().iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(after([healthy(), public(), public()]), ["dns-zone-not-linked", "dns-drift"]);
    let failing = || lookup(FaultKind::ServerFailure);
    let open = after([failing(), failing(), failing()]);
    assert_eq!(open, ["dns-server-failure", "dns-zone-not-linked", "dns-drift"]);
    let nowhere = || lookup(FaultKind::NameNotFound);
    assert_eq!(after([nowhere(), nowhere(), nowhere()]), ["dns-name-not-found"], "nowhere is not to the public");
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

#[test]
fn a_move_from_private_to_public_opens_at_once() {
    let public = || report(resolution(&[PRIVATELINK], &["20.1.2.3"]), vec![leg("20.1.2.3")]);
    let rounds = [healthy(), public(), healthy(), healthy()];
    let expected: [&[&str]; 4] = [
        &[],
        &["addresses_changed", "finding_opened dns-zone-not-linked", "finding_opened dns-drift"],
        &["addresses_changed"],
        &["finding_cleared dns-zone-not-linked", "finding_cleared dns-drift"],
    ];
    assert_eq!(story(&cache(), &rounds), expected);
}

#[test]
fn a_public_cache_may_move_and_a_private_one_may_not() {
    let at = |address: &str| report(resolution(&[], &[address]), vec![leg(address)]);
    let public =
        Cache { expectation: Expectation { isolation: Some(Isolation::Public), addresses: Vec::new() }, ..cache() };
    assert_eq!(
        story(&public, &[at("20.1.2.3"), at("20.9.9.9"), at("20.9.9.9")]),
        [vec![], vec!["addresses_changed".to_owned()], vec![]]
    );
    assert_eq!(
        story(&cache(), &[at("10.20.1.4"), at("10.20.1.9"), at("10.20.1.9")]),
        [vec![], vec!["addresses_changed".to_owned()], vec!["finding_opened dns-drift".to_owned()]]
    );
    let named =
        Expectation { isolation: Some(Isolation::PrivateEndpoint), addresses: vec!["10.20.1.0/24".parse().unwrap()] };
    let named = Cache { expectation: named, ..cache() };
    assert_eq!(
        story(&named, &[at("10.20.1.4"), at("10.20.1.9"), at("10.20.1.9")]),
        [vec![], vec!["addresses_changed".to_owned()], vec![]]
    );
}

#[test]
fn the_order_of_addresses_is_no_change() {
    let two =
        |first: &str, second: &str| report(resolution(&[PRIVATELINK], &[first, second]), vec![leg(first), leg(second)]);
    let rounds = [two("10.20.1.4", "10.20.1.5"), two("10.20.1.5", "10.20.1.4")];
    assert_eq!(story(&cache(), &rounds), [[""; 0], [""; 0]]);
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
    assert_eq!(verdict(&unasserted, &tested(healthy(), [Open, Closed, Closed])), [""; 0], "nobody said it is private");
}

#[test]
fn the_commands_that_close_it_are_those_of_the_product() {
    let remedies = |host: &str| {
        let cache =
            Cache { host: host.into(), port: 10000, rules: Rules { open_after: 1, clear_after: 1 }, ..exposed() };
        let mut watch = Watch::default();
        let _ = watch.probed(&cache, &tested(healthy(), [Passage::Open; 3]), false);
        let lines = watch.open().into_iter().flat_map(|finding| finding.remedy);
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
