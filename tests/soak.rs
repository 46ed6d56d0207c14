//! The daemon at length. Not part of `cargo test`; `make soak` runs it, or one of these:
//!
//! ```text
//! cargo test --test soak                                                   ten minutes of changes
//! cargo test --test soak -- 60                                             one minute of them
//! cargo test --test soak -- --caches 1000 --resolvers 3 --interval 30      a thousand caches, for three intervals
//! ```
//!
//! The first watches two caches while the server stops and starts, names move, lookups fail and the configuration is
//! reloaded, and holds that metrics show each change within one interval, that no series is left over, and that memory
//! and open files stay flat. The second gives the daemon one core, and holds that no probe is late by more than a second,
//! that starts are spread, and that every resolver is asked by every probe. `--profile bench` before `--test` measures the
//! program as it is released, and not as it is built for tests.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![expect(clippy::float_cmp, reason = "a scrape holds whole numbers, and they come through unharmed")]

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use testlab::{
    crowd::{Crowd, Schedule, Size},
    dns::Answer,
    fleet::{Fleet, PRIVATE, PUBLIC, host},
    program::Daemon,
    scrape::Scrape,
};

const MIB: u64 = 1 << 20;
const USAGE: &str = "usage: soak [SECONDS] | soak --caches NUMBER [--resolvers NUMBER] --interval SECONDS [--plain]";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => soak(Duration::from_mins(10)),
        [time] if seconds(time).is_some() => soak(seconds(time).unwrap()),
        ref options => match size(options) {
            Some(size) => schedule(size),
            None => return refuse(),
        },
    }
    ExitCode::SUCCESS
}

fn size(options: &[&str]) -> Option<Size> {
    let mut size = Size { caches: 0, resolvers: 1, interval: Duration::ZERO, tls: true, one_core: true };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--caches" => size.caches = options.next()?.parse().ok()?,
            "--resolvers" => size.resolvers = options.next()?.parse().ok()?,
            "--interval" => size.interval = seconds(options.next()?)?,
            "--plain" => size.tls = false,
            _ => return None,
        }
    }
    (size.caches > 0 && size.resolvers > 0 && !size.interval.is_zero()).then_some(size)
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
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
/// What the daemon may take of the one core it has, with room for what else the core has to do.
const MOST_OF_A_CORE: f64 = 0.9;
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
    fleet: Fleet,
    daemon: Daemon,
    changes: u32,
    slowest: Duration,
    /// The series of the cache that everything happens to, whenever all is well.
    healthy: Option<Vec<String>>,
}

impl Story {
    fn begin() -> Self {
        let fleet = Fleet::new();
        for name in ["carts", "orders", "sessions"] {
            fleet.lead(name, PRIVATE);
        }
        let daemon = Daemon::start(&configuration(&fleet, &["carts", "orders"]));
        daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
        Self { fleet, daemon, changes: 0, slowest: Duration::ZERO, healthy: None }
    }

