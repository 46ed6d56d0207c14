//! Worlds by chance, the same ones for the same seed.

use std::net::IpAddr;

use cachewatch::model::RecordType;

use crate::odd;
use crate::world::{Rule, Server, Tcp, World};

/// What can be special about a world.
pub(crate) const KINDS: &[&str] = &[
    "plain",
    "search",
    "servfail",
    "refused",
    "other rcode",
    "nxdomain",
    "nodata",
    "one type",
    "drop",
    "dead",
    "delay",
    "truncated",
    "tcp",
    "alias",
    "alias only",
    "reordered",
    "referral",
    "rotate",
    "garbage",
    "odd records",
    "hosts",
    "name",
    "resolv.conf",
    "options",
    "nsswitch",
    "environment",
    "two types",
    "services",
    "views",
    "mixed",
    "chaos",
];

/// Numbers that look random (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    /// A row of numbers of its own for each world, and for each try to draw it.
    pub(crate) fn new(seed: u64, number: u64, attempt: u64) -> Self {
        let mut dice = Self(seed);
        for part in [number, attempt] {
            dice.0 = dice.next() ^ part.wrapping_mul(0x2545_f491_4f6c_dd1d);
        }
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'list, T>(&mut self, list: &'list [T]) -> &'list T {
        &list[self.below(list.len())]
    }
}

const HOSTS: &[&str] = &[
    "orders.redis.test",
    "orders",
    "cache.prod",
    "Orders.Redis.TEST",
    "orders.redis.cache.windows.test",
    "a.b.c.d.e.f.test",
    "sessions.test",
];
const DOMAINS: &[&str] =
    &["prod.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example", "example", "internal.test"];

/// A name that exists.
struct Truth {
    name: String,
    chain: Option<&'static str>,
    addresses: Vec<IpAddr>,
}

/// The world of this number.
pub(crate) fn world(seed: u64, number: u64, attempt: u64) -> World {
    let kind = KINDS[usize::try_from(number % KINDS.len() as u64).expect("a short list")];
    let mut dice = Dice::new(seed, number, attempt);
    let dice = &mut dice;
    let mut host = (*dice.pick(HOSTS)).to_owned();
    if dice.one_in(12) {
        host.push('.');
    }
    let mut conf = odd::Conf::draw(dice, kind == "search");
    if kind == "views" {
        conf.more_servers(dice);
    }
    if matches!(kind, "search" | "chaos") && !conf.search.is_empty() && dice.one_in(2) {
        (*dice.pick(&["orders", "cache.prod", "orders.redis"])).clone_into(&mut host);
    }
    if kind == "name" {
        host = odd::name(dice);
    }
    if kind == "options" || (matches!(kind, "chaos" | "two types") && dice.one_in(3)) {
        odd::options(&mut conf, dice);
    }
    let names = candidates(&host, &conf.search);
    let truths = truths(dice, &names);
    let mut servers: Vec<_> = conf.servers.clone().iter().map(|at| server(dice, *at, &names, &truths)).collect();
    spoil_all(dice, kind, &mut servers);
    let mut world = World { kind: kind.to_owned(), host, ..World::default() };
    world.resolv_conf = Some(conf.text(dice));
    if kind == "resolv.conf" || (kind == "chaos" && dice.one_in(3)) {
        odd::resolv_conf(&mut world, dice);
        servers.push(server(dice, IpAddr::from([127, 0, 0, 1]), &names, &truths));
    }
    if kind == "hosts" || (kind == "nsswitch" && dice.one_in(2)) {
        world.hosts = Some(odd::hosts(dice, &world.host));
        let multi =
            ["multi on\n", "multi off\n", " MULTI\ton # every line\n", "multi on\nmulti off", "order hosts\nmulti on"];
        world.host_conf = dice.one_in(2).then(|| (*dice.pick(&multi)).to_owned());
    }
    if matches!(kind, "nsswitch" | "environment") && dice.one_in(2) {
        world.nsswitch = Some(odd::nsswitch(dice));
    }
    if kind == "services" {
        world.nsswitch = Some(odd::services(dice));
        if !dice.one_in(4) {
            world.hosts = Some(odd::hosts(dice, &world.host));
        }
    }
    if matches!(kind, "nsswitch" | "environment") {
        odd::environment(&mut world, dice);
    }
    world.servers = servers;
    world
}

