//! What the built daemon takes of the machine: memory, and processor time at its usual pace.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use cachewatch::clock::Stopwatch;
use testlab::program::Daemon;
use testlab::scrape::Scrape;

use super::cores::Cores;
use super::site::{self, Site, Traffic};
use super::spread::Spread;

/// How the schedule spreads the first round: this much for each cache, at most an interval.
const FIRST_ROUND_STEP: Duration = Duration::from_millis(25);

/// How often a scrape is timed.
pub(crate) const SCRAPES: usize = 20;

/// What a daemon watches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) caches: usize,
    pub(crate) resolvers: usize,
    pub(crate) interval: Duration,
}

/// A daemon with so many caches.
pub(crate) struct Footprint {
    /// After two rounds of every cache.
    pub(crate) resident: u64,
    /// The same after all metrics were read once.
    pub(crate) resident_after_scrape: u64,
    /// Seconds of processor time for each second, from the first round to the end of the second, without a scrape.
    pub(crate) processor_share: f64,
    /// The same for each probe in that time, with the lookups beside it.
    pub(crate) processor_of_a_probe: f64,
    /// Questions a second to name servers in that time.
    pub(crate) questions: f64,
    pub(crate) scraped: Scraped,
}

/// What a scrape reads.
pub(crate) struct Scraped {
    /// Samples of one cache; every cache has as many.
    pub(crate) of_a_cache: usize,
    /// Samples of the daemon itself.
    pub(crate) of_the_daemon: usize,
    pub(crate) bytes: usize,
    /// Milliseconds on the wall.
    pub(crate) took: Spread,
    /// Resident memory after many of them.
    pub(crate) resident: u64,
}

/// Lets a daemon watch that many caches, each over TLS and by its own name, for two rounds.
pub(crate) fn measure(site: &Site, cores: &Cores, watched: Watched) -> Footprint {
    let Watched { caches, interval, .. } = watched;
    let daemon = cores.start_unpinned(|| Daemon::start(&configuration(site, watched, "")));
    let first_round = interval.min(FIRST_ROUND_STEP * u32::try_from(caches).expect("few caches"));
    thread::sleep(first_round);
    let (watch, before, asked) = (Stopwatch::start(), daemon.processor_time(), site.count());
    // A slot may move by the jitter of a tenth; the rest is for the last probe itself.
    thread::sleep(interval.mul_f64(1.1) + Duration::from_millis(500));
    let used = daemon.processor_time().saturating_sub(before).as_secs_f64();
    let (second_round, counted) = (watch.elapsed().as_secs_f64(), site.count());
    let since = |what: fn(&Traffic) -> usize| {
        f64::from(u32::try_from(what(&counted) - what(&asked)).expect("few questions and fewer probes"))
    };
    let resident = daemon.resident_bytes();
    daemon.wait_until("two good rounds of every cache", |daemon| {
        let scrape = daemon.scrape();
        let of_all = |name, least: f64| {
            let samples = scrape.all(name, &[]);
            samples.len() == caches && samples.iter().all(|sample| sample.value >= least)
        };
        (of_all("cachewatch_probes_total", 2.0) && of_all("cachewatch_probe_success", 1.0)).then_some(())
    });
    Footprint {
        resident,
        resident_after_scrape: daemon.resident_bytes(),
        processor_share: used / second_round,
        processor_of_a_probe: used / since(|traffic| traffic.redis_connections),
        questions: since(|traffic| traffic.questions) / second_round,
        scraped: scrape(&daemon, caches),
    }
}

fn scrape(daemon: &Daemon, caches: usize) -> Scraped {
    let body = daemon.get("/metrics").body;
    let all = Scrape::parse(&body);
    // A finding would be a series more, and not of a cache that is well.
    assert_eq!(all.all("cachewatch_finding_open", &[]), [] as [&_; 0], "every cache is well");
    let of_caches = all.0.iter().filter(|sample| sample.labels.contains_key("cache")).count();
    assert!(of_caches.is_multiple_of(caches), "{of_caches} samples of {caches} equal caches");
    let took = || {
        let watch = Stopwatch::start();
        daemon.get("/metrics");
        watch.elapsed().as_secs_f64() * 1000.0
    };
    Scraped {
        of_a_cache: of_caches / caches,
        of_the_daemon: all.0.len() - of_caches,
        bytes: body.len(),
        took: Spread::of((0..SCRAPES).map(|_| took())),
        resident: daemon.resident_bytes(),
    }
}

/// The whole configuration; `probe` are lines more of `[probe]`.
pub(crate) fn configuration(site: &Site, watched: Watched, probe: &str) -> String {
    let Watched { caches, resolvers, interval } = watched;
    let mut text = format!(
        "[probe]\ninterval = \"{}ms\"\ntimeout = \"{}ms\"\n{probe}",
        interval.as_millis(),
        interval.as_millis() / 2
    );
    // Only one name server knows every host; under several names it is asked as several are.
    let resolvers: Vec<_> = (1..=resolvers).map(|number| format!("bench-{number}")).collect();
    for name in &resolvers {
        let _ = writeln!(text, "[[resolvers]]\nname = \"{name}\"\naddress = \"{}\"", site.dns.address());
    }
    let (ca_file, key_file) = (site.authority.ca_file(), site.password_file());
    for number in 0..caches {
        let _ = write!(
            text,
            "[[caches]]\nname = \"cache-{number}\"\nhost = \"{}\"\nport = {}\nresolvers = {resolvers:?}\n\
             expected_addresses = [\"127.0.0.1\"]\n[caches.tls]\nca_file = \"{}\"\nserver_name = \"{}\"\n[caches.auth]\npassword_file = \"{}\"\n",
            site.host(number),
            site.redis.port(),
            ca_file.display(),
            site::SERVER_NAME,
            key_file.display(),
        );
    }
    text
}
