//! Looks at this machine from time to time, and tells the sinks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::judge;
use crate::model::{CacheName, Event, EventKind, Finding, WireText};
use crate::probe;
use crate::sink::journal::State;
use crate::sink::{Board, Chronicle, Metrics};

/// Settings change by hand: looking once a minute sees it soon enough.
const LOOK: Duration = Duration::from_mins(1);

/// Looks until it is dropped. `left` is what an earlier run left to be known: what was open then has not opened now.
pub(super) async fn watch(metrics: Arc<Metrics>, board: Arc<Board>, chronicle: Chronicle, left: Option<State>) {
    let mut looks = tokio::time::interval(LOOK);
    let mut open: Option<Finding> = left.and_then(|left| serde_json::from_str(&left.memento).ok()).flatten();
    loop {
        looks.tick().await;
        let at = clock::now();
        let settings = probe::tcp_settings(Path::new("/proc"));
        let now = judge::tcp_tuning(&settings, at, open.as_ref());
        if let Some(kind) = change(open.as_ref(), now.as_ref()) {
            let about = now.as_ref().or(open.as_ref());
            let event = Event {
                finding: about.map(|finding| finding.id),
                severity: about.map(|finding| finding.severity),
                after: about.map(|finding| WireText::new(&finding.summary)),
                ..Event::new(at, None, kind)
            };
            // Where it is not taken, the next run says it once more.
            let _ = chronicle.tell_of(&[event], &[], state(now.as_ref()));
        }
        open = now;
        board.machine(open.clone().into_iter().collect());
        metrics.machine(&settings);
    }
}

/// What the journal keeps of this machine.
fn state(open: Option<&Finding>) -> Option<State> {
    let memento = serde_json::to_string(&open).ok()?;
    Some(State { cache: CacheName::new(CacheName::MACHINE), host: String::new(), port: 0, memento })
}

fn change(before: Option<&Finding>, now: Option<&Finding>) -> Option<EventKind> {
    match (before, now) {
        (None, Some(_)) => Some(EventKind::FindingOpened),
        (Some(_), None) => Some(EventKind::FindingCleared),
        _ => None,
    }
}
