//! When each cache is probed: spread over the interval, never two at once for one cache, never too many at once.
//!
//! Between two probes of a cache its name is looked up again when an answer has run out. A lookup is never in the
//! way: it has a place while no probe wants one, and its own cache's probe, which asks the same and more, ends it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::messages::{Hint, Observed, Plan};
use super::slots::{self, Slots};
use super::stop::{Stop, until};
use crate::clock;
use crate::config::Config;
use crate::model::{Cache, CacheName, Observation, ObservationKind};
use crate::probe::Prober;
use crate::sink::{Loop, Metrics, Pulse};

/// The first round of many caches is spread over this much for each of them, and at most over the interval.
const FIRST_ROUND_STEP: Duration = Duration::from_millis(25);

/// The longest sleep, so that the pulse of an idle schedule is felt.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The loop that starts probes and lookups.
pub(super) struct Schedule {
    prober: Arc<Prober>,
    observed: mpsc::Sender<Observed>,
    plans: mpsc::Receiver<Plan>,
    hints: mpsc::Receiver<Hint>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    max_in_flight: usize,
    jitter: f64,
    /// The hash of this machine's name.
    place: u64,
    entries: BTreeMap<CacheName, ScheduledCache>,
    /// When which entry is due next. An entry that was replaced leaves its place behind; its number no longer fits.
    due: BinaryHeap<Reverse<(Instant, CacheName, u64)>>,
    /// Entries that are due and wait for a free place, with when they were due.
    waiting: VecDeque<(Instant, CacheName, u64)>,
    /// When which entry is due for a lookup; each entry knows its own place.
    lookups: BTreeSet<(Instant, CacheName)>,
    /// Probes and lookups.
    running: JoinSet<Observation>,
    /// Which cache a running probe belongs to.
    owners: HashMap<Id, Arc<Cache>>,
    /// Which cache a running lookup belongs to, and when it was due. One that was cut off for a probe is here no longer.
    lookup_owners: HashMap<Id, (Arc<Cache>, Instant)>,
    last_number: u64,
}

/// One cache on the schedule.
struct ScheduledCache {
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
    /// When it is due for a lookup; a probe before that gives it up.
    lookup: Option<Instant>,
    looking_up: Option<AbortHandle>,
}

impl Schedule {
    /// A schedule with nothing on it, and where its plans are sent. `machine` is the name of this machine, or of this pod.
    pub(super) fn new(
        prober: Arc<Prober>,
        observed: mpsc::Sender<Observed>,
        hints: mpsc::Receiver<Hint>,
        metrics: Arc<Metrics>,
        pulse: Arc<Pulse>,
        config: &Config,
        machine: &[u8],
    ) -> (Self, mpsc::Sender<Plan>) {
        let (sender, plans) = mpsc::channel(1);
        let schedule = Self {
            prober,
            observed,
            plans,
            hints,
            metrics,
            pulse,
            max_in_flight: config.probe.max_in_flight,
            jitter: config.probe.jitter,
            place: slots::hash(machine),
            entries: BTreeMap::new(),
            due: BinaryHeap::new(),
            waiting: VecDeque::new(),
            lookups: BTreeSet::new(),
            running: JoinSet::new(),
            owners: HashMap::new(),
            lookup_owners: HashMap::new(),
            last_number: 0,
        };
        (schedule, sender)
    }

