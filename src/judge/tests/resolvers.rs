//! Several resolvers, what each of them said before, and what a person accepted.

use super::*;
use crate::model::{Event, EventKind, Finding, Protocol};

pub(super) const PRIVATE: &str = "10.20.1.4";
pub(super) const PUBLIC: &str = "20.1.2.3";

/// A cache that asks the machine's own way and two name servers.
pub(super) fn three() -> Cache {
    let server = |name: &str, address: &str| Resolver::server(name, address.parse().unwrap(), Protocol::Udp);
    let resolvers = vec![Resolver::System, server("hub", "10.0.0.2:53"), server("dc", "10.0.0.3:5353")];
    Cache { resolvers, follow_ttl: Some(Duration::from_secs(5)), ..cache() }
}

/// The same with one name server.
pub(super) fn two() -> Cache {
    let mut cache = three();
    cache.resolvers.truncate(2);
    cache
}

/// An answer of a resolver.
pub(super) fn said(resolver: &str, addresses: &[&str]) -> Resolution {
    let mut said = resolution(&[PRIVATELINK], addresses);
    said.resolver = ResolverName::new(resolver);
    said.queries[0].server = match resolver {
        "hub" => "10.0.0.2:53".parse().unwrap(),
        "dc" => "10.0.0.3:5353".parse().unwrap(),
        _ => said.queries[0].server,
    };
    said
}

pub(super) fn fails(resolver: &str, kind: FaultKind) -> Resolution {
    let fault = Some(Fault::new(Stage::Resolve, kind, "words of the resolver"));
    Resolution { fault, chain: Vec::new(), ..said(resolver, &[]) }
}

/// A round of thirty seconds' pace; every address that the first resolver gives serves.
pub(super) fn round(number: u32, resolutions: Vec<Resolution>) -> ProbeReport {
    let legs = resolutions[0].addresses.iter().map(|answer| leg(&answer.address.to_string())).collect();
    let mut seen = report(resolution(&[], &[]), legs);
    (seen.lookup.at, seen.lookup.resolutions) = (at(number), resolutions);
    seen
}

pub(super) fn at(number: u32) -> Timestamp {
    Timestamp::from_unix_seconds(NOW).plus(Duration::from_secs(30) * number)
}

/// A lookup beside the probes.
fn lookup(number: u32, resolutions: Vec<Resolution>) -> LookupReport {
    round(number, resolutions).lookup
}

pub(super) fn open(watch: &Watch) -> Vec<String> {
    watch.open().iter().map(|finding| format!("{} {}", finding.id, finding.severity.number())).collect()
}

fn opened(watch: &Watch, id: &str) -> Finding {
    watch.open().into_iter().find(|finding| finding.id.as_str() == id).unwrap()
}

/// `kind resolver: before → after (lasted)`, or `kind finding`.
pub(super) fn told(events: &[Event]) -> Vec<String> {
    let words = |text: &Option<WireText>| text.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    let told = |event: &Event| match (&event.finding, &event.resolver) {
        (Some(id), _) => format!("{} {id}", event.kind),
        (None, Some(resolver)) => {
            let lasted = event.lasted.map_or_else(|| "?".to_owned(), |lasted| lasted.as_secs().to_string());
            format!("{} {resolver}: {} → {} ({lasted})", event.kind, words(&event.before), words(&event.after))
        }
        (None, None) => event.kind.to_string(),
    };
    events.iter().map(told).collect()
}

#[test]
fn each_pair_of_answers_is_told_apart() {
    use FaultKind as Kind;
    let system = |addresses: &[&str]| said("system", addresses);
    let hub = |addresses: &[&str]| said("hub", addresses);
    let mut counted_down = hub(&[PRIVATE]);
    counted_down.addresses[0].ttl = Some(1);
    let gone = |resolver, kind| fails(resolver, kind);
    let table: Vec<(Vec<Resolution>, &[&str])> = vec![
        (vec![system(&[PRIVATE]), hub(&[PRIVATE])], &[]),
        (vec![system(&[PRIVATE]), counted_down], &[]),
        (vec![system(&[PRIVATE, "10.20.1.5"]), hub(&["10.20.1.5", PRIVATE])], &[]),
        (vec![system(&[PRIVATE, "10.20.1.5"]), hub(&["10.20.1.5"])], &[]),
        (vec![system(&["10.20.1.5"]), hub(&[PRIVATE, "10.20.1.5"])], &[]),
        (vec![system(&[PRIVATE, "10.20.1.5"]), hub(&[PRIVATE, "10.20.1.6"])], &["dns-resolvers-disagree 2"]),
        (vec![system(&[PRIVATE]), hub(&["10.20.1.9"])], &["dns-resolvers-disagree 2"]),
        (vec![system(&[PRIVATE]), hub(&[PUBLIC])], &["dns-resolvers-disagree 2"]),
        (vec![system(&[PRIVATE]), gone("hub", Kind::NameNotFound)], &["dns-resolvers-disagree 2"]),
        (vec![system(&[PRIVATE]), gone("hub", Kind::NoAddress)], &["dns-resolvers-disagree 2"]),
        (
            vec![gone("system", Kind::NameNotFound), hub(&[PRIVATE])],
            &["dns-name-not-found 1", "dns-resolvers-disagree 2"],
        ),
        (vec![gone("system", Kind::NameNotFound), gone("hub", Kind::NoAddress)], &["dns-name-not-found 1"]),
        (vec![system(&[PUBLIC]), hub(&[PRIVATE])], &["dns-zone-not-linked 2", "dns-resolvers-disagree 2"]),
        (vec![system(&[PUBLIC]), hub(&[PUBLIC])], &["dns-zone-not-linked 2"]),
        // A resolver that fails disagrees with nobody.
        (vec![system(&[PRIVATE]), fails("hub", Kind::Timeout)], &["dns-timeout 3"]),
        (vec![system(&[PRIVATE]), fails("hub", Kind::ServerFailure)], &["dns-server-failure 3"]),
        (vec![system(&[PRIVATE]), fails("hub", Kind::QueryRefused)], &["dns-refused 3"]),
        (vec![system(&[PRIVATE]), fails("hub", Kind::ResolverUnreachable)], &["dns-unreachable 3"]),
        (vec![system(&[PRIVATE]), fails("hub", Kind::AliasLoop)], &["dns-failed 3"]),
        (vec![system(&[PRIVATE]), fails("hub", Kind::LocalExhaustion)], &["local-exhaustion 3"]),
        (vec![fails("system", Kind::Timeout), fails("hub", Kind::Timeout)], &["dns-timeout 1"]),
        (
            vec![fails("system", Kind::Timeout), fails("hub", Kind::ServerFailure)],
            &["dns-timeout 1", "dns-server-failure 3"],
        ),
        (vec![fails("system", Kind::Timeout), hub(&[PRIVATE])], &["dns-timeout 1"]),
        (vec![system(&[PRIVATE]), fails("hub", Kind::Timeout), fails("dc", Kind::Timeout)], &["dns-timeout 3"]),
        (
            vec![system(&[PRIVATE]), fails("hub", Kind::Timeout), said("dc", &[PUBLIC])],
            &["dns-resolvers-disagree 2", "dns-timeout 3"],
        ),
    ];
    for (resolutions, expected) in table {
        let cache = if resolutions.len() == 3 { three() } else { two() };
        assert_eq!(verdict(&cache, &round(0, resolutions.clone())), expected, "{resolutions:?}");
    }
}

