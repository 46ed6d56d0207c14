//! Stages four to six against real servers: AUTH, PING, INFO.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use cachewatch::{
    clock::Stopwatch,
    model::{Auth, Cache, Clients, LimitSource, SystemFiles, Timeouts},
    probe::Prober,
};
use testlab::{
    PATIENCE,
    cache::{AMPLE, PasswordFile, SLACK, SOON, at, ending, only_leg, runtime, tls, walk},
    pki::Authority,
    redis::RedisServer,
    resp::exchange,
};

const NAME: &str = "orders.test";

/// How the walk to this server ends, with the words of the fault or of the notes.
fn end(cache: &Cache) -> (String, String) {
    let report = walk(cache);
    let leg = only_leg(&report);
    let words = leg.fault.iter().chain(&leg.notes).map(|fault| fault.detail.to_string()).collect::<Vec<_>>();
    (ending(leg), words.join("; "))
}

#[test]
fn each_answer_to_a_password_has_its_name() {
    let locked = RedisServer::builder().password("correct-horse").user("probe", "on >battery ~* +ping +info").start();
    let open = RedisServer::builder().start();
    let (right, wrong, of_probe) =
        (PasswordFile::new("correct-horse"), PasswordFile::new("wrong"), PasswordFile::new("battery"));
    let wrongpass = "AUTH was answered: WRONGPASS invalid username-password pair or user is disabled.";
    let none_set = "AUTH was answered: ERR AUTH <password> called without any password configured for the default user. \
                    Are you sure your configuration is correct?";
    let cases = [
        (&locked, right.alone(), "serves", ""),
        (&locked, right.of("default"), "serves", ""),
        (&locked, of_probe.of("probe"), "serves", ""),
        (&locked, wrong.alone(), "auth auth_rejected", wrongpass),
        (&locked, wrong.of("probe"), "auth auth_rejected", wrongpass),
        (&locked, right.of("nobody"), "auth auth_rejected", wrongpass),
        (&locked, Auth::None, "auth auth_required", "PING was answered: NOAUTH Authentication required."),
        (&open, right.alone(), "auth auth_not_configured", none_set),
        (&open, Auth::None, "serves", ""),
        (&locked, Auth::Withheld, "serves", ""),
        (&open, Auth::Withheld, "serves", ""),
    ];
    for (server, auth, expected, detail) in cases {
        let cache = Cache { auth, ..at(server.address()) };
        assert_eq!(end(&cache), (expected.to_owned(), detail.to_owned()), "{:?}", cache.auth);
    }
}

#[test]
fn a_command_denied_is_noted_and_no_outage() {
    let server = RedisServer::builder()
        .user("uninformed", "on >battery ~* +ping")
        .user("mute", "on >battery ~* +info")
        .user("nothing", "on >battery ~* -@all")
        .start();
    let renamed = RedisServer::builder().without_command("INFO").start();
    let password = PasswordFile::new("battery");
    let cases = [
        (&server, password.of("uninformed"), "serves, noting inspect not_permitted"),
        (&server, password.of("mute"), "serves, noting ping not_permitted"),
        (&server, password.of("nothing"), "serves, noting ping not_permitted, noting inspect not_permitted"),
        (&renamed, Auth::None, "serves, noting inspect not_permitted"),
    ];
    for (server, auth, expected) in cases {
        let (end, words) = end(&Cache { auth, ..at(server.address()) });
        assert_eq!(end, expected, "{words}");
    }
}

/// Clients that the server has let in.
fn clients(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let client = |_| {
        let mut stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
        assert_eq!(exchange(&mut stream, "PING").expect("the server answers"), "+PONG");
        stream
    };
    (0..count).map(client).collect()
}

#[test]
fn a_full_server_says_that_it_is_full() {
    let authority = Authority::new();
    let leaf = authority.leaf(&[NAME]);
    let server = RedisServer::builder().tls(&leaf).plain().max_clients(3).start();
    let held = clients(server.plain_address(), 3);
    let full = ("ping client_limit".to_owned(), "PING was answered: ERR max number of clients reached".to_owned());
    assert_eq!(end(&at(server.plain_address())), full);

    let password = PasswordFile::new("battery");
    let cache = Cache { auth: password.alone(), ..at(server.plain_address()) };
    assert_eq!(end(&cache).0, "auth client_limit");

    // Over TLS Redis hangs up before a word can be said.
    let over_tls = Cache { tls: Some(tls(&authority, NAME)), ..at(server.address()) };
    assert_eq!(end(&over_tls).0, "tls closed");
    drop(held);
}

