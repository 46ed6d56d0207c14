//! Who may ask the daemon, who may change it, and what a client that means no good may cost.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    fs,
    io::{self, BufReader, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cachewatch::{clock::Stopwatch, model::Timestamp};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use testlab::{
    PATIENCE,
    cache::SLACK,
    dns::Answer,
    fleet::{Fleet, PRIVATE, PUBLIC, host},
    http::{self, Response, request_over},
    net::Namespace,
    pki::{Authority, Leaf},
    program::{Daemon, Run, cachewatch, field},
};

const NAME: &str = "cachewatch.test";
const PASSWORD: &str = "open-sesame";
/// A cache that costs nothing: nobody listens there.
const CACHE: &str = "[[caches]]\nname = \"orders\"\nhost = \"127.0.0.1\"\nport = 1\nauth.method = \"none\"\n";
const OPEN: [&str; 4] = ["/livez", "/readyz", "/-/healthy", "/-/ready"];
const GUARDED: [&str; 7] =
    ["/", "/metrics", "/healthz", "/healthz/orders", "/api/v1/caches", "/assets/page.css", "/nowhere"];

/// The cheapest hash that is taken, so that tests are quick.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Response {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    request_over(stream, method, path, headers).unwrap()
}

fn status(address: SocketAddr, path: &str, headers: &[&str]) -> u16 {
    ask(address, "GET", path, headers).status
}

/// A directory, and the files a test puts there.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Writes a file in one step, as an editor does.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (draft, path) = (self.path("draft"), self.path(name));
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &path).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn copy(&self, leaf: &Leaf) {
        self.write("cert.pem", &fs::read_to_string(leaf.cert_file()).unwrap());
        self.write("key.pem", &fs::read_to_string(leaf.key_file()).unwrap());
    }
}

/// `[server]` with TLS from the files `cert.pem` and `key.pem` there.
fn tls_server(files: &Files, more: &str) -> String {
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    format!("[server.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n{more}\n", cert.display(), key.display())
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[test]
fn without_credentials_another_machine_reads_and_changes_nothing() {
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
    let network = Namespace::new();
    network.add_address(OTHER);
    let files = Files::new();
    let users = files.write("users", &format!("alice:{}\n", hash(PASSWORD)));
    for (server, with_credentials) in [(String::new(), false), (format!("basic_auth_file = {}", quoted(&users)), true)]
    {
        let configuration = files.write("config.toml", &format!("[server]\n{server}\n{CACHE}"));
        let daemon = network.run(|| {
            let listen = [("CACHEWATCH__SERVER__LISTEN", "0.0.0.0:0")];
            Daemon::start_with(&["--config", configuration.to_str().unwrap()], &listen)
        });
        let port = daemon.address().port();
        let (near, far) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((OTHER, port)));
        let ask = |address, method, path, headers: &[&str]| network.run(|| ask(address, method, path, headers));
        let login = basic("alice", PASSWORD);
        let login = if with_credentials { vec![login.as_str()] } else { vec![] };
        assert_eq!(ask(far, "GET", "/metrics", &login).status, 200);

        let refused = ask(far, "POST", "/-/reload", &login);
        assert_eq!(refused.status, if with_credentials { 200 } else { 403 }, "{refused:?}");
        assert_eq!(ask(near, "POST", "/-/reload", &login).status, 200);
        for header in ["Origin: http://10.9.0.1", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"] {
            let from_a_page = ask(near, "POST", "/-/reload", &[&login[..], &[header]].concat());
            assert_eq!(from_a_page.status, 403, "{header}: {from_a_page:?}");
        }
        let notice = daemon.wait_for_record(|record| {
            let message = field(record, "message")?;
            message.starts_with("server.listen, 0.0.0.0:").then(|| message.to_owned())
        });
        let words =
            if with_credentials { "receives passwords unencrypted" } else { "changes from other machines are refused" };
        assert!(notice.contains(words), "{notice}");
    }
}

/// A proxy and a mesh hand on what others ask for, from an address of this machine.
#[test]
fn what_a_proxy_hands_on_changes_nothing() {
    let daemon = Daemon::start(CACHE);
    let headers = [
        "Forwarded: for=10.0.0.9",
        "X-Forwarded-Client-Cert: By=x",
        "X-Envoy-External-Address: 10.0.0.9",
        "X-Envoy-Attempt-Count: 1",
        "True-Client-IP: 10.0.0.9",
        "Fastly-Client-IP: 10.0.0.9",
        "X-Cluster-Client-IP: 10.0.0.9",
        "CF-Ray: x",
        "X-Original-URL: /",
        "X-Azure-ClientIP: 10.0.0.9",
        "X-AppGW-Trace-Id: x",
        "X-ARR-LOG-ID: x",
        "X-Amzn-Trace-Id: x",
        "l5d-client-id: x",
        "X-B3-TraceId: x",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Request-Id: x",
        "X-ProxyUser-Ip: 10.0.0.9",
    ];
    for path in ["/-/reload", "/api/v1/caches/orders/baseline"] {
        for header in headers {
            let refused = ask(daemon.address(), "POST", path, &[header]);
            assert_eq!(refused.status, 403, "{path} {header}: {refused:?}");
        }
    }
    assert_eq!(daemon.post("/-/reload").status, 200);
}

