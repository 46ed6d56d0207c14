//! Looks at this machine from time to time, and tells the sinks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::config::Config;
use crate::judge;
use crate::model::{CacheName, Event, EventKind, Finding, Timestamp, WireText};
use crate::probe;
use crate::sink::journal::State;
use crate::sink::{Board, Chronicle, Metrics};

/// Settings change by hand: looking once a minute sees it soon enough.
const LOOK: Duration = Duration::from_mins(1);

/// Looks until it is dropped. `left` is what an earlier run left to be known: what was open then has not opened now.
pub(super) async fn watch(
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    chronicle: Chronicle,
    configs: watch::Receiver<Arc<Config>>,
    left: Option<State>,
) {
    let mut looks = tokio::time::interval(LOOK);
    let mut tuning: Option<Finding> = left.and_then(|left| serde_json::from_str(&left.memento).ok()).flatten();
    let mut skipping: Option<Finding> = None;
    let mut counted = (0, 0);
    loop {
        looks.tick().await;
        let at = clock::now();
        let settings = probe::tcp_settings(Path::new("/proc"));
        let now = judge::tcp_tuning(&settings, at, tuning.as_ref());
        if let Some(event) = change(tuning.as_ref(), now.as_ref(), at) {
            // Where it is not taken, the next run says it once more.
            let _ = chronicle.tell_of(&[event], now.as_slice(), state(now.as_ref()));
        }
        tuning = now;
        let total = metrics.probes_started_and_skipped();
        let since = (total.0 - counted.0, total.1 - counted.1);
        counted = total;
        let max_in_flight = configs.borrow().probe.max_in_flight;
        let now = judge::probes_skipped(since, max_in_flight, at, skipping.as_ref());
        if let Some(event) = change(skipping.as_ref(), now.as_ref(), at) {
            let _ = chronicle.tell_of(&[event], now.as_slice(), None);
        }
        skipping = now;
        board.machine(skipping.iter().chain(&tuning).cloned().collect());
        metrics.machine(&settings);
    }
}

/// What the journal keeps of this machine.
fn state(open: Option<&Finding>) -> Option<State> {
    let memento = serde_json::to_string(&open).ok()?;
    Some(State { cache: CacheName::new(CacheName::MACHINE), host: String::new(), port: 0, memento })
}

/// That a finding has opened or cleared.
fn change(before: Option<&Finding>, now: Option<&Finding>, at: Timestamp) -> Option<Event> {
    let (kind, about) = match (before, now) {
        (None, Some(now)) => (EventKind::FindingOpened, now),
        (Some(before), None) => (EventKind::FindingCleared, before),
        _ => return None,
    };
    let (finding, severity) = (Some(about.id), Some(about.severity));
    Some(Event { finding, severity, after: Some(WireText::new(&about.summary)), ..Event::new(at, None, kind) })
}
