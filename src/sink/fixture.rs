//! Rounds made by hand, for the tests of the sinks and of HTTP.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    AddressClass, Alias, Answer, Auth, Cache, CacheName, Certificate, Doubt, Errand, Event, EventKind, Expectation,
    Exposure, ExposureReport, Fault, FaultKind, Finding, FindingId, Isolation, Leg, Mode, Opening, Passage,
    ProbeReport, Resolution, Resolver, ResolverName, Role, Round, Rules, ServerFacts, Severity, Source, Stage,
    Thresholds, Timeouts, Timestamp, Tls, TlsSession, Trial, WireText,
};

/// When the first probe of every test began.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000)
}

/// A cache behind a private endpoint, asked for through the system's resolver.
pub(crate) fn cache(name: &str) -> Cache {
    let second = Duration::from_secs(1);
    Cache {
        name: CacheName::new(name),
        host: format!("{name}.redis.cache.windows.net"),
        port: 6380,
        expectation: Expectation { isolation: Some(Isolation::PrivateEndpoint), addresses: Vec::new() },
        resolvers: vec![Resolver::System],
        tls: Some(Tls::default()),
        auth: Auth::None,
        max_clients: None,
        tier: Some(("P1".to_owned(), 7_500)),
        interval: 30 * second,
        timeouts: Timeouts { total: 10 * second, resolve: second, connect: second, tls: second, command: second },
        rules: Rules { open_after: 2, clear_after: 2 },
        thresholds: Thresholds {
            headroom_warning: 0.75,
            headroom_critical: 0.9,
            certificate_warning: 30 * 86_400 * second,
            certificate_critical: 7 * 86_400 * second,
            slow_ping: second,
            ttl_long: 3_600 * second,
            retirement: Duration::from_hours(24 * 548),
        },
        control: None,
        follow_ttl: None,
        exposure: Exposure::default(),
        connect_to: Vec::new(),
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
    round(cache, report(cache, start(), Duration::from_millis(250), resolution, legs))
}

/// A round, 30 seconds later, in which the name does not exist; the finding opens in it.
pub(crate) fn name_not_found(cache: &Cache) -> Round {
    let at = start().plus(Duration::from_secs(30));
    let fault = Fault::new(Stage::Resolve, FaultKind::NameNotFound, "NXDOMAIN");
    let resolution = Resolution { chain: Vec::new(), fault: Some(fault), ..resolution(cache, &[]) };
    let mut round = round(cache, report(cache, at, Duration::from_millis(2), resolution, Vec::new()));
    round.open.push(Finding {
        id: FindingId::DnsNameNotFound,
        severity: Severity::Unavailable,
        cache: cache.name.clone(),
        stage: Stage::Resolve,
        summary: format!("{} does not exist", cache.host),
        evidence: vec!["10.0.0.4:53 says NXDOMAIN".to_owned()],
        remedy: vec![format!("az redis show --name {}", cache.name)],
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
    let report = report(cache, at, Duration::from_millis(2), resolution(cache, addresses), Vec::new());
    Round { errand: Errand::Lookup, ..round(cache, report) }
}

/// The first of two bad rounds of a cache that wants a password.
pub(crate) fn doubt() -> Doubt {
    Doubt {
        finding: FindingId::AuthRequired,
        severity: Severity::Unavailable,
        stage: Stage::Auth,
        summary: "the server asks for a password".to_owned(),
        bad_rounds: 1,
        open_after: 2,
    }
}

fn round(cache: &Cache, report: ProbeReport) -> Round {
    Round {
        errand: Errand::Probe,
        cache: Arc::new(cache.clone()),
        report: Arc::new(report),
        open: Vec::new(),
        doubts: Vec::new(),
        next: None,
        exhaustion: None,
        events: Vec::new(),
    }
}

fn report(cache: &Cache, at: Timestamp, took: Duration, resolution: Resolution, legs: Vec<Leg>) -> ProbeReport {
    ProbeReport {
        cache: cache.name.clone(),
        at,
        took,
        resolutions: vec![resolution],
        legs,
        fault: None,
        control_reached: None,
        exposure: None,
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
