//! Stage one against scripted name servers. What a resolution must hold is written out line by line, and compared whole.
//!
//! Every test runs in a network of its own, so that the addresses in the answers are dialled in there, where they lead
//! nowhere.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use cachewatch::{
    clock::Stopwatch,
    model::{ApplicationWait, Cache, LookupReport, ProbeReport, Protocol, Resolution, Resolver, SystemFiles, Timeouts},
};
use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{DNSClass, RecordType},
};
use tempfile::TempDir;
use testlab::{
    cache::{AMPLE, SLACK, SOON, look_up_as, named, resolver, walk, walk_as},
    dns::{Answer, DnsServer, Transport},
    net::Namespace,
    peer::{Peer, Replies, Step},
};

const HOST: &str = "orders.test";
const PRIVATELINK: &str = "orders.privatelink.test";

/// A resolution, one line per question on the wire, alias, address, and fault.
fn told(resolution: &Resolution) -> Vec<String> {
    let queries = resolution
        .queries
        .iter()
        .map(|query| format!("{} {} {}: {}", query.transport, query.record_type, query.name, query.outcome));
    let chain = resolution.chain.iter().map(|alias| format!("{} -> {} ({}s)", alias.owner, alias.target, alias.ttl));
    let addresses = resolution.addresses.iter().map(|answer| match answer.ttl {
        Some(ttl) => format!("= {} ({ttl}s)", answer.address),
        None => format!("= {}", answer.address),
    });
    let dropped = (resolution.addresses_dropped > 0).then(|| format!("and {} more", resolution.addresses_dropped));
    let fault = resolution.fault.iter().map(|fault| format!("{}: {}", fault.kind, fault.detail));
    queries.chain(chain).chain(addresses).chain(dropped).chain(fault).collect()
}

fn followed(report: &ProbeReport) -> &Resolution {
    report.lookup.followed().expect("every report has a resolution")
}

/// What is told of `orders.test` where the name server gives this answer, within ample time.
fn answered(network: &Namespace, answer: Answer) -> Vec<String> {
    let server = network.run(DnsServer::start);
    server.set(HOST, answer);
    told(followed(&network.run(|| walk(&named(HOST, server.address())))))
}

/// Asks with a short limit, which the resolve stage must keep.
fn asked_with_little_time(network: &Namespace, server: SocketAddr, protocol: Protocol) -> Resolution {
    let timeouts = Timeouts { resolve: SOON, ..AMPLE };
    let cache = Cache { timeouts, resolvers: vec![resolver(server, protocol)], ..named(HOST, server) };
    let watch = Stopwatch::start();
    let report = network.run(|| walk(&cache));
    assert!(watch.elapsed() < SOON + SLACK, "{:?}", watch.elapsed());
    followed(&report).clone()
}

#[test]
fn an_answer_is_told_unedited() {
    let network = Namespace::new();
    let chain = || Answer::new().alias(PRIVATELINK, 300);
    let (a, aaaa) = ("udp A orders.test: noerror", "udp AAAA orders.test: noerror");
    let alias = "orders.test -> orders.privatelink.test (300s)";
    let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
    let cases = [
        (
            "a chain with its TTLs",
            chain().alias("vip.test", 20).address([10, 20, 1, 4], 7),
            vec![a, aaaa, alias, "orders.privatelink.test -> vip.test (20s)", "= 10.20.1.4 (7s)"],
        ),
        (
            "no alias, and a TTL of zero",
            Answer::new().address([10, 20, 1, 4], 0),
            vec![a, "udp AAAA orders.test: nodata", "= 10.20.1.4 (0s)"],
        ),
        (
            "a TTL of 31 bits, and one that has more and is none (RFC 2181, 8)",
            Answer::new().alias(PRIVATELINK, 0x7fff_ffff).address([10, 20, 1, 4], 0x8000_0000),
            vec![a, aaaa, "orders.test -> orders.privatelink.test (2147483647s)", "= 10.20.1.4 (0s)"],
        ),
        (
            "both families, IPv4 first",
            chain().address(v6("fd00::4"), 9).address([10, 20, 1, 4], 10),
            vec![a, aaaa, alias, "= 10.20.1.4 (10s)", "= fd00::4 (9s)"],
        ),
        ("IPv6 only", chain().address(v6("fd00::4"), 9), vec![a, aaaa, alias, "= fd00::4 (9s)"]),
        (
            "the same address in both families",
            chain().address(v6("::ffff:10.20.1.4"), 9).address([10, 20, 1, 4], 10),
            vec![a, aaaa, alias, "= 10.20.1.4 (10s)"],
        ),
        (
            "owners in upper case",
            chain().address([10, 20, 1, 4], 10).shouting(),
            vec![a, aaaa, alias, "= 10.20.1.4 (10s)"],
        ),
    ];
    for (case, answer, expected) in cases {
        assert_eq!(answered(&network, answer), expected, "{case}");
    }
}