/// The containers of a pod share the loopback, and a proxy need not say that it is one.
#[test]
fn with_a_token_this_machine_alone_is_not_enough() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let files = Files::new();
    let token = files.write("token", &format!("{TOKEN}\n"));
    let users = files.write("users", &format!("alice:{}\n", hash(PASSWORD)));
    let login = basic("alice", PASSWORD);
    let (right, wrong) = (format!("Authorization: Bearer {TOKEN}"), format!("Authorization: Bearer {TOKEN}x"));
    let server = format!("[server]\nadmin_token_file = {}\n", quoted(&token));
    for with_users in [false, true] {
        let users = if with_users { format!("basic_auth_file = {}\n", quoted(&users)) } else { String::new() };
        let daemon = Daemon::start(&format!("{server}{users}{CACHE}"));
        let post = |headers: &[&str]| ask(daemon.address(), "POST", "/-/reload", headers);
        let without = post(&[]);
        let challenge = if with_users { "Basic " } else { "Bearer " };
        assert!(
            without.status == 401 && without.header("www-authenticate").unwrap().starts_with(challenge),
            "{without:?}"
        );
        assert_eq!(post(&[&wrong]).status, 401);
        assert_eq!(post(&[&right]).status, 200);
        assert_eq!(post(&[&right, "X-Forwarded-For: 10.0.0.9"]).status, 200);
        assert_eq!(post(&[&right, "Origin: http://127.0.0.1"]).status, 403);
        assert_eq!(post(&["Origin: http://127.0.0.1", &login]).status, 403);
        assert_eq!(post(&[&login]).status, if with_users { 200 } else { 401 });
        // The token lets its bearer change things, and read nothing.
        let read = |headers: &[&str]| status(daemon.address(), "/metrics", headers);
        assert_eq!(read(&[]), if with_users { 401 } else { 200 });
        assert_eq!(read(&[&right]), if with_users { 401 } else { 200 });

        let url = format!("http://{}", daemon.address());
        let accept = ["baseline", "accept", "orders", "--server", &url];
        let run = cachewatch(&accept).run();
        let words = if with_users { "give --user NAME" } else { "the token of server.admin_token_file is required" };
        assert!(run.code == Some(3) && run.stderr.contains(words), "{run:?}");
        daemon.wait_until("an answer to accept", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
        let file = token.to_str().unwrap();
        let option = [&accept[..], &["--token-file", file]].concat();
        for call in [cachewatch(&option), cachewatch(&accept).env("CACHEWATCH_SERVER_TOKEN_FILE", file)] {
            let run = call.run();
            assert!(run.code == Some(0) && run.stderr.is_empty(), "{run:?}");
        }
        assert!(!daemon.log().contains(TOKEN));
    }
}

#[test]
fn a_token_is_replaced_and_never_taken_away() {
    let files = Files::new();
    let token = files.write("token", "the-first-token-of-all\n");
    let daemon = Daemon::start(&format!("[server]\nadmin_token_file = {}\n{CACHE}", quoted(&token)));
    let takes = |token: &str| {
        ask(daemon.address(), "POST", "/-/reload", &[&format!("Authorization: Bearer {token}")]).status == 200
    };
    assert!(takes("the-first-token-of-all"));
    files.write("token", "the-second-token-of-all");
    daemon.wait_until("the new token", |_| takes("the-second-token-of-all").then_some(()));
    assert!(!takes("the-first-token-of-all"));
    for (text, words) in [("", "token: contains no token"), ("hunter2-hunter2", "token: the token has 15 characters")] {
        files.write("token", text);
        let told = daemon.wait_for_record(|record| {
            let message = field(record, "message")?;
            message.contains(words).then(|| message.to_owned())
        });
        assert!(
            told.starts_with("a changed file is refused, the previous one stays in use") && !told.contains("hunter2"),
            "{told}"
        );
        assert!(takes("the-second-token-of-all"));
        assert_eq!(daemon.post("/-/reload").status, 401);
        let run = checked(&files, &format!("[server]\nadmin_token_file = {}", quoted(&token)));
        assert!(run.code == Some(3) && run.stderr.starts_with(words) && !run.stderr.contains("hunter2"), "{run:?}");
    }
}

/// A request with exactly this `Host`, or without one.
fn asked_as(address: SocketAddr, path: &str, host: Option<&str>) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = host.map(|host| format!("Host: {host}\r\n")).unwrap_or_default();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n{host}\r\n").as_bytes()).unwrap();
    http::read(&mut BufReader::new(stream)).unwrap()
}

