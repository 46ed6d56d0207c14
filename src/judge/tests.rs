//! Whole rounds, judged: what was seen on the left, every finding that must come of it on the right.

mod resolvers;
mod saved_state;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Watch, describe};
use crate::model::{
    Alias, Answer, Cache, CacheName, Certificate, Event, Expectation, Fault, FaultKind, Finding, Isolation, Leg,
    LookupReport, Observation, Outcome, ProbeReport, Protocol, Query, RecordType, Resolution, Resolver, ResolverName,
    Rules, ServerFacts, Source, Stage, Timeouts, Timestamp, Timings, Tls, TlsSession, WireText,
};

pub(super) const HOST: &str = "orders.redis.cache.windows.net";
pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const DAY: Duration = Duration::from_hours(24);

pub(super) fn cache() -> Cache {
    let second = Duration::from_secs(1);
    Cache {
        expectation: Expectation { isolation: Some(Isolation::PrivateEndpoint), addresses: Vec::new() },
        timeouts: Timeouts { resolve: second, connect: second, tls: second, command: second, ..Timeouts::default() },
        ..Cache::new("orders", HOST, 6380)
    }
}

pub(super) fn resolution(aliases: &[&str], addresses: &[&str]) -> Resolution {
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
        application: None,
        overridden: None,
    }
}

pub(super) const PRIVATELINK: &str = "orders.privatelink.redis.cache.windows.net";

pub(super) fn leg(address: &str) -> Leg {
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

pub(super) fn failed(address: &str, stage: Stage, kind: FaultKind) -> Leg {
    let good = leg(address);
    Leg {
        tls: good.tls.filter(|_| stage > Stage::Tls),
        fault: Some(Fault::new(stage, kind, "words of the peer")),
        ..Leg::new(good.address, good.dialled)
    }
}

pub(super) fn report(resolution: Resolution, legs: Vec<Leg>) -> ProbeReport {
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
    pub(super) fn probed(&mut self, cache: &Cache, report: &ProbeReport, others_reach: bool) -> Vec<Event> {
        self.observe(cache, &Observation::Probe(Arc::new(report.clone())), others_reach)
    }

    pub(super) fn looked_up(&mut self, cache: &Cache, lookup: &LookupReport) -> Vec<Event> {
        self.observe(cache, &Observation::Lookup(Arc::new(lookup.clone())), false)
    }
}

impl Finding {
    /// The remedy as it is written, a line a step.
    pub(super) fn remedy_lines(&self) -> Vec<String> {
        self.remedy.iter().map(ToString::to_string).collect()
    }
}

pub(super) fn healthy() -> ProbeReport {
    report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![leg("10.20.1.4")])
}

pub(super) fn no_address(aliases: &[&str], kind: FaultKind) -> ProbeReport {
    let fault = Some(Fault::new(Stage::Resolve, kind, "words of the resolver"));
    report(Resolution { fault, ..resolution(aliases, &[]) }, Vec::new())
}

/// What one round says, as `id severity`, where every condition opens at once.
pub(super) fn verdict(cache: &Cache, report: &ProbeReport) -> Vec<String> {
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

/// The kinds of events that rounds gave, one list a round.
pub(super) fn story(cache: &Cache, rounds: &[ProbeReport]) -> Vec<Vec<String>> {
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
