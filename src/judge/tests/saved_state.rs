//! What outlives the program, and what it says of the time in which nobody watched.

use serde_json::{Value, json};

use super::resolvers::{PRIVATE, PUBLIC, at, fails, open, round, said, told, two};
use super::*;
use crate::judge::SavedState;
use crate::model::Event;

/// The watch, ended and begun again by way of a file.
fn restarted(watch: &Watch, last_alive: Option<Timestamp>) -> Watch {
    let text = serde_json::to_string(&watch.saved_state()).unwrap();
    let read: SavedState = serde_json::from_str(&text).unwrap();
    assert_eq!(read, watch.saved_state(), "{text}");
    let next = Watch::restore(read, last_alive);
    assert_eq!(next.saved_state(), watch.saved_state(), "a restart alone changes nothing");
    next
}

fn all(address: &str) -> Vec<Resolution> {
    vec![said("system", &[address]), said("hub", &[address])]
}

#[test]
fn a_watch_goes_on_where_it_ended() {
    let cache = two();
    let mut watch = Watch::default();
    let _ = watch.probed(&cache, &round(0, all(PRIVATE)), false);
    let _ = watch.probed(&cache, &round(1, all(PUBLIC)), false);
    let slow = |number| {
        let mut seen = round(number, all(PUBLIC));
        seen.legs[0].timings.set(Stage::Ping, Duration::from_secs(1));
        seen
    };
    let _ = watch.probed(&cache, &slow(2), false);

    let mut next = restarted(&watch, Some(at(2)));
    assert_eq!(next.open(), watch.open(), "nothing else was seen since they opened");
    assert_eq!(open(&next), ["dns-zone-not-linked 2", "dns-drift 2"]);
    assert!(next.open().iter().all(|finding| finding.since == at(1) && !finding.remedy.is_empty()));
    // The streaks go on: one more bad round opens, and what was open is not opened again.
    assert_eq!(told(&next.probed(&cache, &slow(10), false)), ["finding_opened redis-slow"]);
    assert!(next.open().iter().any(|finding| finding.id.as_str() == "redis-slow" && finding.since == at(2)));
    // And so does the memory: the way back is no drift, and what was open clears by the rules.
    let back: Vec<_> = (11..13).flat_map(|number| next.probed(&cache, &round(number, all(PRIVATE)), false)).collect();
    assert_eq!(
        told(&back),
        [
            "addresses_changed system: 20.1.2.3 → 10.20.1.4 (300)",
            "addresses_changed hub: 20.1.2.3 → 10.20.1.4 (300)",
            "finding_cleared dns-zone-not-linked",
            "finding_cleared dns-drift",
            "finding_cleared redis-slow"
        ]
    );
}

#[test]
fn what_changed_while_nobody_watched_says_so() {
    let cache = two();
    let mut watch = Watch::default();
    let seen = |number, address: &str, way: &[&str], serial: &str| {
        let mut seen = round(number, all(address));
        for resolution in &mut seen.lookup.resolutions {
            resolution.chain = super::resolution(way, &[]).chain;
        }
        seen.legs[0].tls.as_mut().unwrap().chain[0].serial = WireText::new(serial);
        seen
    };
    let _ = watch.probed(&cache, &seen(0, PRIVATE, &[PRIVATELINK], "01"), false);
    let gap = format!("not watched from {} to {}: the change fell into this gap", at(100), at(200));
    let is_told = |event: &Event| event.evidence.iter().any(|line| line.as_str() == gap);

    let mut next = restarted(&watch, Some(at(100)));
    let mut moved = seen(200, "10.20.1.9", &["a.example"], "02");
    moved.lookup.resolutions[1] = fails("hub", FaultKind::Timeout);
    let events = next.probed(&cache, &moved, false);
    assert_eq!(
        told(&events),
        [
            "addresses_changed system: 10.20.1.4 → 10.20.1.9 (3000)".to_owned(),
            format!("chain_changed system: {PRIVATELINK} → a.example (3000)"),
            "certificate_changed".to_owned()
        ]
    );
    assert!(events.iter().all(is_told), "{events:?}");
    assert_eq!(events[0].evidence[0].as_str(), "resolver system: 10.0.0.4:53 over udp");
    // The hub had not answered yet: its first answer ends the gap, and later changes were watched.
    let late = next.probed(&cache, &seen(201, "10.20.1.9", &["a.example"], "02"), false);
    let of_hub = |events: &[Event]| events.iter().find(|event| event.resolver.is_some()).cloned().unwrap();
    let ends = format!("not watched from {} to {}: the change fell into this gap", at(100), at(201));
    assert_eq!(of_hub(&late).evidence[1].as_str(), ends);
    let later = next.probed(&cache, &seen(202, PRIVATE, &["a.example"], "03"), false);
    assert!(later.iter().all(|event| !event.evidence.iter().any(|line| line.as_str().starts_with("not watched"))));
    assert_eq!(
        told(&later)[..2],
        ["addresses_changed system: 10.20.1.9 → 10.20.1.4 (60)", "addresses_changed hub: 10.20.1.9 → 10.20.1.4 (30)"]
    );

    // What is as it was has not changed, and what changes afterwards was watched.
    let mut next = restarted(&watch, Some(at(100)));
    assert_eq!(told(&next.probed(&cache, &seen(200, PRIVATE, &[PRIVATELINK], "01"), false)), [""; 0]);
    let events = next.probed(&cache, &seen(201, "10.20.1.9", &[PRIVATELINK], "01"), false);
    assert_eq!(told(&events)[0], "addresses_changed system: 10.20.1.4 → 10.20.1.9 (6030)");
    assert_eq!(events[0].evidence.len(), 1);
}