#[test]
fn one_cause_counts_once_in_a_round() {
    let mut starved = round(0, vec![said("system", &[PRIVATE]), fails("hub", FaultKind::LocalExhaustion)]);
    starved.legs = vec![failed(PRIVATE, Stage::Connect, FaultKind::LocalExhaustion)];
    assert_eq!(verdict(&two(), &starved), ["local-exhaustion 2"]);
    let mut watch = Watch::default();
    let _ = watch.probed(&two(), &starved, false);
    assert_eq!(open(&watch), [""; 0], "one round counted twice");
}

/// What this machine does to a name explains that others say otherwise.
#[test]
fn a_disagreement_follows_from_what_bends_the_name_here() {
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..two() };
    let pinned = Resolution {
        source: Source::HostsFile,
        overridden: Some(Box::new(said("system", &[PRIVATE]))),
        ..said("system", &["10.20.1.9"])
    };
    let searched = Resolution {
        searched: true,
        name: WireText::new("orders.redis.cache.windows.net.corp.example"),
        ..said("system", &["10.20.1.9"])
    };
    for (bent, expected) in [(pinned, "dns-hosts-override 3"), (searched, "dns-search-suffix-answer 3")] {
        let mut watch = Watch::default();
        let _ = watch.probed(&at_once, &round(0, vec![bent, said("hub", &[PRIVATE])]), false);
        assert_eq!(open(&watch), [expected]);
        let evidence = watch.open().remove(0).evidence;
        assert!(evidence.last().unwrap().starts_with("resolver hub: 10.0.0.2:53 over udp: "), "{evidence:?}");
    }
}

#[test]
fn a_disagreement_says_who_says_what_and_since_when() {
    let mut watch = Watch::default();
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..three() };
    let all = |hub: &str| vec![said("system", &[PRIVATE]), said("hub", &[hub]), said("dc", &[PRIVATE])];
    let _ = watch.probed(&at_once, &round(0, all(PRIVATE)), false);
    let _ = watch.probed(&at_once, &round(240, all(PUBLIC)), false);
    let finding = opened(&watch, "dns-resolvers-disagree");
    let start = at(0);
    assert_eq!(
        finding.summary,
        format!("{HOST}: resolvers system and dc say 10.20.1.4 (private), resolver hub says 20.1.2.3 (public)")
    );
    let path = |address: &str| format!("{HOST} → {PRIVATELINK} (TTL 300s) → {address}, TTL 10s)");
    assert_eq!(
        finding.evidence,
        [
            format!("resolver system: 10.0.0.4:53 over udp: {}, for 2h (since {start})", path("10.20.1.4 (private")),
            format!("resolver hub: 10.0.0.2:53 over udp: {}", path("20.1.2.3 (public")),
            format!("resolver dc: 10.0.0.3:5353 over udp: {}, for 2h (since {start})", path("10.20.1.4 (private")),
            format!("resolver hub said before: 10.20.1.4, right since {start}"),
        ]
    );
    assert_eq!(
        finding.remedy_lines(),
        [
            format!("nslookup {HOST} 10.0.0.4"),
            format!("nslookup {HOST} 10.0.0.2"),
            "# resolver hub is probably wrong: it is stale, or does not see the zone; the others say what is expected"
                .to_owned(),
            "# a resolver that gives a public address may be in a network that the private zone is not linked to".to_owned(),
            "az network private-dns link vnet list -g <resource-group> -z privatelink.redis.cache.windows.net -o table"
                .to_owned(),
            "az network private-dns record-set a list -g <resource-group> -z privatelink.redis.cache.windows.net -o table"
                .to_owned(),
            "# if each of them is meant to answer as it does, accept it".to_owned(),
            "cachewatch baseline accept orders".to_owned(),
        ]
    );
    let elsewhere = Cache { host: "cache.example.com".into(), ..at_once };
    let mut watch = Watch::default();
    let far = vec![said("system", &[PRIVATE]), said("hub", &[PRIVATE]), said("dc", &["10.20.1.9"])];
    let _ = watch.probed(&elsewhere, &round(0, far), false);
    let remedy = watch.open().remove(0).remedy_lines();
    assert!(remedy.contains(&"nslookup -port=5353 cache.example.com 10.0.0.3".to_owned()), "{remedy:?}");
    assert!(remedy.iter().all(|line| !line.starts_with("az ")), "{remedy:?}");
}

