//! The status page in a real browser: what a person on call does with it, by hand, by keyboard, without scripts.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{env, fmt::Write as _, fs, net::IpAddr, path::Path};

use rustix::process::Signal;
use serde_json::json;
use testlab::{
    PATIENCE,
    browser::{Browser, Look, Page, axe},
    dns::Answer,
    fleet::{Fleet, PRIVATE, PUBLIC, alias, host},
    program::Daemon,
    starvation::Starvation,
};

/// A name as long as a configuration takes it.
const LONG: &str = "catalogue-search-suggestions-and-more-westeurope-production-042";

/// How many caches `troubled` has.
const TROUBLED: u64 = 10;

/// A healthy cache, and one of every kind of trouble.
fn troubled() -> (Fleet, Daemon) {
    let fleet = Fleet::new();
    let mut text = fleet.configuration(&["sessions", "profiles"]);
    writeln!(text, "[[resolvers]]\nname = \"world\"\naddress = \"{}\"", fleet.names.address()).unwrap();
    fleet.lead("orders", PUBLIC);
    text += &fleet.cache("orders", "isolation = \"private_endpoint\"\nexpected_addresses = [\"10.20.1.0/24\"]");
    fleet.names.set(&host("carts"), Answer::new().alias(&alias("carts"), 300).nxdomain());
    text += &fleet.cache("carts", "isolation = \"private_endpoint\"");
    fleet.lead("limits", PRIVATE);
    text += &fleet.cache(
        "limits",
        "isolation = \"private_endpoint\"\nmax_clients = 1\n\
                 exposure = { public_resolver = \"world\", plain_port = true, legacy_tls = true }\n",
    );
    fleet.lead("billing", PRIVATE);
    text += &fleet
        .cache("billing", "isolation = \"private_endpoint\"")
        .replace(&format!("{}", fleet.server.address()), "127.0.0.1:1");
    // It is told to log in first, and has nothing to log in with.
    fleet.lead("locked", PRIVATE);
    for line in
        fleet.cache("locked", "isolation = \"private_endpoint\"").lines().filter(|line| !line.starts_with("auth"))
    {
        text += line;
        text += "\n";
    }
    text += "[[resolvers]]\nname = \"nobody\"\naddress = \"127.0.0.1:1\"\n";
    text += &fleet.cache_asking(&["nobody".to_owned()], "deaf", "");
    // Failed once, and not asked again for an hour: nobody knows.
    fleet.names.set(&host("reports"), Answer::new().servfail());
    text += &fleet.cache("reports", "interval = \"1h\"");
    let addresses: Vec<IpAddr> = (1..=14)
        .map(|last| IpAddr::from([10, 20, 2, last]))
        .chain(["fd00:1234:5678:9abc:def0:1234:5678:9abc".parse().unwrap(), "fd00::2".parse().unwrap()])
        .collect();
    let answer =
        addresses.iter().fold(Answer::new().alias(&alias(LONG), 300), |answer, address| answer.address(*address, 10));
    fleet.names.set(&host("wide"), answer.clone());
    fleet.names.set(&alias(LONG), answer);
    let overrides: Vec<_> =
        addresses.iter().map(|address| format!("\"{address}={}\"", fleet.server.address())).collect();
    let wide = fleet.cache(LONG, "isolation = \"private_endpoint\"\ninterval = \"10s\"\ntimeout = \"9s\"");
    for line in wide.replace(&host(LONG), &host("wide")).lines() {
        let overridden = format!("connect_to = [{}]", overrides.join(", "));
        text += if line.starts_with("connect_to") { &overridden } else { line };
        text += "\n";
    }
    let daemon = Daemon::start(&text);
    for cache in ["orders", "carts", "billing", "limits", "locked", "deaf"] {
        daemon.wait_until(&format!("a finding of {cache}"), |daemon| {
            let findings = daemon.get(&format!("/api/v1/caches/{cache}")).json()["findings"].clone();
            (!findings.as_array()?.is_empty()).then_some(())
        });
    }
    (fleet, daemon)
}