/// Every name that some library may ask for.
fn candidates(host: &str, search: &[String]) -> Vec<String> {
    let plain = host.trim_end_matches('.').to_ascii_lowercase();
    let mut names = vec![plain.clone()];
    names.extend(search.iter().map(|domain| format!("{plain}.{}", domain.trim_end_matches('.'))));
    names
}

fn truths(dice: &mut Dice, names: &[String]) -> Vec<Truth> {
    let mut exist: Vec<&String> = names.iter().skip(1).filter(|_| dice.one_in(4)).collect();
    if exist.is_empty() || dice.one_in(2) {
        exist.insert(0, &names[0]);
    }
    let mut truths = Vec::new();
    for name in exist {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for at in 0..=dice.below(3) {
            addresses.push(IpAddr::from([
                10,
                1,
                u8::try_from(truths.len()).expect("few"),
                1 + u8::try_from(at).expect("few"),
            ]));
        }
        if dice.one_in(3) {
            let group = u16::try_from(truths.len()).expect("few");
            addresses.push(IpAddr::from([0xfd01, 0, 0, 0, 0, 0, group, 1]));
            if dice.one_in(8) {
                addresses.retain(IpAddr::is_ipv6);
            }
        }
        let chain = dice.one_in(5).then_some("orders.privatelink.test");
        truths.push(Truth { name: name.clone(), chain, addresses });
    }
    truths
}

/// A server that answers every candidate, and nothing wrong.
fn server(dice: &mut Dice, at: IpAddr, names: &[String], truths: &[Truth]) -> Server {
    let after = if dice.one_in(2) { 0 } else { 40 * dice.below(4) as u64 };
    let mut rules = Vec::new();
    for name in names {
        let truth = truths.iter().find(|truth| truth.name == *name);
        for record_type in [RecordType::A, RecordType::Aaaa] {
            rules.push(right(name, record_type, after, truth));
        }
    }
    Server { at, tcp: Tcp::Answers, rules }
}

fn right(name: &str, record_type: RecordType, after: u64, truth: Option<&Truth>) -> Rule {
    let mut rule = Rule { name: Some(name.to_owned()), record_type: Some(record_type), after, ..Rule::default() };
    let Some(truth) = truth else {
        (rule.rcode, rule.authority) = (3, vec!["test SOA".to_owned()]);
        return rule;
    };
    let owner = truth.chain.unwrap_or("@");
    rule.answer.extend(truth.chain.map(|target| format!("@ CNAME {target}")));
    let fits = |address: &&IpAddr| address.is_ipv6() == (record_type == RecordType::Aaaa);
    let addresses: Vec<_> = truth.addresses.iter().filter(fits).collect();
    if addresses.is_empty() {
        rule.authority.push("test SOA".to_owned());
    }
    for address in addresses {
        let word = if address.is_ipv4() { "A" } else { "AAAA" };
        rule.answer.push(format!("{owner} {word} {address}"));
    }
    rule
}

/// Makes what is special about the world.
fn spoil_all(dice: &mut Dice, kind: &str, servers: &mut Vec<Server>) {
    match kind {
        "dead" => {
            let left = dice.below(servers.len());
            while servers.len() > left {
                servers.remove(dice.below(servers.len()));
            }
        }
        "services" if dice.one_in(2) => {
            let how = *dice.pick(&["drop", "servfail", "refused", "nxdomain", "nodata", "alias only", "garbage"]);
            spoil_some(dice, how, servers);
        }
        "views" => views(dice, servers),
        "two types" => {
            for server in &mut *servers {
                server.tcp = if dice.one_in(4) { tcp(dice) } else { Tcp::Answers };
                server.rules = server.rules.drain(..).flat_map(|rule| one_of_two(dice, rule)).collect();
            }
        }
        "tcp" => {
            for server in &mut *servers {
                server.tcp = tcp(dice);
                server.rules = server.rules.drain(..).flat_map(|rule| spoiled(dice, "truncated", rule)).collect();
            }
        }
        "mixed" | "chaos" => {
            let often = if kind == "chaos" { 2 } else { 5 };
            for server in &mut *servers {
                server.tcp = if dice.one_in(6) { tcp(dice) } else { Tcp::Answers };
                server.rules = server
                    .rules
                    .drain(..)
                    .flat_map(|rule| {
                        let how = *dice.pick(SPOILERS);
                        if dice.one_in(often) { spoiled(dice, how, rule) } else { vec![rule] }
                    })
                    .collect();
            }
            if servers.len() > 1 && dice.one_in(6) {
                servers.remove(dice.below(servers.len()));
            }
        }
        _ if SPOILERS.contains(&kind) => spoil_some(dice, kind, servers),
        _ => {}
    }
}

