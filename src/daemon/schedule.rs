//! When each cache is probed: spread over the interval, never two at once for one cache, never too many at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
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
use crate::model::{Cache, CacheName, ProbeReport};
use crate::probe::Prober;
use crate::sink::{Metrics, Pulse};

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

/// The loop that starts probes.
pub(super) struct Schedule {
    prober: Arc<Prober>,
    observations: mpsc::Sender<Observation>,
    plans: mpsc::Receiver<Plan>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    max_in_flight: usize,
    jitter: f64,
    entries: BTreeMap<CacheName, Entry>,
    /// When which entry is due next. An entry that was replaced leaves its place behind; its number no longer fits.
    due: BinaryHeap<Reverse<(Instant, CacheName, u64)>>,
    /// Entries that are due and wait for a free place, with when they were due.
    waiting: VecDeque<(Instant, CacheName, u64)>,
    running: JoinSet<ProbeReport>,
    /// Which cache a running probe belongs to.
    owners: HashMap<Id, Arc<Cache>>,
    last_number: u64,
}

/// One cache on the schedule.
struct Entry {
    cache: Arc<Cache>,
    /// Tells this entry from an earlier one of the same name.
    number: u64,
    slots: Slots,
    /// Whether it is due and waits for a free place.
    waiting: bool,
    running: Option<AbortHandle>,
    /// When the last probe began that tested what may be open beside the path.
    tested: Option<Instant>,
}

/// The moments at which a cache is due: its phase, every interval, each moved by its jitter.
#[derive(Debug, Clone)]
struct Slots {
    origin: Instant,
    interval: Duration,
    /// The hash of the name: the same name has the same place in the interval after every restart.
    seed: u64,
    jitter: f64,
    next: u32,
}

impl Slots {
    fn new(origin: Instant, cache: &Cache, jitter: f64) -> Self {
        let seed = hash(cache.name.as_str().as_bytes());
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
    /// A schedule with nothing on it, and where its plans are sent.
    pub(super) fn new(
        prober: Arc<Prober>,
        observations: mpsc::Sender<Observation>,
        metrics: Arc<Metrics>,
        pulse: Arc<Pulse>,
        config: &Config,
    ) -> (Self, mpsc::Sender<Plan>) {
        let (sender, plans) = mpsc::channel(1);
        let schedule = Self {
            prober,
            observations,
            plans,
            metrics,
            pulse,
            max_in_flight: config.probe.max_in_flight,
            jitter: config.probe.jitter,
            entries: BTreeMap::new(),
            due: BinaryHeap::new(),
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            owners: HashMap::new(),
            last_number: 0,
        };
        (schedule, sender)
    }

    /// Runs until told to stop; then lets the running probes end.
    pub(super) async fn run(mut self, stop: Stop) {
        let stopped = super::until(stop);
        tokio::pin!(stopped);
        loop {
            self.pulse.schedule_advanced();
            let wake = clock::instant() + HEARTBEAT;
            let wake = self.due.peek().map_or(wake, |Reverse((due, ..))| wake.min(*due));
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(plan) = self.plans.recv() => self.follow(plan),
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
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
                        entry.cut_off();
                    }
                    self.enter(cache, now, count)
                }
            };
            self.entries.insert(entry.cache.name.clone(), entry);
        }
        for removed in before.into_values() {
            removed.cut_off();
        }
    }

    /// A new entry. Its first probe comes soon, so that a start is not blind for a whole interval.
    fn enter(&mut self, cache: Arc<Cache>, now: Instant, count: u32) -> Entry {
        self.last_number += 1;
        let number = self.last_number;
        let slots = Slots::new(now, &cache, self.jitter);
        let window = (FIRST_ROUND_STEP * count).min(cache.interval);
        let first = now + window.mul_f64(share(slots.seed));
        self.due.push(Reverse((first, cache.name.clone(), number)));
        Entry { cache, number, slots, waiting: false, running: None, tested: None }
    }

    /// Starts every probe that is due, as far as there is a place for it.
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
            self.due.push(Reverse((next, name.clone(), number)));
            // The probe before is still running or waiting for its place: this slot is left out.
            if entry.running.is_none() && !entry.waiting {
                entry.waiting = true;
                self.waiting.push_back((due, name, number));
            }
        }
        while self.running.len() < self.max_in_flight {
            let Some((due, name, number)) = self.waiting.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.number == number) else { continue };
            entry.waiting = false;
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
        self.metrics.probes_in_flight(self.running.len());
    }

    /// A probe has ended, one way or another.
    async fn ended(&mut self, ended: Result<(Id, ProbeReport), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(cache) = self.owners.remove(&id) else { return };
        if let Some(entry) = self.entries.get_mut(&cache.name)
            && entry.running.as_ref().is_some_and(|running| running.id() == id)
        {
            entry.running = None;
        }
        let observation = match ended {
            Ok((_, report)) => Observation::Probed { cache, report: Arc::new(report) },
            Err(error) if error.is_panic() => Observation::Panicked { cache },
            // Cut off by a reload: the cache is gone, or is another one now.
            Err(_) => return,
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

    fn cut_off(self) {
        if let Some(running) = self.running {
            running.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(name: &str, jitter: f64) -> Slots {
        let seed = hash(name.as_bytes());
        let interval = Duration::from_secs(30);
        Slots { origin: clock::instant() + interval.mul_f64(share(seed)), interval, seed, jitter, next: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_spread_over_the_interval() {
        let mut tenths = [0_u32; 10];
        for number in 0..1000 {
            let place = share(hash(format!("cache-{number}").as_bytes()));
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
            let slots = Slots::new(start, cache, 0.0);
            let entry = Entry {
                cache: Arc::clone(cache),
                number: 1,
                slots,
                waiting: false,
                running: None,
                tested: tested.map(at),
            };
            entry.is_exposure_due(at(now))
        };
        let [orders, sessions, ..] = caches.as_slice() else { panic!("{caches:?}") };
        assert!(due(orders, None, 0), "the first probe");
        assert!(!due(orders, Some(0), 299) && due(orders, Some(0), 300) && due(orders, Some(0), 1000));
        assert!(!due(sessions, None, 0));
    }
}
