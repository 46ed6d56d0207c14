//! `cachewatch run` over its life: start, every change it must show, reload, and end.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![expect(clippy::float_cmp, reason = "a scrape holds whole numbers, and they come through unharmed")]

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::symlink, net::UnixDatagram},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testlab::{
    PATIENCE,
    dns::Answer,
    fleet::{Fleet, PASSWORD, PUBLIC, host},
    http,
    net::Namespace,
    peer::{Peer, Replies, Step},
    process::Process,
    program::{Daemon, cachewatch, field},
    scrape::{Sample, Scrape},
};

const ORDERS: &[(&str, &str)] = &[("cache", "orders")];

/// How many rounds of this cache have ended.
fn rounds(daemon: &Daemon, cache: &str) -> f64 {
    daemon.scrape().value("cachewatch_probes_total", &[("cache", cache)]).unwrap_or_default()
}

/// What the metrics say once a round has ended that began after this call: one interval later, on any machine.
fn next_round(daemon: &Daemon, cache: &str) -> Scrape {
    // One round may be under way, and have begun before.
    let wanted = rounds(daemon, cache) + 2.0;
    daemon.wait_until("two more rounds", |daemon| {
        let scrape = daemon.scrape();
        let ended = scrape.value("cachewatch_probes_total", &[("cache", cache)]);
        (ended >= Some(wanted)).then_some(scrape)
    })
}

/// Every series of a cache with its value, but histograms and the values that time alone changes.
fn state(scrape: &Scrape, cache: &str) -> Vec<String> {
    const MOVING: [&str; 2] = ["cachewatch_probes_total", "cachewatch_last_probe_timestamp_seconds"];
    let is_histogram = |name: &str| ["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
    let own = scrape.0.iter().filter(|sample| sample.labels.get("cache").is_some_and(|label| label == cache));
    let mut lines: Vec<_> = own
        .filter(|sample| !is_histogram(&sample.name) && !MOVING.contains(&sample.name.as_str()))
        .map(|sample| {
            let is_label = |(name, _): &(&String, &String)| *name != "cache";
            let labels: Vec<_> = sample.labels.iter().filter(is_label).map(|(_, label)| label.as_str()).collect();
            let value = if sample.name.contains("timestamp") { "_".to_owned() } else { sample.value.to_string() };
            format!("{} [{}] {value}", sample.name.trim_start_matches("cachewatch_"), labels.join(" "))
        })
        .collect();
    lines.sort();
    lines
}

/// What went (`-`) and what came (`+`) from one state to another.
fn changes(before: &[String], after: &[String]) -> Vec<String> {
    let only_in = |one: &[String], other: &[String], mark: char| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).map(|line| format!("{mark} {line}")).collect()
    };
    [only_in(before, after, '-'), only_in(after, before, '+')].concat()
}

/// The findings that metrics call open, with their severities.
fn open(scrape: &Scrape, cache: &str) -> Vec<String> {
    let open = scrape.all("cachewatch_finding_open", &[("cache", cache)]);
    let shown = |sample: &Sample| format!("{} {}", sample.labels["finding"], sample.labels["severity"]);
    open.into_iter().filter(|sample| sample.value == 1.0).map(shown).collect()
}

fn wait_for_open(daemon: &Daemon, cache: &str, findings: &[&str]) -> Scrape {
    daemon.wait_until(&format!("{findings:?} open"), |daemon| {
        let scrape = daemon.scrape();
        (open(&scrape, cache) == findings).then_some(scrape)
    })
}

/// Starts a daemon on these caches of the fleet and waits until each had its first round.
fn watching(fleet: &Fleet, names: &[&str]) -> Daemon {
    let daemon = Daemon::start(&fleet.configuration(names));
    ready(&daemon);
    daemon
}

