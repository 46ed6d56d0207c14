//! The journal of the built program: through `kill -9`, full disks, second daemons, and for who asks what changed.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cachewatch::{
    clock::{self, Stopwatch},
    model::{CacheName, Event, EventKind, EventOrder, EventQuery, FindingId, Severity},
    sink::{
        Metrics,
        journal::{Journal, Limits, Reader, Recorded, Settings, State},
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testlab::{
    PATIENCE,
    cache::runtime,
    dns::Answer,
    fleet::{Fleet, PRIVATE, PUBLIC, host},
    http,
    process::Process,
    program::{Call, Daemon, cachewatch, field},
};

/// A configuration and a journal that outlive the daemons that are started on them.
struct Place {
    fleet: Fleet,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { fleet: Fleet::new(), directory: TempDir::new().unwrap() }
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    fn configure(&self, text: &str) -> String {
        let path = self.directory.path().join("config.toml");
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn start(&self, configuration: &str) -> Daemon {
        let config = self.configure(configuration);
        let journal = self.journal().to_string_lossy().into_owned();
        Daemon::start_with(&["--config", &config], &[("CACHEWATCH__JOURNAL__PATH", &journal)])
    }

    /// Everything that `cachewatch events` tells, the oldest first.
    fn told(&self) -> Vec<Value> {
        let journal = self.journal().to_string_lossy().into_owned();
        let run = cachewatch(&["events", "--journal", &journal, "--since", "1h", "--format", "json"]).run();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        run.json()["events"].as_array().unwrap().clone()
    }
}

/// Kind, cache and finding of an event.
fn short(event: &Value) -> String {
    let parts = ["kind", "cache", "finding"].iter().filter_map(|name| event[*name].as_str());
    parts.collect::<Vec<_>>().join(" ")
}

fn end(mut daemon: Daemon, signal: Signal) -> String {
    daemon.signal(signal);
    daemon.wait();
    daemon.log()
}

fn kept(daemon: &Daemon, query: &str) -> Vec<Value> {
    daemon.get(&format!("/api/v1/events?order=asc&limit=1000{query}")).json()["events"].as_array().unwrap().clone()
}

fn wait_for_event(daemon: &Daemon, wanted: &str) -> Value {
    daemon.wait_until(wanted, |daemon| {
        kept(daemon, "").into_iter().find(|event| short(event) == wanted && event["durable"] == true)
    })
}

fn open(daemon: &Daemon, finding: &str, severity: &str) -> Option<f64> {
    let labels = [("cache", "orders"), ("finding", finding), ("severity", severity)];
    daemon.scrape().value("cachewatch_finding_open", &labels)
}

/// No finding opens twice without having cleared in between, nor clears twice.
#[track_caller]
fn assert_alternating(events: impl Iterator<Item = (String, bool)>) {
    let mut open: HashMap<String, bool> = HashMap::new();
    for (number, (thing, opens)) in events.enumerate() {
        let was = open.insert(thing.clone(), opens).unwrap_or(false);
        assert_ne!(was, opens, "event {number}: {thing} {} twice", if opens { "opened" } else { "cleared" });
    }
}

/// A restart is neither a recovery nor a new failure: what was open is open, since then, before anything was probed.
#[test]
fn what_was_open_is_open_after_kill_9_and_before_the_first_probe() {
    let mut place = Place::new();
    let config = place.fleet.configuration(&["carts", "orders"]).replace("[probe]\n", "[probe]\nopen_after = 1\n");
    let daemon = place.start(&config);
    daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    place.fleet.server.stop();
    wait_for_event(&daemon, "finding_opened orders tcp-refused");
    wait_for_event(&daemon, "finding_opened carts tcp-refused");
    let complaint = |daemon: &Daemon| daemon.get("/healthz/orders").json()["caches"][0]["findings"][0].clone();
    let before = complaint(&daemon);
    end(daemon, Signal::KILL);

    // No probe of the next run ends before it was looked at.
    place.fleet.names.set(&host("orders"), Answer::new().silent());
    let slow = "interval = \"1m\"\ntimeout = \"50s\"\nresolve_timeout = \"50s\"\n";
    let daemon =
        place.start(&(place.fleet.settings(slow) + &place.fleet.cache("orders", "isolation = \"private_endpoint\"")));
    assert_eq!((open(&daemon, "tcp-refused", "1"), daemon.get("/healthz").status), (Some(1.0), 503));
    assert_eq!(complaint(&daemon), before, "since when it is open, and in what words");
    let opened = daemon.scrape().value("cachewatch_findings_total", &[("cache", "orders")]);
    assert_eq!(opened, None, "it has not opened again");
    let recent = daemon.get("/api/v1/caches/orders").json()["events"].as_array().unwrap().clone();
    assert_eq!(
        recent.iter().map(short).collect::<Vec<_>>(),
        ["finding_opened orders tcp-refused", "cache_added orders"]
    );

    wait_for_event(&daemon, "cache_removed carts");
    let events = kept(&daemon, "&cache=orders");
    let opened = ["cache_added orders", "finding_opened orders tcp-refused"];
    assert_eq!(events.iter().map(short).collect::<Vec<_>>(), opened, "neither added nor opened again");
    let started = kept(&daemon, "&kind=started");
    let evidence = |event: &Value| {
        event["evidence"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(started.len(), 2);
    assert!(evidence(&started[1])[0].starts_with("not watched for "), "{}", started[1]);
    assert_eq!(evidence(&started[1])[1], "that run ended: it was cut off");
    end(daemon, Signal::TERM);

    let all = place.told();
    assert_eq!(all.last().map(short).as_deref(), Some("stopping"), "the last word is on disk before the end");
    let daemon = place.start(&place.fleet.configuration(&["orders"]));
    let started = kept(&daemon, "&kind=started");
    assert_eq!(evidence(&started[2])[1], "that run ended: it had been asked to stop");
}

/// Acknowledged by one of the processes below: its line was written whole.
fn acknowledged(transcript: &[String]) -> Vec<(u64, String)> {
    let whole = transcript.iter().filter_map(|line| line.strip_prefix("kept ")?.strip_suffix(" ."));
    whole.map(|words| words.split_once(' ').unwrap()).map(|(id, what)| (id.parse().unwrap(), what.to_owned())).collect()
}

/// A small generator, so that a failure can be made again.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const WRITER: &str = "journal::a_process_that_records_until_it_is_killed";

/// Cut off two hundred times in the middle of writing: it opens every time, with all that was acknowledged, no id used
/// twice, and what is known of the caches as their events say.
#[test]
fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    const KILLS: u32 = 200;
    const SEED: u64 = 20_261_121;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("journal.db");
    let mut dice = Dice(SEED);
    let mut promised = BTreeMap::new();
    let mut last_states: Option<String> = None;
    for kill in 0..KILLS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([WRITER, "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env("JOURNAL", &path);
        let mut process = Process::spawn(command.env("SEED", dice.throw(u64::MAX).to_string()), "cargo");
        let begun = process.transcript().wait_for(PATIENCE, |line| line.strip_prefix("begun ").map(str::to_owned));
        let begun = begun.unwrap_or_else(|unsaid| panic!("kill {kill}: {unsaid:?}"));
        // Somewhere in what follows: after as many events as the dice say, however long a busy machine takes for them, and
        // some time more. This is the blow, and nothing waits for it.
        let mut events = dice.throw(24);
        let recorded = process.transcript().wait_for(PATIENCE, |line| {
            events = events.saturating_sub(u64::from(line.starts_with("kept ")));
            (events == 0).then_some(())
        });
        recorded.unwrap_or_else(|unsaid| panic!("kill {kill}: {unsaid:?}"));
        thread::sleep(Duration::from_micros(dice.throw(10_000)));
        process.signal(Signal::KILL);
        process.wait(PATIENCE).unwrap();
        if let Some(before) = last_states.replace(String::new()) {
            assert!(before.is_empty() || before == begun, "kill {kill}: {before} became {begun}");
        }
        for (id, what) in acknowledged(&process.transcript().lines()) {
            let twice = promised.insert(id, what);
            assert_eq!(twice, None, "kill {kill}: id {id} was given twice");
        }
        // Every other time the next process is the first one to look at what the last one left.
        if kill % 2 == 0 {
            last_states = Some(states_by_events(&path));
        }
    }
    let all = every_event(&path);
    assert!(promised.len() > 1_000, "only {} events were acknowledged", promised.len());
    let found: BTreeMap<_, _> = all.iter().map(|recorded| (recorded.id, what(&recorded.event))).collect();
    assert_eq!(found.len(), all.len(), "an id twice");
    assert!(all.is_sorted_by_key(|recorded| recorded.id));
    let lost: Vec<_> = promised.iter().filter(|(id, what)| found.get(id) != Some(what)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), promised.len());
    assert_alternating(all.iter().map(|recorded| {
        (recorded.event.cache.as_ref().unwrap().to_string(), recorded.event.kind == EventKind::FindingOpened)
    }));
    let leftovers: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!leftovers.iter().any(|name| name.to_string_lossy().contains("corrupt")), "{leftovers:?}");
}

fn what(event: &Event) -> String {
    format!("{} {} {}", event.kind, event.cache.as_ref().unwrap(), event.before.as_ref().unwrap())
}

fn every_event(path: &Path) -> Vec<Recorded> {
    let reader = Reader::open(path).unwrap();
    let mut query = EventQuery { order: EventOrder::Ascending, ..EventQuery::latest(10_000) };
    let mut all = Vec::new();
    loop {
        let rows = reader.events(&query).unwrap();
        assert_eq!(rows.unreadable, 0);
        all.extend(rows.events);
        query.after = rows.next;
        if rows.next.is_none() {
            return all;
        }
    }
}

/// Which caches are ill as their last events say, in the words of the process below.
fn states_by_events(path: &Path) -> String {
    let reader = Reader::open(path).unwrap();
    let is_open = |cache: &str| {
        let query = EventQuery { cache: Some(CacheName::new(cache)), ..EventQuery::latest(1) };
        let last = reader.events(&query).unwrap().events.pop();
        last.is_some_and(|last| last.event.kind == EventKind::FindingOpened)
    };
    CACHES.map(|cache| format!("{cache}={}", is_open(cache))).join(" ")
}

const CACHES: [&str; 3] = ["carts", "orders", "sessions"];

#[test]
#[ignore = "is started by the test above, and killed"]
fn a_process_that_records_until_it_is_killed() {
    let path = std::env::var_os("JOURNAL").expect("the test above names a journal");
    let mut dice = Dice(std::env::var("SEED").unwrap().parse().unwrap());
    let out = |line: String| writeln!(std::io::stdout(), "{line}").unwrap();
    runtime().block_on(async {
        let limits = Limits { retention: Duration::from_hours(24), max_size: 256 << 20 };
        let settings = Settings { path: Some(path.into()), limits };
        let (journal, recovered) = Journal::start(settings, Arc::new(Metrics::new("1", "r")), Arc::default()).unwrap();
        let recovered = recovered.await.unwrap();
        let memento = |cache: &str| {
            let state = recovered.states.iter().find(|state| state.cache.as_str() == cache);
            state.map_or("false".to_owned(), |state| state.memento.clone())
        };
        let mut open = CACHES.map(|cache| memento(cache) == "true");
        let mut live = journal.subscribe();
        let told: Vec<_> = CACHES.iter().zip(open).map(|(cache, open)| format!("{cache}={open}")).collect();
        out(format!("\nbegun {}", told.join(" ")));
        for number in 0.. {
            let burst = 1 + dice.throw(20);
            for step in 0..burst {
                let place = usize::try_from(dice.throw(3)).unwrap();
                open[place] = !open[place];
                let cache = CacheName::new(CACHES[place]);
                let kind = if open[place] { EventKind::FindingOpened } else { EventKind::FindingCleared };
                let event = Event {
                    finding: Some(FindingId::TcpRefused),
                    severity: Some(Severity::Unavailable),
                    ..Event::new(clock::now(), Some(cache.clone()), kind).change(&format!("{number}/{step}"), "x")
                };
                let (host, memento) = ("h".to_owned(), open[place].to_string());
                assert!(journal.offer(&[event], Some(State { cache, host, port: 1, memento })));
            }
            for _ in 0..burst {
                let recorded = live.recv().await.unwrap();
                out(format!("kept {} {} .", recorded.id, what(&recorded.event)));
            }
        }
    });
}

/// The daemon itself, cut off while a name moves to and fro and a stream is read: all that the stream has shown is there.
#[test]
fn a_daemon_that_is_killed_keeps_what_its_stream_has_shown() {
    const KILLS: u32 = 10;
    let place = Place::new();
    for cache in ["carts", "orders"] {
        place.fleet.lead(cache, PRIVATE);
    }
    let probe = "interval = \"100ms\"\ntimeout = \"90ms\"\nopen_after = 1\nclear_after = 1\n";
    let table = |cache| place.fleet.cache(cache, "isolation = \"private_endpoint\"");
    let config = place.fleet.settings(probe) + &table("carts") + &table("orders");
    let stop = AtomicBool::new(false);
    let mut dice = Dice(7);
    let (mut shown, mut last): (Vec<(u64, String)>, u64) = (Vec::new(), 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut to = [PUBLIC, PRIVATE].into_iter().cycle();
            while !stop.load(Ordering::Relaxed) {
                let to = to.next().unwrap();
                place.fleet.lead("orders", to);
                place.fleet.lead("carts", to);
                thread::sleep(Duration::from_millis(130));
            }
        });
        for kill in 0..KILLS {
            let daemon = place.start(&config);
            let path = format!("/api/v1/stream?last_event_id={last}");
            let lines = http::stream(daemon.address(), &path).unwrap();
            let (address, blow) = (daemon.pid(), Duration::from_millis(dice.throw(700)));
            let (mut id, mut after_first) = (None, None);
            let watch = Stopwatch::start();
            // Read until some time after the first event; then the blow, and what had been sent until then.
            for line in lines.map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("id:") {
                    id = Some(number.trim().parse::<u64>().unwrap());
                } else if let Some(data) = line.strip_prefix("data:") {
                    let event: Value = serde_json::from_str(data).unwrap();
                    assert_eq!(event["id"].as_u64(), id, "kill {kill} of {address}");
                    assert!(id.unwrap() > last, "kill {kill}: {event} comes twice, or out of order");
                    last = id.unwrap();
                    shown.push((last, short(&event)));
                    after_first.get_or_insert(watch.elapsed());
                }
                if after_first.is_some_and(|first| watch.elapsed() > first + blow) {
                    daemon.signal(Signal::KILL);
                }
                assert!(watch.elapsed() < PATIENCE, "{}", daemon.log());
            }
            end(daemon, Signal::KILL);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let all = place.told();
    let found: BTreeMap<_, _> = all.iter().map(|event| (event["id"].as_u64().unwrap(), short(event))).collect();
    assert_eq!(found.len(), all.len(), "an id twice");
    // Each stream began where the one before had ended: what was shown is all there is, up to the last one's end.
    let expected: Vec<_> = found.range(..=last).map(|(id, what)| (*id, what.clone())).collect();
    assert_eq!(shown, expected);
    let starts = shown.iter().filter(|(_, what)| what == "started").count();
    assert_eq!(starts, usize::try_from(KILLS).unwrap());
    assert!(shown.len() > 50, "too little happened: {shown:?}");
    let findings = all.iter().filter(|event| !event["finding"].is_null() && event["kind"] != "finding_changed");
    assert_alternating(
        findings.map(|event| (format!("{} {}", event["cache"], event["finding"]), event["kind"] == "finding_opened")),
    );
}

/// The drift happened while nobody looked: it is found all the same, and the gap is stated.
#[test]
fn a_move_while_the_daemon_was_down_is_found() {
    let place = Place::new();
    let daemon = place.start(&place.fleet.configuration(&["orders"]));
    daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    // The journal takes one after the other: once this is kept, so is what the first probe learned.
    assert_eq!(daemon.post("/-/reload").status, 200);
    wait_for_event(&daemon, "config_reloaded");
    end(daemon, Signal::KILL);
    let config = place.fleet.configuration(&["orders"]);
    place.fleet.lead("orders", PUBLIC);
    let daemon = place.start(&config);
    let drift = wait_for_event(&daemon, "finding_opened orders dns-drift");
    let moved = wait_for_event(&daemon, "addresses_changed orders");
    assert_eq!((&moved["before"], &moved["after"]), (&json!("10.20.1.4"), &json!("20.50.1.10")));
    assert!(moved["evidence"].to_string().contains("not watched from"), "the gap is not stated: {moved}");
    assert_eq!(drift["severity"], 2);
}

/// A small disk of the daemon's own, mounted over its directory where nobody else sees it.
fn on_own_disk(place: &Place, options: &str, configuration: &str) -> Daemon {
    let config = place.directory.path().join("config.toml");
    let disk = place.directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    fs::write(&config, configuration).unwrap();
    let (config, disk) = (config.to_string_lossy(), disk.to_string_lossy());
    let script = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"";
    let starter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, options, &disk];
    let journal = format!("{disk}/journal.db");
    Daemon::start_through(&starter, &["--config", &config], &[("CACHEWATCH__JOURNAL__PATH", &journal)])
}

