//! Peers no probe should hang on, grow on or fall over: each is walked to over a plain port, over TLS, and as a TLS port
//! that it is not.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use cachewatch::{
    model::{Cache, DialOverride, ProbeReport, SystemFiles, Timeouts, Tls},
    probe::Prober,
};
use futures_util::future::join_all;
use tempfile::TempDir;
use testlab::{
    cache::{AMPLE, SLACK, at, ending, only_leg, runtime, tls},
    peer::{Peer, hostile},
    pki::Authority,
    process::in_a_process_of_its_own,
    program::Daemon,
};

const NAME: &str = "orders.test";

/// What a stage, or the whole walk, may take: long enough for every flood to be seen through on a busy machine.
const LIMIT: Duration = Duration::from_secs(8);

/// Each peer, and how a walk to it ends: in plain text, over TLS, and where it is taken for a TLS port.
///
/// A peer that resets at once may be quicker than the end of the dialling.
const ENDINGS: &[(&str, [&str; 3])] = &[
    ("closes at once", ["ping closed", "ping closed", "tls closed"]),
    ("closes when spoken to", ["ping closed", "ping closed", "tls closed"]),
    ("resets at once", ["ping closed|connect closed", "ping closed", "tls closed|connect closed"]),
    ("resets when spoken to", ["ping closed", "ping closed", "tls closed"]),
    ("never answers", ["ping timeout", "ping timeout", "tls timeout"]),
    ("one byte a second", ["ping timeout", "ping timeout", "tls not_tls"]),
    ("endless bulk string", ["ping reply_too_large", "ping reply_too_large", "tls not_tls"]),
    ("endless line", ["ping reply_too_large", "ping reply_too_large", "tls not_tls"]),
    ("a promise of a huge bulk string", ["ping reply_too_large", "ping reply_too_large", "tls not_tls"]),
    ("a promise of a huge array", ["ping not_redis", "ping not_redis", "tls not_tls"]),
    ("deep nesting", ["ping not_redis", "ping not_redis", "tls not_tls"]),
    ("half a reply, then the end", ["ping closed", "ping closed", "tls not_tls"]),
    ("half a reply, then nothing", ["ping timeout", "ping timeout", "tls not_tls"]),
    ("a million values in one", ["ping not_redis", "ping not_redis", "tls not_tls"]),
    (
        "a million values in INFO",
        ["serves, noting inspect not_redis", "serves, noting inspect not_redis", "tls not_tls"],
    ),
    ("a promise of a large INFO", ["serves, noting inspect timeout", "serves, noting inspect timeout", "tls not_tls"]),
    ("INFO that is no text", ["serves", "serves", "tls not_tls"]),
    ("a reply before it is asked", ["ping out_of_step", "ping out_of_step", "tls not_tls"]),
    ("two replies to one command", ["ping out_of_step", "ping out_of_step", "tls not_tls"]),
    ("two errors to one command", ["ping out_of_step", "ping out_of_step", "tls not_tls"]),
    ("a push", ["ping out_of_step|ping not_redis", "ping out_of_step|ping not_redis", "tls not_tls"]),
    ("an error first", ["ping client_limit", "ping client_limit", "tls not_tls"]),
    ("garbage", ["ping not_redis", "ping not_redis", "tls not_tls"]),
    ("an HTTP server", ["ping not_redis", "ping not_redis", "tls not_tls"]),
    (
        "2 MiB of INFO",
        ["serves, noting inspect reply_too_large", "serves, noting inspect reply_too_large", "tls not_tls"],
    ),
];

/// Every peer in its three guises, in the order of [`ENDINGS`].
struct Zoo {
    authority: Authority,
    peers: Vec<[Peer; 3]>,
}

impl Zoo {
    fn open() -> Self {
        let authority = Authority::new();
        let server = authority.leaf(&[NAME]).server();
        let guises =
            |steps: Vec<_>| [Peer::plain(steps.clone()), Peer::tls(server.clone(), steps.clone()), Peer::plain(steps)];
        let (names, peers): (Vec<_>, _) = hostile().into_iter().map(|(name, steps)| (name, guises(steps))).unzip();
        assert_eq!(names, ENDINGS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "the table and the zoo differ");
        Self { authority, peers }
    }

