//! Stage one by every protocol: real name servers, right and wrong certificates, and servers that are no name servers.

use std::{
    convert::Infallible,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use cachewatch::{
    clock::Stopwatch,
    model::{Cache, Protocol, Resolution, Resolver, SystemFiles, Timeouts, Tls},
};
use futures_util::{StreamExt, stream};
use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tempfile::TempDir;
use testlab::{
    background::Background,
    cache::{AMPLE, SLACK, SOON, named, walk, walk_as},
    dns::{Answer, DnsServer},
    name_server::NameServer,
    net::Namespace,
    peer::{Peer, Step},
    pki::{Authority, Leaf},
    program::cachewatch,
};
use tokio_rustls::TlsAcceptor;

const HOST: &str = "orders.test";
/// Where unbound answers, by every protocol, and where nsd does.
const UNBOUND: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 1);
const NSD: Ipv4Addr = Ipv4Addr::new(10, 53, 0, 2);
/// What a busy machine needs to answer something, where something else is waited for in vain.
const A_WHILE: Duration = Duration::from_secs(2);
/// The name on unbound's certificate, beside its address.
const NAME: &str = "dns.test";

/// The zones, as nsd holds them. Forty addresses are more than a datagram without EDNS takes.
fn zones() -> [(&'static str, String); 2] {
    let many = (1..=40).fold(String::new(), |mut text, last| {
        let _ = writeln!(text, "many 30 A 10.20.2.{last}");
        text
    });
    let test = "orders 300 CNAME orders.privatelink\ngone 300 CNAME gone.privatelink\nboth 60 A 10.20.1.5\n\
                both 50 AAAA fd00::5\nempty 60 TXT \"nothing\"\n";
    [("test", format!("{test}{many}")), ("privatelink.test", "orders 10 A 10.20.1.4\n".to_owned())]
}

/// nsd with the zones, and unbound that asks it; both over TLS as well, unbound over HTTPS too.
struct Site {
    network: Namespace,
    authority: Authority,
    _leaf: Leaf,
    _servers: [NameServer; 2],
}

impl Site {
    fn new() -> Self {
        let network = Namespace::new();
        for address in [UNBOUND, NSD] {
            network.add_address(address);
        }
        let authority = Authority::new();
        let leaf = authority.leaf(&[NAME, &UNBOUND.to_string(), &NSD.to_string()]);
        let servers = network.run(|| [nsd(&leaf), unbound(&leaf)]);
        Self { network, authority, _leaf: leaf, _servers: servers }
    }

    /// What is told of a name where this server is asked in this way.
    fn ask(&self, host: &str, server: Ipv4Addr, protocol: Protocol) -> Resolution {
        let tls = Tls { ca_file: Some(self.authority.ca_file()), server_name: None };
        self.resolve(host, &resolver((server, protocol.row().port), protocol, tls, Resolver::PATH), AMPLE.resolve)
    }

    fn resolve(&self, host: &str, resolver: &Resolver, limit: Duration) -> Resolution {
        self.network.run(|| resolve(host, resolver, limit))
    }
}

fn nsd(leaf: &Leaf) -> NameServer {
    let directory = TempDir::new().expect("a temporary directory");
    let home = directory.path().display();
    let (key, cert) = (leaf.key_file(), leaf.cert_file());
    let mut configuration = format!(
        "server:\n ip-address: {NSD}\n ip-address: {NSD}@853\n tls-port: 853\n tls-service-key: \"{}\"\n \
         tls-service-pem: \"{}\"\n server-count: 1\n username: \"\"\n zonesdir: \"{home}\"\n database: \"\"\n \
         zonelistfile: \"{home}/zones\"\n xfrdfile: \"{home}/transfers\"\n xfrdir: \"{home}\"\n pidfile: \"\"\n\
         remote-control:\n control-enable: no\n",
        key.display(),
        cert.display(),
    );
    for (zone, records) in zones() {
        let text = format!("$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 10\n@ NS ns.test.\n{records}");
        fs::write(directory.path().join(zone), text).expect("a temporary directory can be written to");
        let _ = writeln!(configuration, "zone:\n name: \"{zone}\"\n zonefile: \"{zone}\"");
    }
    let file = directory.path().join("nsd.conf");
    fs::write(&file, configuration).expect("a temporary directory can be written to");
    NameServer::nsd(&file, directory)
}

fn unbound(leaf: &Leaf) -> NameServer {
    let directory = TempDir::new().expect("a temporary directory");
    // nsd knows nothing of the zone `sick`, and says so, which is a SERVFAIL to who asks unbound.
    // Without `serve-original-ttl` a TTL would run down in unbound's cache from one question to the next.
    let configuration = format!(
        "server:\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n \
         module-config: \"iterator\"\n num-threads: 1\n do-ip6: no\n access-control: 0.0.0.0/0 allow\n \
         interface: {UNBOUND}@53\n interface: {UNBOUND}@853\n interface: {UNBOUND}@443\n tls-service-key: \"{}\"\n \
         tls-service-pem: \"{}\"\n serve-original-ttl: yes\n local-zone: \"test.\" nodefault\n \
         local-zone: \"closed.test.\" refuse\nremote-control:\n control-enable: no\n\
         stub-zone:\n name: \"test\"\n stub-addr: {NSD}\nstub-zone:\n name: \"privatelink.test\"\n stub-addr: {NSD}\n\
         stub-zone:\n name: \"sick\"\n stub-addr: {NSD}\n",
        directory.path().display(),
        leaf.key_file().display(),
        leaf.cert_file().display(),
    );
    let file = directory.path().join("unbound.conf");
    fs::write(&file, configuration).expect("a temporary directory can be written to");
    NameServer::unbound(&file, directory)
}

fn resolver(address: impl Into<SocketAddr>, protocol: Protocol, own: Tls, own_path: &str) -> Resolver {
    let mut resolver = Resolver::server("one", address.into(), protocol);
    if let Resolver::Server { tls, path, .. } = &mut resolver {
        (*tls, *path) = (own, own_path.to_owned());
    }
    resolver
}

/// Asks within this time, which the resolve stage must keep.
fn resolve(host: &str, resolver: &Resolver, limit: Duration) -> Resolution {
    let timeouts = Timeouts { resolve: limit, ..AMPLE };
    let cache = Cache { timeouts, resolvers: vec![resolver.clone()], ..named(host, ([127, 0, 0, 1], 1).into()) };
    let watch = Stopwatch::start();
    let report = walk(&cache);
    assert!(watch.elapsed() < limit + SLACK, "{:?}", watch.elapsed());
    report.lookup.followed().expect("every report has a resolution").clone()
}

/// What a resolution says, without how it came to know: chain, addresses, what is left of them, fault.
fn meaning(resolution: &Resolution) -> Vec<String> {
    let chain = resolution.chain.iter().map(|alias| format!("{} -> {} ({}s)", alias.owner, alias.target, alias.ttl));
    let answers = resolution.addresses.iter().map(|answer| format!("= {} ({:?}s)", answer.address, answer.ttl));
    let dropped = (resolution.addresses_dropped > 0).then(|| format!("and {} more", resolution.addresses_dropped));
    chain.chain(answers).chain(dropped).chain(told(resolution)).collect()
}

/// The fault in one line, if there is one.
fn told(resolution: &Resolution) -> Option<String> {
    resolution.fault.as_ref().map(|fault| format!("{}: {}", fault.kind, fault.detail))
}

#[test]
fn every_protocol_tells_the_same_of_the_same_zone() {
    let site = Site::new();
    let alias = |name: &str| format!("{name}.test -> {name}.privatelink.test (300s)");
    let cases = [
        (HOST, vec![alias("orders"), "= 10.20.1.4 (Some(10)s)".to_owned()]),
        ("both.test", vec!["= 10.20.1.5 (Some(60)s)".to_owned(), "= fd00::5 (Some(50)s)".to_owned()]),
        (
            "gone.test",
            vec![alias("gone"), "name_not_found: gone.privatelink.test does not exist (NXDOMAIN)".to_owned()],
        ),
        ("never.test", vec!["name_not_found: never.test does not exist (NXDOMAIN)".to_owned()]),
        ("empty.test", vec!["no_address: empty.test exists and has neither an A nor an AAAA record".to_owned()]),
        ("orders.sick", vec!["server_failure: SERVFAIL for orders.sick".to_owned()]),
        ("closed.test", vec!["query_refused: the name server refuses to answer for closed.test".to_owned()]),
    ];
    for protocol in Protocol::ALL {
        for (host, expected) in &cases {
            let resolution = site.ask(host, UNBOUND, *protocol);
            assert_eq!(meaning(&resolution), *expected, "{host} over {protocol}");
            let over: Vec<_> = resolution.queries.iter().map(|query| query.transport.as_str()).collect();
            assert!(over.iter().all(|over| over == &protocol.as_str()), "{host} over {protocol}: {over:?}");
        }
        let long = site.ask("many.test", UNBOUND, *protocol);
        assert_eq!((long.addresses.len(), long.addresses_dropped), (16, 24), "{protocol}");
    }
    // nsd speaks no HTTPS, and leaves the alias's end to be asked for in a second question over the same connection.
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Tls] {
        assert_eq!(meaning(&site.ask(HOST, NSD, protocol)), cases[0].1, "nsd over {protocol}");
    }
}

