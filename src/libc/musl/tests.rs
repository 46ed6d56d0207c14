//! What musl does on the way, a fact a test; the files and the bytes have their own beside them.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::{any, prop};

use super::*;
use crate::libc::{Question, WireReply};

/// Replies by server, name and type, as a list for the first, second ... time; the last stays.
#[derive(Default)]
struct Servers {
    script: HashMap<(String, String, RecordType), Vec<WireReply>>,
    /// Over TCP, for every question.
    over_tcp: Option<WireReply>,
}

impl Wire for Servers {
    fn reply(&self, question: &Question) -> Option<&WireReply> {
        if question.over_tcp {
            return self.over_tcp.as_ref();
        }
        let key = (question.server.ip().to_string(), question.name.clone(), question.record_type);
        let replies = self.script.get(&key)?;
        replies.get(question.earlier as usize).or(replies.last())
    }
}

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// A header with this code, and addresses of the root.
fn message(code: u8, addresses: &[IpAddr]) -> Vec<u8> {
    let count = u8::try_from(addresses.len()).unwrap();
    let mut bytes = vec![0, 0, 0x81, 0x80 | code, 0, 0, 0, count, 0, 0, 0, 0];
    for address in addresses {
        let (kind, octets) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        bytes.extend([0, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(octets.len()).unwrap()]);
        bytes.extend(octets);
    }
    bytes
}

/// `10.0.0.1`, `nodata`, `nxdomain`, `code 5`, `silence`, `refused`; behind `@`, the milliseconds until it comes.
fn reply(words: &str) -> WireReply {
    let (what, after) = words.split_once('@').unwrap_or((words, "0"));
    let after = milliseconds(after.parse().unwrap());
    let bytes = match what {
        "silence" => return WireReply::Silence,
        "refused" => return WireReply::Unreachable(after),
        "closed" => return WireReply::Closed(after),
        "nodata" => message(0, &[]),
        "nxdomain" => message(3, &[]),
        "servfail" => message(2, &[]),
        "cut" => [&[0, 0, 0x83], &message(0, &[])[3..]].concat(),
        code if code.starts_with("code ") => message(code[5..].parse().unwrap(), &[]),
        addresses => message(0, &addresses.split(' ').map(|word| word.parse().unwrap()).collect::<Vec<_>>()),
    };
    WireReply::Bytes(after, bytes)
}

/// A world in lines of `SERVER NAME TYPE: REPLY, REPLY ...`, and what a lookup in it returns.
fn look_up_as(version: MuslVersion, conf: &str, host: &str, script: &[&str], over_tcp: Option<&str>) -> String {
    let mut servers = Servers { over_tcp: over_tcp.map(reply), ..Servers::default() };
    for line in script {
        let (key, replies) = line.split_once(": ").unwrap();
        let [server, name, kind] = key.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let replies: Vec<_> = replies.split(", ").map(reply).collect();
        let kinds = RecordType::ALL.iter().filter(|own| kind == "*" || own.as_str() == kind);
        for own in kinds {
            servers.script.insert((format!("10.0.0.{server}"), name.to_owned(), *own), replies.clone());
        }
    }
    let files = NameFiles { resolv_conf: Some(conf.as_bytes().to_vec()), ..NameFiles::default() };
    let lookup = match lookup(version, &files, host, &servers) {
        Ok(lookup) => lookup,
        Err(Unasked(questions)) => {
            let words = questions.iter().map(|question| {
                let over = if question.over_tcp { " tcp" } else { "" };
                format!(
                    "{} {} {}{over} {}",
                    question.server.ip(),
                    question.name,
                    question.record_type,
                    question.earlier
                )
            });
            return format!("unasked: {}", words.collect::<Vec<_>>().join(", "));
        }
    };
    let waited: Duration = lookup.waits.iter().map(|wait| wait.waited).sum();
    assert_eq!(waited, lookup.took, "every wait is told, once");
    let words = match lookup.returned {
        Returned::Found { addresses, canonical } => {
            let words: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
            words.join(" ") + &canonical.map_or(String::new(), |name| format!(" as {name}"))
        }
        Returned::Failed(error) => error.to_string(),
        Returned::Hangs => "hangs".to_owned(),
    };
    format!("{words}, {}", lookup.took.as_millis())
}

