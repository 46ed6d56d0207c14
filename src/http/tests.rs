//! The paths as a client sees them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tower::ServiceExt;

use super::router::router;
use super::*;
use crate::clock;
use crate::config;
use crate::model::{Cache, CacheName, DialOverride, Event, EventKind, Round, Severity};
use crate::sink::journal::{Limits, Settings};
use crate::sink::{Board, Journal, Loop, Metrics, Pulse, fixture};

/// A guard that asks nobody who they are.
fn open() -> Arc<Guard> {
    Arc::new(Guard::load(&config::load(&config::Inputs::default()).unwrap().server).unwrap())
}

/// A daemon with one cache, `orders`, and what a test needs to move it.
struct Daemon {
    state: AppState,
    cache: Cache,
    reloads: mpsc::Receiver<Reload>,
    accepts: mpsc::Receiver<Accept>,
    stop: watch::Sender<bool>,
}

impl Daemon {
    fn new() -> Self {
        let (reload, reloads) = mpsc::channel(1);
        let (accept, accepts) = mpsc::channel(1);
        let metrics = Arc::new(Metrics::new("1.2.3", "abc"));
        let limits = Limits { retention: Duration::from_hours(24), max_size: 1 << 20 };
        let (journal, _) =
            Journal::start(Settings { path: None, limits }, Arc::clone(&metrics), Arc::default()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let state = AppState {
            board: Arc::new(Board::new()),
            metrics,
            pulse: Arc::new(Pulse::new()),
            standstill: Duration::from_secs(10),
            reload,
            accept,
            journal,
            streams: Streams::new(stopped, 256),
        };
        let daemon = Self { state, cache: fixture::cache("orders"), reloads, accepts, stop };
        daemon.configure(&daemon.cache);
        daemon
    }

    fn configure(&self, cache: &Cache) {
        self.state.board.add_cache(Arc::new(cache.clone()));
        self.state.board.configured(fixture::start());
        self.state.metrics.add_cache(cache);
    }

    /// A round that has just been walked.
    fn observe(&self, mut round: Round) {
        fixture::lookup(&mut round).at = clock::now();
        self.state.board.observe(&round);
        self.state.metrics.observe(&round);
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], peer: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        router(self.state.clone(), open()).oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        text(self.ask(Method::GET, path, &[], "127.0.0.1:1").await).await
    }

    async fn json(&self, path: &str) -> (StatusCode, Value) {
        let (status, text) = self.get(path).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["schema_version"], 1, "{path}");
        (status, document)
    }
}

async fn text(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn health_of_the_caches_is_not_good_before_there_is_evidence() {
    let daemon = Daemon::new();
    let (status, document) = daemon.json("/healthz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let unknown = json!({
        "schema_version": 1, "healthy": false,
        "caches": [{"cache": "orders", "standing": "unknown", "probed_at": null, "findings": [], "doubts": [], "next_probe_at": null}],
        "configuration_refused": null,
    });
    assert_eq!(document, unknown);

    daemon.observe(fixture::healthy(&daemon.cache));
    for path in ["/healthz", "/healthz/orders"] {
        let (status, document) = daemon.json(path).await;
        assert_eq!((status, &document["healthy"]), (StatusCode::OK, &json!(true)), "{path}");
        assert_eq!(document["caches"][0]["standing"], "well");
    }
}

#[tokio::test]
async fn health_of_the_caches_falls_with_a_serious_finding_only() {
    let daemon = Daemon::new();
    let mut round = fixture::name_not_found(&daemon.cache);
    daemon.observe(round.clone());
    let (status, document) = daemon.json("/healthz/orders").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let complaint = json!([{
        "finding": "dns-name-not-found", "severity": 1, "stage": "resolve",
        "summary": "orders.redis.cache.windows.net does not exist", "since": "2023-11-14T22:13:50.000Z",
    }]);
    assert_eq!(document["caches"][0]["findings"], complaint);
    assert_eq!(daemon.get("/livez").await.0, StatusCode::OK, "the monitor is well though its cache is not");

    round.verdict.open[0].severity = Severity::Risk;
    daemon.observe(round);
    let (status, document) = daemon.json("/healthz").await;
    assert_eq!((status, &document["caches"][0]["standing"]), (StatusCode::OK, &json!("at_risk")));
}

