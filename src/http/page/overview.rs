//! `/`: every cache a row, the worst first.

use maud::{Markup, html};

use super::components::{self, Went};
use super::document::{PageDocument, refused};
use super::since::RevisionToken;
use crate::azure;
use crate::model::{Cache, Event, Finding, LookupReport, ProbeReport, Severity, Standing, Timestamp, WireText};
use crate::sink::{CacheState, Snapshot};

/// The findings that a row has room for; the page of the cache has them all.
const MOST_FINDINGS: usize = 3;

/// From so many rows on, those out of sight are laid out when they come into it.
const MANY: usize = 100;

/// The longest text that is searched for.
const LONGEST: usize = 100;

/// The rows that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    text: String,
    standing: Option<Standing>,
}

impl Selection {
    /// Reads `q` and `state`. What is not understood selects nothing, so that an old link still shows the caches.
    pub(super) fn read(parameters: &[(String, String)]) -> Self {
        let of = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.trim());
        let text = of("q").unwrap_or_default().chars().take(LONGEST).collect();
        Self { text, standing: of("state").and_then(Standing::parse) }
    }

    fn admits(&self, row: &CacheRow<'_>) -> bool {
        self.standing.is_none_or(|standing| standing == row.standing)
            && self.text.to_lowercase().split_whitespace().all(|word| row.search.contains(word))
    }
}

/// One cache, as far as it must be known to sort and to search.
struct CacheRow<'a> {
    watched: &'a CacheState,
    standing: Standing,
    open: Vec<&'a Finding>,
    search: String,
}

impl<'a> CacheRow<'a> {
    fn id(&self) -> String {
        format!("c-{}", self.watched.cache.name)
    }

    fn new(watched: &'a CacheState, now: Timestamp) -> Self {
        let (standing, open) = (watched.standing(now), components::worst_first(&watched.open));
        let cache = &watched.cache;
        let mut search = format!("{} {} {}", cache.name, cache.host, standing.title());
        let answers = watched.latest().and_then(LookupReport::followed).map(|followed| &followed.addresses);
        let addresses = answers.into_iter().flatten().map(|answer| answer.address.to_string());
        let words = addresses.chain(open.iter().map(|finding| format!("{} {}", finding.id, finding.summary)));
        for word in words {
            search.push(' ');
            search.push_str(&word);
        }
        Self { watched, standing, open, search: search.to_lowercase() }
    }

    /// The worst first. What is not known may be bad, so it comes before what is at risk.
    fn rank(&self) -> (u8, Option<Severity>, std::cmp::Reverse<usize>) {
        let standing = match self.standing {
            Standing::Ill => 0,
            Standing::Unknown => 1,
            Standing::AtRisk => 2,
            Standing::Well => 3,
        };
        (standing, self.open.first().map(|finding| finding.severity), std::cmp::Reverse(self.open.len()))
    }
}

/// The overview as it is at `now`; of what the page in the browser has already, no more than its place.
pub(super) fn render(
    snapshot: &Snapshot,
    selection: &Selection,
    since: Option<RevisionToken>,
    now: Timestamp,
) -> Markup {
    let mut rows: Vec<_> = snapshot.caches.values().map(|watched| CacheRow::new(watched, now)).collect();
    rows.sort_by_key(CacheRow::rank);
    let headline = headline(&rows);
    let top = html! {
        div {
            h1.brand { "cachewatch" }
            p.headline.large { (worst(&rows)) span #headline data-live { (headline) } }
        }
    };
    let shown: Vec<_> = rows.iter().filter(|row| selection.admits(row)).collect();
    let main = html! {
        (refused(snapshot, now))
        (overrides(snapshot, since))
        section #caches aria-labelledby="caches-title" {
            h2.hidden #caches-title { "Caches, the worst first" }
            (filter(&rows, selection))
            p #none .quiet hidden[!shown.is_empty()] {
                @if rows.is_empty() { "No cache is configured." } @else { "No cache matches." }
            }
            div.columns aria-hidden="true" {
                span { "cache" } span { "path, slowest or failing address" } span { "address" }
                span { "clients" } span { "certificate" } span { "last change" }
            }
            ol #rows class=(if rows.len() > MANY { "rows many" } else { "rows" }) data-keyed {
                @for row in shown {
                    @if since.is_some_and(|since| since.covers(row.watched, now)) {
                        (components::unchanged("li", &row.id()))
                    } @else { (show(row, now)) }
                }
            }
        }
        (machine(snapshot, now))
    };
    let json = "/api/v1/caches";
    PageDocument { snapshot, now, since, title: &headline, class: "all", json }.render(&top, Some(&main))
}

