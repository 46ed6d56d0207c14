//! Whole lookups: what comes of replies, and after how long. Each row is a fact of the library.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::libc::packet::{HEADER_LENGTH, WireName};
use crate::libc::wire::{Question, WireReply};

/// What a server says to one question.
#[derive(Debug, Clone, Default)]
struct Say {
    after: u64,
    rcode: u8,
    /// The two bytes of flags, where they are not those of a server that recurses.
    flags: Option<[u8; 2]>,
    answers: Vec<&'static str>,
    raw: Option<Vec<u8>>,
    instead: Option<WireReply>,
}

fn found(answers: &[&'static str]) -> Say {
    Say { answers: answers.to_vec(), ..Say::default() }
}

fn code(rcode: u8) -> Say {
    Say { rcode, ..Say::default() }
}

fn nodata() -> Say {
    Say::default()
}

fn instead(reply: WireReply) -> Say {
    Say { instead: Some(reply), ..Say::default() }
}

fn silent() -> Say {
    instead(WireReply::Silence)
}

fn unreachable(after: u64) -> Say {
    instead(WireReply::Unreachable(Duration::from_millis(after)))
}

fn raw(bytes: &[u8]) -> Say {
    Say { raw: Some(bytes.to_vec()), ..Say::default() }
}

/// NOERROR without an answer, of a server that does not recurse and knows nothing.
fn lame() -> Say {
    Say { flags: Some([0x80, 0x00]), ..Say::default() }
}

fn cut() -> Say {
    Say { flags: Some([0x82, 0x80]), ..Say::default() }
}

impl Say {
    fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    fn reply(&self, name: &str, record_type: RecordType) -> WireReply {
        if let Some(reply) = &self.instead {
            return reply.clone();
        }
        let bytes = self.raw.clone().unwrap_or_else(|| self.message(name, record_type));
        WireReply::Bytes(Duration::from_millis(self.after), bytes)
    }

    /// Answers are `OWNER TYPE DATA`, where `@` is the name asked for; addresses of the other type are left out.
    fn message(&self, name: &str, record_type: RecordType) -> Vec<u8> {
        let number = |word: &str| match word {
            "A" => 1_u16,
            "AAAA" => 28,
            "CNAME" => 5,
            other => panic!("{other}"),
        };
        let wire = |text: &str| {
            let mut bytes = Vec::new();
            for label in text.split('.').filter(|label| !label.is_empty()) {
                bytes.push(u8::try_from(label.len()).unwrap());
                bytes.extend(label.as_bytes());
            }
            bytes.push(0);
            bytes
        };
        let asked = number(record_type.as_str());
        let [high, low] = self.flags.unwrap_or([0x81, 0x80]);
        let mut records = Vec::new();
        let mut count = 0_u16;
        for answer in &self.answers {
            let words: Vec<_> = answer.split_whitespace().collect();
            let [owner, kind, data] = words[..] else { panic!("{answer}") };
            if kind != "CNAME" && number(kind) != asked {
                continue;
            }
            count += 1;
            records.extend(wire(if owner == "@" { name } else { owner }));
            records.extend(number(kind).to_be_bytes());
            records.extend([0, 1, 0, 0, 0, 60]);
            let data = match data.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => address.octets().to_vec(),
                Ok(IpAddr::V6(address)) => address.octets().to_vec(),
                Err(_) => wire(data),
            };
            records.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            records.extend(data);
        }
        let mut message = vec![0, 7, high, low | self.rcode, 0, 1];
        message.extend(count.to_be_bytes());
        message.extend([0; 4]);
        message.extend(wire(name));
        message.extend(asked.to_be_bytes());
        message.extend([0, 1]);
        message.extend(records);
        message
    }
}

/// Files, a host, and what servers say. A server is the last number of its address; what is not said is silence.
struct Scene {
    files: NameFiles,
    host: &'static str,
    start: usize,
    script: Vec<(Question, Option<u32>, WireReply)>,
}