    /// Runs until told to stop; then lets what is running end.
    pub(super) async fn run(mut self, stop: Stop) {
        let stopped = until(stop);
        tokio::pin!(stopped);
        loop {
            self.pulse.turned(Loop::Schedule);
            let wake = clock::instant() + HEARTBEAT;
            // Without a free place no lookup can start, however long it is due: what ends first wakes this loop.
            let lookup = self.lookups.first().filter(|_| self.has_room()).map_or(wake, |(due, _)| *due);
            let wake = self.due.peek().map_or(wake, |Reverse((due, ..))| wake.min(*due)).min(lookup);
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
                        entry.cut_off(&mut self.lookups);
                    }
                    self.enter(cache, now, count)
                }
            };
            self.entries.insert(entry.cache.name.clone(), entry);
        }
        for removed in before.into_values() {
            removed.cut_off(&mut self.lookups);
        }
    }

    /// A new entry. Its first probe comes soon, so that a start is not blind for a whole interval.
    fn enter(&mut self, cache: Arc<Cache>, now: Instant, count: u32) -> ScheduledCache {
        self.last_number += 1;
        let number = self.last_number;
        let slots = Slots::new(now, &cache, self.jitter, self.place);
        let window = (FIRST_ROUND_STEP * count).min(cache.interval);
        let first = now + window.mul_f64(slots.share());
        self.due.push(Reverse((first, cache.name.clone(), number)));
        ScheduledCache {
            cache,
            number,
            slots,
            next: first,
            waiting: false,
            running: None,
            tested: None,
            lookup: None,
            looking_up: None,
        }
    }

    /// Notes when a cache is due for a lookup. The latest hint holds; none does while a probe or a lookup is under way.
    fn hear(&mut self, Hint { cache, at }: Hint) {
        let Some(entry) = self.entries.get_mut(&cache.name).filter(|entry| Arc::ptr_eq(&entry.cache, &cache)) else {
            return;
        };
        let is_busy = entry.waiting || entry.running.is_some() || entry.looking_up.is_some();
        if !is_busy {
            entry.plan_lookup(Some(at), &mut self.lookups);
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
            let is_first = entry.slots.is_untouched();
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
            entry.plan_lookup(None, &mut self.lookups);
            if let Some(looking_up) = entry.looking_up.take() {
                // Its answers would be told after newer ones.
                self.lookup_owners.remove(&looking_up.id());
                looking_up.abort();
            }
            self.metrics.probe_late(now.saturating_duration_since(due));
            let (prober, cache) = (Arc::clone(&self.prober), Arc::clone(&entry.cache));
            let is_exposure_due = entry.is_exposure_due(now);
            if is_exposure_due {
                entry.tested = Some(now);
            }
            let handle = self.running.spawn(async move {
                let walk = async {
                    if is_exposure_due { prober.walk_with_exposure(&cache).await } else { prober.walk(&cache).await }
                };
                Observation::Probe(Arc::new(walk.await))
            });
            self.owners.insert(handle.id(), Arc::clone(&entry.cache));
            entry.running = Some(handle);
        }
        self.metrics.probes_in_flight(self.owners.len());
        self.start_lookups(now);
    }

    fn start_lookups(&mut self, now: Instant) {
        while self.has_room() {
            if self.lookups.first().is_none_or(|(due, _)| *due > now) {
                break;
            }
            let Some((due, name)) = self.lookups.pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            entry.lookup = None;
            let (prober, cache) = (Arc::clone(&self.prober), Arc::clone(&entry.cache));
            let handle = self.running.spawn(async move { Observation::Lookup(Arc::new(prober.look_up(&cache).await)) });
            self.lookup_owners.insert(handle.id(), (Arc::clone(&entry.cache), due));
            entry.looking_up = Some(handle);
        }
    }

    fn has_room(&self) -> bool {
        self.owners.len() + self.lookup_owners.len() < self.max_in_flight
    }

    /// Takes the place of a lookup for a probe, where there is one. The lookup begins anew once there is room.
    fn make_room(&mut self) -> bool {
        let Some(id) = self.lookup_owners.keys().next().copied() else { return false };
        let Some((cache, due)) = self.lookup_owners.remove(&id) else { return false };
        if let Some(entry) = self.entries.get_mut(&cache.name)
            && let Some(looking_up) = entry.looking_up.take_if(|looking_up| looking_up.id() == id)
        {
            looking_up.abort();
            entry.plan_lookup(Some(due), &mut self.lookups);
        }
        true
    }

    /// A probe or a lookup has ended, one way or another.
    async fn ended(&mut self, ended: Result<(Id, Observation), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let (kind, cache) = match (self.owners.remove(&id), self.lookup_owners.remove(&id)) {
            (Some(cache), _) => (ObservationKind::Probe, cache),
            (None, Some((cache, _))) => (ObservationKind::Lookup, cache),
            // A lookup that was cut off for a probe.
            (None, None) => return,
        };
        let mut next = None;
        if let Some(entry) = self.entries.get_mut(&cache.name) {
            next = Some(entry.next);
            let is_this = |running: &mut AbortHandle| running.id() == id;
            entry.running.take_if(is_this);
            entry.looking_up.take_if(is_this);
        }
        let outcome = match ended {
            Ok((_, seen)) => Ok(seen),
            Err(error) if error.is_panic() => Err(kind),
            // Cut off by a reload: the cache is gone, or is another one now.
            Err(_) => return,
        };
        // Dispatch ends only after the schedule has.
        if self.observed.send(Observed { cache, outcome, next }).await.is_err() {
            tracing::error!("a report was lost: dispatch has ended before the schedule");
        }
    }
}

impl ScheduledCache {
    /// Whether the probe that begins now is the first, or the first since the cache's interval for exposure has passed.
    fn is_exposure_due(&self, now: Instant) -> bool {
        let exposure = &self.cache.exposure;
        let has_passed = |at| now.saturating_duration_since(at) >= exposure.interval;
        exposure.is_on() && self.tested.is_none_or(has_passed)
    }

    /// Takes another place among the lookups, or none.
    fn plan_lookup(&mut self, at: Option<Instant>, lookups: &mut BTreeSet<(Instant, CacheName)>) {
        if let Some(before) = std::mem::replace(&mut self.lookup, at) {
            lookups.remove(&(before, self.cache.name.clone()));
        }
        lookups.extend(at.map(|at| (at, self.cache.name.clone())));
    }

