//! What the built daemon takes of the machine: memory, and processor time at its usual pace.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use super::cores::Cores;
use super::site::{self, Site};
use super::support::cachewatch::Daemon;

/// How the schedule spreads the first round: this much for each cache, at most an interval.
const FIRST_ROUND_STEP: Duration = Duration::from_millis(25);

/// A daemon with so many caches.
pub(crate) struct Footprint {
    /// After two rounds of every cache.
    pub(crate) resident: u64,
    /// The same after all metrics were read once.
    pub(crate) resident_after_scrape: u64,
    /// Seconds of processor time for each second, from the first round to the end of the second, without a scrape.
    pub(crate) processor_share: f64,
}

/// Lets a daemon watch that many caches, each over TLS and by its own name, for two rounds.
pub(crate) fn measure(site: &Site, cores: &Cores, caches: usize, interval: Duration) -> Footprint {
    let daemon = cores.start_unpinned(|| Daemon::start(&configuration(site, caches, interval)));
    let first_round = interval.min(FIRST_ROUND_STEP * u32::try_from(caches).expect("few caches"));
    thread::sleep(first_round);
    let before = daemon.processor_time();
    // A slot may move by the jitter of a tenth; the rest is for the last probe itself.
    let second_round = interval.mul_f64(1.1) + Duration::from_millis(500);
    thread::sleep(second_round);
    let used = daemon.processor_time().saturating_sub(before);
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
        processor_share: used.as_secs_f64() / second_round.as_secs_f64(),
    }
}

fn configuration(site: &Site, caches: usize, interval: Duration) -> String {
    let mut text = format!(
        "[probe]\ninterval = \"{}ms\"\ntimeout = \"{}ms\"\n[[resolvers]]\nname = \"bench\"\naddress = \"{}\"\n",
        interval.as_millis(),
        interval.as_millis() / 2,
        site.dns.address(),
    );
    let (ca_file, key_file) = (site.authority.ca_file(), site.password_file());
    for number in 0..caches {
        let _ = write!(
            text,
            "[[caches]]\nname = \"cache-{number}\"\nhost = \"{}\"\nport = {}\nresolvers = [\"bench\"]\n\
             [caches.tls]\nca_file = \"{}\"\nserver_name = \"{}\"\n[caches.auth]\npassword_file = \"{}\"\n",
            site.host(number),
            site.redis.port(),
            ca_file.display(),
            site::SERVER_NAME,
            key_file.display(),
        );
    }
    text
}
