//! `cachewatch health`: for a container's check, and for scripts that gate on a cache.

use cachewatch::clock::Stopwatch;
use rustix::process::Signal;
use testlab::{
    cache::SLACK,
    dns::Answer,
    fleet::{Fleet, PRIVATE, PUBLIC, host},
    peer::{Peer, Step},
    program::{Daemon, Run, cachewatch},
};

fn health(server: &str, options: &[&str]) -> Run {
    cachewatch(&[&["health", "--server", server], options].concat()).run()
}

#[test]
fn the_exit_code_says_how_the_daemon_and_the_caches_are() {
    let fleet = Fleet::new();
    for name in ["sound", "risky"] {
        fleet.lead(name, PRIVATE);
    }
    fleet.lead("broken", PUBLIC);
    fleet.names.set(&host("unseen"), Answer::new().silent());
    let probe = "interval = \"1m\"\ntimeout = \"50s\"\nresolve_timeout = \"50s\"\nopen_after = 1\n";
    let private = "isolation = \"private_endpoint\"\n";
    let caches =
        [("sound", private), ("risky", &format!("{private}tier = \"P1\"\n")), ("broken", private), ("unseen", private)];
    let caches: String = caches.iter().map(|(name, more)| fleet.cache(name, more)).collect();
    let daemon = Daemon::start(&(fleet.settings(probe) + &caches));
    let server = format!("http://{}", daemon.address());

    let run = health(&server, &[]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "alive\n", ""), "{run:?}");
    for (cache, code, words) in [
        ("sound", 0, "sound: healthy\n"),
        ("risky", 1, "risky: clients-limit-mismatch (advice), "),
        ("broken", 2, "broken: dns-zone-not-linked (degraded), resolve, since "),
        ("unseen", 3, "unseen: unknown, not probed yet\n"),
    ] {
        let told = daemon.wait_until(cache, |_| {
            let run = health(&server, &[cache]);
            (run.code == Some(code)).then_some(run)
        });
        assert!(told.stdout.starts_with(words) && told.stderr.is_empty(), "{told:?}");
    }
    let run = health(&server, &["--caches"]);
    assert_eq!(run.code, Some(2), "the worst of them: {run:?}");
    for line in ["sound: healthy", "broken: dns-zone-not-linked (degraded)", "unseen: unknown"] {
        assert!(run.stdout.lines().any(|told| told.starts_with(line)), "{line}: {run:?}");
    }
    for (options, words) in [
        (&["nobody"][..], "/healthz/nobody: 404: no cache of that name"),
        (&["a/b"], "\"a/b\" is not the name of a cache"),
        (&["sound", "--caches"], "cannot be used with"),
    ] {
        let run = health(&server, options);
        assert!(run.code == Some(3) && run.stdout.is_empty() && run.stderr.contains(words), "{run:?}");
    }

    // Stopped, it takes connections and answers none.
    daemon.signal(Signal::STOP);
    let watch = Stopwatch::start();
    let run = health(&server, &["--timeout", "300ms"]);
    assert!(
        run.code == Some(3) && run.stderr.contains("/livez did not answer: no complete answer within 300ms"),
        "{run:?}"
    );
    assert!(watch.elapsed() < SLACK, "{:?}", watch.elapsed());
    daemon.signal(Signal::CONT);
}

/// One bad round of two is no finding yet, and a configuration that is refused stops nothing: both are told.
#[test]
fn what_is_not_settled_is_told() {
    let fleet = Fleet::new();
    fleet.lead("orders", PRIVATE);
    let probe = "interval = \"1h\"\nopen_after = 2\n";
    let cache = fleet.cache("orders", "").replace(&fleet.server.address().to_string(), "127.0.0.1:1");
    let daemon = Daemon::start(&(fleet.settings(probe) + &cache));
    let server = format!("http://{}", daemon.address());
    let told = daemon.wait_until("a bad round", |_| {
        let run = health(&server, &["--caches"]);
        run.stdout.contains("bad round").then_some(run)
    });
    let words = "orders: unknown, 1 of 2 bad rounds seen (connect: tcp-refused), the next at ";
    assert!(told.code == Some(3) && told.stdout.starts_with(words), "{told:?}");
    let due = &daemon.get("/healthz").json()["caches"][0]["next_probe_at"];
    let due: String = due.as_str().unwrap().chars().skip(11).take(8).collect();
    assert_eq!(told.stdout.trim_end(), format!("{words}{due}"));

    daemon.configure("nonsense = 1\n");
    daemon.signal(Signal::HUP);
    let told = daemon.wait_until("the refusal", |_| {
        let run = health(&server, &[]);
        (run.stdout != "alive\n").then_some(run)
    });
    let line = told.stdout.strip_prefix("alive\n").unwrap_or_else(|| panic!("{told:?}"));
    assert!(line.starts_with("the new configuration is refused since ") && line.contains("nonsense"), "{told:?}");
    assert_eq!(told.code, Some(0), "the daemon is alive all the same");
    let run = health(&server, &["--caches"]);
    assert!(run.stdout.ends_with(line), "{run:?}");
}

#[test]
fn nobody_or_somebody_else_is_not_alive() {
    let run = cachewatch(&["health"]).env("CACHEWATCH__SERVER__LISTEN", "0.0.0.0:1").run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
    let words = "cannot reach http://127.0.0.1:1/livez: Connection refused";
    assert!(run.stderr.starts_with(words) && run.stderr.contains("is the daemon running"), "{run:?}");

    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n";
    let other = Peer::plain([Step::Hear, Step::say(reply)]);
    let run = health(&format!("http://{}", other.address()), &[]);
    assert!(run.code == Some(3) && run.stderr.contains("/livez: the server there is not cachewatch"), "{run:?}");
    let reply = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 34\r\n\r\na loop of the daemon stands still\n";
    let still = Peer::plain([Step::Hear, Step::say(reply)]);
    let run = health(&format!("http://{}", still.address()), &[]);
    assert!(run.code == Some(3) && run.stderr.contains("/livez: 503: a loop of the daemon stands still"), "{run:?}");
}