fn scene(resolv_conf: &str) -> Scene {
    let files = NameFiles { resolv_conf: Some(resolv_conf.as_bytes().to_vec()), ..NameFiles::default() };
    Scene { files, host: "orders.test", start: 0, script: Vec::new() }
}

impl Scene {
    fn nsswitch(mut self, hosts: &str) -> Self {
        self.files.nsswitch = Some(format!("hosts: {hosts}\n").into_bytes());
        self
    }

    fn hosts(mut self, hosts: &str) -> Self {
        self.files.hosts = Some(hosts.as_bytes().to_vec());
        self
    }

    fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// `1 A` is server 10.0.0.1 asked for `orders.test`; `1 other.test *` another name and both types; `tcp` over TCP; `#1`
    /// asked once before.
    fn on(mut self, key: &str, say: &Say) -> Self {
        let (mut over_tcp, mut name, mut earlier, mut types) = (false, "orders.test", None, RecordType::ALL.to_vec());
        let (server, rest) = key.split_once(' ').unwrap();
        for word in rest.split(' ') {
            match word {
                "tcp" => over_tcp = true,
                "*" => {}
                "A" => types = vec![RecordType::A],
                "AAAA" => types = vec![RecordType::Aaaa],
                word if word.starts_with('#') => earlier = Some(word[1..].parse().unwrap()),
                word => name = word,
            }
        }
        let server = SocketAddr::from((Ipv4Addr::new(10, 0, 0, server.parse().unwrap()), 53));
        for record_type in types {
            let question = Question { server, name: name.to_owned(), record_type, over_tcp, edns: false, earlier: 0 };
            self.script.push((question, earlier, say.reply(name, record_type)));
        }
        self
    }

    fn run(&self) -> Lookup {
        lookup_from(&self.files, self.host, self, self.start).unwrap()
    }

    /// What is returned, and the milliseconds.
    fn told(&self) -> String {
        let lookup = self.run();
        let waited: Duration = lookup.waits.iter().map(|wait| wait.waited).sum();
        assert_eq!(waited, lookup.took, "each wait is told");
        let words = match &lookup.returned {
            Returned::Found { addresses, canonical } => {
                let mut words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                words.extend(canonical.iter().map(|name| format!("at {name}")));
                words.join(" ")
            }
            Returned::Failed(error) => error.to_string(),
            Returned::Hangs => "hangs".to_owned(),
        };
        format!("{words}, {}", lookup.took.as_millis())
    }
}

impl Wire for Scene {
    fn reply(&self, question: &Question) -> Option<&WireReply> {
        let said = self.script.iter().find(|(asked, earlier, _)| {
            earlier.is_none_or(|earlier| earlier == question.earlier)
                && *asked == Question { earlier: 0, edns: false, ..question.clone() }
        });
        Some(said.map_or(&WireReply::Silence, |(_, _, reply)| reply))
    }
}

#[track_caller]
fn check(scene: &Scene, told: &str) {
    assert_eq!(scene.told(), told);
}

const ONE: &str = "nameserver 10.0.0.1\n";
const TWO: &str = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n";
const THREE: &str = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
const BOTH: &[&str] = &["@ A 10.9.0.1", "@ AAAA fd00::1"];

fn good() -> Say {
    found(&["@ A 10.9.0.1"])
}

#[test]
fn an_answer_is_taken() {
    check(&scene(ONE).on("1 *", &found(BOTH)), "10.9.0.1 fd00::1, 0");
    check(&scene(ONE).on("1 *", &good()), "10.9.0.1, 0");
    // The order is that of arrival.
    check(&scene(ONE).on("1 A", &found(BOTH).after(30)).on("1 AAAA", &found(BOTH)), "fd00::1 10.9.0.1, 30");
    check(&scene(ONE).on("1 *", &found(&["@ A 10.9.0.1", "@ A 10.9.0.2", "@ A 10.9.0.1"])), "10.9.0.1 10.9.0.2, 0");
}