#[test]
fn a_server_must_prove_its_name_or_its_address() {
    let site = Site::new();
    let stranger = Authority::new();
    let ours = || Some(site.authority.ca_file());
    let named = |ca_file: Option<PathBuf>, name: &str| Tls { ca_file, server_name: Some(name.to_owned()) };
    for protocol in [Protocol::Tls, Protocol::Https] {
        let address = SocketAddr::from((UNBOUND, protocol.row().port));
        let said = |tls: Tls| {
            let resolution = site.resolve(HOST, &resolver(address, protocol, tls, Resolver::PATH), AMPLE.resolve);
            let outcomes: Vec<_> = resolution.queries.iter().map(|query| query.outcome.as_str()).collect();
            (told(&resolution), outcomes.join(" "))
        };
        assert_eq!(said(named(ours(), NAME)).0, None, "{protocol}");
        let untrusted = |words: &str| {
            let fault = format!("resolver_untrusted: the name server is not trusted: {address}: {words}");
            (Some(fault), "untrusted untrusted".to_owned())
        };
        let other = format!("the certificate covers {NAME}, {UNBOUND}, {NSD}, and not other.test");
        assert_eq!(said(named(ours(), "other.test")), untrusted(&other));
        let nobody = "no root trusted on this machine issued the certificate";
        assert_eq!(said(named(Some(stranger.ca_file()), NAME)), untrusted(nobody));

        let missing = said(named(Some("/no/such/file.pem".into()), NAME));
        let unreadable = "trust_unreadable: /no/such/file.pem: No such file or directory (os error 2)";
        assert_eq!(missing, (Some(unreadable.to_owned()), String::new()));
    }
}