/// A page in a browser on this machine may be of an author whose name leads here.
#[test]
fn a_name_that_is_not_ours_reads_nothing() {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let daemon = Daemon::start(&format!("[server]\nallowed_hosts = [\"Cachewatch.example\"]\n{CACHE}"));
    let ours = [
        "127.0.0.1",
        "127.0.0.1:9847",
        "[::1]:9847",
        "10.0.0.9",
        "localhost",
        "LocalHost.:80",
        "orders.localhost:9847",
        machine.trim(),
        "cachewatch.example:9847",
    ];
    for host in ours.map(Some).into_iter().chain([None]) {
        assert_eq!(asked_as(daemon.address(), "/api/v1/caches", host).status, 200, "{host:?}");
    }
    let others = [
        "evil.example",
        "evil.example:9847",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "a:b",
        "a b",
    ];
    for host in others {
        for path in ["/", "/metrics", "/healthz", "/api/v1/caches", "/nowhere"] {
            let refused = asked_as(daemon.address(), path, Some(host));
            assert!(
                refused.status == 403 && refused.body.contains("server.allowed_hosts"),
                "{host} {path}: {refused:?}"
            );
            assert!(!refused.body.contains("evil"), "{refused:?}");
        }
        for path in OPEN {
            assert_ne!(asked_as(daemon.address(), path, Some(host)).status, 403, "{host} {path}");
        }
    }
    // Two that do not agree, and one in the request's own line.
    for head in [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost",
    ] {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(http::read(&mut BufReader::new(stream)).unwrap().status, 403, "{head}");
    }

    // Where credentials are asked for, a page has none.
    let files = Files::new();
    let users = files.write("users", &format!("alice:{}\n", hash(PASSWORD)));
    let guarded = Daemon::start(&format!("[server]\nbasic_auth_file = {}\n{CACHE}", quoted(&users)));
    assert_eq!(asked_as(guarded.address(), "/metrics", Some("evil.example")).status, 401);
    assert_eq!(status(guarded.address(), "/metrics", &["Host: evil.example", &basic("alice", PASSWORD)]), 200);
}

#[test]
fn only_a_user_with_the_right_password_is_let_in() {
    let files = Files::new();
    let users = files.write("users", &format!("# who may ask\n\nalice:{}\nbob:{}\n", hash(PASSWORD), hash("other")));
    let daemon = Daemon::start(&format!("[server]\nbasic_auth_file = {}\n{CACHE}", quoted(&users)));
    let address = daemon.address();
    let right = basic("alice", PASSWORD);
    for path in GUARDED {
        let refused = ask(address, "GET", path, &[]);
        let challenge = refused.header("www-authenticate").map(|challenge| challenge.starts_with("Basic "));
        assert_eq!((refused.status, challenge), (401, Some(true)), "{path}");
        assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
        assert_ne!(status(address, path, &[&right]), 401, "{path}");
    }
    for path in OPEN {
        assert_ne!(status(address, path, &[]), 401, "{path}");
    }
    for path in ["//livez", "/livez/", "/%6civez", "/livez/../metrics", "/livez%2f..%2fmetrics"] {
        assert_eq!(status(address, path, &[]), 401, "{path}");
    }
    let wrong =
        [basic("alice", "other"), basic("alice", ""), basic("bob", PASSWORD), basic("nobody", PASSWORD), basic("", "")];
    for login in &wrong {
        assert_eq!(status(address, "/metrics", &[login]), 401, "{login}");
    }
    for nonsense in ["Authorization: Basic", "Authorization: Basic %%%", "Authorization: Bearer x", "Authorization: "] {
        assert_eq!(status(address, "/metrics", &[nonsense]), 401, "{nonsense}");
    }
    assert_eq!(ask(address, "POST", "/-/reload", &[]).status, 401);
    assert_eq!(ask(address, "POST", "/-/reload", &[&right, "X-Forwarded-For: 10.0.0.9"]).status, 200);
    assert_eq!(ask(address, "POST", "/-/reload", &[&right, "Origin: http://127.0.0.1"]).status, 403);

    let counted = format!("cachewatch_http_auth_failures_total {}\n", wrong.len());
    let metrics = ask(address, "GET", "/metrics", &[&right]).body;
    assert!(metrics.contains(&counted), "{metrics}");
    let told = daemon.log().matches("a wrong user, password or token was given").count();
    assert_eq!(told, 1, "{}", daemon.log());
    assert!(!daemon.log().contains(PASSWORD) && !daemon.log().contains("nobody"), "{}", daemon.log());
}

/// A scrape every few seconds must not cost a bcrypt each time; a wrong password must, every time.
#[test]
fn a_right_password_is_verified_once() {
    let files = Files::new();
    let dear = bcrypt::hash(PASSWORD, 11).unwrap();
    let users = files.write("users", &format!("alice:{dear}\n"));
    let daemon = Daemon::start(&format!("[server]\nbasic_auth_file = {}\n{CACHE}", quoted(&users)));
    // Work is what is measured, for time on a busy machine is also what others do.
    let took = |login: &str| {
        let before = daemon.processor_time();
        let status = status(daemon.address(), "/api/v1/caches", &[login]);
        (status, daemon.processor_time().saturating_sub(before))
    };
    let (first, dear) = took(&basic("alice", PASSWORD));
    let before = daemon.processor_time();
    for _ in 0..20 {
        assert_eq!(took(&basic("alice", PASSWORD)).0, 200);
    }
    let cheap = daemon.processor_time().saturating_sub(before);
    assert_eq!(first, 200);
    assert!(cheap < dear * 10, "20 more took {cheap:?}, the first {dear:?}");
    for user in ["alice", "nobody"] {
        let (status, wrong) = took(&basic(user, "wrong"));
        assert!(status == 401 && wrong * 4 > dear, "{user}: {status} in {wrong:?}, where a right one takes {dear:?}");
    }
}