#[test]
fn a_name_without_an_address_says_why() {
    let network = Namespace::new();
    let chain = || Answer::new().alias(PRIVATELINK, 300);
    let both = |outcome: &str| ["A", "AAAA"].map(|record| format!("udp {record} {HOST}: {outcome}")).to_vec();
    let to_alias = format!("{HOST} -> {PRIVATELINK} (300s)");
    let cases = [
        (Answer::new().nxdomain(), both("nxdomain"), vec![], "name_not_found: orders.test does not exist (NXDOMAIN)"),
        (
            chain().nxdomain(),
            both("nxdomain"),
            vec![to_alias.clone()],
            "name_not_found: orders.privatelink.test does not exist (NXDOMAIN)",
        ),
        (
            Answer::new(),
            both("nodata"),
            vec![],
            "no_address: orders.test exists and has neither an A nor an AAAA record",
        ),
        (Answer::new().servfail(), both("servfail"), vec![], "server_failure: SERVFAIL for orders.test"),
        (
            chain().servfail(),
            both("servfail"),
            vec![to_alias.clone()],
            "server_failure: SERVFAIL for orders.privatelink.test",
        ),
        (
            Answer::new().refused(),
            both("refused"),
            vec![],
            "query_refused: the name server refuses to answer for orders.test",
        ),
    ];
    let cases = cases.into_iter().chain([
        (
            Answer::new().code(ResponseCode::NotImp),
            both("other_code"),
            vec![],
            "unrecognised: response code 4 (Not Implemented) for orders.test",
        ),
        (
            Answer::new().code(ResponseCode::Unknown(11)),
            both("other_code"),
            vec![],
            "unrecognised: response code 11 for orders.test",
        ),
        (
            chain().code(ResponseCode::Unknown(11)),
            both("other_code"),
            vec![to_alias.clone()],
            "unrecognised: response code 11 for orders.privatelink.test",
        ),
    ]);
    for (answer, queries, chain, fault) in cases {
        let expected = [queries, chain, vec![fault.to_owned()]].concat();
        assert_eq!(answered(&network, answer), expected);
    }
}

/// The question is about the Internet; what else a server has is not an answer to it.
#[test]
fn records_of_another_class_are_as_if_they_were_not_there() {
    let network = Namespace::new();
    let expected = [
        "udp A orders.test: nodata",
        "udp AAAA orders.test: nodata",
        "no_address: orders.test exists and has neither an A nor an AAAA record",
    ];
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::ANY, DNSClass::NONE, DNSClass::Unknown(77)] {
        let answer = Answer::new().alias(PRIVATELINK, 300).address([10, 20, 1, 4], 7);
        assert_eq!(answered(&network, answer.in_class(class)), expected, "{class}");
    }
}