#[test]
fn who_is_wrong_is_said_where_something_tells() {
    let nothing = Expectation::default();
    let private = || two().expectation;
    let suspect = |expectation: Expectation, before: [&str; 2], now: [&str; 2]| {
        let cache = Cache { expectation, rules: Rules { open_after: 1, clear_after: 1 }, ..two() };
        let mut watch = Watch::default();
        let pair =
            |number, [system, hub]: [&str; 2]| round(number, vec![said("system", &[system]), said("hub", &[hub])]);
        let _ = watch.probed(&cache, &pair(0, before), false);
        let _ = watch.probed(&cache, &pair(1, now), false);
        let remedy = opened(&watch, "dns-resolvers-disagree").remedy_lines();
        remedy.into_iter().find(|line| ["wrong", "stale"].iter().any(|word| line.contains(word))).unwrap()
    };
    let table = [
        // What is expected decides,
        (private(), [PRIVATE; 2], [PUBLIC, PRIVATE], "resolver system is probably wrong"),
        (private(), [PRIVATE; 2], [PRIVATE, PUBLIC], "resolver hub is probably wrong"),
        (private(), [PUBLIC; 2], [PRIVATE, PUBLIC], "resolver hub is probably wrong"),
        // else who left what was right,
        (nothing.clone(), [PRIVATE; 2], [PRIVATE, PUBLIC], "resolver hub is probably wrong: it has left the private"),
        (private(), [PRIVATE; 2], ["10.20.1.9", PRIVATE], "resolver system has moved and hub has not: if"),
        (private(), [PRIVATE; 2], [PRIVATE, "10.20.1.9"], "resolver hub has moved and system has not: if"),
        // else nothing does.
        (private(), [PRIVATE, "10.20.1.9"], [PRIVATE, "10.20.1.9"], "which of system and hub is stale cannot be told"),
        (private(), [PRIVATE; 2], ["10.20.1.8", "10.20.1.9"], "which of system and hub is stale cannot be told"),
    ];
    for (expectation, before, now, expected) in table {
        let remark = suspect(expectation, before, now);
        assert!(remark.starts_with(&format!("# {expected}")), "{before:?} {now:?}: {remark}");
    }
}

#[test]
fn a_resolver_that_nobody_follows_is_named_where_it_fails() {
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..three() };
    let mut watch = Watch::default();
    let system = || said("system", &[PRIVATE]);
    let timeout = |name| fails(name, FaultKind::Timeout);
    let _ = watch.probed(&at_once, &round(0, vec![system(), timeout("hub"), timeout("dc")]), false);
    let finding = opened(&watch, "dns-timeout");
    assert_eq!(
        finding.summary,
        format!(
            "resolvers hub and dc do not answer for {HOST} in time; the application's own lookup, by resolver system, is answered"
        )
    );
    let asked = [format!("nslookup {HOST} 10.0.0.2"), format!("nslookup -port=5353 {HOST} 10.0.0.3")];
    assert_eq!(finding.remedy_lines()[..2], asked);

    // The one that is followed fails as well: worse, and one finding with the others as evidence.
    let events = watch.probed(&at_once, &round(1, vec![timeout("system"), timeout("hub"), timeout("dc")]), false);
    assert_eq!(told(&events), ["finding_changed dns-timeout"]);
    let finding = opened(&watch, "dns-timeout");
    assert_eq!(finding.summary, format!("no name server answered for {HOST} in time"));
    for name in ["hub", "dc"] {
        assert!(finding.evidence.iter().any(|line| line.starts_with(&format!("resolver {name}: "))), "{finding:?}");
    }

    // Where another answers, the name is not to blame.
    let _ = watch.probed(&at_once, &round(2, vec![timeout("system"), said("hub", &[PRIVATE]), timeout("dc")]), false);
    let evidence = opened(&watch, "dns-timeout").evidence;
    assert!(evidence.iter().any(|line| line.contains("resolver hub") && line.contains(PRIVATE)), "{evidence:?}");

    let all = |hub, dc| round(3, vec![system(), hub, dc]);
    let _ = watch.probed(&at_once, &all(said("hub", &[PRIVATE]), timeout("dc")), false);
    assert_eq!(open(&watch), ["dns-timeout 3"], "one of them still fails");
    let _ = watch.probed(&at_once, &all(said("hub", &[PRIVATE]), said("dc", &[PRIVATE])), false);
    assert_eq!(open(&watch), [""; 0]);
}

#[test]
fn agreement_is_known_only_where_everybody_answered() {
    let cache = three();
    let mut watch = Watch::default();
    let mut number = 0;
    let mut observe = |watch: &mut Watch, hub: Resolution, dc: Resolution| {
        number += 1;
        let _ = watch.probed(&cache, &round(number, vec![said("system", &[PRIVATE]), hub, dc]), false);
    };
    let agrees = |name| said(name, &[PRIVATE]);
    for _ in 0..2 {
        observe(&mut watch, said("hub", &["10.20.1.9"]), agrees("dc"));
    }
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2"]);
    for _ in 0..3 {
        observe(&mut watch, agrees("hub"), fails("dc", FaultKind::Timeout));
    }
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2", "dns-timeout 3"], "dc may say anything");
    for _ in 0..2 {
        observe(&mut watch, agrees("hub"), agrees("dc"));
    }
    assert_eq!(open(&watch), [""; 0]);
}

#[test]
fn one_resolver_alone_contradicts_nobody() {
    let at_once = |cache: Cache| Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache };
    let mut watch = Watch::default();
    let both = vec![said("system", &[PRIVATE]), said("hub", &["10.20.1.9"])];
    let _ = watch.probed(&at_once(two()), &round(0, both), false);
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2"]);
    // A reload takes the other one out.
    let alone = round(1, vec![fails("system", FaultKind::Timeout)]);
    let _ = watch.probed(&at_once(cache()), &alone, false);
    assert_eq!(open(&watch), ["dns-timeout 1"]);
}