fn ready(daemon: &Daemon) {
    daemon.wait_until("ready", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
}

#[test]
fn a_taken_port_ends_the_start_before_any_probe() {
    let fleet = Fleet::new();
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let resolver = fleet.names.address().to_string();
    let arguments = ["run", "orders.redis.cache.windows.net", "--resolver", &resolver];
    let run = cachewatch(&arguments).env("CACHEWATCH__SERVER__LISTEN", &address).run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
    assert!(run.stderr.contains(&format!("cannot listen on {address}: Address already in use")), "{run:?}");
    assert_eq!(fleet.names.asked(), []);
}

#[test]
fn bare_hosts_need_no_file() {
    let fleet = Fleet::new();
    for name in ["orders", "carts"] {
        fleet.lead(name, [127, 0, 0, 1]);
    }
    let (orders, carts) = (format!("{}:{}", host("orders"), fleet.server.port()), host("carts"));
    let carts = format!("{carts}:{}", fleet.server.port());
    let both = format!(" {orders} ,{carts}");
    let resolver = fleet.names.address().to_string();
    let (ca, password) = (fleet.ca_file(), fleet.password_file());
    let options =
        [("CACHEWATCH_RESOLVER", &*resolver), ("CACHEWATCH_CA_FILE", &ca), ("CACHEWATCH_PASSWORD_FILE", &password)];
    for (arguments, environment, caches) in [
        (&[orders.as_str()][..], vec![], vec![host("orders")]),
        (&[&orders, &carts], vec![], vec![host("carts"), host("orders")]),
        (&[], vec![("CACHEWATCH_TARGETS", both.as_str())], vec![host("carts"), host("orders")]),
        (&[], vec![("CACHEWATCH_TARGETS", carts.as_str()), ("CACHEWATCH_NO_TLS", "false")], vec![host("carts")]),
    ] {
        let daemon = Daemon::start_with(arguments, &[&options[..], &environment].concat());
        ready(&daemon);
        let health = daemon.get("/healthz");
        let document = health.json();
        let watched: Vec<_> = document["caches"].as_array().unwrap().iter().map(|cache| &cache["cache"]).collect();
        assert_eq!((health.status, json!(watched)), (200, json!(caches)), "{document}");
    }
}

#[test]
fn ready_means_that_every_cache_had_its_first_report() {
    let fleet = Fleet::new();
    fleet.server.pause();
    let probe = "interval = \"1m\"\ntimeout = \"50s\"\ntls_timeout = \"50s\"";
    fleet.lead("orders", [10, 20, 1, 4]);
    let daemon = Daemon::start(&(fleet.settings(probe) + &fleet.cache("orders", "")));
    for path in ["/readyz", "/-/ready"] {
        let answer = daemon.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (503, "waiting for the first report of orders\n"));
    }
    let health = daemon.get("/healthz");
    assert_eq!((health.status, &health.json()["caches"][0]["standing"]), (503, &json!("unknown")));
    assert_eq!(daemon.get("/livez").status, 200);
    fleet.server.resume();
    ready(&daemon);
    for (path, status) in [("/-/ready", 200), ("/healthz", 200), ("/livez", 200), ("/-/healthy", 200)] {
        assert_eq!(daemon.get(path).status, status, "{path}");
    }
}

/// Every series of the one cache while all is well.
fn healthy_state(version: &str) -> [String; 26] {
    let dns = |class: &str, count: u8| format!("dns_addresses [{class} lab] {count}");
    let info = format!("cache_info [public {} private_endpoint 6380 azure_cache_for_redis ] 1", host("orders"));
    [
        "address_reachable [reachable] 1".to_owned(),
        "address_reachable [unreachable] 0".to_owned(),
        info,
        "clients_connected [endpoint] 1".to_owned(),
        "clients_headroom_ratio [endpoint] 0.9999".to_owned(),
        "clients_limit [endpoint server] 10000".to_owned(),
        "dns_address_info [10.20.1.4 private lab] 1".to_owned(),
        dns("link_local", 0),
        dns("loopback", 0),
        dns("other", 0),
        dns("private", 1),
        dns("public", 0),
        dns("shared", 0),
        "dns_as_expected [lab] 1".to_owned(),
        "dns_changes_total [lab] 0".to_owned(),
        "dns_privatelink_alias [lab] 1".to_owned(),
        "dns_ttl_seconds [lab] 10".to_owned(),
        "lookups_total [] 0".to_owned(),
        "probe_success [] 1".to_owned(),
        "rejected_connections_total [endpoint] 0".to_owned(),
        "retirement_timestamp_seconds [] _".to_owned(),
        format!("server_info [standalone {version} primary] 1"),
        "tls_certificate_not_after_timestamp_seconds [chain] _".to_owned(),
        "tls_certificate_not_after_timestamp_seconds [leaf] _".to_owned(),
        "tls_chain_verified [] 1".to_owned(),
        "tls_info [TLS_AES_256_GCM_SHA384 TLSv1.3] 1".to_owned(),
    ]
}