#[test]
fn the_rest_of_a_cut_chain_is_asked_for() {
    let network = Namespace::new();
    let server = network.run(DnsServer::start);
    server.set(HOST, Answer::new().alias(PRIVATELINK, 300));
    server.set(PRIVATELINK, Answer::new().alias("vip.test", 20));
    server.set("vip.test", Answer::new().address([10, 20, 1, 4], 7));
    let report = network.run(|| walk(&named(HOST, server.address())));
    let expected = [
        "udp A orders.test: noerror",
        "udp A orders.privatelink.test: noerror",
        "udp A vip.test: noerror",
        "udp AAAA orders.test: noerror",
        "udp AAAA orders.privatelink.test: noerror",
        "udp AAAA vip.test: nodata",
        "orders.test -> orders.privatelink.test (300s)",
        "orders.privatelink.test -> vip.test (20s)",
        "= 10.20.1.4 (7s)",
    ];
    assert_eq!(told(followed(&report)), expected);
}

#[test]
fn a_circle_and_an_endless_chain_end() {
    let network = Namespace::new();
    let server = network.run(DnsServer::start);
    server.set(HOST, Answer::new().alias("a.test", 1).alias("b.test", 1));
    server.set("b.test", Answer::new().alias(HOST, 1));
    for step in 0..40 {
        server.set(&format!("n{step}.test"), Answer::new().alias(&format!("n{}.test", step + 1), 1));
    }
    let fault = |host: &str| {
        let report = network.run(|| walk(&named(host, server.address())));
        (told(followed(&report)).pop(), report.legs.len())
    };
    let circle = "alias_loop: the aliases lead in a circle, back to orders.test";
    assert_eq!(fault(HOST), (Some(circle.to_owned()), 0));
    let endless = "alias_loop: more than 16 aliases, the last to n16.test";
    assert_eq!(fault("n0.test"), (Some(endless.to_owned()), 0));
    assert_eq!(server.count("n15.test", RecordType::A, Transport::Udp), 1);
    assert_eq!(server.count("n16.test", RecordType::A, Transport::Udp), 0);
}

#[test]
fn what_is_cut_short_is_asked_again_over_tcp() {
    let network = Namespace::new();
    let answer = Answer::new().address([10, 20, 1, 4], 5).truncated();
    let expected = [
        "udp A orders.test: truncated",
        "tcp A orders.test: noerror",
        "udp AAAA orders.test: truncated",
        "tcp AAAA orders.test: nodata",
        "= 10.20.1.4 (5s)",
    ];
    assert_eq!(answered(&network, answer.clone()), expected);

    let server = network.run(DnsServer::start_without_tcp);
    server.set(HOST, answer.clone());
    let report = network.run(|| walk(&named(HOST, server.address())));
    let fault = followed(&report).fault.clone().unwrap();
    assert_eq!(fault.kind.as_str(), "resolver_unreachable", "{fault:?}");
    assert!(fault.detail.as_str().contains(&server.address().to_string()), "{fault:?}");

    let server = network.run(DnsServer::start);
    server.set(HOST, answer);
    let cache = Cache { resolvers: vec![resolver(server.address(), Protocol::Tcp)], ..named(HOST, server.address()) };
    let report = network.run(|| walk(&cache));
    let expected = ["tcp A orders.test: noerror", "tcp AAAA orders.test: nodata", "= 10.20.1.4 (5s)"];
    assert_eq!(told(followed(&report)), expected);
}