#[test]
fn a_certificate_out_of_its_time_is_named() {
    let authority = Authority::new();
    let names = [NAME, "127.0.0.1"];
    let cases = [
        (authority.expired(&names), "the certificate has expired"),
        (authority.not_yet_valid(&names), "the certificate is not valid yet"),
        (Leaf::self_signed(&names), "no root trusted on this machine issued the certificate"),
        (authority.leaf(&[NAME]), "the certificate covers dns.test, and not 127.0.0.1"),
    ];
    for (leaf, words) in cases {
        let server = Peer::tls(leaf.server(), [Step::Hold]);
        for protocol in [Protocol::Tls, Protocol::Https] {
            let tls = Tls { ca_file: Some(authority.ca_file()), server_name: None };
            let resolution = resolve(HOST, &resolver(server.address(), protocol, tls, Resolver::PATH), AMPLE.resolve);
            let told = told(&resolution).expect("nobody proved anything");
            assert!(told.starts_with("resolver_untrusted: ") && told.ends_with(words), "{protocol}: {told}");
        }
        assert_eq!(server.connections(), 2, "one connection for each lookup, for both its questions");
    }
}

#[test]
fn what_does_not_speak_tls_is_told_from_what_does_not_answer() {
    let site = Site::new();
    let ours = || Tls { ca_file: Some(site.authority.ca_file()), server_name: None };
    let said = |port: u16, protocol: Protocol, path: &str, limit: Duration| {
        let resolution = site.resolve(HOST, &resolver((UNBOUND, port), protocol, ours(), path), limit);
        told(&resolution).unwrap_or_default()
    };
    let check = |said: String, expected: &str| assert_eq!(said, expected);
    check(
        said(53, Protocol::Tls, Resolver::PATH, A_WHILE),
        "not_tls: the name server does not speak TLS: 10.53.0.1:53: no answer to TLS; in plain text a name server answers \
         there",
    );
    let waited = said(53, Protocol::Https, Resolver::PATH, SOON);
    let expected = "timeout: no answer for orders.test in time: 10.53.0.1:53: the TLS handshake did not end within ";
    assert!(waited.starts_with(expected), "{waited}");
    for protocol in [Protocol::Tls, Protocol::Https] {
        check(
            said(8853, protocol, Resolver::PATH, AMPLE.resolve),
            "resolver_unreachable: the name server cannot be reached: 10.53.0.1:8853: Connection refused (os error 111)",
        );
    }
    check(
        said(443, Protocol::Https, "/elsewhere", AMPLE.resolve),
        "http_error: 10.53.0.1:443 answered POST https://10.53.0.1/elsewhere with status 404 Not Found; is the path right?",
    );
    // The port of one protocol asked by the other. HTTP/2 greets with bytes that are no answer, or hangs up before.
    let crossed = said(443, Protocol::Tls, Resolver::PATH, AMPLE.resolve);
    let expected =
        ["malformed_answer: 10.53.0.1:443: unreadable answer", "closed: 10.53.0.1:443 closed the connection"];
    assert!(expected.iter().any(|expected| crossed.starts_with(expected)), "{crossed}");
    site.network.filter("tcp dport 853 drop");
    let silent = said(853, Protocol::Tls, Resolver::PATH, SOON);
    assert!(
        silent.starts_with("timeout: no answer for orders.test in time: 10.53.0.1:853: no answer to SYN"),
        "{silent}"
    );
}