#[test]
fn each_resolver_has_its_own_story() {
    let cache = two();
    let mut watch = Watch::default();
    let mut tell = |number, system: Resolution, hub: Resolution| {
        let events = watch.probed(&cache, &round(number, vec![system, hub]), false);
        for event in events.iter().filter(|event| event.resolver.is_some()) {
            let who = if event.resolver.as_ref().unwrap().as_str() == "hub" { "10.0.0.2" } else { "10.0.0.4" };
            let line = format!("resolver {}: {who}:53 over udp", event.resolver.as_ref().unwrap());
            assert_eq!(event.evidence, [WireText::new(&line)]);
        }
        told(&events.into_iter().filter(|event| event.resolver.is_some()).collect::<Vec<_>>())
    };
    let system = || said("system", &[PRIVATE]);
    let hub = |addresses: &[&str]| said("hub", addresses);
    let other_way = |way: &[&str]| Resolution {
        resolver: ResolverName::new("hub"),
        queries: hub(&[]).queries,
        ..resolution(way, &[PRIVATE])
    };
    let nothing = [""; 0];
    assert_eq!(tell(0, system(), hub(&[PRIVATE])), nothing);
    assert_eq!(tell(2, system(), hub(&["10.20.1.9"])), ["addresses_changed hub: 10.20.1.4 → 10.20.1.9 (60)"]);
    // Who fails has said nothing, and what it said before stays.
    assert_eq!(tell(3, system(), fails("hub", FaultKind::ServerFailure)), nothing);
    assert_eq!(tell(4, system(), fails("hub", FaultKind::Timeout)), nothing);
    assert_eq!(tell(5, system(), hub(&["10.20.1.9"])), nothing);
    assert_eq!(
        tell(6, system(), fails("hub", FaultKind::NameNotFound)),
        [format!("addresses_changed hub: 10.20.1.9 → no address (NXDOMAIN for {HOST}) (120)")]
    );
    assert_eq!(tell(7, system(), fails("hub", FaultKind::NoAddress)), nothing, "still no address");
    assert_eq!(
        tell(8, system(), hub(&[PRIVATE])),
        [format!("addresses_changed hub: no address (no data for {HOST}) → 10.20.1.4 (60)")]
    );
    // Other aliases to the same address are no finding.
    assert_eq!(tell(9, system(), other_way(&[])), [format!("chain_changed hub: {PRIVATELINK} → no alias (270)")]);
    assert_eq!(
        tell(10, system(), other_way(&["a.example", "b.example"])),
        ["chain_changed hub: no alias → a.example → b.example (30)"]
    );
    assert_eq!(tell(11, system(), other_way(&["A.Example", "b.example"])), nothing, "the same names");
    assert_eq!(open(&watch), nothing);
}

#[test]
fn a_part_of_many_addresses_is_told_and_is_no_drift() {
    let cache = two();
    let mut watch = Watch::default();
    let all = |addresses: &[&str]| vec![said("system", addresses), said("hub", addresses)];
    let _ = watch.probed(&cache, &round(0, all(&[PRIVATE, "10.20.1.5"])), false);
    let events = watch.probed(&cache, &round(1, all(&["10.20.1.5"])), false);
    assert_eq!(
        told(&events),
        [
            "addresses_changed system: 10.20.1.4, 10.20.1.5 → 10.20.1.5 (30)",
            "addresses_changed hub: 10.20.1.4, 10.20.1.5 → 10.20.1.5 (30)"
        ]
    );
    let _ = watch.probed(&cache, &round(2, all(&[PRIVATE])), false);
    assert_eq!(open(&watch), [""; 0]);
    assert_eq!(watch.next_lookup(&cache, &lookup(2, all(&[PRIVATE]))), Some(Duration::from_secs(10)), "not astray");
}

/// A healthy hour with resolvers that count their TTL down and turn their addresses.
#[test]
fn a_healthy_hour_says_nothing_and_writes_nothing() {
    let cache = two();
    let mut watch = Watch::default();
    let mut first = None;
    for number in 0..120 {
        let answer = |name: &str, turned: bool| {
            let order = if turned { ["10.20.1.5", PRIVATE] } else { [PRIVATE, "10.20.1.5"] };
            let mut answer = said(name, &order);
            answer.chain[0].ttl = 300 - number * 30 % 300;
            for address in &mut answer.addresses {
                address.ttl = Some(1 + number % 10);
            }
            answer
        };
        let even = number % 2 == 0;
        let seen = round(number, vec![answer("system", even), answer("hub", !even)]);
        assert_eq!(told(&watch.probed(&cache, &seen, false)), [""; 0], "round {number}");
        let beside = lookup(number, seen.lookup.resolutions);
        assert_eq!(told(&watch.looked_up(&cache, &beside)), [""; 0], "lookup {number}");
        assert_eq!(watch.pending(&cache), []);
        let written = serde_json::to_string(&watch.saved_state()).unwrap();
        assert_eq!(*first.get_or_insert_with(|| written.clone()), written, "round {number}");
    }
}

/// Seen once, between two probes, and gone again.
#[test]
fn a_glance_of_a_public_address_is_not_lost() {
    let cache = two();
    let mut watch = Watch::default();
    let all = |address: &str| vec![said("system", &[address]), said("hub", &[PRIVATE])];
    let _ = watch.probed(&cache, &round(0, all(PRIVATE)), false);
    assert_eq!(
        told(&watch.looked_up(&cache, &lookup(1, all(PUBLIC)))),
        [
            "addresses_changed system: 10.20.1.4 → 20.1.2.3 (30)",
            "finding_opened dns-zone-not-linked",
            "finding_opened dns-drift"
        ]
    );
    assert_eq!(told(&watch.looked_up(&cache, &lookup(2, all(PUBLIC)))), [""; 0], "open already");
    assert_eq!(
        told(&watch.looked_up(&cache, &lookup(3, all(PRIVATE)))),
        ["addresses_changed system: 20.1.2.3 → 10.20.1.4 (60)"]
    );
    for number in 4..10 {
        let _ = watch.looked_up(&cache, &lookup(number, all(PRIVATE)));
    }
    assert_eq!(open(&watch), ["dns-zone-not-linked 2", "dns-drift 2"], "a lookup is no good round");
    assert_eq!(told(&watch.probed(&cache, &round(10, all(PRIVATE)), false)), [""; 0]);
    assert_eq!(
        told(&watch.probed(&cache, &round(11, all(PRIVATE)), false)),
        ["finding_cleared dns-zone-not-linked", "finding_cleared dns-drift"]
    );
}

