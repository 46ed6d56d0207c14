//! The status page: HTML that is whole without a script, in a text browser too, and follows the daemon with one.
//!
//! Invariants: every value goes through maud, which escapes it; no script and no style stands in the page itself. What can
//! change has an id and a version (`parts::versioned`), so that `page.js` repaints what changed and nothing else.

mod cache;
mod overview;
mod parts;
mod since;
mod trend;

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::{Path, Query as Parameters, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use self::overview::Selection;
use self::since::Since;
use super::State;
use crate::clock;
use crate::model::{EventKind, Refusal, Timestamp};
use crate::sink::Snapshot;

/// Seconds from one look to the next, for a page left open on a wall without scripts.
const REFRESH: u32 = 30;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// `/`
pub(super) async fn overview(
    Shared(state): Shared<State>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let (selection, snapshot) = (Selection::read(&parameters), state.board.snapshot());
    let since = Since::read(&parameters, &snapshot);
    sealed(StatusCode::OK, &overview::render(&snapshot, &selection, since, clock::now()))
}

/// `/caches/{name}`
pub(super) async fn cache(
    Shared(state): Shared<State>,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let (snapshot, now) = (state.board.snapshot(), clock::now());
    let since = Since::read(&parameters, &snapshot);
    match snapshot.caches.get(name.as_str()) {
        Some(watched) => sealed(StatusCode::OK, &cache::render(&snapshot, watched, since, now)),
        None => sealed(StatusCode::NOT_FOUND, &cache::render_missing(&snapshot, now)),
    }
}

/// `/assets/page.css`
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// `/assets/page.js`
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `/assets/icon.svg`
pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A page may run the one script, which may ask the daemon that sent it and nobody else.
fn sealed(status: StatusCode, page: &Markup) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                          base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    (status, policy, Html(page.0.clone())).into_response()
}

/// A page as it is at `now`.
struct Document<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    /// From when on the one who asks knows it: what it has anyway is left out.
    since: Option<Since>,
    /// What the tab says.
    title: &'a str,
    class: &'a str,
    /// Where the same stands for machines.
    json: &'a str,
}

impl Document<'_> {
    /// What every page has around what it shows; without a main part where nothing in it has changed.
    fn render(&self, top: &Markup, main: Option<&Markup>) -> Markup {
        let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let known = Since::of(self.snapshot, self.now);
        let is_whole = self.since.is_none();
        html! {
            (DOCTYPE)
            html lang="en" data-build=(build()) data-since=(known) data-kinds=[is_whole.then(|| kinds.join(" "))] {
                head {
                    meta charset="utf-8";
                    title { (self.title) " · cachewatch" }
                    @if is_whole { (head()) }
                }
                body {
                    @if is_whole {
                        (parts::symbols())
                        a.skip href="#main" { "Skip to content" }
                    }
                    header.top {
                        (top)
                        div.live {
                            p #live {}
                            p.quiet { "as of " time #asof data-live datetime=(self.now) { (parts::utc(self.now)) } }
                        }
                    }
                    @if is_whole {
                        p #lost .notice hidden role="alert" {}
                    }
                    @if let Some(main) = main { main #main class=(self.class) tabindex="-1" data-keyed { (main) } }
                    @if is_whole { (self.foot()) }
                }
            }
        }
    }

    fn foot(&self) -> Markup {
        html! {
            p.hidden #said role="status" {}
            footer.quiet {
                p { "Seen from this machine. Times are UTC." noscript { " Reloads every " (REFRESH) " s." } }
                nav aria-label="The same for machines" {
                    a href=(self.json) { "this as JSON" } " "
                    a href="/metrics" { "metrics" } " "
                    a href="/healthz" { "health" }
                }
            }
        }
    }
}

/// What a page is to be shown with.
fn head() -> Markup {
    html! {
        meta name="viewport" content="width=device-width, initial-scale=1";
        noscript { meta http-equiv="refresh" content=(REFRESH); }
        link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
        link rel="stylesheet" href="/assets/page.css";
        script src="/assets/page.js" defer {}
    }
}

/// Changes with everything that a page left open would miss: the script and the style it was loaded with.
fn build() -> String {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), STYLE, SCRIPT).hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

/// A new configuration that was refused: what is shown is not what its author expects.
fn refused(snapshot: &Snapshot, now: Timestamp) -> Markup {
    let Some(Refusal { at, problems }) = &snapshot.configuration.refused else { return Markup::default() };
    let body = html! {
        h2 { (parts::mark("risk")) " The new configuration was refused" }
        p { "Since " (parts::moment(*at)) ", " (parts::ago(*at, now)) ". The older one stays in use." }
        ul { @for problem in problems { li { code { (problem.as_str()) } } } }
    };
    parts::versioned("section", "refused", "notice", &body)
}

#[cfg(test)]
mod tests;