/// What is told of a server that speaks TLS as it should, and then takes these steps. Only a wait is cut short.
fn told_of(protocol: Protocol, steps: Vec<Step>, alpn: Option<&str>, is_awaited: bool) -> String {
    let authority = Authority::new();
    let mut config = ServerConfig::clone(&authority.leaf(&["127.0.0.1"]).server());
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    let server = Peer::tls(Arc::new(config), steps);
    let tls = Tls { ca_file: Some(authority.ca_file()), server_name: None };
    let limit = if is_awaited { SOON } else { AMPLE.resolve };
    let resolution = resolve(HOST, &resolver(server.address(), protocol, tls, Resolver::PATH), limit);
    assert_eq!(server.connections(), 1, "{resolution:?}");
    told(&resolution).expect("nobody answered").replace(&server.address().to_string(), "SERVER")
}

#[test]
fn whatever_a_server_says_in_http_is_told_for_what_it_is() {
    let said = |steps, expected: &str| told_of(Protocol::Https, steps, None, expected.starts_with("timeout"));
    let http = |head: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
        vec![Step::Hear, Step::say(head), Step::say(body)]
    };
    let ours = "200 OK\r\ncontent-type: application/dns-message";
    let answered = "http_error: SERVER answered POST https://SERVER/dns-query with";
    let cases = [
        ("no path", http("404 Not Found", b""), format!("{answered} status 404 Not Found; is the path right?")),
        ("forbidden", http("403 Forbidden", b"no"), format!("{answered} status 403 Forbidden")),
        ("broken", http("502 Bad Gateway", b""), format!("{answered} status 502 Bad Gateway")),
        (
            "a page",
            http("200 OK\r\ncontent-type: text/html; charset=utf-8", b"<html>"),
            format!("{answered} text/html, and not application/dns-message; is the path right?"),
        ),
        (
            "nothing said of it",
            http("200 OK", b"x"),
            format!("{answered} no content type, and not application/dns-message; is the path right?"),
        ),
        (
            "another's answer",
            http(ours, &[0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            "malformed_answer: SERVER: the answer belongs to another question".to_owned(),
        ),
        (
            "too large",
            http(ours, &b"x".repeat(70_000)),
            "reply_too_large: SERVER: the answer is larger than 64 KiB".to_owned(),
        ),
        (
            "endless",
            vec![
                Step::Hear,
                Step::say(format!("HTTP/1.1 {ours}\r\ntransfer-encoding: chunked\r\n\r\n")),
                Step::Repeat {
                    bytes: b"1000\r\n".iter().copied().chain([b'x'; 4096]).chain(*b"\r\n").collect(),
                    times: 4096,
                },
            ],
            "reply_too_large: SERVER: the answer is larger than 64 KiB".to_owned(),
        ),
        ("slow", vec![Step::Hold], "timeout: no answer for orders.test in time".to_owned()),
    ];
    for (case, steps, expected) in cases {
        assert_eq!(said(steps, &expected), expected, "{case}");
    }
    let begins = [
        ("noise", vec![Step::Hear, Step::say([7; 100])], "http_error: SERVER: "),
        ("noise in an answer", http(ours, b"noise"), "malformed_answer: SERVER: unreadable answer: "),
        ("closes", vec![Step::Hear], "closed: SERVER closed the connection without an answer"),
        ("resets", vec![Step::Hear, Step::Reset], "closed: SERVER"),
        (
            "closes in the answer",
            vec![Step::Hear, Step::say("HTTP/1.1 200 OK\r\ncontent-le")],
            "closed: SERVER closed the connection without an answer",
        ),
    ];
    for (case, steps, expected) in begins {
        let said = said(steps, expected);
        assert!(said.starts_with(expected), "{case}: {said}");
    }
}

#[test]
fn whatever_a_server_says_inside_tls_is_told_for_what_it_is() {
    let said = |steps, expected: &str| told_of(Protocol::Tls, steps, None, expected.starts_with("timeout"));
    let framed = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes(), bytes].concat();
    let stream = [
        ("slow", vec![Step::Hold], "timeout: no answer for orders.test in time"),
        ("closes", vec![Step::Hear], "closed: SERVER closed the connection without an answer"),
        (
            "closes in the answer",
            vec![Step::Hear, Step::say([0, 100, 1, 2])],
            "closed: SERVER closed the connection in the middle of an answer",
        ),
        (
            "another's answer",
            vec![Step::Hear, Step::say(framed(&[0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0])), Step::Hold],
            "malformed_answer: SERVER: the answer belongs to another question",
        ),
        (
            "half an answer",
            vec![Step::Hear, Step::say([0, 100, 1, 2]), Step::Hold],
            "timeout: no answer for orders.test in time",
        ),
    ];
    for (case, steps, expected) in stream {
        assert_eq!(said(steps, expected), expected, "{case}");
    }
    for (case, steps, expected) in [
        (
            "noise",
            vec![Step::Hear, Step::say(framed(b"noise")), Step::Hold],
            "malformed_answer: SERVER: unreadable answer: ",
        ),
        ("resets", vec![Step::Hear, Step::Reset], "closed: SERVER"),
    ] {
        let said = said(steps, expected);
        assert!(said.starts_with(expected), "{case}: {said}");
    }
    let plain = Peer::plain([Step::Hear, Step::say("HTTP/1.1 400 Bad Request\r\n\r\n")]);
    for protocol in [Protocol::Tls, Protocol::Https] {
        let resolver = resolver(plain.address(), protocol, Tls::default(), Resolver::PATH);
        let told = told(&resolve(HOST, &resolver, AMPLE.resolve)).expect("nobody answered");
        assert!(told.starts_with("not_tls: ") && told.contains("HTTP/1.1 400 Bad Request"), "{told}");
    }
}

