//! A daemon with very many caches, and what its own metrics say of its schedule.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use cachewatch::clock::Stopwatch;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use super::{
    dns::{Answer, DnsServer},
    fleet::{Fleet, RESOLVER, host},
    program::{Daemon, field},
    scrape::Scrape,
    starvation::Starvation,
};

/// Into how many equal parts the interval is cut to see how starts are spread.
pub const PARTS: usize = 10;

/// How large a crowd is, and how it is watched.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// How many caches are watched.
    pub caches: usize,
    /// How many resolvers are asked for each cache; every one has a name server of its own.
    pub resolvers: usize,
    /// From one probe of a cache to the next.
    pub interval: Duration,
    /// Over TLS each probe costs a handshake, on a plain port next to nothing.
    pub tls: bool,
    /// Whether the daemon is held to one core, as `taskset` would.
    pub one_core: bool,
}

/// Many names of one server, watched at one interval.
#[derive(Debug)]
pub struct Crowd {
    /// The daemon that watches them.
    pub daemon: Daemon,
    /// What the daemon and the server have waited for a processor since it started.
    pub starvation: Starvation,
    fleet: Fleet,
    /// The name servers after the fleet's own.
    others: Vec<DnsServer>,
    size: Size,
    since: Stopwatch,
}

/// What the daemon says of its schedule.
#[derive(Debug)]
pub struct Schedule {
    /// Probes so far.
    pub started: f64,
    /// Those that began more than a second after they were due.
    pub late: f64,
    /// The bound, in seconds, that no lateness exceeds.
    pub latest: f64,
    /// The greatest bound, in seconds, that some lateness exceeds; zero where there is none.
    pub beyond: f64,
    /// How many caches had their last start in each part of the interval.
    pub spread: [usize; PARTS],
    /// How many lookups beside the probes have ended, over all caches.
    pub looks: f64,
    /// The fewest lookups of any cache through each resolver, in the order of their names.
    pub lookups: Vec<f64>,
    /// The fewest and the most rounds of any cache.
    pub rounds: (f64, f64),
    /// What the daemon has used of a processor since it started.
    pub processor_seconds: f64,
}

impl Crowd {
    /// Starts watching through one resolver, on all cores.
    #[track_caller]
    pub fn start(caches: usize, interval: Duration, tls: bool) -> Self {
        Self::of(Size { caches, resolvers: 1, interval, tls, one_core: false })
    }

    /// Starts watching.
    #[track_caller]
    pub fn of(size: Size) -> Self {
        let fleet = Fleet::new();
        let others: Vec<_> = (1..size.resolvers).map(|_| DnsServer::start()).collect();
        let milliseconds = size.interval.as_millis();
        let mut text = format!("[log]\nlevel = \"info,{PROBED}=debug\"\n");
        text += &fleet.settings(&format!(
            "interval = \"{milliseconds}ms\"\ntimeout = \"{}ms\"\njitter = 0.0\n",
            (milliseconds - 1).min(10_000)
        ));
        let mut resolvers = vec![RESOLVER.to_owned()];
        for (server, number) in others.iter().zip(2..) {
            let name = format!("{RESOLVER}-{number}");
            let _ = writeln!(text, "[[resolvers]]\nname = \"{name}\"\naddress = \"{}\"", server.address());
            resolvers.push(name);
        }
        for number in 0..size.caches {
            let name = format!("cache-{number}");
            for names in std::iter::once(&fleet.names).chain(&others) {
                names.set(&host(&name), Answer::new().address(fleet.server.address().ip(), 10));
            }
            let port = if size.tls { fleet.server.port() } else { fleet.server.plain_address().port() };
            let more = format!("port = {port}\ntls.enabled = {}", size.tls);
            let _ = writeln!(text, "{}", fleet.cache_asking(&resolvers, &name, &more));
        }
        let daemon = if size.one_core { on_one_core(|| Daemon::start(&text)) } else { Daemon::start(&text) };
        let starvation = Starvation::of(&[daemon.pid(), fleet.server.pid()]);
        Self { daemon, starvation, fleet, others, size, since: Stopwatch::start() }
    }