const VIOLATIONS: &str = "axe.run().then((result) => result.violations.map((one) => \
                          [one.id, one.help, one.nodes.map((node) => [node.html, node.failureSummary])]))";

#[test]
fn both_pages_are_within_reach_of_everybody() {
    let (_lab, daemon) = troubled();
    let browser = Browser::start();
    let pictures = env::var_os("CACHEWATCH_PICTURES");
    let axe = axe();
    for (path, name) in [
        ("/".to_owned(), "overview"),
        ("/caches/orders".to_owned(), "orders"),
        ("/caches/locked".to_owned(), "locked"),
        ("/caches/sessions".to_owned(), "sessions"),
        ("/caches/limits".to_owned(), "limits"),
        (format!("/caches/{LONG}"), "wide"),
    ] {
        for width in [360, 800, 1280, 1440] {
            for dark in [false, true] {
                let page = browser.page(Look { width, dark, scripts: true });
                page.open(&format!("http://{}{path}", daemon.address()));
                if let Some(folder) = &pictures {
                    page.picture(
                        &Path::new(folder).join(format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" })),
                    );
                }
                let overflow = page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
                page.eval(&axe);
                let violations = page.eval(VIOLATIONS);
                let seen = (&violations, overflow.as_i64() <= Some(0), page.complaints());
                // A word of the path that does not fit would run into the next stage.
                let cramped = "[...document.querySelectorAll('.path .stage, .path .time, .waterfall .time')] \
                               .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)";
                if width >= 1280 {
                    assert_eq!(page.eval(cramped), json!([]), "{name} at {width}");
                }
                assert_eq!(seen, (&json!([]), true, vec![]), "{name} at {width}, dark: {dark}, overflow {overflow}");
            }
        }
    }
}

fn origin(daemon: &Daemon) -> String {
    format!("http://{}", daemon.address())
}

/// Nothing in red, and nobody was asked but the daemon.
#[track_caller]
fn all_is_quiet(page: &Page<'_>, daemon: &Daemon) {
    assert_eq!(page.complaints(), [""; 0]);
    let elsewhere: Vec<_> =
        page.requests().into_iter().filter(|address| !address.starts_with(&origin(daemon))).collect();
    assert_eq!(elsewhere, [""; 0], "a page asks the daemon that sent it, and nobody else");
}

#[test]
fn the_sick_cache_is_found_understood_and_seen_to_recover() {
    let fleet = Fleet::new();
    let text = fleet.configuration(&["orders", "profiles", "sessions"]);
    let daemon = Daemon::start(&text);
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    page.open(&origin(&daemon));
    page.wait_for("document.querySelectorAll('.row.well').length === 3");
    page.eval("window.loadedOnce = true");
    assert_eq!((page.text("#live"), page.text("#headline")), ("live".to_owned(), "All healthy: 3 of 3".to_owned()));

    fleet.lead("profiles", PUBLIC);
    page.wait_for("document.querySelector('#headline').textContent === 'Unhealthy: 1 of 3'");
    assert_eq!(page.eval("document.querySelector('#rows > li:first-child').id"), "c-profiles");
    assert_eq!(page.eval("document.title"), "Unhealthy: 1 of 3 · cachewatch");
    let row = page.text("#c-profiles");
    for words in
        ["unhealthy", "2 degraded", "public", "not expected", "leads to 20.50.1.10", "a private endpoint exists"]
    {
        assert!(row.contains(words), "{words}: {row}");
    }
    assert_eq!(page.eval("window.loadedOnce"), true, "the page was never loaded again");

    page.click("#c-profiles .open-findings a");
    page.wait_for("location.pathname === '/caches/profiles' && document.readyState === 'complete'");
    let finding = page.text(".finding");
    assert!(finding.contains("a private endpoint exists") && finding.contains("az network private-dns"), "{finding}");
    page.click("button.copy");
    page.wait_for("document.querySelector('button.copy').textContent === 'Copied'");
    let copied = page.eval("navigator.clipboard.readText()");
    assert_eq!(copied, page.eval("document.querySelector('.commands pre').textContent.trim()"));
    assert!(copied.as_str().unwrap().lines().count() > 1, "{copied}");

    page.eval("window.loadedOnce = true");
    fleet.lead("profiles", PRIVATE);
    page.wait_for("document.querySelector('#standing').innerText.trim() === 'healthy'");
    page.wait_for("document.querySelector('#findings') === null");
    assert!(page.text("#headline") == "Nothing is wrong." && page.text("#events").contains("finding cleared"));
    assert_eq!(page.eval("window.loadedOnce"), true);
    all_is_quiet(&page, &daemon);
}

/// The tab goes out of sight, or comes back.
fn hide(page: &Page<'_>, hidden: bool) {
    page.eval(&format!(
        "Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}}); \
         document.dispatchEvent(new Event('visibilitychange'))"
    ));
}

/// What happens in a storm, out of sight, and under somebody's hand.
#[test]
fn it_asks_once_a_second_at_most_and_not_at_all_out_of_sight() {
    let fleet = Fleet::new();
    let daemon = Daemon::start(&fleet.configuration(&["orders", "profiles"]));
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    page.prepare(
        "window.EventSource = class extends EventSource { constructor(address) { super(address); window.stream = this; } }",
    );
    // What a filtered page lacks is there as soon as somebody wants to see it.
    page.open(&format!("{}/?q=profiles", origin(&daemon)));
    page.wait_for("document.querySelectorAll('#rows > li').length === 2");
    page.wait_for("document.querySelectorAll('.row.well').length === 2");

    let asked = "performance.getEntriesByType('resource').filter((one) => one.name.includes('?since='))";
    page.eval("window.storm = setInterval(() => stream.dispatchEvent(new Event('finding_opened')), 50)");
    let before = page.eval(&format!("{asked}.length")).as_u64().unwrap();
    page.wait_for(&format!("{asked}.length >= {before} + 4"));
    let gaps =
        page.eval(&format!("{asked}.slice({before}).map((one, at, all) => one.startTime - all[at - 1]?.startTime)"));
    let gaps: Vec<_> = gaps.as_array().unwrap().iter().skip(1).map(|gap| gap.as_f64().unwrap()).collect();
    assert!(gaps.iter().all(|gap| *gap > 900.0), "never more often than once a second: {gaps:?}");
    page.eval("clearInterval(storm)");

    // A headline is read aloud at once, and the next one when somebody has had the time to listen.
    page.eval(&later(16));
    fleet.lead("orders", PUBLIC);
    page.wait_for("document.querySelector('#said').textContent === 'Unhealthy: 1 of 2'");
    fleet.lead("profiles", PUBLIC);
    page.wait_for("document.querySelector('#headline').textContent === 'Unhealthy: 2 of 2'");
    assert_eq!(page.eval("document.querySelector('#said').textContent"), "Unhealthy: 1 of 2");
    page.eval(&later(16));
    page.wait_for("document.querySelector('#said').textContent === 'Unhealthy: 2 of 2'");

    // What somebody is about to copy stays under his hand, and is made good as soon as he lets it go.
    page.eval("getSelection().selectAllChildren(document.querySelector('#c-profiles'))");
    fleet.lead("profiles", PRIVATE);
    page.wait_for("document.querySelector('#headline').textContent === 'Unhealthy: 1 of 2'");
    assert!(page.text("#c-profiles").contains("20.50.1.10"));
    page.eval("getSelection().removeAllRanges()");
    page.eval("stream.dispatchEvent(new Event('finding_opened'))");
    page.wait_for("/\\bhealthy\\b/.test(document.querySelector('#c-profiles').innerText)");

    hide(&page, true);
    assert_eq!(page.eval("document.title"), "Paused · cachewatch");
    assert_eq!(page.eval("stream.readyState"), 2, "the stream is closed");
    page.wait_for(&format!("{asked}.every((one) => one.responseEnd > 0)"));
    let before = page.eval(&format!("{asked}.length"));
    fleet.lead("profiles", PUBLIC);
    daemon.wait_until("a finding", |daemon| {
        let caches = daemon.get("/api/v1/caches/profiles").json();
        (!caches["findings"].as_array()?.is_empty()).then_some(())
    });
    assert_eq!(
        (page.eval(&format!("{asked}.length")), page.text("#headline")),
        (before, "Unhealthy: 1 of 2".to_owned())
    );
    hide(&page, false);
    page.wait_for("document.title === 'Unhealthy: 2 of 2 · cachewatch'");
    page.wait_for("stream.readyState === 1");
    all_is_quiet(&page, &daemon);
}

#[test]
fn a_daemon_that_hangs_is_told_and_ages_go_on() {
    let fleet = Fleet::new();
    let daemon = Daemon::start(&fleet.configuration(&["orders"]));
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    page.open(&origin(&daemon));
    fleet.lead("orders", PUBLIC);
    page.wait_for("document.querySelector('.row.ill') !== null");
    daemon.signal(Signal::STOP);
    page.eval(&later(300));
    page.wait_for(LOST);
    looks_lost(&page, "Unhealthy: 1 of 1");
    assert!(page.text("#c-orders").contains("5 min ago"), "{}", page.text("#c-orders"));
    if let Some(folder) = env::var_os("CACHEWATCH_PICTURES") {
        page.picture(&Path::new(&folder).join("lost-1440-light.png"));
        page.look(Look { width: 360, dark: true, scripts: true });
        page.picture(&Path::new(&folder).join("lost-360-dark.png"));
    }
    page.eval(&axe());
    assert_eq!(page.eval(VIOLATIONS), json!([]));
    daemon.signal(Signal::CONT);
    page.wait_for("document.querySelector('#live').innerText === 'live' && document.querySelector('#lost').hidden");
    all_is_quiet(&page, &daemon);
}

/// On paper, and in the colours that somebody has chosen for everything.
#[test]
fn it_is_printed_and_shown_in_forced_colours() {
    let (_lab, daemon) = troubled();
    let browser = Browser::start();
    let pictures = env::var_os("CACHEWATCH_PICTURES");
    let axe = axe();
    for path in ["/", "/caches/orders"] {
        let page = browser.page(Look { dark: true, ..Look::WIDE });
        page.open(&format!("{}{path}", origin(&daemon)));
        let name = path.trim_start_matches("/caches").replace('/', "all-");
        let keep = |what: &str| {
            if let Some(folder) = &pictures {
                page.picture(&Path::new(folder).join(format!("{what}-{name}.png")));
            }
        };
        page.media("print", &[("prefers-color-scheme", "dark")]);
        let pressed =
            "[...document.querySelectorAll('button, .filter, .skip')].filter((one) => one.checkVisibility()).length";
        let ground = "getComputedStyle(document.querySelector('main section:not(.notice)')).color";
        assert_eq!((page.eval(pressed), page.eval(ground)), (json!(0), json!("rgb(0, 0, 0)")), "{path}");
        // What is folded on the screen cannot be unfolded on paper.
        let folded = "[...document.querySelectorAll('details > :not(summary)')].filter((one) => \
                      !one.checkVisibility({contentVisibilityAuto: true}) || one.getBoundingClientRect().height === 0).length";
        assert_eq!(page.eval(folded), 0, "{path}");
        keep("print");
        page.media("", &[("forced-colors", "active"), ("prefers-color-scheme", "dark")]);
        page.eval(&axe);
        assert_eq!(page.eval(VIOLATIONS), json!([]), "{path}");
        keep("forced");
        let moving = "[...document.querySelectorAll('*')].filter((one) => one.getAnimations().length > 0 \
                      || parseFloat(getComputedStyle(one).transitionDuration) > 0).length";
        assert_eq!(page.eval(moving), 0, "nothing moves, for those who cannot bear it and for all others");
        all_is_quiet(&page, &daemon);
    }
}

/// Presses Tab until the focus is on something that the selector takes.
#[track_caller]
fn tab_to(page: &Page<'_>, selector: &str) {
    for _ in 0..60 {
        page.key("Tab");
        if page.eval(&format!("document.activeElement.matches({selector:?})")) == json!(true) {
            // A state is chosen by a button that cannot be seen; what stands beside it shows the focus.
            let outline = "(() => { const own = document.activeElement; \
                           const seen = own.matches('.choice input') ? own.nextElementSibling : own; \
                           return getComputedStyle(seen).outlineStyle; })()";
            assert_eq!(page.eval(outline), "solid", "the focus is seen on {selector}");
            return;
        }
    }
    panic!("the keyboard does not lead to {selector}");
}

#[test]
fn everything_is_done_by_keyboard() {
    let (_lab, daemon) = troubled();
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    page.open(&origin(&daemon));
    page.key("Tab");
    assert_eq!(page.eval("document.activeElement.className"), "skip");
    page.key("Enter");
    page.wait_for("document.activeElement.id === 'main'");
    page.key("/");
    assert_eq!(page.eval("document.activeElement.id"), "q", "the key of a search leads to it");
    page.key("/");
    page.eval("document.activeElement.select()");
    assert_eq!(page.eval("document.activeElement.value"), "/", "and is a letter like any other in it");
    page.write("orders");
    let shown =
        "[...document.querySelectorAll('#rows > li')].filter((row) => row.checkVisibility()).map((row) => row.id)";
    page.wait_for(&format!("({shown}).join() === 'c-orders'"));
    assert_eq!(
        (page.text("#count"), page.eval("location.search")),
        (format!("1 of {TROUBLED} caches shown"), json!("?q=orders"))
    );
    tab_to(&page, ".choice input");
    page.key("ArrowRight");
    assert_eq!(page.eval("location.search"), "?q=orders&state=ill");
    // What is chosen stays chosen through updates, and the focus where it is.
    tab_to(&page, "#c-orders h3 a");
    page.eval(
        "window.versions = new Set(); new MutationObserver(() => \
           versions.add(document.getElementById('c-orders').dataset.version)) \
             .observe(document.getElementById('rows'), {childList: true})",
    );
    page.eval("document.dispatchEvent(new Event('visibilitychange'))");
    page.wait_for("versions.size > 0");
    assert_eq!(page.eval(&format!("({shown}).join()")), "c-orders");
    assert_eq!(page.eval("document.activeElement.matches('#c-orders h3 a')"), true);
    page.key("Enter");
    page.wait_for("location.pathname === '/caches/orders' && document.readyState === 'complete'");
    tab_to(&page, "button.copy");
    page.key(" ");
    page.wait_for("document.activeElement.textContent === 'Copied'");
    all_is_quiet(&page, &daemon);
}

const LOST: &str = "document.querySelector('#live').innerText === 'not live'";

/// The clock of the browser goes forward by so many seconds.
fn later(seconds: u32) -> String {
    format!("(() => {{ const now = Date.now; Date.now = () => now() + {seconds}_000; }})()")
}

/// Nothing on a page that has lost the daemon may be taken for how it is now.
#[track_caller]
fn looks_lost(page: &Page<'_>, name: &str) {
    let told = page.text("#lost");
    assert!(told.starts_with("Not live: ") && told.contains(" as it was at 20") && told.contains(" UTC,"), "{told}");
    let title = page.eval("document.title");
    assert!(title.as_str().unwrap().starts_with(&format!("Not live · {name}")), "{title}");
    let grey = page.eval("getComputedStyle(document.querySelector('main')).filter");
    let said = page.eval("getComputedStyle(document.querySelector('.headline'), '::before').content");
    assert_eq!((grey, said), (json!("grayscale(1)"), json!("\"Last known: \"")));
}

#[test]
fn a_restart_is_told_and_survived() {
    let fleet = Fleet::new();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, fleet.configuration(&["orders"])).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let first = Daemon::start_with(&arguments, &[]);
    let address = first.address().to_string();
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    page.open(&format!("{}/caches/orders", origin(&first)));
    page.wait_for("document.querySelector('#standing').innerText.trim() === 'healthy'");
    drop(first);
    page.wait_for(LOST);
    looks_lost(&page, "orders");
    assert!(page.text("#lately").contains("PING"), "what was known stays on the page");
    page.eval(&later(300));
    page.wait_for("document.querySelector('#path time[data-ago], #closed time[data-ago]')?.innerText !== 'just now'");
    looks_lost(&page, "orders");

    let second = Daemon::start_with(&arguments, &[("CACHEWATCH__SERVER__LISTEN", &address)]);
    page.wait_for("document.querySelector('#live').innerText === 'live'");
    page.wait_for("document.querySelector('#standing').innerText.trim() === 'healthy'");
    let told = page.eval("document.querySelector('#lost').checkVisibility()");
    assert_eq!((told, page.eval("document.title")), (json!(false), json!("orders: healthy · cachewatch")));
    // The browser itself notes a connection that was refused; nothing else may stand beside it.
    let others = page.complaints().into_iter().filter(|words| !words.contains("net::ERR_"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    drop(second);
}

#[test]
fn without_scripts_the_pages_are_whole() {
    let (_lab, daemon) = troubled();
    let browser = Browser::start();
    let page = browser.page(Look { scripts: false, ..Look::WIDE });
    page.open(&origin(&daemon));
    assert_eq!(page.eval("document.querySelectorAll('#rows > li').length"), TROUBLED);
    assert_eq!(page.eval("document.querySelector('meta[http-equiv=refresh]').content"), "30");
    tab_to(&page, "#q");
    page.write("billing");
    page.key("Enter");
    page.wait_for("location.search === '?q=billing&state='");
    assert_eq!(page.eval("[...document.querySelectorAll('#rows > li')].map((row) => row.id)"), json!(["c-billing"]));
    page.click("#c-billing h3 a");
    page.wait_for("location.pathname === '/caches/billing' && document.readyState === 'complete'");
    let text = page.text("body");
    for words in [
        "tcp-refused",
        "refuses connections on port 6380",
        "Where the name leads",
        "The path, stage by stage",
        "not reached",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("Copy"), "a button that does nothing is not shown");
    all_is_quiet(&page, &daemon);
}

/// What a zone and a file say reaches the page as words, in a browser that would run them if it could.
#[test]
fn hostile_words_do_nothing_in_a_browser() {
    let fleet = Fleet::new();
    let good = fleet.configuration(&["orders"]);
    let daemon = Daemon::start(&good);
    daemon.configure(&format!("{good}\n\"<img src=x onerror=document.title=1>\" = 1\n"));
    let refused = daemon.post("/-/reload");
    assert!(refused.status == 400 && refused.body.contains("<img"), "{refused:?}");
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    page.open(&format!("{}/?q=%22%3E%3Cscript%3Edocument.title=2%3C/script%3E", origin(&daemon)));
    page.wait_for("document.querySelector('#refused').innerText.includes('<img src=x')");
    assert_eq!(page.eval("document.images.length + document.scripts.length"), 1);
    assert!(page.eval("document.title").as_str().unwrap().ends_with("· cachewatch"));
    all_is_quiet(&page, &daemon);
}

#[test]
fn five_hundred_caches_are_painted_at_once_and_one_that_changes_is_repainted_alone() {
    const CACHES: usize = 500;
    let fleet = Fleet::new();
    let mut text = fleet.settings("interval = \"1h\"\n");
    let port = fleet.server.plain_address();
    for number in 0..CACHES {
        let name = format!("cache-{number:03}");
        fleet.lead(&name, PRIVATE);
        let pace = if number / 2 == 125 { "interval = \"1s\"\ntimeout = \"950ms\"\n" } else { "" };
        text += &fleet.cache(
            &name,
            &format!("isolation = \"private_endpoint\"\n{pace}port = {}\ntls.enabled = false", port.port()),
        );
    }
    let text = text.replace(&fleet.server.address().to_string(), &port.to_string());
    let daemon = Daemon::start(&text);
    daemon.wait_within(3 * PATIENCE, "the first round of all", |daemon| {
        (daemon.get("/readyz").status == 200).then_some(())
    });
    let browser = Browser::start();
    let page = browser.page(Look::WIDE);
    // What the machine does for others meanwhile is no work of the page's.
    let processes = [browser.processes(), vec![daemon.pid()]].concat();
    let paint = |()| {
        let starvation = Starvation::of(&processes);
        page.open(&origin(&daemon));
        page.wait_for("performance.getEntriesByName('first-contentful-paint').length");
        let painted =
            page.eval("performance.getEntriesByName('first-contentful-paint')[0].startTime").as_f64().unwrap();
        painted - starvation.so_far().as_secs_f64() * 1_000.0
    };
    let paint = [(); 3].map(paint);
    assert!(paint.into_iter().fold(f64::INFINITY, f64::min) < 1_000.0, "the first paint took {paint:?} ms");
    page.wait_for("document.querySelectorAll('.row.well').length >= 498");
    assert_eq!(page.eval("document.querySelectorAll('#rows > li').length"), CACHES);

    // Words such as `5 min ago` go on by themselves; everything else that moves in a row is a change.
    page.eval(
        "window.changed = new Set(); new MutationObserver((records) => { for (const record of records) { \
           const inside = record.target.closest?.('li[id]') ?? record.target.parentElement?.closest('li[id]'); \
           if (record.target.closest?.('time[data-ago]')) continue; \
           if (inside) changed.add(inside.id); \
           for (const node of [...record.addedNodes, ...record.removedNodes]) if (node.id) changed.add(node.id); \
         } }).observe(document.getElementById('rows'), \
           {subtree: true, childList: true, attributes: true, characterData: true})",
    );
    let pair = json!(["c-cache-250", "c-cache-251"]);
    for name in ["cache-250", "cache-251"] {
        fleet.lead(name, PUBLIC);
    }
    page.wait_for("document.querySelector('#headline').textContent === 'Unhealthy: 2 of 500'");
    assert_eq!(page.eval("[...document.querySelectorAll('#rows > li.ill')].map((row) => row.id)"), pair);
    assert_eq!(page.eval("[...changed].sort()"), pair);
    // Both go back in one update, and nobody makes room for them.
    hide(&page, true);
    for name in ["cache-250", "cache-251"] {
        fleet.lead(name, PRIVATE);
    }
    daemon.wait_until("both well", |daemon| {
        let findings = daemon.get("/api/v1/findings").json()["findings"].clone();
        findings.as_array()?.iter().all(|finding| finding["severity"].as_u64() > Some(2)).then_some(())
    });
    page.eval("changed.clear()");
    hide(&page, false);
    page.wait_for("document.querySelectorAll('.row.ill').length === 0");
    assert_eq!(page.eval("[...changed].sort()"), pair);
    // Of what is the same, no more than its place was sent.
    let sizes = page.eval(
        "[performance.getEntriesByType('navigation')[0].encodedBodySize, ...performance.getEntriesByType('resource') \
           .filter((one) => one.name.includes('?since=')).map((one) => one.encodedBodySize)]",
    );
    let sizes: Vec<_> = sizes.as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).collect();
    assert!(sizes.len() > 1 && sizes[1..].iter().all(|size| (1..sizes[0] / 20).contains(size)), "{sizes:?}");

    let starvation = Starvation::of(&processes);
    let took = page.eval(
        "(() => { const q = document.getElementById('q'); \
           return Math.min(...['cache-0', 'cache-1', '', 'cache-3', 'cache-1'].map((text) => { \
           const start = performance.now(); q.value = text; q.dispatchEvent(new Event('input', {bubbles: true})); \
           document.body.offsetHeight; return performance.now() - start; })); })()",
    );
    assert_eq!(page.text("#count"), "100 of 500 caches shown");
    let starved = starvation.so_far();
    let limit = 100.0 + starved.as_secs_f64() * 1_000.0;
    assert!(took.as_f64() < Some(limit), "choosing rows took {took} ms, of which the machine took {starved:?} at most");
    all_is_quiet(&page, &daemon);
}
