//! `/caches/{name}`: all that is known of one cache, what is wrong first.

use std::time::Duration;

use maud::{Markup, html};

use super::components::{self, Bar, Went};
use super::document::{PageDocument, refused};
use super::since::RevisionToken;
use super::trend;
use crate::azure;
use crate::model::{
    Cache, Event, EventKind, Finding, FindingId, Leg, LookupReport, Opening, ProbeReport, Resolution, ServerFacts,
    Standing, Step, Timestamp, TlsSession,
};
use crate::sink::{CacheState, Snapshot};

/// The page of one cache as it is at `now`; nothing but that where the page in the browser is current.
pub(super) fn render(
    snapshot: &Snapshot,
    watched: &CacheState,
    since: Option<RevisionToken>,
    now: Timestamp,
) -> Markup {
    let (cache, standing) = (&*watched.cache, watched.standing(now));
    let report = watched.report.as_deref();
    let open = components::worst_first(&watched.open);
    let said = match (open.first(), open.len()) {
        (Some(worst), 1) => format!("1 finding is open, since {}.", components::utc(worst.since)),
        (Some(worst), count) => format!("{count} findings are open, the worst since {}.", components::utc(worst.since)),
        (None, _) if report.is_none() => "Not probed yet.".to_owned(),
        (None, _) if standing == Standing::Well => "Nothing is wrong.".to_owned(),
        (None, _) => "No finding is open, and no recent probe proves that the cache is healthy.".to_owned(),
    };
    let top = html! {
        div {
            nav aria-label="Back" { a href="/" { "← all caches" } }
            div.named {
                h1 { (cache.name) }
                p #standing data-keyed { (components::versioned_standing(standing)) }
            }
            p.headline #headline data-live { (said) }
        }
    };
    let main = html! {
        (refused(snapshot, now))
        (pending(watched))
        (redirected(cache))
        (findings(cache, &open, now))
        // What was seen from the name to the cache, and beside it what is known of it.
        div #seen data-keyed {
            (names(cache, watched.latest()))
            (walks(cache, report))
            (trends(watched))
            (events(watched, now))
        }
        div #known data-keyed {
            (server(cache, report, now))
            (closed(watched, now))
            (configured(cache))
        }
    };
    let is_known = since.is_some_and(|since| since.covers(watched, now));
    let (title, json) = (format!("{}: {}", cache.name, standing.title()), format!("/api/v1/caches/{}", cache.name));
    let document = PageDocument { snapshot, now, since, title: &title, class: "one", json: &json };
    document.render(&top, (!is_known).then_some(&main))
}

/// The page of a cache that is not watched. Its name is not repeated: it came from the request.
pub(super) fn render_missing(snapshot: &Snapshot, now: Timestamp) -> Markup {
    let top = html! {
        div {
            nav aria-label="Back" { a href="/" { "← all caches" } }
            h1 { "No such cache" }
            p.headline #headline data-live { "No cache of that name is watched." }
        }
    };
    let main = refused(snapshot, now);
    PageDocument { snapshot, now, since: None, title: "No such cache", class: "one", json: "/api/v1/caches" }
        .render(&top, Some(&main))
}

/// What was seen and is no finding yet.
fn pending(watched: &CacheState) -> Markup {
    let (Some(pending), Some(progress)) = (watched.pending.first(), components::pending(watched)) else {
        return Markup::default();
    };
    let body = html! {
        h2 { (pending.summary) }
        p.quiet { (progress) }
    };
    components::versioned("section", "doubted", "notice mild", &body)
}

fn redirected(cache: &Cache) -> Markup {
    if cache.connect_to.is_empty() {
        return Markup::default();
    }
    let body = html! {
        details {
            summary { h2 { (components::mark("advice")) " Redirected by connect_to" } }
            p { "These results are for the addresses on the right, not for the path an application takes." }
            ul { @for redirect in &cache.connect_to { li { code { (redirect) } } } }
        }
    };
    components::versioned("section", "redirected", "notice mild", &body)
}

fn findings(cache: &Cache, open: &[&Finding], now: Timestamp) -> Markup {
    if open.is_empty() {
        return Markup::default();
    }
    // Where the names changed on purpose, this says so; a finding may have it among its own commands.
    let accept = Step::accept_baseline(&cache.name);
    let drifted = open.iter().any(|finding| finding.id == FindingId::DnsDrift);
    let is_said = open.iter().any(|finding| finding.remedy.contains(&accept));
    let body = html! {
        h2 { "What is wrong" }
        @for finding in open { (components::finding_card(finding, now)) }
        @if drifted && !is_said {
            p { "If the move is intended, accept the new addresses:" }
            (components::commands(&[accept]))
        }
    };
    components::versioned("section", "findings", "findings", &body)
}

