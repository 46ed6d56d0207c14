//! The long run: schedule → probe → dispatch → sinks, until told to stop.
//!
//! Loops, each of which owns its state, so that nothing is locked: the schedule starts probes, dispatch judges what they saw
//! and tells the sinks, reload takes new configurations and tells the init system, and [`run`] itself takes signals and looks
//! after the others.
//!
//! Invariant: a loop that ends before it is told to ends the process, with its reason; one that stands still is seen by
//! `/livez` and the watchdog.

mod dispatch;
mod machine;
mod messages;
mod reload;
mod schedule;
mod slots;
mod systemd;

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use self::dispatch::{Dispatch, Sinks};
use self::reload::{Others, Reloader};
use self::schedule::Schedule;
use crate::clock;
use crate::config::{Config, Inputs};
use crate::file;
use crate::http::{self, Guard, GuardError};
use crate::model::{CacheName, Event, EventKind, Timestamp};
use crate::probe::Prober;
use crate::sink::journal::{Late, Limits, Recovered, Run, Settings, State};
use crate::sink::{Board, Chronicle, Journal, LogOutput, Loop, Metrics, Pulse};

/// How long a loop may stand still before `/livez` and the watchdog call the daemon dead. Each turns once a second.
const STANDSTILL: Duration = Duration::from_secs(15);

/// How often a loop turns at least.
const TURN: Duration = Duration::from_secs(1);

/// Reports that may wait for dispatch, and its hints for the schedule; when dispatch cannot keep up, the schedule waits for
/// it, and never the other way round.
const QUEUE: usize = 256;

/// How long the start waits for the journal, which is looked through first: a disk that hangs must not keep the daemon from
/// watching.
const JOURNAL_OPENS: Duration = Duration::from_secs(20);

/// How long the end waits for the last events to be written.
const JOURNAL_CLOSES: Duration = Duration::from_secs(3);

/// Why the daemon could not start, or could not go on.
#[derive(Debug, Error)]
pub enum RunError {
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
    /// A loop has ended that runs until the daemon stops. Without it the rest would show what was seen last, as if it were
    /// so now.
    #[error("{reason}; that is a defect of cachewatch, please report it; the daemon stops, to be started again")]
    Ended {
        /// Which loop, and why.
        reason: String,
    },
}

/// What says that the daemon should stop; every loop looks at a copy.
type Stop = watch::Receiver<bool>;