#[test]
fn what_a_person_accepted_outlives_the_program() {
    let cache = two();
    let mut watch = Watch::default();
    let split = |number| round(number, vec![said("system", &[PRIVATE]), said("hub", &["10.20.1.9"])]);
    let _ = watch.probed(&cache, &split(0), false);
    let _ = watch.accept(&cache, at(0)).unwrap();
    let mut next = restarted(&watch, None);
    for number in 1..4 {
        assert_eq!(told(&next.probed(&cache, &split(number), false)), [""; 0]);
    }
    // The server's counter is remembered as well.
    let mut rejecting = split(4);
    rejecting.legs[0].server.as_mut().unwrap().rejected_connections = Some(3);
    let mut next = restarted(&next, None);
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache };
    assert_eq!(told(&next.probed(&at_once, &rejecting, false)), ["finding_opened connections-rejected"]);
}

/// An open finding is written when it opens and when it becomes better or worse, and not because its words move.
#[test]
fn an_open_finding_is_not_written_every_round() {
    let cache = Cache { rules: Rules { open_after: 3, clear_after: 2 }, ..two() };
    let mut watch = Watch::default();
    let long = |number: u32| {
        let mut seen = round(number, vec![said("system", &[PUBLIC]), said("hub", &[PRIVATE])]);
        seen.lookup.resolutions[0].chain[0].ttl = 86_400 - number;
        seen.lookup.resolutions[0].addresses[0].ttl = Some(7_200 - number);
        seen
    };
    for number in 0..3 {
        let _ = watch.probed(&cache, &long(number), false);
    }
    assert_eq!(open(&watch), ["dns-zone-not-linked 2", "dns-resolvers-disagree 2", "dns-ttl-long 4"]);
    let (written, shown) = (watch.saved_state(), watch.open());
    for number in 3..20 {
        let _ = watch.probed(&cache, &long(number), false);
        let _ = watch.looked_up(&cache, &long(number).lookup);
        assert_eq!(watch.saved_state(), written, "round {number}");
        assert!(watch.is_kept_by(&written), "round {number}");
    }
    assert_ne!(watch.open(), shown, "what is shown is of the last round");
    let mut closed = long(20);
    closed.legs = vec![failed(PUBLIC, Stage::Connect, FaultKind::Filtered)];
    let _ = watch.probed(&cache, &closed, false);
    assert_ne!(watch.saved_state(), written, "it became worse");
    assert!(!watch.is_kept_by(&written), "it became worse");
}

/// Another version, or another hand, wrote it: what can be read is read.
#[test]
fn a_broken_part_does_not_lose_the_rest() {
    let cache = two();
    let mut watch = Watch::default();
    let _ = watch.probed(&cache, &round(0, all(PRIVATE)), false);
    let _ = watch.probed(&cache, &round(1, all(PUBLIC)), false);
    let whole = serde_json::to_value(watch.saved_state()).unwrap();
    let read = |change: &dyn Fn(&mut Value)| {
        let mut changed = whole.clone();
        change(&mut changed);
        assert_ne!(changed, whole, "nothing was broken");
        let mut watch = Watch::restore(serde_json::from_value(changed).unwrap(), None);
        let open = open(&watch);
        (open, told(&watch.probed(&cache, &round(2, all(PRIVATE)), false)).len())
    };
    let both = ["dns-zone-not-linked 2", "dns-drift 2"].map(str::to_owned);
    let row = |change: &dyn Fn(&mut Value), expected: &[String], events: usize| {
        assert_eq!(read(change), (expected.to_vec(), events));
    };
    row(&|saved| saved["novelty"] = json!({"x": 1}), &both, 2);
    row(&|saved| saved["conditions"][0]["finding"]["id"] = json!("dns-of-tomorrow"), &both[1..], 2);
    row(&|saved| saved["conditions"][1]["bad"] = json!(-1), &both[..1], 2);
    row(&|saved| saved["conditions"] = json!("none"), &[], 2);
    row(&|saved| saved["memory"]["resolvers"]["hub"]["baseline"]["since"] = json!("yesterday"), &both, 2);
    row(&|saved| saved["memory"]["resolvers"]["hub"]["addresses"] = json!(7), &both, 1);
    row(&|saved| saved["memory"]["resolvers"]["hub"] = json!([]), &both, 1);
    row(&|saved| saved["memory"]["certificate"] = json!("?"), &both, 2);
    row(&|saved| saved["memory"] = json!(null), &both, 0);
    assert_eq!(serde_json::from_value::<SavedState>(json!({})).unwrap(), SavedState::default());
}