/// The same over HTTP/2, which is another reader of what the server sends.
#[test]
fn whatever_a_server_says_in_http2_is_told_for_what_it_is() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    let settled = |then: &[Step]| [&[Step::Hear, Step::say(SETTINGS)], then].concat();
    let cases = [
        ("slow", settled(&[Step::Hold]), "timeout: no answer for orders.test in time"),
        ("closes", settled(&[]), "closed: SERVER closed the connection without an answer"),
        ("resets", settled(&[Step::Reset]), "closed: SERVER"),
        ("goes away", settled(&[Step::say(GOAWAY), Step::Hold]), "http_error: SERVER: "),
        ("noise", settled(&[Step::say([255; 64]), Step::Hold]), "http_error: SERVER: "),
        (
            "flood",
            settled(&[Step::Repeat { bytes: PING.repeat(1000), times: 1000 }, Step::Hold]),
            "reply_too_large: SERVER sent 1 MiB and no answer",
        ),
    ];
    for (case, steps, expected) in cases {
        let said = told_of(Protocol::Https, steps, Some("h2"), expected.starts_with("timeout"));
        assert!(said.starts_with(expected), "{case}: {said}");
    }
}

/// A server that answers each question with so many addresses, in pieces of this length: DATA frames of HTTP/2, or chunks of
/// HTTP/1.1.
struct Piecemeal {
    address: SocketAddr,
    authority: Authority,
    _service: Background,
}

