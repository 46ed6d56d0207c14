//! What every page has around what it shows.

use maud::{DOCTYPE, Markup, html};

use super::since::RevisionToken;
use super::{assets, components};
use crate::model::{EventKind, Refusal, Timestamp};
use crate::sink::Snapshot;

/// Seconds from one look to the next, for a page left open on a wall without scripts.
const REFRESH: u32 = 30;

/// A page as it is at `now`.
pub(super) struct PageDocument<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Timestamp,
    /// What the page in the browser has already: it is left out.
    pub(super) since: Option<RevisionToken>,
    /// What the tab says.
    pub(super) title: &'a str,
    pub(super) class: &'a str,
    /// Where the same stands for machines.
    pub(super) json: &'a str,
}

impl PageDocument<'_> {
    /// What every page has around what it shows; without a main part where nothing in it has changed.
    pub(super) fn render(&self, top: &Markup, main: Option<&Markup>) -> Markup {
        let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let known = RevisionToken::of(self.snapshot, self.now);
        let is_whole = self.since.is_none();
        html! {
            (DOCTYPE)
            html lang="en" data-build=(assets::build()) data-since=(known) data-kinds=[is_whole.then(|| kinds.join(" "))] {
                head {
                    meta charset="utf-8";
                    title { (self.title) " · cachewatch" }
                    @if is_whole { (head()) }
                }
                body {
                    @if is_whole {
                        (components::symbols())
                        a.skip href="#main" { "Skip to content" }
                    }
                    header.top {
                        (top)
                        div.live {
                            p #live {}
                            p.quiet { "as of " time #asof data-live datetime=(self.now) { (components::utc(self.now)) } }
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
                nav aria-label="Machine-readable" {
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

/// A new configuration that was refused: what is shown is not what its author expects.
pub(super) fn refused(snapshot: &Snapshot, now: Timestamp) -> Markup {
    let Some(Refusal { at, problems }) = &snapshot.configuration.refused else { return Markup::default() };
    let body = html! {
        h2 { (components::mark("risk")) " The new configuration was refused" }
        p { "RevisionToken " (components::moment(*at)) ", " (components::ago(*at, now)) ". The older one stays in use." }
        ul { @for problem in problems { li { code { (problem.as_str()) } } } }
    };
    components::versioned("section", "refused", "notice", &body)
}