fn journal_up(daemon: &Daemon) -> Option<f64> {
    daemon.scrape().value("cachewatch_journal_up", &[])
}

#[test]
fn a_full_disk_delays_events_and_loses_none() {
    let place = Place::new();
    let config = place.fleet.configuration(&["orders"]);
    let daemon = on_own_disk(&place, "size=1m", &config);
    daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    assert_eq!(journal_up(&daemon), Some(1.0));
    // Its disk, seen through its own eyes.
    let disk = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), place.directory.path().join("disk").display()));
    let filler = disk.join("filler");
    let full = fs::File::create(&filler).unwrap().write_all(&vec![0; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);

    place.fleet.lead("orders", PUBLIC);
    daemon.wait_until("the journal is down", |daemon| (journal_up(daemon) == Some(0.0)).then_some(()));
    let waiting = daemon.wait_until("events that wait", |daemon| {
        let waiting: Vec<_> = kept(daemon, "").into_iter().filter(|event| event["durable"] == false).collect();
        (waiting.len() >= 3).then_some(waiting)
    });
    assert!(waiting.iter().all(|event| event["id"].is_null()), "{waiting:?}");
    assert_eq!(daemon.get("/livez").status, 200);
    assert_eq!(open(&daemon, "dns-zone-not-linked", "2"), Some(1.0), "monitoring continues");
    let failures = daemon.scrape().value("cachewatch_sink_failures_total", &[("sink", "journal")]);
    assert!(failures >= Some(1.0), "{failures:?}");

    fs::remove_file(filler).unwrap();
    daemon.wait_until("the journal is up again", |daemon| (journal_up(daemon) == Some(1.0)).then_some(()));
    let after = kept(&daemon, "");
    assert!(after.iter().all(|event| event["durable"] == true), "{after:?}");
    let told = |events: &[Value]| events.iter().map(short).collect::<Vec<_>>();
    assert!(
        told(&after).ends_with(&told(&waiting))
            || told(&after).windows(waiting.len()).any(|part| part == told(&waiting))
    );
    let log = end(daemon, Signal::TERM);
    for words in ["the journal cannot be written", "the journal is written again"] {
        assert_eq!(log.matches(words).count(), 1, "{words}:\n{log}");
    }
}

