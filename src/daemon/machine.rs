//! Looks at this machine from time to time, and tells the sinks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::judge;
use crate::model::{Event, EventKind, Finding, WireText};
use crate::probe;
use crate::sink::{self, Board, Metrics};

/// Settings change by hand: looking once a minute sees it soon enough.
const LOOK: Duration = Duration::from_mins(1);

/// Looks until it is dropped.
pub(super) async fn watch(metrics: Arc<Metrics>, board: Arc<Board>) {
    let mut looks = tokio::time::interval(LOOK);
    let mut open: Option<Finding> = None;
    loop {
        looks.tick().await;
        let at = clock::now();
        let settings = probe::tcp_settings(Path::new("/proc"));
        let now = judge::tcp_tuning(&settings, at, open.as_ref());
        if let Some(kind) = change(open.as_ref(), now.as_ref()) {
            let about = now.as_ref().or(open.as_ref());
            sink::log_event(&Event {
                finding: about.map(|finding| finding.id),
                severity: about.map(|finding| finding.severity),
                after: about.map(|finding| WireText::new(&finding.summary)),
                ..Event::new(at, None, kind)
            });
        }
        open = now;
        board.machine(open.clone().into_iter().collect());
        metrics.machine(&settings);
    }
}

fn change(before: Option<&Finding>, now: Option<&Finding>) -> Option<EventKind> {
    match (before, now) {
        (None, Some(_)) => Some(EventKind::FindingOpened),
        (Some(_), None) => Some(EventKind::FindingCleared),
        _ => None,
    }
}
