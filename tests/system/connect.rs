//! Stage two, on private addresses of a network that the test rules.

use std::net::{IpAddr, Ipv4Addr};

use cachewatch::{
    clock::Stopwatch,
    model::{Cache, Leg, ProbeReport, Timeouts},
};
use hickory_resolver::proto::rr::RecordType;
use testlab::{
    cache::{AMPLE, SLACK, SOON, at, ending, named, only_leg, walk},
    dns::{Answer, Asked, DnsServer, Transport},
    net::Namespace,
    peer::{Peer, Replies, Step},
    process::in_a_process_of_its_own,
};

const HOST: &str = "orders.test";
const CACHE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 4);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 5);

/// A network with a name server on port 53 and a cache on 10.20.1.4:6380.
struct Laboratory {
    network: Namespace,
    names: DnsServer,
    cache: Peer,
}

impl Laboratory {
    fn new() -> Self {
        let network = Namespace::new();
        network.add_address(CACHE);
        let names = network.run(|| DnsServer::start_at((Ipv4Addr::LOCALHOST, 53)));
        let cache = network.run(|| Peer::start_at((CACHE, 6380), None, [Step::Serve(Replies::redis())]));
        Self { network, names, cache }
    }

    /// Walks to `orders.test`, which leads to these addresses.
    fn walk_to(&self, addresses: &[IpAddr], timeouts: Timeouts) -> ProbeReport {
        let answer = addresses.iter().fold(Answer::new(), |answer, address| answer.address(*address, 5));
        self.names.set(HOST, answer);
        self.network.run(|| walk(&Cache { timeouts, ..named(HOST, self.names.address()) }))
    }

    /// How the walk to one address ends, with the words of the fault.
    fn end(&self, address: impl Into<IpAddr>, timeouts: Timeouts) -> (String, String) {
        let report = self.walk_to(&[address.into()], timeouts);
        let leg = only_leg(&report);
        (ending(leg), leg.fault.as_ref().map(|fault| fault.detail.to_string()).unwrap_or_default())
    }
}

fn endings(report: &ProbeReport) -> Vec<(String, String)> {
    report.legs.iter().map(|leg: &Leg| (leg.address.to_string(), ending(leg))).collect()
}

fn said(end: &str, words: &str) -> (String, String) {
    (end.to_owned(), words.to_owned())
}

#[test]
fn each_way_not_to_connect_has_its_name() {
    let laboratory = Laboratory::new();
    let filter = |rules: &str| laboratory.network.filter(rules);
    let end = |timeouts| laboratory.end(CACHE, timeouts);
    let dial = "ip daddr 10.20.1.4 tcp dport 6380";
    assert_eq!(end(AMPLE), said("serves", ""));

    filter(&format!("{dial} reject with tcp reset"));
    assert_eq!(end(AMPLE), said("connect refused", "10.20.1.4:6380: Connection refused (os error 111)"));

    filter(&format!("{dial} drop"));
    let watch = Stopwatch::start();
    let dropped = end(Timeouts { connect: SOON, ..AMPLE });
    assert!(watch.elapsed() < SOON + SLACK, "{:?}", watch.elapsed());
    assert_eq!(dropped, said("connect filtered", "no answer to SYN from 10.20.1.4:6380 within 1s"));

    filter(&format!("{dial} reject with icmp type admin-prohibited"));
    assert_eq!(end(AMPLE), said("connect unreachable", "10.20.1.4:6380: No route to host (os error 113)"));
    filter(&format!("{dial} reject with icmp type net-unreachable"));
    assert_eq!(end(AMPLE), said("connect unreachable", "10.20.1.4:6380: Network is unreachable (os error 101)"));
    filter(&format!("{dial} reject with icmp type port-unreachable"));
    assert_eq!(end(AMPLE), said("connect refused", "10.20.1.4:6380: Connection refused (os error 111)"));

    filter("");
    assert_eq!(end(AMPLE), said("serves", ""));
    let no_route = laboratory.end(Ipv4Addr::new(10, 99, 0, 1), AMPLE);
    assert_eq!(no_route, said("connect unreachable", "10.99.0.1:6380: Network is unreachable (os error 101)"));
}

