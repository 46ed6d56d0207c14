//! What cachewatch costs: a probe against a bare loop on the same sockets, and the daemon's memory.
//!
//! `make bench`, or `cargo bench --bench probe`; `probe` or `daemon` behind a `--` runs that half only. It takes a minute
//! and a half and prints one table, of numbers from this run only.
//!
//! The exit code is 0 where every aim is met, or missed by no more than noise explains; 1 where one is missed by more;
//! 2 where nothing could be measured. Noise explains a ratio whose lower quartile meets the aim, and 2 % of memory.
//!
//! Reading order: [`site`] is what the probes talk to, [`bare`] what they are measured against, [`cost`] and
//! [`footprint`] the two halves of the table.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what a bench is for")]

mod bare;
mod cores;
mod cost;
mod footprint;
mod site;
mod spread;
mod support;
mod table;

use std::process::{Command, ExitCode};
use std::time::Duration;

use self::cores::Cores;
use self::cost::{BATCH, ROUNDS};
use self::site::Site;
use self::table::{Aim, Table};

/// A probe may cost this much of the bare loop.
const RATIO: Aim = Aim { limit: 1.4, noise: 0.0 };

/// MiB that a daemon with 100 caches may take.
const MEMORY: Aim = Aim { limit: 25.0, noise: 0.02 };

/// The pace of a cache whose configuration does not say another.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// How many caches a daemon watches, how often, and what is aimed at. Memory does not depend on the pace.
const WATCHED: [(usize, Duration, Option<Aim>); 3] =
    [(1, Duration::from_secs(2), None), (100, DEFAULT_INTERVAL, Some(MEMORY)), (1_000, Duration::from_secs(10), None)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |argument: &str| arguments.iter().any(|given| given == argument);
    if !has("--bench") {
        println!("not measured: only an optimised build says anything, `cargo bench --bench probe`");
        return ExitCode::SUCCESS;
    }
    if Command::new("redis-server").arg("--version").output().is_err() {
        eprintln!("the bench needs a real server to talk to: apt-get install -y redis-server");
        return ExitCode::from(2);
    }

    let cores = Cores::take();
    let site = Site::start(&cores);
    println!(
        "cachewatch {} against Redis {} over TLS on loopback, session resumption off.\n\
         The client has core {}, the servers have core {}; {ROUNDS} batches of {BATCH} probes of each kind took turns.",
        cachewatch::VERSION,
        site.redis_version(),
        cores.client,
        cores.servers,
    );
    let mut table = Table::default();
    if !has("daemon") {
        cost(&mut table, &site);
    }
    if !has("probe") {
        footprint(&mut table, &site, &cores);
    }
    println!("{table}\n{HOW_TO_READ}");
    if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cost(table: &mut Table, site: &Site) {
    let cost = cost::measure(site);
    table.heading("Processor time of one probe, user and system");
    table.spread("bare loop: tcp, tls, AUTH, PING, INFO", cost.bare, "ms", None);
    table.spread("cachewatch, the same stages", cost.same_stages, "ms", None);
    table.spread("cachewatch / bare loop", cost.ratio, "times", Some(RATIO));
    table.spread("cachewatch with a lookup: A and AAAA over UDP", cost.with_lookup, "ms", None);
    table.spread("the lookup alone", cost.lookup, "ms", None);
}

fn footprint(table: &mut Table, site: &Site, cores: &Cores) {
    table.heading("The built daemon, after two rounds of every cache");
    let mut at_default_pace = None;
    for (caches, interval, aim) in WATCHED {
        let daemon = footprint::measure(site, cores, caches, interval);
        let what = format!("resident memory, {caches} {}", if caches == 1 { "cache" } else { "caches" });
        table.single(&what, mebibytes(daemon.resident), "MiB", None);
        table.single(&format!("{what}, scraped"), mebibytes(daemon.resident_after_scrape), "MiB", aim);
        if interval == DEFAULT_INTERVAL {
            at_default_pace = Some((caches, daemon.processor_share));
        }
    }
    if let Some((caches, share)) = at_default_pace {
        let what = format!("processor time a second, {caches} caches every {} s", DEFAULT_INTERVAL.as_secs());
        table.single(&what, share * 1000.0, "ms/s", None);
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

const HOW_TO_READ: &str = "\
How to read it: `value` is the median of the batches, and half of them lie in the `middle half`. The bare loop does
what no client can leave out: connect, a handshake that verifies the whole certificate path, three requests, three
replies. cachewatch adds deadlines, limits, timings, the certificates and INFO understood, a goodbye, the report.
The ratio is of batches that followed each other and compares like with like: neither side looks a name up. Both run
on the client's core, and only that thread's time counts, not that of Redis or of the name server. The daemon runs
unpinned; its memory is what the kernel calls VmRSS, binary included, and its metrics are what a scrape reads.";