#[test]
fn users_are_replaced_while_the_daemon_runs() {
    let files = Files::new();
    let users = files.write("users", &format!("alice:{}\n", hash(PASSWORD)));
    let daemon = Daemon::start(&format!("[server]\nbasic_auth_file = {}\n{CACHE}", quoted(&users)));
    let lets_in = |user: &str, password: &str| status(daemon.address(), "/metrics", &[&basic(user, password)]) == 200;
    assert!(lets_in("alice", PASSWORD));

    files.write("users", &format!("alice:{}\nbob:{}\n", hash("new"), hash("bob's")));
    daemon.wait_until("the new password", |_| lets_in("alice", "new").then_some(()));
    assert!(!lets_in("alice", PASSWORD), "a remembered password outlived its file");
    assert!(lets_in("bob", "bob's"));

    let secret = "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/";
    for (text, words) in [
        (format!("alice:{secret}\n"), ":1: the password is stored as an MD5 hash, and only bcrypt is supported"),
        (String::new(), ": contains no user"),
    ] {
        files.write("users", &text);
        let told = daemon.wait_for_record(|record| {
            let message = field(record, "message")?;
            message.contains(words).then(|| message.to_owned())
        });
        assert!(
            told.starts_with("a changed file is refused, the previous one stays in use") && !told.contains(secret),
            "{told}"
        );
        assert!(lets_in("alice", "new") && lets_in("bob", "bob's"));
        let metrics = ask(daemon.address(), "GET", "/metrics", &[&basic("bob", "bob's")]).body;
        assert!(metrics.contains("cachewatch_http_files_last_reload_successful 0\n"), "{metrics}");
    }
    files.write("users", &format!("carol:{}\n", hash("carol's")));
    daemon.wait_until("a good file again", |_| lets_in("carol", "carol's").then_some(()));
    assert!(!lets_in("alice", "new") && !lets_in("bob", "bob's"));
}

/// The number of the certificate that is shown.
fn shown(authority: &Authority, address: SocketAddr) -> Vec<u8> {
    let mut session = authority.connect(address, NAME).unwrap();
    session.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let chain = session.conn.peer_certificates().unwrap();
    chain[0].to_vec()
}

#[test]
fn the_certificate_is_replaced_while_the_daemon_runs() {
    let authority = Authority::new();
    let files = Files::new();
    files.copy(&authority.leaf(&[NAME]));
    let daemon = Daemon::start(&(tls_server(&files, "") + CACHE));
    let address = daemon.address();
    let first = shown(&authority, address);

    let plain = http::get(address, "/livez");
    assert!(plain.is_err(), "HTTP in the clear on a port with TLS: {plain:?}");

    // A certificate without its key changes nothing; the pair, once both are there, does.
    let second = authority.leaf(&[NAME]);
    files.write("cert.pem", &fs::read_to_string(second.cert_file()).unwrap());
    daemon.wait_for_record(|record| {
        field(record, "message")?.contains("key.pem: is not the key of the certificate in").then_some(())
    });
    assert_eq!(shown(&authority, address), first);
    files.copy(&second);
    let changed = daemon.wait_until("another certificate", |_| {
        Some(shown(&authority, address)).filter(|certificate| *certificate != first)
    });

    fs::remove_file(files.path("key.pem")).unwrap();
    daemon.wait_for_record(|record| field(record, "message")?.contains("key.pem: cannot be read").then_some(()));
    assert_eq!(shown(&authority, address), changed);
}

/// One request over TLS, the handshake included.
fn over_tls(
    authority: &Authority,
    leaf: Option<&Leaf>,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
) -> io::Result<Response> {
    request_over(authority.connect_as(leaf, address, NAME)?, method, path, headers)
}

#[test]
fn only_the_right_client_certificate_is_let_in() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new();
    files.copy(&authority.leaf(&[NAME]));
    let ca = format!("client_ca_file = {}", quoted(&clients.ca_file()));
    let daemon = Daemon::start(&(tls_server(&files, &ca) + CACHE));
    let ask = |leaf: Option<&Leaf>, method, path| over_tls(&authority, leaf, daemon.address(), method, path, &[]);

    let right = clients.leaf(&["prometheus.test"]);
    assert_eq!(ask(Some(&right), "GET", "/metrics").unwrap().status, 200);
    assert_eq!(ask(Some(&right), "POST", "/-/reload").unwrap().status, 200);
    for (case, leaf) in [
        ("none", None),
        ("of a stranger", Some(strangers.leaf(&["prometheus.test"]))),
        ("expired", Some(clients.expired(&["prometheus.test"]))),
        ("early", Some(clients.not_yet_valid(&["prometheus.test"]))),
        ("self-signed", Some(Leaf::self_signed(&["prometheus.test"]))),
    ] {
        let answer = ask(leaf.as_ref(), "GET", "/livez");
        assert!(answer.is_err(), "{case}: {answer:?}");
    }
    let metrics = ask(Some(&right), "GET", "/metrics").unwrap().body;
    assert!(metrics.contains("cachewatch_http_tls_handshake_failures_total 5\n"), "{metrics}");
}

