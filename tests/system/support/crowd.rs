//! A daemon with very many caches, and what its own metrics say of its schedule.

use std::{fmt::Write as _, time::Duration};

use cachewatch::clock::Stopwatch;

use super::{
    cachewatch::{Daemon, field},
    dns::Answer,
    lab::{Lab, host},
    scrape::Scrape,
};

/// Into how many equal parts the interval is cut to see how starts are spread.
pub(crate) const PARTS: usize = 10;

/// Many names of one server, watched at one interval.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) daemon: Daemon,
    _lab: Lab,
    caches: usize,
    interval: Duration,
    since: Stopwatch,
}

/// What the daemon says of its schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Probes so far.
    pub(crate) started: f64,
    /// Those that began more than a second after they were due.
    pub(crate) late: f64,
    /// The bound, in seconds, that no lateness exceeds.
    pub(crate) latest: f64,
    /// How many caches had their last start in each part of the interval.
    pub(crate) spread: [usize; PARTS],
    /// The fewest and the most rounds of any cache.
    pub(crate) rounds: (f64, f64),
    pub(crate) processor_seconds: f64,
}

impl Crowd {
    /// Starts watching; over TLS each probe costs a handshake, on a plain port next to nothing.
    #[track_caller]
    pub(crate) fn start(caches: usize, interval: Duration, tls: bool) -> Self {
        let lab = Lab::new();
        let milliseconds = interval.as_millis();
        let mut text = format!("[log]\nlevel = \"info,{PROBED}=debug\"\n");
        text += &lab.settings(&format!(
            "interval = \"{milliseconds}ms\"\ntimeout = \"{}ms\"\njitter = 0.0\n",
            (milliseconds - 1).min(10_000)
        ));
        for number in 0..caches {
            let name = format!("cache-{number}");
            lab.names.set(&host(&name), Answer::new().address(lab.server.address().ip(), 10));
            let port = if tls { lab.server.port() } else { lab.server.plain_address().port() };
            let _ = writeln!(text, "{}", lab.cache(&name, &format!("port = {port}\ntls.enabled = {tls}")));
        }
        let daemon = Daemon::start(&text);
        Self { daemon, _lab: lab, caches, interval, since: Stopwatch::start() }
    }

    /// Waits until this many rounds of every cache must have ended, counted together, and returns when that was. It
    /// listens to the log: asking would be a load of its own.
    #[track_caller]
    pub(crate) fn wait_for_rounds(&self, rounds: u32) -> Duration {
        let mut missing = self.caches * usize::try_from(rounds).expect("rounds are few");
        let limit = self.interval * (rounds + 2) + super::PATIENCE;
        self.daemon.wait_for_record_within(limit, |record| {
            if field(record, "message") == Some("probed") {
                assert_eq!(record["success"], true, "{record}");
                missing -= 1;
            }
            (missing == 0).then_some(())
        });
        self.since.elapsed()
    }

    #[track_caller]
    pub(crate) fn schedule(&self) -> Schedule {
        let scrape = self.daemon.scrape();
        let lateness = |le: &str| {
            scrape.value("cachewatch_probe_lateness_seconds_bucket", &[("le", le)]).expect("a histogram has its bounds")
        };
        let started = lateness("+Inf");
        let bounds = scrape.all("cachewatch_probe_lateness_seconds_bucket", &[]);
        let bounds = bounds.iter().filter(|bucket| bucket.value >= started).map(|bucket| &bucket.labels["le"]);
        let latest = bounds.filter_map(|bound| bound.parse().ok()).fold(f64::INFINITY, f64::min);
        let rounds = || scrape.all("cachewatch_probes_total", &[]).into_iter().map(|sample| sample.value);
        Schedule {
            started,
            late: started - lateness("1"),
            latest,
            spread: self.spread(&scrape),
            rounds: (rounds().fold(f64::INFINITY, f64::min), rounds().fold(0.0, f64::max)),
            processor_seconds: scrape.value("process_cpu_seconds_total", &[]).expect("the daemon counts its own time"),
        }
    }

    fn spread(&self, scrape: &Scrape) -> [usize; PARTS] {
        let mut spread = [0; PARTS];
        for start in scrape.all("cachewatch_last_probe_timestamp_seconds", &[]) {
            let phase = (start.value / self.interval.as_secs_f64()).fract();
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
