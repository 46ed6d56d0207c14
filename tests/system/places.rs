//! Who gets a place, and a turn to be verified, where one client takes as many as it can.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    fmt::Write as _,
    fs,
    io::{self, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use tempfile::TempDir;
use testlab::{
    PATIENCE,
    http::{self, Response, request_over},
    program::Daemon,
};

/// A cache that costs nothing: nobody listens there.
const CACHE: &str = "[[caches]]\nname = \"orders\"\nhost = \"127.0.0.1\"\nport = 1\nauth.method = \"none\"\n";

/// Two clients as the daemon tells them apart.
const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How a client holds a connection.
#[derive(Debug, Clone, Copy)]
enum Hold {
    /// It sends half of a request's head.
    HalfHead,
    /// It asks once, reads the answer, and keeps the connection.
    Idle,
    /// It asks very often, and reads nothing.
    Unread,
}

/// A connection from this address of the loopback, which takes in very little that is not read.
fn from(client: Ipv4Addr, address: SocketAddr) -> TcpStream {
    // A server that is started meanwhile must not inherit it: Redis serves no descriptor above its limit of clients.
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 1).unwrap();
    bind(&socket, &SocketAddr::from((client, 0))).unwrap();
    connect(&socket, &address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn get(client: Ipv4Addr, address: SocketAddr, path: &str, headers: &[&str]) -> io::Result<Response> {
    request_over(from(client, address), "GET", path, headers)
}

impl Hold {
    const ALL: [Self; 3] = [Self::HalfHead, Self::Idle, Self::Unread];

    fn open(self, client: Ipv4Addr, address: SocketAddr) -> TcpStream {
        let mut stream = from(client, address);
        match self {
            Self::HalfHead => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n").unwrap(),
            Self::Idle => {
                stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                assert!(stream.read(&mut [0; 512]).unwrap() > 0);
            }
            Self::Unread => {
                // More than the kernel keeps for it, so that the daemon has something left to hand over. Who is turned
                // away before all is sent may see the connection break.
                let _ = stream.write_all("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200).as_bytes());
            }
        }
        stream
    }
}

/// A kubelet that gets no answer ends the daemon, so one client must not be able to bring that about.
fn nothing_keeps_a_kubelet_out(most: usize, settings: &str) {
    for hold in Hold::ALL {
        let daemon = Daemon::start(&format!("{settings}{CACHE}"));
        let mut held = Vec::new();
        for number in 0..most + most / 2 {
            held.push(hold.open(ONE, daemon.address()));
            for path in ["/livez", "/-/ready"] {
                let answer = get(ONE, daemon.address(), path, &[]);
                let is_answered = answer.as_ref().is_ok_and(|answer| {
                    ["alive\n", "ready\n", "waiting for the first report of orders\n"].contains(&&*answer.body)
                });
                assert!(is_answered, "{path} beside {number} times {hold:?}: {answer:?}");
            }
        }
        match hold {
            // Who has its share, and keeps all of it busy, gets nothing else.
            Hold::Unread => daemon.wait_until("a refusal", |daemon| {
                let answer = get(ONE, daemon.address(), "/metrics", &[]).unwrap();
                held.push(hold.open(ONE, daemon.address()));
                (answer.status == 503).then_some(())
            }),
            Hold::HalfHead | Hold::Idle => {
                assert_eq!(get(ONE, daemon.address(), "/metrics", &[]).unwrap().status, 200, "{hold:?}");
            }
        }
        // Another client finds a place for everything.
        assert_eq!(get(OTHER, daemon.address(), "/metrics", &[]).unwrap().status, 200, "{hold:?}");
    }
}

#[test]
fn one_client_keeps_no_kubelet_out_by_default() {
    nothing_keeps_a_kubelet_out(256, "");
}

#[test]
fn one_client_keeps_no_kubelet_out_of_a_few_places() {
    nothing_keeps_a_kubelet_out(8, "[server]\nmax_connections = 8\n");
}

#[test]
fn what_finds_each_place_busy_is_refused_and_counted() {
    let daemon = Daemon::start(&format!("[server]\nmax_connections = 2\n{CACHE}"));
    let refused = || {
        daemon
            .get("/metrics")
            .body
            .lines()
            .find_map(|line| line.strip_prefix("cachewatch_http_connections_refused_total ")?.parse::<f64>().ok())
    };
    assert_eq!(refused(), Some(0.0));
    // A stream is being answered for as long as it lasts.
    let stream = http::stream(daemon.address(), "/api/v1/stream").unwrap();
    for path in ["/livez", "/-/healthy"] {
        let mut kept = from(ONE, daemon.address());
        kept.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let answer = http::read(&mut BufReader::new(kept)).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{path}");
    }
    for path in ["/metrics", "/", "/nowhere"] {
        let answer = get(ONE, daemon.address(), path, &[]).unwrap();
        let said = (answer.status, answer.header("retry-after"), answer.body.as_str());
        assert_eq!(said, (503, Some("1"), "too many open connections\n"), "{path}");
    }
    drop(stream);
    daemon.wait_until("a place", |daemon| (daemon.get("/metrics").status == 200).then_some(()));
    assert!(refused().is_some_and(|counted| counted >= 3.0), "{:?}", refused());
}

/// Verifying a password is dear on purpose. Who guesses on many connections must not keep the right user waiting.
#[test]
fn guessers_do_not_stand_in_the_way_of_the_right_user() {
    const GUESSERS: usize = 24;
    let directory = TempDir::new().unwrap();
    let users = directory.path().join("users");
    fs::write(&users, format!("alice:{}\n", bcrypt::hash("open-sesame", 8).unwrap())).unwrap();
    let daemon = Daemon::start(&format!("[server]\nbasic_auth_file = \"{}\"\n{CACHE}", users.display()));
    let login =
        |password: &str| format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("alice:{password}")));
    let (wrong, right) = (login("hunter2"), login("open-sesame"));
    let (verified, turned_away, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let guess = || {
        while !is_over.load(Ordering::Relaxed) {
            let answer = get(OTHER, daemon.address(), "/metrics", &[&wrong]).unwrap();
            match answer.status {
                401 => verified.fetch_add(1, Ordering::Relaxed),
                429 => {
                    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
                    turned_away.fetch_add(1, Ordering::Relaxed)
                }
                _ => panic!("{answer:?}"),
            };
        }
    };
    thread::scope(|scope| {
        let guessers: Vec<_> = (0..GUESSERS).map(|_| scope.spawn(guess)).collect();
        daemon.wait_until("guesses", |_| (verified.load(Ordering::Relaxed) >= 2).then_some(()));
        let before = verified.load(Ordering::Relaxed);
        let status = get(ONE, daemon.address(), "/metrics", &[&right]).map(|answer| answer.status);
        let meanwhile = verified.load(Ordering::Relaxed) - before;
        is_over.store(true, Ordering::Relaxed);
        for guesser in guessers {
            guesser.join().unwrap();
        }
        // The one that is under way, and at most one more that had its turn before the right user asked.
        assert!(
            status.as_ref().is_ok_and(|status| *status == 200) && meanwhile <= 3,
            "{status:?} after {meanwhile} guesses"
        );
    });
    assert!(turned_away.load(Ordering::Relaxed) > 0);
    // What was right once is not verified again, so no guesser stands in its way.
    assert_eq!(get(OTHER, daemon.address(), "/metrics", &[&right]).unwrap().status, 200);
}

/// Clients that ask for all they can and read nothing cost a bounded amount of memory, and the open paths go on.
#[test]
fn answers_that_are_not_read_fill_no_memory() {
    const MOST_MORE: u64 = 128 << 20;
    let mut configuration = "[probe]\ninterval = \"1h\"\n".to_owned();
    for number in 0..300 {
        let _ = writeln!(configuration, "[[caches]]\nname = \"cache-{number}\"\nhost = \"127.0.0.1\"\nport = 1");
    }
    let daemon = Daemon::start(&configuration);
    let scrape = daemon.wait_until("every cache has its series", |daemon| {
        (daemon.get("/readyz").status == 200).then(|| daemon.get("/metrics").body.len())
    });
    let before = daemon.resident_bytes();
    let ask = "GET /metrics HTTP/1.1
Host: localhost

"
    .repeat(4);
    let greedy: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = from(ONE, daemon.address());
            stream.write_all(ask.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert!(greedy.len() * scrape * 4 > 4 * usize::try_from(MOST_MORE).unwrap(), "all of it would be too much");
    let is_refused = |daemon: &Daemon| (daemon.get("/metrics").status == 503).then_some(());
    daemon.wait_until("there is no room for another answer", |daemon| {
        assert_eq!(daemon.get("/livez").status, 200);
        is_refused(daemon)
    });
    for _ in 0..20 {
        assert_eq!((daemon.get("/livez").status, daemon.get("/readyz").status), (200, 200));
    }
    let more = daemon.most_resident_bytes().saturating_sub(before);
    assert!(more < MOST_MORE, "{} MiB more", more >> 20);
    drop(greedy);
    daemon.wait_until("there is room again", |daemon| (daemon.get("/metrics").status == 200).then_some(()));
}
