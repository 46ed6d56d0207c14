//! What is tested beside the path: who is told what, and that the path does not notice.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use cachewatch::{
    clock::Stopwatch,
    model::{Cache, DialOverride, Exposure, Opening, ProbeReport, Protocol, Resolver, SystemFiles, Timeouts, Trial},
    probe::Prober,
};
use futures_util::future::join_all;
use serde_json::json;
use testlab::{
    PATIENCE,
    cache::{AMPLE, PasswordFile, SLACK, SOON, at, ending, named, only_leg, runtime, tls},
    dns::{Answer, DnsServer},
    fleet::Fleet,
    peer::{OpensslServer, Peer, Replies, Step, alert, hostile, openssl, reply},
    pki::{Authority, Leaf},
    program::{Daemon, cachewatch},
};

const NAME: &str = "orders.test";
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 4);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 50, 1, 10);
const PASSWORD: &str = "correct-horse";

/// A cache that is led to a private address by its own resolver, where all is well, and to a public one by another.
struct Site {
    authority: Authority,
    /// What the cache shows at its private address.
    cache: Peer,
    here: DnsServer,
    world: DnsServer,
    password: PasswordFile,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new();
        let cache = Peer::tls(authority.leaf(&[NAME]).server(), [Step::Serve(Replies::redis())]);
        let (here, world) = (DnsServer::start(), DnsServer::start());
        here.set(NAME, Answer::new().address(PRIVATE, 10));
        world.set(NAME, Answer::new().address(PUBLIC, 10));
        Self { authority, cache, here, world, password: PasswordFile::new(PASSWORD) }
    }

    fn resolver(&self) -> Resolver {
        Resolver::server("world", self.world.address(), Protocol::Udp)
    }

    /// The cache, with this behind its public address, and that behind the plain ports.
    fn cache(&self, public: SocketAddr, plain: Option<SocketAddr>) -> Cache {
        let redirect = |address: Ipv4Addr, port, to| DialOverride { address: address.into(), port: Some(port), to };
        let mut connect_to = vec![redirect(PRIVATE, 6380, self.cache.address()), redirect(PUBLIC, 6380, public)];
        connect_to.extend(
            plain.into_iter().flat_map(|plain| [redirect(PRIVATE, 6379, plain), redirect(PUBLIC, 6379, plain)]),
        );
        let exposure = Exposure {
            public_resolver: Some(self.resolver()),
            send_credentials: true,
            plain_port: plain.is_some(),
            legacy_tls: false,
            interval: Duration::from_mins(15),
        };
        Cache {
            tls: Some(tls(&self.authority, NAME)),
            auth: self.password.alone(),
            exposure,
            connect_to,
            ..named(NAME, self.here.address())
        }
    }
}

fn tested(cache: &Cache) -> ProbeReport {
    runtime().block_on(Prober::new(&SystemFiles::default()).walk_with_exposure(cache))
}

/// The tests for one opening, each as its outcome, stage and words.
fn told(report: &ProbeReport, opening: Opening) -> Vec<String> {
    let told = |trial: &Trial| format!("{} {}: {}", trial.passage, trial.stage, trial.detail);
    report.exposure.as_ref().unwrap().trials_of(opening).map(told).collect()
}

fn words(peer: &Peer) -> Vec<String> {
    peer.commands().iter().map(|command| command.join(" ")).collect()
}