    fn cut_off(mut self, lookups: &mut BTreeSet<(Instant, CacheName)>) {
        self.plan_lookup(None, lookups);
        for running in self.running.into_iter().chain(self.looking_up) {
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

    /// On a machine of this name `orders` is due 21 seconds into an interval of 30, and `users` at its beginning.
    const MACHINE: &[u8] = b"node-1147";

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
            let slots = Slots::new(start, cache, 0.0, slots::hash(MACHINE));
            let entry = ScheduledCache {
                cache: Arc::clone(cache),
                number: 1,
                slots,
                next: start,
                waiting: false,
                running: None,
                tested: tested.map(at),
                lookup: None,
                looking_up: None,
            };
            entry.is_exposure_due(at(now))
        };
        let [orders, sessions, ..] = caches.as_slice() else { panic!("{caches:?}") };
        assert!(due(orders, None, 0), "the first probe");
        assert!(!due(orders, Some(0), 299) && due(orders, Some(0), 300) && due(orders, Some(0), 1000));
        assert!(!due(sessions, None, 0));
    }

    /// How long a probe or a lookup takes whose name server is silent.
    const SILENCE: Duration = Duration::from_secs(4);

    /// A cache whose name is none, so that every observation ends at once and opens no connection.
    fn quick(name: &str) -> Arc<Cache> {
        Arc::new(Cache { host: "no..name".to_owned(), ..fixture::cache(name) })
    }

    /// A cache whose observations each end after [`SILENCE`], since its name server says nothing.
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
        observed: mpsc::Receiver<Observed>,
        _stop: watch::Sender<bool>,
    }

    impl Running {
        async fn start(caches: &[&Arc<Cache>], max_in_flight: usize) -> Self {
            let (sender, observed) = mpsc::channel(16);
            let (hints, hinted) = mpsc::channel(16);
            let (stop, stopped) = watch::channel(false);
            let (schedule, plans) = schedule(sender, hinted);
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
            let Observed { cache, outcome, .. } = self.observed.recv().await.unwrap();
            let what = match outcome {
                Ok(Observation::Probe(_)) => "probed",
                Ok(Observation::Lookup(_)) => "looked up",
                Err(_) => "panicked",
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

    fn schedule(observed: mpsc::Sender<Observed>, hints: mpsc::Receiver<Hint>) -> (Schedule, mpsc::Sender<Plan>) {
        let prober = Arc::new(Prober::new(&SystemFiles::default()));
        let (metrics, pulse) = (Arc::new(Metrics::new("1", "r")), Arc::new(Pulse::new()));
        Schedule::new(prober, observed, hints, metrics, pulse, &config::load(&Inputs::default()).unwrap(), MACHINE)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_comes_when_it_is_due_and_not_where_the_probe_is_as_soon() {
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
    async fn a_probe_ends_the_lookup_of_its_cache_and_is_not_delayed() {
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
        // While it is under way, no lookup begins.
        let slot = slot + cache.interval;
        tokio::time::sleep_until(slot + seconds(1)).await;
        running.hint(&cache, slot + seconds(2));
        running.ends("probed orders", slot + SILENCE).await;
        running.ends("probed orders", slot + cache.interval + SILENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_gives_its_place_to_a_probe_and_begins_anew() {
        let silent = silent();
        // They are due 21.2 seconds into the interval and 0.4.
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
        // One second into the lookup of the one cache, the other is probed.
        running.hint(&slow, next - seconds(1));
        running.ends("probed users", next).await;
        running.ends("looked up orders", next + SILENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_forgets_the_lookups_of_what_it_changes() {
        let silent = silent();
        let (stays, runs, waits, goes) = (quick("stays"), slow("runs", &silent), quick("waits"), quick("goes"));
        let mut running = Running::start(&[&stays, &runs, &waits, &goes], 64).await;
        for _ in 0..4 {
            running.next().await;
        }
        let now = clock::instant();
        // One lookup is under way at the reload, the others are due after it.
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
    async fn a_panic_of_a_lookup_is_told_as_one() {
        let (sender, mut observed) = mpsc::channel(16);
        let (mut schedule, _plans) = schedule(sender, mpsc::channel(1).1);
        let cache = quick("orders");
        let entry = schedule.enter(Arc::clone(&cache), clock::instant(), 1);
        schedule.entries.insert(cache.name.clone(), entry);
        let handle = schedule.running.spawn(async { panic!("a defect") });
        schedule.lookup_owners.insert(handle.id(), (Arc::clone(&cache), clock::instant()));
        schedule.entries.get_mut(&cache.name).unwrap().looking_up = Some(handle);
        let ended = schedule.running.join_next_with_id().await.unwrap();
        schedule.ended(ended).await;
        let outcome = observed.try_recv().unwrap().outcome;
        assert!(matches!(outcome, Err(ObservationKind::Lookup)), "{outcome:?}");
        assert!(schedule.lookup_owners.is_empty() && schedule.entries[&cache.name].looking_up.is_none());
    }
}
