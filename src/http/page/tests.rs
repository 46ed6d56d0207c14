use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{
    Alias, Cache, DialOverride, Fault, FaultKind, Finding, FindingId, Passage, Round, Severity, Stage, Step, WireText,
};
use crate::sink::{Board, fixture};

fn board(cache: &Cache, rounds: &[Round]) -> Board {
    let board = Board::new();
    board.add_cache(Arc::new(cache.clone()));
    board.configured(fixture::start());
    for round in rounds {
        board.observe(round);
    }
    board
}

fn overview_of(board: &Board, query: &[(&str, &str)]) -> String {
    let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    overview::render(&board.snapshot(), &Selection::read(&query), None, fixture::start()).into_string()
}

fn page_of(board: &Board, name: &str) -> String {
    let snapshot = board.snapshot();
    cache::render(&snapshot, &snapshot.caches[name], None, fixture::start()).into_string()
}

fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn it_shows_what_was_seen() {
    let cache = fixture::cache("orders");
    let well = board(&cache, &[fixture::healthy(&cache)]);
    let row = [
        "All healthy: 1 of 1",
        "10.20.1.4",
        "private",
        "4.0 ms",
        "750 of 7,500",
        "90 % free",
        "578 d left",
        "not used",
    ];
    holds(&overview_of(&well, &[]), &row);
    let all = [
        "Nothing is wrong",
        "10.20.1.4",
        "TTL 300 s",
        "8.0 ms",
        "750 of 7,500",
        "2025-10-09",
        "6.0.14",
        "median 16 ms",
    ];
    holds(&page_of(&well, "orders"), &all);

    let ill = board(&cache, &[fixture::name_not_found(&cache)]);
    let row = [
        "Unhealthy: 1 of 1",
        "dns-name-not-found",
        "orders.redis.cache.windows.net does not exist",
        "name_<wbr>not_<wbr>found",
    ];
    holds(&overview_of(&ill, &[]), &row);
    let all = [
        "1 finding is open",
        "az redis show --name orders",
        "name_not_found",
        "10.0.0.4:53 says NXDOMAIN",
        "never answered",
    ];
    holds(&page_of(&ill, "orders"), &all);
    holds(&overview_of(&board(&cache, &[]), &[]), &["Unknown: 1 of 1", "not probed yet"]);
}

#[test]
fn a_key_that_is_not_given_on_purpose_is_told_and_nothing_is_wrong() {
    let cache = fixture::cache("orders");
    let mut round = fixture::healthy(&cache);
    let report = fixture::report(&mut round);
    report.legs[0].server = None;
    report.legs[0].wants_key = true;
    let board = board(&cache, &[round]);
    holds(&overview_of(&board, &[]), &["All healthy: 1 of 1", "unknown: no key is given here"]);
    holds(&page_of(&board, "orders"), &["Nothing is wrong", "answers; it requires a key, and none is given here"]);
}