#[test]
fn failures_have_three_words() {
    check(&scene(ONE).on("1 *", &nodata()), "no_address, 0");
    check(&scene(ONE).on("1 *", &code(3)), "name_not_known, 0");
    check(&scene(ONE).on("1 A", &nodata()).on("1 AAAA", &code(3)), "name_not_known, 0");
    check(&scene(ONE).on("1 *", &code(2)), "try_again, 0");
    check(&scene(ONE).on("1 *", &code(5)), "try_again, 0");
    check(&scene(ONE), "try_again, 10000");
}

#[test]
fn the_waiting_is_shared_among_servers() {
    check(&scene(TWO), "try_again, 20000");
    check(&scene(THREE), "try_again, 28000");
    check(&scene(&format!("{THREE}options timeout:1 attempts:1\n")), "try_again, 3000");
    check(&scene(&format!("{ONE}options timeout:0\n")), "try_again, 2000");
    check(&scene(&format!("{ONE}options timeout:-7\n")), "try_again, 2000");
    check(&scene(&format!("{ONE}options attempts:0\n")).on("1 *", &good()), "try_again, 0");
}

#[test]
fn the_next_server_is_asked_after_some_refusals_only() {
    for rcode in [2, 4, 5] {
        check(&scene(TWO).on("1 *", &code(rcode)).on("2 *", &good()), "10.9.0.1, 0");
    }
    // FORMERR and NOTAUTH are answers, and so is what denies the name.
    for rcode in [1, 3, 9] {
        check(&scene(TWO).on("1 *", &code(rcode)).on("2 *", &good()), "name_not_known, 0");
    }
    check(&scene(TWO).on("1 *", &nodata()).on("2 *", &good()), "no_address, 0");
    check(&scene(TWO).on("1 *", &lame()).on("2 *", &good()), "10.9.0.1, 0");
    // A bare header is a refusal where its code is one.
    let bare = |rcode: u8| raw(&[0, 7, 0x81, 0x80 | rcode, 0, 0, 0, 0, 0, 0, 0, 0]);
    check(&scene(TWO).on("1 *", &bare(5)).on("2 *", &good()), "10.9.0.1, 0");
    check(&scene(TWO).on("1 *", &bare(1)).on("2 *", &good()), "10.9.0.1, 5000");
}

#[test]
fn a_refusal_of_one_type_does_not_spoil_the_other() {
    for rcode in [1, 2, 3, 5] {
        check(&scene(ONE).on("1 A", &good()).on("1 AAAA", &code(rcode).after(40)), "10.9.0.1, 40");
        check(&scene(ONE).on("1 A", &good().after(40)).on("1 AAAA", &code(rcode)), "10.9.0.1, 40");
    }
    // Where the other never comes, a refusal is no answer that is kept.
    check(&scene(ONE).on("1 AAAA", &code(2)), "try_again, 10000");
}

#[test]
fn a_second_attempt_follows() {
    check(&scene(ONE).on("1 * #0", &code(2)).on("1 * #1", &good()), "10.9.0.1, 0");
    check(&scene(ONE).on("1 * #0", &silent()).on("1 * #1", &good().after(7)), "10.9.0.1, 5007");
}

#[test]
fn what_is_late_is_read_when_the_turn_comes_again() {
    check(&scene(ONE).on("1 * #0", &good().after(6000)), "10.9.0.1, 6000");
    check(&scene(TWO).on("1 * #0", &good().after(6000)), "10.9.0.1, 10000");
    check(&scene(THREE).on("1 *", &good().after(900)), "10.9.0.1, 900");
    // An error at one server closes the sockets of all.
    check(&scene(TWO).on("1 * #0", &good().after(6000)).on("2 *", &unreachable(0)), "try_again, 10000");
}

