//! The status page: plain HTML that a browser without scripts shows whole, and a text browser too.
//!
//! Every value goes through maud, which escapes it; the page has no script and no style of its own.

use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::State;
use crate::azure;
use crate::clock;
use crate::model::{Cache, CacheName, Clients, Finding, Leg, ProbeReport, Resolution, Standing, Timestamp};
use crate::sink::{Configuration, Snapshot, Watched};

/// Seconds from one look to the next, for a page left open on a wall.
const REFRESH: u32 = 30;

/// `/`
pub(super) async fn status(Shared(state): Shared<State>) -> Response {
    Html(render(&state.board.snapshot(), clock::now()).into_string()).into_response()
}

/// `/assets/page.css`
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css")).into_response()
}

/// The page as it is at `now`.
fn render(snapshot: &Snapshot, now: Timestamp) -> Markup {
    let open = snapshot.open();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH);
                title { (headline(snapshot, now)) " · cachewatch" }
                link rel="stylesheet" href="/assets/page.css";
            }
            body {
                header {
                    h1 { "cachewatch" }
                    p { (headline(snapshot, now)) }
                    p.quiet { "As of " (moment(now)) ", seen from this machine." }
                }
                main {
                    (refused(&snapshot.configuration))
                    (overrides(snapshot))
                    @if !open.is_empty() {
                        section {
                            h2 { "Open findings" }
                            @for finding in open { (finding_card(finding)) }
                        }
                    }
                    section {
                        h2 { "Caches" }
                        (table(snapshot, now))
                    }
                    @if !snapshot.machine.is_empty() {
                        section {
                            h2 { "This machine" }
                            @for finding in &*snapshot.machine { (finding_card(finding)) }
                        }
                    }
                }
                footer.quiet {
                    a href="/metrics" { "metrics" } " · " a href="/healthz" { "health" } " · "
                    a href="/api/v1/caches" { "caches as JSON" } " · " a href="/api/v1/findings" { "findings as JSON" }
                }
            }
        }
    }
}

/// The one sentence to read.
fn headline(snapshot: &Snapshot, now: Timestamp) -> String {
    let among = |standing| snapshot.caches.values().filter(|watched| watched.standing(now) == standing).count();
    let all = snapshot.caches.len();
    let (well, ill, unknown) = (among(Standing::Well), among(Standing::Ill), among(Standing::Unknown));
    match (all, ill, unknown) {
        (0, ..) => "No cache is configured".to_owned(),
        (_, 0, 0) if well == all => format!("All well: {all} of {all}"),
        (_, 0, 0) => format!("Reachable: {all} of {all}, {} at risk", all - well),
        (_, 0, _) => format!("Not known yet: {unknown} of {all}"),
        (_, _, 0) => format!("Ill: {ill} of {all}"),
        _ => format!("Ill: {ill} of {all}, not known: {unknown}"),
    }
}

/// A new configuration that was refused: what is shown is not what its author expects.
fn refused(configuration: &Configuration) -> Markup {
    html! {
        @if let Some((at, problems)) = &configuration.refused {
            section.notice {
                h2 { "The new configuration was refused" }
                p { "Since " (moment(*at)) " the older one stays in use:" }
                ul { @for problem in problems { li { (problem.as_str()) } } }
            }
        }
    }
}

/// Addresses dialled in place of resolved ones: nobody may take a redirected result for the real path.
fn overrides(snapshot: &Snapshot) -> Markup {
    let redirected: Vec<_> = snapshot.caches.values().filter(|watched| !watched.cache.connect_to.is_empty()).collect();
    html! {
        @if !redirected.is_empty() {
            section.notice {
                h2 { "Redirected by connect_to" }
                p { "These results speak of the addresses on the right, not of the path an application takes." }
                ul {
                    @for watched in redirected {
                        @for redirect in &watched.cache.connect_to {
                            li { (watched.cache.name) ": " code { (redirect) } }
                        }
                    }
                }
            }
        }
    }
}

