//! The command line: what can be asked, who does it, and the exit code.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use crate::commands::Exit;
use crate::commands::{baseline, check, complain, config, events, explain, health, run};

const AFTER_HELP: &str = "Files: /etc/cachewatch/cachewatch.toml, and conf.d/*.toml beside it, is what every command reads \
where neither --config nor CACHEWATCH_CONFIG names a file. `run` with a HOST, also in CACHEWATCH_TARGETS, does without it. \
Where it cannot be read, or is wrong, `check HOST.DOMAIN` says so and goes on without it.

Exit codes: 0 well · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 could not tell \
(bad usage, bad configuration, no resolver at all)";

/// Can an application here reach its Azure Redis cache the way it should, and if not, why?
#[derive(Debug, Parser)]
#[command(name = "cachewatch", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check once and explain: one line a stage, then the verdict and what to do
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Watch all the time: metrics, health, status page, until SIGTERM
    #[command(after_help = run::EXAMPLES)]
    Run(run::Arguments),
    /// Tell what changed, and for how long it was so, from the journal or a running daemon
    #[command(after_help = events::EXAMPLES)]
    Events(events::Arguments),
    /// Ask a running daemon whether it is alive, or how the caches are
    #[command(after_help = health::EXAMPLES)]
    Health(health::Arguments),
    /// Tell what a finding means, how it is told apart, what to run; without an id, list them all
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Arguments),
    /// Ask a running daemon about the addresses it takes for right
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

/// Does what the arguments ask and tells how it went.
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