#[test]
fn metrics_and_health_follow_the_server() {
    let mut fleet = Fleet::new();
    let daemon = watching(&fleet, &["orders"]);
    let healthy = state(&next_round(&daemon, "orders"), "orders");
    let version = fleet.server.command(&["INFO", "server"]);
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap();
    assert_eq!(healthy, healthy_state(version));

    fleet.server.stop();
    let refused = |scrape: &Scrape| {
        let labels = [("cache", "orders"), ("stage", "connect"), ("reason", "refused")];
        scrape.value("cachewatch_probe_failures_total", &labels)
    };
    let scrape = next_round(&daemon, "orders");
    let failed = refused(&scrape).unwrap();
    assert!(failed >= 1.0);
    let gone: Vec<_> = changes(&healthy, &state(&scrape, "orders"))
        .into_iter()
        .filter(|line| !["finding", "probe_failures"].iter().any(|counted| line.contains(counted)))
        .collect();
    assert_eq!(
        gone,
        [
            "- address_reachable [reachable] 1".to_owned(),
            "- address_reachable [unreachable] 0".to_owned(),
            "- clients_connected [endpoint] 1".to_owned(),
            "- clients_headroom_ratio [endpoint] 0.9999".to_owned(),
            "- clients_limit [endpoint server] 10000".to_owned(),
            "- probe_success [] 1".to_owned(),
            format!("- server_info [standalone {version} primary] 1"),
            "- tls_certificate_not_after_timestamp_seconds [chain] _".to_owned(),
            "- tls_certificate_not_after_timestamp_seconds [leaf] _".to_owned(),
            "- tls_chain_verified [] 1".to_owned(),
            "- tls_info [TLS_AES_256_GCM_SHA384 TLSv1.3] 1".to_owned(),
            "+ address_reachable [reachable] 0".to_owned(),
            "+ address_reachable [unreachable] 1".to_owned(),
            "+ probe_success [] 0".to_owned(),
        ]
    );

    wait_for_open(&daemon, "orders", &["tcp-refused 1"]);
    let health = daemon.wait_until("ill", |daemon| Some(daemon.get("/healthz/orders")).filter(|got| got.status == 503));
    let document = health.json();
    let complaint = &document["caches"][0]["findings"][0];
    let since = complaint["since"].as_str().unwrap();
    let summary = format!("{}:6380 at 10.20.1.4 (private) refuses connections on port 6380", host("orders"));
    assert_eq!(
        document,
        json!({
            "schema_version": 1, "healthy": false,
            "caches": [{
                "cache": "orders", "standing": "ill", "probed_at": document["caches"][0]["probed_at"],
                "findings": [{
                    "finding": "tcp-refused", "severity": 1, "stage": "connect", "summary": summary, "since": since,
                }],
                "doubts": [], "next_probe_at": document["caches"][0]["next_probe_at"],
            }],
            "configuration_refused": null,
        })
    );
    for (path, status) in
        [("/healthz", 503), ("/livez", 200), ("/-/healthy", 200), ("/readyz", 200), ("/healthz/carts", 404)]
    {
        assert_eq!(daemon.get(path).status, status, "{path}");
    }

    fleet.server.restart();
    let scrape = next_round(&daemon, "orders");
    let stable = refused(&scrape);
    assert_eq!(scrape.value("cachewatch_probe_success", ORDERS), Some(1.0));
    let scrape = wait_for_open(&daemon, "orders", &[]);
    assert_eq!(refused(&scrape), stable);
    let left: Vec<_> = changes(&healthy, &state(&scrape, "orders"));
    assert_eq!(
        left,
        [
            "+ finding_open [tcp-refused 1] 0".to_owned(),
            "+ findings_total [tcp-refused 1] 1".to_owned(),
            format!("+ probe_failures_total [refused connect] {}", stable.unwrap()),
        ]
    );
    daemon.wait_until("well again", |daemon| (daemon.get("/healthz").status == 200).then_some(()));
}

#[test]
fn metrics_follow_the_name() {
    let fleet = Fleet::new();
    let daemon = watching(&fleet, &["orders"]);
    let private = state(&next_round(&daemon, "orders"), "orders");

    fleet.lead("orders", PUBLIC);
    let scrape = next_round(&daemon, "orders");
    let public = state(&scrape, "orders");
    assert_eq!(
        changes(&private, &public),
        [
            "- dns_address_info [10.20.1.4 private lab] 1",
            "- dns_addresses [private lab] 1",
            "- dns_addresses [public lab] 0",
            "- dns_as_expected [lab] 1",
            "- dns_changes_total [lab] 0",
            "+ dns_address_info [20.50.1.10 public lab] 1",
            "+ dns_addresses [private lab] 0",
            "+ dns_addresses [public lab] 1",
            "+ dns_as_expected [lab] 0",
            "+ dns_changes_total [lab] 1",
            "+ dns_last_change_timestamp_seconds [lab] _",
            "+ finding_open [dns-drift 2] 1",
            "+ finding_open [dns-zone-not-linked 2] 1",
            "+ findings_total [dns-drift 2] 1",
            "+ findings_total [dns-zone-not-linked 2] 1",
        ]
    );
    let first_public = daemon.wait_for_record(|record| {
        let finding = field(record, "finding")?;
        (finding == "dns-zone-not-linked").then(|| (field(record, "event").map(str::to_owned), record["level"].clone()))
    });
    assert_eq!(first_public, (Some("finding_opened".to_owned()), json!("WARN")));

    // Nothing is learned from a lookup that fails: findings stay, measurements go.
    fleet.names.set(&host("orders"), Answer::new().servfail());
    next_round(&daemon, "orders");
    let scrape = wait_for_open(&daemon, "orders", &["dns-drift 2", "dns-server-failure 1", "dns-zone-not-linked 2"]);
    let kept: Vec<_> = state(&scrape, "orders").into_iter().filter(|line| !line.contains("_total [")).collect();
    assert_eq!(
        kept,
        [
            format!("cache_info [public {} private_endpoint 6380 azure_cache_for_redis ] 1", host("orders")),
            "dns_last_change_timestamp_seconds [lab] _".to_owned(),
            "finding_open [dns-drift 2] 1".to_owned(),
            "finding_open [dns-server-failure 1] 1".to_owned(),
            "finding_open [dns-zone-not-linked 2] 1".to_owned(),
            "probe_success [] 0".to_owned(),
            "retirement_timestamp_seconds [] _".to_owned(),
        ]
    );

    fleet.lead("orders", [10, 20, 1, 4]);
    let scrape = wait_for_open(&daemon, "orders", &[]);
    let measured = |line: &String| !line.contains("_total [") && !line.contains("finding_open");
    let back: Vec<_> = changes(&private, &state(&scrape, "orders")).into_iter().filter(measured).collect();
    assert_eq!(back, ["+ dns_last_change_timestamp_seconds [lab] _"]);
}

