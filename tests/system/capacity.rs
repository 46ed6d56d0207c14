//! `docs/capacity.md`: what it says of series and of client limits, held to the daemon and to the tables of `src/azure`.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use cachewatch::azure;
use testlab::{
    dns::{Answer, DnsServer},
    fleet::{Fleet, PRIVATE, PUBLIC, RESOLVER, alias, host},
    program::Daemon,
    scrape::{Sample, Scrape},
};

/// Another private address, which is dialled on loopback as well.
const SECOND: [u8; 4] = [10, 20, 1, 5];

/// The rows of the table under this heading: the first cell, and the number in the last.
fn table(heading: &str) -> BTreeMap<String, usize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/capacity.md");
    let guide = fs::read_to_string(path).unwrap();
    let (_, section) = guide.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let number = cells.last()?.replace(',', "").parse().ok()?;
        Some((cells.first()?.to_string(), number))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    assert!(rows.len() > 2, "{heading}: {rows:?}");
    rows
}

/// The series of this cache, but for the forecast: whether there is one depends on who else happens to be connected.
fn of<'a>(scrape: &'a Scrape, cache: &'a str) -> impl Iterator<Item = &'a Sample> {
    let own = move |sample: &&Sample| sample.labels.get("cache").is_some_and(|label| label == cache);
    scrape.0.iter().filter(own).filter(|sample| sample.name != "cachewatch_clients_exhaustion_seconds")
}

#[test]
fn a_cache_has_the_series_that_the_guide_says() {
    let says = table("Series");
    let fleet = Fleet::new();
    let others = [DnsServer::start(), DnsServer::start()];
    // A busy machine is to make no finding of its own.
    let mut text = fleet.settings("interval = \"2s\"\ntimeout = \"1900ms\"\n[thresholds]\nslow_ping = \"1s\"");
    let mut resolvers = vec![RESOLVER.to_owned()];
    for (number, names) in others.iter().enumerate() {
        resolvers.push(format!("other-{number}"));
        let _ = writeln!(text, "[[resolvers]]\nname = \"other-{number}\"\naddress = \"{}\"", names.address());
        names.set(&host("asked"), Answer::new().alias(&alias("asked"), 300).address(PRIVATE, 10));
    }
    for name in ["orders", "asked", "drifted"] {
        fleet.lead(name, PRIVATE);
    }
    fleet.names.set(&host("wide"), Answer::new().alias(&alias("wide"), 300).address(PRIVATE, 10).address(SECOND, 10));
    for (name, resolvers) in [
        ("orders", &resolvers[..1]),
        ("asked", &resolvers[..]),
        ("drifted", &resolvers[..1]),
        ("wide", &resolvers[..1]),
    ] {
        text += &fleet.cache_asking(resolvers, name, "isolation = \"private_endpoint\"");
    }
    // One table of `connect_to` for all: the second address is dialled where the first is.
    let dialled = fleet.server.address();
    let text = text.replace("connect_to = [", &format!("connect_to = [\"10.20.1.5={dialled}\", "));
    let daemon = Daemon::start(&text);
    // The health of a cache is told after its metrics are.
    daemon.wait_until("every cache is well", |daemon| (daemon.get("/healthz").status == 200).then_some(()));
    let well = daemon.scrape();

    assert_eq!(well.all("cachewatch_finding_open", &[]).len(), 0, "a finding would count");
    let [of_a_cache, of_a_resolver, of_an_address] =
        ["a cache that is well, through one resolver", "each further resolver", "each further address of an answer"]
            .map(|row| says[row]);
    assert_eq!(of(&well, "orders").count(), of_a_cache);
    let buckets = of(&well, "orders").filter(|sample| sample.name.ends_with("_bucket")).count();
    assert_eq!(buckets, says["of these, buckets of histograms"]);
    assert_eq!(of(&well, "asked").count(), of_a_cache + 2 * of_a_resolver);
    assert_eq!(of(&well, "wide").count(), of_a_cache + of_an_address);
    assert_eq!(says["samples of it a day, scraped every 30 s"], of_a_cache * 24 * 60 * 2);

    fleet.lead("drifted", PUBLIC);
    daemon.wait_until("it leads elsewhere", |daemon| (daemon.get("/healthz/drifted").status == 503).then_some(()));
    let drifted = daemon.scrape();
    let findings = drifted.all("cachewatch_finding_open", &[("cache", "drifted")]).len();
    let more = findings * says["each finding that has opened"] + says["a resolver's first change of addresses"];
    assert_eq!(of(&drifted, "drifted").count(), of_a_cache + more, "{findings} findings");
}

#[test]
fn the_limits_of_the_guide_are_those_of_the_program() {
    let says = table("Client limits");
    assert!(says.len() > 12, "{says:?}");
    for (names, limit) in says {
        for name in names.split(',').map(str::trim) {
            let tier = azure::tier(name).unwrap_or_else(|| panic!("no tier {name}"));
            assert_eq!(usize::try_from(tier.max_clients), Ok(limit), "{name}");
        }
    }
}