#[test]
fn a_lookup_is_no_bad_round() {
    let cache = two();
    let mut watch = Watch::default();
    let differ = || vec![said("system", &[PRIVATE]), said("hub", &["10.20.1.9"])];
    let _ = watch.probed(&cache, &round(0, differ()), false);
    for number in 1..5 {
        assert_eq!(told(&watch.looked_up(&cache, &lookup(number, differ()))), [""; 0]);
    }
    let _ = watch.looked_up(&cache, &lookup(5, vec![said("system", &[PRIVATE]), said("hub", &[PRIVATE])]));
    assert_eq!(
        told(&watch.probed(&cache, &round(6, differ()), false)).last().unwrap(),
        "finding_opened dns-resolvers-disagree"
    );
    // What a probe saw of the server is not forgotten because a lookup saw none.
    let mut full = round(7, differ());
    full.legs[0].server.as_mut().unwrap().connected_clients = Some(95);
    for _ in 0..2 {
        let _ = watch.probed(&cache, &full, false);
    }
    let before = open(&watch);
    let _ = watch.looked_up(&cache, &lookup(8, differ()));
    assert_eq!(open(&watch), before);
}

#[test]
fn another_resolver_that_leaves_for_a_public_address_is_told_at_once() {
    let cache = two();
    let pair = |hub: Resolution| vec![said("system", &[PRIVATE]), hub];
    for is_lookup in [false, true] {
        let mut watch = Watch::default();
        let _ = watch.probed(&cache, &round(0, pair(said("hub", &[PRIVATE]))), false);
        let seen = round(1, pair(said("hub", &[PUBLIC])));
        let events = if is_lookup { watch.looked_up(&cache, &seen.lookup) } else { watch.probed(&cache, &seen, false) };
        assert_eq!(
            told(&events),
            ["addresses_changed hub: 10.20.1.4 → 20.1.2.3 (30)", "finding_opened dns-resolvers-disagree"]
        );
    }
    // One that never was private, and one that moved inside, can wait.
    for (first, then) in [(PUBLIC, PUBLIC), (PRIVATE, "10.20.1.9")] {
        let mut watch = Watch::default();
        let _ = watch.looked_up(&cache, &lookup(0, pair(said("hub", &[first]))));
        let _ = watch.probed(&cache, &round(1, pair(said("hub", &[then]))), false);
        assert_eq!(open(&watch), [""; 0], "{first} {then}");
    }
}

#[test]
fn flips_are_events_and_open_nothing_by_themselves() {
    let cache = cache();
    let mut watch = Watch::default();
    let mut kinds = Vec::new();
    for number in 0..6 {
        let address = if number % 2 == 0 { PRIVATE } else { "10.20.1.9" };
        kinds.extend(told(&watch.probed(&cache, &round(number, vec![said("system", &[address])]), false)));
    }
    let (there, back) = (
        "addresses_changed system: 10.20.1.4 → 10.20.1.9 (30)",
        "addresses_changed system: 10.20.1.9 → 10.20.1.4 (30)",
    );
    assert_eq!(kinds, [there, back, there, back, there]);
}

/// The endpoint was made anew: a drift that ends by acceptance, by configuration, or by return.
#[test]
fn a_drift_ends_in_three_ways() {
    let drifted = || {
        let mut watch = Watch::default();
        for (number, address) in [PRIVATE, PRIVATE, "10.20.1.9", "10.20.1.9"].into_iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            let _ = watch.probed(&cache(), &round(number, vec![said("system", &[address])]), false);
        }
        assert_eq!(open(&watch), ["dns-drift 3"]);
        watch
    };
    let finding = opened(&drifted(), "dns-drift");
    assert_eq!(finding.summary, format!("{HOST} has moved from 10.20.1.4 to 10.20.1.9"));
    assert_eq!(finding.evidence[0], format!("before: 10.20.1.4, right since {}", at(0)));
    assert!(finding.remedy_lines().contains(&"cachewatch baseline accept orders".to_owned()), "{finding:?}");
    assert!(finding.remedy_lines().iter().any(|line| line.contains("expected_addresses")), "{finding:?}");

    let ends = |mut watch: Watch, cache: &Cache, address: &str| {
        for number in 4..6 {
            let _ = watch.probed(cache, &round(number, vec![said("system", &[address])]), false);
        }
        open(&watch)
    };
    let nothing = [""; 0];
    assert_eq!(ends(drifted(), &cache(), "10.20.1.9"), ["dns-drift 3"]);
    assert_eq!(ends(drifted(), &cache(), PRIVATE), nothing);
    let named = Expectation { addresses: vec!["10.20.1.9/32".parse().unwrap()], ..cache().expectation };
    assert_eq!(ends(drifted(), &Cache { expectation: named, ..cache() }, "10.20.1.9"), nothing);

    let mut accepted = drifted();
    let events = accepted.accept(&cache(), at(4)).unwrap();
    assert_eq!(told(&events), ["baseline_accepted system: 10.20.1.4 → 10.20.1.9 (120)", "finding_cleared dns-drift"]);
    assert_eq!(events[1].evidence, [WireText::new("accepted by a person")]);
    assert_eq!(open(&accepted), nothing);
    assert_eq!(told(&accepted.accept(&cache(), at(5)).unwrap()), nothing, "accepted already");
    assert_eq!(ends(accepted, &cache(), "10.20.1.9"), nothing);

    // What was accepted can be left like anything else.
    let mut accepted = drifted();
    let _ = accepted.accept(&cache(), at(4)).unwrap();
    for number in 5..7 {
        let _ = accepted.probed(&cache(), &round(number, vec![said("system", &[PRIVATE])]), false);
    }
    let finding = opened(&accepted, "dns-drift");
    assert_eq!(finding.evidence[0], format!("before: 10.20.1.9, accepted by a person, right since {}", at(4)));
}

