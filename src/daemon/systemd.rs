//! What is told to the init system. Where no one listens, nothing happens.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::sink::Pulse;

/// The daemon serves.
pub(super) fn ready(caches: usize) {
    let status = format!("watching {caches} caches");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is being read again; `ready` ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the monotonic clock for the init system"),
    }
}

/// The daemon is about to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the watchdog, twice in its period, that the loops still turn; silent when they do not, so that it may restart us.
pub(super) fn watchdog(pulse: Arc<Pulse>, standstill: Duration) -> Option<JoinHandle<()>> {
    let period = sd_notify::watchdog_enabled()?;
    Some(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period / 2);
        loop {
            ticks.tick().await;
            if pulse.is_alive(standstill) {
                tell(&[NotifyState::Watchdog]);
            }
        }
    }))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify the init system");
    }
}