#[test]
fn the_worst_stands_first_and_rows_are_chosen_by_text_and_state() {
    let caches = ["a-well", "b-risky", "c-unknown", "d-ill", "e-worst"].map(fixture::cache);
    let board = Board::new();
    for cache in &caches {
        board.add_cache(Arc::new(cache.clone()));
    }
    for (cache, severity) in [(&caches[1], 3), (&caches[3], 2), (&caches[4], 1)] {
        board.observe(&fixture::healthy(cache));
        let mut round = fixture::name_not_found(cache);
        round.verdict.open[0].severity = crate::model::Severity::ALL[severity - 1];
        board.observe(&round);
    }
    board.observe(&fixture::healthy(&caches[0]));
    let rows = |query: &[(&str, &str)]| {
        let text = overview_of(&board, query);
        text.split("<li id=\"c-").skip(1).map(|row| row.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rows(&[]), ["e-worst", "d-ill", "c-unknown", "b-risky", "a-well"]);
    assert_eq!(rows(&[("state", "ill")]), ["e-worst", "d-ill"]);
    assert_eq!(rows(&[("state", "ill"), ("q", "D-ILL.redis  does not exist")]), ["d-ill"]);
    assert_eq!(rows(&[("q", "10.20.1.4")]), ["a-well"]);
    assert_eq!(rows(&[("q", "nothing like that")]), [""; 0]);
    assert_eq!(rows(&[("state", "sick"), ("other", "x")]).len(), 5, "an old link shows everything");
    holds(&overview_of(&board, &[("q", "\"><script>")]), &["value=\"&quot;&gt;&lt;script&gt;\"", "No cache matches"]);
}

#[test]
fn a_row_has_another_version_when_something_changed_and_not_because_time_goes_on() {
    let (orders, carts) = (fixture::cache("orders"), fixture::cache("carts"));
    let board = board(&orders, &[fixture::name_not_found(&orders)]);
    board.add_cache(Arc::new(carts.clone()));
    board.observe(&fixture::name_not_found(&carts));
    let versions = |later: u64| {
        let now = fixture::start().plus(std::time::Duration::from_secs(later));
        let text = overview::render(&board.snapshot(), &Selection::default(), None, now).into_string();
        let of = |id: &str| {
            let row = text.split(&format!("id=\"c-{id}\"")).nth(1).unwrap();
            row.split("data-version=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        (of("orders"), of("carts"))
    };
    let before = versions(40);
    assert_eq!(versions(400), before, "both are ill all the while");
    let mut round = fixture::name_not_found(&carts);
    round.verdict.open[0].summary = "something else".to_owned();
    board.observe(&round);
    let after = versions(400);
    assert!(after.0 == before.0 && after.1 != before.1, "{before:?} {after:?}");
}

#[test]
fn a_drift_says_how_to_accept_it() {
    let cache = fixture::cache("orders");
    let mut round = fixture::name_not_found(&cache);
    assert!(!page_of(&board(&cache, &[round.clone()]), "orders").contains("baseline accept"));
    round.verdict.open[0].id = FindingId::DnsDrift;
    holds(&page_of(&board(&cache, &[round]), "orders"), &["cachewatch baseline accept orders"]);
}

#[test]
fn a_bad_round_that_is_no_finding_yet_says_how_far_the_judgement_is() {
    let cache = fixture::cache("orders");
    let next = Some(fixture::start().plus(Duration::from_secs(30)));
    let failed = fixture::name_not_found(&cache);
    let board = board(&cache, &[Round { next, ..fixture::suspicious(failed.clone()) }]);
    let progress = "1 of 2 bad rounds seen (auth: auth-required), the next at <time";
    holds(&overview_of(&board, &[]), &["Unknown: 1 of 1", progress, ">22:13:50</time>"]);
    holds(&page_of(&board, "orders"), &["the server asks for a password", progress]);
    board.observe(&failed);
    assert!(!overview_of(&board, &[]).contains("bad rounds"), "it is a finding now");
}

/// A PING that is told to log in first has taken its time and has not been reached.
#[test]
fn a_stage_that_was_not_reached_has_no_time() {
    let cache = fixture::cache("orders");
    let mut round = fixture::healthy(&cache);
    let report = fixture::report(&mut round);
    let fault = Fault::new(Stage::Auth, FaultKind::AuthRequired, "NOAUTH");
    report.legs[0].fault = Some(fault);
    assert!(report.legs[0].timings.of(Stage::Ping).is_some());
    let steps = components::path(&cache, report);
    let ping = steps.iter().find(|step| step.stage == Stage::Ping).unwrap();
    assert_eq!((ping.went, ping.took), (components::Went::Unreached, None));
}

#[test]
fn advice_about_the_machine_is_folded_and_worse_is_not() {
    let cache = fixture::cache("orders");
    let board = board(&cache, &[fixture::healthy(&cache)]);
    let found = |severity| {
        let finding = fixture::name_not_found(&cache).verdict.open.remove(0);
        board.machine(vec![Finding { cache: crate::model::CacheName::new(""), severity, ..finding }]);
        let text = overview_of(&board, &[]);
        text.split("id=\"machine\"").nth(1).unwrap().split("<summary>").next().unwrap().contains("<details open")
    };
    assert_eq!([Severity::Advice, Severity::Degraded].map(found), [false, true]);
}

#[test]
fn a_refused_configuration_and_the_machine_are_shown() {
    let cache = fixture::cache("orders");
    let board = board(&cache, &[fixture::healthy(&cache)]);
    let advice = fixture::name_not_found(&cache).verdict.open.remove(0);
    board.machine(vec![Finding {
        cache: crate::model::CacheName::new(""),
        summary: "a slow kernel".to_owned(),
        ..advice
    }]);
    board.configuration_refused(fixture::start(), &["caches.orders: no host".to_owned()]);
    holds(&overview_of(&board, &[]), &["The new configuration was refused", "caches.orders: no host", "a slow kernel"]);
    holds(&page_of(&board, "orders"), &["The new configuration was refused"]);
}

#[test]
fn a_redirected_address_is_plain_to_see() {
    let mut cache = fixture::cache("orders");
    assert!(!overview_of(&board(&cache, &[fixture::healthy(&cache)]), &[]).contains("connect_to"));
    cache.connect_to =
        vec![DialOverride { address: "10.20.1.4".parse().unwrap(), port: None, to: "127.0.0.1:7000".parse().unwrap() }];
    let board = board(&cache, &[fixture::healthy(&cache)]);
    for text in [overview_of(&board, &[]), page_of(&board, "orders")] {
        holds(&text, &["Redirected by connect_to", "10.20.1.4=127.0.0.1:7000"]);
    }
    holds(&page_of(&board, "orders"), &["dialled 127.0.0.1:7000 instead"]);
}

/// What is asked for with `?since=`, `later` seconds after the page was made.
fn update_of(board: &Board, since: &str, later: u64) -> String {
    let (snapshot, now) = (board.snapshot(), fixture::start().plus(Duration::from_secs(later)));
    let since = RevisionToken::read(&[("since".to_owned(), since.to_owned())], &snapshot);
    overview::render(&snapshot, &Selection::default(), since, now).into_string()
}

#[test]
fn an_update_tells_what_changed_and_of_the_rest_its_place() {
    let caches = ["orders", "carts", "limits"].map(fixture::cache);
    let board = Board::new();
    for cache in &caches {
        board.add_cache(Arc::new(cache.clone()));
        board.observe(&fixture::healthy(cache));
    }
    board.configured(fixture::start());
    let since = RevisionToken::of(&board.snapshot(), fixture::start()).to_string();
    let rows = |text: &str| {
        let shown = |name: &&str| text.contains(&format!("<li id=\"c-{name}\" class"));
        let kept = |name: &&str| text.contains(&format!("<li id=\"c-{name}\"></li>"));
        let names = ["carts", "limits", "orders"];
        (names.into_iter().filter(shown).collect::<Vec<_>>(), names.into_iter().filter(kept).collect::<Vec<_>>())
    };
    let all = vec!["carts", "limits", "orders"];
    assert_eq!(rows(&update_of(&board, &since, 0)), (vec![], all.clone()));
    assert!(!update_of(&board, &since, 0).contains("<symbol"), "nor what is around it");
    board.observe(&fixture::name_not_found(&caches[0]));
    assert_eq!(rows(&update_of(&board, &since, 1)), (vec!["orders"], vec!["carts", "limits"]));
    // A report that proves nothing any more is a change, though nothing came.
    assert_eq!(rows(&update_of(&board, &since, 3_600)), (all.clone(), vec![]));
    // Of what is known to an earlier run, or to nobody, all is told.
    let snapshot = board.snapshot();
    let now = fixture::start();
    for other in ["", "x", "0-0-", "1-1-2025-10-09T00:00:00Z", &format!("{:x}-99-{now}", snapshot.epoch)] {
        assert_eq!(rows(&update_of(&board, other, 1)), (all.clone(), vec![]), "{other}");
    }
    board.configured(fixture::start());
    assert_eq!(rows(&update_of(&board, &since, 1)), (all, vec![]), "whose settings may be others");

    let since = Some(RevisionToken::of(&board.snapshot(), fixture::start()));
    let page = |since| {
        let snapshot = board.snapshot();
        cache::render(&snapshot, &snapshot.caches["orders"], since, fixture::start()).into_string()
    };
    assert!(!page(since).contains("<main") && page(since).contains("id=\"headline\""), "{}", page(since));
    board.observe(&fixture::healthy(&caches[0]));
    assert!(page(since).contains("<main") && page(since).contains("10.20.1.4"));
}

#[test]
fn what_should_be_closed_is_told_whatever_came_of_the_test() {
    let mut cache = fixture::cache("orders");
    let seen = |cache: &Cache, passage: Option<Passage>| {
        let mut round = fixture::healthy(cache);
        fixture::report(&mut round).exposure = passage.map(fixture::plain_port);
        let text = page_of(&board(cache, &[round, fixture::name_not_found(cache)]), "orders");
        let section = text.split("<section id=\"closed\"").nth(1).unwrap().split("</section>").next().unwrap();
        section.split('<').filter_map(|part| part.split_once('>')).map(|(_, words)| words).collect::<String>()
    };
    holds(&seen(&cache, None), &["Not tested: caches.exposure is off for this cache."]);
    cache.exposure.plain_port = true;
    cache.exposure.interval = Duration::from_mins(15);
    holds(&seen(&cache, None), &["public pathnot tested: off", "port without TLSnot tested yet", "then every 15m"]);
    let tested = "Tested just now, 2023-11-14 22:13:20, every 15m";
    holds(&seen(&cache, Some(Passage::Closed)), &["port without TLS closed", "10.20.1.4 closed: words", tested]);
    holds(&seen(&cache, Some(Passage::Open)), &["port without TLS open", "10.20.1.4 open: words of the test"]);
    holds(&seen(&cache, Some(Passage::Unclear)), &["port without TLS unclear", "10.20.1.4 unclear"]);
}

/// A hostile DNS zone, server and configuration get no element onto the page.
#[test]
fn foreign_words_stay_words() {
    const HOSTILE: &str = "\"'></code></td><script>alert(1)</script><img src=x onerror=alert(1)>";
    let mut cache = fixture::cache("orders");
    cache.host = HOSTILE.to_owned();
    let mut healthy = fixture::healthy(&cache);
    let report = fixture::report(&mut healthy);
    let foreign = WireText::new(HOSTILE);
    report.lookup.fault = Some(Fault::new(Stage::Resolve, FaultKind::Internal, HOSTILE));
    report.lookup.resolutions[0].fault = Some(Fault::new(Stage::Resolve, FaultKind::Unrecognised, HOSTILE));
    report.lookup.resolutions[0].chain.push(Alias { owner: foreign.clone(), target: foreign.clone(), ttl: 1 });
    report.legs[0].fault = Some(Fault::new(Stage::Ping, FaultKind::ServerError, HOSTILE));
    report.legs[0].notes.push(Fault::new(Stage::Inspect, FaultKind::ServerError, HOSTILE));
    let server = report.legs[0].server.as_mut().unwrap();
    server.version = Some(foreign.clone());
    let session = report.legs[0].tls.as_mut().unwrap();
    session.chain[0].subject = foreign;
    let mut finding = fixture::name_not_found(&cache).verdict.open.remove(0);
    (finding.summary, finding.evidence, finding.remedy) = (
        HOSTILE.to_owned(),
        vec![HOSTILE.to_owned()],
        vec![Step::Run(HOSTILE.to_owned()), Step::Note(HOSTILE.to_owned())],
    );
    healthy.verdict.open = vec![finding];
    healthy.events = fixture::name_not_found(&cache).events;
    healthy.events[0] = healthy.events[0].clone().change(HOSTILE, HOSTILE);
    healthy.cache = Arc::new(cache.clone());

    let board = board(&cache, &[healthy]);
    board.configuration_refused(fixture::start(), &[HOSTILE.to_owned()]);
    for (text, least) in [(overview_of(&board, &[]), 4), (page_of(&board, "orders"), 14)] {
        let shown = text.matches("&lt;script&gt;").count();
        assert!(shown >= least, "the words are shown {shown} times: {text}");
        assert_eq!(text.matches("<script").count(), 1, "the one that is ours: {text}");
        assert!(!text.contains("<img"), "{text}");
        // What stands in quotes is a value, in which a quote would be escaped.
        let bare = |tag: &str| tag.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        let mut tags = text.split('<').skip(1).filter_map(|rest| Some(bare(rest.split('>').next()?)));
        assert!(!tags.any(|tag| tag.contains(" style=") || tag.contains(" on")), "no inline style or handler: {text}");
    }
}
