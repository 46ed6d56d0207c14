//! The reply of a scripted server to a question, as bytes. What is sent and what the models are told is the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use cachewatch::libc::{Question, WireReply};
use cachewatch::model::RecordType;

use crate::world::{Rule, Tcp, World};

const CLASS_IN: u16 = 1;
const OPT: u16 = 41;

/// The reply to this question in this world, with the ID 0.
pub(crate) fn to(world: &World, question: &Question) -> WireReply {
    let Some(server) = world.server_at(question.server.ip()) else { return WireReply::Unreachable(Duration::ZERO) };
    let rule = rule_for(&server.rules, question);
    let after = Duration::from_millis(rule.map_or(0, |(rule, _)| rule.after));
    if question.over_tcp {
        match server.tcp {
            Tcp::Answers => {}
            Tcp::Closed => return WireReply::Unreachable(Duration::ZERO),
            Tcp::HangsUp => return WireReply::Closed(after),
            Tcp::Silent => return WireReply::Silence,
        }
    }
    let absent = Rule { rcode: 3, authority: vec!["test SOA".to_owned()], ..Rule::default() };
    let (rule, nth) = rule.unwrap_or((&absent, 0));
    if rule.drop {
        return WireReply::Silence;
    }
    if let Some(digits) = &rule.bytes {
        return WireReply::Bytes(after, [&[0, 0], hexadecimal(digits).as_slice()].concat());
    }
    WireReply::Bytes(after, message(rule, nth, question))
}

/// The rule for it, and how often it was used for the same question.
fn rule_for<'rules>(rules: &'rules [Rule], question: &Question) -> Option<(&'rules Rule, u32)> {
    let mut before = question.earlier;
    for rule in rules {
        let fits = rule.name.as_ref().is_none_or(|name| *name == question.name)
            && rule.record_type.is_none_or(|own| own == question.record_type);
        match rule.times {
            _ if !fits => {}
            Some(times) if before >= times => before -= times,
            _ => return Some((rule, before)),
        }
    }
    None
}

pub(crate) fn message(rule: &Rule, nth: u32, question: &Question) -> Vec<u8> {
    let is_cut = rule.truncated && !question.over_tcp;
    let mut message = Writer::default();
    let flag = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
    let flags = 0x8100 // QR and RD
        | flag(rule.authoritative, 0x0400)
        | flag(is_cut, 0x0200)
        | flag(!rule.no_recursion, 0x0080)
        | u16::from(rule.rcode & 15);
    let wanted = |record: &&Record| rule.every_type || !record.is_address() || record.is(question.record_type);
    let records = |texts: &[String]| -> Vec<Record> { texts.iter().map(|text| Record::read(text, question)).collect() };
    let written = records(&rule.answer);
    let mut answer: Vec<_> = written.iter().filter(wanted).collect();
    if rule.rotate {
        let addresses = answer.iter().filter(|record| record.is_address()).count().max(1);
        let shown = nth as usize % addresses;
        let mut at = 0;
        answer.retain(|record| {
            at += usize::from(record.is_address());
            !record.is_address() || at == shown + 1
        });
    }
    let (authority, additional) = (records(&rule.authority), records(&rule.additional));
    let is_empty = is_cut && !rule.whole;
    let count = |length: usize| if is_empty { 0 } else { u16::try_from(length).expect("a short list") };
    let opt = u16::from(question.edns);
    for number in [0, flags, 1, count(answer.len()), count(authority.len()), count(additional.len()) + opt] {
        message.number(number);
    }
    message.name(rule.question.as_ref().unwrap_or(&question.name));
    message.number(type_number(question.record_type));
    message.number(CLASS_IN);
    if !is_empty {
        for record in answer.into_iter().chain(&authority).chain(&additional) {
            message.record(record);
        }
    }
    if question.edns {
        message.bytes.push(0);
        for number in [OPT, 1232, 0, 0, 0] {
            message.number(number);
        }
    }
    message.bytes
}