fn look_up(conf: &str, host: &str, script: &[&str]) -> String {
    look_up_as(MuslVersion::V1_2_3, conf, host, script, None)
}

const ONE: &str = "nameserver 10.0.0.1\n";
const TWO: &str = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n";

#[test]
fn every_server_and_both_types_are_asked_at_once() {
    assert_eq!(
        look_up(TWO, "A.test", &[]),
        "unasked: 10.0.0.1 a.test A 0, 10.0.0.2 a.test A 0, 10.0.0.1 a.test AAAA 0, 10.0.0.2 a.test AAAA 0"
    );
    // The answers may be those of different servers.
    let script =
        ["1 a.test A: 10.1.0.1@9", "2 a.test A: 10.1.0.2@10", "1 a.test AAAA: fd00::1@30", "2 a.test AAAA: nodata@20"];
    assert_eq!(look_up(TWO, "a.test", &script), "10.1.0.1, 20");
}

#[test]
fn codes_but_noerror_and_nxdomain_are_passed_over() {
    for code in [1, 4, 5, 9, 15] {
        let refusing = format!("1 a.test *: code {code}");
        assert_eq!(look_up(TWO, "a.test", &[&refusing, "2 a.test *: 10.1.0.1@700"]), "10.1.0.1, 700");
        assert_eq!(look_up(ONE, "a.test", &[&refusing]), "try_again, 5000");
    }
}

#[test]
fn servfail_is_asked_again_at_once_a_few_times() {
    assert_eq!(look_up(ONE, "a.test", &["1 a.test *: servfail, 10.1.0.1"]), "10.1.0.1, 0");
    // Four in each interval, whichever type; with the first two each, six questions of an interval fail.
    let script = ["1 a.test A: servfail, servfail, servfail, servfail, 10.1.0.1", "1 a.test AAAA: nodata"];
    assert_eq!(look_up(ONE, "a.test", &script), "10.1.0.1, 0");
    let script = ["1 a.test A: servfail, servfail, servfail, servfail, servfail, 10.1.0.1", "1 a.test AAAA: nodata"];
    assert_eq!(look_up(ONE, "a.test", &script), "10.1.0.1, 2500");
    assert_eq!(look_up(ONE, "a.test", &["1 a.test *: servfail"]), "try_again, 5000");
}

#[test]
fn one_type_alone_spoils_both() {
    // NXDOMAIN of one type is no name, SERVFAIL or silence of one type is a failure after the whole timeout.
    let good = "1 a.test A: 10.1.0.1";
    assert_eq!(look_up(ONE, "a.test", &[good, "1 a.test AAAA: nxdomain"]), "name_not_known, 0");
    assert_eq!(look_up(ONE, "a.test", &[good, "1 a.test AAAA: servfail"]), "try_again, 5000");
    assert_eq!(look_up(ONE, "a.test", &[good, "1 a.test AAAA: silence"]), "try_again, 5000");
    assert_eq!(look_up(ONE, "a.test", &[good, "1 a.test AAAA: nodata"]), "10.1.0.1, 0");
    // NXDOMAIN of the first type is looked at before the silence of the second.
    assert_eq!(look_up(ONE, "a.test", &["1 a.test A: nxdomain", "1 a.test AAAA: silence"]), "name_not_known, 5000");
}

#[test]
fn a_name_without_an_address_is_not_known_before_1_2_4() {
    let script = ["1 a.test *: nodata"];
    assert_eq!(look_up(ONE, "a.test", &script), "name_not_known, 0");
    assert_eq!(look_up_as(MuslVersion::V1_2_4, ONE, "a.test", &script, None), "no_address, 0");
}

#[test]
fn the_search_list_comes_first_and_only_for_names_with_few_dots() {
    let conf = format!("{ONE}search b c\noptions ndots:2\n");
    let script = ["1 a.test.b *: nxdomain@10", "1 a.test.c *: 10.1.0.1@10", "1 a.test *: 10.1.0.2"];
    assert_eq!(look_up(&conf, "a.test", &script), "10.1.0.1 as a.test.c, 20");
    for host in ["a.test.", "x.a.test"] {
        let script = ["1 a.test *: 10.1.0.2", "1 x.a.test *: 10.1.0.2"];
        assert_eq!(look_up(&conf, host, &script), "10.1.0.2, 0");
    }
    // With enough dots the list is not tried afterwards either.
    assert_eq!(look_up(&conf, "x.a.test", &["1 x.a.test *: nxdomain"]), "name_not_known, 0");
}