#[test]
fn accepted_answers_may_differ() {
    let cache = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..three() };
    let mut watch = Watch::default();
    let none = watch.accept(&cache, at(0)).unwrap_err();
    assert_eq!(
        none.to_string(),
        "no resolver has answered for cache orders yet, so there is nothing to accept; wait for its first probe"
    );
    let all = |hub: Resolution, dc: Resolution| vec![said("system", &[PRIVATE]), hub, dc];
    let split = || all(said("hub", &[PUBLIC]), fails("dc", FaultKind::NameNotFound));
    let _ = watch.probed(&cache, &round(0, split()), false);
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2"]);
    assert_eq!(
        told(&watch.accept(&cache, at(1)).unwrap()),
        [
            format!("baseline_accepted dc: ? → no address (NXDOMAIN for {HOST}) (?)"),
            "baseline_accepted hub: ? → 20.1.2.3 (?)".to_owned(),
            "baseline_accepted system: 10.20.1.4 → 10.20.1.4 (30)".to_owned(),
            "finding_cleared dns-resolvers-disagree".to_owned(),
        ]
    );
    let nothing = [""; 0];
    assert_eq!(told(&watch.probed(&cache, &round(2, split()), false)), nothing);
    assert_eq!(open(&watch), nothing);
    assert_eq!(watch.next_lookup(&cache, &lookup(2, split())), Some(Duration::from_secs(10)), "nobody is astray");
    // A failure changes nothing, and an answer as good as the others does.
    let _ = watch.probed(&cache, &round(3, all(fails("hub", FaultKind::Timeout), said("dc", &[PRIVATE]))), false);
    let _ = watch.probed(&cache, &round(4, split()), false);
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2"], "what dc answered in between was right, and it left that");
    let _ = watch.accept(&cache, at(4)).unwrap();
    // One that leaves what was accepted differs again.
    let left = || all(said("hub", &["20.9.9.9"]), fails("dc", FaultKind::NameNotFound));
    let _ = watch.probed(&cache, &round(5, left()), false);
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2"]);
}

/// Where the configuration names what is right, every answer it names is; that a person accepted it is not forgotten.
#[test]
fn what_was_accepted_stays_so_where_it_is_expected_as_well() {
    let expectation = Expectation { isolation: None, addresses: vec!["10.20.1.0/24".parse().unwrap()] };
    let cache = Cache { expectation, rules: Rules { open_after: 1, clear_after: 1 }, ..two() };
    let mut watch = Watch::default();
    let split = |system: &[&str]| vec![said("system", system), said("hub", &["10.20.1.9"])];
    let _ = watch.probed(&cache, &round(0, split(&[PRIVATE, "10.20.1.5"])), false);
    let _ = watch.accept(&cache, at(0)).unwrap();
    for (number, system) in [(1, &[PRIVATE, "10.20.1.5"][..]), (2, &[PRIVATE]), (3, &["10.20.1.5"])] {
        let _ = watch.probed(&cache, &round(number, split(system)), false);
        assert_eq!(open(&watch), [""; 0], "{system:?}");
    }
    let _ = watch.probed(&cache, &round(4, split(&["10.20.1.6"])), false);
    assert_eq!(open(&watch), ["dns-resolvers-disagree 2"]);
}

#[test]
fn what_is_expected_is_stronger_than_what_is_accepted() {
    let cache = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..two() };
    let mut watch = Watch::default();
    let all = |address: &str| vec![said("system", &[address]), said("hub", &[address])];
    let _ = watch.probed(&cache, &round(0, all(PRIVATE)), false);
    let _ = watch.probed(&cache, &round(1, all(PUBLIC)), false);
    assert_eq!(open(&watch), ["dns-zone-not-linked 2", "dns-drift 2"]);
    let _ = watch.accept(&cache, at(2)).unwrap();
    assert_eq!(open(&watch), ["dns-zone-not-linked 2"]);
    let _ = watch.probed(&cache, &round(3, all(PUBLIC)), false);
    assert_eq!(open(&watch), ["dns-zone-not-linked 2"]);
}

/// That the name leads nowhere can be right; that it leads somewhere good again is no drift from it.
#[test]
fn an_accepted_absence_ends_by_itself() {
    let cache = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
    let mut watch = Watch::default();
    let gone = || vec![fails("system", FaultKind::NameNotFound)];
    let _ = watch.probed(&cache, &round(0, gone()), false);
    let _ = watch.accept(&cache, at(0)).unwrap();
    let _ = watch.probed(&cache, &round(1, gone()), false);
    assert_eq!(open(&watch), ["dns-name-not-found 1"]);
    for (number, address, expected) in
        [(2, PUBLIC, "dns-zone-not-linked 2"), (3, PRIVATE, ""), (4, "10.20.1.9", "dns-drift 3")]
    {
        let _ = watch.probed(&cache, &round(number, vec![said("system", &[address])]), false);
        assert_eq!(open(&watch).concat(), expected, "{address}");
    }
}

#[test]
fn the_next_lookup_comes_when_an_answer_runs_out() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let with_ttl = |name: &str, address: &str, ttl: u32| {
        let mut answer = said(name, &[address]);
        answer.addresses[0].ttl = Some(ttl);
        answer
    };
    let next = |cache: &Cache, hub: Resolution| {
        let mut watch = Watch::default();
        let _ = watch.probed(cache, &round(0, vec![with_ttl("system", PRIVATE, 300), said("hub", &[PRIVATE])]), false);
        let seen = round(1, vec![with_ttl("system", PRIVATE, 300), hub]);
        let _ = watch.probed(cache, &seen, false);
        watch.next_lookup(cache, &seen.lookup)
    };
    let cache = two();
    let table = [
        (with_ttl("hub", PRIVATE, 17), seconds(17)),
        (with_ttl("hub", PRIVATE, 0), seconds(5)),
        (with_ttl("hub", PRIVATE, 29), seconds(29)),
        (with_ttl("hub", PRIVATE, 30), None),
        (with_ttl("hub", PRIVATE, 4_000), None),
        (with_ttl("hub", PUBLIC, 4_000), seconds(5)),
        (fails("hub", FaultKind::NameNotFound), seconds(5)),
        (fails("hub", FaultKind::Timeout), None),
    ];
    for (hub, expected) in table {
        assert_eq!(next(&cache, hub.clone()), expected, "{hub:?}");
    }
    assert_eq!(next(&Cache { follow_ttl: None, ..two() }, with_ttl("hub", PRIVATE, 17)), None);
    assert_eq!(next(&Cache { follow_ttl: seconds(60), ..two() }, with_ttl("hub", PUBLIC, 17)), None);
    // The hosts file says no TTL.
    let mut pinned = round(0, vec![Resolution { source: Source::HostsFile, ..said("system", &[PRIVATE]) }]);
    pinned.lookup.resolutions[0].chain.clear();
    pinned.lookup.resolutions[0].addresses[0].ttl = None;
    assert_eq!(Watch::default().next_lookup(&cache, &pinned.lookup), None);
}