#[test]
fn a_missing_type_is_asked_for_again_and_alone() {
    check(&scene(ONE).on("1 A", &good()), "10.9.0.1, 15000");
    check(&scene(ONE).on("1 AAAA", &found(BOTH)), "try_again, 15000");
    check(&scene(&format!("{ONE}options single-request\n")).on("1 A", &good()), "10.9.0.1, 10000");
    check(&scene(&format!("{ONE}options single-request-reopen\n")).on("1 A", &good()), "10.9.0.1, 5000");
    check(&scene(&format!("{ONE}options no-aaaa\n")).on("1 A", &good()), "10.9.0.1, 0");
    // A server that answers one question at a time is asked so from then on.
    let scene = scene(&format!("search a.test\noptions ndots:9\n{ONE}"))
        .on("1 orders.test.a.test A", &code(3))
        .on("1 orders.test.a.test AAAA #0", &silent())
        .on("1 orders.test.a.test AAAA #1", &code(3))
        .on("1 A", &found(BOTH).after(3))
        .on("1 AAAA", &found(BOTH).after(4));
    check(&scene, "10.9.0.1 fd00::1, 5007");
    let culprit = &scene.run().waits[0];
    assert_eq!((culprit.record_type, culprit.waited.as_secs()), (Some(RecordType::Aaaa), 5));
    assert_eq!((culprit.name.as_str(), culprit.ended.as_str()), ("orders.test.a.test", "one answer is missing"));
}

#[test]
fn a_server_that_is_not_there_is_passed_over_at_once() {
    check(&scene(TWO).on("1 *", &unreachable(0)).on("2 *", &good()), "10.9.0.1, 0");
    check(&scene(ONE).on("1 *", &unreachable(20)), "try_again, 40");
    // What one type had learnt is lost with the socket.
    check(&scene(TWO).on("1 A", &good()).on("1 AAAA", &unreachable(5)).on("2 *", &good()), "10.9.0.1, 5");
}

#[test]
fn where_no_server_is_there_the_search_ends() {
    let conf = format!("search a.test\noptions ndots:9\n{ONE}");
    let scene = scene(&conf).on("1 orders.test.a.test *", &unreachable(1)).on("1 *", &good());
    check(&scene, "try_again, 2");
}

#[test]
fn garbage_is_passed_over_or_taken_for_an_answer() {
    check(&scene(TWO).on("1 *", &raw(b"\0\x07noise")).on("2 *", &good()), "10.9.0.1, 0");
    check(&scene(TWO).on("1 *", &raw(b"\0\x07")).on("2 *", &good()), "10.9.0.1, 0");
    // Another name in the question: not the reply, and so waited for.
    let other = raw(&good().message("other.test", RecordType::A));
    check(&scene(TWO).on("1 *", &other).on("2 *", &good()), "10.9.0.1, 5000");
    // A question that cannot be read passes for the right one.
    let unreadable = raw(&[0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0x80, 0, 0, 0]);
    check(&scene(TWO).on("1 *", &unreadable).on("2 *", &good()), "name_not_known, 0");
}

#[test]
fn a_reply_that_was_cut_is_asked_for_over_tcp() {
    check(&scene(ONE).on("1 *", &cut()).on("1 tcp *", &found(BOTH).after(9)), "10.9.0.1 fd00::1, 9");
    // One that was cut is enough to ask for both again.
    check(&scene(ONE).on("1 A", &cut()).on("1 tcp *", &good()), "10.9.0.1, 0");
    check(&scene(ONE).on("1 *", &cut()), "hangs, 0");
    check(&scene(ONE).on("1 *", &cut().after(3)).on("1 tcp A", &good()), "hangs, 3");
    // After that no server is asked over UDP, and each at most once.
    let refused = |scene: Scene| scene.on("1 *", &cut()).on("1 tcp *", &unreachable(2));
    check(&refused(scene(ONE)), "try_again, 2");
    check(&refused(scene(TWO)).on("2 *", &good()).on("2 tcp *", &unreachable(0)), "try_again, 2");
    check(&refused(scene(TWO)).on("2 tcp *", &good()), "10.9.0.1, 2");
    let closed = instead(WireReply::Closed(Duration::from_millis(4)));
    check(&scene(ONE).on("1 *", &cut()).on("1 tcp *", &closed), "try_again, 4");
    check(&scene(ONE).on("1 *", &cut()).on("1 tcp *", &raw(b"noise")), "try_again, 0");
}

