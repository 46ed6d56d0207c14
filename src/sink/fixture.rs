//! Rounds made by hand, for the tests of the sinks and of HTTP.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    AddressClass, Alias, Answer, Cache, Certificate, Event, EventKind, Expectation, ExposureReport, Fault, FaultKind,
    Finding, FindingId, Isolation, Leg, LookupReport, Mode, Observation, Opening, Passage, Pending, ProbeReport,
    Resolution, ResolverName, Role, Round, ServerFacts, Severity, Source, Stage, Step, Timestamp, TlsSession, Trial,
    Verdict, WireText,
};

/// When the first probe of every test began.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000)
}

/// A cache behind a private endpoint, asked for through the system's resolver.
pub(crate) fn cache(name: &str) -> Cache {
    Cache {
        expectation: Expectation { isolation: Some(Isolation::PrivateEndpoint), addresses: Vec::new() },
        tier: Some(("P1".to_owned(), 7_500)),
        ..Cache::new(name, &format!("{name}.redis.cache.windows.net"), 6380)
    }
}

/// A round in which everything is as it should be.
pub(crate) fn healthy(cache: &Cache) -> Round {
    leading_to(cache, &["10.20.1.4"])
}

/// A healthy round in which the name leads to these addresses.
pub(crate) fn leading_to(cache: &Cache, addresses: &[&str]) -> Round {
    let legs = addresses.iter().map(|address| leg(cache, address)).collect();
    let resolution = resolution(cache, addresses);
    probed(cache, led_to(cache, start(), resolution), Duration::from_millis(250), legs)
}

/// A round, 30 seconds later, in which the name does not exist; the finding opens in it.
pub(crate) fn name_not_found(cache: &Cache) -> Round {
    let at = start().plus(Duration::from_secs(30));
    let fault = Fault::new(Stage::Resolve, FaultKind::NameNotFound, "NXDOMAIN");
    let resolution = Resolution { chain: Vec::new(), fault: Some(fault), ..resolution(cache, &[]) };
    let mut round = probed(cache, led_to(cache, at, resolution), Duration::from_millis(2), Vec::new());
    round.verdict.open.push(Finding {
        id: FindingId::DnsNameNotFound,
        severity: Severity::Unavailable,
        cache: cache.name.clone(),
        stage: Stage::Resolve,
        summary: format!("{} does not exist", cache.host),
        evidence: vec!["10.0.0.4:53 says NXDOMAIN".to_owned()],
        remedy: vec![Step::Run(format!("az redis show --name {}", cache.name))],
        since: at,
    });
    round.events.push(Event {
        finding: Some(FindingId::DnsNameNotFound),
        severity: Some(Severity::Unavailable),
        ..Event::new(at, Some(cache.name.clone()), EventKind::FindingOpened)
    });
    round
}

/// What came of a test for the port without TLS.
pub(crate) fn plain_port(passage: Passage) -> ExposureReport {
    let trial = Trial {
        opening: Opening::PlainPort,
        version: None,
        address: [10, 20, 1, 4].into(),
        class: AddressClass::Private,
        dialled: ([10, 20, 1, 4], 6379).into(),
        passage,
        stage: Stage::Ping,
        detail: WireText::new("words of the test"),
        tls: None,
        took: Duration::from_millis(1),
    };
    ExposureReport { resolution: None, trials: vec![trial], took: Duration::from_millis(1) }
}

/// A lookup between two probes, in which the name leads to these addresses.
pub(crate) fn looked_up(cache: &Cache, addresses: &[&str]) -> Round {
    let at = start().plus(Duration::from_secs(10));
    round(cache, Observation::Lookup(Arc::new(led_to(cache, at, resolution(cache, addresses)))))
}

/// The first of two bad rounds of a cache that wants a password.
pub(crate) fn pending() -> Pending {
    Pending {
        finding: FindingId::AuthRequired,
        severity: Severity::Unavailable,
        stage: Stage::Auth,
        summary: "the server asks for a password".to_owned(),
        bad_rounds: 1,
        open_after: 2,
    }
}

/// This round, where what it saw has not been seen often enough to open.
pub(crate) fn suspicious(round: Round) -> Round {
    Round { verdict: Verdict { pending: vec![pending()], ..Verdict::default() }, events: Vec::new(), ..round }
}

fn round(cache: &Cache, seen: Observation) -> Round {
    Round { cache: Arc::new(cache.clone()), seen, verdict: Verdict::default(), events: Vec::new(), next: None }
}

fn probed(cache: &Cache, lookup: LookupReport, took: Duration, legs: Vec<Leg>) -> Round {
    let report = ProbeReport { took, ..ProbeReport::new(lookup, legs) };
    round(cache, Observation::Probe(Arc::new(report)))
}

fn led_to(cache: &Cache, at: Timestamp, resolution: Resolution) -> LookupReport {
    LookupReport { took: Duration::from_millis(2), resolutions: vec![resolution], ..LookupReport::new(cache, at) }
}

/// What the resolvers said in this round.
pub(crate) fn lookup(round: &mut Round) -> &mut LookupReport {
    match &mut round.seen {
        Observation::Probe(report) => &mut Arc::make_mut(report).lookup,
        Observation::Lookup(report) => Arc::make_mut(report),
    }
}

/// What the probe of this round saw.
pub(crate) fn report(round: &mut Round) -> &mut ProbeReport {
    match &mut round.seen {
        Observation::Probe(report) => Arc::make_mut(report),
        Observation::Lookup(_) => panic!("the round of a lookup"),
    }
}

fn resolution(cache: &Cache, addresses: &[&str]) -> Resolution {
    let target = cache.host.replacen('.', ".privatelink.", 1);
    Resolution {
        resolver: ResolverName::new(ResolverName::SYSTEM),
        source: Source::Dns,
        name: WireText::new(&cache.host),
        searched: false,
        chain: vec![Alias { owner: WireText::new(&cache.host), target: WireText::new(&target), ttl: 300 }],
        addresses: addresses.iter().map(|address| Answer::new(address.parse().unwrap(), Some(10))).collect(),
        addresses_dropped: 0,
        queries: Vec::new(),
        took: Duration::from_millis(2),
        fault: None,
        application: None,
        overridden: None,
    }
}

fn leg(cache: &Cache, address: &str) -> Leg {
    let address = address.parse().unwrap();
    let mut leg = Leg::new(address, cache.dial(address));
    for (stage, took) in [(Stage::Connect, 4), (Stage::Tls, 8), (Stage::Ping, 16)] {
        leg.timings.set(stage, Duration::from_millis(took));
    }
    leg.tls = Some(TlsSession {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
        server_name: cache.host.clone(),
        verified: true,
        chain: vec![certificate(&cache.host, 1_760_000_000), certificate("Test CA", 1_750_000_000)],
    });
    leg.server = Some(ServerFacts {
        version: Some(WireText::new("6.0.14")),
        role: Some(Role::Primary),
        mode: Some(Mode::Standalone),
        connected_clients: Some(750),
        max_clients: Some(7_500),
        rejected_connections: Some(3),
        ..ServerFacts::default()
    });
    leg
}

fn certificate(subject: &str, not_after: i64) -> Certificate {
    Certificate {
        subject: WireText::new(subject),
        issuer: WireText::new("Test CA"),
        names: vec![WireText::new(subject)],
        serial: WireText::new("01"),
        not_before: Timestamp::from_unix_seconds(1_600_000_000),
        not_after: Timestamp::from_unix_seconds(not_after),
    }
}
