//! When each cache is probed: spread over the interval, never two at once for one cache, never too many at once.
//!
//! Between two probes of a cache its name is looked up again when an answer has run out. A look is welcome and never in the
//! way: it has a place while no probe wants one, and its own cache's probe, which asks the same and more, ends it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::Stop;
use super::dispatch::Observation;
use crate::clock;
use crate::config::Config;
use crate::model::{Cache, CacheName, Errand, ProbeReport};
use crate::probe::Prober;
use crate::sink::{Loop, Metrics, Pulse};

/// The first round of many caches is spread over this much for each of them, and at most over the interval.
const FIRST_ROUND_STEP: Duration = Duration::from_millis(25);

/// The longest sleep, so that the pulse of an idle schedule is felt.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the schedule should follow from now on.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) caches: Vec<Arc<Cache>>,
    pub(super) max_in_flight: usize,
    pub(super) jitter: f64,
    /// Set where the files of the resolver are others than before.
    pub(super) prober: Option<Arc<Prober>>,
}

impl Plan {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            caches: config.caches.clone(),
            max_in_flight: config.probe.max_in_flight,
            jitter: config.probe.jitter,
            prober: None,
        }
    }
}

/// When a cache should be looked up again, unless it is probed before that.
#[derive(Debug)]
pub(super) struct Hint {
    pub(super) cache: Arc<Cache>,
    pub(super) at: Instant,
}

/// The loop that starts probes and looks.
pub(super) struct Schedule {
    prober: Arc<Prober>,
    observations: mpsc::Sender<Observation>,
    plans: mpsc::Receiver<Plan>,
    hints: mpsc::Receiver<Hint>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    max_in_flight: usize,
    jitter: f64,
    /// The hash of this machine's name.
    place: u64,
    entries: BTreeMap<CacheName, Entry>,
    /// When which entry is due next. An entry that was replaced leaves its place behind; its number no longer fits.
    due: BinaryHeap<Reverse<(Instant, CacheName, u64)>>,
    /// Entries that are due and wait for a free place, with when they were due.
    waiting: VecDeque<(Instant, CacheName, u64)>,
    /// When which entry is due for a look; each entry knows its own place.
    looks: BTreeSet<(Instant, CacheName)>,
    /// Probes and looks.
    running: JoinSet<ProbeReport>,
    /// Which cache a running probe belongs to.
    owners: HashMap<Id, Arc<Cache>>,
    /// Which cache a running look belongs to, and when it was due. One that was cut off for a probe is here no longer.
    lookers: HashMap<Id, (Arc<Cache>, Instant)>,
    last_number: u64,
}

/// One cache on the schedule.
struct Entry {
    cache: Arc<Cache>,
    /// Tells this entry from an earlier one of the same name.
    number: u64,
    slots: Slots,
    /// When it is due next.
    next: Instant,
    /// Whether it is due and waits for a free place.
    waiting: bool,
    running: Option<AbortHandle>,
    /// When the last probe began that tested what may be open beside the path.
    tested: Option<Instant>,
    /// When it is due for a look; a probe before that gives it up.
    look: Option<Instant>,
    looking: Option<AbortHandle>,
}

/// The moments at which a cache is due: its phase, every interval, each moved by its jitter.
#[derive(Debug, Clone)]
struct Slots {
    origin: Instant,
    interval: Duration,
    /// The hash of the cache's name and this machine's: sidecars of many pods that start together do not probe together, and
    /// a restart changes nothing.
    seed: u64,
    jitter: f64,
    next: u32,
}

impl Slots {
    fn new(origin: Instant, cache: &Cache, jitter: f64, place: u64) -> Self {
        let seed = seed(cache.name.as_str(), place);
        Self { origin: origin + cache.interval.mul_f64(share(seed)), interval: cache.interval, seed, jitter, next: 0 }
    }

    /// The first slot after `now`; those that have passed are left out, not made up for.
    fn after(&mut self, now: Instant) -> Instant {
        loop {
            let slot = self.at(self.next);
            self.next = self.next.saturating_add(1);
            if slot > now || self.next == u32::MAX {
                return slot;
            }
            let behind = now.saturating_duration_since(slot).as_nanos() / self.interval.as_nanos().max(1);
            self.next = self.next.saturating_add(u32::try_from(behind).unwrap_or(u32::MAX));
        }
    }

