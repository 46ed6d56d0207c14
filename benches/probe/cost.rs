//! Processor time of a probe, of cachewatch and of the bare loop.

use std::net::SocketAddr;

use cachewatch::model::{Auth, Cache, Password, Protocol, Resolver, SystemFiles, Tls};
use cachewatch::probe::Prober;
use testlab::resp::request;
use tokio::runtime;

use super::bare::Bare;
use super::cores;
use super::site::{self, Site};
use super::spread::Spread;

/// Probes in a batch, over which one time is taken.
pub(crate) const BATCH: u32 = 40;

/// Batches of each kind. They take turns, so that whatever disturbs the machine disturbs all of them.
pub(crate) const ROUNDS: usize = 60;

/// Rounds before the first that counts: caches, branch predictors and the allocator settle.
pub(crate) const WARM_UP: usize = 3;

/// What was measured, milliseconds of processor time for one probe.
pub(crate) struct Cost {
    pub(crate) bare: Spread,
    /// Of the same stages: the host is an address, so that nothing is looked up.
    pub(crate) same_stages: Spread,
    /// Same stages over bare, of batches that followed each other.
    pub(crate) ratio: Spread,
    /// With the lookup of a name.
    pub(crate) with_lookup: Spread,
    /// The difference that the lookup makes, of batches that followed each other.
    pub(crate) lookup: Spread,
}

/// Measures. Everything that is counted runs on this thread; servers have threads and processes of their own.
pub(crate) fn measure(site: &Site) -> Cost {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs few descriptors");
    let prober = Prober::new(&SystemFiles::default());
    let address = cache(site, &site.redis.address().ip().to_string(), 1);
    let name = cache(site, &site.host(0), 1);
    let auth = request(&["AUTH", site::PASSWORD]);
    let mut bare = Bare::new(site.authority.roots(), site.redis.address(), site::SERVER_NAME, auth);

    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let bare = runtime.block_on(batch(async || bare.walk().await.expect("a healthy server answers")));
        let same_stages = runtime.block_on(batch(async || walk(&prober, &address).await));
        let with_lookup = runtime.block_on(batch(async || walk(&prober, &name).await));
        if round >= WARM_UP {
            rounds.push([bare, same_stages, with_lookup]);
        }
    }
    let spread = |of: fn(&[f64; 3]) -> f64| Spread::of(rounds.iter().map(of));
    Cost {
        bare: spread(|[bare, _, _]| *bare),
        same_stages: spread(|[_, same, _]| *same),
        ratio: spread(|[bare, same, _]| same / bare),
        with_lookup: spread(|[_, _, with]| *with),
        lookup: spread(|[_, same, with]| with - same),
    }
}

/// Milliseconds of processor time for each probe of a batch.
async fn batch(mut probe: impl AsyncFnMut()) -> f64 {
    let before = cores::processor_time();
    for _ in 0..BATCH {
        probe().await;
    }
    cores::processor_time().saturating_sub(before).as_secs_f64() * 1000.0 / f64::from(BATCH)
}

/// One probe, which must go well.
pub(crate) async fn walk(prober: &Prober, cache: &Cache) {
    let report = prober.walk(cache).await;
    // A probe that skipped a stage would be cheap for the wrong reason.
    let inspected = report.legs.len() == 1 && report.legs.iter().all(|leg| leg.server.is_some());
    let resolved = report.lookup.resolutions.iter().filter(|resolution| resolution.fault.is_none()).count();
    let complete = inspected && resolved == cache.resolvers.len();
    assert!(report.succeeded() && complete, "a probe of a healthy server went wrong: {report:#?}");
}

/// A cache at that host whose name so many resolvers are asked for, with everything else as `config` has it by default.
pub(crate) fn cache(site: &Site, host: &str, resolvers: usize) -> Cache {
    Cache {
        resolvers: site.name_servers().take(resolvers).enumerate().map(resolver).collect(),
        tls: Some(Tls { ca_file: Some(site.authority.ca_file()), server_name: Some(site::SERVER_NAME.to_owned()) }),
        auth: Auth::AccessKey { username: None, password: Password::File(site.password_file()) },
        ..Cache::new("bench", host, site.redis.port())
    }
}

fn resolver((number, address): (usize, SocketAddr)) -> Resolver {
    Resolver::server(&format!("bench-{number}"), address, Protocol::Udp)
}