#[test]
fn a_disk_that_cannot_be_written_keeps_nobody_from_watching() {
    let place = Place::new();
    let daemon = on_own_disk(&place, "ro", &place.fleet.configuration(&["orders"]));
    daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    assert_eq!((journal_up(&daemon), daemon.get("/healthz").status), (Some(0.0), 200));
    let document = daemon.get("/api/v1/events").json();
    assert_eq!(document["journal"], json!({"kept_in": "file", "up": false, "lost": 0, "left_out": 0}));
    assert!(document["events"].as_array().unwrap().iter().any(|event| short(event) == "cache_added orders"));
    // What waits is told too, and that it does.
    let server = format!("http://{}", daemon.address());
    let call = cachewatch(&["events", "--server", &server, "--format", "json"]);
    assert_eq!(told_as_the_api_says(&daemon, call)["kept_in"], "file");
    let run = cachewatch(&["events", "--server", &server, "--kind", "cache_added"]).run();
    assert!(run.stdout.ends_with(":6380\u{a0}· not yet on disk\n"), "{run:?}");
    let why = daemon.wait_for_record(|record| {
        field(record, "message").filter(|words| words.starts_with("the journal cannot be written")).map(str::to_owned)
    });
    assert!(why.contains("Read-only file system"), "{why}");
    daemon.signal(Signal::TERM);
}

