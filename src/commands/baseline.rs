//! `cachewatch baseline`: the accepted DNS baseline of a running daemon.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;

use super::options::{DaemonOptions, Files, refuse_what_is_no_name, secret_of, there_are};
use super::terminal::{Exit, runtime, write_out};
use crate::api::baseline::{self, Accepted};
use crate::api::caches::{self, CacheListed, Caches};
use crate::model::{Event, EventKind, WireText};

const EXAMPLES: &str = "Examples:
  cachewatch baseline accept orders
  cachewatch baseline accept orders --server https://cachewatch.example:9847 --user ops --password-file ops.txt
  cachewatch baseline accept orders --token-file /etc/cachewatch/token

Exit codes: 0 accepted · 3 not accepted: no daemon, no such cache, access denied, nothing to accept";

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Accept the last DNS answers of a cache as its new baseline
    #[command(after_help = EXAMPLES)]
    Accept {
        /// Name of the cache in the daemon's configuration
        #[arg(value_name = "NAME")]
        name: String,
        /// File with the token, if the daemon has `server.admin_token_file`
        #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_TOKEN_FILE")]
        token_file: Option<PathBuf>,
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        daemon: Box<DaemonOptions>,
    },
}

/// Asks the daemon, and tells what it did.
pub(crate) fn run(command: BaselineCommand) -> Result<Exit, String> {
    let BaselineCommand::Accept { name, token_file, files, daemon } = command;
    let (name, token_file) = (name.as_str(), token_file.as_deref());
    refuse_what_is_no_name(name)?;
    let token = token_file.map(secret_of).transpose()?;
    let client = daemon.client_at(daemon.address(files)?, token)?;
    let path = baseline::path(name);
    let runtime = runtime()?;
    let answer = runtime.block_on(client.post(&path)).map_err(|error| error.to_string())?;
    if answer.status == 404
        && let Ok(known) = runtime.block_on(client.get(caches::PATH))
        && let Ok(Caches::<CacheListed> { caches }) = known.json(caches::PATH)
    {
        let names: Vec<_> = caches.iter().map(|cache| cache.name.as_str()).collect();
        return Err(format!("no cache named {name}; {}", there_are(&names, name)));
    }
    let Accepted { accepted, .. } = answer.json(&path)?;
    write_out(|out| {
        if accepted.is_empty() {
            writeln!(out, "nothing to accept: the resolvers of {name} give answers that are accepted already")?;
        }
        accepted.iter().try_for_each(|event| write_accepted(out, name, event))
    })?;
    Ok(Exit::Well)
}

/// One line on what came of accepting: an accepted answer from → to, or a finding that is open no longer.
fn write_accepted(out: &mut impl Write, name: &str, event: &Event) -> io::Result<()> {
    let side = |words: &Option<WireText>| match words.as_ref().map(WireText::as_str) {
        None | Some("") => "nothing".to_owned(),
        Some(words) => words.to_owned(),
    };
    let resolver = event.resolver.as_ref().map(|resolver| format!(", resolver {resolver}")).unwrap_or_default();
    match (event.kind, event.finding) {
        (EventKind::BaselineAccepted, _) => {
            writeln!(out, "accepted: {name}{resolver}: {} → {}", side(&event.before), side(&event.after))
        }
        (EventKind::FindingCleared, Some(finding)) => writeln!(out, "cleared: {name}: {finding}"),
        (kind, _) => writeln!(out, "{kind}: {name}{resolver}: {}", side(&event.after)),
    }
}