    fn caches(&self, timeouts: Timeouts) -> Vec<Cache> {
        let tls = || Some(tls(&self.authority, NAME));
        let guises = |[plain, over_tls, not_tls]: &[Peer; 3]| {
            [
                Cache { timeouts, ..at(plain.address()) },
                Cache { timeouts, tls: tls(), ..at(over_tls.address()) },
                Cache { timeouts, tls: tls(), ..at(not_tls.address()) },
            ]
        };
        self.peers.iter().flat_map(guises).collect()
    }
}

/// Walks to all of them at once.
fn walk_all(caches: &[Cache]) -> Vec<ProbeReport> {
    let prober = Prober::new(&SystemFiles::default());
    runtime().block_on(join_all(caches.iter().map(|cache| prober.walk(cache))))
}

#[track_caller]
fn assert_endings(timeouts: Timeouts) {
    let zoo = Zoo::open();
    let reports = walk_all(&zoo.caches(timeouts));
    let guises = ["in plain text", "over TLS", "taken for TLS"];
    let expected = ENDINGS.iter().flat_map(|(name, endings)| {
        guises.iter().zip(endings).map(move |(guise, ending)| (format!("{name}, {guise}"), *ending))
    });
    let mut wrong = Vec::new();
    for (report, (name, expected)) in reports.iter().zip(expected) {
        let (leg, took) = (only_leg(report), report.took);
        let ending = ending(leg);
        if !expected.split('|').any(|expected| ending == expected) || took >= timeouts.total + SLACK {
            wrong.push(format!("{name}: {ending} after {took:?}, not {expected}: {:?}", leg.fault));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_stage_ends_at_its_limit_and_names_what_it_met() {
    assert_endings(Timeouts { tls: LIMIT, command: LIMIT, ..AMPLE });
}

#[test]
fn the_whole_walk_ends_at_its_limit_and_names_what_it_met() {
    assert_endings(Timeouts { total: LIMIT, ..AMPLE });
}

#[test]
fn no_peer_makes_the_probe_grow() {
    let zoo = Zoo::open();
    let caches = zoo.caches(AMPLE);
    let addresses: Vec<_> = caches.iter().map(|cache| format!("{}={}", cache.port, cache.tls.is_some())).collect();
    let environment = [("PEERS", addresses.join(" ")), ("CA_FILE", zoo.authority.ca_file().display().to_string())];
    in_a_process_of_its_own("hostile::walks_to_given_peers_within_little_memory", &environment);
}

#[test]
#[ignore = "measures its whole process; `no_peer_makes_the_probe_grow` runs it in one of its own"]
fn walks_to_given_peers_within_little_memory() {
    /// What one probe may cost.
    const MOST_KIB: u64 = 4 << 10;
    const BRIEF: Duration = Duration::from_millis(500);
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let ca_file = PathBuf::from(variable("CA_FILE"));
    let timeouts = Timeouts { tls: BRIEF, command: BRIEF, ..AMPLE };
    let cache = |peer: &str| {
        let (port, is_tls) = peer.split_once('=').unwrap();
        let tls = Tls { ca_file: Some(ca_file.clone()), server_name: Some(NAME.to_owned()) };
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        Cache { timeouts, tls: (is_tls == "true").then_some(tls), ..at(address) }
    };
    let caches: Vec<_> = variable("PEERS").split(' ').map(cache).collect();
    assert_eq!(caches.len(), 3 * ENDINGS.len());
    // Roots, code and the pool of threads are there from the first walk on.
    let files = TempDir::new().unwrap();
    let hosts = files.path().join("hosts");
    let lines: Vec<_> = sixteen().map(|address| format!("{address} {NAME}")).collect();
    fs::write(&hosts, lines.join("\n")).unwrap();
    let host_conf = files.path().join("host.conf");
    fs::write(&host_conf, "multi on\n").unwrap();
    let prober = Prober::new(&SystemFiles { hosts, host_conf, ..SystemFiles::default() });
    let runtime = runtime();
    for cache in &caches[..3] {
        runtime.block_on(prober.walk(&behind_sixteen(cache)));
    }
    let mut most = Vec::new();
    for (cache, name) in caches.iter().zip(ENDINGS.iter().flat_map(|(name, _)| [name; 3])) {
        let cache = behind_sixteen(cache);
        let before = reset_peak();
        let report = runtime.block_on(prober.walk(&cache));
        assert_eq!(report.legs.len(), 16, "{name}");
        let grown = memory("VmHWM").saturating_sub(before);
        most.push((grown, name));
    }
    most.sort_unstable();
    let (grown, name) = most.last().expect("there are peers");
    assert!(*grown <= MOST_KIB, "a probe of {name} grew by {grown} KiB: {most:?}");
}

/// As many addresses as one name has at the most.
fn sixteen() -> impl Iterator<Item = IpAddr> {
    (1..=16).map(|last| IpAddr::from([10, 20, 1, last]))
}

/// The same peer behind each of them: every one is a leg of its own.
fn behind_sixteen(cache: &Cache) -> Cache {
    let to = SocketAddr::from(([127, 0, 0, 1], cache.port));
    let connect_to = sixteen().map(|address| DialOverride { address, port: None, to }).collect();
    Cache { host: NAME.to_owned(), connect_to, ..cache.clone() }
}

/// Forgets the most memory this process ever had; what it has now, in KiB.
fn reset_peak() -> u64 {
    fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process reset its own peak");
    memory("VmRSS")
}

/// A field of this process's status, in KiB: `VmRSS` is now, `VmHWM` the most so far.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells a process about itself");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("every process has memory");
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse().expect("a number of KiB")
}

/// Eight caches of sixteen addresses each, with the dearest replies there are, watched at once.
#[test]
fn a_daemon_stays_small_whatever_its_caches_answer() {
    const MOST_KIB: u64 = 48 << 10;
    let dearest =
        ["a million values in one", "a million values in INFO", "a promise of a large INFO", "INFO that is no text"];
    let peers = hostile().into_iter().filter(|(name, _)| dearest.contains(name));
    let peers: Vec<_> = peers.flat_map(|(_, steps)| [Peer::plain(steps.clone()), Peer::plain(steps)]).collect();
    assert_eq!(peers.len(), 8);
    let files = TempDir::new().unwrap();
    let hosts = files.path().join("hosts");
    let lines: Vec<_> = sixteen().map(|address| format!("{address} {NAME}")).collect();
    fs::write(&hosts, lines.join("\n")).unwrap();
    let mut configuration = format!("[probe]\ninterval = \"2s\"\ntimeout = \"1900ms\"\nhosts_file = {hosts:?}\n");
    for (index, peer) in peers.iter().enumerate() {
        let address = peer.address();
        let connect_to: Vec<_> = sixteen().map(|from| format!("{from}={address}")).collect();
        let _ =
            writeln!(configuration, "[[caches]]\nname = \"c{index}\"\nhost = \"{NAME}\"\nport = {}", address.port());
        let _ = writeln!(configuration, "tls.enabled = false\nconnect_to = {connect_to:?}");
    }
    let daemon = Daemon::start(&configuration);
    daemon.wait_until("every cache was probed several times", |daemon| {
        let scrape = daemon.scrape();
        let probes = (0..peers.len()).map(|index| {
            let cache = format!("c{index}");
            scrape.value("cachewatch_probes_total", &[("cache", &cache)]).unwrap_or(0.0)
        });
        probes.fold(f64::INFINITY, f64::min).ge(&5.0).then_some(())
    });
    assert!(peers.iter().all(|peer| peer.connections() >= 16), "each address is dialled");
    let most = daemon.most_resident_bytes() >> 10;
    assert!(most < MOST_KIB, "{most} KiB");
}