#[test]
fn a_password_is_sent_to_who_proves_to_be_the_cache_and_to_nobody_else() {
    let site = Site::new();
    let cases = [
        ("open ping: accepted the password; answered PING with PONG", site.authority.leaf(&[NAME])),
        (
            "unclear tls: accepted TCP; the peer is not proven to be the cache: the certificate has expired",
            site.authority.expired(&[NAME]),
        ),
        (
            "unclear tls: accepted TCP; the peer is not proven to be the cache: the certificate is not valid yet",
            site.authority.not_yet_valid(&[NAME]),
        ),
        (
            "unclear tls: accepted TCP; the peer is not proven to be the cache: the certificate covers other.test, and \
          not orders.test",
            site.authority.leaf(&["other.test"]),
        ),
        (
            "unclear tls: accepted TCP; the peer is not proven to be the cache: no root trusted on this machine issued the \
          certificate",
            Leaf::self_signed(&[NAME]),
        ),
        (
            "unclear tls: accepted TCP; the peer is not proven to be the cache: no root trusted on this machine issued the \
          certificate",
            Authority::new().leaf(&[NAME]),
        ),
    ];
    for (expected, leaf) in cases {
        let public = Peer::tls(leaf.server(), [Step::Serve(Replies::redis())]);
        let cache = site.cache(public.address(), None);
        let report = tested(&cache);
        assert_eq!(told(&report, Opening::PublicPath), [expected]);
        let is_proved = expected.starts_with("open");
        let all = ["AUTH correct-horse".to_owned(), "PING".to_owned()];
        assert_eq!(words(&public), if is_proved { &all[..] } else { &[] }, "{expected}");
        assert_eq!(public.connections(), 1);

        // Nor is it sent where nobody asked for it.
        let public = Peer::tls(leaf.server(), [Step::Serve(Replies::redis().on("PING", reply::NOAUTH))]);
        let silent = Exposure { send_credentials: false, ..cache.exposure.clone() };
        let report = tested(&Cache { exposure: silent, ..site.cache(public.address(), None) });
        assert_eq!(words(&public), if is_proved { &all[1..] } else { &[] }, "{expected}");
        assert_eq!(report.exposed(Opening::PublicPath), is_proved.then_some(true));
    }
}

#[test]
fn what_speaks_no_tls_or_nothing_is_told_no_password_at_any_port() {
    let site = Site::new();
    let http = || vec![Step::Hear, Step::say("HTTP/1.1 400 Bad Request\r\n\r\n"), Step::Hold];
    let cases = [
        ("closed tls", "closed ping", vec![Step::Hear]),
        ("closed tls", "closed ping", vec![Step::Hear, Step::Reset]),
        ("closed tls", "closed ping", vec![Step::Hold]),
        ("closed tls", "closed ping", vec![Step::Hear, Step::say(alert::HANDSHAKE_FAILURE)]),
        ("unclear tls", "closed ping", http()),
        ("unclear tls", "open ping", vec![Step::Hear, Step::say(reply::NOAUTH), Step::Hold]),
    ];
    for (public_path, plain_port, steps) in cases {
        let peer = Peer::plain(steps.clone());
        let short = Timeouts { tls: SOON, command: SOON, ..AMPLE };
        let report = tested(&Cache { timeouts: short, ..site.cache(peer.address(), Some(peer.address())) });
        let begins = |told: Vec<String>, expected: &str| {
            assert!(told.iter().all(|told| told.starts_with(expected)), "{steps:?}: {told:?}");
            told.len()
        };
        assert_eq!(begins(told(&report, Opening::PublicPath), public_path), 1);
        assert_eq!(begins(told(&report, Opening::PlainPort), plain_port), 2);
        assert_eq!(ending(only_leg(&report)), "serves");
        let heard = peer.heard();
        assert!(!heard.is_empty(), "the peer does not take down what it hears");
        let says = |words: &[u8]| heard.windows(words.len()).any(|window| window == words);
        assert!(says(b"PING\r\n") && !says(b"AUTH") && !says(PASSWORD.as_bytes()), "{steps:?}: {heard:?}");
    }
}