#[test]
fn over_tcp_every_code_is_the_last_word() {
    let conf = format!("{TWO}options use-vc\n");
    check(&scene(&conf).on("1 tcp *", &good()), "10.9.0.1, 0");
    check(&scene(&conf).on("1 tcp *", &code(2)).on("2 tcp *", &good()), "try_again, 0");
    check(&scene(&conf).on("1 tcp *", &code(5)).on("2 tcp *", &good()), "name_not_known, 0");
    check(&scene(&conf).on("1 tcp *", &cut()).on("2 tcp *", &good()), "no_address, 0");
}

#[test]
fn aliases_stand_in_front_of_what_they_lead_to() {
    let answer = |answers: &[&'static str]| scene(ONE).on("1 *", &found(answers));
    check(
        &answer(&["@ CNAME b.test", "b.test CNAME c.test", "c.test A 10.9.0.1", "c.test AAAA fd00::1"]),
        "10.9.0.1 fd00::1 at c.test, 0",
    );
    check(&answer(&["@ CNAME b.test"]), "name_not_known, 0");
    check(&answer(&["b.test A 10.9.0.1", "@ CNAME b.test"]), "name_not_known, 0");
    check(&answer(&["b.test A 10.9.0.1"]), "name_not_known, 0");
    check(&answer(&["b.test CNAME c.test", "@ CNAME b.test", "c.test A 10.9.0.1"]), "name_not_known, 0");
    // Whose alias it is makes no difference.
    check(&answer(&["x.test CNAME c.test", "c.test A 10.9.0.1"]), "10.9.0.1 at c.test, 0");
    check(&answer(&["@ A 10.9.0.1", "@ CNAME b.test", "@ A 10.9.0.2", "b.test A 10.9.0.3"]), "10.9.0.1 10.9.0.3, 0");
    check(&answer(&["ORDERS.Test A 10.9.0.1"]), "10.9.0.1, 0");
    check(&answer(&["@ CNAME b$.test", "b$.test A 10.9.0.1"]), "10.9.0.1, 0");
}

#[test]
fn a_denial_with_an_address_is_a_denial() {
    let denial = Say { rcode: 3, ..good() };
    check(&scene(ONE).on("1 *", &denial), "name_not_known, 0");
    // Beside an answer of the other type its records count.
    check(&scene(ONE).on("1 A", &denial).on("1 AAAA", &found(BOTH)), "10.9.0.1 fd00::1, 0");
}

#[test]
fn records_that_cannot_be_read_spoil_what_comes_first() {
    let mut broken = good().message("orders.test", RecordType::A);
    broken[7] = 2;
    check(&scene(ONE).on("1 A", &raw(&broken)).on("1 AAAA", &found(BOTH).after(1)), "name_not_known, 1");
    check(&scene(ONE).on("1 A", &raw(&broken).after(1)).on("1 AAAA", &found(BOTH)), "fd00::1 10.9.0.1, 1");
    // The services behind it are asked, since this one is taken for unavailable.
    let scene = scene(ONE).on("1 A", &raw(&broken)).on("1 AAAA", &nodata().after(1));
    check(&scene.nsswitch("dns [!UNAVAIL=return] files").hosts("10.1.1.1 orders.test\n"), "10.1.1.1, 1");
}

#[test]
fn a_result_without_room_is_looked_up_again() {
    let many: Vec<_> = (1..=26).map(|number| &*format!("@ A 10.9.1.{number}").leak()).collect();
    let took = |count: usize| {
        let scene = scene(ONE).on("1 A", &found(&many[..count]).after(10)).on("1 AAAA", &nodata());
        scene.run().took.as_millis()
    };
    assert_eq!((took(25), took(26)), (10, 10 + 10));
}

const SEARCH: &str = "search a.test b.test\noptions ndots:9\nnameserver 10.0.0.1\n";

#[test]
fn ndots_says_whether_the_name_comes_first() {
    let names = |conf: &str, host: &'static str| {
        let lookup = scene(conf).host(host).on("1 *", &code(3)).run();
        let mut names: Vec<_> = lookup.waits.into_iter().map(|wait| wait.name).collect();
        names.dedup();
        names
    };
    // Silence ends the list, but for the name as it stands.
    assert_eq!(names(SEARCH, "x.test"), ["x.test.a.test", "x.test"]);
    assert_eq!(names(&SEARCH.replace('9', "1"), "x.test"), ["x.test", "x.test.a.test"]);
    assert_eq!(names(SEARCH, "x.test."), ["x.test"]);
    assert_eq!(names(SEARCH, "x"), ["x.a.test", "x"]);
    assert_eq!(names(&format!("{SEARCH}options no-tld-query\n"), "x"), ["x.a.test"]);
    assert_eq!(names(&format!("{SEARCH}options no-tld-query\n"), "x.test"), ["x.test.a.test", "x.test"]);
    assert_eq!(names("options no-tld-query\nnameserver 10.0.0.1\n", "x"), ["x"]);
}

