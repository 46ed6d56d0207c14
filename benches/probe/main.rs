//! What cachewatch costs: a probe against a bare loop on the same sockets, what each further resolver adds to it, the
//! daemon's memory, and everything that one more cache adds.
//!
//! `make bench`, or `cargo bench --bench probe`; `probe`, `resolvers` or `daemon` behind a `--` runs that part only. It
//! takes about three minutes and prints one table, of numbers from this run only.
//!
//! The exit code is 0 where every aim is met, or missed by no more than noise explains; 1 where one is missed by more;
//! 2 where nothing could be measured. Noise explains a ratio whose lower quartile meets the aim, and 2 % of memory.
//!
//! Reading order: [`site`] is what the probes talk to, [`bare`] and [`lookup`] what they are measured against, [`cost`],
//! [`resolvers`], [`footprint`] and [`one_more`] the parts of the table.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what a bench is for")]

mod bare;
mod cores;
mod cost;
mod footprint;
mod lookup;
mod one_more;
mod resolvers;
mod site;
mod spread;
mod table;

use std::process::{Command, ExitCode};
use std::time::Duration;

use self::cores::Cores;
use self::cost::{BATCH, ROUNDS};
use self::footprint::{Footprint, Watched};
use self::resolvers::{Compared, Resolvers};
use self::site::{Site, Traffic};
use self::table::{Aim, Table};

/// A probe may cost this much of the bare loop.
const RATIO: Aim = Aim { limit: 1.4, noise: 0.0 };

/// The processor time that another resolver adds to a probe, as times of its lookup by hand.
const ADDED_PROCESSOR: Aim = Aim { limit: 2.0, noise: 0.0 };

/// The time on the wall that another resolver adds, as times of its lookup by hand. Asked after the first it would add
/// all of it; asked beside the first it adds no more than what it costs.
const ADDED_WALL: Aim = Aim { limit: 0.2, noise: 0.0 };

/// MiB that a daemon with 100 caches may take.
const MEMORY: Aim = Aim { limit: 25.0, noise: 0.02 };

/// The pace of a cache whose configuration does not say another.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// How many caches a daemon watches, how often, and what is aimed at. Memory does not depend on the pace.
const WATCHED: [(Watched, Option<Aim>); 4] = [
    (watched(1, 1, Duration::from_secs(2)), None),
    (watched(10, 1, Duration::from_secs(2)), None),
    (watched(HUNDRED, 1, DEFAULT_INTERVAL), Some(MEMORY)),
    (watched(THOUSAND, 1, Duration::from_secs(10)), None),
];

/// The same with every resolver there may be, for what they add.
const THROUGH_THREE: Watched = watched(HUNDRED, site::NAME_SERVERS, Duration::from_secs(5));

const HUNDRED: usize = 100;
const THOUSAND: usize = 1_000;

/// How often Prometheus reads the metrics in the manifests of `deploy/`.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(30);

