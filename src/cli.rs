//! The command line: its commands and the exit code.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use crate::commands::Exit;
use crate::commands::{baseline, check, complain, config, events, explain, health, run};

const AFTER_HELP: &str = "Files: without --config or CACHEWATCH_CONFIG, every command reads \
                          /etc/cachewatch/cachewatch.toml and conf.d/*.toml beside it. `run` with a HOST, or with \
                          CACHEWATCH_TARGETS, does not read it. If the file cannot be read or is invalid, `check \
                          HOST.DOMAIN` prints a note and continues without it.

Exit codes: 0 healthy · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 unknown (bad usage, bad configuration, no resolver)";

/// Monitor the path from this machine to Azure Redis caches, and explain failures
#[derive(Debug, Parser)]
#[command(name = "cachewatch", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check caches once: print each stage, the verdict and what to do
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Run the daemon: watch caches, serve metrics, health and a status page
    #[command(after_help = run::EXAMPLES)]
    Run(run::Arguments),
    /// Show what changed and how long each state lasted
    #[command(after_help = events::EXAMPLES)]
    Events(events::Arguments),
    /// Show the health of a running daemon or of its caches
    #[command(after_help = health::EXAMPLES)]
    Health(health::Arguments),
    /// Explain a finding and what to run; without an id, list all findings
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Arguments),
    /// Manage the accepted DNS baseline of a running daemon
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// Validate or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// The command line as it is defined, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the arguments name, and returns its exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let parsed = without_empty_variables(Cli::command()).try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Unknown } else { Exit::Well };
            // Where neither help nor complaint can be written, the exit code still tells.
            let _ = error.print();
            return exit;
        }
    };
    let outcome = match cli.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Events(arguments) => events::run(arguments),
        Command::Health(arguments) => health::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Baseline(command) => baseline::run(command),
        Command::Config(command) => config::run(command),
    };
    outcome.unwrap_or_else(|complaint| {
        complain(&complaint);
        Exit::Unknown
    })
}

/// An environment variable that is set and empty counts as not set: templates of containers leave such behind.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FindingId;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_shell_completes_findings() {
        // fish is given no positional values by clap_complete 4.6.
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "cachewatch", &mut script);
            let script = String::from_utf8(script).unwrap();
            for id in FindingId::ALL {
                assert!(script.contains(id.as_str()), "{shell}: {id}");
            }
        }
    }
}
