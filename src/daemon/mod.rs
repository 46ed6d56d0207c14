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
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::dispatch::{Dispatch, Sinks};
use self::reload::Reloader;
use self::schedule::Schedule;
use crate::clock;
use crate::config::{Config, Inputs};
use crate::file;
use crate::http::{self, Guard, GuardError};
use crate::model::{CacheName, Event, EventKind, Timestamp};
use crate::probe::Prober;
use crate::sink::journal::{Late, Limits, Recovered, Run, Settings, State};
use crate::sink::{Board, Chronicle, Journal, Metrics, Pulse};

/// How long a loop may stand still before `/livez` and the watchdog call the daemon dead. Each turns once a second.
const STANDSTILL: Duration = Duration::from_secs(15);

/// Reports that may wait for dispatch, and its hints for the schedule; when dispatch cannot keep up, the schedule waits for
/// it, and never the other way round.
const QUEUE: usize = 256;

/// How long the start waits for the journal, which is looked through first: a disk that hangs must not keep the daemon from
/// watching.
const JOURNAL_OPENS: Duration = Duration::from_secs(20);

/// How long the end waits for the last events to be written.
const JOURNAL_CLOSES: Duration = Duration::from_secs(3);

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

    let journal_file = config.journal.file();
    let (journal, mut recovered, late) = open_journal(&config, Arc::clone(&metrics)).await?;
    let chronicle = Chronicle::new(journal.clone());
    let last_run = recovered.last_run;
    let of_machine = |state: &State| state.cache.as_str() == CacheName::MACHINE;
    let machine_left = recovered.states.iter().position(of_machine).map(|place| recovered.states.remove(place));

    let (observations, observed) = mpsc::channel(QUEUE);
    let prober = Arc::new(Prober::new(&config.system));
    let (hints, hinted) = mpsc::channel(QUEUE);
    // Without a name, all machines are one to the schedule.
    let machine = file::read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    let (schedule, plan) =
        Schedule::new(prober, observations, hinted, Arc::clone(&metrics), Arc::clone(&pulse), &config, &machine);
    let (accepts, accepted) = mpsc::channel(4);
    let sinks = Sinks {
        metrics: Arc::clone(&metrics),
        board: Arc::clone(&board),
        pulse: Arc::clone(&pulse),
        chronicle: chronicle.clone(),
        late,
    };
    let (dispatch, caches) = Dispatch::new(observed, hints, accepted, sinks, recovered);
    let (requests, mut requested) = mpsc::channel(4);
    let state = http::State {
        board: Arc::clone(&board),
        metrics: Arc::clone(&metrics),
        pulse: Arc::clone(&pulse),
        standstill: STANDSTILL,
        reload: requests,
        accept: accepts,
        journal: journal.clone(),
        streams: http::Streams::new(stopped.clone(), config.server.max_connections),
    };
    let notices = guard.notices(address);
    let (machine_metrics, machine_board, init_board) = (Arc::clone(&metrics), Arc::clone(&board), Arc::clone(&board));
    let mut reloader = Reloader::new(inputs, Arc::clone(&config), caches, plan, metrics, board, chronicle.clone());

    // Before all that happens in this run.
    chronicle.tell(&[started(clock::now(), last_run, journal_file.as_deref())]);
    let dispatching = tokio::spawn(dispatch.run());
    reloader.apply_first().await;
    let scheduling = tokio::spawn(schedule.run(stopped.clone()));
    let serving =
        tokio::spawn(http::serve(listener, state, guard, config.server.max_connections, until(stopped.clone())));

    tracing::info!(%address, caches = config.caches.len(), version = crate::VERSION, "listening");
    for notice in config.notices.iter().chain(&notices).chain(&config.unreadable_passwords()) {
        tracing::warn!("{notice}");
    }
    let mut init = systemd::Init::new(init_board);
    init.ready();
    let machine = tokio::spawn(machine::watch(machine_metrics, machine_board, chronicle.clone(), machine_left));
    let watchdog = systemd::watchdog(Arc::clone(&pulse), STANDSTILL);

    loop {
        let (cause, answer) = tokio::select! {
            () = terminate.asked() => break,
            // The log and the status tell the outcome to whoever sent the signal.
            _ = hang_up.recv() => ("SIGHUP", None),
            Some(answer) = requested.recv() => ("POST /-/reload", Some(answer)),
            () = reloader.file_changed() => ("file changed", None),
            () = init.follow() => continue,
        };
        systemd::reloading();
        let outcome = reloader.reload(cause).await;
        init.ready();
        if let Some(answer) = answer {
            // Who asked may have gone; the reload stands all the same.
            let _ = answer.send(outcome);
        }
    }

    let grace = reloader.config().server.shutdown_grace;
    tracing::info!(grace_seconds = grace.as_secs_f64(), "stopping: no new probes, the running ones may end");
    chronicle.tell(&[Event::new(clock::now(), None, EventKind::Stopping)]);
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
    journal.close(JOURNAL_CLOSES).await;
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    Ok(())
}

/// Opens the journal and reads what the run before this one left.
async fn open_journal(
    config: &Config,
    metrics: Arc<Metrics>,
) -> Result<(Journal, Recovered, mpsc::UnboundedReceiver<Late>), StartError> {
    let path = config.journal.file();
    if path.is_none() {
        tracing::info!("events are kept in memory and are lost at the next start; journal.path keeps them in a file");
    }
    let (journal, recovered) = Journal::start(Settings { path, limits: limits(config) }, metrics)?;
    let late = journal.late();
    let recovered = tokio::time::timeout(JOURNAL_OPENS, recovered).await;
    if recovered.is_err() {
        tracing::warn!("the journal is still not open: watching begins without what it knows of the caches");
    }
    Ok((journal, recovered.ok().and_then(Result::ok).unwrap_or_default(), late))
}

fn limits(config: &Config) -> Limits {
    Limits { retention: config.journal.retention, max_size: config.journal.max_size }
}

/// That the daemon started, and for how long nobody had watched.
fn started(at: Timestamp, last_run: Option<Run>, journal: Option<&Path>) -> Event {
    let event = Event::new(at, None, EventKind::Started).now(&format!("cachewatch {}", crate::VERSION));
    let event = match journal {
        Some(path) => event.evidence(&format!("the journal is {}", path.display())),
        None => event.evidence("events are kept in memory"),
    };
    match last_run {
        Some(run) => run.before(event),
        None => event,
    }
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
