//! The long run: schedule → probe → dispatch → sinks, until told to stop.
//!
//! Three loops, each of which owns its state, so that nothing is locked: the schedule starts probes, dispatch judges what
//! they saw and tells the sinks, and [`run`] itself answers signals, reloads and the init system.

mod dispatch;
mod machine;
mod reload;
mod schedule;
mod systemd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::dispatch::Dispatch;
use self::reload::Reloader;
use self::schedule::Schedule;
use crate::clock;
use crate::config::{Config, Inputs};
use crate::http::{self, Guard, GuardError};
use crate::model::{Event, EventKind};
use crate::probe::Prober;
use crate::sink::{self, Board, Metrics, Pulse};

/// How long a loop may stand still before `/livez` and the watchdog call the daemon dead. Each turns once a second.
const STANDSTILL: Duration = Duration::from_secs(15);

/// Reports that may wait for dispatch, and its hints for the schedule; when dispatch cannot keep up, the schedule waits for
/// it, and never the other way round.
const QUEUE: usize = 256;

/// Why the daemon could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address to listen on cannot be had.
    #[error(
        "cannot listen on {address}: {source}; another process may hold the port: `ss -ltnp`, or set server.listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file that guards the HTTP server cannot be used.
    #[error("{0}")]
    Guard(#[from] GuardError),
    /// The operating system refused something a daemon needs.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// What says that the daemon should stop; every loop looks at a copy.
type Stop = watch::Receiver<bool>;

/// Runs until SIGTERM or SIGINT, then drains and returns.
///
/// `config` is what `inputs` gave; a reload reads `inputs` again.
///
/// # Errors
/// Where the address is taken, or the operating system refuses; before any probe is started.
pub async fn run(inputs: Inputs, config: Config) -> Result<(), StartError> {
    // First of all: a second copy must fail at once, and not after it has probed beside the first.
    let address = config.server.listen;
    let guard = Arc::new(Guard::load(&config.server)?);
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let mut terminate = Terminate::new()?;
    let mut hang_up = signal(SignalKind::hangup())?;

    let metrics = Arc::new(Metrics::new(crate::VERSION, crate::REVISION));
    let board = Arc::new(Board::new());
    let pulse = Arc::new(Pulse::new());
    let (stop, stopped) = watch::channel(false);
    let config = Arc::new(config);

    let (observations, observed) = mpsc::channel(QUEUE);
    let prober = Arc::new(Prober::new(&config.system));
    let (hints, hinted) = mpsc::channel(QUEUE);
    let (schedule, plan) =
        Schedule::new(prober, observations, hinted, Arc::clone(&metrics), Arc::clone(&pulse), &config);
    let (accepts, accepted) = mpsc::channel(4);
    let (dispatch, caches) =
        Dispatch::new(observed, hints, accepted, Arc::clone(&metrics), Arc::clone(&board), Arc::clone(&pulse));
    let (requests, mut requested) = mpsc::channel(4);
    let state = http::State {
        board: Arc::clone(&board),
        metrics: Arc::clone(&metrics),
        pulse: Arc::clone(&pulse),
        standstill: STANDSTILL,
        reload: requests,
        accept: accepts,
    };
    let notices = guard.notices(address);
    let (machine_metrics, machine_board) = (Arc::clone(&metrics), Arc::clone(&board));
    let mut reloader = Reloader::new(inputs, Arc::clone(&config), caches, plan, metrics, board);

    let dispatching = tokio::spawn(dispatch.run());
    reloader.apply_first().await;
    let scheduling = tokio::spawn(schedule.run(stopped.clone()));
    let serving =
        tokio::spawn(http::serve(listener, state, guard, config.server.max_connections, until(stopped.clone())));

    tracing::info!(%address, caches = config.caches.len(), version = crate::VERSION, "listening");
    for notice in config.notices.iter().chain(&notices) {
        tracing::warn!("{notice}");
    }
    sink::log_event(&Event::new(clock::now(), None, EventKind::Started));
    systemd::ready(config.caches.len());
    let machine = tokio::spawn(machine::watch(machine_metrics, machine_board));
    let watchdog = systemd::watchdog(Arc::clone(&pulse), STANDSTILL);

    loop {
        tokio::select! {
            () = terminate.asked() => break,
            _ = hang_up.recv() => {
                // The log tells the outcome to whoever sent the signal.
                let _ = reloader.reload("SIGHUP").await;
            }
            Some(answer) = requested.recv() => {
                let outcome = reloader.reload("POST /-/reload").await;
                // Who asked may have gone; the reload stands all the same.
                let _ = answer.send(outcome);
            }
            () = reloader.file_changed() => {
                let _ = reloader.reload("file changed").await;
            }
        }
    }

    let grace = reloader.config().server.shutdown_grace;
    tracing::info!(grace_seconds = grace.as_secs_f64(), "stopping: no new probes, the running ones may end");
    sink::log_event(&Event::new(clock::now(), None, EventKind::Stopping));
    systemd::stopping();
    // Everybody who looks has a receiver of its own; that nobody looks any more is no error.
    let _ = stop.send(true);
    drop(reloader);
    // Whoever has asked for a reload learns that there will be none.
    drop(requested);
    let drained = async {
        report("the schedule", scheduling).await;
        report("dispatch", dispatching).await;
        report("the HTTP server", serving).await;
    };
    tokio::select! {
        () = drained => tracing::info!("stopped"),
        () = tokio::time::sleep(grace) => tracing::warn!("stopped; what was still running after the grace period is cut off"),
        () = terminate.asked() => tracing::warn!("stopped at once, at a second signal"),
    }
    machine.abort();
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    Ok(())
}

/// Waits for a loop to end, and says so if it broke.
async fn report<T>(what: &str, task: JoinHandle<T>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "{what} broke");
    }
}

/// Completes when the daemon should stop.
async fn until(mut stop: Stop) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Completes at SIGTERM or SIGINT.
struct Terminate {
    terminate: Signal,
    interrupt: Signal,
}

impl Terminate {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