#[test]
fn silence_and_noise_end_at_the_limit_or_at_once() {
    let network = Namespace::new();
    let server = network.run(DnsServer::start);
    let fault = |answer: Answer, protocol| {
        server.set(HOST, answer);
        let resolution = asked_with_little_time(&network, server.address(), protocol);
        let mut outcomes: Vec<_> = resolution.queries.iter().map(|query| query.outcome.as_str()).collect();
        outcomes.dedup();
        (resolution.fault.unwrap().kind.as_str(), outcomes.join(" "))
    };
    let address = || Answer::new().address([10, 20, 1, 4], 5);
    assert_eq!(fault(Answer::new().silent(), Protocol::Udp), ("timeout", "timeout".into()));
    assert_eq!(fault(Answer::new().silent(), Protocol::Tcp), ("timeout", "timeout".into()));
    assert_eq!(fault(address().after(Duration::from_mins(1)), Protocol::Udp), ("timeout", "timeout".into()));
    // Somebody else's reply is no reply, and neither is what does not carry the question's id.
    assert_eq!(fault(address().with_wrong_id(), Protocol::Udp), ("timeout", "timeout".into()));
    assert_eq!(fault(Answer::new().raw(*b"noise"), Protocol::Udp), ("timeout", "timeout".into()));
    assert_eq!(fault(Answer::new().raw(*b"noise"), Protocol::Tcp), ("malformed_answer", "malformed".into()));
    assert_eq!(fault(Answer::new().mangled(), Protocol::Udp), ("malformed_answer", "malformed".into()));
    assert_eq!(fault(address().with_wrong_id(), Protocol::Tcp), ("malformed_answer", "malformed".into()));
}

#[test]
fn a_lost_datagram_is_asked_for_again() {
    let network = Namespace::new();
    let server = network.run(DnsServer::start);
    server.set(HOST, Answer::new().address([10, 20, 1, 4], 5).lost(1));
    let resolution = asked_with_little_time(&network, server.address(), Protocol::Udp);
    let expected = [
        "udp A orders.test: timeout",
        "udp A orders.test: noerror",
        "udp AAAA orders.test: timeout",
        "udp AAAA orders.test: nodata",
        "= 10.20.1.4 (5s)",
    ];
    assert_eq!(told(&resolution), expected);
}

#[test]
fn a_closed_port_is_known_at_once() {
    let network = Namespace::new();
    let closed = network.run(|| DnsServer::start().address());
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let cache = Cache { resolvers: vec![resolver(closed, protocol)], ..named(HOST, closed) };
        let watch = Stopwatch::start();
        let report = network.run(|| walk(&cache));
        assert!(watch.elapsed() < SLACK, "{protocol}: {:?}", watch.elapsed());
        let fault = followed(&report).fault.clone().unwrap();
        assert_eq!(fault.kind.as_str(), "resolver_unreachable", "{fault:?}");
        assert!(fault.detail.as_str().contains(&format!("{closed}: Connection refused")), "{fault:?}");
    }
}

#[test]
fn silence_about_one_family_does_not_cost_the_other() {
    let network = Namespace::new();
    let server = network.run(DnsServer::start);
    server.set(HOST, Answer::new().address([10, 20, 1, 4], 5).deaf_to(RecordType::AAAA));
    let resolution = asked_with_little_time(&network, server.address(), Protocol::Udp);
    let expected = [
        "udp A orders.test: noerror",
        "udp AAAA orders.test: timeout",
        "udp AAAA orders.test: timeout",
        "= 10.20.1.4 (5s)",
    ];
    assert_eq!(told(&resolution), expected);
}

#[test]
fn more_addresses_than_are_kept_are_counted() {
    let network = Namespace::new();
    let server = network.run(DnsServer::start);
    let answer = (1..=20).fold(Answer::new(), |answer, last| answer.address([10, 20, 1, last], 5));
    server.set(HOST, answer);
    let report = network.run(|| walk(&named(HOST, server.address())));
    let kept: Vec<IpAddr> = (1..=16).map(|last| [10, 20, 1, last].into()).collect();
    let resolution = followed(&report);
    assert_eq!(resolution.addresses.iter().map(|answer| answer.address).collect::<Vec<_>>(), kept);
    assert_eq!(resolution.addresses_dropped, 4);
    assert_eq!(report.legs.iter().map(|leg| leg.address).collect::<Vec<_>>(), kept);
}