#[test]
fn every_address_is_walked_and_the_name_is_resolved_once() {
    let laboratory = Laboratory::new();
    laboratory.network.add_address(OTHER);
    let report = laboratory.walk_to(&[CACHE.into(), OTHER.into()], AMPLE);
    assert_eq!(endings(&report), [said("10.20.1.4", "serves"), said("10.20.1.5", "connect refused")]);
    assert!(!report.succeeded());
    assert_eq!(laboratory.cache.connections(), 1);

    let mut asked = laboratory.names.asked();
    asked.sort_by_key(|asked| asked.record_type);
    let once = |record_type| Asked { name: HOST.to_owned(), record_type, over: Transport::Udp };
    assert_eq!(asked, [once(RecordType::A), once(RecordType::AAAA)]);
}

#[test]
fn an_address_of_a_family_this_machine_lacks_is_no_outage() {
    let laboratory = Laboratory::new();
    let v6: IpAddr = "fd00::4".parse().unwrap();
    let report = laboratory.walk_to(&[CACHE.into(), v6], AMPLE);
    assert_eq!(endings(&report), [said("10.20.1.4", "serves"), said("fd00::4", "connect family_unavailable")]);
    assert!(report.succeeded());
    assert!(!laboratory.walk_to(&[v6], AMPLE).succeeded());

    laboratory.network.add_address(v6);
    let report = laboratory.walk_to(&[CACHE.into(), v6], AMPLE);
    assert_eq!(endings(&report), [said("10.20.1.4", "serves"), said("fd00::4", "connect refused")]);
    assert!(!report.succeeded());
}

/// The first four addresses take all the time there is; nothing was learned of the fifth.
#[test]
fn an_address_that_was_not_dialled_is_not_called_filtered() {
    let laboratory = Laboratory::new();
    let addresses: Vec<IpAddr> = (4..=8).map(|last| [10, 20, 1, last].into()).collect();
    addresses.iter().skip(1).for_each(|address| laboratory.network.add_address(*address));
    laboratory.network.filter("tcp dport 6380 drop");
    let watch = Stopwatch::start();
    let report = laboratory.walk_to(&addresses, Timeouts { total: SOON, ..AMPLE });
    assert!(watch.elapsed() < SOON + SLACK, "{:?}", watch.elapsed());
    let mut expected: Vec<_> = addresses.iter().map(|address| said(&address.to_string(), "connect filtered")).collect();
    expected[4].1 = "connect timeout".to_owned();
    assert_eq!(endings(&report), expected);
    let words = report.legs[4].fault.as_ref().unwrap().detail.to_string();
    assert_eq!(words, "10.20.1.8:6380 was not dialled: the time for the whole probe was up");
}

#[test]
fn a_machine_without_descriptors_blames_itself() {
    in_a_process_of_its_own("connect::without_descriptors", &[]);
}

#[test]
#[ignore = "lowers a limit of its whole process; `a_machine_without_descriptors_blames_itself` runs it in one of its own"]
fn without_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let peer = Peer::plain([Step::Hold]);
    let runtime = testlab::cache::runtime();
    let prober = cachewatch::probe::Prober::new(&cachewatch::model::SystemFiles::default());
    let mut limit = getrlimit(Resource::Nofile);
    // A new descriptor takes the lowest free number, so with as many numbers as are in use there is none left.
    let next = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/dev/null").unwrap());
    limit.current = Some(u64::try_from(next).unwrap());
    setrlimit(Resource::Nofile, limit).unwrap();
    let report = runtime.block_on(prober.walk(&at(peer.address())));
    assert_eq!(ending(only_leg(&report)), "connect local_exhaustion");

    let report = runtime.block_on(prober.walk(&named(HOST, peer.address())));
    let fault = report.lookup.followed().unwrap().fault.as_ref().unwrap();
    assert_eq!((fault.stage.as_str(), fault.kind.as_str()), ("resolve", "local_exhaustion"));
}