#[test]
fn the_shared_format_of_exporters_means_the_same() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new();
    files.copy(&authority.leaf(&[NAME]));
    files.write("ca.pem", &fs::read_to_string(clients.ca_file()).unwrap());
    let users = files.write("users", &format!("alice:{}\n", hash(PASSWORD)));
    let web = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_ca_file: ca.pem\n  \
               client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS12\n  max_version: TLS13\n  \
               cipher_suites:\n    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n    - TLS_AES_128_GCM_SHA256\n  \
               curve_preferences: [CurveP256]\n  prefer_server_cipher_suites: true\n";
    let extra = "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
                 Strict-Transport-Security: max-age=60\n    Content-Security-Policy:\n";
    let web = files.write("web.yml", &format!("{web}{extra}basic_auth_users:\n  alice: {}\n", hash(PASSWORD)));
    let own = format!(
        "[server]\nbasic_auth_file = {}\n{}{CACHE}",
        quoted(&users),
        tls_server(&files, &format!("client_ca_file = {}", quoted(&files.path("ca.pem"))))
    );
    let named = format!("[server]\nweb_config_file = {}\n{CACHE}", quoted(&web));
    let (own, named, bare) =
        (files.write("own.toml", &own), files.write("named.toml", &named), files.write("bare.toml", CACHE));
    let option = ["--web.config.file", web.to_str().unwrap()];
    for (configuration, option) in [(own, &[][..]), (named, &[]), (bare, &option)] {
        let arguments = [&["--config", configuration.to_str().unwrap()], option].concat();
        let daemon = Daemon::start_with(&arguments, &[]);
        let leaf = clients.leaf(&["prometheus.test"]);
        let ask = |leaf, headers: &[&str]| over_tls(&authority, leaf, daemon.address(), "GET", "/metrics", headers);
        let right = basic("alice", PASSWORD);
        assert!(ask(None, &[&right]).is_err(), "{arguments:?}");
        assert_eq!(ask(Some(&leaf), &[]).unwrap().status, 401, "{arguments:?}");
        assert_eq!(ask(Some(&leaf), &[&basic("alice", "wrong")]).unwrap().status, 401, "{arguments:?}");
        let answer = ask(Some(&leaf), &[&right]).unwrap();
        assert_eq!(answer.status, 200, "{arguments:?}");
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        let is_web = !configuration.ends_with("own.toml");
        assert_eq!(answer.header("x-frame-options"), is_web.then_some("deny"));
        assert_eq!(answer.header("strict-transport-security"), is_web.then_some("max-age=60"));

        let mut session = authority.connect_as(Some(&leaf), daemon.address(), NAME).unwrap();
        session.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
        session.read_exact(&mut [0]).unwrap();
        let suite = session.conn.negotiated_cipher_suite().unwrap().suite();
        let group = session.conn.negotiated_key_exchange_group().unwrap().name();
        let agreed = (suite.as_str().unwrap(), format!("{group:?}"));
        let expected =
            if is_web { ("TLS13_AES_128_GCM_SHA256", "secp256r1") } else { ("TLS13_AES_256_GCM_SHA384", "X25519") };
        assert_eq!(agreed, (expected.0, expected.1.to_owned()));
    }
}

#[test]
fn a_web_configuration_is_read_again_and_never_takes_a_guard_away() {
    let files = Files::new();
    let users = |password: &str| format!("basic_auth_users:\n  alice: {}\n", hash(password));
    let web = files.write("web.yml", &users("one"));
    let daemon = Daemon::start(&format!("[server]\nweb_config_file = {}\n{CACHE}", quoted(&web)));
    let lets_in = |password: &str| status(daemon.address(), "/metrics", &[&basic("alice", password)]) == 200;
    assert!(lets_in("one"));
    files.write("web.yml", &users("two"));
    daemon.wait_until("the new password", |_| lets_in("two").then_some(()));
    assert!(!lets_in("one"));
    files.write("web.yml", "");
    daemon.wait_for_record(|record| field(record, "message")?.contains("web.yml: removes users").then_some(()));
    assert!(lets_in("two"));
    assert_eq!(status(daemon.address(), "/metrics", &[]), 401);
    files.write("web.yml", &(users("three") + "rate_limit:\n  interval: 1h\n  burst: 3\n"));
    daemon.wait_until("the rate", |daemon| (status(daemon.address(), "/metrics", &[]) == 429).then_some(()));
    assert_ne!(status(daemon.address(), "/livez", &[]), 429);
}

/// What `config check` says of this `[server]`, with the directory of the files left out.
fn checked(files: &Files, server: &str) -> Run {
    let configuration = files.write("config.toml", &format!("{server}\n{CACHE}"));
    let mut run = cachewatch(&["config", "check", "--config", configuration.to_str().unwrap()]).run();
    run.stderr = run.stderr.replace(&format!("{}/", files.0.path().display()), "");
    run
}