fn finding_card(finding: &Finding) -> Markup {
    html! {
        article class={ "finding severity-" (finding.severity.as_str()) } {
            h3 {
                span.badge { (finding.severity.as_str()) " " (finding.severity.meaning()) }
                " " @if finding.cache.as_str() != CacheName::MACHINE { (finding.cache) ": " } (finding.summary)
            }
            p.quiet { code { (finding.id) } " at stage " (finding.stage) ", since " (moment(finding.since)) }
            @if !finding.evidence.is_empty() {
                ul { @for line in &finding.evidence { li { (line) } } }
            }
            @if !finding.remedy.is_empty() {
                pre { code { @for line in &finding.remedy { (line) "\n" } } }
            }
        }
    }
}

fn table(snapshot: &Snapshot, now: Timestamp) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th scope="col" { "cache" }
                        th scope="col" { "standing" }
                        th scope="col" { "names" }
                        th scope="col" { "addresses and stages" }
                        th scope="col" { "clients" }
                        th scope="col" { "probed" }
                    }
                }
                tbody { @for watched in snapshot.caches.values() { (row(watched, now)) } }
            }
        }
    }
}

fn row(watched: &Watched, now: Timestamp) -> Markup {
    let (cache, standing) = (&*watched.cache, watched.standing(now));
    let report = watched.report.as_deref();
    html! {
        tr {
            th scope="row" {
                a href={ "/api/v1/caches/" (cache.name) } { (cache.name) }
                br;
                span.quiet { (cache.endpoint()) br; (azure::identify(&cache.host).product.title()) }
            }
            td { span class={ "badge " (standing) } { (standing) } }
            td { @if let Some(latest) = watched.latest() { @for resolution in &latest.resolutions { (names(resolution)) } } }
            td { @if let Some(report) = report { (legs(cache, report)) } }
            td { @if let Some(report) = report { (clients(cache, report)) } }
            td {
                @match report {
                    Some(report) => { (moment(report.at)) br; (milliseconds(report.took)) }
                    None => "not yet",
                }
            }
        }
    }
}

/// What one resolver said.
fn names(resolution: &Resolution) -> Markup {
    html! {
        p {
            strong { (resolution.resolver) } " " span.quiet { (milliseconds(resolution.took)) }
            @for alias in &resolution.chain { br; "→ " (alias.target) }
            @for answer in &resolution.addresses { br; code { (answer.address) } " " (answer.class) }
            @if let Some(ttl) = resolution.smallest_ttl() { br; span.quiet { "TTL " (ttl) " s" } }
            @if let Some(fault) = &resolution.fault { br; span.fault { (fault.kind) } " " (fault.detail) }
        }
    }
}

fn legs(cache: &Cache, report: &ProbeReport) -> Markup {
    html! {
        @if let Some(fault) = &report.fault { p { span.fault { (fault.kind) } " " (fault.detail) } }
        @for leg in &report.legs { (leg_line(cache, leg)) }
    }
}

/// The walk to one address: what was dialled, how long each stage took, where it ended.
fn leg_line(cache: &Cache, leg: &Leg) -> Markup {
    html! {
        p {
            code { (leg.address) } " " (leg.class)
            @if leg.is_redirected(cache.port) { " " span.fault { "dialled " (leg.dialled) " instead" } }
            br;
            span.quiet { @for (stage, took) in leg.timings.iter() { (stage) " " (milliseconds(took)) " " } }
            @if let Some(session) = &leg.tls {
                @if let Some(leaf) = session.leaf() {
                    br;
                    span.quiet { "certificate until " (leaf.not_after.date()) }
                    @if !session.verified { " " span.fault { "not verified" } }
                }
            }
            @if let Some(fault) = &leg.fault { br; span.fault { (fault.stage) ": " (fault.kind) } " " (fault.detail) }
            @for note in &leg.notes { br; span.quiet { (note.stage) ": " (note.kind) " " (note.detail) } }
        }
    }
}

