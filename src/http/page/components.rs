//! Words and shapes that every page uses. No colour speaks alone: beside it stands a shape and a word.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use maud::{Markup, PreEscaped, html};

use crate::model::{
    Cache, CacheName, Clients, Fault, Finding, Leg, LookupReport, ProbeReport, Severity, Stage, Standing, Step,
    Timestamp,
};
use crate::sink::CacheState;

const DAY: u64 = 86_400;

/// Behind this stand words that time alone changes; the script keeps them right by itself.
const AGEING: &str = "data-ago>";

/// An element that the script replaces when, and only when, something in it has changed.
pub(super) fn versioned(tag: &str, id: &str, class: &str, body: &Markup) -> Markup {
    versioned_with(tag, id, class, "", body)
}

/// What the script leaves as it is: nothing in it has changed since the page was sent.
pub(super) fn unchanged(tag: &str, id: &str) -> Markup {
    html! { @if tag == "li" { li id=(id) {} } @else { section id=(id) {} } }
}

/// The same with words to search for, which are not shown.
pub(super) fn versioned_with(tag: &str, id: &str, class: &str, search: &str, body: &Markup) -> Markup {
    let version = version(class, search, &body.0);
    let text = (!search.is_empty()).then_some(search);
    match tag {
        "span" => html! { span id=(id) class=(class) data-version=(version) { (body) } },
        "li" => html! { li id=(id) class=(class) data-version=(version) data-text=[text] { (body) } },
        _ => html! { section id=(id) class=(class) data-version=(version) data-text=[text] { (body) } },
    }
}

/// Two bodies have the same version where they differ in nothing but how long ago something was.
fn version(class: &str, search: &str, body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(class.as_bytes());
    hasher.write(search.as_bytes());
    for (index, part) in body.split(AGEING).enumerate() {
        let kept = if index == 0 { part } else { part.split_once('<').map_or("", |(_, rest)| rest) };
        hasher.write(kept.as_bytes());
    }
    format!("{:x}", hasher.finish())
}

/// The shapes, drawn once and used by name.
pub(super) fn symbols() -> Markup {
    const SYMBOLS: &str = include_str!("symbols.svg");
    PreEscaped(SYMBOLS.to_owned())
}

/// A shape; the word stands beside it.
pub(super) fn mark(name: &str) -> Markup {
    html! { svg class={ "mark " (name) } aria-hidden="true" { use href={ "#s-" (name) } {} } }
}

/// How a cache fares.
pub(super) fn standing(standing: Standing) -> Markup {
    html! { span class={ "sign " (standing) } { (mark(standing.as_str())) " " (standing.title()) } }
}

/// The same where it may change under its reader.
pub(super) fn versioned_standing(of: Standing) -> Markup {
    versioned("span", "standing-now", "", &standing(of))
}

/// How bad a finding is.
pub(super) fn severity(severity: Severity) -> Markup {
    let standing = if severity.is_serious() { Standing::Ill } else { Standing::AtRisk };
    let name = if severity == Severity::Advice { "advice" } else { standing.as_str() };
    html! { span class={ "sign " (name) } { (mark(name)) " " (severity.as_str()) " " (severity.meaning()) } }
}

/// The findings, the worst first; of two that are equally bad the deeper cause.
pub(super) fn worst_first(open: &[Finding]) -> Vec<&Finding> {
    let mut open: Vec<_> = open.iter().collect();
    open.sort_by_key(|finding| finding.severity);
    open
}

/// A finding with what it rests on and what to run.
pub(super) fn finding_card(finding: &Finding, now: Timestamp) -> Markup {
    let is_of_machine = finding.cache.as_str() == CacheName::MACHINE;
    html! {
        article.finding id=[(!is_of_machine).then_some(finding.id)] data-severity=(finding.severity.as_str()) {
            h3 { (severity(finding.severity)) " " (finding.summary) }
            p.quiet {
                code { (finding.id) } " at stage " (finding.stage) ", since " (moment(finding.since)) ", "
                (ago(finding.since, now))
            }
            @if !finding.evidence.is_empty() {
                h4 { "Seen" }
                ul.evidence { @for line in &finding.evidence { li { (line) } } }
            }
            @if !finding.remedy.is_empty() {
                h4 { "To run" }
                (commands(&finding.remedy))
            }
        }
    }
}