/// Each address, stage by stage, on one scale.
fn walks(cache: &Cache, report: Option<&ProbeReport>) -> Markup {
    let body = html! {
        h2 { "The path, stage by stage" }
        @match report {
            None => p.quiet { "Not probed yet." },
            Some(report) => {
                p.quiet { "Probe of " (components::moment(report.lookup.at)) ", " (components::took(report.took)) " in all." }
                @if let Some(fault) = &report.lookup.fault { p { strong.fault { (fault.kind) } " " (fault.detail) } }
                @let lookup = components::lookup(&report.lookup);
                @let scale = scale(cache, report, lookup.took.unwrap_or_default());
                @if report.legs.is_empty() {
                    div.leg { (waterfall(std::slice::from_ref(&lookup), scale)) }
                }
                div.legs { @for leg in &report.legs { (walk(cache, &lookup, leg, scale)) } }
            }
        }
    };
    let is_long = report.is_some_and(|report| report.legs.len() > 3);
    components::versioned("section", "path", if is_long { "walks many" } else { "walks" }, &body)
}

/// The longest walk: the width of every waterfall.
fn scale(cache: &Cache, report: &ProbeReport, lookup: Duration) -> Duration {
    let of = |leg| components::walk(cache, leg).iter().filter_map(|step| step.took).sum::<Duration>();
    lookup + report.legs.iter().map(of).max().unwrap_or_default()
}

fn walk(cache: &Cache, lookup: &Bar<'_>, leg: &Leg, scale: Duration) -> Markup {
    let mut steps = vec![lookup.clone()];
    steps.extend(components::walk(cache, leg));
    html! {
        div.leg {
            h3 {
                (components::mark(if leg.fault.is_none() { "passed" } else { "failed" })) " "
                code { (leg.address) } " "
                span.quiet {
                    (leg.class)
                    @if cache.expectation.is_asserted() {
                        ", "
                        @if cache.expectation.admits(leg.address) { "as expected" } @else { (not_expected()) }
                    }
                    @if leg.is_redirected(cache.port) { ", dialled " (leg.dialled) " instead" }
                }
            }
            (waterfall(&steps, scale))
            @for note in &leg.notes { p.quiet { (note.stage) ": " (note.kind) " " (note.detail) } }
        }
    }
}

fn not_expected() -> Markup {
    html! { strong.fault { "not expected" } }
}

/// The stages below each other, each bar beginning where the one before it ended.
fn waterfall(steps: &[Bar<'_>], scale: Duration) -> Markup {
    let share = |span: Duration| span.as_secs_f64() / scale.as_secs_f64().max(f64::MIN_POSITIVE) * 100.0;
    let mut begun = Duration::ZERO;
    let bars: Vec<_> = steps
        .iter()
        .map(|step| {
            let from = begun;
            begun += step.took.unwrap_or_default();
            (step, share(from), step.took.map(share))
        })
        .collect();
    html! {
        ol.waterfall {
            @for (step, from, width) in bars {
                li class=(step.went.as_str()) {
                    span.stage { (components::mark(step.went.as_str())) " " (step.stage) }
                    svg.lane viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                        rect.track width="100" height="10" {}
                        @if let Some(width) = width {
                            @let (from, width) = (from.min(99.2), width.max(0.8));
                            rect.fill x=(format!("{from:.2}")) width=(format!("{width:.2}")) height="10" {}
                        }
                    }
                    span.time {
                        @if let Some(took) = step.took.filter(|_| step.went != Went::Unused) { (components::took(took)) }
                        @match step.went {
                            Went::Well => span.hidden { " passed" },
                            Went::Unreached => "not reached",
                            Went::Unused => "not used",
                            Went::Wrong(_) => {},
                        }
                    }
                    @if let Went::Wrong(fault) = step.went {
                        p.why { strong.fault { (fault.kind) } " " (fault.detail) }
                    }
                }
            }
        }
    }
}

/// The names as each resolver knows them.
fn names(cache: &Cache, latest: Option<&LookupReport>) -> Markup {
    let body = html! {
        h2 { "Where the name leads" }
        @match latest {
            None => p.quiet { "Not looked up yet." },
            Some(latest) => div.resolvers {
                @for (index, resolution) in latest.resolutions.iter().enumerate() {
                    (resolved(cache, resolution, index == 0))
                }
            }
        }
    };
    components::versioned("section", "names", "names", &body)
}