fn clients(cache: &Cache, report: &ProbeReport) -> Markup {
    let clients = cache.busiest(report).and_then(|(_, _, clients)| clients);
    html! {
        @match clients {
            None => span.quiet { "not known" },
            Some(Clients { connected, limit: None }) => (connected),
            Some(clients @ Clients { connected, limit: Some((limit, source)) }) => {
                (connected) " of " (limit) br;
                span.quiet {
                    "limit: " (source)
                    @if let Some(headroom) = clients.headroom() { br; (format!("{:.0} % free", headroom * 100.0)) }
                }
            },
        }
    }
}

fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at) } }
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Alias, DialOverride, Fault, FaultKind, Round, Stage, WireText};
    use crate::sink::{Board, fixture};

    fn page(cache: &Cache, rounds: &[Round]) -> String {
        let board = Board::new();
        board.add_cache(Arc::new(cache.clone()));
        board.configured(fixture::start());
        for round in rounds {
            board.observe(round);
        }
        render(&board.snapshot(), fixture::start()).into_string()
    }

    #[test]
    fn it_shows_what_was_seen() {
        let cache = fixture::cache("orders");
        let text = page(&cache, &[fixture::healthy(&cache)]);
        for shown in
            ["All well: 1 of 1", "10.20.1.4", "private", "connect 4.0 ms", "750 of 7500", "90 % free", "2025-10-09"]
        {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        let text = page(&cache, &[fixture::name_not_found(&cache)]);
        for shown in ["Ill: 1 of 1", "dns-name-not-found", "az redis show --name orders", "name_not_found"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert!(page(&cache, &[]).contains("Not known yet: 1 of 1"));
    }

    #[test]
    fn a_redirected_address_is_plain_to_see() {
        let mut cache = fixture::cache("orders");
        assert!(!page(&cache, &[fixture::healthy(&cache)]).contains("connect_to"));
        cache.connect_to = vec![DialOverride {
            address: "10.20.1.4".parse().unwrap(),
            port: None,
            to: "127.0.0.1:7000".parse().unwrap(),
        }];
        let text = page(&cache, &[fixture::healthy(&cache)]);
        assert!(text.contains("Redirected by connect_to") && text.contains("10.20.1.4=127.0.0.1:7000"));
        assert!(text.contains("dialled 127.0.0.1:7000 instead"));
    }

    /// A hostile DNS zone, server and configuration get no element onto the page.
    #[test]
    fn foreign_words_stay_words() {
        const HOSTILE: &str = "\"'></code></td><script>alert(1)</script><img src=x onerror=alert(1)>";
        let mut cache = fixture::cache("orders");
        cache.host = HOSTILE.to_owned();
        let mut healthy = fixture::healthy(&cache);
        let report = Arc::make_mut(&mut healthy.report);
        let foreign = WireText::new(HOSTILE);
        report.fault = Some(Fault::new(Stage::Resolve, FaultKind::Internal, HOSTILE));
        report.resolutions[0].fault = Some(Fault::new(Stage::Resolve, FaultKind::Unrecognised, HOSTILE));
        report.resolutions[0].chain.push(Alias { owner: foreign.clone(), target: foreign, ttl: 1 });
        report.legs[0].fault = Some(Fault::new(Stage::Ping, FaultKind::ServerError, HOSTILE));
        report.legs[0].notes.push(Fault::new(Stage::Inspect, FaultKind::ServerError, HOSTILE));
        let mut finding = fixture::name_not_found(&cache).open.remove(0);
        finding.evidence = vec![HOSTILE.to_owned()];
        finding.remedy = vec![HOSTILE.to_owned()];
        healthy.open = vec![finding];
        healthy.cache = Arc::new(cache.clone());

        let board = Board::new();
        board.add_cache(Arc::new(cache));
        board.observe(&healthy);
        board.configuration_refused(fixture::start(), &[HOSTILE.to_owned()]);
        let text = render(&board.snapshot(), fixture::start()).into_string();
        assert!(text.matches("&lt;script&gt;").count() >= 9, "the words are shown: {text}");
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
        let mut tags = text.split('<').skip(1).filter_map(|rest| rest.split('>').next());
        assert!(!tags.any(|tag| tag.contains(" style=") || tag.contains(" on")), "no inline style, no handler: {text}");
    }
}
