//! What a busy machine adds to the times of a test, as its kernel has counted it.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

/// How long processes have waited for a processor, although they had work to do.
///
/// A limit of time that a test holds a process to is a limit of what the process does; what the machine did meanwhile for
/// others is measured by this, and added to the limit.
#[derive(Debug)]
pub struct Starvation {
    processes: Vec<u32>,
    /// How long each of their threads had waited before.
    before: HashMap<PathBuf, Duration>,
}

impl Starvation {
    /// Measures from now on. All threads of these processes count, added up.
    #[track_caller]
    pub fn of(processes: &[u32]) -> Self {
        Self { processes: processes.to_vec(), before: waited(processes).collect() }
    }

    /// How long they have waited since. What a thread waited that has ended meanwhile is not known any more.
    #[track_caller]
    pub fn so_far(&self) -> Duration {
        let since = |(thread, waited): (PathBuf, Duration)| {
            waited.saturating_sub(self.before.get(&thread).copied().unwrap_or_default())
        };
        waited(&self.processes).map(since).sum()
    }
}

#[track_caller]
fn waited(processes: &[u32]) -> impl Iterator<Item = (PathBuf, Duration)> {
    let threads = |process: &u32| {
        // One that has ended since waits no more.
        fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten()
    };
    processes.iter().flat_map(threads).map(|thread| {
        let schedstat = thread.path().join("schedstat");
        let waited = waited_by(&schedstat);
        (schedstat, waited)
    })
}

#[track_caller]
fn waited_by(schedstat: &std::path::Path) -> Duration {
    let Ok(text) = fs::read_to_string(schedstat) else { return Duration::ZERO };
    // Documentation/scheduler/sched-stats.rst: time on a processor, time waiting for one, both in nanoseconds, and slices.
    let waited = text.split(' ').nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(waited.unwrap_or_else(|| panic!("{}: not three numbers: {text}", schedstat.display())))
}

#[cfg(test)]
mod tests {
    use std::{
        hint,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;
    use crate::PATIENCE;
    use cachewatch::clock::Stopwatch;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    #[test]
    fn two_threads_on_one_processor_keep_each_other_waiting() {
        let starvation = Starvation::of(&[std::process::id()]);
        let watch = Stopwatch::start();
        let all = sched_getaffinity(None).unwrap();
        let mut one = CpuSet::new();
        one.set((0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)).unwrap());
        // What a thread waited goes with it, so both end together: the one left alone would not wait any more.
        let has_waited = AtomicBool::new(false);
        let spin = || {
            sched_setaffinity(None, &one).unwrap();
            while !has_waited.load(Ordering::Relaxed) {
                assert!(watch.elapsed() < PATIENCE, "neither thread waited");
                has_waited.fetch_or(starvation.so_far() >= Duration::from_millis(100), Ordering::Relaxed);
                hint::spin_loop();
            }
        };
        thread::scope(|scope| [(); 2].map(|()| scope.spawn(spin)).map(|thread| thread.join().unwrap()));
    }
}
