//! The time against which age is measured: one wrong clock does not make everything old at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Event, EventKind, Timestamp};

/// How fast the reference follows the clock, in seconds a second: a day an hour.
const PACE: u32 = 24;

/// The most time that counts between two looks: the reference moves by at most a day at once.
const LONGEST: Duration = Duration::from_hours(1);

/// How far the clock may move on, beyond the time that passed, before it is told.
const UNTOLD: Duration = Duration::from_hours(24);

/// The time against which the age of events is measured, and what the clock said last.
///
/// Invariant: while the program runs it moves towards the clock and not beyond it, by at most 24 times the time that passed
/// on the monotonic clock; while it does not run it does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    at: Timestamp,
    /// What the clock said at the last look.
    seen: Timestamp,
    /// When that look was.
    looked: Instant,
}

/// What a file says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// The reference; `None` where an older version wrote the file.
    pub(super) reference: Option<Timestamp>,
    /// When it was last written, by the clock of that moment.
    pub(super) alive: Timestamp,
}

/// The clock moved on by more time than passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    before: Timestamp,
    now: Timestamp,
}

impl Reference {
    /// Goes on where a file stands; `kept` is `None` where it is new. `looked` is when time was last counted.
    pub(super) fn of(kept: Option<Kept>, now: Timestamp, looked: Instant) -> Self {
        let Some(kept) = kept else { return Self { at: now, seen: now, looked } };
        Self { at: kept.reference.unwrap_or(kept.alive), seen: kept.alive, looked }
    }

    /// Follows the clock. A jump is given once: it is measured from the look before, also from that of the last run.
    pub(super) fn follow(&mut self, now: Timestamp, at: Instant) -> Option<Jump> {
        let passed = at.saturating_duration_since(self.looked);
        let step = passed.min(LONGEST) * PACE;
        self.at = if now > self.at { self.at.plus(step).min(now) } else { self.at.minus(step).max(now) };
        let jump = Jump { before: self.seen, now };
        (self.seen, self.looked) = (now, at);
        // A clock that was behind and is right again is ahead of nothing that is kept.
        let is_ahead = now.since(self.at) > UNTOLD;
        (is_ahead && now.since(jump.before.plus(passed)) > UNTOLD).then_some(jump)
    }

    /// Where it stands, to be kept.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// When the last look was.
    pub(super) fn looked(&self) -> Instant {
        self.looked
    }

    /// What is older than `retention`, measured against the reference, and never against a time to come.
    pub(super) fn oldest(&self, retention: Duration, now: Timestamp) -> Timestamp {
        self.at.min(now).minus(retention)
    }
}