#[test]
fn a_failed_candidate_goes_on_or_ends_the_list() {
    let first = |say: &Say| scene(SEARCH).on("1 orders.test.a.test *", say);
    let second = |scene: Scene| scene.on("1 orders.test.b.test *", &good()).on("1 *", &found(&["@ A 10.9.0.2"]));
    for goes_on in [code(3), nodata(), code(2)] {
        check(&second(first(&goes_on)), "10.9.0.1 at orders.test.b.test, 0");
    }
    // Then the name as it stands is the next.
    for ends in [code(5), code(4), code(1)] {
        check(&second(first(&ends)), "10.9.0.2, 0");
    }
    check(&second(first(&silent())), "10.9.0.2, 10000");
    // An alias alone counts as found, and ends it all.
    check(&second(first(&found(&["@ CNAME c.test"]))), "name_not_known, 0");
}

#[test]
fn the_word_for_a_search_is_that_of_the_name_or_the_best_of_the_list() {
    let denied = |scene: Scene| scene.on("1 orders.test.b.test *", &code(3)).on("1 *", &code(3));
    check(&denied(scene(SEARCH).on("1 orders.test.a.test *", &nodata())), "no_address, 0");
    check(&denied(scene(SEARCH).on("1 orders.test.a.test *", &code(2))), "try_again, 0");
    check(&denied(scene(SEARCH).on("1 orders.test.a.test *", &code(3))), "name_not_known, 0");
    // Asked first, its own word stays.
    let conf = SEARCH.replace('9', "1");
    let own = |say: &Say| denied(scene(&conf).on("1 *", say).on("1 orders.test.a.test *", &nodata()));
    check(&own(&code(3)), "name_not_known, 0");
    check(&own(&code(2)), "try_again, 0");
}

#[test]
fn refusals_of_a_search_list_leave_the_name_as_it_stands() {
    let conf = "search ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\nnameserver 10.0.0.1\n";
    let scene = scene(conf).on("1 orders.test.ns.svc.cluster.local *", &code(5)).on("1 *", &good());
    check(&scene, "10.9.0.1, 0");
}