/// Runs until SIGTERM or SIGINT, then drains and returns.
///
/// `config` is what `inputs` gave; a reload reads `inputs` again. `log` counts in the daemon's metrics what it loses.
///
/// # Errors
/// Where the address is taken, or the operating system refuses, before any probe is started; later where a loop has ended
/// that must not, and after the others were drained.
pub async fn run(inputs: Inputs, config: Config, log: &LogOutput) -> Result<(), RunError> {
    // First of all: a second copy must fail at once, and not after it has probed beside the first.
    let address = config.server.listen;
    let guard = Arc::new(Guard::load(&config.server)?);
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let mut terminate = Terminate::new()?;
    let hang_up = signal(SignalKind::hangup())?;

    let metrics = Arc::new(Metrics::new(crate::VERSION, crate::REVISION));
    log.count_in(Arc::clone(&metrics));
    let board = Arc::new(Board::new());
    let pulse = Arc::new(Pulse::new());
    let (stop, stopped) = watch::channel(false);
    let (configs, config_in_use) = watch::channel(Arc::new(config));
    let config = Arc::clone(&config_in_use.borrow());

    let journal_file = config.journal.file();
    let (journal, mut recovered, late) = open_journal(&config, Arc::clone(&metrics), Arc::clone(&pulse)).await?;
    let chronicle = Chronicle::new(journal.clone());
    let last_run = recovered.last_run;
    let of_machine = |state: &State| state.cache.as_str() == CacheName::MACHINE;
    let machine_left = recovered.states.iter().position(of_machine).map(|place| recovered.states.remove(place));

    let (sender, observed) = mpsc::channel(QUEUE);
    let prober = Arc::new(Prober::new(&config.system));
    let (hints, hinted) = mpsc::channel(QUEUE);
    // Without a name, all machines are one to the schedule.
    let machine = file::read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    let (schedule, plan) =
        Schedule::new(prober, sender, hinted, Arc::clone(&metrics), Arc::clone(&pulse), &config, &machine);
    let (accepts, accepted) = mpsc::channel(4);
    let sinks = Sinks {
        metrics: Arc::clone(&metrics),
        board: Arc::clone(&board),
        pulse: Arc::clone(&pulse),
        chronicle: chronicle.clone(),
        late,
    };
    let (dispatch, caches) = Dispatch::new(observed, hints, accepted, sinks, recovered);
    let (requests, requested) = mpsc::channel(4);
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
    let others = Others { caches, plans: plan, pulse: Arc::clone(&pulse) };
    let mut reloader = Reloader::new(inputs, configs, others, metrics, board, chronicle.clone());

    // Before all that happens in this run.
    chronicle.tell(&[started(clock::now(), last_run, journal_file.as_deref())]);
    pulse.begin();
    // Those that have work to end when the daemon stops, and those that have none.
    let (mut workers, mut watchers) = (Tasks::default(), Tasks::default());
    workers.spawn(Loop::Dispatch.as_str(), dispatch.run());
    reloader.apply_first().await;
    workers.spawn(Loop::Schedule.as_str(), schedule.run(stopped.clone()));
    let max_connections = config.server.max_connections;
    workers.spawn(Loop::Http.as_str(), http::serve(listener, state, guard, max_connections, until(stopped.clone())));

    tracing::info!(%address, caches = config.caches.len(), version = crate::VERSION, "listening");
    for notice in config.notices.iter().chain(&notices).chain(&config.unreadable_passwords()) {
        tracing::warn!("{notice}");
    }
    let mut init = systemd::Init::new(init_board);
    init.ready();
    let configs = config_in_use.clone();
    let machine = machine::watch(machine_metrics, machine_board, chronicle.clone(), configs, machine_left);
    watchers.spawn("machine", machine);
    watchers.spawn(Loop::Reload.as_str(), reload::run(reloader, hang_up, requested, init));
    if let Some(watchdog) = systemd::watchdog(Arc::clone(&pulse), STANDSTILL) {
        watchers.spawn("watchdog", watchdog);
    }

    let outcome = tokio::select! {
        outcome = supervise(&mut workers, &mut watchers, &journal, &chronicle, &pulse) => outcome,
        () = terminate.asked() => Ok(()),
    };

    let grace = config_in_use.borrow().server.shutdown_grace;
    let stopping = Event::new(clock::now(), None, EventKind::Stopping);
    match &outcome {
        Ok(()) => {
            tracing::info!(grace_seconds = grace.as_secs_f64(), "stopping: no new probes, the running ones may end");
            chronicle.tell(&[stopping]);
        }
        Err(error) => {
            // The log is told by the caller, past every filter.
            chronicle.tell(&[stopping.evidence(&error.to_string())]);
        }
    }
    systemd::stopping();
    // Everybody who looks has a receiver of its own; that nobody looks any more is no error.
    let _ = stop.send(true);
    let drained = async {
        // With it go the ways to the other loops; a request for a reload learns that there will be none.
        watchers.abort().await;
        workers.drained().await;
    };
    tokio::select! {
        () = drained => tracing::info!("stopped"),
        () = tokio::time::sleep(grace) => tracing::warn!("stopped; what was still running after the grace period is cut off"),
        () = terminate.asked() => tracing::warn!("stopped at once, at a second signal"),
    }
    journal.close(JOURNAL_CLOSES).await;
    outcome
}

