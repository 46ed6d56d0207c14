//! `cachewatch health`: whether a running daemon is alive, and how the caches are.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::options::{DaemonOptions, Files, refuse_what_is_no_name};
use super::terminal::{Exit, exit_of, runtime, write_out};
use crate::model::{Refusal, Severity, Standing, Timestamp, WireText};

pub(crate) const EXAMPLES: &str = "Examples:
  cachewatch health --server http://127.0.0.1:9847
  cachewatch health orders
  cachewatch health --caches --server https://cachewatch.example:9847 --user ops --password-file ops.txt

In an image without a shell: HEALTHCHECK CMD [\"cachewatch\", \"health\", \"--server\", \"http://127.0.0.1:9847\"]
With --server no configuration is read.

Exit codes: 0 alive; the caches are well · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 not alive, or could \
not tell: no daemon, no such cache, not allowed, or a cache is unknown: not probed yet, or not for too long";

/// What to ask, and of which daemon.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How this cache is, in place of whether the daemon is alive
    #[arg(value_name = "CACHE")]
    cache: Option<String>,
    /// How all of them are
    #[arg(long, conflicts_with = "cache")]
    caches: bool,
    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    daemon: Box<DaemonOptions>,
}

/// Whether the daemon is alive, or how the caches are.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, String> {
    #[derive(Deserialize)]
    struct Health {
        caches: Vec<CacheHealth>,
        #[serde(default)]
        configuration_refused: Option<Refusal>,
    }
    let Arguments { cache, caches, timeout, files, daemon } = arguments;
    let client = daemon.client(files)?.within(timeout);
    let path = match &cache {
        Some(cache) => {
            refuse_what_is_no_name(cache)?;
            format!("/healthz/{cache}")
        }
        None if caches => "/healthz".to_owned(),
        None => "/livez".to_owned(),
    };
    let url = format!("{}{path}", client.server());
    let runtime = runtime()?;
    let answer = runtime.block_on(client.get(&path));
    // A name server that is still asked for the daemon's address must not hold up the exit.
    runtime.shutdown_background();
    let answer = answer.map_err(|error| error.to_string())?;
    if cache.is_none() && !caches {
        let text = String::from_utf8_lossy(answer.good(&url)?);
        let mut lines = text.lines();
        if lines.next() != Some("alive") {
            return Err(format!("{url}: what answers there is no cachewatch"));
        }
        // A refused configuration stops nothing: the daemon is alive all the same.
        write_out(|out| {
            writeln!(out, "alive")?;
            lines.try_for_each(|line| writeln!(out, "{}", WireText::new(line)))
        })?;
        return Ok(Exit::Well);
    }
    let Health { caches, configuration_refused } = match (answer.status, serde_json::from_slice(&answer.body)) {
        // The same answer, of caches that are not well.
        (503, Ok(health)) => health,
        _ => answer.json(&url)?,
    };
    if caches.is_empty() {
        return Err(format!("{url}: the daemon watches no cache"));
    }
    write_out(|out| {
        caches.iter().try_for_each(|cache| cache.write(out))?;
        let Some(refusal) = &configuration_refused else { return Ok(()) };
        writeln!(out, "{} since {}, the old one stays: {}", Refusal::WORDS, refusal.since(), refusal.reason())
    })?;
    Ok(exit_of(&caches.iter().map(|cache| cache.standing).collect::<Vec<_>>()))
}

/// How a cache is, as the daemon says.
#[derive(Deserialize)]
struct CacheHealth {
    cache: WireText,
    standing: Standing,
    probed_at: Option<Timestamp>,
    findings: Vec<Complaint>,
    #[serde(default)]
    doubts: Vec<Suspicion>,
    #[serde(default)]
    next_probe_at: Option<Timestamp>,
}

/// What was seen and has not been seen often enough to be a finding.
#[derive(Deserialize)]
struct Suspicion {
    finding: WireText,
    stage: WireText,
    bad_rounds: u32,
    open_after: u32,
}

/// An open finding, maybe of a later version than this one.
#[derive(Deserialize)]
struct Complaint {
    finding: WireText,
    severity: Severity,
    stage: WireText,
    summary: WireText,
    since: Timestamp,
}

impl CacheHealth {
    /// A line a finding; one for the cache where there is none, or what is known of it is too old.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { cache, standing, .. } = self;
        if let Some(Suspicion { finding, stage, bad_rounds, open_after }) =
            self.doubts.first().filter(|_| self.findings.is_empty())
        {
            let next = self.next_probe_at.map_or_else(String::new, |at| format!(", the next at {}", at.clock()));
            return writeln!(
                out,
                "{cache}: {standing}, {bad_rounds} of {open_after} bad rounds seen ({stage}: {finding}){next}"
            );
        }
        match (standing, self.probed_at) {
            (Standing::Unknown, Some(at)) => writeln!(out, "{cache}: {standing}, last probed at {at}")?,
            (Standing::Unknown, None) => writeln!(out, "{cache}: {standing}, not probed yet")?,
            _ if self.findings.is_empty() => writeln!(out, "{cache}: {standing}")?,
            _ => {}
        }
        self.findings.iter().try_for_each(|Complaint { finding, severity, stage, summary, since }| {
            writeln!(out, "{cache}: {finding} ({}), {stage}, since {since}: {summary}", severity.meaning())
        })
    }
}
