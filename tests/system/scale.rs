//! Very many caches: the schedule keeps its time, and nothing grows. `tests/soak.rs` does the same at length.

use std::time::Duration;

use testlab::crowd::Crowd;

const MIB: u64 = 1 << 20;

/// A hundred probes a second, as three thousand caches have at the default interval.
#[test]
fn three_hundred_caches_are_probed_in_time_and_spread() {
    const CACHES: usize = 300;
    let interval = Duration::from_secs(3);
    let crowd = Crowd::start(CACHES, interval, false);

    let second_round = crowd.wait_for_rounds(2);
    let (memory, files) = (crowd.daemon.resident_bytes(), crowd.daemon.open_files());
    let fourth_round = crowd.wait_for_rounds(4);
    let (grown, more_files) = (crowd.daemon.resident_bytes(), crowd.daemon.open_files());
    let schedule = crowd.schedule();

    // What is late is the daemon's doing, unless the machine has kept it waiting for as long as that.
    let starved = crowd.starvation.so_far();
    let starved_seconds = starved.as_secs_f64();
    let told = format!("{schedule:?}, kept waiting for {starved:?}");
    assert!(schedule.late == 0.0 || schedule.beyond < starved_seconds, "{told}");
    let took = fourth_round.saturating_sub(second_round);
    let limit = interval * 2 + Duration::from_secs(1) + starved;
    assert!(took <= limit, "two rounds of all took {took:?}: slots were left out; {told}");
    let left_out = (starved_seconds / interval.as_secs_f64()).floor();
    assert!(schedule.rounds.1 - schedule.rounds.0 <= 1.0 + left_out, "{told}");
    let even = CACHES / schedule.spread.len();
    let is_spread = schedule.spread.iter().all(|part| (even / 3..=even * 2).contains(part));
    // A probe that begins a part of the interval late is counted in another part than its own.
    let part = interval.as_secs_f64() / f64::from(u32::try_from(schedule.spread.len()).expect("parts are few"));
    let is_moved = schedule.latest > part && starved_seconds > part;
    assert!(is_spread || is_moved, "{told}");
    // Probes in flight hold a few descriptors each, so the number moves; a leak of one a probe would add hundreds.
    assert!(more_files <= files + 100, "from {files} to {more_files} open files");
    assert!(grown <= memory + memory / 10 + 2 * MIB, "from {memory} to {grown} bytes");
}