impl Piecemeal {
    fn start(alpn: &str, addresses: u16, length: usize) -> Self {
        let authority = Authority::new();
        let mut config = ServerConfig::clone(&authority.leaf(&["127.0.0.1"]).server());
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let is_http2 = alpn == "h2";
        let service = Background::run("pieces", async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |request| in_pieces(request, addresses, length));
                    // It ends as the client likes.
                    if is_http2 {
                        let _ = http2::Builder::new(Here).serve_connection(TokioIo::new(stream), answer).await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                    }
                });
            }
        });
        Self { address, authority, _service: service }
    }

    fn ask(&self) -> Resolution {
        let tls = Tls { ca_file: Some(self.authority.ca_file()), server_name: None };
        resolve(HOST, &resolver(self.address, Protocol::Https, tls, Resolver::PATH), AMPLE.resolve)
    }
}

/// Starts what HTTP/2 does in the background.
#[derive(Clone)]
struct Here;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Here {
    fn execute(&self, work: F) {
        tokio::spawn(work);
    }
}

async fn in_pieces(
    request: Request<Incoming>,
    addresses: u16,
    length: usize,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let question = request.into_body().collect().await?.to_bytes();
    let question = Message::from_vec(&question).expect("the client asks in order");
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    let (name, kind) = (question.queries[0].name().clone(), question.queries[0].query_type());
    answer.add_query(question.queries[0].clone());
    for number in (0..addresses).filter(|_| kind == RecordType::A) {
        let [high, low] = number.to_be_bytes();
        answer.add_answer(Record::from_rdata(name.clone(), 30, RData::A(A([10, 53, high, low].into()))));
    }
    let bytes = Bytes::from(answer.to_vec().expect("the answer fits a message"));
    let pieces: Vec<_> =
        (0..bytes.len()).step_by(length).map(|at| bytes.slice(at..bytes.len().min(at + length))).collect();
    let body = StreamBody::new(Box::pin(stream::iter(pieces).then(move |piece| {
        // Each on its way before the next: a reader that keeps pace has none of them waiting.
        async move {
            tokio::task::yield_now().await;
            Ok(Frame::data(piece))
        }
    })));
    Ok(Response::builder().header("content-type", "application/dns-message").body(body).expect("a plain response"))
}

#[test]
fn an_answer_in_many_pieces_is_read_and_one_in_thousands_is_not() {
    for alpn in ["h2", "http/1.1"] {
        // Some 230 bytes, one at a time; and the largest answer, as proxies pass it on.
        for (addresses, length) in [(12, 1), (2_400, 1_024)] {
            let server = Piecemeal::start(alpn, addresses, length);
            let resolution = server.ask();
            let found = resolution.addresses.len() + resolution.addresses_dropped;
            assert_eq!((found, told(&resolution)), (usize::from(addresses), None), "{alpn}: {length}");
        }
        let server = Piecemeal::start(alpn, 2_400, 1);
        let said = told(&server.ask()).map(|told| told.replace(&server.address.to_string(), "SERVER"));
        assert_eq!(said.as_deref(), Some("reply_too_large: SERVER: the answer came in more than 256 pieces"), "{alpn}");
    }
}

#[test]
fn the_questions_of_a_lookup_over_https_share_a_connection() {
    let site = Site::new();
    // The second SYN of this hour is dropped, and so a second connection would never come about.
    site.network.filter("tcp dport 443 tcp flags & (syn | ack) == syn limit rate over 1/hour burst 1 packets drop");
    let first = site.ask("both.test", UNBOUND, Protocol::Https);
    assert_eq!((first.fault, first.queries.len(), first.addresses.len()), (None, 2, 2));
    let resolver = resolver((UNBOUND, 443), Protocol::Https, Tls::default(), Resolver::PATH);
    let second = site.resolve(HOST, &resolver, SOON);
    assert_eq!(second.fault.map(|fault| fault.kind.as_str()), Some("timeout"), "the filter lets one connection pass");
}

