//! The daemon while it runs, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::error::RunError;
use super::sinks::Sinks;
use super::stop::Terminate;
use super::systemd;
use super::tasks::Tasks;
use crate::clock;
use crate::config::Config;
use crate::model::{Event, EventKind};
use crate::sink::Loop;

/// How long a loop may stand still before `/livez` and the watchdog call the daemon dead. Each turns once a second.
pub(super) const STANDSTILL: Duration = Duration::from_secs(15);

/// How often a loop turns at least.
const TURN: Duration = Duration::from_secs(1);

/// How long the end waits for the last events to be written.
const JOURNAL_CLOSES: Duration = Duration::from_secs(3);

/// The loops that run, and what ends them.
pub(super) struct Running {
    pub(super) sinks: Sinks,
    /// The configuration in use.
    pub(super) config: watch::Receiver<Arc<Config>>,
    /// Says to every loop that it should stop.
    pub(super) stop: watch::Sender<bool>,
    /// Loops that have work to end when the daemon stops.
    pub(super) workers: Tasks,
    /// Loops that have none.
    pub(super) watchers: Tasks,
}

impl Running {
    /// Looks after the loops, and tells where the daemon did not run for a time; ends where one of them does.
    pub(super) async fn supervise(&mut self) -> RunError {
        let chronicle = &self.sinks.chronicle;
        let mut seconds = interval(TURN);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turned = clock::since_boot();
        loop {
            self.sinks.pulse.turned(Loop::Main);
            let reason = tokio::select! {
                reason = self.workers.ended() => reason,
                reason = self.watchers.ended() => reason,
                () = chronicle.journal().ended() => "the journal loop has ended".to_owned(),
                _ = seconds.tick() => {
                    let before = std::mem::replace(&mut turned, clock::since_boot());
                    if let Some(event) = resumed(turned.saturating_sub(before)) {
                        chronicle.tell(&[event]);
                    }
                    continue;
                }
            };
            return RunError::Ended { reason };
        }
    }

    /// Lets the loops end, for as long as the configuration gives them; at another signal at once.
    pub(super) async fn stop(mut self, outcome: &Result<(), RunError>, terminate: &mut Terminate) {
        let chronicle = &self.sinks.chronicle;
        let grace = self.config.borrow().server.shutdown_grace;
        let stopping = Event::new(clock::now(), None, EventKind::Stopping);
        match outcome {
            Ok(()) => {
                tracing::info!(target: "cachewatch::daemon", grace_seconds = grace.as_secs_f64(),
                    "stopping: no new probes, the running ones may end"
                );
                chronicle.tell(&[stopping]);
            }
            Err(error) => {
                // The log is told by the caller, past every filter.
                chronicle.tell(&[stopping.evidence(&error.to_string())]);
            }
        }
        systemd::stopping();
        // Every loop has a receiver of its own; that none is left is no error.
        let _ = self.stop.send(true);
        let drained = async {
            // With it go the ways to the other loops; a request for a reload learns that there will be none.
            self.watchers.abort().await;
            self.workers.drained().await;
        };
        tokio::select! {
            () = drained => tracing::info!(target: "cachewatch::daemon", "stopped"),
            () = tokio::time::sleep(grace) => {
                tracing::warn!(target: "cachewatch::daemon", "stopped; what was still running after the grace period is cut off");
            }
            () = terminate.asked() => tracing::warn!(target: "cachewatch::daemon", "stopped at once, at a second signal"),
        }
        chronicle.journal().close(JOURNAL_CLOSES).await;
    }
}

/// That the daemon did not run for so long, where that is more than a busy machine explains.
fn resumed(gap: Duration) -> Option<Event> {
    if gap < STANDSTILL {
        return None;
    }
    let (now, lasted) = (clock::now(), Duration::from_secs(gap.as_secs()));
    let event = Event::new(now, None, EventKind::Resumed)
        .now(&format!("not watched for {}", humantime::format_duration(lasted)))
        .unwatched(now.minus(gap), "the daemon did not run")
        .evidence("its process was stopped, or its machine was suspended or overloaded");
    Some(Event { lasted: Some(gap), ..event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_a_busy_machine_explains_is_no_event() {
        assert_eq!(resumed(STANDSTILL.saturating_sub(Duration::from_millis(1))), None);
        let event = resumed(Duration::from_secs(125)).expect("more than a busy machine explains");
        assert_eq!((event.kind, event.lasted), (EventKind::Resumed, Some(Duration::from_secs(125))));
        assert!(event.after.is_some_and(|words| words.as_str() == "not watched for 2m 5s"));
        assert!(event.evidence[0].as_str().starts_with("not watched from "), "{:?}", event.evidence);
    }
}
