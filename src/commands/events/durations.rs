//! How long something had been so, and how long it was so then: from one change of a thing to the next of the same.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::model::{CacheName, Event, EventKind, FindingId, ResolverName, Timestamp, seconds};

/// What an event ended and began, in time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Lasting {
    /// How long it had been as it was before; `None` where that is not known, or nothing ended.
    #[serde(skip)]
    pub(super) held: Option<Duration>,
    /// How long it was so from then on; `None` where it still is, or nothing began.
    #[serde(rename = "lasted_seconds", serialize_with = "seconds::option::serialize")]
    pub(super) lasted: Option<Duration>,
    /// Whether it still is.
    pub(super) still: bool,
}

/// What can change.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Thing {
    Addresses(Option<ResolverName>),
    Chain(Option<ResolverName>),
    Certificate,
    Finding(FindingId),
}

/// The events that the present state of a thing began with, and when they were.
type Began = Vec<(usize, Timestamp)>;

/// What each of these events, the oldest first, ended and began.
pub(super) fn of(events: &[&Event]) -> Vec<Lasting> {
    let mut lasting: Vec<Lasting> = Vec::with_capacity(events.len());
    let mut open: HashMap<(Option<CacheName>, Thing), Began> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        lasting.push(Lasting { held: event.lasted, ..Lasting::default() });
        if event.kind == EventKind::CacheRemoved {
            // Of a cache that is not watched nothing is known, and so not for how long either.
            for (_, since) in open.extract_if(|(cache, _), _| *cache == event.cache) {
                for (began, _) in since {
                    lasting[began].still = false;
                }
            }
            continue;
        }
        let mut end = |began: usize, at: Timestamp| {
            // What changed while nobody watched is known to have lasted only as long as somebody did. A finding counts from
            // its first bad round, as everywhere, and not from the one that opened it.
            let is_whole = event.kind == EventKind::FindingCleared && events[began].kind == EventKind::FindingOpened;
            let told = event.lasted.filter(|_| is_whole || event.unwatched_since.is_some());
            let lasted = told.unwrap_or_else(|| event.at.since(at));
            (lasting[began].lasted, lasting[began].still) = (Some(lasted), false);
        };
        let Some(thing) = thing(event) else { continue };
        let since = open.entry((event.cache.clone(), thing)).or_default();
        // A finding that has become worse is still the one that opened.
        let first = since.first().copied();
        let goes_on = event.kind == EventKind::FindingChanged;
        for (began, at) in since.drain(usize::from(goes_on).min(since.len())..) {
            end(began, at);
        }
        if event.kind == EventKind::FindingCleared {
            for (began, at) in since.drain(..) {
                end(began, at);
            }
        } else {
            since.push((index, event.at));
        }
        let cleared = event.kind == EventKind::FindingCleared;
        // How long it was open is known where it is known when it opened.
        let first = first.filter(|(began, _)| !cleared || events[*began].kind == EventKind::FindingOpened);
        lasting[index].still = !cleared;
        lasting[index].held = event.lasted.or_else(|| first.map(|(_, at)| event.at.since(at)));
    }
    lasting
}

fn thing(event: &Event) -> Option<Thing> {
    match event.kind {
        EventKind::AddressesChanged => Some(Thing::Addresses(event.resolver.clone())),
        EventKind::ChainChanged => Some(Thing::Chain(event.resolver.clone())),
        EventKind::CertificateChanged => Some(Thing::Certificate),
        EventKind::FindingOpened | EventKind::FindingChanged | EventKind::FindingCleared => {
            event.finding.map(Thing::Finding)
        }
        EventKind::BaselineAccepted
        | EventKind::CacheAdded
        | EventKind::CacheRemoved
        | EventKind::ConfigReloaded
        | EventKind::ConfigRejected
        | EventKind::JournalSetAside
        | EventKind::Resumed
        | EventKind::ClockJumped
        | EventKind::Started
        | EventKind::Stopping => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, kind: EventKind) -> Event {
        let finding = kind.as_str().starts_with("finding").then_some(FindingId::DnsDrift);
        let at = Timestamp::from_unix_seconds(second);
        Event { finding, ..Event::new(at, Some(CacheName::new("orders")), kind) }
    }

    /// `held lasted` of each event in seconds, `-` where there is none and `still` where it goes on.
    fn told(events: &[Event]) -> Vec<String> {
        let shown = |time: Option<Duration>| time.map_or("-".to_owned(), |time| time.as_secs().to_string());
        let line = |lasting: &Lasting| {
            let lasted = if lasting.still { "still".to_owned() } else { shown(lasting.lasted) };
            format!("{} {lasted}", shown(lasting.held))
        };
        of(&events.iter().collect::<Vec<_>>()).iter().map(line).collect()
    }

    #[test]
    fn a_thing_lasts_until_it_changes_again() {
        use EventKind::{AddressesChanged, CacheRemoved, ChainChanged, Started};
        let hub = |event: Event| event.by(&ResolverName::new("hub"));
        let known = Event { lasted: Some(Duration::from_secs(99)), ..event(0, AddressesChanged) };
        let events = [
            known,
            event(1, ChainChanged),
            hub(event(2, AddressesChanged)),
            event(5, AddressesChanged),
            event(6, Started),
            event(9, CacheRemoved),
        ];
        assert_eq!(told(&events[..5]), ["99 5", "- still", "- still", "5 still", "- -"]);
        assert_eq!(told(&events), ["99 5", "- -", "- -", "5 -", "- -", "- -"]);
    }

    #[test]
    fn what_changed_while_nobody_watched_lasted_as_long_as_somebody_did() {
        let gap = "not watched from 2026-11-21T01:04:03Z to 2026-11-21T01:04:18Z: the change fell into this gap";
        let moved = event(60, EventKind::AddressesChanged).evidence(gap).read_back();
        let moved = Event { lasted: Some(Duration::from_secs(45)), ..moved };
        let since = moved.unwatched_since.map(|since| since.to_string());
        assert_eq!(since.as_deref(), Some("2026-11-21T01:04:03.000Z"), "an older journal has the words alone");
        assert_eq!(told(&[event(0, EventKind::AddressesChanged), moved]), ["- 45", "45 still"]);
        let cleared = Event { lasted: Some(Duration::from_secs(7)), ..event(9, EventKind::FindingCleared) };
        assert_eq!(told(&[cleared]), ["7 -"], "it opened before all that was read");
    }

    #[test]
    fn a_finding_lasts_from_its_first_bad_round_wherever_that_is_told() {
        let cleared = Event { lasted: Some(Duration::from_secs(48)), ..event(48, EventKind::FindingCleared) };
        let opened = event(8, EventKind::FindingOpened);
        assert_eq!(told(&[opened, event(20, EventKind::FindingChanged), cleared]), ["- 48", "12 28", "48 -"]);
    }

    #[test]
    fn a_finding_lasts_until_it_clears_however_it_changes() {
        use EventKind::{FindingChanged, FindingCleared, FindingOpened};
        let events =
            [(0, FindingOpened), (2, FindingChanged), (5, FindingChanged), (9, FindingCleared), (10, FindingOpened)];
        let events = events.map(|(second, kind)| event(second, kind));
        assert_eq!(told(&events), ["- 9", "2 3", "5 4", "9 -", "- still"]);
        assert_eq!(told(&events[..3]), ["- still", "2 3", "5 still"]);
        assert_eq!(told(&events[1..4]), ["- 7", "3 4", "- -"], "opened before all that was read");
    }
}