#[test]
fn a_move_from_private_to_public_is_told_in_its_first_round() {
    let fleet = Fleet::new();
    let patient = fleet.configuration(&["orders"]).replacen("[probe]\n", "[probe]\nopen_after = 1000\n", 1);
    let daemon = Daemon::start(&patient);
    ready(&daemon);
    fleet.lead("orders", PUBLIC);
    wait_for_open(&daemon, "orders", &["dns-drift 2", "dns-zone-not-linked 2"]);
}

#[test]
fn a_counter_of_the_server_starts_again_when_the_server_does() {
    let mut fleet = Fleet::with(|builder| builder.max_clients(10));
    let daemon = watching(&fleet, &["orders"]);
    let rejected = |scrape: &Scrape| scrape.value("cachewatch_rejected_connections_total", ORDERS);
    assert_eq!(rejected(&next_round(&daemon, "orders")), Some(0.0));
    // More than it admits; a server turns those away before they say a word.
    let crowd: Vec<_> = (0..20).map(|_| TcpStream::connect(fleet.server.plain_address()).unwrap()).collect();
    let turned_away = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut words = String::new();
        stream.read_to_string(&mut words).unwrap();
        words
    };
    assert_eq!(turned_away(&crowd[19]), "-ERR max number of clients reached\r\n");
    drop(crowd);
    let seen = daemon.wait_until("rejections", |daemon| rejected(&daemon.scrape()).filter(|count| *count >= 10.0));
    fleet.server.restart();
    let again = daemon.wait_until("a smaller count", |daemon| rejected(&daemon.scrape()).filter(|count| *count < seen));
    assert_eq!(again, 0.0);
}