#[test]
fn odd_domains() {
    let conf = |search: &str| format!("search {search}\noptions ndots:9\nnameserver 10.0.0.1\n");
    // The root is the name itself, and it is not asked for twice.
    check(&scene(&conf(". a.test")).on("1 *", &good()), "10.9.0.1, 0");
    check(&scene(&conf(".")).on("1 *", &code(3)), "name_not_known, 0");
    assert_eq!(scene(&conf(".")).on("1 *", &code(3)).run().waits.len(), 1);
    // No name can be made with the first one: the list ends there.
    let scene = scene(&conf("corp..example b.test")).on("1 orders.test.b.test *", &found(&["@ A 10.9.0.2"]));
    check(&scene.on("1 *", &good()), "10.9.0.1, 0");
    let carriage_return = "search a.test\r\noptions ndots:9\r\nnameserver 10.0.0.1\n";
    let lookup = super::tests::scene(carriage_return).on("1 *", &good()).run();
    assert_eq!(lookup.waits[0].name, "orders.test.a.test\\013");
}

#[test]
fn services_follow_one_another() {
    let scene = |hosts: &str| scene(ONE).on("1 *", &good()).nsswitch(hosts);
    let pin = "10.1.1.1 orders.test\n";
    check(&scene("files dns").hosts(pin), "10.1.1.1, 0");
    check(&scene("dns files").hosts(pin), "10.9.0.1, 0");
    check(&scene("files"), "name_not_known, 0");
    check(&scene("files [UNAVAIL=return] dns"), "name_not_known, 0");
    check(&scene("files").hosts(""), "name_not_known, 0");
    check(&scene("files [NOTFOUND=return] dns").hosts(""), "name_not_known, 0");
    check(&scene("files [NOTFOUND=return] dns"), "10.9.0.1, 0");
    check(&scene("files [SUCCESS=continue] dns").hosts(pin), "10.9.0.1, 0");
    check(&scene("files [SUCCESS=merge] dns").hosts(pin), "name_not_known, 0");
    check(&scene("files [oops] dns"), "name_not_known, 0");
    // The comment is read as services, which cannot be loaded.
    check(&scene("files dns # usual").hosts(pin), "10.1.1.1, 0");
    check(&scene("files # usual").hosts(""), "system_error, 0");
}

#[test]
fn what_servers_do_decides_whether_dns_is_unavailable() {
    let pinned = |say: &Say, hosts: &str| {
        scene(&format!("{ONE}options timeout:1 attempts:1\n"))
            .on("1 *", say)
            .nsswitch(hosts)
            .hosts("10.1.1.1 orders.test\n")
    };
    let strict = "dns [!UNAVAIL=return] files";
    check(&pinned(&silent(), strict), "10.1.1.1, 1000");
    check(&pinned(&unreachable(0), strict), "10.1.1.1, 0");
    check(&pinned(&code(2), strict), "10.1.1.1, 0");
    check(&pinned(&code(3), strict), "name_not_known, 0");
    check(&pinned(&nodata(), strict), "no_address, 0");
    // The last service has the last word.
    check(&pinned(&silent(), "dns files").hosts(""), "name_not_known, 1000");
}

#[test]
fn other_services_are_modelled_where_they_are_certain() {
    let run = |hosts: &str, host: &'static str| {
        let mut scene = scene(ONE).on("1 *", &good()).nsswitch(hosts).hosts("").host(host);
        scene.files.host_name = "web-1".to_owned();
        (scene.told(), scene.run().unmodelled)
    };
    let none = Vec::<String>::new();
    let usual = "files mymachines mdns4_minimal [NOTFOUND=return] dns myhostname";
    assert_eq!(run(usual, "orders.test"), ("10.9.0.1, 0".to_owned(), none));
    let resolve = run("files resolve [!UNAVAIL=return] dns", "orders.test");
    assert_eq!(resolve, ("10.9.0.1, 0".to_owned(), vec!["resolve".to_owned()]));
    assert_eq!(run("myhostname", "web-1").1, ["myhostname"]);
    assert_eq!(run("mdns4_minimal", "printer.local").1, ["mdns4_minimal"]);
    assert_eq!(run("myhostname", "orders.test").0, "name_not_known, 0");
    assert_eq!(run("ldap", "orders.test").0, "system_error, 0");
}

