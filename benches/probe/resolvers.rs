//! What each further resolver adds to a probe: processor time, time on the wall, questions.

use std::net::SocketAddr;
use std::time::Duration;

use cachewatch::clock::Stopwatch;
use cachewatch::model::SystemFiles;
use cachewatch::probe::Prober;
use tokio::runtime;

use super::cores;
use super::cost::{self, BATCH, ROUNDS, WARM_UP};
use super::lookup::BareLookup;
use super::site::{NAME_SERVERS as MOST, Site, Traffic};
use super::spread::Spread;

/// Where name servers take their time, fewer turns show as much.
const FAR_BATCH: u32 = 10;
const FAR_ROUNDS: usize = 30;

/// How many probes the traffic is counted of.
const COUNTED: usize = 50;

/// What was measured.
pub(crate) struct Resolvers {
    /// Of processor time, where answers come at once.
    pub(crate) processor: Compared,
    /// Of time on the wall, where name servers take [`FAR`](super::site::FAR) for an answer.
    pub(crate) wall: Compared,
    /// What one probe sends: with one resolver, with two, with three.
    pub(crate) traffic: [Traffic; MOST],
}

/// Probes against the lookups that more resolvers make necessary. Milliseconds for one.
pub(crate) struct Compared {
    /// A lookup by hand, and two of them at once.
    pub(crate) bare: [Spread; MOST - 1],
    /// A probe with one resolver, with two, with three.
    pub(crate) probe: [Spread; MOST],
    /// What one more resolver and two more add to a probe, as times of these lookups, of batches that followed each other.
    pub(crate) ratio: [Spread; MOST - 1],
}

/// What one turn of a batch took, in milliseconds.
#[derive(Clone, Copy)]
struct Taken {
    processor: f64,
    wall: f64,
}

/// Measures. Only this thread's processor time counts; name servers have threads of their own on another core.
pub(crate) fn measure(site: &Site) -> Resolvers {
    Resolvers {
        processor: compare(site, &site.host(0), ROUNDS, BATCH, |taken| taken.processor),
        wall: compare(site, &site.far_host(), FAR_ROUNDS, FAR_BATCH, |taken| taken.wall),
        traffic: std::array::from_fn(|more| {
            let (runtime, prober) = (client(), Prober::new(&SystemFiles::default()));
            let cache = cost::cache(site, &site.host(0), more + 1);
            site.traffic(COUNTED, || runtime.block_on(cost::walk(&prober, &cache)))
        }),
    }
}

fn compare(site: &Site, host: &str, rounds: usize, turns: u32, measure: fn(Taken) -> f64) -> Compared {
    let (runtime, prober, lookup) = (client(), Prober::new(&SystemFiles::default()), BareLookup::new(host));
    let others: Vec<_> = site.name_servers().skip(1).collect();
    let bare = |servers: &[SocketAddr]| {
        let ask = async || lookup.ask(servers).await.expect("a healthy name server answers");
        measure(runtime.block_on(batch(turns, ask)))
    };
    let probe = |resolvers: usize| {
        let cache = cost::cache(site, host, resolvers);
        measure(runtime.block_on(batch(turns, async || cost::walk(&prober, &cache).await)))
    };

    let (mut by_hand, mut walked) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..WARM_UP + rounds {
        // Probes and lookups by hand in turns, so that what is compared is never far apart; there and back, so that what a
        // batch leaves to the next is no part of the difference.
        let (mut hand, mut walk) = ([0.0; MOST - 1], [0.0; MOST]);
        for step in 0..hand.len() + walk.len() {
            let step = if round.is_multiple_of(2) { step } else { hand.len() + walk.len() - 1 - step };
            let more = step / 2;
            if step.is_multiple_of(2) {
                walk[more] = probe(more + 1);
            } else {
                hand[more] = bare(&others[..=more]);
            }
        }
        if round >= WARM_UP {
            by_hand.push(hand);
            walked.push(walk);
        }
    }
    let ratios = || by_hand.iter().zip(&walked);
    Compared {
        bare: std::array::from_fn(|more| Spread::of(by_hand.iter().map(|bare| bare[more]))),
        probe: std::array::from_fn(|more| Spread::of(walked.iter().map(|probe| probe[more]))),
        ratio: std::array::from_fn(|more| {
            Spread::of(ratios().map(|(bare, probe)| (probe[more + 1] - probe[0]) / bare[more]))
        }),
    }
}

fn client() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs few descriptors")
}

async fn batch(turns: u32, mut turn: impl AsyncFnMut()) -> Taken {
    let (processor, wall) = (cores::processor_time(), Stopwatch::start());
    for _ in 0..turns {
        turn().await;
    }
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(turns);
    Taken { wall: each(wall.elapsed()), processor: each(cores::processor_time().saturating_sub(processor)) }
}
