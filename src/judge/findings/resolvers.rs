//! Causes that show where several resolvers are asked: they say different things, or one of them fails.

use std::time::Duration;

use super::case::{Case, Diagnosis, Draft};
use super::coverage::Coverage;
use super::lookup::{asked, id_of, named};
use super::rule::{Rule, azure, note, run};
use crate::judge::describe;
use crate::judge::memory::{Memory, is_answer};
use crate::model::{AddressClass, FaultKind, FindingId, Resolution, Severity, Stage};

pub(super) const RULES: &[Rule] = &[Rule {
    id: FindingId::DnsResolversDisagree,
    stage: Stage::Resolve,
    denied_by: Coverage::Agreement,
    severity: "2; at once where a resolver leaves a private address for a public one",
    title: "resolvers answer differently",
    means: "Which address an application gets depends on the resolver it asks: a forwarder keeps a record that is \
            gone, a network is \
                not linked to the private zone, or a server knows nothing of it. What works here fails elsewhere.",
    told_apart: "Another resolver's set of addresses differs from the set of the one that is followed; no address is an answer \
                     too. Order and TTL do not count, and a part of the other's addresses agrees with it. A resolver that gives \
                     no answer does not disagree: it is dns-timeout, dns-server-failure, dns-refused or dns-unreachable. Where the hosts file or the search list changes the answer, that is the cause. Answers that a person has accepted \
                     may differ.",
    on_the_wire: "The same question to two name servers, answered with different A records, or with NXDOMAIN by one of them.",
    steps: |c| {
        vec![
            run(c.nslookup(Some(c.blank("RESOLVER-ADDRESS", "<name-server>")))),
            azure(c.zone_links()),
            note("if each is meant to answer as it does"),
            Some(c.accept()),
        ]
    },
}];

pub(super) fn diagnose(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some((followed, others)) = case.lookup.resolutions.split_first() else { return };
    if is_answer(followed) {
        disagreement(case, memory, followed, others, diagnosis);
    } else {
        // Whether the name is to blame, or who was asked.
        let answers = others.iter().filter(|other| is_answer(other)).map(|other| said(case, memory, other));
        let failed = followed.fault.iter().map(|fault| id_of(followed, fault)).collect::<Vec<_>>();
        diagnosis.follows_from(&failed, Severity::Advice, answers.collect());
    }
    failures(case, followed, others, diagnosis);
}

/// Others answer differently than the one that is followed.
fn disagreement(
    case: &Case<'_>,
    memory: &Memory,
    followed: &Resolution,
    others: &[Resolution],
    diagnosis: &mut Diagnosis,
) {
    let is_accepted = |resolution: &Resolution| {
        memory.of(&resolution.resolver).is_some_and(|known| known.is_accepted(&resolution.sorted_addresses()))
    };
    let both_accepted = |other: &Resolution| is_accepted(followed) && is_accepted(other);
    let differs = |other: &&Resolution| is_answer(other) && !agree(followed, other) && !both_accepted(other);
    let differing: Vec<_> = others.iter().filter(differs).collect();
    if differing.is_empty() {
        return;
    }
    let lines = differing.iter().map(|other| said(case, memory, other)).collect();
    // Where this machine bends the name, others say otherwise as a matter of course.
    let bent = [FindingId::DnsHostsOverride, FindingId::DnsSearchSuffixAnswer];
    if diagnosis.follows_from(&bent, Severity::Advice, lines) {
        return;
    }
    let went_public = |other: &&Resolution| {
        memory.of(&other.resolver).is_some_and(|known| known.has_gone_public(&other.sorted_addresses()))
    };
    if differing.iter().any(went_public) {
        diagnosis.urgent.push(FindingId::DnsResolversDisagree);
    }
    let answers: Vec<_> = case.lookup.resolutions.iter().filter(|resolution| is_answer(resolution)).collect();
    let summary = format!("{}: {}", case.cache.host, who_says_what(&answers));
    let mut finding = case
        .finding(FindingId::DnsResolversDisagree, Severity::Degraded, Stage::Resolve, summary)
        .evidences(answers.iter().map(|answer| said(case, memory, answer)))
        .evidences(answers.iter().filter_map(|answer| left(memory, answer)));
    for answer in std::iter::once(followed).chain(differing.iter().copied()) {
        finding = finding.run(case.ask(answer));
    }
    finding = suspect(case, memory, followed, &differing, &answers, finding);
    let is_public = |answer: &&Resolution| answer.addresses.iter().any(|answer| answer.class == AddressClass::Public);
    if answers.iter().any(is_public) {
        finding = finding
            .note("a resolver that gives a public address may be in a network that the private zone is not linked to")
            .azure(case.commands.zone_links())
            .azure(case.commands.zone_records());
    }
    let finding = finding.note("if each of them is meant to answer as it does, accept it").step(case.commands.accept());
    diagnosis.findings.push(finding.done());
}

