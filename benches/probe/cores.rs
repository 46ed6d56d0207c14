//! Who runs on which core, and what a thread has used of it.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The cores of this bench: one for the client, which is measured, and one for everything it talks to.
pub(crate) struct Cores {
    all: CpuSet,
    pub(crate) client: usize,
    pub(crate) servers: usize,
}

impl Cores {
    /// Pins this thread to the first core it may use; the servers get the last one.
    pub(crate) fn take() -> Self {
        let all = sched_getaffinity(None).expect("a thread may ask for its own affinity");
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let client = usable.next().expect("this thread runs somewhere");
        let servers = usable.next_back().unwrap_or(client);
        pin(&only(client));
        Self { all, client, servers }
    }

    /// Runs `start` on the servers' core, where the processes and threads that it starts stay.
    pub(crate) fn start_servers<T>(&self, start: impl FnOnce() -> T) -> T {
        self.start_on(&only(self.servers), start)
    }

    /// Runs `start` as if nothing were pinned, for a process that is to run as it would for its operator.
    pub(crate) fn start_unpinned<T>(&self, start: impl FnOnce() -> T) -> T {
        self.start_on(&self.all, start)
    }

    /// A process or thread inherits the cores of the thread that starts it.
    fn start_on<T>(&self, cores: &CpuSet, start: impl FnOnce() -> T) -> T {
        pin(cores);
        let started = start();
        pin(&only(self.client));
        started
    }
}

/// Processor time, user and system, that this thread has used.
pub(crate) fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("the time used is not negative")
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}

fn pin(cores: &CpuSet) {
    sched_setaffinity(None, cores).expect("a thread may move among its own cores");
}
