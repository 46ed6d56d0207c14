//! The daemon at length. Not part of `cargo test`; `make soak` runs it, or one of these:
//!
//! ```text
//! cargo test --test soak                                     ten minutes of changes
//! cargo test --test soak -- 60                               one minute of them
//! cargo test --test soak -- --caches 1000 --interval 30      a thousand caches, for three intervals
//! ```
//!
//! The first watches two caches while the server stops and starts, names move, lookups fail and the configuration is
//! reloaded, and holds that metrics show each change within one interval, that no series is left over, and that memory
//! and open files stay flat. The second holds that no probe is late by more than a second and that starts are spread.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![expect(clippy::float_cmp, reason = "a scrape holds whole numbers, and they come through unharmed")]

#[path = "system/support/mod.rs"]
#[expect(unused_imports, reason = "the tests of the fixtures run with the system tests")]
mod support;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use support::{
    cachewatch::Daemon,
    crowd::Crowd,
    dns::Answer,
    lab::{Lab, PRIVATE, PUBLIC, host},
    scrape::Scrape,
};

const MIB: u64 = 1 << 20;
const USAGE: &str = "usage: soak [SECONDS] | soak --caches NUMBER --interval SECONDS [--plain]";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    match arguments[..] {
        [] => soak(Duration::from_mins(10)),
        [time] if seconds(time).is_some() => soak(seconds(time).unwrap()),
        ["--caches", caches, "--interval", interval, ref plain @ ..] => match (caches.parse(), seconds(interval)) {
            (Ok(caches), Some(interval)) if caches > 0 && !interval.is_zero() => {
                schedule(caches, interval, *plain != ["--plain"]);
            }
            _ => return refuse(),
        },
        _ => return refuse(),
    }
    ExitCode::SUCCESS
}

fn refuse() -> ExitCode {
    let _ = writeln!(io::stderr(), "{USAGE}");
    ExitCode::from(2)
}

fn tell(words: std::fmt::Arguments<'_>) {
    // Who listens may have gone; the soak counts all the same.
    let _ = writeln!(io::stdout(), "{words}");
}

const INTERVAL: Duration = Duration::from_secs(2);
/// What a probe, a scrape and a busy machine may take on top of the interval.
const SLACK: Duration = Duration::from_secs(1);
/// A changed file is looked at once a second, and taken up once it has come to rest.
const FILE: Duration = Duration::from_secs(2);

/// Change after change until the time is up.
fn soak(time: Duration) {
    let mut story = Story::begin();
    let watch = Stopwatch::start();
    // The first turn makes every series there will be, and warms up what is kept.
    story.turn();
    let (memory, files) = (story.daemon.resident_bytes(), story.daemon.open_files());
    let mut turns = 1;
    while watch.elapsed() < time {
        story.turn();
        turns += 1;
        let (memory, files) = (story.daemon.resident_bytes() / 1024, story.daemon.open_files());
        let (elapsed, slowest) = (watch.elapsed().as_secs(), story.slowest.as_millis());
        tell(format_args!("{elapsed:>5} s  turn {turns:<4} {memory:>6} KiB  {files:>3} files  slowest {slowest} ms"));
    }
    let (grown, more) = (story.daemon.resident_bytes(), story.daemon.open_files());
    assert!(more <= files + 4, "from {files} to {more} open files");
    assert!(grown <= memory + memory / 10 + 2 * MIB, "from {memory} to {grown} bytes of memory");
    let changes = story.changes;
    tell(format_args!(
        "{changes} changes, each seen in time; the slowest {} ms, {memory} to {grown} bytes",
        story.slowest.as_millis()
    ));
}

/// A daemon, what it watches, and how long its metrics took to show each change.
struct Story {
    lab: Lab,
    daemon: Daemon,
    changes: u32,
    slowest: Duration,
    /// The series of the cache that everything happens to, whenever all is well.
    healthy: Option<Vec<String>>,
}

impl Story {
    fn begin() -> Self {
        let lab = Lab::new();
        for name in ["carts", "orders", "sessions"] {
            lab.lead(name, PRIVATE);
        }
        let daemon = Daemon::start(&configuration(&lab, &["carts", "orders"]));
        daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
        Self { lab, daemon, changes: 0, slowest: Duration::ZERO, healthy: None }
    }