/// Commands that can be selected, and copied where there is a script.
pub(super) fn commands(steps: &[Step]) -> Markup {
    html! {
        div.commands {
            pre tabindex="0" role="group" aria-label="Commands" {
                code {
                    @for step in steps {
                        @match step { Step::Note(_) => span.remark { (step) }, Step::Run(command) => (command), }
                        "\n"
                    }
                }
            }
            button.copy type="button" hidden { "Copy" }
        }
    }
}

/// A word of a vocabulary as it is spelled everywhere, which may be broken where it is joined.
pub(super) fn breakable(word: &str) -> Markup {
    html! { @for (index, part) in word.split('_').enumerate() { @if index > 0 { "_" wbr; } (part) } }
}

/// How far the judgement is, where a round was bad and no finding is open yet: what was seen, how often, and when it is
/// looked at again.
pub(super) fn pending(watched: &CacheState) -> Option<Markup> {
    let pending = watched.pending.first().filter(|_| watched.open.is_empty())?;
    Some(html! {
        (pending.progress()) " (" (pending.stage) ": " (pending.finding) ")"
        @if let Some(next) = watched.next { ", the next at " time datetime=(next) { (next.clock()) } }
    })
}

/// One stage of the path as it went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar<'a> {
    pub(super) stage: Stage,
    pub(super) took: Option<Duration>,
    pub(super) went: Went<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Went<'a> {
    Well,
    Wrong(&'a Fault),
    /// The walk ended before.
    Unreached,
    /// This cache is configured without it.
    Unused,
}

impl Went<'_> {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Well => "passed",
            Self::Wrong(_) => "failed",
            Self::Unreached => "unreached",
            Self::Unused => "unused",
        }
    }
}

/// The path of a cache in short: the name, then the address that fares worst.
pub(super) fn path<'a>(cache: &Cache, report: &'a ProbeReport) -> Vec<Bar<'a>> {
    let mut steps = vec![lookup(&report.lookup)];
    let worst = report.used_legs().min_by_key(|leg| {
        let slowness = leg.timings.of(Stage::Ping).unwrap_or_default();
        (leg.fault.as_ref().map_or(Stage::Inspect, |fault| fault.stage), std::cmp::Reverse(slowness))
    });
    match worst {
        Some(leg) => steps.extend(walk(cache, leg)),
        None => steps.extend([Stage::Connect, Stage::Tls, Stage::Auth, Stage::Ping].map(|stage| Bar {
            stage,
            took: None,
            went: Went::Unreached,
        })),
    }
    steps
}

/// How the name was resolved by the one that is followed.
pub(super) fn lookup(lookup: &LookupReport) -> Bar<'_> {
    let took = lookup.followed().map(|resolution| resolution.took);
    let fault = lookup.faults().next();
    Bar { stage: Stage::Resolve, took, went: fault.map_or(Went::Well, Went::Wrong) }
}

/// The walk to one address, behind the name.
pub(super) fn walk<'a>(cache: &Cache, leg: &'a Leg) -> [Bar<'a>; 4] {
    [Stage::Connect, Stage::Tls, Stage::Auth, Stage::Ping].map(|stage| {
        let took = leg.timings.of(stage);
        let went = match &leg.fault {
            Some(fault) if fault.stage == stage => Went::Wrong(fault),
            // What was sent there may have had an answer, such as a PING that is told to log in first.
            Some(fault) if fault.stage < stage => Went::Unreached,
            _ if took.is_none() || (stage == Stage::Tls && cache.tls.is_none()) => Went::Unused,
            _ => Went::Well,
        };
        Bar { stage, took: took.filter(|_| went != Went::Unreached), went }
    })
}

/// Such as `2026-11-21 12:03:11`.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.date()) " " (at.clock()) } }
}

/// Such as `2026-11-21 12:03:11 UTC`, for what stands alone.
pub(super) fn utc(at: Timestamp) -> String {
    format!("{} {} UTC", at.date(), at.clock())
}