#[test]
fn an_address_is_not_looked_up() {
    for (host, told) in [
        ("10.1", "10.0.0.1, 0"),
        ("::1", "::1, 0"),
        ("fe80::1%3", "fe80::1, 0"),
        ("fe80::1%eth7", "name_not_known, 0"),
        ("*", "name_not_known, 0"),
        ("", "name_not_known, 0"),
        ("-x.test", "name_not_known, 0"),
        ("x y.test", "name_not_known, 0"),
        ("x$.test", "name_not_known, 0"),
        ("x..test", "name_not_known, 0"),
    ] {
        check(&scene(ONE).host(host).hosts(""), told);
    }
}

#[test]
fn rotate_begins_anywhere_and_moves_on() {
    let conf = format!("search a.test\noptions ndots:9 rotate\n{TWO}");
    let mut scene = scene(&conf).on("1 *", &good()).on("2 *", &found(&["@ A 10.9.0.2"]));
    for server in ["1", "2"] {
        scene = scene.on(&format!("{server} orders.test.a.test *"), &code(3));
    }
    assert_eq!(starts(&scene.files), 2);
    check(&scene, "10.9.0.2, 0");
    scene.start = 1;
    check(&scene, "10.9.0.1, 0");
}

/// Knows nothing.
struct Nothing;

impl Wire for Nothing {
    fn reply(&self, _: &Question) -> Option<&WireReply> {
        None
    }
}

#[test]
fn what_is_missing_is_asked_for_together() {
    let files = scene(&format!("{TWO}options edns0\n")).files;
    let Unasked(questions) = lookup(&files, "Orders.Test", &Nothing).unwrap_err();
    let told = questions.iter().map(|question| format!("{} {}", question.name, question.record_type));
    assert_eq!(told.collect::<Vec<_>>(), ["orders.test A", "orders.test AAAA"]);
    assert!(questions.iter().all(|question| question.edns && question.server == SocketAddr::from(([10, 0, 0, 1], 53))));
}

/// The same bytes to every question.
struct Parrot(WireReply);

impl Wire for Parrot {
    fn reply(&self, _: &Question) -> Option<&WireReply> {
        Some(&self.0)
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(
        conf: Vec<u8>, hosts: Vec<u8>, nsswitch: Vec<u8>, host: String, options: String, domain: String, bytes: Vec<u8>,
    ) {
        let files = NameFiles {
            resolv_conf: Some(conf),
            hosts: Some(hosts),
            nsswitch: Some(nsswitch),
            host_name: host.clone(),
            res_options: Some(options),
            local_domain: Some(domain),
            ..NameFiles::default()
        };
        let _ = lookup(&files, &host, &Parrot(WireReply::Bytes(Duration::from_millis(1), bytes)));
    }

    #[test]
    fn no_records_are_too_odd(
        head in proptest::collection::vec(any::<u8>(), 2),
        counts in proptest::collection::vec(0_u8..3, 3),
        tail in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..30, Just(0xc0), Just(12)], 0..120),
        over_tcp: bool,
    ) {
        let mut bytes = good().message("orders.test", RecordType::A)[..HEADER_LENGTH + 13 + 4].to_vec();
        bytes[2..4].copy_from_slice(&head);
        for (place, count) in counts.iter().enumerate() {
            bytes[7 + 2 * place] = *count;
        }
        bytes.extend(tail);
        let conf = if over_tcp { format!("{ONE}options use-vc\n") } else { ONE.to_owned() };
        let _ = lookup(&scene(&conf).files, "orders.test", &Parrot(WireReply::Bytes(Duration::ZERO, bytes.clone())));
        for at in 0..bytes.len() {
            if let Some((name, _)) = WireName::unpack(&bytes, at) {
                prop_assert_eq!(WireName::from_text(name.to_text().as_bytes()), Some(name));
            }
        }
    }
}
