//! `cachewatch config`: the configuration, checked or shown.

use std::io::Write;

use clap::Subcommand;

use super::options::{Files, INSTALLED, files_of, load_files};
use super::terminal::{Exit, complain, write_out};
use crate::config;
use crate::http::Guard;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate the configuration and print every problem with its file and line
    #[command(after_help = "Example:\n  cachewatch config check --config /etc/cachewatch/cachewatch.toml")]
    Check(Files),
    /// Print the effective configuration, without secrets
    #[command(
        after_help = "Example:\n  CACHEWATCH__PROBE__INTERVAL=10s cachewatch config show --config cachewatch.toml"
    )]
    Show(Files),
}

/// Checks or shows.
pub(crate) fn run(command: ConfigCommand) -> Result<Exit, String> {
    match command {
        ConfigCommand::Check(files) => check(files),
        ConfigCommand::Show(files) => show(files),
    }
}

fn check(files: Files) -> Result<Exit, String> {
    let config = load_files(files)?;
    let guard = Guard::load(&config.server).map_err(|error| error.to_string())?;
    let notices = guard.notices(config.server.listen);
    for notice in config.notices.iter().chain(&notices).chain(&config.unreadable_passwords()) {
        complain(&format!("note: {notice}"));
    }
    if let Some(problem) = config.journal.problem() {
        complain(&format!("note: {problem}"));
    }
    let caches = config.caches.len();
    write_out(|out| match caches {
        0 => match files_of(&config) {
            Some(files) => writeln!(
                out,
                "the configuration is valid and has no cache: `cachewatch run` would have nothing to watch; add one to \
                 {files} ([[caches]])"
            ),
            None => {
                writeln!(out, "nothing to check: --config names no file, and {INSTALLED} does not exist")
            }
        },
        1 => writeln!(out, "the configuration is valid: 1 cache"),
        caches => writeln!(out, "the configuration is valid: {caches} caches"),
    })?;
    Ok(Exit::Well)
}

fn show(files: Files) -> Result<Exit, String> {
    let config = load_files(files)?;
    write_out(|out| out.write_all(config::show(&config).as_bytes()))?;
    Ok(Exit::Well)
}
