//! The log: one line for a probe or a lookup, one for each thing that happened.

mod output;

use tracing::{debug, info, warn};

pub use self::output::Output;
use crate::model::{Event, EventKind, Finding, LookupReport, ObservationKind, Round, Severity, WireText};

/// Writes one round, at debug level.
pub(super) fn log_round(round: &Round) {
    let seen = &round.seen;
    let fault = seen.fault();
    let message = match seen.kind() {
        ObservationKind::Probe => "probed",
        ObservationKind::Lookup => "looked up",
    };
    debug!(
        cache = %round.cache.name,
        success = seen.probe().map_or(fault.is_none(), |report| report.succeeded()),
        took_seconds = seen.took().as_secs_f64(),
        addresses = seen.lookup().and_then(LookupReport::followed).map_or(0, |followed| followed.addresses.len()),
        stage = fault.map(|fault| fault.stage.as_str()),
        reason = fault.map(|fault| fault.kind.as_str()),
        detail = fault.map(|fault| fault.detail.as_str()),
        "{message}"
    );
}

/// Writes one event, at info or warn, with the words of the finding it is about where that is among the open ones.
pub(super) fn log_event(event: &Event, open: &[Finding]) {
    log(event, open.iter().find(|finding| Some(finding.id) == event.finding));
}

/// The level is part of the event: a finding of severity 1 or 2, and a configuration that was refused, are warnings.
fn log(event: &Event, finding: Option<&Finding>) {
    /// The two calls differ in their level alone, which `tracing` must know when it is compiled.
    macro_rules! write_event {
        ($level:ident) => {
            $level!(
                event = event.kind.as_str(),
                cache = event.cache.as_ref().map(|cache| cache.as_str()),
                finding = event.finding.map(|id| id.as_str()),
                severity = event.severity.map(Severity::number),
                stage = finding.map(|finding| finding.stage.as_str()),
                resolver = event.resolver.as_ref().map(|resolver| resolver.as_str()),
                before = event.before.as_ref().map(WireText::as_str),
                // What a finding says is the line itself.
                after = event.after.as_ref().filter(|_| finding.is_none()).map(WireText::as_str),
                reason = reason(event),
                "{}",
                finding.map_or(event.kind.as_str(), |finding| finding.summary.as_str())
            )
        };
    }
    if is_warning(event) { write_event!(warn) } else { write_event!(info) }
}

/// Why, of what nothing else in the line explains.
fn reason(event: &Event) -> Option<String> {
    let is_bare =
        matches!(event.kind, EventKind::ConfigRejected | EventKind::ClockJumped) && !event.evidence.is_empty();
    is_bare.then(|| event.evidence.iter().map(WireText::as_str).collect::<Vec<_>>().join("; "))
}

fn is_warning(event: &Event) -> bool {
    match event.kind {
        EventKind::FindingOpened | EventKind::FindingChanged => event.severity.is_some_and(Severity::is_serious),
        EventKind::ConfigRejected | EventKind::JournalSetAside | EventKind::Resumed | EventKind::ClockJumped => true,
        EventKind::FindingCleared
        | EventKind::AddressesChanged
        | EventKind::ChainChanged
        | EventKind::CertificateChanged
        | EventKind::BaselineAccepted
        | EventKind::CacheAdded
        | EventKind::CacheRemoved
        | EventKind::ConfigReloaded
        | EventKind::Started
        | EventKind::Stopping => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::super::fixture;
    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What is logged while `act` runs, as JSON, without the times.
    fn logged(act: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_target(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(lines.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_round_is_one_line_and_each_event_another() {
        let cache = fixture::cache("orders");
        let round = fixture::name_not_found(&cache);
        let lines = logged(|| {
            log_round(&round);
            round.events.iter().for_each(|event| log_event(event, &round.verdict.open));
        });
        let probe = json!({
            "level": "DEBUG", "message": "probed", "cache": "orders", "success": false, "took_seconds": 0.002,
            "addresses": 0, "stage": "resolve", "reason": "name_not_found", "detail": "NXDOMAIN",
        });
        let opened = json!({
            "level": "WARN", "message": "orders.redis.cache.windows.net does not exist", "event": "finding_opened",
            "cache": "orders", "finding": "dns-name-not-found", "severity": 1, "stage": "resolve",
        });
        assert_eq!(lines, [probe, opened]);
    }

    #[test]
    fn a_lookup_is_told_apart_from_a_probe() {
        let cache = fixture::cache("orders");
        let lines = logged(|| log_round(&fixture::looked_up(&cache, &["10.20.1.4", "10.20.1.5"])));
        let lookup = json!({
            "level": "DEBUG", "message": "looked up", "cache": "orders", "success": true, "took_seconds": 0.002,
            "addresses": 2,
        });
        assert_eq!(lines, [lookup]);
    }

    #[test]
    fn what_asks_nobody_to_act_is_information() {
        let at = fixture::start();
        let mild = Event { severity: Some(Severity::Advice), ..Event::new(at, None, EventKind::FindingOpened) };
        let moved = Event::new(at, None, EventKind::AddressesChanged).change("10.0.0.4", "10.0.0.5");
        let refused =
            Event::new(at, None, EventKind::ConfigRejected).evidence("a.toml:7: no").evidence("b.toml:1: nor");
        let jumped = Event::new(at, None, EventKind::ClockJumped).change("then", "now").evidence("see timedatectl");
        let lines = logged(|| [mild, moved, refused, jumped].iter().for_each(|event| log_event(event, &[])));
        let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["INFO", "INFO", "WARN", "WARN"]);
        assert_eq!((&lines[1]["before"], &lines[1]["after"]), (&json!("10.0.0.4"), &json!("10.0.0.5")));
        assert_eq!(lines[2]["reason"], "a.toml:7: no; b.toml:1: nor");
        assert_eq!((&lines[3]["message"], &lines[3]["reason"]), (&json!("clock_jumped"), &json!("see timedatectl")));
        assert!(lines[1].get("reason").is_none(), "{}", lines[1]);
    }
}