/// The shape of the worst state there is.
fn worst(rows: &[CacheRow<'_>]) -> Markup {
    let standing = rows.first().map(|row| row.standing);
    html! {
        span #worst data-keyed {
            @if let Some(standing) = standing {
                (components::versioned("span", "worst-now", "", &components::mark(standing.as_str())))
            }
        }
    }
}

/// The one sentence to read.
fn headline(rows: &[CacheRow<'_>]) -> String {
    let among = |standing| rows.iter().filter(|row| row.standing == standing).count();
    let all = rows.len();
    let (well, ill, unknown) = (among(Standing::Well), among(Standing::Ill), among(Standing::Unknown));
    match (all, ill, unknown) {
        (0, ..) => "No cache is configured".to_owned(),
        (_, 0, 0) if well == all => format!("All healthy: {all} of {all}"),
        (_, 0, 0) => format!("Reachable: {all} of {all}, {} at risk", all - well),
        (_, 0, _) => format!("Unknown: {unknown} of {all}"),
        (_, _, 0) => format!("Unhealthy: {ill} of {all}"),
        _ => format!("Unhealthy: {ill} of {all}, unknown: {unknown}"),
    }
}

/// A form that works by itself; the script applies it while the user types.
fn filter(rows: &[CacheRow<'_>], selection: &Selection) -> Markup {
    let choice = |standing: Option<Standing>| {
        let name = standing.map_or("all", Standing::as_str);
        let among = rows.iter().filter(|row| standing.is_none_or(|standing| row.standing == standing)).count();
        html! {
            label.choice {
                input type="radio" name="state" value=(standing.map_or("", Standing::as_str))
                    checked[selection.standing == standing];
                span {
                    @match standing {
                        Some(standing) => { (components::mark(standing.as_str())) " " (standing.title()) }
                        None => "all",
                    }
                    " " b id={ "n-" (name) } data-live { (among) }
                }
            }
        }
    };
    html! {
        form.filter #filter role="search" action="/" method="get" aria-label="Which caches" {
            label.hidden for="q" { "Name, host, address or finding" }
            input #q type="search" name="q" aria-keyshortcuts="/" value=(selection.text) maxlength=(LONGEST) autocomplete="off"
                placeholder="Name, host, address or finding";
            fieldset {
                legend.hidden { "State" }
                (choice(None))
                @for standing in [Standing::Ill, Standing::Unknown, Standing::AtRisk, Standing::Well] {
                    (choice(Some(standing)))
                }
            }
            button type="submit" { "Filter" }
            p.hidden #count role="status" {}
        }
    }
}

/// Addresses dialled in place of resolved ones: a redirected result must not look like the real path.
fn overrides(snapshot: &Snapshot, since: Option<RevisionToken>) -> Markup {
    let redirected: Vec<_> = snapshot.caches.values().filter(|watched| !watched.cache.connect_to.is_empty()).collect();
    if redirected.is_empty() {
        return Markup::default();
    }
    if since.is_some() {
        return components::unchanged("section", "redirected");
    }
    let body = html! {
        details {
            summary { h2 { (components::mark("advice")) " Redirected by connect_to: " (redirected.len()) } }
            p { "These results are for the addresses on the right, not for the path an application takes." }
            ul {
                @for watched in redirected {
                    @for redirect in &watched.cache.connect_to {
                        li { (watched.cache.name) ": " code { (redirect) } }
                    }
                }
            }
        }
    };
    components::versioned("section", "redirected", "notice mild", &body)
}

/// What is to be said of this machine, apart from any cache.
fn machine(snapshot: &Snapshot, now: Timestamp) -> Markup {
    if snapshot.machine.is_empty() {
        return Markup::default();
    }
    let open = components::worst_first(&snapshot.machine);
    // Advice about the machine must not fill more room than a cache that is ill.
    let is_advice = open.iter().all(|finding| finding.severity == Severity::Advice);
    let body = html! {
        details open[!is_advice] {
            summary {
                h2 { "This machine" }
                @for finding in &open { " " (components::severity(finding.severity)) " " code { (finding.id) } }
            }
            @for finding in &open { (components::finding_card(finding, now)) }
        }
    };
    components::versioned("section", "machine", "findings", &body)
}

fn show(row: &CacheRow<'_>, now: Timestamp) -> Markup {
    let (watched, cache) = (row.watched, &*row.watched.cache);
    let report = watched.report.as_deref();
    let page = format!("/caches/{}", cache.name);
    let body = html! {
        div.who {
            h3 { a href=(page) { (cache.name) } }
            " " (components::standing(row.standing))
            p.quiet title=(cache.endpoint()) { (azure::identify(&cache.host).product.title()) }
        }
        @if !row.open.is_empty() {
            ul.open-findings aria-label={ "Open findings of " (cache.name) } {
                @for finding in row.open.iter().take(MOST_FINDINGS) {
                    li {
                        (components::severity(finding.severity)) " "
                        a href={ (page) "#" (finding.id) } { (finding.id) } " "
                        span.summary { (finding.summary) } " "
                        span.quiet { "since " (components::moment(finding.since)) ", " (components::ago(finding.since, now)) }
                    }
                }
                @if row.open.len() > MOST_FINDINGS {
                    li { a href=(page) { (row.open.len() - MOST_FINDINGS) " more" } }
                }
            }
        }
        div.cell.path-cell {
            h4.hidden { "Path" }
            @match report { Some(report) => (path(cache, report)), None => p.quiet { "not probed yet" }, }
            @if let Some(pending) = components::pending(watched) { p.quiet { (pending) } }
        }
        div.cell {
            h4.label { "Address" }
            (addresses(cache, watched.latest()))
        }
        div.cell {
            h4.label { "Clients" }
            (components::clients(cache, report))
        }
        div.cell {
            h4.label { "Certificate" }
            (certificate(cache, report, now))
        }
        div.cell {
            h4.label { "Last change" }
            @match watched.events.front() {
                Some(event) => {
                    p { (components::ago(event.at, now)) }
                    p.quiet { (components::moment(event.at)) br; (event_words(event)) }
                }
                None => p.quiet { "none seen" },
            }
        }
    };
    let class = format!("row {}", row.standing);
    components::versioned_with("li", &row.id(), &class, &row.search, &body)
}

/// The path as a line of stages.
fn path(cache: &Cache, report: &ProbeReport) -> Markup {
    html! {
        ol.path aria-label="Path" {
            @for step in components::path(cache, report) {
                li class=(step.went.as_str()) {
                    span.stage { (components::mark(step.went.as_str())) " " (step.stage) }
                    span.time {
                        @match step.went {
                            Went::Wrong(fault) => strong { (components::breakable(fault.kind.as_str())) },
                            Went::Well => (step.took.map(components::took).unwrap_or_default()),
                            Went::Unreached => "not reached",
                            Went::Unused => "not used",
                        }
                    }
                }
            }
        }
    }
}

/// Where the name leads: the classes of its addresses, and whether they are the expected ones.
fn addresses(cache: &Cache, latest: Option<&LookupReport>) -> Markup {
    let Some(followed) = latest.and_then(LookupReport::followed) else {
        return html! { p.quiet { "not known" } };
    };
    let Some(first) = followed.addresses.first() else {
        return html! { p.fault { "none" } };
    };
    let mut classes: Vec<_> = followed.addresses.iter().map(|answer| answer.class.as_str()).collect();
    classes.dedup();
    let is_expected = cache.expectation.is_met_by(followed);
    html! {
        p {
            @if is_expected { (classes.join(", ")) } @else {
                strong.fault { (classes.join(", ")) " " span.quiet { "not expected" } }
            }
        }
        p.quiet {
            code { (first.address) }
            @if followed.addresses.len() > 1 { " and " (followed.addresses.len() - 1) " more" }
        }
    }
}

fn certificate(cache: &Cache, report: Option<&ProbeReport>, now: Timestamp) -> Markup {
    if cache.tls.is_none() {
        return html! { p.quiet { "no TLS" } };
    }
    let warning = i64::try_from(cache.thresholds.certificate_warning.as_secs() / 86_400).unwrap_or(i64::MAX);
    html! {
        @match report.and_then(|report| components::certificate_days(report, now)) {
            None => p.quiet { "not known" },
            Some(days) if days < 0 => p { strong.fault { "expired" } },
            Some(days) if days < warning => p { strong.fault { (days) " d left" } },
            Some(days) => p { (days) " d left" },
        }
    }
}

/// An event in a few words.
pub(super) fn event_words(event: &Event) -> String {
    let kind = event.kind.as_str().replace('_', " ");
    match (&event.finding, &event.after) {
        (Some(finding), _) => format!("{finding} {}", kind.trim_start_matches("finding ")),
        (None, Some(after)) if !after.as_str().is_empty() => format!("{kind}: {}", short(after)),
        _ => kind,
    }
}

fn short(text: &WireText) -> String {
    let text = text.as_str();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
