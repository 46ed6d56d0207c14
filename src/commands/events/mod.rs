//! `cachewatch events`: what changed.

mod durations;
mod history;
mod remote;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;

use self::history::{Asked, History};
use super::options::{DaemonOptions, Files, Format, SERVER, address_of, load_files, refuse_what_is_no_name};
use super::terminal::{Exit, runtime, style, write_out};
use crate::api;
use crate::client::Client;
use crate::clock;
use crate::model::{CacheName, EventKind, Timestamp};

pub(crate) const EXAMPLES: &str = "Examples:
  cachewatch events
  cachewatch events --since 90d --cache orders --kind addresses_changed
  cachewatch events --journal /var/lib/cachewatch/journal.db --since 2026-11-21T12:00:00Z --format json
  cachewatch events --server https://cachewatch.example:9847 --user ops --password-file ops.txt

The journal file can be read whether or not the daemon runs. Without a file, or with --server, this command asks the daemon.
All times are UTC. Exit codes: 0 printed · 3 the journal cannot be read, or the daemon does not answer";

/// What to tell, and where it is kept.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Start: how long ago, such as 24h or 90d, or a time, such as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "WHEN", default_value = "24h", value_parser = moment)]
    since: Timestamp,
    /// End, in the same form
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,
    /// Show only events of this cache
    #[arg(long, value_name = "NAME")]
    cache: Option<String>,
    /// Show only events of this kind, such as `addresses_changed`
    #[arg(long, value_name = "KIND", value_parser = event_kind)]
    kind: Option<EventKind>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Read this journal file; default: the journal of the configuration, and without one, the daemon
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    daemon: Box<DaemonOptions>,
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::said(text, clock::now()).ok_or(Timestamp::NOT_SAID)
}

fn event_kind(text: &str) -> Result<EventKind, String> {
    EventKind::parse(text).ok_or_else(|| format!("not one of {}", api::events::kinds()))
}

/// Reads or asks, and prints.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, String> {
    let Arguments { since, until, cache, kind, format, journal, files, daemon } = arguments;
    let asked = Asked { since, until, cache: cache.as_deref().map(CacheName::new), kind };
    if asked.until.is_some_and(|until| until <= asked.since) {
        return Err("--until is not later than --since, so there is no time between them".to_owned());
    }
    let history = history(asked, journal.as_deref(), files, &daemon)?;
    write_out(|out| match format {
        Format::Text => text::print(out, &history, style()),
        Format::Json => history::print_json(out, &history),
    })?;
    Ok(Exit::Well)
}

/// What happened, from wherever it is kept.
fn history(asked: Asked, journal: Option<&Path>, files: Files, daemon: &DaemonOptions) -> Result<History, String> {
    let read = |path: &Path, asked| history::read(path, asked, clock::now()).map_err(|error| error.to_string());
    match journal {
        // A variable may stand there for other commands; what is written here wins.
        Some(_) if daemon.server.is_some() && daemon.server != std::env::var(SERVER).ok() => {
            return Err("--journal reads a file and --server asks a daemon: give only one of them".to_owned());
        }
        Some(journal) => return read(journal, asked),
        None if daemon.server.is_some() => return ask_the_daemon(asked, &daemon.client(files)?),
        None => {}
    }
    let config = load_files(files)?;
    if let Some(journal) = config.journal.file() {
        return read(&journal, asked);
    }
    let client = address_of(&config.server).and_then(|server| daemon.client_at(server, None));
    client.and_then(|client| ask_the_daemon(asked, &client)).map_err(|words| {
        format!(
            "{words}; no journal is configured, so this command asked the daemon; to read a file, give --journal FILE, \
             or set journal.path in the configuration (--config FILE)"
        )
    })
}

/// What happened, where no file here keeps it.
fn ask_the_daemon(asked: Asked, client: &Client) -> Result<History, String> {
    if let Some(cache) = &asked.cache {
        refuse_what_is_no_name(cache.as_str())?;
    }
    let runtime = runtime()?;
    remote::ask(client.server(), asked, clock::now(), |path| runtime.block_on(client.get(path)))
}