#[test]
fn a_second_daemon_on_the_same_file_waits_its_turn() {
    let place = Place::new();
    let config = place.fleet.configuration(&["orders"]);
    let first = place.start(&config);
    wait_for_event(&first, "cache_added orders");
    let second = place.start(&config);
    let why = second.wait_for_record(|record| {
        field(record, "message").filter(|words| words.starts_with("the journal cannot be written")).map(str::to_owned)
    });
    assert!(why.contains("another cachewatch uses this journal"), "{why}");
    assert_eq!((journal_up(&first), journal_up(&second)), (Some(1.0), Some(0.0)));
    end(first, Signal::TERM);
    second.wait_until("its turn", |second| (journal_up(second) == Some(1.0)).then_some(()));
    end(second, Signal::TERM);
    let daemon_events: Vec<_> =
        place.told().iter().filter(|event| event["cache"].is_null() && event["finding"].is_null()).map(short).collect();
    assert_eq!(daemon_events, ["started", "stopping", "started", "stopping"]);
}

/// Its volume is mounted late: the run before is gone on with all the same, as if the file had been there at the start.
#[test]
fn a_journal_that_comes_late_is_taken_up() {
    let mut place = Place::new();
    let config = place
        .fleet
        .configuration(&["carts", "orders"])
        .replace("[probe]\n", "[probe]\nopen_after = 1\nclear_after = 1\n");
    let (disk, away) = (place.directory.path().join("disk"), place.directory.path().join("away"));
    fs::create_dir(&disk).unwrap();
    let file = place.configure(&config);
    let journal = disk.join("journal.db").to_string_lossy().into_owned();
    let start = || Daemon::start_with(&["--config", &file], &[("CACHEWATCH__JOURNAL__PATH", &journal)]);
    let daemon = start();
    daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    place.fleet.server.stop();
    wait_for_event(&daemon, "finding_opened orders tcp-refused");
    let since = wait_for_event(&daemon, "finding_opened carts tcp-refused")["at"].clone();
    end(daemon, Signal::KILL);
    fs::rename(&disk, &away).unwrap();

    // Orders has moved meanwhile, where nothing refuses it; carts is still refused.
    place.fleet.lead("orders", PUBLIC);
    let daemon = start();
    daemon.wait_until("both are ill", |daemon| {
        let waiting = kept(daemon, "").iter().map(short).collect::<Vec<_>>();
        let opened = |cache: &str| waiting.iter().any(|event| event.starts_with(&format!("finding_opened {cache} ")));
        (opened("carts") && opened("orders")).then_some(())
    });
    fs::rename(&away, &disk).unwrap();
    wait_for_event(&daemon, "finding_opened orders dns-drift");
    let moved = wait_for_event(&daemon, "addresses_changed orders");
    assert_eq!((&moved["before"], &moved["after"]), (&json!("10.20.1.4"), &json!("20.50.1.10")));
    let health = daemon.get("/healthz/carts").json();
    let refused = |finding: &&Value| finding["finding"] == "tcp-refused";
    let findings = health["caches"][0]["findings"].as_array().unwrap().clone();
    let told_since = findings.iter().find(refused).map(|finding| finding["since"].clone());
    assert_eq!(told_since, Some(since), "{health}");
    let started = kept(&daemon, "&kind=started");
    assert!(started[1]["evidence"][0].as_str().unwrap().starts_with("not watched for "), "{started:?}");

    place.fleet.server.restart();
    place.fleet.lead("orders", PRIVATE);
    for cleared in ["orders dns-drift", "orders tcp-refused", "carts tcp-refused"] {
        wait_for_event(&daemon, &format!("finding_cleared {cleared}"));
    }
    let events = kept(&daemon, "");
    assert_eq!(events.iter().filter(|event| event["kind"] == "cache_added").count(), 2, "{events:?}");
    let findings =
        events.iter().filter(|event| ["finding_opened", "finding_cleared"].iter().any(|kind| event["kind"] == *kind));
    assert_alternating(
        findings.map(|event| (format!("{} {}", event["cache"], event["finding"]), event["kind"] == "finding_opened")),
    );
}