const fn watched(caches: usize, resolvers: usize, interval: Duration) -> Watched {
    Watched { caches, resolvers, interval }
}

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
    let parts = ["probe", "resolvers", "daemon"];
    let wants = |part| has(part) || !parts.iter().any(|part| has(part));
    if wants("probe") {
        cost(&mut table, &site);
    }
    if wants("resolvers") {
        resolvers(&mut table, &site);
    }
    if wants("daemon") {
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

fn resolvers(table: &mut Table, site: &Site) {
    let Resolvers { processor, wall, traffic } = resolvers::measure(site);
    table.heading("What resolvers add to a probe: processor time");
    compared(table, &processor, ADDED_PROCESSOR);
    table.heading(&format!("The same on the wall, answers take {} ms", site::FAR.as_millis()));
    compared(table, &wall, ADDED_WALL);
    table.heading("What one probe sends, as servers count it");
    for ((traffic, words), resolvers) in traffic.into_iter().zip(ASKED).zip(1..) {
        // No aim: a probe that asks more or less than its resolvers is another probe, and its times mean nothing.
        let expected = Traffic { questions: 2 * resolvers, dns_connections: 0, redis_connections: 1 };
        assert_eq!(traffic, expected, "{words}");
        table.words(words, &format!("{} questions over UDP, 1 TCP connection", traffic.questions));
    }
}

fn compared(table: &mut Table, compared: &Compared, aim: Aim) {
    let [one, two] = compared.bare;
    table.spread("bare lookup: A and AAAA over UDP", one, "ms", None);
    table.spread("two bare lookups at once", two, "ms", None);
    for (spread, words) in compared.probe.into_iter().zip(ASKED) {
        table.spread(words, spread, "ms", None);
    }
    let [one, two] = compared.ratio;
    table.spread("the second adds / bare lookup", one, "times", Some(aim));
    table.spread("both others add / two bare lookups", two, "times", Some(aim));
}

fn footprint(table: &mut Table, site: &Site, cores: &Cores) {
    table.heading("The built daemon, after two rounds of every cache");
    let [_, _, hundred, thousand] = WATCHED.map(|(watched, aim)| {
        let daemon = footprint::measure(site, cores, watched);
        let caches = watched.caches;
        let what = format!("resident memory, {caches} {}", if caches == 1 { "cache" } else { "caches" });
        table.single(&what, mebibytes(daemon.resident), "MiB", None);
        table.single(&format!("{what}, scraped"), mebibytes(daemon.resident_after_scrape), "MiB", aim);
        daemon
    });
    let what = format!("processor time a second, {HUNDRED} caches every {} s", DEFAULT_INTERVAL.as_secs());
    table.single(&what, hundred.processor_share * 1000.0, "ms/s", None);
    for (caches, daemon) in [(HUNDRED, &hundred), (THOUSAND, &thousand)] {
        let what = format!("resident memory, {caches} caches, {} scrapes later", footprint::SCRAPES);
        table.single(&what, mebibytes(daemon.scraped.resident), "MiB", None);
        table.spread(&format!("a scrape of {caches} caches"), daemon.scraped.took, "ms", None);
        table.single(&format!("the same, size of {caches} caches"), kibibytes(daemon.scraped.bytes), "KiB", None);
    }
    let through_three = footprint::measure(site, cores, THROUGH_THREE);
    let what = format!("resident memory, {HUNDRED} caches, three resolvers");
    table.single(&what, mebibytes(through_three.scraped.resident), "MiB", None);
    one_more(table, site, cores, &[hundred, thousand, through_three]);
}

/// What one cache costs; what it takes of memory and of a scrape, as the difference between a hundred and a thousand.
fn one_more(table: &mut Table, site: &Site, cores: &Cores, [hundred, thousand, through_three]: &[Footprint; 3]) {
    let more = float(THOUSAND - HUNDRED);
    table.heading(&format!("One more cache, every {} s through one resolver", DEFAULT_INTERVAL.as_secs()));
    let memory = thousand.resident_after_scrape.saturating_sub(hundred.resident_after_scrape);
    table.single("resident memory, scraped", mebibytes(memory) * 1024.0 / more, "KiB", None);
    let of_a_probe = hundred.processor_of_a_probe;
    table.single("processor time of a probe, with lookups beside it", of_a_probe * 1000.0, "ms", None);
    table.single("processor time a second", of_a_probe * 1e6 / DEFAULT_INTERVAL.as_secs_f64(), "us/s", None);

    let (one, three) = (&hundred.scraped, &through_three.scraped);
    table.words("series", &one.of_a_cache.to_string());
    let of_a_resolver = (three.of_a_cache - one.of_a_cache) / (site::NAME_SERVERS - 1);
    table.words("series, each further resolver", &of_a_resolver.to_string());
    table.words("series of the daemon itself, once", &one.of_the_daemon.to_string());
    let a_day = Duration::from_hours(24).as_secs() / SCRAPE_INTERVAL.as_secs();
    let samples = u64::try_from(one.of_a_cache).expect("few series") * a_day;
    table.words(&format!("samples a day, scraped every {} s", SCRAPE_INTERVAL.as_secs()), &samples.to_string());
    table.single("bytes of a scrape", float(thousand.scraped.bytes - one.bytes) / more, "B", None);
    let of_resolvers = float(three.bytes - one.bytes) / float(HUNDRED * (site::NAME_SERVERS - 1));
    table.single("bytes of a scrape, each further resolver", of_resolvers, "B", None);

    let wire = one_more::wire(site, cores);
    table.single("connections of a probe", wire.connections, "", None);
    table.single("commands of a probe", wire.commands, "", None);
    table.single("bytes of a probe to the cache", wire.to_cache, "B", None);
    table.single("bytes of a probe from the cache", wire.from_cache, "B", None);
    table.words("of these, the answer to INFO", &format!("{} B", wire.info));
    let ttl = site::TTL.as_secs();
    let questions = hundred.questions * 3600.0 / float(HUNDRED);
    table.single(&format!("questions an hour, the answer's TTL {ttl} s"), questions, "", None);

    let written = one_more::written(site, cores);
    table.single(&format!("journal, each of {} events", written.events), written.journal, "B", None);
    table.single("log as JSON, each event", written.log, "B", None);
}

#[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

fn kibibytes(bytes: usize) -> f64 {
    float(bytes) / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

const ASKED: [&str; site::NAME_SERVERS] =
    ["cachewatch with one resolver", "cachewatch with two resolvers", "cachewatch with three resolvers"];

const HOW_TO_READ: &str = "\
How to read it: `value` is the median of the batches, and half of them lie in the `middle half`. The bare loop does
what no client can leave out: connect, a handshake that verifies the whole certificate path, three requests, three
replies. cachewatch adds deadlines, limits, timings, the certificates and INFO understood, a goodbye, the report.
The ratio is of batches that followed each other and compares like with like: neither side looks a name up. Both run
on the client's core, and only that thread's time counts, not that of Redis or of the name server. A bare lookup
sends A and AAAA, each from a socket of its own, and looks at the answer's id alone; cachewatch follows the aliases,
judges the answer and keeps it. Each resolver has a name server of its own, on one core together. On the wall, a name
server that answers late shows whether resolvers are asked side by side or one after the other. The daemon runs
unpinned; its memory is what the kernel calls VmRSS, binary included, and its metrics are what a scrape reads. What
one more cache takes of memory and of a scrape is a nine-hundredth of what 1,000 take more than 100; bytes of a
probe are those that TCP carries, without its own headers, and depend on the server's certificates and its INFO.";