/// Whether two answers are of one mind. A server may show some of many addresses at a time, so a part agrees with the
/// whole; the order and the TTL say nothing.
fn agree(one: &Resolution, other: &Resolution) -> bool {
    let (one, other) = (one.sorted_addresses(), other.sorted_addresses());
    if one.is_empty() || other.is_empty() {
        return one == other;
    }
    one.iter().all(|address| other.contains(address)) || other.iter().all(|address| one.contains(address))
}

/// `resolvers system and dc say 10.20.1.4 (private), resolver hub says that it does not exist`.
fn who_says_what(answers: &[&Resolution]) -> String {
    let mut opinions: Vec<(&Resolution, Vec<&str>)> = Vec::new();
    for answer in answers {
        let same = |(known, _): &&mut (&Resolution, _)| known.sorted_addresses() == answer.sorted_addresses();
        match opinions.iter_mut().find(same) {
            Some((_, names)) => names.push(answer.resolver.as_str()),
            None => opinions.push((answer, vec![answer.resolver.as_str()])),
        }
    }
    let opinion = |(answer, names): &(&Resolution, Vec<&str>)| {
        let says = if names.len() == 1 { "says" } else { "say" };
        format!("{} {says} {}", named(names), opinion(answer))
    };
    opinions.iter().map(opinion).collect::<Vec<_>>().join(", ")
}

/// `10.20.1.4 (private)`, or that there is no address.
fn opinion(answer: &Resolution) -> String {
    let class = |address| format!("{address} ({})", AddressClass::of(address));
    match &answer.fault {
        Some(fault) if fault.kind == FaultKind::NoAddress => "that it has no address".to_owned(),
        Some(_) => "that it does not exist".to_owned(),
        None => answer.sorted_addresses().into_iter().map(class).collect::<Vec<_>>().join(", "),
    }
}

/// Who answered, what, and for how long it has been saying so.
fn said(case: &Case<'_>, memory: &Memory, answer: &Resolution) -> String {
    let nowhere = describe::nowhere(answer).map_or_else(String::new, |words| format!(" → no address ({words})"));
    let known = memory.of(&answer.resolver).and_then(|known| known.addresses.as_ref());
    let since = known.filter(|known| known.value == answer.sorted_addresses()).map(|known| known.since);
    let since = since.unwrap_or(case.lookup.at);
    let lasted = Duration::from_secs(case.lookup.at.since(since).as_secs());
    let lasted = match lasted {
        Duration::ZERO => String::new(),
        lasted => format!(", for {} (since {since})", humantime::format_duration(lasted)),
    };
    format!("{}: {}{nowhere}{lasted}", describe::who(answer), describe::path(answer))
}

/// What a resolver said as long as it said what is right, where it says so no longer.
fn left(memory: &Memory, answer: &Resolution) -> Option<String> {
    let known = memory.of(&answer.resolver)?;
    let baseline = known.baseline.as_ref().filter(|_| known.has_left(&answer.sorted_addresses()))?;
    Some(format!("resolver {} said before: {}", answer.resolver, baseline.describe()))
}