#[test]
fn a_server_that_wants_a_certificate_of_ours_says_so() {
    let authority = Authority::new();
    let leaf = authority.leaf(&["127.0.0.1"]);
    let server = Peer::tls(leaf.server_wanting_client_from(&authority), [Step::Hold]);
    for protocol in [Protocol::Tls, Protocol::Https] {
        let tls = Tls { ca_file: Some(authority.ca_file()), server_name: None };
        let resolution = resolve(HOST, &resolver(server.address(), protocol, tls, Resolver::PATH), AMPLE.resolve);
        let told = told(&resolution).expect("nobody answered");
        assert!(told.starts_with("handshake_failed: ") && told.contains("CertificateRequired"), "{protocol}: {told}");
    }
}

#[test]
fn the_questions_of_a_lookup_share_a_connection_and_do_not_wait_for_each_other() {
    let authority = Authority::new();
    let leaf = authority.leaf(&["127.0.0.1"]);
    let secure = DnsServer::start_tls(leaf.server());
    let plain = DnsServer::start();
    for (server, protocol) in [(&secure, Protocol::Tls), (&plain, Protocol::Tcp)] {
        // Three questions in a row for each family, and one of them is never answered.
        server.set(HOST, Answer::new().alias("a.test", 300));
        server.set("a.test", Answer::new().alias("b.test", 20));
        server.set("b.test", Answer::new().address([10, 20, 1, 4], 7));
        let tls = Tls { ca_file: Some(authority.ca_file()), server_name: None };
        let resolver = resolver(server.address(), protocol, tls, Resolver::PATH);
        let resolution = resolve(HOST, &resolver, AMPLE.resolve);
        assert_eq!(resolution.queries.len(), 6, "{protocol}");
        assert_eq!((resolution.fault, server.connections()), (None, 1), "{protocol}");

        // Silence about IPv6 costs the time there is, and nothing of what is known of IPv4.
        server.set("a.test", Answer::new().alias("b.test", 20).deaf_to(hickory_resolver::proto::rr::RecordType::AAAA));
        let resolution = resolve(HOST, &resolver, A_WHILE);
        assert_eq!(resolution.sorted_addresses(), [IpAddr::from([10, 20, 1, 4])], "{protocol}");
        assert_eq!(server.connections(), 2, "{protocol}");

        // A server may hang up after every answer.
        server.set("a.test", Answer::new().alias("b.test", 20).last());
        server.set(HOST, Answer::new().alias("a.test", 300).last());
        let resolution = resolve(HOST, &resolver, AMPLE.resolve);
        assert_eq!((resolution.fault, resolution.addresses.len()), (None, 1), "{protocol}");
        assert!(server.connections() > 3, "{protocol}: {}", server.connections());
    }
}

/// A machine with three name servers, of which one is bad.
struct Machine {
    network: Namespace,
    directory: TempDir,
    servers: Vec<DnsServer>,
}

