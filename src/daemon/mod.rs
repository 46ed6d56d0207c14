//! The long run: schedule → probe → dispatch → sinks, until told to stop.
//!
//! Loops, each of which owns its state, so that nothing is locked: the schedule starts probes, dispatch judges what they saw
//! and tells the sinks, reload takes new configurations and tells the init system, and [`run`] itself takes signals and looks
//! after the others.
//!
//! Invariant: a loop that ends before it is told to ends the process, with its reason; one that stands still is seen by
//! `/livez` and the watchdog.

mod error;
mod messages;
mod sinks;
mod slots;
mod stop;
mod systemd;
mod tasks;

mod journal;

mod dispatch;
mod machine;
mod reload;
mod schedule;

mod parts;
mod running;

use tokio::signal::unix::{SignalKind, signal};

pub use self::error::RunError;
use self::parts::{Listening, Parts};
use self::stop::Terminate;
use crate::config::{Config, Inputs};
use crate::sink::LogOutput;

/// Runs until SIGTERM or SIGINT, then drains and returns.
///
/// `config` is what `inputs` gave; a reload reads `inputs` again. `log` counts in the daemon's metrics what it loses.
///
/// # Errors
/// Where the address is taken, or the operating system refuses, before any probe is started; later where a loop has ended
/// that must not, and after the others were drained.
pub async fn run(inputs: Inputs, config: Config, log: &LogOutput) -> Result<(), RunError> {
    // First of all: a second copy must fail at once, and not after it has probed beside the first.
    let listening = Listening::new(&config.server).await?;
    let mut terminate = Terminate::new()?;
    let hang_up = signal(SignalKind::hangup())?;

    let parts = Parts::build(inputs, config, log).await?;
    let mut running = parts.start(listening, hang_up).await;
    let outcome = tokio::select! {
        error = running.supervise() => Err(error),
        () = terminate.asked() => Ok(()),
    };
    running.stop(&outcome, &mut terminate).await;
    outcome
}
