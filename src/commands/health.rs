//! `cachewatch health`: whether a running daemon is alive, and how the caches are.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;

use super::options::{DaemonOptions, Files, refuse_what_is_no_name};
use super::terminal::{Exit, exit_of, runtime, write_out};
use crate::api::health::{CacheHealth, FindingSummary, Health, PendingSummary};
use crate::model::{Refusal, Standing, WireText};

pub(crate) const EXAMPLES: &str = "Examples:
  cachewatch health --server http://127.0.0.1:9847
  cachewatch health orders
  cachewatch health --caches --server https://cachewatch.example:9847 --user ops --password-file ops.txt

In an image without a shell: HEALTHCHECK CMD [\"cachewatch\", \"health\", \"--server\", \"http://127.0.0.1:9847\"]
With --server, no configuration file is read.

Exit codes: 0 alive, or the caches are healthy · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 not alive, or unknown: no daemon, no such cache, access denied, or a cache without a recent probe";

/// What to ask, and of which daemon.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show the health of this cache, instead of whether the daemon is alive
    #[arg(value_name = "CACHE")]
    cache: Option<String>,
    /// Show the health of all caches
    #[arg(long, conflicts_with = "cache")]
    caches: bool,
    /// Longest time to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    daemon: Box<DaemonOptions>,
}

/// Whether the daemon is alive, or how the caches are.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, String> {
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
            return Err(format!("{url}: the server there is not cachewatch"));
        }
        // A refused configuration stops nothing: the daemon is alive all the same.
        write_out(|out| {
            writeln!(out, "alive")?;
            lines.try_for_each(|line| writeln!(out, "{}", WireText::new(line)))
        })?;
        return Ok(Exit::Well);
    }
    let Health { caches, configuration_refused, .. } = match (answer.status, serde_json::from_slice(&answer.body)) {
        // The same answer, of caches that are not well.
        (503, Ok(health)) => health,
        _ => answer.json(&url)?,
    };
    if caches.is_empty() {
        return Err(format!("{url}: the daemon watches no caches"));
    }
    write_out(|out| {
        caches.iter().try_for_each(|cache| write(out, cache))?;
        let Some(refusal) = &configuration_refused else { return Ok(()) };
        writeln!(out, "{} since {}, the old one stays: {}", Refusal::WORDS, refusal.since(), refusal.reason())
    })?;
    Ok(exit_of(&caches.iter().map(|cache| cache.standing).collect::<Vec<_>>()))
}

/// A line a finding; one for the cache where there is none, or what is known of it is too old. All of it comes from
/// another program, and goes to a terminal.
fn write(out: &mut impl Write, health: &CacheHealth<'_>) -> io::Result<()> {
    let CacheHealth { cache, standing, probed_at, findings, pending, next_probe_at } = health;
    let cache = WireText::new(cache);
    let title = standing.title();
    if let Some(PendingSummary { finding, stage, bad_rounds, open_after, .. }) =
        pending.first().filter(|_| findings.is_empty())
    {
        let (finding, stage) = (WireText::new(finding), WireText::new(stage));
        let next = next_probe_at.map_or_else(String::new, |at| format!(", the next at {}", at.clock()));
        return writeln!(
            out,
            "{cache}: {title}, {bad_rounds} of {open_after} bad rounds seen ({stage}: {finding}){next}"
        );
    }
    match (standing, probed_at) {
        (Standing::Unknown, Some(at)) => writeln!(out, "{cache}: {title}, last probed at {at}")?,
        (Standing::Unknown, None) => writeln!(out, "{cache}: {title}, not probed yet")?,
        _ if findings.is_empty() => writeln!(out, "{cache}: {title}")?,
        _ => {}
    }
    findings.iter().try_for_each(|FindingSummary { finding, severity, stage, summary, since }| {
        let [finding, stage, summary] = [finding, stage, summary].map(|words| WireText::new(words));
        writeln!(out, "{cache}: {finding} ({}), {stage}, since {since}: {summary}", severity.meaning())
    })
}