#[test]
fn the_first_name_of_which_something_is_known_ends_the_search() {
    let conf = format!("{ONE}search b c\noptions ndots:2\n");
    let rest = ["1 a.test.c *: 10.1.0.1", "1 a.test *: 10.1.0.2"];
    let look_up = |first: &str| look_up(&conf, "a.test", &[&[first], &rest[..]].concat());
    assert_eq!(look_up("1 a.test.b *: nodata"), "name_not_known, 0");
    assert_eq!(look_up("1 a.test.b *: servfail"), "try_again, 5000");
    // A policy that refuses what the search list makes: no image of musl resolves there.
    assert_eq!(look_up("1 a.test.b *: code 5"), "try_again, 5000");
}

#[test]
fn words_of_the_search_list_that_cannot_be_asked_for() {
    let script = ["1 a.corp..test *: 10.1.0.9", "1 a.b *: 10.1.0.1", "1 a *: 10.1.0.2"];
    let with = |search: &str| format!("{ONE}search {search}\n");
    assert_eq!(look_up(&with("corp..test b"), "a", &script), "name_not_known, 0");
    assert_eq!(look_up_as(MuslVersion::V1_2_4, &with("corp..test b"), "a", &script, None), "10.1.0.1 as a.b, 0");
    // The root: 1.2.3 asks a malformed question, to which no server answers.
    assert_eq!(look_up(&with("."), "a", &script), "try_again, 5000");
    assert_eq!(look_up_as(MuslVersion::V1_2_4, &with("."), "a", &script, None), "10.1.0.2, 0");
    // What is too long for the buffer is passed over.
    assert_eq!(look_up(&with(&format!("{} b", "x".repeat(200))), &"a".repeat(55), &[]), {
        format!("unasked: 10.0.0.1 {0}.b A 0, 10.0.0.1 {0}.b AAAA 0", "a".repeat(55))
    });
    // A word of a comment is one of the list.
    assert_eq!(look_up(&with("# b"), "a", &["1 a.# *: nxdomain", "1 a.b *: 10.1.0.1"]), "10.1.0.1 as a.b, 0");
}

#[test]
fn questions_are_repeated_in_intervals_of_the_timeout() {
    // The first is lost.
    assert_eq!(look_up(ONE, "a.test", &["1 a.test *: silence, 10.1.0.1@30"]), "10.1.0.1, 2530");
    let with = |options: &str| format!("{ONE}options {options}\n");
    let script = ["1 a.test *: silence"];
    assert_eq!(look_up(&with("timeout:1 attempts:1"), "a.test", &script), "try_again, 1000");
    assert_eq!(look_up(&with("timeout:2 attempts:5"), "a.test", &script), "try_again, 2000");
    // Three intervals of 333 ms end too close to the timeout for a fourth, four of 166 ms do not.
    assert_eq!(look_up(&with("timeout:1 attempts:3"), "a.test", &script), "try_again, 999");
    assert_eq!(look_up(&with("timeout:1 attempts:6"), "a.test", &script), "try_again, 1162");
    // A late answer counts until then.
    assert_eq!(look_up(&with("timeout:1 attempts:6"), "a.test", &["1 a.test *: 10.1.0.1@1100"]), "10.1.0.1, 1100");
    assert_eq!(look_up(&with("timeout:0"), "a.test", &script), "try_again, 0");
    assert_eq!(look_up(&with("attempts:0"), "a.test", &script), "system_error, 0");
}