    /// Everything that can change, once, and back.
    fn turn(&mut self) {
        self.well();

        self.lab.server.stop();
        self.shows("the server is gone", SLACK, |scrape| {
            let unknown =
                ["clients_headroom_ratio", "clients_connected", "tls_chain_verified", "tls_info", "server_info"];
            success(scrape) == Some(0.0) && unknown.iter().all(|name| of(scrape, name).is_empty())
        });
        self.lab.server.restart();
        self.shows("the server is back", SLACK, |scrape| success(scrape) == Some(1.0));

        self.lab.lead("orders", PUBLIC);
        self.shows("the name leads to the public", SLACK, |scrape| {
            let expected = value(scrape, "dns_as_expected", &[]) == Some(0.0);
            let told = value(scrape, "finding_open", &[("finding", "dns-zone-not-linked")]) == Some(1.0);
            expected && told && addresses(scrape) == [PUBLIC.to_string()]
        });
        self.lab.names.set(&host("orders"), Answer::new().servfail());
        self.shows("lookups fail", SLACK, |scrape| {
            let unknown = ["dns_addresses", "dns_address_info", "dns_ttl_seconds", "address_reachable", "tls_info"];
            success(scrape) == Some(0.0) && unknown.iter().all(|name| of(scrape, name).is_empty())
        });
        self.lab.lead("orders", PRIVATE);
        self.shows("the name leads back", SLACK, |scrape| addresses(scrape) == [PRIVATE.to_string()]);

        self.daemon.configure(&configuration(&self.lab, &["carts", "orders", "sessions"]));
        self.daemon.signal(rustix::process::Signal::HUP);
        self.shows("a cache is added", SLACK, |scrape| caches(scrape) == ["carts", "orders", "sessions"]);
        self.daemon.configure("[[caches]]\nname = 1\n");
        self.shows("a configuration is refused", FILE + SLACK, |scrape| {
            scrape.value("cachewatch_config_last_reload_successful", &[]) == Some(0.0)
        });
        self.daemon.configure(&configuration(&self.lab, &["carts", "orders"]));
        self.shows("a cache is removed", FILE + SLACK, |scrape| {
            let good = scrape.value("cachewatch_config_last_reload_successful", &[]) == Some(1.0);
            good && caches(scrape) == ["carts", "orders"]
        });

        self.well();
    }

    /// Waits until nothing is wrong any more, and compares every series with what they were when nothing was.
    fn well(&mut self) {
        self.daemon.wait_until("well", |daemon| (daemon.get("/healthz").status == 200).then_some(()));
        let scrape = self.daemon.scrape();
        if self.changes == 0 {
            return;
        }
        let mut series: Vec<_> = of(&scrape, "").into_iter().collect();
        series.sort();
        match &self.healthy {
            None => self.healthy = Some(series),
            Some(healthy) => assert_eq!(&series, healthy, "series came or went for good"),
        }
    }

    fn shows(&mut self, what: &str, slack: Duration, shown: impl Fn(&Scrape) -> bool) {
        let watch = Stopwatch::start();
        self.daemon.wait_within(INTERVAL + slack, what, |daemon| shown(&daemon.scrape()).then_some(()));
        self.slowest = self.slowest.max(watch.elapsed());
        self.changes += 1;
    }
}

fn configuration(lab: &Lab, names: &[&str]) -> String {
    let interval = INTERVAL.as_secs();
    let mut text = lab.settings(&format!("interval = \"{interval}s\"\ntimeout = \"1900ms\"\njitter = 0.0\n"));
    for name in names {
        text += &lab.cache(name, "isolation = \"private_endpoint\"");
    }
    text
}

/// The series of `orders` under this name, or under any; labels only.
fn of(scrape: &Scrape, name: &str) -> Vec<String> {
    let name = format!("cachewatch_{name}");
    let own = scrape.0.iter().filter(|sample| sample.labels.get("cache").is_some_and(|cache| cache == "orders"));
    let named = own.filter(|sample| name == "cachewatch_" || sample.name == name);
    named.map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect()
}

fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    scrape.value(&format!("cachewatch_{name}"), &[&[("cache", "orders")], labels].concat())
}

fn success(scrape: &Scrape) -> Option<f64> {
    value(scrape, "probe_success", &[])
}

fn addresses(scrape: &Scrape) -> Vec<&str> {
    let info = scrape.all("cachewatch_dns_address_info", &[("cache", "orders")]);
    info.into_iter().map(|sample| sample.labels["address"].as_str()).collect()
}

fn caches(scrape: &Scrape) -> Vec<&str> {
    let mut names: Vec<_> =
        scrape.0.iter().filter_map(|sample| sample.labels.get("cache")).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Watches very many caches for three intervals.
fn schedule(caches: usize, interval: Duration, tls: bool) {
    const ROUNDS: u32 = 3;
    let crowd = Crowd::start(caches, interval, tls);
    for rounds in 1..=ROUNDS {
        let elapsed = crowd.wait_for_rounds(rounds);
        let schedule = crowd.schedule();
        let (memory, files) = (crowd.daemon.resident_bytes() / 1024, crowd.daemon.open_files());
        let (elapsed, processor) = (elapsed.as_secs_f64(), schedule.processor_seconds);
        tell(format_args!(
            "round {rounds} after {elapsed:.1} s: {} probes, none later than {} s; {memory} KiB, {files} files, \
             {:.1} % of one processor, {:.2} ms a probe; starts over the interval {:?}",
            schedule.started,
            schedule.latest,
            100.0 * processor / elapsed,
            1000.0 * processor / schedule.started,
            schedule.spread,
        ));
        assert_eq!(schedule.late, 0.0, "{schedule:?}");
        // The first round comes sooner than its place in the interval, so that a start is not blind.
        if rounds < ROUNDS {
            continue;
        }
        let even = caches / schedule.spread.len();
        let is_spread = schedule.spread.iter().all(|part| (even / 2..=even * 3 / 2 + 1).contains(part));
        assert!(is_spread || caches < 500, "{schedule:?}");
    }
}