/// A journal that the first version kept: it is read, gone on with, and told as it was. `tests/journal/version-1.sql` says how
/// it was made.
#[test]
fn a_journal_of_the_first_version_is_taken_up() {
    let place = Place::new();
    let kept_as = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal");
    fs::copy(kept_as.join("version-1.db"), place.journal()).unwrap();
    let journal = place.journal().to_string_lossy().into_owned();
    let run = cachewatch(&["events", "--journal", &journal, "--since", "2026-11-20"]).run();
    let (told, end) =
        run.stdout.split_at(run.stdout.rfind("\nthe daemon last wrote at 2026-11-21 13:00 UTC, ").unwrap());
    assert_eq!((told, run.code), (fs::read_to_string(kept_as.join("version-1.txt")).unwrap().as_str(), Some(0)));
    assert!(end.ends_with(" ago: later events are not known\n"), "{end}");
    let drift =
        cachewatch(&["events", "--journal", &journal, "--since", "2026-11-20", "--until", "2026-11-21T00:00:00Z"]);
    assert_eq!(drift.run().stdout.matches("addresses").count(), 2);

    // The daemon finds it ill, as it was left.
    place.fleet.names.set(&host("orders"), Answer::new().silent());
    let slow = "interval = \"1m\"\ntimeout = \"50s\"\nresolve_timeout = \"50s\"\n";
    let orders = place.fleet.cache("orders", "isolation = \"private_endpoint\"");
    // However late this test is run, its events are not too old to be kept.
    let journal = "[journal]\nretention = \"3660d\"\n";
    let daemon = place.start(&(place.fleet.settings(slow) + journal + &orders));
    assert_eq!(open(&daemon, "tcp-refused", "1"), Some(1.0));
    let health = daemon.get("/healthz/orders").json();
    assert_eq!(health["caches"][0]["findings"][0]["since"], "2026-11-21T13:00:00.000Z", "{health}");
    let old = kept(&daemon, "&until=2026-11-22");
    let ids: Vec<_> = old.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1_795_161_600_001..=1_795_161_600_020).collect::<Vec<_>>());
    // That the clock moved on by days meanwhile is told beside the start, and of this machine what there is to say.
    let jump = wait_for_event(&daemon, "clock_jumped");
    let new = kept(&daemon, "&after=1795161600020");
    assert_eq!(new[0]["id"].as_u64(), Some(1_795_161_600_021));
    assert_eq!(new.iter().filter(|event| event["kind"] == "started").count(), 1, "{new:?}");
    assert_eq!(jump["before"], "2026-11-21T13:00:10.000Z", "when the file was last written");
    assert!(new.iter().all(|event| event["kind"] != "cache_added"), "{new:?}");
}