    /// Everything that can change, once, and back.
    fn turn(&mut self) {
        self.well();

        self.fleet.server.stop();
        self.shows("the server is gone", SLACK, |scrape| {
            let unknown =
                ["clients_headroom_ratio", "clients_connected", "tls_chain_verified", "tls_info", "server_info"];
            success(scrape) == Some(0.0) && unknown.iter().all(|name| of(scrape, name).is_empty())
        });
        self.fleet.server.restart();
        self.shows("the server is back", SLACK, |scrape| success(scrape) == Some(1.0));

        self.fleet.lead("orders", PUBLIC);
        self.shows("the name leads to the public", SLACK, |scrape| {
            let expected = value(scrape, "dns_as_expected", &[]) == Some(0.0);
            let told = value(scrape, "finding_open", &[("finding", "dns-zone-not-linked")]) == Some(1.0);
            expected && told && addresses(scrape) == [PUBLIC.to_string()]
        });
        self.fleet.names.set(&host("orders"), Answer::new().servfail());
        self.shows("lookups fail", SLACK, |scrape| {
            let unknown = ["dns_addresses", "dns_address_info", "dns_ttl_seconds", "address_reachable", "tls_info"];
            success(scrape) == Some(0.0) && unknown.iter().all(|name| of(scrape, name).is_empty())
        });
        self.fleet.lead("orders", PRIVATE);
        self.shows("the name leads back", SLACK, |scrape| addresses(scrape) == [PRIVATE.to_string()]);

        self.daemon.configure(&configuration(&self.fleet, &["carts", "orders", "sessions"]));
        self.daemon.signal(rustix::process::Signal::HUP);
        self.shows("a cache is added", SLACK, |scrape| caches(scrape) == ["carts", "orders", "sessions"]);
        self.daemon.configure("[[caches]]\nname = 1\n");
        self.shows("a configuration is refused", FILE + SLACK, |scrape| {
            scrape.value("cachewatch_config_last_reload_successful", &[]) == Some(0.0)
        });
        self.daemon.configure(&configuration(&self.fleet, &["carts", "orders"]));
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

fn configuration(fleet: &Fleet, names: &[&str]) -> String {
    let interval = INTERVAL.as_secs();
    let mut text = fleet.settings(&format!("interval = \"{interval}s\"\ntimeout = \"1900ms\"\njitter = 0.0\n"));
    for name in names {
        text += &fleet.cache(name, "isolation = \"private_endpoint\"");
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

/// Watches very many caches on one core, for three intervals and more.
fn schedule(size: Size) {
    /// The first comes sooner than an interval, so that a start is not blind.
    const ROUNDS: u32 = 4;
    let crowd = Crowd::of(size);
    let (mut before, mut used) = (Duration::ZERO, Duration::ZERO);
    for rounds in 1..=ROUNDS {
        let elapsed = crowd.wait_for_rounds(rounds);
        let processor = crowd.daemon.processor_time();
        // Who is asked is read first: what is asked meanwhile is not missing then.
        let questions = crowd.questions();
        let schedule = crowd.schedule();
        let (memory, files) = (crowd.daemon.resident_bytes() / 1024, crowd.daemon.open_files());
        let share = (processor - used).as_secs_f64() / (elapsed - before).as_secs_f64();
        tell(format_args!(
            "round {rounds} after {:.1} s: {} probes and {} lookups beside them, none later than {} s; {memory} KiB, {files} files, \
             {:.1} % of one core, {:.2} ms a probe; questions {questions:?}; starts over the interval {:?}",
            elapsed.as_secs_f64(),
            schedule.started,
            schedule.looks,
            schedule.latest,
            100.0 * share,
            1000.0 * processor.as_secs_f64() / schedule.started,
            schedule.spread,
        ));
        (before, used) = (elapsed, processor);
        assert_eq!(schedule.late, 0.0, "{schedule:?}");
        assert!(share < MOST_OF_A_CORE, "{share} of one core");
        every_lookup_is_counted(size, rounds, &questions, &schedule);
        if rounds < ROUNDS {
            continue;
        }
        let even = size.caches / schedule.spread.len();
        let is_spread = schedule.spread.iter().all(|part| (even / 2..=even * 3 / 2 + 1).contains(part));
        assert!(is_spread || size.caches < 500, "{schedule:?}");
    }
}

/// Every resolver is asked for IPv4 and for IPv6 addresses by every probe and every lookup beside the probes, and for
/// nothing else.
fn every_lookup_is_counted(size: Size, rounds: u32, questions: &[usize], schedule: &Schedule) {
    let ended = size.caches * usize::try_from(rounds).unwrap();
    for asked in questions {
        assert!(*asked >= 2 * ended, "{asked} questions by {ended} probes");
        let asked = f64::from(u32::try_from(*asked).unwrap());
        // A lookup under way is not counted yet; as many as probes may be.
        let errands = schedule.started + schedule.looks + 64.0;
        assert!(
            asked <= 2.0 * errands,
            "{asked} questions by {} probes and {} lookups",
            schedule.started,
            schedule.looks
        );
    }
    // A probe may end while the metrics are written.
    let least = schedule.rounds.0 - 1.0;
    let all_count = schedule.lookups.iter().all(|lookups| *lookups >= least.max(1.0));
    assert!(all_count && schedule.lookups.len() == size.resolvers, "{schedule:?}");
}
