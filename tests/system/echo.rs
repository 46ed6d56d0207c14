//! Peers that repeat what they were told: whatever they do with the key, nothing the program says holds eight letters of it.

use std::{fmt::Write as _, fs, time::Duration};

use cachewatch::{
    model::{Cache, SystemFiles, Timeouts},
    probe::Prober,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use testlab::{
    cache::{AMPLE, PasswordFile, at, runtime},
    peer::{Peer, Replies, Step},
    program::{Daemon, cachewatch},
    resp::bulk,
};

/// A key as Azure makes them: 44 letters, of which digits stand in a row, so that a number can be a piece of it.
const KEY: &str = "q7Rz31415926535KpXcLw0vYbNd8HsTfGmJuEaQiOAzCaE=";

/// So many letters in a row are the key and no chance.
const TELLING: usize = 8;

/// The pieces of the key that stand in a text, whatever their case.
fn pieces_in(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let key = KEY.to_lowercase();
    let pieces = (0..=key.len() - TELLING).map(|at| key[at..at + TELLING].to_owned());
    pieces.filter(|piece| text.contains(piece)).collect()
}

#[track_caller]
fn assert_withheld(what: &str, text: &str) {
    assert_eq!(pieces_in(text), [""; 0], "{what}:\n{text}");
}

/// INFO that repeats a piece in every field that is read.
fn info(piece: &str) -> Vec<u8> {
    let digits: String = piece.chars().filter(char::is_ascii_digit).collect();
    let text: String = ["redis_version", "valkey_version", "run_id", "role", "redis_mode"]
        .iter()
        .map(|field| format!("{field}:{piece}\r\n"))
        .chain(
            ["connected_clients", "maxclients", "rejected_connections", "uptime_in_seconds", "server_time_usec"]
                .iter()
                .map(|field| format!("{field}:{digits}\r\n")),
        )
        .collect();
    bulk(&text)
}

/// Redis' own words for a command it does not know, with what it was given.
fn unknown(piece: &str) -> String {
    format!("-ERR unknown command 'AUTH', with args beginning with: '{piece}' \r\n")
}

/// Every place a peer can put a piece into, as a conversation of its own.
fn peers(piece: &str) -> Vec<(&'static str, Vec<Step>)> {
    let redis = Replies::redis;
    vec![
        ("an error to AUTH", vec![Step::Serve(redis().on("AUTH", unknown(piece)))]),
        ("an error to PING", vec![Step::Serve(redis().on("PING", format!("-ERR {piece}\r\n")))]),
        ("a code of its own", vec![Step::Serve(redis().on("PING", format!("-{piece} no\r\n")))]),
        ("a reply to PING", vec![Step::Serve(redis().on("PING", format!("+{piece}\r\n")))]),
        ("a string to PING", vec![Step::Serve(redis().on("PING", bulk(piece)))]),
        ("INFO", vec![Step::Serve(redis().on("INFO", info(piece)))]),
        ("an error to INFO", vec![Step::Serve(redis().on("INFO", format!("-ERR {piece}\r\n")))]),
        ("no text for INFO", vec![Step::Serve(redis().on("INFO", format!(">1\r\n+{piece}\r\n")))]),
        ("TIME", vec![Step::Serve(redis().on("TIME", format!("*2\r\n$8\r\n{piece:.8}\r\n$1\r\n0\r\n")))]),
        ("a greeting", vec![Step::say("+OK\r\n"), Step::Serve(redis().on("AUTH", unknown(piece)))]),
        ("a greeting of the key", vec![Step::say(format!("+{piece}\r\n")), Step::Serve(redis())]),
        ("an error for a greeting", vec![Step::say(format!("-ERR {piece}\r\n")), Step::Hear]),
        ("no Redis", vec![Step::say(format!("220 {piece} ready\r\n")), Step::Serve(redis())]),
        ("a push", vec![Step::Hear, Step::say(format!("+OK\r\n>2\r\n+message\r\n+{piece}\r\n")), Step::Serve(redis())]),
        ("one reply too many", vec![Step::Serve(redis().on("PING", format!("+PONG\r\n+{piece}\r\n")))]),
        ("a part, then the end", vec![Step::Hear, Step::say(format!("+{piece}"))]),
    ]
}

fn timeouts() -> Timeouts {
    Timeouts { command: Duration::from_secs(1), ..AMPLE }
}

#[test]
fn no_report_holds_a_piece_of_the_key() {
    let password = PasswordFile::new(KEY);
    let prober = Prober::new(&SystemFiles::default());
    let runtime = runtime();
    let cut = (0..KEY.len(), 1..=KEY.len(), "[a-z ]{0,6}", "[a-z .'\"]{0,6}", any::<bool>());
    let mut runner = TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&cut, |(from, length, before, behind, upper)| {
        let piece = &KEY[from..(from + length).min(KEY.len())];
        let piece = if upper { piece.to_uppercase() } else { piece.to_owned() };
        for (name, steps) in peers(&format!("{before}{piece}{behind}")) {
            let peer = Peer::plain(steps);
            let cache = Cache { auth: password.alone(), timeouts: timeouts(), ..at(peer.address()) };
            let report = runtime.block_on(prober.walk(&cache));
            let shown = format!("{report:?}");
            prop_assert_eq!(pieces_in(&shown), [""; 0], "{}: {}", name, shown);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn nothing_the_program_says_holds_a_piece_of_the_key() {
    let password = PasswordFile::new(KEY);
    let peers: Vec<_> = peers(KEY).into_iter().map(|(name, steps)| (name, Peer::plain(steps))).collect();
    let directory = tempfile::TempDir::new().unwrap();
    let mut configuration = format!(
        "[probe]\ninterval = \"1s\"\ntimeout = \"900ms\"\nopen_after = 1\n[journal]\npath = \"{}\"\n[log]\nlevel = \"trace\"\n",
        directory.path().join("journal.db").display()
    );
    for (index, (_, peer)) in peers.iter().enumerate() {
        let (address, file) = (peer.address(), password.path().display().to_string());
        let port = address.port();
        let _ = writeln!(configuration, "[[caches]]\nname = \"c{index}\"\nhost = \"127.0.0.1\"\nport = {port}");
        let _ = writeln!(configuration, "tls.enabled = false\n[caches.auth]\npassword_file = {file:?}");
        for format in ["text", "json"] {
            let (target, file) = (address.to_string(), &*file);
            let run = cachewatch(&["check", &target, "--no-tls", "--password-file", file, "--format", format]).run();
            assert_withheld(&format!("check of c{index}, {format}"), &(run.stdout + &run.stderr));
        }
    }
    let daemon = Daemon::start(&configuration);
    daemon.wait_until("every cache has a report", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    let index = |name: &str| peers.iter().position(|(known, _)| *known == name).expect("a peer of that name");
    for name in ["a greeting", "one reply too many", "a greeting of the key", "a push"] {
        let index = index(name);
        daemon.wait_until(name, |daemon| {
            let body = daemon.get(&format!("/healthz/c{index}")).body;
            body.contains("redis-out-of-step").then_some(())
        });
    }
    let mut paths = [
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
        "/livez",
        "/api/v1/caches",
        "/api/v1/findings",
        "/api/v1/events?limit=1000",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend((0..peers.len()).flat_map(|index| [format!("/caches/c{index}"), format!("/api/v1/caches/c{index}")]));
    for path in paths {
        assert_withheld(&path, &daemon.get(&path).body);
    }
    assert_withheld("the log", &daemon.log());
    drop(daemon);
    for file in fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap().path();
        assert_withheld(&file.display().to_string(), &String::from_utf8_lossy(&fs::read(&file).unwrap()));
    }
}
