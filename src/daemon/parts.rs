//! The daemon, built from its parts and then started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use super::dispatch::Dispatch;
use super::error::RunError;
use super::journal::{self, Left};
use super::reload::{self, Others, Reloader};
use super::running::{Running, STANDSTILL};
use super::schedule::Schedule;
use super::sinks::Sinks;
use super::stop::{Stop, until};
use super::tasks::Tasks;
use super::{machine, systemd};
use crate::clock;
use crate::config::{Config, Inputs, Server};
use crate::file;
use crate::http::{self, Guard, Reload};
use crate::probe::Prober;
use crate::sink::journal::{Run, State};
use crate::sink::{Board, Chronicle, LogOutput, Loop, Metrics, Pulse};

/// Reports that may wait for dispatch, and its hints for the schedule; when dispatch cannot keep up, the schedule waits for
/// it, and never the other way round.
const QUEUE: usize = 256;

/// Requests over HTTP that may wait for the loop which answers them.
const REQUESTS: usize = 4;

/// Where the daemon listens, and what guards it.
pub(super) struct Listening {
    guard: Arc<Guard>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// # Errors
    /// Where a file that guards the daemon cannot be used, or the address cannot be had.
    pub(super) async fn new(server: &Server) -> Result<Self, RunError> {
        let address = server.listen;
        let guard = Arc::new(Guard::load(server)?);
        let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
        let address = listener.local_addr()?;
        Ok(Self { guard, listener, address })
    }
}

/// All loops with the ways between them; none runs yet.
pub(super) struct Parts {
    sinks: Sinks,
    config: watch::Receiver<Arc<Config>>,
    dispatch: Dispatch,
    schedule: Schedule,
    http: http::AppState,
    reloader: Reloader,
    /// Requests to read the configuration again.
    requested: mpsc::Receiver<Reload>,
    stop: watch::Sender<bool>,
    stopped: Stop,
    last_run: Option<Run>,
    journal_file: Option<PathBuf>,
    /// What an earlier run knew of this machine.
    machine: Option<State>,
}

impl Parts {
    /// # Errors
    /// Where the operating system gives no thread to the journal.
    pub(super) async fn build(inputs: Inputs, config: Config, log: &LogOutput) -> Result<Self, RunError> {
        let metrics = Arc::new(Metrics::new(crate::VERSION, crate::REVISION));
        log.count_in(Arc::clone(&metrics));
        let pulse = Arc::new(Pulse::new());
        let (journal, mut left) = journal::open(&config, Arc::clone(&metrics), Arc::clone(&pulse)).await?;
        let machine = left.take_machine();
        let chronicle = Chronicle::new(journal.clone());
        let sinks = Sinks { metrics, board: Arc::new(Board::new()), pulse, chronicle };
        let Left { recovered, late } = left;
        let last_run = recovered.last_run;

        let (configs, config) = watch::channel(Arc::new(config));
        let in_use = Arc::clone(&config.borrow());
        let (stop, stopped) = watch::channel(false);
        let (sender, observed) = mpsc::channel(QUEUE);
        let (hints, hinted) = mpsc::channel(QUEUE);
        let (accepts, accepted) = mpsc::channel(REQUESTS);
        let (requests, requested) = mpsc::channel(REQUESTS);

        let prober = Arc::new(Prober::new(&in_use.system));
        // Without a name, all machines are one to the schedule.
        let host = file::read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
        let (metrics, pulse) = (Arc::clone(&sinks.metrics), Arc::clone(&sinks.pulse));
        let (schedule, plans) = Schedule::new(prober, sender, hinted, metrics, pulse, &in_use, &host);
        let (dispatch, caches) = Dispatch::new(observed, hints, accepted, sinks.clone(), recovered, late);
        let reloader = Reloader::new(inputs, configs, Others { caches, plans }, sinks.clone());
        let http = http::AppState {
            board: Arc::clone(&sinks.board),
            metrics: Arc::clone(&sinks.metrics),
            pulse: Arc::clone(&sinks.pulse),
            standstill: STANDSTILL,
            reload: requests,
            accept: accepts,
            journal,
            streams: http::Streams::new(stopped.clone(), in_use.server.max_connections),
        };
        let journal_file = in_use.journal.file();
        Ok(Self {
            sinks,
            config,
            dispatch,
            schedule,
            http,
            reloader,
            requested,
            stop,
            stopped,
            last_run,
            journal_file,
            machine,
        })
    }

    /// Starts every loop: first dispatch, so that it knows each cache before its first report.
    pub(super) async fn start(mut self, Listening { guard, listener, address }: Listening, hang_up: Signal) -> Running {
        let Sinks { metrics, board, pulse, chronicle } = self.sinks.clone();
        let config = Arc::clone(&self.config.borrow());
        // Before all that happens in this run.
        chronicle.tell(&[journal::started(clock::now(), self.last_run, self.journal_file.as_deref())]);
        pulse.begin();
        let (mut workers, mut watchers) = (Tasks::default(), Tasks::default());
        workers.spawn(Loop::Dispatch.as_str(), self.dispatch.run());
        self.reloader.apply_first().await;
        workers.spawn(Loop::Schedule.as_str(), self.schedule.run(self.stopped.clone()));
        let notices = guard.notices(address);
        let serving = http::serve(listener, self.http, guard, config.server.max_connections, until(self.stopped));
        workers.spawn(Loop::Http.as_str(), serving);

        tracing::info!(target: "cachewatch::daemon", %address, caches = config.caches.len(), version = crate::VERSION, "listening");
        for notice in config.notices.iter().chain(&notices).chain(&config.unreadable_passwords()) {
            tracing::warn!(target: "cachewatch::daemon", "{notice}");
        }
        let mut init = systemd::Init::new(Arc::clone(&board));
        init.ready();
        watchers.spawn("machine", machine::watch(metrics, board, chronicle, self.config.clone(), self.machine));
        watchers.spawn(Loop::Reload.as_str(), reload::run(self.reloader, hang_up, self.requested, init));
        if let Some(watchdog) = systemd::watchdog(pulse, STANDSTILL) {
            watchers.spawn("watchdog", watchdog);
        }
        Running { sinks: self.sinks, config: self.config, stop: self.stop, workers, watchers }
    }
}
