//! The path, from a host name to a server's word, under one deadline.

use std::net::IpAddr;

use futures_util::future;
use tokio::sync::{Semaphore, oneshot};

use super::open::CacheSession;
use super::prober::Prober;
use super::{connect, dns};
use crate::clock::{self, Stopwatch};
use crate::model::{Auth, Cache, Fault, FaultKind, Leg, LookupReport, ProbeReport, Resolution, Resolver, Stage};
use crate::net::deadline::Deadline;

/// How many addresses of one cache are dialled at once.
const LEGS_AT_ONCE: usize = 4;

impl Prober {
    /// Walks the path to `cache` once. It ends by the cache's total timeout, and a failure anywhere is in the report.
    pub async fn walk(&self, cache: &Cache) -> ProbeReport {
        self.path(cache, |_| {}).await
    }

    /// The same, and tests beside it what the cache's exposure names, if anything. The tests share the deadline; the walk
    /// is neither slower for them nor does it fail by them, but its report waits for theirs.
    pub async fn walk_with_exposure(&self, cache: &Cache) -> ProbeReport {
        if !cache.exposure.is_on() {
            return self.walk(cache).await;
        }
        let (tell, told) = oneshot::channel();
        // Whoever would listen is joined to the walk, so there is no error.
        let walked = self.path(cache, |addresses| drop(tell.send(addresses.to_vec())));
        let deadline = Deadline::after(cache.timeouts.total);
        let (report, exposure) = future::join(walked, self.test_exposure(cache, told, deadline)).await;
        ProbeReport { exposure: Some(exposure), ..report }
    }

    /// The walk. `followed_to` is told the addresses as soon as they are known.
    async fn path(&self, cache: &Cache, followed_to: impl FnOnce(&[IpAddr])) -> ProbeReport {
        let watch = Stopwatch::start();
        let deadline = Deadline::after(cache.timeouts.total);
        let dial = async |addresses: Vec<IpAddr>| {
            followed_to(&addresses);
            // Not a `buffered` stream: that one asks to be polled again after every wait, with a turn of the event loop.
            let places = Semaphore::new(LEGS_AT_ONCE);
            future::join_all(addresses.into_iter().map(async |address| {
                // It is never closed, so there is no error.
                let _place = places.acquire().await;
                self.leg(cache, address, deadline).await
            }))
            .await
        };
        let (lookup, legs) = self.names(cache, deadline, dial).await;
        let mut report = ProbeReport::new(lookup, legs);
        // Is it the cache, or this machine? A deadline that has passed leaves no time to ask.
        if let Some(control) = cache.control.filter(|_| !report.reached_anything() && !deadline.remaining().is_zero()) {
            report.control_reached = Some(connect::connect(control, cache.timeouts.connect, deadline).await.is_ok());
        }
        report.took = watch.elapsed();
        report
    }

    /// Asks where the name of `cache` leads and goes no further: no connection is opened. It ends by the cache's timeout for
    /// lookups.
    pub async fn look_up(&self, cache: &Cache) -> LookupReport {
        self.names(cache, Deadline::after(cache.timeouts.resolve), async |_| Vec::new()).await.0
    }

    /// Asks every resolver of the cache at once, and goes where the first one leads as soon as it has answered: a slow
    /// resolver that is not followed does not hold up the connection.
    async fn names(
        &self,
        cache: &Cache,
        deadline: Deadline,
        dial: impl AsyncFnOnce(Vec<IpAddr>) -> Vec<Leg>,
    ) -> (LookupReport, Vec<Leg>) {
        let mut lookup = LookupReport::new(cache, clock::now());
        let watch = Stopwatch::start();
        let (first, others) = match cache.resolvers.split_first() {
            Some((first, others)) => (first, others),
            None => (&Resolver::System, [].as_slice()),
        };
        let others = async {
            let asked = others.iter().map(|resolver| self.resolve(cache, resolver, deadline));
            (future::join_all(asked).await, watch.elapsed())
        };
        // Polled first, so that its question leaves first.
        let followed = async {
            let mut resolution = self.resolve(cache, first, deadline).await;
            let addresses = resolution.usable().map(|answer| answer.address).collect();
            let beneath = async {
                let beneath = dns::overridden(&resolution, &self.system, cache.timeouts.resolve, deadline).await;
                (beneath, watch.elapsed())
            };
            let (legs, (beneath, took)) = future::join(dial(addresses), beneath).await;
            resolution.overridden = beneath;
            (resolution, took, legs)
        };
        let ((first, first_took, legs), (resolutions, others_took)) = future::join(followed, others).await;
        lookup.resolutions = resolutions;
        lookup.resolutions.insert(0, first);
        lookup.took = first_took.max(others_took);
        (lookup, legs)
    }

    pub(super) async fn resolve(&self, cache: &Cache, resolver: &Resolver, deadline: Deadline) -> Resolution {
        let of_machine = (&self.system, &self.trust);
        dns::resolve(&cache.host, resolver, of_machine, cache.timeouts.resolve, deadline).await
    }

    /// Walks from one address to the server's word.
    async fn leg(&self, cache: &Cache, address: IpAddr, deadline: Deadline) -> Leg {
        let mut leg = Leg::new(address, cache.dial(address));
        let secret = self.secret(cache);
        let withheld = self.withheld(secret.as_ref());
        leg.fault = match self.open(cache, &mut leg, (secret, &withheld), deadline).await {
            Ok(mut session) => {
                let result = converse(cache, &mut leg, &mut session).await;
                session.close().await;
                result.err()
            }
            Err(fault) => Some(fault),
        };
        // What a peer learned in an earlier session it may say in any place of this one.
        withheld.leg(&mut leg);
        leg
    }
}

/// Asks for a sign of life, and then for what the server says of itself.
async fn converse(cache: &Cache, leg: &mut Leg, session: &mut CacheSession) -> Result<(), Fault> {
    let watch = Stopwatch::start();
    let result = session.ping().await;
    leg.timings.set(Stage::Ping, watch.elapsed());
    match result {
        Ok(()) => {}
        // A server that denies PING to this user is alive and has let us in.
        Err(fault) if fault.kind == FaultKind::NotPermitted => leg.notes.push(fault),
        // Redis itself has spoken, so the path is open; to whom it lets in no key was given, on purpose.
        Err(fault) if fault.kind == FaultKind::AuthRequired && cache.auth == Auth::Withheld => {
            leg.wants_key = true;
            return Ok(());
        }
        Err(fault) => return Err(fault),
    }

    let watch = Stopwatch::start();
    let result = session.inspect().await;
    leg.timings.set(Stage::Inspect, watch.elapsed());
    match result {
        Ok(facts) => leg.server = Some(facts),
        // What it answered before cannot be believed either.
        Err(fault) if fault.kind == FaultKind::OutOfStep => return Err(fault),
        Err(fault) => leg.notes.push(fault),
    }
    Ok(())
}