/// Names of the caches that any series of the scrape speaks of.
fn caches_of(scrape: &Scrape) -> Vec<&str> {
    let mut names: Vec<_> =
        scrape.0.iter().filter_map(|sample| sample.labels.get("cache")).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn reloads(daemon: &Daemon) -> Option<f64> {
    daemon.scrape().value("cachewatch_config_last_reload_successful", &[])
}

/// Waits for the event of a reload by this cause, and returns what it says of the result.
fn wait_for_reload(daemon: &Daemon, cause: &str) -> String {
    daemon.wait_for_record(|record| {
        let after = field(record, "event").filter(|event| *event == "config_reloaded").and(field(record, "after"))?;
        after.strip_suffix(&format!(" ({cause})")).map(str::to_owned)
    })
}

#[test]
fn a_reload_keeps_what_did_not_change_and_leaves_no_trace_of_what_went() {
    let mut fleet = Fleet::new();
    let daemon = watching(&fleet, &["carts", "orders"]);
    fleet.server.stop();
    wait_for_open(&daemon, "orders", &["tcp-refused 1"]);
    let complaint = |daemon: &Daemon| {
        let document = daemon.get("/healthz/orders").json();
        document["caches"][0]["findings"][0].clone()
    };
    let before = daemon.wait_until("a complaint", |daemon| Some(complaint(daemon)).filter(|found| !found.is_null()));
    let ended = rounds(&daemon, "orders");
    assert!(ended >= 2.0);

    // By SIGHUP: one cache stays, one goes, one comes.
    daemon.configure(&fleet.configuration(&["orders", "sessions"]));
    daemon.signal(Signal::HUP);
    assert_eq!(wait_for_reload(&daemon, "SIGHUP"), "2 caches, 1 of them unchanged");
    let scrape = daemon.scrape();
    assert_eq!(caches_of(&scrape), ["orders", "sessions"]);
    assert!(scrape.value("cachewatch_probes_total", ORDERS) >= Some(ended));
    assert_eq!(open(&scrape, "orders"), ["tcp-refused 1"]);
    assert_eq!(complaint(&daemon), before, "the finding began anew");
    assert_eq!(daemon.get("/healthz/carts").status, 404);
    // Whatever was under way for the one that went must not bring it back.
    assert_eq!(caches_of(&next_round(&daemon, "orders")), ["orders", "sessions"]);
    let opened = [("cache", "orders"), ("finding", "tcp-refused"), ("severity", "1")];
    assert_eq!(daemon.scrape().value("cachewatch_findings_total", &opened), Some(1.0));

    // By POST: another expectation of the same cache. Its counters go on, and what it says is judged anew.
    let changed = fleet.configuration(&["orders", "sessions"]).replacen("private_endpoint", "public", 1);
    daemon.configure(&changed);
    let ended = rounds(&daemon, "orders");
    let answer = daemon.post("/-/reload");
    assert_eq!((answer.status, answer.body.as_str()), (200, "2 caches, 1 of them unchanged\n"));
    let scrape = next_round(&daemon, "orders");
    assert_eq!(scrape.value("cachewatch_dns_as_expected", ORDERS), Some(0.0));
    assert!(scrape.value("cachewatch_probes_total", ORDERS) > Some(ended));
    let isolation = scrape.all("cachewatch_cache_info", ORDERS);
    let isolation: Vec<_> = isolation.iter().map(|sample| sample.labels["isolation"].as_str()).collect();
    assert_eq!(isolation, ["public"]);
    wait_for_open(&daemon, "orders", &["dns-private-when-public-expected 3", "tcp-refused 1"]);
}

#[test]
fn files_are_taken_up_when_they_change() {
    let fleet = Fleet::new();
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    // As Kubernetes mounts a ConfigMap: the file is a link through a link, and the middle one is exchanged.
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("config.toml"), text).unwrap();
    };
    let point = |to: &str| {
        symlink(to, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    version("..1", &fleet.configuration(&["orders"]));
    point("..1");
    symlink("..data/config.toml", at("config.toml")).unwrap();
    let daemon = Daemon::start_with(&["--config", &at("config.toml").to_string_lossy()], &[]);
    ready(&daemon);
    let watches = |names: &[&str]| {
        daemon.wait_until(&format!("{names:?}"), |daemon| {
            let scrape = daemon.scrape();
            (caches_of(&scrape) == names).then_some(scrape)
        })
    };
    version("..2", &fleet.configuration(&["carts", "orders"]));
    point("..2");
    watches(&["carts", "orders"]);

    // A directory beside it appears with a part, a part is added, one is removed.
    let draft = TempDir::new_in(directory.path()).unwrap().keep();
    fleet.lead("sessions", [10, 20, 1, 4]);
    fs::write(draft.join("10.toml"), fleet.cache("sessions", "")).unwrap();
    fs::rename(&draft, at("conf.d")).unwrap();
    watches(&["carts", "orders", "sessions"]);
    fs::write(at("conf.d").join("20.toml"), fleet.cache("users", "")).unwrap();
    watches(&["carts", "orders", "sessions", "users"]);
    fs::remove_file(at("conf.d").join("10.toml")).unwrap();
    watches(&["carts", "orders", "users"]);

    // In place, as an editor may write.
    fs::write(at("config.toml"), fleet.configuration(&["orders"])).unwrap();
    watches(&["orders", "users"]);
    // The number is told after the caches are.
    daemon.wait_until("two caches", |daemon| {
        (daemon.scrape().value("cachewatch_config_caches", &[]) == Some(2.0)).then_some(())
    });
    assert_eq!(reloads(&daemon), Some(1.0));
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_everywhere() {
    let fleet = Fleet::new();
    let daemon = watching(&fleet, &["orders"]);
    let first = daemon.scrape().value("cachewatch_config_last_reload_success_timestamp_seconds", &[]);
    let good = fleet.configuration(&["orders"]);
    daemon.configure(&format!("{good}isolation = \"privat\"\n[probe]\n"));
    daemon.wait_until("refused", |daemon| (reloads(daemon) == Some(0.0)).then_some(()));

    let bad = format!("{good}\n[[caches]]\nname = \"orders\"\nhost = \"orders.test\"\nisolatoin = \"public\"\n");
    daemon.configure(&bad);
    let answer = daemon.post("/-/reload");
    let lines: Vec<_> = answer.body.lines().collect();
    let wanted = ["orders", "isolatoin"];
    assert_eq!((answer.status, lines.len()), (400, wanted.len()), "{}", answer.body);
    for (line, word) in lines.iter().zip(wanted) {
        assert!(line.contains(word), "{line} says nothing of {word}");
        daemon.wait_for_record(|record| {
            let message = field(record, "message")?;
            message.ends_with(line).then(|| assert_eq!(record["level"], "WARN"))
        });
    }
    let scrape = daemon.scrape();
    assert_eq!(reloads(&daemon), Some(0.0));
    assert_eq!(scrape.value("cachewatch_config_caches", &[]), Some(1.0));
    assert_eq!(scrape.value("cachewatch_config_last_reload_success_timestamp_seconds", &[]), first);
    assert_eq!(caches_of(&scrape), ["orders"]);
    let page = daemon.get("/").body;
    assert!(page.contains("The new configuration was refused") && page.contains("isolatoin"), "{page}");
    // The old one is at work all the while.
    assert_eq!(next_round(&daemon, "orders").value("cachewatch_probe_success", ORDERS), Some(1.0));
    assert_eq!(daemon.get("/healthz").status, 200);

    daemon.configure(&good);
    assert_eq!(daemon.post("/-/reload").body, "1 caches, 1 of them unchanged\n");
    assert_eq!(reloads(&daemon), Some(1.0));
    assert!(!daemon.get("/").body.contains("The new configuration was refused"));
}

/// A daemon whose one probe hangs in the handshake of a server that does not answer.
fn hanging(fleet: &Fleet, grace: &str) -> Daemon {
    fleet.server.pause();
    fleet.lead("orders", [10, 20, 1, 4]);
    let settings = fleet.settings("interval = \"10m\"\ntimeout = \"5m\"\ntls_timeout = \"5m\"");
    let server = format!("[server]\nshutdown_grace = \"{grace}\"\n[log]\nlevel = \"debug\"\n");
    let daemon = Daemon::start(&(server + &settings + &fleet.cache("orders", "")));
    let in_flight = |daemon: &Daemon| daemon.scrape().value("cachewatch_probes_in_flight", &[]) == Some(1.0);
    daemon.wait_until("a probe in flight", |daemon| in_flight(daemon).then_some(()));
    daemon
}

fn messages(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let records = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")));
    // What the libraries beneath say at debug level is theirs, and comes when it likes.
    let ours =
        records.filter(|record: &Value| field(record, "target").is_some_and(|target| target.starts_with("cachewatch")));
    ours.map(|record| field(&record, "message").unwrap().to_owned()).collect()
}

fn wait_for_message(daemon: &Daemon, start: &str) {
    daemon.wait_for_record(|record| field(record, "message").filter(|message| message.starts_with(start)).map(drop));
}

#[test]
fn sigterm_lets_the_running_probe_end() {
    let fleet = Fleet::new();
    let mut daemon = hanging(&fleet, "5m");
    daemon.signal(Signal::TERM);
    wait_for_message(&daemon, "stopping: no new probes");
    fleet.server.resume();
    assert_eq!(daemon.wait().code(), Some(0));
    let said = messages(&daemon);
    assert_eq!(said[said.len() - 2..], ["probed", "stopped"], "{said:#?}");
}

#[test]
fn sigterm_waits_no_longer_than_the_grace_period() {
    let fleet = Fleet::new();
    let mut daemon = hanging(&fleet, "200ms");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let cut = "stopped; what was still running after the grace period is cut off";
    assert_eq!(messages(&daemon).last().map(String::as_str), Some(cut));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let fleet = Fleet::new();
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT)] {
        let mut daemon = hanging(&fleet, "5m");
        daemon.signal(first);
        wait_for_message(&daemon, "stopping: no new probes");
        daemon.signal(second);
        assert_eq!(daemon.wait().code(), Some(0));
        assert_eq!(messages(&daemon).last().map(String::as_str), Some("stopped at once, at a second signal"));
        fleet.server.resume();
    }
}