#[test]
fn every_resolver_is_asked_and_the_first_is_followed() {
    let network = Namespace::new();
    let (one, two) = network.run(|| (DnsServer::start(), DnsServer::start()));
    one.set(HOST, Answer::new().address([10, 20, 1, 4], 5));
    two.set(HOST, Answer::new().address([20, 50, 1, 2], 5));
    let resolvers = [&one, &two].map(|server| resolver(server.address(), Protocol::Udp)).to_vec();
    let report = network.run(|| walk(&Cache { resolvers, ..named(HOST, one.address()) }));
    let addresses: Vec<_> = report.lookup.resolutions.iter().map(Resolution::sorted_addresses).collect();
    assert_eq!(addresses, [[IpAddr::from([10, 20, 1, 4])], [IpAddr::from([20, 50, 1, 2])]]);
    assert_eq!(report.legs.iter().map(|leg| leg.address).collect::<Vec<_>>(), [IpAddr::from([10, 20, 1, 4])]);
}

/// A machine of the test's own: two name servers on port 53, its hosts file and its resolv.conf.
struct Machine {
    network: Namespace,
    directory: TempDir,
    servers: [DnsServer; 2],
}

impl Machine {
    const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 20, 0, 1), Ipv4Addr::new(10, 20, 0, 2)];

    /// `conf` is what resolv.conf says beside the two name servers.
    fn new(hosts: &str, conf: &str) -> Self {
        let network = Namespace::new();
        let servers = Self::SERVERS.map(|address| {
            network.add_address(address);
            network.run(|| DnsServer::start_at((address, 53)))
        });
        let directory = TempDir::new().expect("a temporary directory");
        let nameservers = Self::SERVERS.map(|address| format!("nameserver {address}\n")).concat();
        for (name, text) in [("resolv.conf", format!("{nameservers}{conf}\n")), ("hosts", hosts.to_owned())] {
            fs::write(directory.path().join(name), text).expect("a temporary directory can be written to");
        }
        Self { network, directory, servers }
    }

    fn files(&self) -> SystemFiles {
        let file = |name| self.directory.path().join(name);
        SystemFiles {
            resolv_conf: file("resolv.conf"),
            hosts: file("hosts"),
            nsswitch: file("nsswitch.conf"),
            host_conf: file("host.conf"),
        }
    }

    fn resolve(&self, host: &str, limit: Duration) -> Resolution {
        let timeouts = Timeouts { resolve: limit, ..AMPLE };
        let cache = Cache { resolvers: vec![Resolver::System], timeouts, ..named(host, ([127, 0, 0, 1], 53).into()) };
        let report = self.network.run(|| walk_as(&self.files(), &cache));
        followed(&report).clone()
    }

    /// Which servers were asked, in order.
    fn asked(resolution: &Resolution) -> Vec<String> {
        let server = |query: &cachewatch::model::Query| format!("{} {}", query.server, query.outcome);
        resolution.queries.iter().filter(|query| query.record_type.as_str() == "A").map(server).collect()
    }
}

#[test]
fn the_hosts_file_wins_and_is_named() {
    let machine = Machine::new("10.20.9.9 Orders.Test\n", "");
    machine.servers[0].set(HOST, Answer::new().address([10, 20, 1, 4], 5));
    let resolution = machine.resolve(HOST, AMPLE.resolve);
    assert_eq!(resolution.source.as_str(), "hosts_file");
    assert_eq!(told(&resolution), ["= 10.20.9.9"]);
    // What the name servers would have said is known as well, and followed by nobody.
    let beneath = resolution.overridden.unwrap();
    assert_eq!(told(&beneath).last().map(String::as_str), Some("= 10.20.1.4 (5s)"));
}