    fn at(&self, number: u32) -> Instant {
        let moved = hash(&[self.seed.to_le_bytes(), u64::from(number).to_le_bytes()].concat());
        self.origin + self.interval * number + self.interval.mul_f64(share(moved) * self.jitter)
    }
}

fn seed(name: &str, place: u64) -> u64 {
    hash(&[&place.to_le_bytes(), name.as_bytes()].concat())
}

/// FNV-1a: stable over restarts and versions, unlike the standard library's hashers.
fn hash(bytes: &[u8]) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    fnv.write(bytes);
    // The low bits of FNV are its weak ones: names that differ in their last letter would stay close together.
    let mixed = fnv.finish();
    (mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A hash as a share of one, 0 to 1.
fn share(hash: u64) -> f64 {
    f64::from(u32::try_from(hash >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
}

impl Schedule {
    /// A schedule with nothing on it, and where its plans are sent. `machine` is the name of this machine, or of this pod.
    pub(super) fn new(
        prober: Arc<Prober>,
        observations: mpsc::Sender<Observation>,
        hints: mpsc::Receiver<Hint>,
        metrics: Arc<Metrics>,
        pulse: Arc<Pulse>,
        config: &Config,
        machine: &[u8],
    ) -> (Self, mpsc::Sender<Plan>) {
        let (sender, plans) = mpsc::channel(1);
        let schedule = Self {
            prober,
            observations,
            plans,
            hints,
            metrics,
            pulse,
            max_in_flight: config.probe.max_in_flight,
            jitter: config.probe.jitter,
            place: hash(machine),
            entries: BTreeMap::new(),
            due: BinaryHeap::new(),
            waiting: VecDeque::new(),
            looks: BTreeSet::new(),
            running: JoinSet::new(),
            owners: HashMap::new(),
            lookers: HashMap::new(),
            last_number: 0,
        };
        (schedule, sender)
    }

    /// Runs until told to stop; then lets what is running end.
    pub(super) async fn run(mut self, stop: Stop) {
        let stopped = super::until(stop);
        tokio::pin!(stopped);
        loop {
            self.pulse.turned(Loop::Schedule);
            let wake = clock::instant() + HEARTBEAT;
            // Without a free place no look can start, however long it is due: what ends first wakes this loop.
            let look = self.looks.first().filter(|_| self.has_room()).map_or(wake, |(due, _)| *due);
            let wake = self.due.peek().map_or(wake, |Reverse((due, ..))| wake.min(*due)).min(look);
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(plan) = self.plans.recv() => self.follow(plan),
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
                Some(hint) = self.hints.recv() => self.hear(hint),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.start_what_is_due();
        }
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    /// Takes a new plan: unchanged caches keep their place, changed ones begin anew, removed ones are cut off.
    fn follow(&mut self, plan: Plan) {
        self.max_in_flight = plan.max_in_flight;
        self.jitter = plan.jitter;
        if let Some(prober) = plan.prober {
            self.prober = prober;
        }
        let now = clock::instant();
        let mut before = std::mem::take(&mut self.entries);
        let count = u32::try_from(plan.caches.len()).unwrap_or(u32::MAX);
        for cache in plan.caches {
            let entry = match before.remove(&cache.name) {
                Some(entry) if Arc::ptr_eq(&entry.cache, &cache) => entry,
                changed => {
                    if let Some(entry) = changed {
                        entry.cut_off(&mut self.looks);
                    }
                    self.enter(cache, now, count)
                }
            };
            self.entries.insert(entry.cache.name.clone(), entry);
        }
        for removed in before.into_values() {
            removed.cut_off(&mut self.looks);
        }
    }

    /// A new entry. Its first probe comes soon, so that a start is not blind for a whole interval.
    fn enter(&mut self, cache: Arc<Cache>, now: Instant, count: u32) -> Entry {
        self.last_number += 1;
        let number = self.last_number;
        let slots = Slots::new(now, &cache, self.jitter, self.place);
        let window = (FIRST_ROUND_STEP * count).min(cache.interval);
        let first = now + window.mul_f64(share(slots.seed));
        self.due.push(Reverse((first, cache.name.clone(), number)));
        Entry {
            cache,
            number,
            slots,
            next: first,
            waiting: false,
            running: None,
            tested: None,
            look: None,
            looking: None,
        }
    }

    /// Notes when a cache is due for a look. The latest hint holds; none does while a probe or a look is under way.
    fn hear(&mut self, Hint { cache, at }: Hint) {
        let Some(entry) = self.entries.get_mut(&cache.name).filter(|entry| Arc::ptr_eq(&entry.cache, &cache)) else {
            return;
        };
        let is_busy = entry.waiting || entry.running.is_some() || entry.looking.is_some();
        if !is_busy {
            entry.plan_look(Some(at), &mut self.looks);
        }
    }

    /// Starts what is due, as far as there is a place for it: probes first.
    fn start_what_is_due(&mut self) {
        let now = clock::instant();
        while let Some(Reverse((due, ..))) = self.due.peek() {
            if *due > now {
                break;
            }
            let Some(Reverse((due, name, number))) = self.due.pop() else { break };
            let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.number == number) else { continue };
            // After its early first probe a cache waits for a slot that is at least half an interval away.
            let is_first = entry.slots.next == 0;
            let next = entry.slots.after(if is_first { now + entry.cache.interval / 2 } else { now });
            entry.next = next;
            self.due.push(Reverse((next, name.clone(), number)));
            // The probe before is still running or waiting for its place: this slot is left out.
            if entry.running.is_none() && !entry.waiting {
                entry.waiting = true;
                self.waiting.push_back((due, name, number));
            } else {
                self.metrics.probe_skipped();
            }
        }
        while !self.waiting.is_empty() && (self.has_room() || self.make_room()) {
            let Some((due, name, number)) = self.waiting.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.number == number) else { continue };
            entry.waiting = false;
            entry.plan_look(None, &mut self.looks);
            if let Some(looking) = entry.looking.take() {
                // Its answers would be told after newer ones.
                self.lookers.remove(&looking.id());
                looking.abort();
            }
            self.metrics.probe_late(now.saturating_duration_since(due));
            let (prober, cache) = (Arc::clone(&self.prober), Arc::clone(&entry.cache));
            let handle = if entry.is_exposure_due(now) {
                entry.tested = Some(now);
                self.running.spawn(async move { prober.walk_with_exposure(&cache).await })
            } else {
                self.running.spawn(async move { prober.walk(&cache).await })
            };
            self.owners.insert(handle.id(), Arc::clone(&entry.cache));
            entry.running = Some(handle);
        }
        self.metrics.probes_in_flight(self.owners.len());
        self.start_looks(now);
    }

    fn start_looks(&mut self, now: Instant) {
        while self.has_room() {
            if self.looks.first().is_none_or(|(due, _)| *due > now) {
                break;
            }
            let Some((due, name)) = self.looks.pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            entry.look = None;
            let (prober, cache) = (Arc::clone(&self.prober), Arc::clone(&entry.cache));
            let handle = self.running.spawn(async move { prober.look(&cache).await });
            self.lookers.insert(handle.id(), (Arc::clone(&entry.cache), due));
            entry.looking = Some(handle);
        }
    }

    fn has_room(&self) -> bool {
        self.owners.len() + self.lookers.len() < self.max_in_flight
    }

    /// Takes the place of a look for a probe, where there is one; the look begins anew once there is room.
    fn make_room(&mut self) -> bool {
        let Some(id) = self.lookers.keys().next().copied() else { return false };
        let Some((cache, due)) = self.lookers.remove(&id) else { return false };
        if let Some(entry) = self.entries.get_mut(&cache.name)
            && let Some(looking) = entry.looking.take_if(|looking| looking.id() == id)
        {
            looking.abort();
            entry.plan_look(Some(due), &mut self.looks);
        }
        true
    }

    /// A probe or a look has ended, one way or another.
    async fn ended(&mut self, ended: Result<(Id, ProbeReport), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let (errand, cache) = match (self.owners.remove(&id), self.lookers.remove(&id)) {
            (Some(cache), _) => (Errand::Probe, cache),
            (None, Some((cache, _))) => (Errand::Lookup, cache),
            // A look that was cut off for a probe.
            (None, None) => return,
        };
        let mut next = None;
        if let Some(entry) = self.entries.get_mut(&cache.name) {
            next = Some(entry.next);
            let is_this = |running: &mut AbortHandle| running.id() == id;
            entry.running.take_if(is_this);
            entry.looking.take_if(is_this);
        }
        let observation = match (ended, errand) {
            (Ok((_, report)), Errand::Probe) => Observation::Probed { cache, report: Arc::new(report), next },
            (Ok((_, report)), Errand::Lookup) => Observation::Looked { cache, report: Arc::new(report) },
            (Err(error), errand) if error.is_panic() => Observation::Panicked { cache, errand },
            // Cut off by a reload: the cache is gone, or is another one now.
            (Err(_), _) => return,
        };
        // Dispatch ends only after the schedule has.
        if self.observations.send(observation).await.is_err() {
            tracing::error!("a report was lost: dispatch has ended before the schedule");
        }
    }
}

impl Entry {
    /// Whether the probe that begins now is the first, or the first since the cache's interval for exposure has passed.
    fn is_exposure_due(&self, now: Instant) -> bool {
        let exposure = &self.cache.exposure;
        let has_passed = |at| now.saturating_duration_since(at) >= exposure.interval;
        exposure.is_on() && self.tested.is_none_or(has_passed)
    }

    /// Takes another place among the looks, or none.
    fn plan_look(&mut self, at: Option<Instant>, looks: &mut BTreeSet<(Instant, CacheName)>) {
        if let Some(before) = std::mem::replace(&mut self.look, at) {
            looks.remove(&(before, self.cache.name.clone()));
        }
        looks.extend(at.map(|at| (at, self.cache.name.clone())));
    }

    fn cut_off(mut self, looks: &mut BTreeSet<(Instant, CacheName)>) {
        self.plan_look(None, looks);
        for running in self.running.into_iter().chain(self.looking) {
            running.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use tokio::sync::watch;

    use super::*;
    use crate::config::{self, Inputs};
    use crate::model::{Protocol, Resolver, SystemFiles, Timeouts};
    use crate::sink::fixture;

    /// On a machine of this name `orders` is due 20 seconds into an interval of 30, and `users` at its beginning.
    const MACHINE: &[u8] = b"node-271";

    fn slots(name: &str, jitter: f64) -> Slots {
        let seed = seed(name, 0);
        let interval = Duration::from_secs(30);
        Slots { origin: clock::instant() + interval.mul_f64(share(seed)), interval, seed, jitter, next: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_spread_over_the_interval() {
        are_spread(|number| seed(&format!("cache-{number}"), hash(MACHINE)));
    }

    /// 200 sidecars of one cache, started by one rollout.
    #[tokio::test(start_paused = true)]
    async fn pods_are_spread_over_the_interval() {
        are_spread(|number| seed("orders", hash(format!("orders-api-6c9f7b5d4-{number:05}").as_bytes())));
    }

    #[track_caller]
    fn are_spread(seed: impl Fn(u32) -> u64) {
        let mut tenths = [0_u32; 10];
        for number in 0..1000 {
            let place = share(seed(number));
            let tenth = tenths.iter_mut().enumerate().find(|(index, _)| {
                let index = f64::from(u32::try_from(*index).unwrap());
                place < (index + 1.0) / 10.0
            });
            *tenth.unwrap().1 += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slots_keep_their_interval_and_leave_out_what_has_passed() {
        let start = clock::instant();
        let mut slots = slots("orders", 0.1);
        let mut previous = slots.after(start);
        assert!(previous > start && previous <= start + Duration::from_secs(33));
        for _ in 0..100 {
            let next = slots.after(previous);
            let gap = next - previous;
            assert!(gap >= Duration::from_secs(27) && gap <= Duration::from_secs(33), "{gap:?}");
            previous = next;
        }
        let later = previous + Duration::from_hours(1);
        let next = slots.after(later);
        assert!(next > later && next <= later + Duration::from_secs(66), "{:?}", next - later);
    }

    #[tokio::test(start_paused = true)]
    async fn exposure_is_tested_in_the_first_probe_and_then_at_its_own_pace() {
        let config = crate::config::load(&crate::config::Inputs {
            files: vec!["tests/config/good/full.toml".into()],
            ..crate::config::Inputs::default()
        });
        let caches = config.unwrap().caches;
        // Of the three, `orders` alone has something tested, every five minutes.
        let start = clock::instant();
        let due = |cache: &Arc<Cache>, tested: Option<u64>, now: u64| {
            let at = |seconds| start + Duration::from_secs(seconds);
            let slots = Slots::new(start, cache, 0.0, hash(MACHINE));
            let entry = Entry {
                cache: Arc::clone(cache),
                number: 1,
                slots,
                next: start,
                waiting: false,
                running: None,
                tested: tested.map(at),
                look: None,
                looking: None,
            };
            entry.is_exposure_due(at(now))
        };
        let [orders, sessions, ..] = caches.as_slice() else { panic!("{caches:?}") };
        assert!(due(orders, None, 0), "the first probe");
        assert!(!due(orders, Some(0), 299) && due(orders, Some(0), 300) && due(orders, Some(0), 1000));
        assert!(!due(sessions, None, 0));
    }

    /// How long a probe or a look takes whose name server is silent.
    const SILENCE: Duration = Duration::from_secs(4);

    /// A cache whose name is none, so that every errand ends at once and reaches nobody.
    fn quick(name: &str) -> Arc<Cache> {
        Arc::new(Cache { host: "no..name".to_owned(), ..fixture::cache(name) })
    }

    /// A cache whose errands each end after [`SILENCE`], since its name server says nothing.
    fn slow(name: &str, silent: &UdpSocket) -> Arc<Cache> {
        let resolver = Resolver::server("silent", silent.local_addr().unwrap(), Protocol::Udp);
        let timeouts = Timeouts { resolve: SILENCE, ..fixture::cache(name).timeouts };
        Arc::new(Cache { resolvers: vec![resolver], timeouts, ..fixture::cache(name) })
    }

    fn silent() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    /// A schedule under way, in time that passes only while all of it waits.
    struct Running {
        plans: mpsc::Sender<Plan>,
        hints: mpsc::Sender<Hint>,
        observed: mpsc::Receiver<Observation>,
        _stop: watch::Sender<bool>,
    }

    impl Running {
        async fn start(caches: &[&Arc<Cache>], max_in_flight: usize) -> Self {
            let (observations, observed) = mpsc::channel(16);
            let (hints, hinted) = mpsc::channel(16);
            let (stop, stopped) = watch::channel(false);
            let (schedule, plans) = schedule(observations, hinted);
            tokio::spawn(schedule.run(stopped));
            let running = Self { plans, hints, observed, _stop: stop };
            running.plan(caches, max_in_flight).await;
            running
        }

        async fn plan(&self, caches: &[&Arc<Cache>], max_in_flight: usize) {
            let caches = caches.iter().map(|cache| Arc::clone(cache)).collect();
            self.plans.send(Plan { caches, max_in_flight, jitter: 0.0, prober: None }).await.unwrap();
        }

        fn hint(&self, cache: &Arc<Cache>, at: Instant) {
            self.hints.try_send(Hint { cache: Arc::clone(cache), at }).unwrap();
        }

        /// What ends next, and when.
        async fn next(&mut self) -> (String, Instant) {
            let (what, cache) = match self.observed.recv().await.unwrap() {
                Observation::Probed { cache, .. } => ("probed", cache),
                Observation::Looked { cache, .. } => ("looked up", cache),
                Observation::Panicked { cache, .. } => ("panicked", cache),
            };
            (format!("{what} {}", cache.name), clock::instant())
        }

        /// Waits until this ends next, at that moment to the second.
        #[track_caller]
        fn ends(&mut self, what: &str, at: Instant) -> impl Future<Output = ()> {
            let place = std::panic::Location::caller();
            async move {
                let (ended, when) = self.next().await;
                let off = when.saturating_duration_since(at).max(at.saturating_duration_since(when));
                assert!(ended == what && off < seconds(1), "{ended}, {off:?} off, at {place}");
            }
        }
    }

    fn schedule(
        observations: mpsc::Sender<Observation>,
        hints: mpsc::Receiver<Hint>,
    ) -> (Schedule, mpsc::Sender<Plan>) {
        let prober = Arc::new(Prober::new(&SystemFiles::default()));
        let (metrics, pulse) = (Arc::new(Metrics::new("1", "r")), Arc::new(Pulse::new()));
        Schedule::new(prober, observations, hints, metrics, pulse, &config::load(&Inputs::default()).unwrap(), MACHINE)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_comes_when_it_is_due_and_not_where_the_probe_is_as_soon() {
        let cache = quick("orders");
        let mut running = Running::start(&[&cache], 64).await;
        let first = running.next().await;
        assert_eq!(first.0, "probed orders");
        // The second probe is the first in its own slot.
        let (_, probed) = running.next().await;
        let interval = cache.interval;

        running.hint(&cache, probed + seconds(10));
        running.ends("looked up orders", probed + seconds(10)).await;
        // The latest hint holds, earlier or later than the one before.
        running.hint(&cache, probed + seconds(15));
        running.hint(&cache, probed + seconds(20));
        running.ends("looked up orders", probed + seconds(20)).await;
        running.hint(&cache, probed + seconds(25));
        running.hint(&cache, probed + seconds(22));
        running.ends("looked up orders", probed + seconds(22)).await;
        // One that has passed is due at once.
        running.hint(&cache, probed);
        running.ends("looked up orders", probed + seconds(22)).await;
        // The probe is as soon, or sooner.
        for after in [interval, interval + seconds(1)] {
            running.hint(&cache, probed + after);
        }
        running.ends("probed orders", probed + interval).await;
        running.ends("probed orders", probed + interval * 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_ends_the_look_of_its_cache_and_is_not_delayed() {
        let silent = silent();
        let cache = slow("orders", &silent);
        let mut running = Running::start(&[&cache], 64).await;
        running.next().await;
        let (_, ended) = running.next().await;
        let slot = ended - SILENCE + cache.interval;

        running.hint(&cache, slot - seconds(20));
        running.ends("looked up orders", slot - seconds(20) + SILENCE).await;
        running.hint(&cache, slot - seconds(1));
        running.ends("probed orders", slot + SILENCE).await;
        // While it is under way, no look begins.
        let slot = slot + cache.interval;
        tokio::time::sleep_until(slot + seconds(1)).await;
        running.hint(&cache, slot + seconds(2));
        running.ends("probed orders", slot + SILENCE).await;
        running.ends("probed orders", slot + cache.interval + SILENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_gives_its_place_to_a_probe_and_begins_anew() {
        let silent = silent();
        // They are due 20.7 seconds into the interval and at its beginning.
        let (slow, quick) = (slow("orders", &silent), quick("users"));
        let mut running = Running::start(&[&slow, &quick], 1).await;
        // The first round, and one in their slots.
        let mut last = running.next().await;
        for _ in 0..3 {
            last = running.next().await;
        }
        assert_eq!(last.0, "probed users");
        let next = last.1 + quick.interval;

        running.ends("probed orders", next + seconds(21) - slow.interval + SILENCE).await;
        // One second into the look of the one cache, the other is probed.
        running.hint(&slow, next - seconds(1));
        running.ends("probed users", next).await;
        running.ends("looked up orders", next + SILENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_forgets_the_looks_of_what_it_changes() {
        let silent = silent();
        let (stays, runs, waits, goes) = (quick("stays"), slow("runs", &silent), quick("waits"), quick("goes"));
        let mut running = Running::start(&[&stays, &runs, &waits, &goes], 64).await;
        for _ in 0..4 {
            running.next().await;
        }
        let now = clock::instant();
        // One look is under way at the reload, the others are due after it.
        running.hint(&runs, now);
        for cache in [&stays, &waits, &goes] {
            running.hint(cache, now + seconds(3));
        }
        tokio::time::sleep_until(now + seconds(1)).await;
        let [runs_anew, waits_anew] =
            [&runs, &waits].map(|cache| Arc::new(Cache { max_clients: Some(9), ..Cache::clone(cache) }));
        running.plan(&[&stays, &runs_anew, &waits_anew], 64).await;
        // What is new has its early first probe.
        running.ends("probed waits", now + seconds(1)).await;
        // A hint of a cache as it was before says nothing of what it is now.
        running.hint(&waits, now + seconds(2));
        running.ends("looked up stays", now + seconds(3)).await;
        running.ends("probed runs", now + seconds(1) + SILENCE).await;
        let (what, _) = running.next().await;
        assert!(what.starts_with("probed "), "{what}");
    }

    #[tokio::test]
    async fn a_panic_of_a_look_is_told_as_one() {
        let (observations, mut observed) = mpsc::channel(16);
        let (mut schedule, _plans) = schedule(observations, mpsc::channel(1).1);
        let cache = quick("orders");
        let entry = schedule.enter(Arc::clone(&cache), clock::instant(), 1);
        schedule.entries.insert(cache.name.clone(), entry);
        let handle = schedule.running.spawn(async { panic!("a defect") });
        schedule.lookers.insert(handle.id(), (Arc::clone(&cache), clock::instant()));
        schedule.entries.get_mut(&cache.name).unwrap().looking = Some(handle);
        let ended = schedule.running.join_next_with_id().await.unwrap();
        schedule.ended(ended).await;
        let observation = observed.try_recv().unwrap();
        assert!(matches!(observation, Observation::Panicked { errand: Errand::Lookup, .. }), "{observation:?}");
        assert!(schedule.lookers.is_empty() && schedule.entries[&cache.name].looking.is_none());
    }
}