impl Machine {
    fn new(count: u8) -> Self {
        let network = Namespace::new();
        let directory = TempDir::new().expect("a temporary directory");
        let addresses: Vec<_> = (1..=count).map(|last| Ipv4Addr::new(10, 20, 0, last)).collect();
        let servers = addresses.iter().map(|address| {
            network.add_address(*address);
            let server = network.run(|| DnsServer::start_at((*address, 53)));
            server.set(HOST, Answer::new().address([10, 20, 1, 4], 5));
            server
        });
        let servers = servers.collect();
        let mut conf = "search corp.test\noptions ndots:5\n".to_owned();
        for address in &addresses {
            let _ = writeln!(conf, "nameserver {address}");
        }
        fs::write(directory.path().join("resolv.conf"), conf).expect("a temporary directory can be written to");
        fs::write(directory.path().join("hosts"), "").expect("a temporary directory can be written to");
        Self { network, directory, servers }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the system and each of its name servers say.
    fn ask(&self) -> Vec<Resolution> {
        let files = SystemFiles {
            resolv_conf: self.file("resolv.conf"),
            hosts: self.file("hosts"),
            nsswitch: self.file("nsswitch.conf"),
            host_conf: self.file("host.conf"),
        };
        let resolvers = Resolver::reserved().collect();
        let cache = Cache { resolvers, ..named(HOST, ([127, 0, 0, 1], 1).into()) };
        self.network.run(|| walk_as(&files, &cache)).lookup.resolutions
    }
}

#[test]
fn one_bad_name_server_of_three_shows_where_it_is_asked_alone() {
    let machine = Machine::new(3);
    machine.servers[1].set(HOST, Answer::new().servfail());
    let said: Vec<_> = machine.ask().iter().map(|one| format!("{} {}", one.resolver, meaning(one).join(" "))).collect();
    assert_eq!(
        said,
        [
            "system = 10.20.1.4 (Some(5)s)",
            "system-1 = 10.20.1.4 (Some(5)s)",
            "system-2 server_failure: SERVFAIL for orders.test",
            "system-3 = 10.20.1.4 (Some(5)s)",
        ]
    );
    // A server asked alone gets the name as it stands, and the questions of one lookup only.
    let asked: Vec<_> = machine.servers[2].asked().into_iter().map(|asked| asked.name).collect();
    assert_eq!(asked, [HOST, HOST]);
}

#[test]
fn a_name_server_that_is_not_listed_is_told_from_one_that_does_not_answer() {
    let machine = Machine::new(2);
    let conf = machine.file("resolv.conf");
    let faults = |machine: &Machine| machine.ask().iter().map(told).collect::<Vec<_>>();
    let missing = |words: &str| Some(format!("no_resolver: {}{words}", conf.display()));
    let expected = [None, None, None, missing(" names 2 name servers, and there is no third")];
    assert_eq!(faults(&machine), expected);
    fs::write(&conf, "nameserver 10.20.0.1\n").expect("a temporary directory can be written to");
    let expected = [
        None,
        None,
        missing(" names 1 name server, and there is no second"),
        missing(" names 1 name server, and there is no third"),
    ];
    assert_eq!(faults(&machine), expected);
}

#[test]
fn check_says_who_says_what() {
    let machine = Machine::new(3);
    machine.servers[0].set(HOST, Answer::new().alias("orders.privatelink.test", 300).address([20, 50, 1, 2], 9));
    machine.servers[1].set(HOST, Answer::new().servfail());
    let resolvers = ["system-3", "system", "system-2"].map(|name| ["--resolver", name]).concat();
    let run = |resolvers: &[&str]| {
        let arguments = [&["check", HOST, "--no-tls", "--expect", "private"], resolvers].concat();
        let call = cachewatch(&arguments)
            .env("CACHEWATCH__PROBE__RESOLV_CONF", &machine.file("resolv.conf").to_string_lossy());
        let call = call.env("CACHEWATCH__PROBE__HOSTS_FILE", &machine.file("hosts").to_string_lossy());
        let run = machine.network.run(|| call.run());
        run.stdout.lines().map(masked).collect::<Vec<_>>()
    };
    let lines = run(&resolvers);
    assert_eq!(
        lines[1..10],
        [
            "resolve ok _ ms orders.test → 10.20.1.4 (private, TTL 5s)",
            "resolver system-3: 10.20.0.3:53 over udp; the connection follows this answer; as expected",
            "resolve ok _ ms orders.test → orders.privatelink.test (TTL 300s) → 20.50.1.2 (public, TTL 9s)",
            "resolver system: 10.20.0.1:53 over udp; a private endpoint exists (privatelink alias); NOT as expected",
            "resolve FAILED _ ms SERVFAIL for orders.test",
            "resolver system-2: 10.20.0.2:53 over udp",
            "answers differ 10.20.1.4 (private): system-3 (TTL 5s)",
            "20.50.1.2 (public): system (TTL 9s)",
            "no address: system-2 (server_failure)",
        ],
    );
    let resolvers = ["system-3", "tcp://10.20.0.3"].map(|name| ["--resolver", name]).concat();
    let answers = "answers agree 10.20.1.4 (private): system-3 (TTL 5s), tcp-10.20.0.3 (TTL 5s)";
    assert_eq!(run(&resolvers)[5], answers);
    assert!(!run(&["--resolver", "system-3"]).iter().any(|line| line.starts_with("answers")), "there is one answer");
}

/// A line with blanks as one, and its time as `_`.
fn masked(line: &str) -> String {
    let mut words: Vec<_> = line.split_whitespace().collect();
    for at in 1..words.len() {
        if words[at] == "ms" {
            words[at - 1] = "_";
        }
    }
    words.join(" ")
}