/// The same questions and the same comparison as in a probe, of every resolver, and not one connection.
#[test]
fn a_lookup_asks_what_a_probe_asks_and_connects_to_nobody() {
    let machine = Machine::new("127.0.0.1 orders.test\n10.20.9.9 carts.test\n", "");
    let peer = machine.network.run(|| Peer::start_at(([127, 0, 0, 1], 6380), None, [Step::Serve(Replies::redis())]));
    machine.servers[0].set("carts.test", Answer::new().address([10, 20, 1, 4], 5));
    machine.servers[1].set(HOST, Answer::new().alias(PRIVATELINK, 300).address([127, 0, 0, 1], 5));
    let resolvers = vec![resolver(machine.servers[1].address(), Protocol::Udp), Resolver::System];
    for (host, connections) in [(HOST, 1), ("carts.test", 0)] {
        let cache = Cache { resolvers: resolvers.clone(), ..named(host, machine.servers[1].address()) };
        let before = peer.connections();
        let lookup = machine.network.run(|| look_up_as(&machine.files(), &cache));
        assert_eq!(lookup.fault, None);
        let walk = machine.network.run(|| walk_as(&machine.files(), &cache));
        assert_eq!(peer.connections() - before, connections, "{host}: those of the probe alone");
        // The answers to both questions of one name may overtake each other.
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let said = |lookup: &LookupReport| lookup.resolutions.iter().map(|r| sorted(told(r))).collect::<Vec<_>>();
        assert_eq!(said(&lookup), said(&walk.lookup), "{host}");
    }
    let cache = Cache { resolvers: vec![Resolver::System], ..named("carts.test", machine.servers[0].address()) };
    let lookup = machine.network.run(|| look_up_as(&machine.files(), &cache));
    let beneath =
        lookup.followed().unwrap().overridden.as_deref().expect("a pinned name is compared with the name servers");
    assert_eq!(told(beneath).last().map(String::as_str), Some("= 10.20.1.4 (5s)"));
}

#[test]
fn a_lookup_ends_by_the_timeout_for_lookups() {
    let network = Namespace::new();
    let (silent, server) = network.run(|| (DnsServer::start(), DnsServer::start()));
    silent.set(HOST, Answer::new().silent());
    server.set(HOST, Answer::new().address([10, 20, 1, 4], 5));
    let resolvers = [&server, &silent].map(|server| resolver(server.address(), Protocol::Udp)).to_vec();
    let cache = Cache { timeouts: Timeouts { resolve: SOON, ..AMPLE }, resolvers, ..named(HOST, server.address()) };
    let lookup = network.run(|| look_up_as(&SystemFiles::default(), &cache));
    assert!(lookup.took >= SOON && lookup.took < SOON + SLACK, "{:?}", lookup.took);
    assert_eq!(told(&lookup.resolutions[0]).last().map(String::as_str), Some("= 10.20.1.4 (5s)"));
    assert_eq!(lookup.resolutions[1].fault.as_ref().map(|fault| fault.kind.as_str()), Some("timeout"));
}

#[test]
fn the_search_list_is_walked_as_ndots_says() {
    let machine = Machine::new("", "search prod.svc.cluster.local cluster.local\noptions ndots:5");
    machine.servers[0].set("orders.test.cluster.local", Answer::new().address([10, 20, 1, 9], 5));
    machine.servers[0].set("plain.test", Answer::new().address([10, 20, 1, 4], 5));

    let found = machine.resolve(HOST, AMPLE.resolve);
    assert_eq!((found.name.as_str(), found.searched), ("orders.test.cluster.local", true));
    let expected = [
        "udp A orders.test.prod.svc.cluster.local: nxdomain",
        "udp AAAA orders.test.prod.svc.cluster.local: nxdomain",
        "udp A orders.test.cluster.local: noerror",
        "udp AAAA orders.test.cluster.local: nodata",
        "= 10.20.1.9 (5s)",
    ];
    assert_eq!(told(&found), expected);

    let plain = machine.resolve("plain.test", AMPLE.resolve);
    assert_eq!((plain.name.as_str(), plain.searched, plain.queries.len()), ("plain.test", false, 6));

    let missing = machine.resolve("missing.test", AMPLE.resolve);
    assert_eq!((missing.name.as_str(), missing.searched, missing.queries.len()), ("missing.test", false, 6));
    assert_eq!(missing.fault.unwrap().kind.as_str(), "name_not_found");
    assert_eq!(machine.servers[1].asked(), []);
}