#[test]
fn a_client_that_never_finishes_does_not_hold_up_the_end() {
    let fleet = Fleet::new();
    let grace = "[server]\nshutdown_grace = \"200ms\"\n";
    let mut daemon = Daemon::start(&(grace.to_owned() + &fleet.configuration(&["orders"])));
    let mut idle = TcpStream::connect(daemon.address()).unwrap();
    idle.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    let unread = TcpStream::connect(daemon.address()).unwrap();
    (&unread).write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn the_init_system_is_told() {
    let fleet = Fleet::new();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = directory.path().join("config.toml");
    fs::write(&config, fleet.configuration(&["orders"])).unwrap();
    let environment = [("NOTIFY_SOCKET", &*path.to_string_lossy()), ("WATCHDOG_USEC", "200000")];
    let mut daemon = Daemon::start_with(&["--config", &config.to_string_lossy()], &environment);
    let hear = || {
        let mut packet = [0; 1024];
        let length = socket.recv(&mut packet).expect("the daemon speaks before long");
        String::from_utf8_lossy(&packet[..length]).trim_end().to_owned()
    };
    // The watchdog ticks in between; every other word in its order.
    let next = || loop {
        let heard = hear();
        if heard != "WATCHDOG=1" {
            return heard;
        }
    };
    // As soon as it serves; what the first probe came to may be known by then.
    let ready = next();
    let well = "STATUS=watching 1 cache: healthy";
    assert!(
        ["1 unknown", "healthy"].map(|how| format!("READY=1\nSTATUS=watching 1 cache: {how}")).contains(&ready),
        "{ready}"
    );
    if !ready.ends_with(well) {
        assert_eq!(next(), well);
    }
    // Nothing is said again while nothing changes.
    assert_eq!([hear(), hear()], ["WATCHDOG=1", "WATCHDOG=1"]);
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, good.clone() + "isolatoin = 1\n").unwrap();
    daemon.signal(Signal::HUP);
    assert!(next().starts_with("RELOADING=1\n"));
    let refused = next();
    let reason = format!("Z, the old one stays: {}:", config.display());
    assert!(
        refused.starts_with("READY=1\nSTATUS=the new configuration is refused since ") && refused.contains(&reason)
    );
    assert!(refused.contains("isolatoin") && refused.ends_with(" (watching 1 cache: healthy)"), "{refused}");
    fs::write(&config, fleet.configuration(&["carts", "orders"])).unwrap();
    daemon.signal(Signal::HUP);
    let reloading = next();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(since.parse::<u64>().is_ok(), "{reloading}");
    let ready = next();
    assert!(ready.starts_with("READY=1\nSTATUS=watching 2 caches: "), "{ready}");
    if !ready.ends_with(": healthy") {
        assert_eq!(next(), "STATUS=watching 2 caches: healthy");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_scrape_passes_promtool() {
    let mut fleet = Fleet::new();
    let daemon = watching(&fleet, &["carts", "orders"]);
    fleet.lead("carts", PUBLIC);
    next_round(&daemon, "carts");
    fleet.server.stop();
    wait_for_open(&daemon, "orders", &["tcp-refused 1"]);
    let answer = daemon.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let mut promtool = Process::spawn(Command::new("promtool").args(["check", "metrics"]), "prometheus");
    promtool.stdin().write_all(answer.body.as_bytes()).unwrap();
    let status = promtool.wait(PATIENCE).expect("promtool ends at the end of its input");
    let said = promtool.transcript().lines();
    assert!(status.success() && said.is_empty(), "{said:#?}");
}

#[test]
fn the_log_is_json_or_text_and_tells_each_probe_at_debug() {
    let fleet = Fleet::new();
    let debug = format!("[log]\nlevel = \"debug\"\n{}", fleet.configuration(&["orders"]));
    let daemon = Daemon::start(&debug);
    let probed = daemon.wait_for_record(|record| {
        (field(record, "message") == Some("probed")).then(|| {
            let mut record = record.clone();
            for moving in ["timestamp", "took_seconds"] {
                record.as_object_mut().unwrap().remove(moving).unwrap();
            }
            record
        })
    });
    assert_eq!(
        probed,
        json!({
            "level": "DEBUG", "message": "probed", "cache": "orders", "success": true, "addresses": 1,
            "target": "cachewatch::sink::log",
        })
    );
    next_round(&daemon, "orders");
    assert!(messages(&daemon).iter().filter(|message| *message == "probed").count() >= 2);

    // At the default level, a healthy cache is silent; and text is one line a record.
    let quiet = TempDir::new().unwrap();
    let path = quiet.path().join("config.toml");
    fs::write(&path, fleet.configuration(&["orders"])).unwrap();
    let address = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cachewatch"));
    command.env_clear().env("CACHEWATCH__SERVER__LISTEN", address.to_string()).arg("run").arg("--config").arg(&path);
    let daemon = Process::spawn(&mut command, "cachewatch");
    let listening = |line: &str| line.contains("listening").then(|| line.to_owned());
    let line = daemon.transcript().wait_for(PATIENCE, listening).unwrap();
    assert!(
        line.contains("INFO cachewatch::daemon: listening address=127.0.0.1:") && !line.contains('\u{1b}'),
        "{line}"
    );
    daemon.transcript().wait_for(PATIENCE, |line| line.contains("event=\"started\"").then_some(())).unwrap();
    let health = || http::get(address, "/healthz").unwrap();
    let watch = cachewatch::clock::Stopwatch::start();
    while health().status != 200 {
        assert!(watch.elapsed() < PATIENCE, "{}", health().body);
    }
    assert!(!daemon.transcript().lines().iter().any(|line| line.contains("probed")));
}

/// An address nobody listens on now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A peer that stalls: at every connection, the one before it must have been closed by the prober.
#[test]
fn a_probe_never_overlaps_the_one_before() {
    const CONNECTIONS: usize = 6;
    let fleet = Fleet::new();
    fleet.lead("orders", [10, 20, 1, 4]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dialled = listener.local_addr().unwrap().to_string();
    let (sender, overlaps) = mpsc::channel();
    let stalling = thread::spawn(move || {
        let mut before: Option<TcpStream> = None;
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().unwrap();
            if let Some(mut before) = before.replace(stream) {
                before.set_nonblocking(true).unwrap();
                // All it said, and then its end, which the kernel knows before the next connection.
                let ended = std::io::copy(&mut before, &mut std::io::sink()).map_err(|error| error.kind());
                sender.send(ended.is_ok() || ended == Err(std::io::ErrorKind::ConnectionReset)).unwrap();
            }
        }
    });
    // In plain text: of a peer that is silent towards TLS, plain text is tried on a second connection of the same probe.
    let table = fleet.cache("orders", "tls.enabled = false").replace(&fleet.server.address().to_string(), &dialled);
    let daemon = Daemon::start(&(fleet.settings("interval = \"300ms\"\ntimeout = \"299ms\"\njitter = 0.5\n") + &table));
    let ended: Vec<_> = (1..CONNECTIONS).map(|_| overlaps.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(ended, [true; CONNECTIONS - 1], "two probes of one cache at once");
    stalling.join().unwrap();
    assert_eq!(daemon.get("/livez").status, 200);
}

/// Through every door, while the server rejects it: nobody gets to read the password.
#[test]
fn a_password_is_never_shown() {
    let fleet = Fleet::new();
    fleet.lead("carts", [10, 20, 1, 4]);
    assert_eq!(fleet.server.command(&["CONFIG", "SET", "requirepass", "another"]), "+OK\r\n");
    let config = fleet.configuration(&["orders"]) + &fleet.cache("carts", "auth.username = \"nobody\"");
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let variable = ("CACHEWATCH__CACHES__ORDERS__AUTH__PASSWORD", PASSWORD);
    let daemon =
        Daemon::start_with(&["--config", &path.to_string_lossy()], &[variable, ("CACHEWATCH__LOG__LEVEL", "trace")]);
    wait_for_open(&daemon, "orders", &["auth-rejected 1"]);
    wait_for_open(&daemon, "carts", &["auth-rejected 1"]);
    let paths = ["/", "/metrics", "/healthz", "/api/v1/caches", "/api/v1/caches/orders", "/api/v1/findings"];
    let mut said: Vec<_> = paths.iter().map(|path| daemon.get(path).body).collect();
    said.push(daemon.post("/-/reload").body);
    let process = Path::new("/proc").join(daemon.pid().to_string());
    said.push(fs::read_to_string(process.join("cmdline")).unwrap());
    said.push(daemon.log());
    for said in said {
        assert!(!said.is_empty() && !said.contains(PASSWORD), "{said}");
    }
}

/// What is to be said of the machine stands apart from the caches, and follows its settings.
#[test]
fn the_settings_of_the_machine_are_judged_apart_from_the_caches() {
    let network = Namespace::new();
    let server = network.run(|| Peer::plain([Step::Serve(Replies::redis())]));
    let target = server.address().to_string();
    let look = || {
        network.run(|| {
            let daemon = Daemon::start_with(&[&target, "--no-tls"], &[]);
            daemon.wait_until("the machine was looked at", |daemon| {
                daemon.scrape().value("cachewatch_host_sysctl", &[("name", "tcp_retries2")])
            });
            let findings: Value = serde_json::from_str(&daemon.get("/api/v1/findings").body).unwrap();
            let machine = findings["machine"].as_array().unwrap().clone();
            machine.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        })
    };
    assert_eq!(look(), ["host-tcp-tuning"], "the defaults of Linux");
    for (name, value) in [
        ("tcp_retries2", "5"),
        ("tcp_keepalive_time", "60"),
        ("tcp_keepalive_intvl", "10"),
        ("tcp_keepalive_probes", "5"),
    ] {
        network.run(|| fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap());
    }
    assert_eq!(look(), [""; 0]);
}

/// Two caches that never answer, and one place: every other probe of each waits for longer than its turn.
#[test]
fn probes_that_are_left_out_are_counted_and_told() {
    let peers = [Peer::plain([Step::Hold]), Peer::plain([Step::Hold]), Peer::plain([Step::Hold])];
    let mut configuration =
        "[probe]\ninterval = \"1s\"\ntimeout = \"900ms\"\nmax_in_flight = 1\njitter = 0.0\n".to_owned();
    for (index, peer) in peers.iter().enumerate() {
        let port = peer.address().port();
        let _ = writeln!(configuration, "[[caches]]\nname = \"c{index}\"\nhost = \"127.0.0.1\"\nport = {port}");
        configuration += "tls.enabled = false\n";
    }
    let daemon = Daemon::start(&configuration);
    daemon.wait_until("probes are left out", |daemon| {
        (daemon.scrape().value("cachewatch_probes_skipped_total", &[])? > 5.0).then_some(())
    });
    // The daemon looks at itself once a minute.
    daemon.wait_within(PATIENCE * 3, "the page tells it", |daemon| {
        let findings: Value = serde_json::from_str(&daemon.get("/api/v1/findings").body).unwrap();
        let mut machine = findings["machine"].as_array().unwrap().iter();
        machine.find(|finding| finding["id"] == "probes-skipped" && finding["severity"] == 3).map(drop)
    });
    assert!(daemon.get("/").body.contains("probes-skipped"));
    daemon.wait_for_record(|record| (field(record, "finding")? == "probes-skipped").then_some(()));
}

/// A process that is stopped, as a machine that is suspended stops it, has not watched.
#[test]
fn a_time_without_watching_is_an_event() {
    let fleet = Fleet::new();
    let daemon = watching(&fleet, &["orders"]);
    daemon.signal(Signal::STOP);
    let watch = Stopwatch::start();
    // For longer than any loop may stand still; nothing but time brings that about.
    while watch.elapsed() < Duration::from_secs(17) {
        thread::sleep(Duration::from_secs(1));
    }
    daemon.signal(Signal::CONT);
    let lasted = daemon.wait_until("the event", |daemon| {
        let events: Value = serde_json::from_str(&daemon.get("/api/v1/events?kind=resumed").body).unwrap();
        events["events"][0]["before_lasted_seconds"].as_f64()
    });
    assert!(lasted >= 15.0, "{lasted}");
    daemon.wait_until("it goes on", |daemon| (daemon.get("/livez").status == 200).then_some(()));
    next_round(&daemon, "orders");
}