/// Such as `5 min ago`, which the script keeps true. The moment itself stands beside it, or is too much for the place.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(utc(at)) data-ago { (age(now.since(at))) } }
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / DAY),
    }
}

/// A time that a stage took, with as many digits as a person reads.
pub(super) fn took(took: Duration) -> String {
    let milliseconds = took.as_secs_f64() * 1000.0;
    if milliseconds < 0.05 {
        "<0.1 ms".to_owned()
    } else if milliseconds < 9.95 {
        format!("{milliseconds:.1} ms")
    } else if milliseconds < 999.5 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.1} s", milliseconds / 1000.0)
    }
}

/// A span in its two largest units.
pub(super) fn span(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        return took(span);
    }
    let text = humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Such as `7,500`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whole days until the first certificate of any address runs out, negative where that was; `None` without TLS.
pub(super) fn certificate_days(report: &ProbeReport, now: Timestamp) -> Option<i64> {
    let expiry = report.used_legs().filter_map(|leg| leg.tls.as_ref()?.earliest_expiry()).min()?;
    let days = |span: Duration| i64::try_from(span.as_secs() / DAY).unwrap_or(i64::MAX);
    Some(if expiry >= now { days(expiry.since(now)) } else { -1 - days(now.since(expiry)) })
}

/// A bar of what is in use, with a line at the threshold of the finding, in the colour that a finding about it has. The
/// numbers stand beside it.
pub(super) fn bar(used: f64, warning: f64, critical: f64) -> Markup {
    let width = |share: f64| format!("{:.1}", share.clamp(0.0, 1.0) * 100.0);
    let class = match used {
        used if used >= critical => "fill critical",
        used if used >= warning => "fill high",
        _ => "fill",
    };
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="8" {}
            rect class=(class) width=(width(used)) height="8" {}
            rect.limit x=(width(warning)) width="0.8" height="8" {}
        }
    }
}

/// Clients against the limit.
pub(super) fn clients(cache: &Cache, report: Option<&ProbeReport>) -> Markup {
    let clients = report.and_then(|report| cache.busiest(report)).and_then(|(_, _, clients)| clients);
    let wants_key = report.is_some_and(ProbeReport::wants_key);
    html! {
        @match clients {
            None if wants_key => p.quiet { "unknown: no key is given here" },
            None => p.quiet { "not known" },
            Some(Clients { connected, limit: None }) => { p { (count(connected)) } p.quiet { "no limit known" } }
            Some(clients @ Clients { connected, limit: Some((limit, source)) }) => {
                @let free = clients.headroom().unwrap_or(1.0);
                (bar(1.0 - free, cache.thresholds.headroom_warning, cache.thresholds.headroom_critical))
                p title={ "limit: " (source) } {
                    (format!("{:.0} % free", free * 100.0)) " "
                    span.quiet { (count(connected)) " of " (count(limit)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_the_colour_of_its_finding() {
        for (used, class) in [(0.74, "fill"), (0.75, "fill high"), (0.9, "fill critical"), (2.0, "fill critical")] {
            let bar = bar(used, 0.75, 0.9).into_string();
            assert!(bar.contains(&format!("class=\"{class}\"")), "{used}: {bar}");
        }
    }

    #[test]
    fn a_version_changes_with_the_words_and_not_with_the_time() {
        let at = Timestamp::from_unix_seconds(1_000);
        let body = |word: &str, now: i64| {
            let body = html! { p { (word) " " (ago(at, Timestamp::from_unix_seconds(now))) } p { "end" } };
            version("row", "", &body.0)
        };
        assert_eq!(body("one", 1_000), body("one", 9_000));
        assert_ne!(body("one", 1_000), body("two", 1_000));
        assert_ne!(version("row", "", "x"), version("row ill", "", "x"));
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let shown = [0, 49, 50, 400, 9_949, 9_960, 999_400, 999_600, 61_000_000]
            .map(|micros| took(Duration::from_micros(micros)));
        assert_eq!(shown, ["<0.1 ms", "<0.1 ms", "0.1 ms", "0.4 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s", "61.0 s"]);
        let ages = [0, 59, 60, 3_599, 3_600, 172_799, 172_800].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(ages, ["just now", "just now", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 d ago"]);
    }
}