pub(crate) fn type_number(record_type: RecordType) -> u16 {
    match record_type {
        RecordType::A => 1,
        RecordType::Aaaa => 28,
    }
}

/// `owner TYPE data`, with `CLASS` between where it is not IN.
struct Record {
    owner: String,
    class: u16,
    number: u16,
    data: Data,
}

enum Data {
    Bytes(Vec<u8>),
    Name(String),
    /// The two names of an SOA are this one and the root.
    Authority(String),
}

impl Record {
    fn read(text: &str, question: &Question) -> Self {
        let mut words: Vec<_> = text.split(' ').collect();
        let class = words.iter().position(|word| *word == "CH").map_or(CLASS_IN, |at| {
            words.remove(at);
            3
        });
        let owner = if words[0] == "@" { question.name.clone() } else { words[0].to_owned() };
        let data = words.get(2).copied().unwrap_or_default();
        let (number, data) = match words.get(1).copied().unwrap_or_default() {
            "A" | "AAAA" => match data.parse::<IpAddr>().unwrap_or_else(|error| panic!("{text}: {error}")) {
                IpAddr::V4(address) => (1, Data::Bytes(address.octets().to_vec())),
                IpAddr::V6(address) => (28, Data::Bytes(address.octets().to_vec())),
            },
            "NS" => (2, Data::Name(data.to_owned())),
            "CNAME" => (5, Data::Name(if data == "@" { question.name.clone() } else { data.to_owned() })),
            "DNAME" => (39, Data::Name(data.to_owned())),
            "SOA" => (6, Data::Authority(owner.clone())),
            "TXT" => (16, Data::Bytes([&[u8::try_from(data.len()).expect("short")], data.as_bytes()].concat())),
            other => {
                let number = other.strip_prefix("TYPE").and_then(|number| number.parse().ok());
                (number.unwrap_or_else(|| panic!("{text}: no known type")), Data::Bytes(hexadecimal(data)))
            }
        };
        Self { owner, class, number, data }
    }

    fn is_address(&self) -> bool {
        self.number == 1 || self.number == 28
    }

    fn is(&self, record_type: RecordType) -> bool {
        self.number == type_number(record_type)
    }
}

fn hexadecimal(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().map(|digit| digit.to_digit(16).expect("a hexadecimal digit")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair.get(1).unwrap_or(&0)).expect("two digits")).collect()
}

/// Bytes of a message, with names compressed as real servers do.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    places: HashMap<String, u16>,
}

impl Writer {
    fn number(&mut self, number: u16) {
        self.bytes.extend(number.to_be_bytes());
    }

    fn name(&mut self, name: &str) {
        let mut rest = name.trim_end_matches('.');
        while !rest.is_empty() {
            if let Some(place) = self.places.get(rest) {
                self.number(0xc000 | place);
                return;
            }
            if let Ok(place @ 0..0x4000) = u16::try_from(self.bytes.len()) {
                self.places.insert(rest.to_owned(), place);
            }
            let (label, behind) = rest.split_once('.').unwrap_or((rest, ""));
            self.bytes.push(u8::try_from(label.len()).expect("a label"));
            self.bytes.extend(label.as_bytes());
            rest = behind;
        }
        self.bytes.push(0);
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.owner);
        for number in [record.number, record.class, 0, 60] {
            self.number(number);
        }
        let place = self.bytes.len();
        self.number(0);
        match &record.data {
            Data::Bytes(bytes) => self.bytes.extend(bytes),
            Data::Name(name) => self.name(name),
            Data::Authority(name) => {
                self.name(name);
                self.name("");
                self.bytes.extend([0; 20]);
            }
        }
        let length = u16::try_from(self.bytes.len() - place - 2).expect("a short record");
        self.bytes[place..place + 2].copy_from_slice(&length.to_be_bytes());
    }
}