/// A redis of the plain port is asked PING once at every address, and nothing else.
#[test]
fn the_plain_port_is_asked_for_a_sign_of_life() {
    let site = Site::new();
    let plain = Peer::plain([Step::Serve(Replies::redis())]);
    let public = Peer::plain([]);
    let report = tested(&site.cache(public.address(), Some(plain.address())));
    assert_eq!(told(&report, Opening::PlainPort), [r#"open ping: answered PING with "+PONG""#; 2]);
    assert_eq!(words(&plain), ["PING"; 2]);
    assert_eq!(report.exposed(Opening::PlainPort), Some(true));
    assert_eq!(report.exposed(Opening::LegacyTls), None, "not tested");
}

#[test]
fn an_address_that_is_used_anyhow_is_not_tested_for_itself() {
    let site = Site::new();
    site.here.set(NAME, Answer::new().address(PUBLIC, 10));
    let public = Peer::tls(site.authority.leaf(&[NAME]).server(), [Step::Serve(Replies::redis())]);
    let report = tested(&site.cache(public.address(), None));
    assert_eq!((told(&report, Opening::PublicPath), report.exposed(Opening::PublicPath)), (vec![], None));
    assert_eq!(public.connections(), 1, "the walk's own");

    site.here.set(NAME, Answer::new().address(PRIVATE, 10));
    site.world.set(NAME, Answer::new().address(PRIVATE, 10));
    let report = tested(&site.cache(public.address(), None));
    assert_eq!(report.exposed(Opening::PublicPath), Some(false), "there is no public address");
    site.world.set(NAME, Answer::new().servfail());
    let report = tested(&site.cache(public.address(), None));
    assert_eq!(report.exposed(Opening::PublicPath), None, "nobody knows the public address");
}

#[test]
fn no_door_holds_up_or_spoils_the_walk() {
    let site = Site::new();
    let total = Duration::from_secs(5);
    let limits = Timeouts { total, ..AMPLE };
    let peers: Vec<_> = hostile().into_iter().map(|(name, steps)| (name, Peer::plain(steps))).collect();
    let behind_tls =
        hostile().into_iter().map(|(name, steps)| (name, Peer::tls(site.authority.leaf(&[NAME]).server(), steps)));
    let behind_tls: Vec<_> = behind_tls.collect();
    let caches: Vec<_> = peers
        .iter()
        .chain(&behind_tls)
        .map(|(name, peer)| (name, Cache { timeouts: limits, ..site.cache(peer.address(), Some(peer.address())) }))
        .collect();
    let prober = Prober::new(&SystemFiles::default());
    let watch = Stopwatch::start();
    let reports = runtime().block_on(join_all(caches.iter().map(|(_, cache)| prober.walk_with_exposure(cache))));
    assert!(watch.elapsed() < total + SLACK, "{:?}", watch.elapsed());
    for ((name, _), report) in caches.iter().zip(&reports) {
        assert_eq!(ending(only_leg(report)), "serves", "{name}");
        let exposure = report.exposure.as_ref().unwrap();
        assert_eq!(exposure.trials.len(), 3, "{name}");
        if *name == &"never answers" {
            assert!(report.took < exposure.took, "the walk waited for the tests: {:?}", report.took);
        }
    }
    let walks = site.cache.connections();
    assert_eq!(walks, caches.len(), "one connection a walk");
}

#[test]
fn each_old_version_is_asked_for_by_itself() {
    let authority = Authority::new();
    let leaf = authority.leaf(&[NAME]);
    let old = |version: &'static str| vec![version, "-cipher", "ALL:@SECLEVEL=0"];
    let refused = "closed tls: refused with the alert protocol_version";
    let taken = "open tls: accepted with a ServerHello";
    let cases = [
        (openssl::TLS_1_1.to_vec(), [refused, taken]),
        (old("-tls1"), [taken, "closed tls: not accepted: the server chose TLS 1.0 instead"]),
        (old("-tls1_2"), [refused; 2]),
        (old("-tls1_3"), [refused; 2]),
    ];
    let cache = |address| {
        let exposure = Exposure { legacy_tls: true, ..Exposure::default() };
        // OpenSSL's server takes one client after the other, and says nothing to PING.
        let timeouts = Timeouts { command: SOON, ..AMPLE };
        Cache { tls: Some(tls(&authority, NAME)), exposure, timeouts, ..at(address) }
    };
    for (arguments, expected) in cases {
        let server = OpensslServer::start(&leaf, &arguments);
        assert_eq!(told(&tested(&cache(server.address())), Opening::LegacyTls), expected, "{arguments:?}");
    }
    for (steps, expected) in [
        (vec![Step::Hear], "closed tls: refused: closed by the peer"),
        (vec![Step::Hear, Step::say(alert::HANDSHAKE_FAILURE)], "closed tls: refused with the alert handshake_failure"),
        (
            vec![Step::Hear, Step::say("-ERR what?\r\n")],
            r#"unclear tls: the peer answered "-ERR what?", which is not TLS"#,
        ),
        (vec![Step::Hold], "unclear tls: no answer within 1s"),
    ] {
        let peer = Peer::plain(steps);
        let timeouts = Timeouts { tls: SOON, ..AMPLE };
        let report = tested(&Cache { timeouts, ..cache(peer.address()) });
        assert_eq!(told(&report, Opening::LegacyTls), [expected; 2]);
    }
}

/// A daemon's cache, with that behind its plain port.
fn with_plain_port(fleet: &Fleet, address: SocketAddr) -> String {
    fleet.lead("orders", PRIVATE);
    let settings = fleet.settings("interval = \"1s\"\ntimeout = \"900ms\"\njitter = 0.0\n");
    let more = "isolation = \"private_endpoint\"\nexposure.plain_port = true";
    let plain = format!("connect_to = [\"{PRIVATE}:6379={address}\", ");
    settings + &fleet.cache("orders", more).replace("connect_to = [", &plain)
}

#[test]
fn the_daemon_tests_in_its_first_round_and_remembers() {
    let fleet = Fleet::new();
    let plain = Peer::plain([Step::Serve(Replies::redis())]);
    let daemon = Daemon::start(&with_plain_port(&fleet, plain.address()));
    let scrape = daemon.wait_until("five rounds", |daemon| {
        let scrape = daemon.scrape();
        let rounds = scrape.value("cachewatch_probes_total", &[("cache", "orders")]);
        (rounds >= Some(5.0)).then_some(scrape)
    });
    assert_eq!(plain.connections(), 1, "the next test is a quarter of an hour away");
    let open = |name, labels: &[(&str, &str)]| scrape.value(name, &[&[("cache", "orders")], labels].concat());
    assert_eq!(open("cachewatch_exposure_open", &[("kind", "plain_port")]), Some(1.0));
    let finding = [("finding", "plain-port-open"), ("severity", "3")];
    assert_eq!(open("cachewatch_finding_open", &finding), Some(1.0), "two good rounds are no test");
    assert_eq!(open("cachewatch_findings_total", &finding), Some(1.0));
}

#[test]
fn a_check_tests_in_its_one_round_and_shows_it() {
    let fleet = Fleet::new();
    let plain = Peer::plain([Step::Serve(Replies::redis())]);
    let files = tempfile::TempDir::new().unwrap();
    let file = files.path().join("cachewatch.toml");
    std::fs::write(&file, with_plain_port(&fleet, plain.address())).unwrap();
    let check =
        |format| cachewatch(&["check", "--format", format, "--config", &file.to_string_lossy()]).within(PATIENCE).run();
    let run = check("json");
    let document = run.json();
    let mut exposure = document["caches"][0]["report"]["exposure"].clone();
    assert!(exposure["took_seconds"].is_f64() && exposure["trials"][0]["took_seconds"].is_f64());
    exposure["took_seconds"] = json!("_");
    exposure["trials"][0]["took_seconds"] = json!("_");
    let expected = json!({
        "resolution": null,
        "trials": [{
            "opening": "plain_port", "version": null, "address": "10.20.1.4", "class": "private",
            "dialled": plain.address().to_string(), "passage": "open", "stage": "ping",
            "detail": "answered PING with \"+PONG\"", "tls": null, "took_seconds": "_",
        }],
        "took_seconds": "_",
    });
    assert_eq!(exposure, expected);
    assert_eq!(document["caches"][0]["findings"][0]["id"], "plain-port-open");
    assert_eq!(run.code, Some(1));
    let text = check("text").stdout;
    assert!(text.contains("  exposure OPEN ") && text.contains("port without TLS: 10.20.1.4:"), "{text}");
    assert!(text.contains(&format!("dialled as {} (connect_to)", plain.address())), "{text}");
}