#[test]
fn files_that_guard_nothing_are_refused_with_file_and_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let files = Files::new();
    files.copy(&authority.leaf(&[NAME]));
    files.write("other.pem", &fs::read_to_string(other.leaf(&[NAME]).key_file()).unwrap());
    files.write("empty", "");
    let secret = "hunter2hunter2";
    let good = hash(PASSWORD);
    let at = |name: &str| quoted(&files.path(name));
    let tls = |cert: &str, key: &str, more: &str| {
        format!("[server.tls]\ncert_file = {}\nkey_file = {}\n{more}", at(cert), at(key))
    };
    let users = |text: &str| {
        files.write("users", text);
        format!("[server]\nbasic_auth_file = {}", at("users"))
    };
    let mut cases = vec![
        (tls("missing", "key.pem", ""), "missing: cannot be read: No such file or directory (os error 2)".to_owned()),
        (tls("empty", "key.pem", ""), "empty: holds no certificate in PEM".to_owned()),
        (tls("cert.pem", "empty", ""), "empty: holds no private key in PEM: no items found".to_owned()),
        (tls("cert.pem", "cert.pem", ""), "cert.pem: holds no private key in PEM: no items found".to_owned()),
        (tls("cert.pem", "other.pem", ""), "other.pem: is not the key of the certificate in cert.pem".to_owned()),
        (
            tls("cert.pem", "key.pem", &format!("client_ca_file = {}", at("empty"))),
            "empty: holds no certificate in PEM".to_owned(),
        ),
    ];
    for (server, words) in cases.drain(..) {
        let run = checked(&files, &server);
        assert_eq!((run.code, run.stderr.as_str()), (Some(3), format!("{words}\n").as_str()), "{server}");
    }
    let apr = "alice:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/";
    for (text, words) in [
        ("", "users: contains no user; make one with `htpasswd -nB NAME`, or do not set the file"),
        ("alice", "users:1: is not `user:hash`; make one with `htpasswd -nB NAME`"),
        (
            apr,
            "users:1: the password is stored as an MD5 hash, and only bcrypt is supported; make one with `htpasswd -nB NAME`",
        ),
        (
            "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "users:1: the password is stored as a SHA-1 hash, and only bcrypt is supported; make one with `htpasswd -nB NAME`",
        ),
        (
            "alice:hunter2hunter2",
            "users:1: the text after the user is not a bcrypt hash (not shown: it may be a password); make one with `htpasswd -nB NAME`",
        ),
        (
            "alice:$2y$10$hunter2hunter2",
            "users:1: the bcrypt hash is cut short or damaged (not shown); make one with `htpasswd -nB NAME`",
        ),
        (
            &good.replace("$04$", "$31$").replacen('$', "alice:$", 1),
            "users:1: the bcrypt hash has the cost 31; allowed are 4 to 17; `htpasswd -nBC 10 NAME`",
        ),
        (
            &format!("alice:{good}\n\nalice:{good}"),
            "users:3: this user is on an earlier line as well; remove one of the two",
        ),
        (
            &format!(":{good}\nbob:x"),
            "users:1: the user has no name\nusers:2: the text after the user is not a bcrypt hash (not shown: it may be a password); make one with `htpasswd -nB NAME`",
        ),
    ] {
        let run = checked(&files, &users(text));
        assert_eq!((run.code, run.stderr.as_str()), (Some(3), format!("{words}\n").as_str()), "{text}");
        assert!(!run.stderr.contains(secret) && !run.stderr.contains(&good));
    }
}

/// Every `tests/config/web/*.yml` asks for one thing that it cannot have, and has the exact words of its refusal beside it.
///
/// `CACHEWATCH_BLESS=1` writes the words down anew; read the difference before committing it.
#[test]
fn what_a_web_configuration_asks_for_and_cannot_have_is_refused_by_name() {
    let directory = "tests/config/web";
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|own| own == "yml")).collect();
    assert!(files.len() > 20);
    for file in files {
        let path = file.to_str().unwrap();
        let run = cachewatch(&["config", "check"]).env("CACHEWATCH__SERVER__WEB_CONFIG_FILE", path).run();
        let said = run.stderr.replace(&format!("{directory}/"), "");
        let words = file.with_extension("txt");
        if std::env::var_os("CACHEWATCH_BLESS").is_some() {
            fs::write(&words, &said).unwrap();
        }
        let words = fs::read_to_string(words).unwrap_or_default();
        assert_eq!((run.code, said.as_str()), (Some(3), words.as_str()), "{path}");
        assert!(!said.contains("hunter2") && !said.contains("$2b$"), "{said}");
    }
    let run = cachewatch(&["run", "127.0.0.1:1", "--web.config.file", "/nowhere/web.yml"]).run();
    let said = "/nowhere/web.yml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!((run.code, run.stderr.as_str()), (Some(3), said));
}

/// Connects, says this, and reads until the other side has closed or broken off; how long that took, from before the
/// connection.
fn until_closed(address: SocketAddr, words: &[u8]) -> Duration {
    let watch = Stopwatch::start();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(words).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return watch.elapsed(),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("still open after {PATIENCE:?}")
            }
            Err(_) => return watch.elapsed(),
        }
    }
}

