//! Looks at this machine from time to time, and tells the sinks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::config::Config;
use crate::judge;
use crate::model::{CacheName, Event, EventKind, Finding, FindingId, Timestamp, WireText};
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
    let (mut tuning, mut skipping) = (None, None);
    for finding in left.iter().flat_map(findings_of) {
        match finding.id {
            FindingId::ProbesSkipped => skipping = Some(finding),
            _ => tuning = Some(finding),
        }
    }
    let mut counted = (0, 0);
    loop {
        looks.tick().await;
        let at = clock::now();
        let settings = probe::tcp_settings(Path::new("/proc"));
        let now = judge::tcp_tuning(&settings, at, tuning.as_ref());
        if let Some(event) = change(tuning.as_ref(), now.as_ref(), at) {
            // Where it is not taken, the next run says it once more.
            let _ = chronicle.tell_of(&[event], now.as_slice(), state([now.as_ref(), skipping.as_ref()]));
        }
        tuning = now;
        let total = metrics.probes_started_and_skipped();
        let since = (total.0 - counted.0, total.1 - counted.1);
        counted = total;
        let max_in_flight = configs.borrow().probe.max_in_flight;
        let now = judge::probes_skipped(since, max_in_flight, at, skipping.as_ref());
        if let Some(event) = change(skipping.as_ref(), now.as_ref(), at) {
            let _ = chronicle.tell_of(&[event], now.as_slice(), state([tuning.as_ref(), now.as_ref()]));
        }
        skipping = now;
        board.machine(skipping.iter().chain(&tuning).cloned().collect());
        metrics.machine(&settings);
    }
}

/// What the journal says was open on this machine. An earlier version kept one finding, or null.
pub(super) fn findings_of(left: &State) -> Vec<Finding> {
    let several = serde_json::from_str::<Vec<Option<Finding>>>(&left.memento);
    let open = several.or_else(|_| serde_json::from_str::<Option<Finding>>(&left.memento).map(|one| vec![one]));
    open.unwrap_or_default().into_iter().flatten().collect()
}

/// What the journal keeps of this machine.
fn state(open: [Option<&Finding>; 2]) -> Option<State> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_left_is_read_whatever_its_version() {
        let finding = judge::probes_skipped((1, 1), 64, Timestamp::from_unix_seconds(1_800_000_000), None);
        let two = state([None, finding.as_ref()]).unwrap();
        assert_eq!(findings_of(&two), finding.clone().into_iter().collect::<Vec<_>>());
        let one = State { memento: serde_json::to_string(&finding).unwrap(), ..two };
        assert_eq!(findings_of(&one), finding.into_iter().collect::<Vec<_>>());
        for memento in ["null", "[null,null]", "7", ""] {
            assert_eq!(findings_of(&State { memento: memento.to_owned(), ..one.clone() }), [], "{memento}");
        }
    }
}