#[test]
fn a_certificate_says_how_long_it_was_shown() {
    let mut watch = Watch::default();
    let shown = |number, serial: &str| {
        let mut seen = round(number, vec![said("system", &[PRIVATE])]);
        seen.legs[0].tls.as_mut().unwrap().chain[0].serial = WireText::new(serial);
        seen
    };
    let _ = watch.probed(&cache(), &shown(0, "01"), false);
    let events = watch.probed(&cache(), &shown(4, "02"), false);
    assert_eq!(told(&events), ["certificate_changed"]);
    assert_eq!((events[0].kind, events[0].lasted), (EventKind::CertificateChanged, Some(Duration::from_mins(2))));
}

/// Another server of resolv.conf stands in for one that fails: an answer may differ for nothing else.
#[test]
fn who_stood_in_for_whom_is_said() {
    let stood_in = |failed: &[(&str, Outcome)], address: &str| {
        let mut answer = said("system", &[address]);
        let last = answer.queries.remove(0);
        let question = |server: &str, outcome| Query { server: server.parse().unwrap(), outcome, ..last.clone() };
        answer.queries = failed.iter().map(|(server, outcome)| question(server, *outcome)).collect();
        answer.queries.push(question("10.0.0.6:53", Outcome::Answered));
        answer
    };
    for (failed, expected) in [
        (&[("10.0.0.4:53", Outcome::ServFail)][..], " (10.0.0.4:53: SERVFAIL; 10.0.0.6:53 answered in its place)"),
        (&[("10.0.0.4:53", Outcome::Refused)], " (10.0.0.4:53: REFUSED; 10.0.0.6:53 answered in its place)"),
        (&[("10.0.0.4:53", Outcome::Timeout)], " (10.0.0.4:53: no answer in time; 10.0.0.6:53 answered in its place)"),
        (
            &[("10.0.0.4:53", Outcome::ServFail), ("10.0.0.5:53", Outcome::Refused)],
            " (10.0.0.4:53: SERVFAIL, 10.0.0.5:53: REFUSED; 10.0.0.6:53 answered in their place)",
        ),
        // One that was asked again, and answered, failed nobody.
        (&[("10.0.0.6:53", Outcome::Truncated)], ""),
        (&[("10.0.0.6:53", Outcome::Timeout)], ""),
        (&[], ""),
    ] {
        let who = format!("resolver system: 10.0.0.6:53 over udp{expected}");
        assert_eq!(describe::who(&stood_in(failed, PRIVATE)), who);
    }

    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
    let mut watch = Watch::default();
    let _ = watch.probed(&at_once, &round(0, vec![said("system", &[PRIVATE])]), false);
    let moved = stood_in(&[("10.0.0.4:53", Outcome::ServFail)], "10.20.1.9");
    let events = watch.probed(&at_once, &round(1, vec![moved]), false);
    let names_both = |line: &str| line.contains("10.0.0.4:53: SERVFAIL; 10.0.0.6:53 answered in its place");
    assert_eq!(events[0].kind, EventKind::AddressesChanged);
    assert!(names_both(events[0].evidence[0].as_str()), "{events:?}");
    let drift = opened(&watch, "dns-drift");
    assert!(drift.evidence.iter().any(|line| names_both(line)), "{drift:?}");
}

/// Where another resolver knows the name, neither the name nor the cache is to blame.
#[test]
fn a_failure_that_another_resolver_contradicts_names_the_resolver() {
    use FaultKind as Kind;
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..two() };
    let told = |followed: Resolution, other: Resolution| {
        let mut watch = Watch::default();
        let _ = watch.probed(&at_once, &round(0, vec![followed, other]), false);
        watch.open().remove(0)
    };
    let hub = || said("hub", &[PRIVATE]);
    let led = |address: &str| {
        let fault = Some(Fault::new(Stage::Resolve, Kind::NameNotFound, "words"));
        told(Resolution { fault, ..said("system", &[]) }, said("hub", &[address]))
    };
    for (kind, id, expected) in [
        (
            Kind::NameNotFound,
            "dns-name-not-found",
            format!("resolver system says that {HOST} does not exist, and resolver hub knows it"),
        ),
        (
            Kind::NoAddress,
            "dns-name-not-found",
            format!("resolver system says that {HOST} has no address, and resolver hub knows one"),
        ),
        (Kind::Timeout, "dns-timeout", format!("resolver system did not answer for {HOST} in time; resolver hub did")),
        (
            Kind::ServerFailure,
            "dns-server-failure",
            format!("resolver system failed on {HOST} (SERVFAIL); resolver hub answers"),
        ),
        (
            Kind::ResolverUnreachable,
            "dns-unreachable",
            format!("resolver system cannot be reached to look up {HOST}; resolver hub answers"),
        ),
    ] {
        let finding = told(fails("system", kind), hub());
        assert_eq!(
            (finding.id.as_str(), finding.severity.number(), finding.summary.as_str()),
            (id, 1, expected.as_str())
        );
        assert!(!finding.remedy_lines().concat().contains("deleted"), "{finding:?}");
        assert!(finding.remedy_lines().contains(&format!("nslookup {HOST} 10.0.0.4")), "{finding:?}");
    }
    let remedy = told(fails("system", Kind::NameNotFound), hub()).remedy_lines();
    assert!(remedy.iter().any(|line| line.contains("(10.0.0.4:53): is the private zone linked")), "{remedy:?}");
    assert!(
        told(fails("system", Kind::NameNotFound), fails("hub", Kind::Timeout))
            .remedy_lines()
            .concat()
            .contains("deleted")
    );
    // Who does not see the zone does not contradict that a record is gone from it.
    assert!(led(PRIVATE).summary.ends_with("finds no record there, and resolver hub knows one"));
    assert!(led(PUBLIC).summary.ends_with("its A record is gone"));
}