#[tokio::test]
async fn health_says_how_far_the_judgement_is_and_when_it_goes_on() {
    let daemon = Daemon::new();
    let failed = fixture::name_not_found(&daemon.cache);
    let next = Some(fixture::start().plus(Duration::from_secs(30)));
    daemon.observe(Round { next, ..fixture::suspicious(failed) });
    let (_, document) = daemon.json("/healthz/orders").await;
    let cache = &document["caches"][0];
    let doubt = json!([{
        "finding": "auth-required", "severity": 1, "stage": "auth", "summary": "the server asks for a password",
        "bad_rounds": 1, "open_after": 2,
    }]);
    assert_eq!((&cache["standing"], &cache["doubts"]), (&json!("unknown"), &doubt));
    assert_eq!(cache["next_probe_at"], "2023-11-14T22:13:50.000Z");
    daemon.observe(fixture::healthy(&daemon.cache));
    assert_eq!(daemon.json("/healthz/orders").await.1["caches"][0]["doubts"], json!([]));
}

#[tokio::test]
async fn a_refused_configuration_is_told_and_ends_no_life() {
    let daemon = Daemon::new();
    daemon.state.board.configuration_refused(fixture::start(), &["a.toml:7: no".to_owned(), "b".to_owned()]);
    let words = "alive\nthe new configuration is refused since 2023-11-14 22:13:20Z, the old one stays: a.toml:7: no \
                 (and 1 more)\n";
    assert_eq!(daemon.get("/livez").await, (StatusCode::OK, words.to_owned()));
    let refused = json!({"at": "2023-11-14T22:13:20.000Z", "problems": ["a.toml:7: no", "b"]});
    assert_eq!(daemon.json("/healthz").await.1["configuration_refused"], refused);
}