#[test]
fn the_second_name_server_stands_in_for_the_first() {
    let machine = Machine::new("", "options timeout:1 attempts:1");
    let [first, second] = &machine.servers;
    second.set(HOST, Answer::new().address([10, 20, 1, 4], 5));
    let cases = [
        ("servfail", Answer::new().servfail()),
        ("refused", Answer::new().refused()),
        ("malformed", Answer::new().mangled()),
        ("timeout", Answer::new().silent()),
    ];
    for (outcome, answer) in cases {
        first.set(HOST, answer);
        let resolution = machine.resolve(HOST, AMPLE.resolve);
        let asked = [format!("10.20.0.1:53 {outcome}"), "10.20.0.2:53 noerror".to_owned()];
        assert_eq!(Machine::asked(&resolution), asked);
        assert_eq!(resolution.fault, None);
        assert_eq!(resolution.sorted_addresses(), [IpAddr::from([10, 20, 1, 4])]);
    }
    // NXDOMAIN is an answer, and settles it.
    first.set(HOST, Answer::new().nxdomain());
    assert_eq!(Machine::asked(&machine.resolve(HOST, AMPLE.resolve)), ["10.20.0.1:53 nxdomain"]);

    machine.network.filter("ip daddr 10.20.0.1 udp dport 53 reject");
    let resolution = machine.resolve(HOST, AMPLE.resolve);
    assert_eq!(Machine::asked(&resolution), ["10.20.0.1:53 unreachable", "10.20.0.2:53 noerror"]);
}

/// Files and answers that applications get along with, and some that they do not, whatever another resolver makes of them.
#[test]
fn a_name_is_looked_up_as_the_c_library_does() {
    let pods = "search default.svc.cluster.local svc.cluster.local\noptions ndots:5";
    let leads = |conf: &str, search: Answer, plain: Answer| {
        let machine = Machine::new("", conf);
        for server in &machine.servers {
            for domain in ["default.svc.cluster.local", "svc.cluster.local"] {
                server.set(&format!("{HOST}.{domain}"), search.clone());
            }
            server.set(HOST, plain.clone());
        }
        let resolution = machine.resolve(HOST, AMPLE.resolve);
        (resolution.sorted_addresses(), resolution.searched, resolution.fault.map(|fault| fault.kind.as_str()))
    };
    let right = || Answer::new().address([10, 20, 1, 4], 5);
    let well = (vec![IpAddr::from([10, 20, 1, 4])], false, None);
    // A policy refuses what is not its own; a search domain that is none; the root as one.
    assert_eq!(leads(pods, Answer::new().refused(), right()), well);
    assert_eq!(leads("search corp..example", Answer::new().nxdomain(), right()), well);
    assert_eq!(leads("search .\noptions ndots:5", Answer::new().nxdomain(), right()), well);
    // A server that fails once, and servers that are slow: each has its time, and what comes late counts.
    assert_eq!(leads("", Answer::new().nxdomain(), right().failing(1)), well);
    assert_eq!(leads("options attempts:1", Answer::new().nxdomain(), right().after(Duration::from_millis(900))), well);
    // The alias alone, as from a server that does not recurse.
    let alias = Answer::new().alias(PRIVATELINK, 300);
    assert_eq!(leads("", Answer::new().nxdomain(), alias), (vec![], false, Some("no_address")));
}