/// Each server has addresses of its own and its own pace, and may say what makes a library ask another.
fn views(dice: &mut Dice, servers: &mut [Server]) {
    let turn = dice.below(servers.len());
    for (at, server) in servers.iter_mut().enumerate() {
        let pace = 60 * u64::try_from(at + turn).expect("few") % 240;
        let answers_nothing = dice.one_in(3);
        let how = *dice.pick(&["drop", "servfail", "refused", "other rcode", "referral", "nxdomain"]);
        let rules = server.rules.drain(..).flat_map(|mut rule| {
            rule.after = pace;
            for record in &mut rule.answer {
                *record = record
                    .replace(" A 10.1.", &format!(" A 10.{}.", 101 + at))
                    .replace(" fd01::", &format!(" fd0{}::", 2 + at));
            }
            if answers_nothing { spoiled(dice, how, rule) } else { vec![rule] }
        });
        server.rules = rules.collect();
    }
}

/// The same fault at one server or all, one name or all, one type or both.
fn spoil_some(dice: &mut Dice, kind: &str, servers: &mut [Server]) {
    let all_servers = dice.one_in(3);
    let chosen = dice.below(servers.len());
    let names: Vec<_> = servers[0].rules.iter().filter_map(|rule| rule.name.clone()).collect();
    let only_name = dice.one_in(2).then(|| dice.pick(&names).clone());
    let only_type = match dice.below(4) {
        0 => Some(RecordType::A),
        1 => Some(RecordType::Aaaa),
        _ => None,
    };
    for (_, server) in servers.iter_mut().enumerate().filter(|(at, _)| all_servers || *at == chosen) {
        server.rules = server
            .rules
            .drain(..)
            .flat_map(|rule| {
                let fits = only_name.as_ref().is_none_or(|name| rule.name.as_ref() == Some(name))
                    && only_type.is_none_or(|own| rule.record_type == Some(own));
                if fits { spoiled(dice, kind, rule) } else { vec![rule] }
            })
            .collect();
    }
}

fn tcp(dice: &mut Dice) -> Tcp {
    *dice.pick(&[Tcp::Answers, Tcp::Closed, Tcp::HangsUp, Tcp::Silent])
}

/// What can be done to one reply.
const SPOILERS: &[&str] = &[
    "servfail",
    "refused",
    "other rcode",
    "nxdomain",
    "nodata",
    "one type",
    "drop",
    "delay",
    "truncated",
    "alias only",
    "alias",
    "reordered",
    "referral",
    "rotate",
    "garbage",
    "odd records",
];

