//! Causes in how this machine bends the name, before a name server is asked.

use super::case::Case;
use super::coverage::Coverage;
use super::rule::{Rule, note, run};
use crate::judge::describe;
use crate::judge::memory::is_answer;
use crate::model::{Finding, FindingId, Resolution, Severity, Stage};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::DnsHostsOverride,
        stage: Stage::Resolve,
        denied_by: Coverage::Comparison,
        severity: "3; 2 where the pin leads elsewhere than expected, 1 where nothing answers there",
        title: "the hosts file answers, and the answer of DNS differs",
        means: "A line in the hosts file pins the name. It stays as it is when the private endpoint or the cache \
                moves, and is easily forgotten.",
        told_apart: "The hosts file is read first, as an application's resolver does; then the name servers are asked \
                     as well, and their answer differs. A pin that agrees with DNS is no finding.",
        on_the_wire: "No query of an application; queries of the probe, whose answer is another address or NXDOMAIN.",
        steps: |c| vec![run(format!("grep -n {} /etc/hosts", c.host())), run(c.nslookup(None))],
    },
    Rule {
        id: FindingId::DnsSearchSuffixAnswer,
        stage: Stage::Resolve,
        denied_by: Coverage::Answer,
        severity: "3; 2 where the answer leads elsewhere than expected, 1 where nothing answers there",
        title: "the search list changed the name",
        means: "The name was not looked up as it stands: a domain of the search list was appended, and something answered for \
                that. It may be a wildcard record, and it may be another server.",
        told_apart: "The name that answered is longer than the one that was asked for; ndots decides which is tried first.",
        on_the_wire: "A query for HOST.SEARCH.DOMAIN, answered with an address.",
        steps: |c| {
            vec![
                run("cat /etc/resolv.conf"),
                run(format!("{}.", c.nslookup(None))),
                note("in Kubernetes: lower ndots in dnsConfig.options"),
            ]
        },
    },
];

/// What this machine makes of the name, if it is that.
pub(super) fn diagnose(case: &Case<'_>, resolution: &Resolution) -> Option<Finding> {
    hosts_override(case, resolution).or_else(|| search_suffix(case, resolution))
}

/// How bad it is that this machine bends the name: a risk while it leads where it should.
fn severity_of_bend(case: &Case<'_>, resolution: &Resolution) -> Severity {
    let expected = resolution.addresses.iter().all(|answer| case.cache.expectation.admits(answer.address));
    match expected {
        true => Severity::Risk,
        false if case.all_fail_to_connect() => Severity::Unavailable,
        false => Severity::Degraded,
    }
}

/// The hosts file answers, and the name servers say otherwise.
fn hosts_override(case: &Case<'_>, resolution: &Resolution) -> Option<Finding> {
    let beneath = resolution.overridden.as_ref().filter(|beneath| is_answer(beneath))?;
    if beneath.sorted_addresses() == resolution.sorted_addresses() {
        return None;
    }
    let host = &case.cache.host;
    let others = match beneath.addresses.as_slice() {
        [] => "that it does not exist".to_owned(),
        answers => describe::addresses(answers),
    };
    let pinned = describe::addresses(&resolution.addresses);
    let summary = format!("the hosts file of this machine pins {host} to {pinned}, and DNS says {others}");
    let severity = severity_of_bend(case, resolution);
    let finding = case.finding(FindingId::DnsHostsOverride, severity, Stage::Resolve, summary);
    Some(
        finding
            .evidence(describe::path(resolution))
            .evidence(format!("DNS, not used: {}", describe::path(beneath)))
            .evidence(describe::who(beneath))
            .run(format!("grep -n '{host}' /etc/hosts"))
            .note("remove the line: the pin does not follow when the address changes")
            .run(case.commands.nslookup(None))
            .done(),
    )
}

/// The search list made another name of it.
fn search_suffix(case: &Case<'_>, resolution: &Resolution) -> Option<Finding> {
    if !resolution.searched {
        return None;
    }
    let host = &case.cache.host;
    let summary = format!(
        "{host} was not looked up as it stands: the search list changed it to {}, and that name has an answer",
        resolution.name
    );
    let severity = severity_of_bend(case, resolution);
    let finding = case.finding(FindingId::DnsSearchSuffixAnswer, severity, Stage::Resolve, summary);
    Some(
        finding
            .evidence(describe::path(resolution))
            .evidence(describe::who(resolution))
            .run("cat /etc/resolv.conf")
            .note("lower ndots (in Kubernetes: dnsConfig.options), so that the name is tried as it stands first")
            .run(format!("nslookup {host}."))
            .done(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{PRIVATELINK, cache, failed, leg, no_address, report, resolution, verdict};
    use crate::model::{FaultKind, Leg, Source, WireText};

    #[test]
    fn a_machine_that_bends_the_name_is_the_cause() {
        let pinned = |address: &str, beneath: Option<Resolution>| Resolution {
            source: Source::HostsFile,
            overridden: beneath.map(Box::new),
            ..resolution(&[], &[address])
        };
        let dns = || resolution(&[PRIVATELINK], &["10.20.1.4"]);
        let round = |pin: Resolution, leg: Leg| verdict(&cache(), &report(pin, vec![leg]));
        assert_eq!(round(pinned("10.20.1.4", Some(dns())), leg("10.20.1.4")), [""; 0]);
        assert_eq!(round(pinned("10.20.1.9", Some(dns())), leg("10.20.1.9")), ["dns-hosts-override 3"]);
        assert_eq!(round(pinned("20.1.2.3", Some(dns())), leg("20.1.2.3")), ["dns-hosts-override 2"]);
        let dead = failed("20.1.2.3", Stage::Connect, FaultKind::Filtered);
        assert_eq!(round(pinned("20.1.2.3", Some(dns())), dead), ["dns-hosts-override 1"]);
        let gone = no_address(&[], FaultKind::NameNotFound).lookup.resolutions.remove(0);
        assert_eq!(round(pinned("10.20.1.4", Some(gone)), leg("10.20.1.4")), ["dns-hosts-override 3"]);
        let silent = no_address(&[], FaultKind::Timeout).lookup.resolutions.remove(0);
        assert_eq!(round(pinned("10.20.1.9", Some(silent)), leg("10.20.1.9")), [""; 0], "silence contradicts nobody");

        let searched = |address: &str| Resolution {
            searched: true,
            name: WireText::new("orders.redis.cache.windows.net.corp.example"),
            ..resolution(&[], &[address])
        };
        assert_eq!(round(searched("10.20.1.9"), leg("10.20.1.9")), ["dns-search-suffix-answer 3"]);
        assert_eq!(round(searched("20.1.2.3"), leg("20.1.2.3")), ["dns-search-suffix-answer 2"]);
    }
}