/// The time of an application is that of its library, and is told with what costs it.
#[test]
fn what_an_application_waits_for_is_told() {
    let machine = Machine::new("", "options timeout:1 attempts:1");
    let right = || Answer::new().address([10, 20, 1, 4], 5);
    let waited = |first: Answer| {
        machine.servers[0].set(HOST, first);
        machine.servers[1].set(HOST, right());
        let application = machine.resolve(HOST, AMPLE.resolve).application.expect("the machine's own way was asked");
        assert!(application.success, "{application:?}");
        let told = |wait: &ApplicationWait| {
            let record_type = wait.record_type.map_or("both", |asked| asked.as_str());
            format!("{} s for {record_type} from {}", wait.waited.as_secs_f64().round(), wait.server)
        };
        (application.took.as_secs_f64().round(), application.waits.iter().map(told).collect::<Vec<_>>())
    };
    assert_eq!(waited(right()), (0.0, vec![]));
    assert_eq!(waited(Answer::new().silent()), (1.0, vec!["1 s for both from 10.20.0.1:53".to_owned()]));
    // Silence about one type costs a wait, and two more in which glibc asks for one after the other.
    let (took, waits) = waited(right().deaf_to(RecordType::AAAA));
    assert!(took >= 3.0 && waits.iter().any(|wait| wait.contains("for AAAA from 10.20.0.1")), "{took} s: {waits:?}");
}

/// nsswitch.conf says which of the files and name servers count, and in which order.
#[test]
fn the_switch_decides_where_a_name_is_looked_for() {
    let resolved = |switch: &str| {
        let machine = Machine::new("10.20.9.9 orders.test\n", "");
        machine.servers[0].set(HOST, Answer::new().address([10, 20, 1, 4], 5));
        machine.servers[0].set("carts.test", Answer::new().address([10, 20, 1, 5], 5));
        fs::write(machine.files().nsswitch, format!("hosts: {switch}\n")).unwrap();
        [HOST, "carts.test"].map(|host| {
            let resolution = machine.resolve(host, AMPLE.resolve);
            let kind = resolution.fault.map(|fault| fault.kind.to_string());
            kind.unwrap_or_else(|| format!("{} {}", resolution.source, resolution.addresses[0].address))
        })
    };
    assert_eq!(resolved("files dns"), ["hosts_file 10.20.9.9", "dns 10.20.1.5"]);
    assert_eq!(resolved("dns files"), ["dns 10.20.1.4", "dns 10.20.1.5"]);
    assert_eq!(resolved("files"), ["hosts_file 10.20.9.9", "no_resolver"]);
    assert_eq!(resolved("files [NOTFOUND=return] dns"), ["hosts_file 10.20.9.9", "no_resolver"]);
}

#[test]
fn a_machine_whose_name_servers_are_all_dead_says_so_in_time() {
    let machine = Machine::new("", "options timeout:5 attempts:2");
    machine.network.filter("udp dport 53 drop");
    let watch = Stopwatch::start();
    let silent = machine.resolve(HOST, SOON);
    assert!(watch.elapsed() < SOON + SLACK, "{:?}", watch.elapsed());
    assert_eq!(silent.fault.as_ref().unwrap().kind.as_str(), "timeout");
    let twice = ["10.20.0.1:53 timeout", "10.20.0.2:53 timeout", "10.20.0.1:53 timeout", "10.20.0.2:53 timeout"];
    assert_eq!(Machine::asked(&silent), twice);

    machine.network.filter("udp dport 53 reject");
    let refused = machine.resolve(HOST, AMPLE.resolve);
    assert_eq!(refused.fault.unwrap().kind.as_str(), "resolver_unreachable");

    fs::remove_file(machine.files().resolv_conf).unwrap();
    // Without the file the C library asks this machine itself.
    let without = machine.resolve(HOST, AMPLE.resolve);
    assert!(without.queries.iter().all(|query| query.server == ([127, 0, 0, 1], 53).into()), "{without:?}");
    let fault = without.fault.unwrap();
    assert_eq!(fault.kind.as_str(), "no_resolver");
    assert!(fault.detail.as_str().contains("resolv.conf: No such file"), "{fault:?}");
}