/// The rule with this fault, maybe for the first times only.
fn spoiled(dice: &mut Dice, how: &str, right: Rule) -> Vec<Rule> {
    let mut rule = right.clone();
    let code = |rule: &mut Rule, rcode| {
        rule.rcode = rcode;
        rule.answer.clear();
        rule.authority.clear();
    };
    match how {
        "servfail" => code(&mut rule, 2),
        "refused" => code(&mut rule, 5),
        "other rcode" => {
            let rcode = *dice.pick(&[1, 4, 6, 8, 9, 10, 11, 15]);
            code(&mut rule, rcode);
        }
        "nxdomain" => {
            rule.rcode = 3;
            if dice.one_in(2) {
                rule.answer.clear();
            }
            rule.authority = if dice.one_in(2) { vec!["test SOA".to_owned()] } else { vec![] };
        }
        "nodata" | "one type" => {
            code(&mut rule, 0);
            rule.authority = if dice.one_in(3) { vec![] } else { vec!["test SOA".to_owned()] };
        }
        "drop" => rule.drop = true,
        "delay" => rule.after = *dice.pick(&[150, 300, 600, 800, 1200, 1500, 2200]),
        "truncated" => {
            rule.truncated = true;
            rule.whole = dice.one_in(3);
        }
        "alias only" => {
            code(&mut rule, 0);
            rule.answer = vec!["@ CNAME elsewhere.test".to_owned()];
            rule.no_recursion = dice.one_in(2);
            if dice.one_in(3) {
                rule.answer.push("elsewhere.test CNAME further.test".to_owned());
            }
        }
        "alias" => {
            let targets: Vec<_> = (0..=dice.below(4)).map(|step| format!("alias{step}.test")).collect();
            rule.answer = aliased(&rule.answer, &targets);
        }
        "reordered" => {
            rule.answer = aliased(&rule.answer, &["alias0.test".to_owned(), "alias1.test".to_owned()]);
            let times = dice.below(rule.answer.len().max(1));
            rule.answer.rotate_left(times);
            if dice.one_in(3) {
                rule.answer.reverse();
            }
        }
        "referral" => {
            code(&mut rule, 0);
            rule.no_recursion = !dice.one_in(4);
            rule.authoritative = dice.one_in(6);
            rule.authority = dice
                .pick(&[&["test NS ns.test"][..], &[], &["test SOA"], &["test NS ns.test", "test NS ns2.test"]])
                .iter()
                .map(|text| (*text).to_owned())
                .collect();
            if dice.one_in(3) {
                rule.additional.push("ns.test A 10.9.9.9".to_owned());
            }
        }
        "rotate" => {
            rule.rotate = true;
            if rule.answer.iter().any(|record| record.contains(" A ")) {
                rule.answer.push("@ A 10.1.7.7".to_owned());
            }
        }
        "garbage" if dice.one_in(2) => rule.bytes = Some(odd::mutated(dice, &right)),
        "garbage" => rule.bytes = Some(odd::garbage(dice, right.record_type.unwrap_or(RecordType::A))),
        _ => odd::records(&mut rule, dice),
    }
    let is_for_a_while = dice.one_in(3) && !matches!(how, "alias" | "rotate");
    if is_for_a_while {
        rule.times = Some(1 + u32::try_from(dice.below(3)).expect("few"));
        return vec![rule, right];
    }
    vec![rule]
}

/// A reply to one type, without regard to the other, maybe another one each time.
fn one_of_two(dice: &mut Dice, right: Rule) -> Vec<Rule> {
    let mut rules = Vec::new();
    for _ in 0..dice.below(3) {
        let mut rule = right.clone();
        rule.times = Some(1);
        match dice.below(7) {
            0 => rule.drop = true,
            1 => {
                rule.rcode = *dice.pick(&[0, 1, 2, 3, 4, 5]);
                rule.no_recursion = dice.one_in(2);
                rule.authoritative = dice.one_in(3);
                if dice.one_in(2) {
                    rule.answer.clear();
                }
                if dice.one_in(4) {
                    rule.additional.push("ns.test A 10.9.9.9".to_owned());
                }
            }
            // A header alone.
            2 => rule.bytes = Some(format!("818{}0000000000000000", dice.pick(&["1", "2", "4", "5"]))),
            3 => rule.after = *dice.pick(&[300, 700, 1300, 1700, 2300]),
            4 => {
                rule.truncated = true;
                rule.whole = dice.one_in(2);
            }
            5 => rule.question = right.name.as_ref().map(|name| name.to_ascii_uppercase()),
            _ => odd::records(&mut rule, dice),
        }
        if rule.after == 0 && dice.one_in(3) {
            rule.after = *dice.pick(&[100, 300, 1300]);
        }
        rules.push(rule);
    }
    rules.push(right);
    rules
}

/// The addresses behind a chain of aliases.
fn aliased(answer: &[String], targets: &[String]) -> Vec<String> {
    let mut owner = "@".to_owned();
    let mut records = Vec::new();
    for target in targets {
        records.push(format!("{owner} CNAME {target}"));
        owner.clone_from(target);
    }
    let addresses = answer.iter().filter(|record| !record.contains(" CNAME "));
    records.extend(addresses.map(|record| {
        let (_, data) = record.split_once(' ').expect("an owner and data");
        format!("{owner} {data}")
    }));
    records
}

/// Search domains to draw from.
pub(crate) fn domains(dice: &mut Dice, most: usize) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    for _ in 0..dice.below(most + 1) {
        let domain = (*dice.pick(DOMAINS)).to_owned();
        if !chosen.contains(&domain) {
            chosen.push(domain);
        }
    }
    chosen
}