#[test]
fn a_resolver_is_asked_by_hand_in_its_own_protocol() {
    let secure = |protocol, address: &str, server_name: Option<&str>, ca_file: Option<&str>| Resolver::Server {
        name: ResolverName::new("hub"),
        address: address.parse().unwrap(),
        protocol,
        tls: Tls { ca_file: ca_file.map(Into::into), server_name: server_name.map(str::to_owned) },
        path: Resolver::PATH.to_owned(),
    };
    let check = format!("cachewatch check {HOST} --resolver ");
    for (resolver, expected, port) in [
        (
            secure(Protocol::Tls, "10.0.0.2:853", Some("dns.example"), None),
            format!("{check}'tls://10.0.0.2:853#dns.example'"),
            "port 853 open from here to that name server, over TCP?",
        ),
        (
            secure(Protocol::Https, "10.0.0.2:8443", None, None),
            format!("{check}https://10.0.0.2:8443/dns-query"),
            "port 8443 open from here to that name server, over TCP?",
        ),
        (
            secure(Protocol::Tcp, "10.0.0.2:5353", None, None),
            format!("{check}tcp://10.0.0.2:5353"),
            "port 5353 open from here to that name server, over TCP?",
        ),
        (
            secure(Protocol::Udp, "10.0.0.2:5353", None, None),
            format!("nslookup -port=5353 {HOST} 10.0.0.2"),
            "port 5353 open from here to that name server, over UDP and TCP?",
        ),
        (
            secure(Protocol::Tcp, "10.0.0.2:53", None, None),
            format!("nslookup {HOST} 10.0.0.2"),
            "port 53 open from here to that name server, over TCP? ".trim_end(),
        ),
        (
            secure(Protocol::Tls, "10.0.0.2:853", None, Some("/etc/ca.pem")),
            "cachewatch check orders".to_owned(),
            "port 853 open from here",
        ),
    ] {
        let rules = Rules { open_after: 1, clear_after: 1 };
        for others in
            [vec![said("system", &[PRIVATE]), fails("hub", FaultKind::Timeout)], vec![fails("hub", FaultKind::Timeout)]]
        {
            let resolvers =
                if others.len() == 2 { vec![Resolver::System, resolver.clone()] } else { vec![resolver.clone()] };
            let mut watch = Watch::default();
            let _ = watch.probed(&Cache { resolvers, rules, ..cache() }, &round(0, others), false);
            let remedy = opened(&watch, "dns-timeout").remedy_lines();
            assert_eq!(remedy[0], expected);
            assert!(remedy.iter().any(|line| line.contains(port)), "{remedy:?}");
        }
        let mut watch = Watch::default();
        let resolvers = vec![Resolver::System, resolver];
        let untrusted = vec![said("system", &[PRIVATE]), fails("hub", FaultKind::ResolverUntrusted)];
        let _ = watch.probed(&Cache { resolvers, rules, ..cache() }, &round(0, untrusted), false);
        let remedy = opened(&watch, "dns-failed").remedy_lines();
        assert!(remedy.iter().any(|line| line.contains("set ca_file of resolver hub")), "{remedy:?}");
    }
}

#[test]
fn who_is_suspected_is_said_once() {
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..three() };
    let remedy = |cache: &Cache, answers: Vec<Resolution>, id| {
        let mut watch = Watch::default();
        let _ = watch.probed(cache, &round(0, answers), false);
        opened(&watch, id).remedy_lines()
    };
    let only = |remedy: &[String], word: &str, expected: &str| {
        let lines: Vec<_> = remedy.iter().filter(|line| line.contains(word)).collect();
        assert_eq!(lines, [expected]);
    };
    let disagree = "dns-resolvers-disagree";
    let all = |system, hub, dc| vec![said("system", &[system]), said("hub", &[hub]), said("dc", &[dc])];
    only(
        &remedy(&at_once, all(PUBLIC, PRIVATE, PRIVATE), disagree),
        "probably",
        "# resolver system is probably wrong: it is stale, or does not see the zone; the others say what is expected",
    );
    only(
        &remedy(&at_once, all(PRIVATE, PUBLIC, "20.1.2.4"), disagree),
        "probably",
        "# resolvers hub and dc are probably wrong: they are stale, or do not see the zone; the other says what is expected",
    );
    only(
        &remedy(&at_once, all(PRIVATE, "10.20.1.8", "10.20.1.9"), disagree),
        "cannot be told",
        "# which of system, hub and dc is stale cannot be told from here: the cache's own address decides",
    );

    // A server of resolv.conf is nobody's to take out of `resolvers`.
    let listed = Cache { resolvers: vec![Resolver::System, Resolver::Listed(2)], ..at_once };
    let dead = remedy(&listed, vec![said("system", &[PRIVATE]), fails("system-2", FaultKind::Timeout)], "dns-timeout");
    let words = dead.last().unwrap();
    assert!(words.starts_with("# resolver system-2 (10.0.0.4) is an entry of /etc/resolv.conf"), "{words}");
    assert!(!words.contains("`resolvers`"), "{words}");
    let stale = remedy(&listed, vec![said("system", &[PRIVATE]), said("system-2", &[PUBLIC])], disagree);
    assert!(stale.iter().any(|line| line.starts_with("# resolver system-2 (10.0.0.4) is probably wrong")), "{stale:?}");
}