/// Looks after the loops, and tells where the daemon did not run for a time; ends where one of them does.
async fn supervise(
    workers: &mut Tasks,
    watchers: &mut Tasks,
    journal: &Journal,
    chronicle: &Chronicle,
    pulse: &Pulse,
) -> Result<(), RunError> {
    let mut seconds = interval(TURN);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turned = clock::since_boot();
    loop {
        pulse.turned(Loop::Main);
        let reason = tokio::select! {
            reason = workers.ended() => reason,
            reason = watchers.ended() => reason,
            () = journal.ended() => "the journal loop has ended".to_owned(),
            _ = seconds.tick() => {
                let before = std::mem::replace(&mut turned, clock::since_boot());
                if let Some(event) = resumed(turned.saturating_sub(before)) {
                    chronicle.tell(&[event]);
                }
                continue;
            }
        };
        return Err(RunError::Ended { reason });
    }
}

/// Tasks that run until the daemon stops, each with its name.
#[derive(Default)]
struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the first one that ends, and says which and why. Safe to drop and to call again.
    async fn ended(&mut self) -> String {
        let (id, reason) = match self.running.join_next_with_id().await {
            None => return pending().await,
            Some(Ok((id, ()))) => (id, "has ended".to_owned()),
            Some(Err(error)) => (error.id(), format!("broke: {}", words_of(error))),
        };
        format!("the {} loop {reason}", self.names.get(&id).unwrap_or(&"unnamed"))
    }

    /// Waits until all have ended, and says so where one breaks.
    async fn drained(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            if let Err(error) = ended {
                let name = self.names.get(&error.id()).copied().unwrap_or("unnamed");
                tracing::error!("the {name} loop broke: {}", words_of(error));
            }
        }
    }

    /// Cuts all of them off, and waits until they are gone.
    async fn abort(&mut self) {
        self.running.shutdown().await;
    }
}

/// What a task said that broke.
fn words_of(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            text.unwrap_or("it panicked without words").to_owned()
        }
        Err(error) => error.to_string(),
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
        .evidence("its process was stopped, its machine was suspended, or had no time for it");
    Some(Event { lasted: Some(gap), ..event })
}

/// Opens the journal and reads what the run before this one left.
async fn open_journal(
    config: &Config,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
) -> Result<(Journal, Recovered, mpsc::UnboundedReceiver<Late>), RunError> {
    let path = config.journal.file();
    if path.is_none() {
        tracing::info!("events are kept in memory and are lost at the next start; journal.path keeps them in a file");
    }
    let (journal, recovered) = Journal::start(Settings { path, limits: limits(config) }, metrics, pulse)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_ends_is_told_with_its_reason() {
        let mut tasks = Tasks::default();
        let asked = tokio::time::timeout(Duration::from_millis(1), tasks.ended());
        assert!(asked.await.is_err(), "nothing runs, so nothing ends");
        tasks.spawn("endless", pending());
        tasks.spawn("quiet", async {});
        assert_eq!(tasks.ended().await, "the quiet loop has ended");
        let count = 7;
        tasks.spawn("loud", async move { panic!("no room for {count}") });
        assert_eq!(tasks.ended().await, "the loud loop broke: no room for 7");
        tasks.spawn("brief", async { panic!("no words") });
        assert_eq!(tasks.ended().await, "the brief loop broke: no words");
        tasks.abort().await;
        assert!(tasks.running.is_empty());
    }

    #[test]
    fn a_pause_that_a_busy_machine_explains_is_no_event() {
        assert_eq!(resumed(STANDSTILL.saturating_sub(Duration::from_millis(1))), None);
        let event = resumed(Duration::from_secs(125)).expect("more than a busy machine explains");
        assert_eq!((event.kind, event.lasted), (EventKind::Resumed, Some(Duration::from_secs(125))));
        assert!(event.after.is_some_and(|words| words.as_str() == "not watched for 2m 5s"));
        assert!(event.evidence[0].as_str().starts_with("not watched from "), "{:?}", event.evidence);
    }
}