/// A stream is open for as long as its reader likes, but for the end.
#[test]
fn a_stream_does_not_hold_up_the_end() {
    let fleet = Fleet::new();
    let config = format!("[server]\nshutdown_grace = \"5m\"\n{}", fleet.configuration(&["orders"]));
    let mut daemon = Daemon::start(&config);
    let lines = http::stream(daemon.address(), "/api/v1/stream").unwrap();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    // Whatever happened on the way, and then the end.
    assert!(lines.map_while(Result::ok).count() < 100);
    let said = daemon.log();
    assert!(said.lines().last().unwrap().contains("\"stopped\""), "{said}");
}

#[test]
fn without_a_file_events_lie_in_memory_and_the_command_asks_for_them() {
    let fleet = Fleet::new();
    let daemon = Daemon::start(&fleet.configuration(&["orders"]));
    let events = daemon.wait_until("events", |daemon| {
        let document = daemon.get("/api/v1/events?order=asc").json();
        assert_eq!(document["journal"]["kept_in"], "memory");
        Some(document["events"].as_array().unwrap().clone()).filter(|events| events.len() >= 2)
    });
    assert_eq!((short(&events[0]), &events[0]["durable"]), ("started".to_owned(), &json!(false)));
    daemon
        .wait_for_record(|record| field(record, "message").filter(|words| words.contains("kept in memory")).map(drop));

    let port = daemon.address().port();
    let (server, listen) = (format!("http://127.0.0.1:{port}"), format!("0.0.0.0:{port}"));
    let configured = ["events", "--format", "json"];
    let named = ["events", "--format", "json", "--server", &server];
    for (arguments, (name, value)) in [
        (&configured[..], ("CACHEWATCH__SERVER__LISTEN", listen.as_str())),
        (&named, ("CACHEWATCH__JOURNAL__PATH", "/nonexistent/journal.db")),
    ] {
        let told = told_as_the_api_says(&daemon, cachewatch(arguments).env(name, value));
        assert_eq!(
            (&told["journal"], &told["kept_in"], &told["left_out"]),
            (&json!(server), &json!("memory"), &json!(0))
        );
    }
    let run = cachewatch(&["events", "--server", &server, "--cache", "orders", "--kind", "cache_added"]).run();
    assert_eq!((run.code, run.stdout.matches("added").count()), (Some(0), 1), "{run:?}");
    assert!(
        run.stdout.ends_with("\nthe daemon keeps its events in memory: the list begins with its last start\n"),
        "{run:?}"
    );
    let run = cachewatch(&["events", "--server", &server, "--cache", "a&b"]).run();
    assert!(run.code == Some(3) && run.stderr.contains("\"a&b\" is not the name of a cache"), "{run:?}");
    let run = cachewatch(&["events", "--server", &server, "--cache", "carts"]).run();
    assert!(run.stdout.contains(&format!(", and no earlier ones in {server}\n")), "{run:?}");

    drop(daemon);
    let run = cachewatch(&["events", "--since", "2026-11-21"]).env("CACHEWATCH__SERVER__LISTEN", &listen).run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""));
    let words = format!("cannot reach {server}/api/v1/events?since=2026-11-21T00:00:00.000Z&order=asc&limit=1000: ");
    assert!(run.stderr.starts_with(&words) && run.stderr.contains("is the daemon running"), "{run:?}");
    assert!(run.stderr.contains("give --journal FILE"), "{run:?}");
    let run = cachewatch(&["events", "--journal", "/nonexistent/journal.db", "--server", &server]).run();
    assert!(run.code == Some(3) && run.stderr.contains("give only one of them"), "{run:?}");
    let run = cachewatch(&["events", "--journal", "/nonexistent/journal.db"]).env("CACHEWATCH_SERVER", &server).run();
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("cannot read the journal /nonexistent/journal.db: there is no such file"), "{run:?}");
}