fn resolved(cache: &Cache, resolution: &Resolution, is_followed: bool) -> Markup {
    html! {
        div.resolver {
            h3 {
                (resolution.resolver) " "
                span.quiet {
                    (components::took(resolution.took)) ", from " (resolution.source.as_str().replace('_', " "))
                    @if is_followed { ", followed" }
                }
            }
            ol.chain {
                li {
                    span.kind { "name" } code { (resolution.name) }
                    @if resolution.searched { " " span.fault { "from the search list" } }
                }
                @for alias in &resolution.chain {
                    li { span.kind { "alias" } code { (alias.target) } " " span.ttl { "TTL " (alias.ttl) " s" } }
                }
                @for answer in &resolution.addresses {
                    li.address {
                        span.kind { "address" } code { (answer.address) } " " (answer.class)
                        @if !cache.expectation.admits(answer.address) && resolution.usable().any(|usable| usable == answer) {
                            " " (not_expected())
                        }
                        @if let Some(ttl) = answer.ttl { " " span.ttl { "TTL " (ttl) " s" } }
                    }
                }
                @if resolution.addresses_dropped > 0 {
                    li { span.kind { "and" } (resolution.addresses_dropped) " more" }
                }
                @if let Some(fault) = &resolution.fault {
                    li.end {
                        span.kind { (components::mark("failed")) " end" }
                        strong.fault { (fault.kind) } " " (fault.detail)
                    }
                }
            }
            @if let Some(overridden) = &resolution.overridden {
                p.quiet { "The name servers answer differently; applications here do not get this answer:" }
                (resolved(cache, overridden, false))
            }
        }
    }
}

fn trends(watched: &CacheState) -> Markup {
    let body = html! {
        h2 { "Lately" }
        @if watched.recent.is_empty() { p.quiet { "Not probed yet." } } @else {
            (trend::render(&watched.recent, watched.cache.thresholds.headroom_warning))
        }
    };
    components::versioned("section", "lately", "trends", &body)
}

fn server(cache: &Cache, report: Option<&ProbeReport>, now: Timestamp) -> Markup {
    let session = report.and_then(|report| report.used_legs().find_map(|leg| leg.tls.as_ref()));
    let facts = report.and_then(|report| cache.busiest(report)).map(|(_, facts, _)| facts);
    let wants_key = report.is_some_and(ProbeReport::wants_key);
    let body = html! {
        h2 { "Server and certificate" }
        div.facts-pair {
            div { h3 { "Clients" } div.clients { (components::clients(cache, report)) } }
            dl {
                @match facts {
                    Some(facts) => (said(facts)),
                    None if wants_key => div { dt { "server" } dd.quiet { (Leg::WANTS_KEY) } },
                    None => div { dt { "server" } dd.quiet { "reported nothing about itself" } },
                }
                @if let Some(session) = session { (certificate(session, now)) }
            }
        }
    };
    components::versioned("section", "server", "server", &body)
}

fn said(facts: &ServerFacts) -> Markup {
    html! {
        @if let Some(version) = &facts.version { div { dt { "version" } dd { (version) } } }
        @if let Some(role) = facts.role { div { dt { "role" } dd { (role) } } }
        @if let Some(mode) = facts.mode { div { dt { "mode" } dd { (mode) } } }
        @if let Some(uptime) = facts.uptime_seconds {
            div { dt { "up for" } dd { (components::span(Duration::from_secs(uptime))) } }
        }
        @if let Some(rejected) = facts.rejected_connections {
            div { dt { "rejected connections" } dd { (components::count(rejected)) } }
        }
        @if let Some(replicas) = facts.connected_replicas { div { dt { "replicas" } dd { (replicas) } } }
    }
}

fn certificate(session: &TlsSession, now: Timestamp) -> Markup {
    html! {
        @if !session.version.is_empty() { div { dt { "TLS" } dd { (session.version) " " (session.cipher) } } }
        div {
            dt { "verified for" }
            dd { (session.server_name) ": " @if session.verified { "yes" } @else { strong.fault { "no" } } }
        }
        @for certificate in &session.chain {
            div {
                dt { "certificate" }
                dd {
                    (certificate.subject) " " span.quiet { "by " (certificate.issuer) }
                    br; "until " (certificate.not_after.date())
                    @if certificate.not_after < now { " " strong.fault { "expired" } }
                }
            }
        }
    }
}

/// What should be closed, as the last test of it found it: that nothing is open is worth as many words as an opening.
fn closed(watched: &CacheState, now: Timestamp) -> Markup {
    let exposure = &watched.cache.exposure;
    let body = html! {
        h2 { "What should be closed" }
        @if exposure.is_on() {
            dl.closed {
                @for opening in Opening::ALL { div { dt { (opening_words(*opening)) } dd { (told_of(watched, *opening)) } } }
            }
            p.quiet {
                @match watched.tested.as_deref() {
                    Some(report) => {
                        "Tested " (components::ago(report.lookup.at, now)) ", " (components::moment(report.lookup.at)) ", every "
                        (components::span(exposure.interval)) ". \"Closed\" means closed as seen from this machine."
                    }
                    None => { "The first probe will test it, then every " (components::span(exposure.interval)) "." }
                }
            }
        } @else {
            p.quiet { "Not tested: " code { "caches.exposure" } " is off for this cache." }
        }
    };
    components::versioned("section", "closed", "exposure", &body)
}

