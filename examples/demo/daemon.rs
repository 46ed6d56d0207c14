//! The real daemon, from outside: started as a child, asked over HTTP, ended with its value.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context as _, bail};
use cachewatch::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use testlab::http;

use crate::world::World;

/// The binary that cargo built beside this example.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let here = env::current_exe().context("this program does not know where it stands")?;
    let examples = here.parent().context("an executable lies in a directory")?;
    let binary = examples.with_file_name("cachewatch");
    if !binary.is_file() {
        bail!("{} is missing: run `cargo build --bin cachewatch` first, or `make demo`", binary.display());
    }
    Ok(binary)
}

/// A call of the binary in an environment of its own, so that no variable of this shell changes the story.
pub(crate) fn call(binary: &Path, arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().args(arguments).arg("--config").arg(config).stdin(Stdio::null());
    command
}

/// The running daemon. Dropping it ends it the way an init system would.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// What it says at one moment, in the three places where it can be asked.
#[derive(Debug)]
pub(crate) struct Said {
    /// The status of `/healthz`: 200 or 503.
    pub(crate) status: u16,
    pub(crate) health: Health,
    pub(crate) findings: Vec<Finding>,
    /// The lines of `/metrics`.
    pub(crate) metrics: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    pub(crate) caches: Vec<CacheHealth>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CacheHealth {
    pub(crate) cache: String,
    pub(crate) standing: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Finding {
    pub(crate) cache: String,
    pub(crate) id: String,
    pub(crate) severity: u8,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) remedy: Vec<String>,
}

impl Daemon {
    pub(crate) fn start(binary: &Path, world: &World) -> anyhow::Result<Self> {
        let log = world.log_file();
        let output = File::create(&log).context("cannot write the daemon's log")?;
        let mut command = call(binary, &["run"], &world.config_file());
        let command = command.stdout(Stdio::null()).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { child, address: world.listen(), log })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it says now; `None` while it does not listen yet.
    ///
    /// # Errors
    /// If it has ended, or answers what it should not.
    pub(crate) fn said(&mut self) -> anyhow::Result<Option<Said>> {
        #[derive(Deserialize)]
        struct Findings {
            findings: Vec<Finding>,
        }
        if let Some(status) = self.child.try_wait()? {
            bail!("the daemon has ended ({status})");
        }
        let health = match self.get("/healthz") {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
            answer => answer.context("GET /healthz")?,
        };
        let findings: Findings = parse(&self.get("/api/v1/findings").context("GET /api/v1/findings")?.body)?;
        let metrics = self.get("/metrics").context("GET /metrics")?.body;
        let said = Said { status: health.status, health: parse(&health.body)?, findings: findings.findings, metrics };
        Ok(Some(said))
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 12;
        let log = fs::read_to_string(&self.log).unwrap_or_else(|error| format!("(unreadable: {error})"));
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn get(&self, path: &str) -> io::Result<http::Response> {
        http::get(self.address, path)
    }

    /// Waits for its end, but not for ever.
    fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let watch = Stopwatch::start();
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || watch.elapsed() >= limit {
                return Ok(ended);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its own grace period is 2s. Where it does not keep it, or has ended already, force is no loss.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if !matches!(self.wait(Duration::from_secs(3)), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn parse<T: DeserializeOwned>(body: &str) -> anyhow::Result<T> {
    serde_json::from_str(body).with_context(|| format!("the daemon answered what it should not: {body}"))
}