/// What `cachewatch events` is told by the daemon is what its API says, in the moment between two looks at that.
#[track_caller]
fn told_as_the_api_says(daemon: &Daemon, call: Call) -> Value {
    let before = kept(daemon, "");
    let run = call.run();
    let after = kept(daemon, "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let document = run.json();
    let mut events = document["events"].as_array().unwrap().clone();
    for event in &mut events {
        // What it says beyond the API: for how long it was so.
        for more in ["lasted_seconds", "still"] {
            event.as_object_mut().unwrap().remove(more).unwrap();
        }
    }
    assert!(before.len() >= 2 && events.starts_with(&before) && after.starts_with(&events), "{events:#?}\n{after:#?}");
    document
}

#[test]
fn a_guarded_daemon_tells_its_events_to_who_shows_who_he_is() {
    let fleet = Fleet::new();
    let directory = TempDir::new().unwrap();
    let users = directory.path().join("users");
    // The cheapest hash that is taken.
    fs::write(&users, format!("alice:{}\n", bcrypt::hash("open-sesame", 4).unwrap())).unwrap();
    let guard = format!("[server]\nbasic_auth_file = \"{}\"\n", users.display());
    let daemon = Daemon::start(&(guard + &fleet.configuration(&["orders"])));
    let server = format!("http://{}", daemon.address());
    let call = |options: &[&str]| {
        let arguments = [&["events", "--server", &server], options].concat();
        cachewatch(&arguments).env("CACHEWATCH_SERVER_PASSWORD", "open-sesame").run()
    };
    let run = call(&["--user", "alice"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert!(run.stdout.contains("started"), "{run:?}");
    let run = call(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
    assert!(run.stderr.starts_with(&format!("{server}/api/v1/events?")), "{run:?}");
    assert!(run.stderr.contains(": 401: ") && run.stderr.contains("give --user NAME"), "{run:?}");
}

#[test]
fn systemd_says_where_the_journal_lies() {
    let place = Place::new();
    let config = place.configure(&place.fleet.configuration(&["orders"]));
    let state = place.directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let directories = format!("{}:/elsewhere", state.display());
    let daemon = Daemon::start_with(&["--config", &config], &[("STATE_DIRECTORY", &directories)]);
    wait_for_event(&daemon, "cache_added orders");
    let run = cachewatch(&["events"]).env("STATE_DIRECTORY", &directories).run();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("orders") && run.stdout.contains("started"), "{run:?}");
    assert!(state.join("journal.db").exists());
}