impl Jump {
    /// The event that tells it.
    pub(super) fn event(self) -> Event {
        let Self { before, now } = self;
        let hours = now.since(before).as_secs() / 3_600;
        let span = humantime::format_duration(Duration::from_hours(hours));
        Event::new(now, None, EventKind::ClockJumped)
            .change(&before.to_string(), &now.to_string())
            .evidence(&format!("the clock last showed {before}, and now shows {now}"))
            .evidence(&format!(
                "either nothing ran here for {span}, or the clock is wrong: see timedatectl or chronyc tracking"
            ))
            .evidence("until this is settled, old events are removed slowly: at most a day of them an hour")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const DAY: Duration = Duration::from_hours(24);
    const HOUR: Duration = Duration::from_hours(1);

    fn start() -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000)
    }

    fn of_file(reference: Option<Timestamp>, alive: Timestamp, looked: Instant) -> Reference {
        Reference::of(Some(Kept { reference, alive }), alive, looked)
    }

    #[test]
    fn a_wrong_clock_costs_a_day_an_hour_and_a_start_costs_nothing() {
        let begun = clock::instant();
        let wrong = start().plus(DAY * 3_650);
        let mut reference = of_file(None, start(), begun);
        assert!(reference.follow(wrong, begun).is_some());
        assert_eq!(reference.at(), start());
        for minute in 1..=60 {
            let passed = Duration::from_mins(minute);
            assert_eq!(reference.follow(wrong.plus(passed), begun + passed), None, "told once");
        }
        assert_eq!(reference.at(), start().plus(DAY));
        assert_eq!(reference.oldest(DAY * 90, wrong), start().minus(DAY * 89));
        // The next runs begin where this one ended, however many they are.
        for _ in 0..100 {
            reference = of_file(Some(reference.at()), wrong.plus(HOUR), begun);
            assert_eq!(reference.follow(wrong.plus(HOUR), begun), None);
        }
        assert_eq!(reference.at(), start().plus(DAY));
        // The clock is mended: age is measured against it at once.
        let mended = start().plus(HOUR);
        assert_eq!(reference.follow(mended, begun), None);
        assert_eq!(reference.oldest(DAY, mended), mended.minus(DAY));
        assert_eq!(reference.follow(mended.plus(HOUR), begun + HOUR), None);
        assert_eq!(reference.at(), mended.plus(HOUR), "nor does it stay in the future");
    }

    #[test]
    fn what_the_clock_does_in_order_is_followed_and_not_told() {
        let begun = clock::instant();
        let mut reference = Reference::of(None, start(), begun);
        for day in 1..=400 {
            let passed = DAY * day;
            assert_eq!(reference.follow(start().plus(passed), begun + passed), None);
            assert_eq!(reference.at(), start().plus(passed));
        }
        // A night, and less than a day in any case, is made up for within the hour.
        let (woken, at) = (reference.at().plus(HOUR * 14), begun + DAY * 400);
        assert_eq!(reference.follow(woken, at), None);
        assert_eq!(reference.follow(woken.plus(HOUR), at + HOUR), None);
        assert_eq!(reference.at(), woken.plus(HOUR));
    }

    /// A machine without a battery begins at 1970, and is told the time a minute later.
    #[test]
    fn a_clock_that_was_behind_for_a_moment_removes_nothing_and_stops_nothing() {
        let begun = clock::instant();
        let minute = Duration::from_mins(1);
        let mut reference = of_file(Some(start()), start(), begun);
        let behind = Timestamp::from_unix_seconds(0);
        assert_eq!(reference.follow(behind, begun), None);
        assert_eq!(reference.follow(behind.plus(minute), begun + minute), None);
        assert_eq!(reference.oldest(DAY, behind.plus(minute)), behind, "nothing is older than 1970");
        assert_eq!(reference.follow(start().plus(minute * 2), begun + minute * 2), None);
        assert!(start().since(reference.at()) < HOUR, "{}", reference.at());
    }

    #[test]
    fn an_absence_is_told_once_and_made_up_for() {
        let begun = clock::instant();
        let back = start().plus(DAY * 30);
        let mut reference = of_file(Some(start()), start(), begun);
        let told = reference.follow(back, begun).unwrap().event();
        assert!(told.evidence[1].as_str().contains("nothing ran here for 30days"), "{told:?}");
        for hour in 1..=30 {
            assert_eq!(reference.follow(back.plus(HOUR * hour), begun + HOUR * hour), None);
        }
        assert!(reference.at() < back.plus(HOUR * 30));
        assert_eq!(reference.follow(back.plus(HOUR * 32), begun + HOUR * 31), None);
        assert_eq!(reference.follow(back.plus(HOUR * 33), begun + HOUR * 32), None);
        assert_eq!(reference.at(), back.plus(HOUR * 33));
        // While it runs, too.
        assert!(reference.follow(back.plus(DAY * 9), begun + HOUR * 33).is_some());
    }

    proptest! {
        /// Whatever the clock says, the reference moves towards it, at its pace and not beyond it.
        #[test]
        fn it_moves_at_its_pace(looks in prop::collection::vec((0u64..1 << 45, 0u64..7_200_000), 1..40)) {
            let mut at = clock::instant();
            let mut reference = Reference::of(None, start(), at);
            for (clock, passed) in looks {
                let (now, passed, before) = (Timestamp::from_unix_millis(clock), Duration::from_millis(passed), reference.at());
                at += passed;
                reference.follow(now, at);
                let moved = reference.at().since(before).max(before.since(reference.at()));
                prop_assert!(moved <= passed * PACE && moved <= DAY);
                prop_assert!(reference.at() >= before.min(now) && reference.at() <= before.max(now));
                prop_assert!(reference.oldest(HOUR, now) <= now.minus(HOUR));
            }
        }
    }
}