#[test]
fn headroom_is_what_info_says() {
    let server = RedisServer::builder().max_clients(40).start();
    let held = clients(server.address(), 3);
    let report = walk(&at(server.address()));
    let facts = only_leg(&report).server.clone().unwrap();
    let info = server.command(&["INFO"]);
    let info: HashMap<&str, &str> = info.lines().filter_map(|line| line.split_once(':')).collect();

    // The fixture's own door counts as a client, as the probe did.
    let connected = info["connected_clients"].parse().unwrap();
    let limit = Some((info["maxclients"].parse().unwrap(), LimitSource::Server));
    assert_eq!(at(server.address()).clients(&facts), Some(Clients { connected, limit }));
    assert_eq!((connected, limit), (4, Some((40, LimitSource::Server))));
    let text = |field: &str| Some(info[field].to_owned());
    assert_eq!(facts.version.map(|version| version.to_string()), text("redis_version"));
    assert_eq!(facts.run_id.map(|id| id.to_string()), text("run_id"));
    assert_eq!(facts.mode.map(|mode| mode.to_string()), text("redis_mode"));
    assert_eq!(facts.role.map(|role| role.to_string()).as_deref(), Some("primary"));
    assert_eq!(facts.rejected_connections, Some(0));
    assert_eq!(facts.connected_replicas, Some(0));
    drop(held);
}

#[test]
fn a_frozen_server_is_late_at_the_first_stage_that_needs_it() {
    let authority = Authority::new();
    let leaf = authority.leaf(&[NAME]);
    let server = RedisServer::builder().tls(&leaf).plain().start();
    let timeouts = Timeouts { tls: SOON, command: SOON, ..AMPLE };
    let plain = Cache { timeouts, ..at(server.plain_address()) };
    let over_tls = Cache { timeouts, tls: Some(tls(&authority, NAME)), ..at(server.address()) };
    server.pause();
    for (cache, expected, detail) in [
        (&plain, "ping timeout", "no reply to PING within 1s"),
        (&over_tls, "tls timeout", "the handshake did not end within 1s"),
    ] {
        let watch = Stopwatch::start();
        assert_eq!(end(cache), (expected.to_owned(), detail.to_owned()));
        assert!(watch.elapsed() < SOON + SLACK, "{:?}", watch.elapsed());
    }
    server.resume();
    assert_eq!((end(&plain).0.as_str(), end(&over_tls).0.as_str()), ("serves", "serves"));
}

#[test]
fn a_rotated_password_is_used_by_the_next_probe() {
    let server = RedisServer::builder().password("old").start();
    let password = PasswordFile::new("old");
    let cache = Cache { auth: password.alone(), ..at(server.address()) };
    let prober = Prober::new(&SystemFiles::default());
    runtime().block_on(async {
        assert_eq!(ending(only_leg(&prober.walk(&cache).await)), "serves");
        assert_eq!(server.command(&["CONFIG", "SET", "requirepass", "new"]), "+OK\r\n");
        password.rotate("new");
        // A file is looked at once a second, which is far below any interval.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
        assert_eq!(ending(only_leg(&prober.walk(&cache).await)), "serves");
    });
}

#[test]
fn a_password_that_cannot_be_read_is_never_sent() {
    let server = RedisServer::builder().start();
    let password = PasswordFile::new("");
    let cache = Cache { auth: password.alone(), ..at(server.address()) };
    let (end_of_empty, words) = end(&cache);
    assert_eq!(end_of_empty, "auth credential_unreadable");
    assert!(words.ends_with("/password: empty"), "{words}");
    drop(password);
    let (end_of_missing, words) = end(&cache);
    assert_eq!(end_of_missing, "auth credential_unreadable");
    assert!(words.contains("No such file or directory"), "{words}");
}

/// Redis repeats the arguments of a command that it does not know.
#[test]
fn a_server_that_repeats_the_password_does_not_get_it_into_a_report() {
    let server = RedisServer::builder().without_command("AUTH").start();
    let password = PasswordFile::new("correct-horse-battery");
    for auth in [password.alone(), password.of("default")] {
        let report = walk(&Cache { auth, ..at(server.address()) });
        assert_eq!(ending(only_leg(&report)), "auth not_permitted");
        let written = format!("{report:?} {}", serde_json::to_string(&report).unwrap());
        assert!(!written.contains("correct"), "{written}");
    }
}