/// Sends a byte every 200 ms until nobody takes it, and says how long that took and what came back.
fn drip(address: SocketAddr, head: &str) -> (Duration, String) {
    let watch = Stopwatch::start();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut said = String::new();
    let mut bytes = [0; 1024];
    while watch.elapsed() < PATIENCE {
        match stream.read(&mut bytes) {
            Ok(0) => return (watch.elapsed(), said),
            Ok(read) => said += &String::from_utf8_lossy(&bytes[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let _ = stream.write_all(b"x");
            }
            Err(_) => return (watch.elapsed(), said),
        }
    }
    panic!("still open after {PATIENCE:?}: {said}")
}

#[test]
fn a_slow_client_is_cut_off_and_harms_no_other() {
    let authority = Authority::new();
    let files = Files::new();
    files.copy(&authority.leaf(&[NAME]));
    let (plain, tls) = (Daemon::start(CACHE), Daemon::start(&(tls_server(&files, "") + CACHE)));
    // Ten seconds for a head, a body or a handshake, and what a busy machine adds; an idle connection has 75.
    let limit = Duration::from_secs(10)..Duration::from_secs(10) + SLACK;
    thread::scope(|scope| {
        let silent = scope.spawn(|| until_closed(plain.address(), b""));
        let head = scope.spawn(|| drip(plain.address(), "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: "));
        let body = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n";
        let body = scope.spawn(|| drip(plain.address(), body));
        let half_open = scope.spawn(|| until_closed(tls.address(), b""));
        // The beginning of a record that holds a ClientHello, and no more of it.
        let hello = scope.spawn(|| until_closed(tls.address(), &[22, 3, 1, 2, 0, 1, 0, 1]));
        assert_eq!(plain.get("/livez").status, 200);
        assert_eq!(over_tls(&authority, None, tls.address(), "GET", "/livez", &[]).unwrap().status, 200);
        for (case, slow) in [("silent", silent), ("half open", half_open), ("half a hello", hello)] {
            let took = slow.join().unwrap();
            assert!(limit.contains(&took), "{case}: {took:?}");
        }
        let (took, said) = head.join().unwrap();
        assert!(limit.contains(&took) && said.is_empty(), "{took:?} {said}");
        let (took, said) = body.join().unwrap();
        assert!(limit.contains(&took) && said.starts_with("HTTP/1.1 408 "), "{took:?} {said}");
    });
    assert_eq!(plain.get("/livez").status, 200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let daemon = Daemon::start(CACHE);
    let long = format!("X-Long: {}", "x".repeat(72 << 10));
    let many: Vec<_> = (0..200).map(|number| format!("X-{number}: x")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (case, headers) in [("long", vec![long.as_str()]), ("many", many)] {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", headers.join("\r\n"));
        // Who is refused before all is sent may see the connection break.
        let _ = stream.write_all(head.as_bytes());
        match http::read(&mut BufReader::new(stream)) {
            Ok(answer) => assert_eq!(answer.status, 431, "{case}"),
            Err(error) => assert!(case == "long" && error.kind() == ErrorKind::ConnectionReset, "{case}: {error}"),
        }
        assert_eq!(daemon.get("/livez").status, 200);
    }
}

/// Pages that are left open leave room for what they fetch.
#[test]
fn streams_hold_at_most_a_quarter_of_the_connections() {
    const MOST: usize = 8;
    let daemon = Daemon::start(&format!("[server]\nmax_connections = {MOST}\n{CACHE}"));
    let open = |_| {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    let (held, said): (Vec<_>, Vec<_>) = (0..MOST / 4 + 2).map(open).unzip();
    let expected: Vec<_> =
        (0..MOST / 4 + 2).map(|at| if at < MOST / 4 { "HTTP/1.1 200" } else { "HTTP/1.1 503" }).collect();
    assert_eq!(said, expected);
    assert_eq!(daemon.get("/api/v1/caches").status, 200);
    drop(held);
}

/// Out of descriptors, the loop waits instead of turning as fast as it can, and goes on once there are some.
#[test]
fn a_want_of_descriptors_neither_ends_the_loop_nor_spins_it() {
    const TOLD: &str = "cannot accept connections; trying again";
    let daemon = Daemon::start(CACHE);
    let pid = Pid::from_raw(daemon.pid().cast_signed()).unwrap();
    let before = getrlimit(Resource::Nofile);
    let open = daemon.open_files() as u64;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open + 2), ..before }).unwrap();
    let held: Vec<_> = (0..8).map(|_| TcpStream::connect(daemon.address()).unwrap()).collect();
    let is_told = |record: &Value| field(record, "message")?.starts_with(TOLD).then_some(());
    daemon.wait_for_record(is_told);
    // By the times of its log: the test may hear of them late.
    let mut times = Vec::new();
    daemon.wait_for_record(|record| {
        times.extend(
            is_told(record).map(|()| serde_json::from_value::<Timestamp>(record["timestamp"].clone()).unwrap()),
        );
        (times.len() == 3).then_some(())
    });
    let took = times[2].since(times[0]);
    assert!(took > Duration::from_secs(1), "three times within {took:?}");
    drop(held);
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    daemon.wait_until("an answer", |daemon| http::get(daemon.address(), "/livez").ok());
}

#[test]
fn an_open_connection_does_not_hold_up_the_end() {
    let grace = PATIENCE / 2;
    let mut daemon = Daemon::start(&format!("[server]\nshutdown_grace = \"{}s\"\n{CACHE}", grace.as_secs()));
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    let watch = Stopwatch::start();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(watch.elapsed() < grace, "{:?}", watch.elapsed());
    assert!(daemon.log().contains("\"stopped\""), "{}", daemon.log());
}

/// A daemon for which a name led to another address lately, so that there is something to accept.
fn drifted(fleet: &Fleet, server: &str) -> Daemon {
    fleet.lead("orders", PRIVATE);
    fleet.names.set(&host("silent"), Answer::new().servfail());
    let probe = "interval = \"1s\"\ntimeout = \"950ms\"\njitter = 0.0\n";
    let caches = fleet.cache("orders", "") + &fleet.cache("silent", "");
    Daemon::start(&format!("{server}\n{}{caches}", fleet.settings(probe)))
}

#[test]
fn a_baseline_is_accepted_by_command() {
    let fleet = Fleet::new();
    let daemon = drifted(&fleet, "");
    let orders = |daemon: &Daemon| daemon.get("/api/v1/caches/orders").json();
    let has_drift = |document: &Value| {
        let findings = document["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["id"] == "dns-drift")
    };
    daemon.wait_until("the first answer", |daemon| (daemon.get("/readyz").status == 200).then_some(()));
    fleet.lead("orders", PUBLIC);
    daemon.wait_until("drift", |daemon| has_drift(&orders(daemon)).then_some(()));

    let server = format!("http://{}", daemon.address());
    let run = cachewatch(&["baseline", "accept", "orders", "--server", &server]).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert!(run.stdout.starts_with("accepted: orders, resolver lab: 10.20.1.4 → 20.50.1.10\n"), "{run:?}");
    let document = orders(&daemon);
    let events = document["events"].as_array().unwrap();
    let accepted = events.iter().find(|event| event["kind"] == "baseline_accepted").unwrap();
    assert_eq!((&accepted["before"], &accepted["after"]), (&json!("10.20.1.4"), &json!("20.50.1.10")));
    assert!(daemon.log().contains("baseline_accepted"));
    daemon.wait_until("no drift", |daemon| (!has_drift(&orders(daemon))).then_some(()));

    let files = Files::new();
    let configuration = files.write("c.toml", &format!("[server]\nlisten = \"0.0.0.0:{}\"\n", daemon.address().port()));
    let configuration = configuration.to_str().unwrap();
    let run = cachewatch(&["baseline", "accept", "orders", "--config", configuration]).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");

    for (name, words) in [
        ("nobody", "no cache named nobody; configured: orders, silent\n"),
        ("order", "no cache named order; configured: orders, silent; did you mean orders?\n"),
        ("silent", "409: no resolver has answered"),
        ("a/b", "\"a/b\" is not the name of a cache"),
    ] {
        let run = cachewatch(&["baseline", "accept", name, "--server", &server]).run();
        assert!(run.code == Some(3) && run.stdout.is_empty() && run.stderr.contains(words), "{run:?}");
    }
    drop(daemon);
    let run = cachewatch(&["baseline", "accept", "orders", "--server", &server]).run();
    let words = format!("cannot reach {server}/api/v1/caches/orders/baseline: Connection refused");
    assert!(run.code == Some(3) && run.stderr.starts_with(&words), "{run:?}");
    assert!(run.stderr.contains("is the daemon running"), "{run:?}");
}

#[test]
fn the_command_shows_who_it_is() {
    let fleet = Fleet::new();
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new();
    files.copy(&authority.leaf(&["localhost"]));
    let users = files.write("users", &format!("alice:{}\n", hash(PASSWORD)));
    let server = format!(
        "[server]\nbasic_auth_file = {}\n{}",
        quoted(&users),
        tls_server(&files, &format!("client_ca_file = {}", quoted(&clients.ca_file())))
    );
    let daemon = drifted(&fleet, &server);
    let leaf = clients.leaf(&["ops.test"]);
    let password = files.write("password", &format!("{PASSWORD}\n"));
    let url = format!("https://localhost:{}", daemon.address().port());
    let (ca, cert, key) = (authority.ca_file(), leaf.cert_file(), leaf.key_file());
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let identity = ["--client-cert", &text(&cert), "--client-key", &text(&key)].map(str::to_owned);
    let trust = ["--ca-file", &text(&ca)].map(str::to_owned);
    let login = ["--user", "alice", "--password-file", &text(&password)].map(str::to_owned);
    let call = |url: &str, options: &[&[String]], environment: &[(&str, &str)]| {
        let options: Vec<_> = options.concat();
        let mut arguments = vec!["baseline", "accept", "orders", "--server", url];
        arguments.extend(options.iter().map(String::as_str));
        environment.iter().fold(cachewatch(&arguments), |call, (name, value)| call.env(name, value)).run()
    };
    // The first round may not have ended yet.
    daemon.wait_until("something to accept", |_| {
        (call(&url, &[&trust, &identity, &login], &[]).code == Some(0)).then_some(())
    });
    let variable = [("CACHEWATCH_SERVER_PASSWORD", PASSWORD)];
    let user = ["--user".to_owned(), "alice".to_owned()];
    assert_eq!(call(&url, &[&trust, &identity, &user], &variable).code, Some(0));

    let wrong = [("CACHEWATCH_SERVER_PASSWORD", "hunter2hunter2")];
    let numeric = format!("https://127.0.0.1:{}", daemon.address().port());
    let plain = format!("http://localhost:{}", daemon.address().port());
    let no_options: &[&[String]] = &[];
    for (url, options, environment, words) in [
        (&url, &[&trust[..], &identity, &user][..], &wrong[..], "401: the user or the password is wrong"),
        (&url, &[&trust, &identity], &[], "401: a user and a password are required; give --user NAME"),
        (&url, &[&trust, &login], &[], "asks for a client certificate: --client-cert FILE"),
        (&numeric, &[&trust, &identity, &login], &[], "is for another name: use that name"),
        (&plain, &[&login], &[], "if the daemon uses TLS, write https://"),
        (&url, &[&user], &[], "--user needs a password"),
        (&url, no_options, &[], "name the roots with --ca-file"),
    ] {
        let run = call(url, options, environment);
        assert!(run.code == Some(3) && run.stderr.contains(words), "{words}: {run:?}");
        assert!(!run.stderr.contains("hunter2") && !run.stderr.contains(PASSWORD), "{run:?}");
    }
}