#[test]
fn a_millisecond_decides_whether_there_is_a_further_interval() {
    let by_chance = |options: &str| {
        let conf = format!("{ONE}options {options}\n").into_bytes();
        let files = NameFiles { resolv_conf: Some(conf), ..NameFiles::default() };
        let replies = vec![WireReply::Silence];
        let mut servers = Servers::default();
        for own in RecordType::ALL {
            servers.script.insert(("10.0.0.1".to_owned(), "a.test".to_owned(), *own), replies.clone());
        }
        let lookup = |chance| lookup_by_chance(MuslVersion::V1_2_3, &files, "a.test", &servers, chance).unwrap();
        (0..chances(&files)).map(|chance| lookup(chance).took.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(by_chance("timeout:1 attempts:2"), [1000]);
    assert_eq!(by_chance("timeout:1 attempts:3"), [999, 1332]);
    assert_eq!(by_chance("timeout:1 attempts:6"), [1162, 996]);
    assert_eq!(by_chance("attempts:0"), [0]);
}

#[test]
fn a_dead_server_is_a_silent_one() {
    assert_eq!(look_up(ONE, "a.test", &["1 a.test *: refused"]), "try_again, 5000");
    assert_eq!(look_up(TWO, "a.test", &["1 a.test *: refused", "2 a.test *: 10.1.0.1@8"]), "10.1.0.1, 8");
}

#[test]
fn a_server_whose_reply_comes_from_another_address_is_silent() {
    for server in ["0.0.0.0", "::", "fe80::1"] {
        let conf = format!("nameserver {server}\n{ONE}");
        assert_eq!(look_up(&conf, "a.test", &["1 a.test *: 10.1.0.1@8"]), "10.1.0.1, 8");
        assert_eq!(look_up(&conf, "a.test", &["1 a.test *: code 5"]), "try_again, 5000");
    }
}

#[test]
fn a_cut_answer_is_taken_as_it_is_before_1_2_4() {
    let script = ["1 a.test A: cut@5", "1 a.test AAAA: nodata@5"];
    assert_eq!(look_up(ONE, "a.test", &script), "name_not_known, 5");
    let newer = |over_tcp| look_up_as(MuslVersion::V1_2_4, ONE, "a.test", &script, over_tcp);
    assert_eq!(newer(None), "unasked: 10.0.0.1 a.test A tcp 0");
    assert_eq!(newer(Some("10.1.0.1@20")), "10.1.0.1, 25");
    // A connection that fails ends it at once; one that is silent ends with the timeout, and nothing is sent again.
    for broken in ["refused@20", "closed@20", "servfail@20"] {
        assert_eq!(newer(Some(broken)), "try_again, 25");
    }
    assert_eq!(newer(Some("silence")), "try_again, 5000");
}

#[test]
fn names_that_are_not_asked_for() {
    for host in ["", ".", "..", "a..", "a..b", ".a", &"a".repeat(255), &"a".repeat(64), "fd00::1%eth9"] {
        assert_eq!(look_up(ONE, host, &[]), "name_not_known, 0", "{host}");
    }
    for (host, address) in [("10.1", "10.0.0.1"), ("0x0a000001", "10.0.0.1"), ("fd00::1%7", "fd00::1")] {
        assert_eq!(look_up(ONE, host, &[]), format!("{address}, 0"));
    }
    // Other names of no host are asked for.
    assert_eq!(look_up(ONE, "_a b", &[]), "unasked: 10.0.0.1 _a\\032b A 0, 10.0.0.1 _a\\032b AAAA 0");
}

proptest::proptest! {
    /// Random bytes as replies, from the first to the last question.
    #[test]
    fn no_reply_is_too_odd(
        host in "[a-z.]{0,20}",
        conf in "(nameserver 10.0.0.[0-9]\n|options (ndots|timeout|attempts):[0-9]\n|search [a-z. ]{0,20}\n){0,6}",
        replies in prop::collection::vec((0u64..6000, prop::collection::vec(any::<u8>(), 0..80)), 1..6),
    ) {
        struct Any(Vec<WireReply>);
        impl Wire for Any {
            fn reply(&self, question: &Question) -> Option<&WireReply> {
                let place = question.name.len() + question.earlier as usize + usize::from(question.over_tcp);
                self.0.get(place % self.0.len())
            }
        }
        let replies = replies.into_iter().map(|(after, bytes)| match after {
            0..200 => WireReply::Silence,
            200..400 => WireReply::Closed(milliseconds(after)),
            _ => WireReply::Bytes(milliseconds(after), bytes),
        });
        let wire = Any(replies.collect());
        let files = NameFiles { resolv_conf: Some(conf.into_bytes()), ..NameFiles::default() };
        for version in [MuslVersion::V1_2_3, MuslVersion::V1_2_4, MuslVersion::V1_2_5] {
            proptest::prop_assert!(lookup(version, &files, &host, &wire).is_ok());
        }
    }
}