#[tokio::test]
async fn readiness_waits_for_every_cache() {
    let daemon = Daemon::new();
    let waiting = (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first report of orders\n".to_owned());
    assert_eq!(daemon.get("/readyz").await, waiting);
    daemon.observe(fixture::name_not_found(&daemon.cache));
    assert_eq!(daemon.get("/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
    daemon.configure(&fixture::cache("sessions"));
    assert_eq!(daemon.get("/-/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_stranger_learns_no_name_of_a_cache() {
    let daemon = Daemon::new();
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    std::fs::write(&users, format!("alice:{}\n", bcrypt::hash("open-sesame", 4).unwrap())).unwrap();
    let mut server = config::load(&config::Inputs::default()).unwrap().server;
    server.basic_auth_file = Some(users);
    let router = router(daemon.state.clone(), Arc::new(Guard::load(&server).unwrap()));
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let said = text(router.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(said, (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first report of 1 caches\n".to_owned()));
    daemon.state.board.configuration_refused(fixture::start(), &["caches.orders: no host".to_owned()]);
    let request = Request::get("/livez").body(Body::empty()).unwrap();
    assert_eq!(text(router.oneshot(request).await.unwrap()).await, (StatusCode::OK, "alive\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn liveness_falls_when_a_loop_stands_still() {
    let daemon = Daemon::new();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(daemon.get("/-/healthy").await.0, StatusCode::SERVICE_UNAVAILABLE);
    daemon.state.pulse.begin();
    assert_eq!(daemon.get("/livez").await, (StatusCode::OK, "alive\n".to_owned()));
}

/// What was judged before says nothing of now; and a disk that hangs is no reason for a restart.
#[tokio::test(start_paused = true)]
async fn a_judge_that_stands_still_makes_no_cache_look_well() {
    let daemon = Daemon::new();
    daemon.observe(fixture::healthy(&daemon.cache));
    assert_eq!(daemon.get("/healthz").await.0, StatusCode::OK);
    let all_but = |which: Loop| {
        Loop::ALL.iter().filter(|other| **other != which).for_each(|other| daemon.state.pulse.turned(*other));
    };
    tokio::time::advance(Duration::from_secs(11)).await;
    all_but(Loop::Dispatch);
    let (status, words) = daemon.get("/livez").await;
    assert_eq!(
        (status, words.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "the dispatch loop of the daemon has made no progress for 11 s\n")
    );
    for path in ["/healthz", "/healthz/orders"] {
        assert_eq!(daemon.get(path).await.0, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let (_, scrape) = daemon.get("/metrics").await;
    assert!(scrape.contains("cachewatch_loop_up{loop=\"dispatch\"} 0"), "{scrape}");
    assert!(!scrape.contains("cachewatch_probe_success{"), "{scrape}");

    daemon.state.pulse.waits_for_disk(Loop::Journal);
    tokio::time::advance(Duration::from_secs(11)).await;
    all_but(Loop::Journal);
    let (status, words) = daemon.get("/livez").await;
    assert_eq!(status, StatusCode::OK);
    assert!(words.starts_with("alive\nthe journal loop has waited for a disk for "), "{words}");
    assert_eq!(daemon.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_cache_is_told_with_its_report_and_its_overrides() {
    let mut daemon = Daemon::new();
    let to = "127.0.0.1:7000".parse().unwrap();
    daemon.cache.connect_to = vec![DialOverride { address: "10.20.1.4".parse().unwrap(), port: None, to }];
    daemon.configure(&daemon.cache);
    daemon.observe(fixture::healthy(&daemon.cache));

    let (status, document) = daemon.json("/api/v1/caches/orders").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(document["connect_to"], json!(["10.20.1.4=127.0.0.1:7000"]));
    let leg = &document["report"]["legs"][0];
    assert_eq!((&leg["address"], &leg["dialled"]), (&json!("10.20.1.4"), &json!("127.0.0.1:7000")));
    assert_eq!(leg["timings_seconds"], json!({"connect": 0.004, "tls": 0.008, "ping": 0.016}));
    let clients = json!({"connected": 750, "limit": 7500, "limit_source": "server", "headroom_ratio": 0.9});
    assert_eq!(document["clients"], clients);

    assert_eq!(document["lookup"], json!(null));
    daemon.observe(fixture::looked_up(&daemon.cache, &["20.50.1.2"]));
    let (_, document) = daemon.json("/api/v1/caches/orders").await;
    let address = |report: &str| document[report]["resolutions"][0]["addresses"][0]["address"].clone();
    assert_eq!((address("report"), address("lookup")), (json!("10.20.1.4"), json!("20.50.1.2")));
    assert_eq!(
        document["report"]["legs"].as_array().map(Vec::len),
        Some(1),
        "of its stages the probe is still the last"
    );

    let (_, list) = daemon.json("/api/v1/caches").await;
    let names: Vec<_> = list["caches"].as_array().unwrap().iter().map(|cache| &cache["name"]).collect();
    assert_eq!(names, ["orders"]);
    assert!(list["caches"][0].get("report").is_none(), "the list is short");
}

#[tokio::test]
async fn findings_are_told_as_the_contract_says() {
    let daemon = Daemon::new();
    daemon.observe(fixture::name_not_found(&daemon.cache));
    let (_, document) = daemon.json("/api/v1/findings").await;
    let expected = json!([{
        "id": "dns-name-not-found", "severity": 1, "cache": "orders", "stage": "resolve",
        "summary": "orders.redis.cache.windows.net does not exist", "evidence": ["10.0.0.4:53 says NXDOMAIN"],
        "remedy": ["az redis show --name orders"], "since": "2023-11-14T22:13:50.000Z",
    }]);
    assert_eq!(document["findings"], expected);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let daemon = Daemon::new();
    let response = daemon.ask(Method::GET, "/metrics", &[], "127.0.0.1:1").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    assert!(text(response).await.1.contains("\ncachewatch_probes_total{cache=\"orders\"} 0\n"));
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let daemon = Daemon::new();
    for path in ["/nowhere", "/api/v1/caches/nobody", "/healthz/nobody", "/healthz/%3Cscript%3E"] {
        let (status, document) = daemon.json(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!document.to_string().contains("script"), "{document}");
    }
    for (method, path, allowed) in [(Method::POST, "/healthz", "GET,HEAD"), (Method::GET, "/-/reload", "POST")] {
        let response = daemon.ask(method, path, &[], "127.0.0.1:1").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(response.headers()["allow"], allowed, "{path}");
    }
}

#[tokio::test]
async fn every_answer_forbids_scripts_but_the_one_of_the_page() {
    let daemon = Daemon::new();
    for path in ["/", "/caches/orders", "/caches/nobody"] {
        let response = daemon.ask(Method::GET, path, &[], "127.0.0.1:1").await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        let page = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';";
        assert!(policy.starts_with(page) && !policy.contains("unsafe"), "{path}");
        let status = if path.ends_with("nobody") { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let (said, page) = text(response).await;
        assert!(said == status && page.contains("<main") && !page.contains("nobody"), "{path}: {page}");
    }
    for path in ["/assets/page.css", "/assets/page.js", "/metrics", "/livez", "/api/v1/caches", "/nowhere"] {
        let response = daemon.ask(Method::GET, path, &[], "127.0.0.1:1").await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer", "{path}");
    }
}

#[tokio::test]
async fn a_reload_answers_what_came_of_it() {
    let mut daemon = Daemon::new();
    for (answer, status, words) in [
        (Ok("2 caches in use".to_owned()), StatusCode::OK, "2 caches in use\n"),
        (
            Err("caches.orders.prot: unknown key, did you mean port?".to_owned()),
            StatusCode::BAD_REQUEST,
            "caches.orders.prot: unknown key, did you mean port?\n",
        ),
    ] {
        let state = daemon.state.clone();
        let asked = tokio::spawn(async move {
            let mut request = Request::post("/-/reload").body(Body::empty()).unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
            text(router(state, open()).oneshot(request).await.unwrap()).await
        });
        daemon.reloads.recv().await.unwrap().send(answer).unwrap();
        assert_eq!(asked.await.unwrap(), (status, words.to_owned()));
    }
    daemon.reloads.close();
    let response = daemon.ask(Method::POST, "/-/reload", &[], "[::ffff:127.0.0.1]:1").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
}

#[tokio::test]
async fn what_changes_state_is_taken_from_this_machine_only() {
    let mut daemon = Daemon::new();
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("10.0.0.9:1", &[]),
        ("[2001:db8::1]:1", &[]),
        ("127.0.0.1:1", &[("x-forwarded-for", "10.0.0.9")]),
        ("127.0.0.1:1", &[("via", "1.1 proxy")]),
        ("127.0.0.1:1", &[("x-real-ip", "10.0.0.9")]),
        ("127.0.0.1:1", &[("origin", "https://evil.example")]),
        ("127.0.0.1:1", &[("sec-fetch-site", "cross-site")]),
    ];
    for path in ["/-/reload", "/api/v1/caches/orders/baseline"] {
        for (peer, headers) in cases {
            let response = daemon.ask(Method::POST, path, headers, peer).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path} {peer} {headers:?}");
        }
    }
    assert!(
        daemon.reloads.try_recv().is_err() && daemon.accepts.try_recv().is_err(),
        "nothing was asked of the daemon"
    );
}

#[tokio::test]
async fn an_accepted_baseline_is_answered_with_what_was_accepted() {
    let mut daemon = Daemon::new();
    let event = Event::new(fixture::start(), Some(daemon.cache.name.clone()), EventKind::BaselineAccepted);
    let event = event.change("10.0.0.4", "10.0.0.5");
    let nothing = AcceptError::Nothing("no resolver has answered yet".to_owned());
    for (answer, status, field, told) in [
        (Ok(vec![event.clone()]), StatusCode::OK, "accepted", json!([event])),
        (Err(nothing), StatusCode::CONFLICT, "error", json!("no resolver has answered yet")),
        (
            Err(AcceptError::NoSuchCache),
            StatusCode::NOT_FOUND,
            "error",
            json!("no cache of that name is configured; GET /api/v1/caches lists them"),
        ),
    ] {
        let path = "/api/v1/caches/orders/baseline";
        let asked = daemon.state.clone();
        let asked = tokio::spawn(async move {
            let mut request = Request::post(path).body(Body::empty()).unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
            text(router(asked, open()).oneshot(request).await.unwrap()).await
        });
        let question = daemon.accepts.recv().await.unwrap();
        assert_eq!(question.cache, "orders");
        question.answer.send(answer).unwrap();
        let (said, body) = asked.await.unwrap();
        let document: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((said, &document[field], &document["schema_version"]), (status, &told, &json!(1)));
    }
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let daemon = Daemon::new();
    for (size, status) in [(64 << 10, StatusCode::FORBIDDEN), ((64 << 10) + 1, StatusCode::PAYLOAD_TOO_LARGE)] {
        let mut request = Request::post("/-/reload").body(Body::from(vec![0; size])).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 1))));
        assert_eq!(router(daemon.state.clone(), open()).oneshot(request).await.unwrap().status(), status, "{size}");
    }
}

#[tokio::test]
async fn a_shutdown_ends_the_service() {
    let daemon = Daemon::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let service = tokio::spawn(serve(listener, daemon.state.clone(), open(), 4, shutdown));
    stop.send(()).unwrap();
    service.await.unwrap();
}

/// So many events, kept one after the other; their ids.
async fn happen(daemon: &Daemon, count: u64) -> Vec<u64> {
    let mut live = daemon.state.journal.subscribe();
    let at = clock::now();
    let mut ids = Vec::new();
    for number in 0..count {
        let event = Event::new(at, Some(CacheName::new("orders")), EventKind::AddressesChanged);
        daemon.state.journal.record(&[event.change("10.0.0.4", &number.to_string())], None);
        ids.push(live.recv().await.unwrap().id);
    }
    ids
}

#[tokio::test]
async fn events_are_given_page_by_page() {
    let daemon = Daemon::new();
    let ids = happen(&daemon, 5).await;
    let (status, document) = daemon.json("/api/v1/events?limit=2&cache=orders").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(document["journal"], json!({"kept_in": "memory", "up": true, "lost": 0, "left_out": 0}));
    let event = json!({
        "id": ids[4], "durable": false, "at": document["events"][0]["at"], "cache": "orders", "kind": "addresses_changed",
        "finding": null, "severity": null, "resolver": null, "before": "10.0.0.4", "after": "4",
        "before_lasted_seconds": null, "evidence": [],
    });
    assert_eq!(document["events"][0], event);
    let mut seen = vec![];
    let mut next = Some("/api/v1/events?limit=2&cache=orders&since=1h".to_owned());
    while let Some(path) = next {
        let (_, document) = daemon.json(&path).await;
        seen.extend(document["events"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()));
        next = document["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ids.iter().rev().copied().collect::<Vec<_>>());
    let (status, document) = daemon.json("/api/v1/events?limit=0").await;
    assert_eq!((status, &document["error"]), (StatusCode::BAD_REQUEST, &json!("limit: a number from 1 to 1000")));
    assert_eq!(daemon.json("/api/v1/events?sinse=1h").await.0, StatusCode::BAD_REQUEST);
}

/// A stream, read frame by frame.
struct Reading(axum::body::BodyDataStream);

impl Reading {
    async fn open(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = daemon.ask(Method::GET, path, headers, "127.0.0.1:1").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body().into_data_stream())
    }

    /// The id of the next event; `None` at the end.
    async fn next(&mut self) -> Option<u64> {
        let frame = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("it says something");
        let text = String::from_utf8(frame?.unwrap().to_vec()).unwrap();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let data: Value = serde_json::from_str(&field("data:")).unwrap();
        let id = field("id:").parse().unwrap();
        assert_eq!((&data["schema_version"], &data["id"]), (&json!(1), &json!(id)));
        assert_eq!(data["kind"].as_str(), Some(field("event:").as_str()));
        Some(id)
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left_without_a_gap_and_nothing_twice() {
    let daemon = Daemon::new();
    let before = happen(&daemon, 500).await;
    let seen = before[249].to_string();
    let mut from_now = Reading::open(&daemon, "/api/v1/stream", &[]).await;
    let mut resumed = Reading::open(&daemon, "/api/v1/stream", &[("last-event-id", &seen)]).await;
    let mut by_parameter = Reading::open(&daemon, &format!("/api/v1/stream?last_event_id={seen}"), &[]).await;
    // An id that this journal never gave.
    let mut of_another = Reading::open(&daemon, "/api/v1/stream?last_event_id=9007199254740991", &[]).await;
    // More than a reader may lag behind, and while none of them reads.
    let after = happen(&daemon, 1_500).await;
    let expected = [&before[250..], &after].concat();
    for id in &expected {
        assert_eq!(resumed.next().await, Some(*id));
        assert_eq!(by_parameter.next().await, Some(*id));
    }
    for id in &after {
        assert_eq!(from_now.next().await, Some(*id));
        assert_eq!(of_another.next().await, Some(*id));
    }
    let last = happen(&daemon, 1).await;
    assert_eq!(from_now.next().await, Some(last[0]));

    daemon.stop.send(true).unwrap();
    for stream in [&mut resumed, &mut by_parameter, &mut of_another, &mut from_now] {
        let rest = stream.next().await;
        assert!(rest.is_none(), "a stream goes on after the end: {rest:?}");
    }
}

#[tokio::test]
async fn streams_are_counted() {
    let daemon = Daemon::new();
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Reading::open(&daemon, "/api/v1/stream", &[]).await);
    }
    let (status, document) = daemon.json("/api/v1/stream").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(document["error"].as_str().unwrap().starts_with("too many streams: 64 are open"), "{document}");
    streams.pop();
    streams.push(Reading::open(&daemon, "/api/v1/stream", &[]).await);
    assert_eq!(daemon.json("/api/v1/stream?last_event_id=x").await.0, StatusCode::BAD_REQUEST);
}