/// Names the resolvers that are probably wrong, where that can be known: first by what is expected, then by which of them
/// left what was right.
fn suspect(
    case: &Case<'_>,
    memory: &Memory,
    followed: &Resolution,
    differing: &[&Resolution],
    answers: &[&Resolution],
    finding: Draft,
) -> Draft {
    let expectation = &case.cache.expectation;
    let fits = |answer: &Resolution| {
        !answer.addresses.is_empty() && answer.addresses.iter().all(|answer| expectation.admits(answer.address))
    };
    let parties: Vec<&Resolution> = std::iter::once(followed).chain(differing.iter().copied()).collect();
    let label = |answers: &[&Resolution]| {
        let names: Vec<_> = answers.iter().map(|answer| called(case, answer)).collect();
        named(&names.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let be = |answers: &[&Resolution]| if answers.len() == 1 { "is" } else { "are" };
    let unfit: Vec<_> = parties.iter().copied().filter(|answer| !fits(answer)).collect();
    let fit = answers.iter().filter(|answer| fits(answer)).count();
    if !unfit.is_empty() && fit > 0 {
        let why = match unfit.len() {
            1 => "it is stale, or does not see the zone",
            _ => "they are stale, or do not see the zone",
        };
        let rest = if fit == 1 { "the other says" } else { "the others say" };
        return finding.note(format!(
            "{} {} probably wrong: {why}; {rest} what is expected",
            label(&unfit),
            be(&unfit)
        ));
    }
    let has_left = |answer: &Resolution| {
        let known = memory.of(&answer.resolver).filter(|known| known.baseline.is_some())?;
        Some(known.has_left(&answer.sorted_addresses()))
    };
    let who = |left| parties.iter().copied().filter(|answer| has_left(answer) == Some(left)).collect::<Vec<_>>();
    let (moved, stayed) = (who(true), who(false));
    if moved.is_empty() || stayed.is_empty() {
        let names: Vec<_> = parties.iter().map(|answer| called(case, answer)).collect();
        let (last, first) = names.split_last().map_or(("", &[][..]), |(last, first)| (last.as_str(), first));
        return finding
            .note(format!(
                "which of {} and {last} is stale cannot be told from here: the cache's own address decides",
                first.join(", ")
            ))
            .azure(case.commands.private_endpoints());
    }
    let went_public = |answer: &&Resolution| {
        memory.of(&answer.resolver).is_some_and(|known| known.has_gone_public(&answer.sorted_addresses()))
    };
    let (public, moved): (Vec<&Resolution>, Vec<&Resolution>) = moved.into_iter().partition(went_public);
    let stayed_names: Vec<_> = stayed.iter().map(|answer| called(case, answer)).collect();
    let stayed_names = stayed_names.join(" and ");
    let several = stayed.len() > 1;
    let mut finding = finding;
    if !public.is_empty() {
        let (pronoun, gives) =
            (if public.len() == 1 { "it has" } else { "they have" }, if several { "give" } else { "gives" });
        finding = finding.note(format!(
            "{} {} probably wrong: {pronoun} left the private address that {stayed_names} still {gives}",
            label(&public),
            be(&public)
        ));
    }
    if moved.is_empty() {
        return finding;
    }
    let (has, is) = (if moved.len() == 1 { "has" } else { "have" }, be(&moved));
    let (has_not, are) = if several { ("have", "are") } else { ("has", "is") };
    let moved_names: Vec<_> = moved.iter().map(|answer| called(case, answer)).collect();
    finding
        .note(format!(
            "{} {has} moved and {stayed_names} {has_not} not: if the cache or its endpoint moved, {stayed_names} {are} \
             stale; if not, {} {is} wrong",
            label(&moved),
            moved_names.join(" and ")
        ))
        .azure(case.commands.private_endpoints())
}

/// A resolver's name, with its address where it is known by its place in resolv.conf alone.
fn called(case: &Case<'_>, answer: &Resolution) -> String {
    match case.server_of(answer).filter(|_| case.is_listed(answer)) {
        Some(server) => format!("{} ({})", answer.resolver, server.ip()),
        None => answer.resolver.to_string(),
    }
}

/// Resolvers other than the one that is followed give no answer: that keeps no application from the cache as long as they
/// are not needed.
fn failures(case: &Case<'_>, followed: &Resolution, others: &[Resolution], diagnosis: &mut Diagnosis) {
    let mut groups: Vec<(FindingId, Vec<&Resolution>)> = Vec::new();
    for other in others.iter().filter(|other| !is_answer(other)) {
        let Some(id) = other.fault.as_ref().map(|fault| id_of(other, fault)) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == id) {
            Some((_, group)) => group.push(other),
            None => groups.push((id, vec![other])),
        }
    }
    for (id, group) in groups {
        let words = |other: &&Resolution| {
            let fault = other.fault.iter().map(|fault| fault.detail.to_string());
            fault.map(|detail| format!("{}: {detail}", describe::who(other))).collect::<Vec<_>>()
        };
        let mut seen: Vec<_> = group.iter().flat_map(words).collect();
        // The one that is followed fails in the same way: one cause, and as bad as it is there.
        if diagnosis.follows_from(&[id], Severity::Risk, seen.clone()) {
            continue;
        }
        seen.extend(group.iter().flat_map(|other| asked(other)));
        diagnosis.findings.push(failure(case, followed, id, &group).evidences(seen).done());
    }
}

/// Some fail alike, and the one that is followed does not.
fn failure(case: &Case<'_>, followed: &Resolution, id: FindingId, group: &[&Resolution]) -> Draft {
    let host = &case.cache.host;
    let names: Vec<_> = group.iter().map(|other| other.resolver.as_str()).collect();
    let who = named(&names);
    let (verb, be) = if names.len() == 1 { ("does", "is") } else { ("do", "are") };
    let what = match id {
        FindingId::DnsTimeout => format!("{who} {verb} not answer for {host} in time"),
        FindingId::DnsServerFailure => format!("{who} {verb} not get an answer for {host} (SERVFAIL)"),
        FindingId::DnsRefused => format!("{who} {verb} not answer this machine for {host} (REFUSED)"),
        FindingId::DnsUnreachable => format!("{who} {be} not reached to look up {host}"),
        FindingId::LocalExhaustion => format!("this machine cannot open a socket to ask {who} for {host}"),
        _ => format!("the lookup of {host} by {who} failed"),
    };
    let rest = if is_answer(followed) { "is answered" } else { "fails in another way" };
    let summary = format!("{what}; the application's own lookup, by resolver {}, {rest}", followed.resolver);
    let mut draft = case.finding(id, Severity::Risk, Stage::Resolve, summary);
    for other in group {
        draft = draft.run(case.ask(other));
    }
    match id {
        FindingId::DnsTimeout | FindingId::DnsUnreachable => {
            draft.notes(group.iter().map(|other| case.is_port_open(other)))
        }
        FindingId::DnsServerFailure | FindingId::DnsRefused => draft
            .note("the forwarder is failing, or does not serve this network: check its upstream and its access list"),
        FindingId::LocalExhaustion => draft.run("ss -s").run("cat /proc/sys/fs/file-nr"),
        _ => draft.notes(group.iter().filter_map(|other| case.trust(other))),
    }
    .notes(group.iter().map(|other| dispensable(case, other)))
}

/// What to do with one that fails for good.
fn dispensable(case: &Case<'_>, other: &Resolution) -> String {
    if !case.is_listed(other) {
        return "applications that ask it get no address; if none asks it any more, remove it from `resolvers`"
            .to_owned();
    }
    let server = case.server_of(other).map_or_else(String::new, |server| format!(" ({})", server.ip()));
    format!(
        "resolver {}{server} is an entry of /etc/resolv.conf: applications here wait for it whenever it is asked \
         first; repair the name server, or remove the entry from resolv.conf",
        other.resolver
    )
}