    /// Waits until this many rounds of every cache must have ended, counted together, and returns when that was. It
    /// listens to the log: asking would be a load of its own.
    #[track_caller]
    pub fn wait_for_rounds(&self, rounds: u32) -> Duration {
        let mut missing = self.size.caches * usize::try_from(rounds).expect("rounds are few");
        let limit = self.size.interval * (rounds + 2) + super::PATIENCE;
        self.daemon.wait_for_record_within(limit, |record| {
            if field(record, "message") == Some("probed") {
                assert_eq!(record["success"], true, "{record}");
                missing -= 1;
            }
            (missing == 0).then_some(())
        });
        self.since.elapsed()
    }

    /// Reads it from the daemon's metrics.
    #[track_caller]
    pub fn schedule(&self) -> Schedule {
        let scrape = self.daemon.scrape();
        let lateness = |le: &str| {
            scrape.value("cachewatch_probe_lateness_seconds_bucket", &[("le", le)]).expect("a histogram has its bounds")
        };
        let started = lateness("+Inf");
        let buckets = scrape.all("cachewatch_probe_lateness_seconds_bucket", &[]);
        let bounds = buckets.iter().map(|bucket| (bucket.labels["le"].parse::<f64>(), bucket.value < started));
        let bounds: Vec<_> = bounds.filter_map(|(bound, is_exceeded)| Some((bound.ok()?, is_exceeded))).collect();
        let latest = bounds.iter().filter(|(_, is_exceeded)| !is_exceeded).map(|(bound, _)| *bound);
        let beyond = bounds.iter().filter(|(_, is_exceeded)| *is_exceeded).map(|(bound, _)| *bound);
        let rounds = || scrape.all("cachewatch_probes_total", &[]).into_iter().map(|sample| sample.value);
        let looks = scrape.all("cachewatch_lookups_total", &[]).into_iter().map(|sample| sample.value);
        Schedule {
            started,
            late: started - lateness("1"),
            latest: latest.fold(f64::INFINITY, f64::min),
            beyond: beyond.fold(0.0, f64::max),
            spread: self.spread(&scrape),
            lookups: self.lookups(&scrape),
            looks: looks.sum(),
            rounds: (rounds().fold(f64::INFINITY, f64::min), rounds().fold(0.0, f64::max)),
            processor_seconds: scrape.value("process_cpu_seconds_total", &[]).expect("the daemon counts its own time"),
        }
    }

    /// How many questions each name server was asked, in the order of the resolvers.
    pub fn questions(&self) -> Vec<usize> {
        std::iter::once(&self.fleet.names).chain(&self.others).map(|names| names.asked().len()).collect()
    }

    fn lookups(&self, scrape: &Scrape) -> Vec<f64> {
        let mut fewest = BTreeMap::<&str, (usize, f64)>::new();
        for count in scrape.all("cachewatch_dns_lookup_duration_seconds_count", &[]) {
            let of_resolver = fewest.entry(&count.labels["resolver"]).or_insert((0, f64::INFINITY));
            *of_resolver = (of_resolver.0 + 1, of_resolver.1.min(count.value));
        }
        let of_every_cache = |(caches, fewest)| if caches == self.size.caches { fewest } else { 0.0 };
        fewest.into_values().map(of_every_cache).collect()
    }

    fn spread(&self, scrape: &Scrape) -> [usize; PARTS] {
        let mut spread = [0; PARTS];
        for start in scrape.all("cachewatch_last_probe_timestamp_seconds", &[]) {
            let phase = (start.value / self.size.interval.as_secs_f64()).fract();
            let part = (1..PARTS).take_while(|part| phase >= share(*part)).count();
            spread[part] += 1;
        }
        spread
    }
}

/// The target of the log's line for each probe.
const PROBED: &str = "cachewatch::sink::log";

fn share(part: usize) -> f64 {
    let whole = |number: usize| f64::from(u32::try_from(number).expect("parts are few"));
    whole(part) / whole(PARTS)
}

/// Starts a process that stays on the last core there is, with every thread it will have.
fn on_one_core<T>(start: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(None).expect("a thread may ask for its own cores");
    let last = (0..CpuSet::MAX_CPU).rfind(|core| all.is_set(*core)).expect("this thread runs somewhere");
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).expect("a thread may stay on one of its cores");
    let started = start();
    // The threads that listen to it were held there as well, and are not what is measured.
    for thread in fs::read_dir("/proc/self/task").expect("a process has threads").flatten() {
        let number = thread.file_name().to_str().and_then(|number| number.parse().ok()).and_then(Pid::from_raw);
        // One that has just ended needs no core.
        let _ = sched_setaffinity(number, &all);
    }
    started
}