fn opening_words(opening: Opening) -> &'static str {
    match opening {
        Opening::PublicPath => "public path",
        Opening::PlainPort => "port without TLS",
        Opening::LegacyTls => "TLS 1.0 and 1.1",
    }
}

fn told_of(watched: &CacheState, opening: Opening) -> Markup {
    let report = watched.tested.as_deref();
    let trials: Vec<_> = report
        .and_then(|report| report.exposure.as_ref())
        .into_iter()
        .flat_map(|exposure| exposure.trials_of(opening))
        .collect();
    html! {
        @match report {
            _ if !watched.cache.exposure.tests(opening) => span.quiet { "not tested: off" },
            None => span.quiet { "not tested yet" },
            Some(report) => {
                @match report.exposed(opening) {
                    Some(true) => span.sign.ill { (components::mark("failed")) " open" },
                    Some(false) => span.sign.well { (components::mark("well")) " closed" },
                    None => span.sign.unknown { (components::mark("unknown")) " unclear" },
                }
                @if trials.is_empty() && report.exposed(opening) == Some(false) { " " span.quiet { "no public address" } }
                @if !trials.is_empty() {
                    ul {
                        @for trial in trials {
                            li {
                                code { (trial.address) } " "
                                @if let Some(version) = trial.version { (version) " " }
                                (trial.passage.as_str().replace('_', " ")) ": " span.quiet { (trial.detail) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What happened last, as the journal tells it.
fn events(watched: &CacheState, now: Timestamp) -> Markup {
    let body = html! {
        h2 { "What happened" }
        @if watched.events.is_empty() { p.quiet { "Nothing since watching began." } } @else {
            ol.events { @for event in &watched.events { (told(event, now)) } }
        }
        p.quiet { a href={ "/api/v1/events?cache=" (watched.cache.name) } { "all that the journal has" } }
    };
    components::versioned("section", "events", "history", &body)
}

fn told(event: &Event, now: Timestamp) -> Markup {
    let mark = match event.kind {
        EventKind::FindingOpened => "failed",
        EventKind::FindingCleared => "well",
        _ => "unreached",
    };
    html! {
        li {
            span.when { (components::moment(event.at)) " " span.quiet { (components::ago(event.at, now)) } }
            span.what {
                (components::mark(mark)) " "
                (event.kind.as_str().replace('_', " "))
                @if let Some(finding) = event.finding { " " code { (finding) } }
                @if let Some(severity) = event.severity { " " span.quiet { "severity " (severity.as_str()) } }
                @if let Some(resolver) = &event.resolver { " " span.quiet { "by resolver " (resolver) } }
                @match (&event.before, &event.after) {
                    (Some(before), Some(after)) => { ": " code { (before) } " → " code { (after) } },
                    (None, Some(after)) => { ": " code { (after) } },
                    (Some(before), None) => { ": was " code { (before) } },
                    (None, None) => {},
                }
                @if let Some(lasted) = event.lasted { " " span.quiet { "after " (components::span(lasted)) } }
            }
        }
    }
}

/// How it is configured: what the judgement is held to.
fn configured(cache: &Cache) -> Markup {
    let networks: Vec<_> = cache.expectation.addresses.iter().map(ToString::to_string).collect();
    let resolvers: Vec<_> = cache.resolvers.iter().map(|resolver| resolver.name().to_string()).collect();
    let body = html! {
        h2 { "As configured" }
        dl {
            div { dt { "endpoint" } dd { code { (cache.endpoint()) } } }
            div {
                dt { "product" }
                dd {
                    (azure::identify(&cache.host).product.title())
                    @if let Some((tier, _)) = &cache.tier { ", tier " (tier) }
                }
            }
            div {
                dt { "expected" }
                dd {
                    @match cache.expectation.isolation {
                        Some(isolation) => (isolation.as_str().replace('_', " ")),
                        None => "isolation not configured",
                    }
                    @if !networks.is_empty() { ", in " code { (networks.join(", ")) } }
                }
            }
            div { dt { "resolvers" } dd { (resolvers.join(", ")) } }
            div { dt { "probed" } dd { "every " (components::span(cache.interval)) } }
        }
    };
    components::versioned("section", "configured", "configured", &body)
}
