//! `cachewatch run`: the daemon.

use std::path::{Path, PathBuf};

use clap::Args;

use super::options::{Files, INSTALLED, TargetOptions, files_of};
use super::terminal::{Exit, LAST_WORDS, runtime, start_log_of_daemon};
use crate::config::{self, Inputs};
use crate::daemon;

pub(crate) const EXAMPLES: &str = "Examples:
  cachewatch run --config /etc/cachewatch/cachewatch.toml
  cachewatch run orders.redis.cache.windows.net --expect private
  CACHEWATCH_TARGETS=orders.redis.cache.windows.net,carts.redis.cache.windows.net cachewatch run

While it runs: http://127.0.0.1:9847/ is the status page, /metrics is for Prometheus, /healthz for the readiness of an \
application.
SIGHUP reloads the configuration. SIGTERM lets running probes end, then exits with 0. Exit code 3: the daemon cannot start, \
or one of its loops ended.";

/// What to watch.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to watch
    #[arg(
        value_name = "TARGET",
        env = "CACHEWATCH_TARGETS",
        value_delimiter = ',',
        help = "HOST[:PORT] to watch in addition to the configured caches; enough for a sidecar"
    )]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// TLS and users in the web configuration format of Prometheus exporters, instead of [server.tls]
    #[arg(long = "web.config.file", value_name = "FILE", env = "CACHEWATCH_WEB_CONFIG_FILE")]
    web_config_file: Option<PathBuf>,
    #[command(flatten)]
    options: Box<TargetOptions>,
}

/// Watches until it is told to stop.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, String> {
    let Arguments { targets, files, web_config_file, options } = arguments;
    let targets = targets.iter().filter(|text| !text.trim().is_empty());
    let targets = targets.map(|text| options.target(text.trim())).collect::<Result<Vec<_>, _>>()?;
    options.complain_if_idle(targets.len());
    // A sidecar is told all it needs; the machine's own service is another one.
    let files = if targets.is_empty() { files.or(Path::new(INSTALLED)) } else { files.config };
    let inputs = Inputs { web_config_file, ..Inputs::new(files, targets) };
    let config = config::load(&inputs).map_err(|problems| problems.to_string())?;
    if config.caches.is_empty() {
        return Err(match files_of(&config) {
            Some(files) => {
                format!("nothing to watch: add a cache to {files} ([[caches]]), give HOST[:PORT], or set CACHEWATCH_TARGETS")
            }
            None => {
                "nothing to watch: give HOST[:PORT], set CACHEWATCH_TARGETS, or give --config FILE with [[caches]] in it"
                    .to_owned()
            }
        });
    }
    let log = start_log_of_daemon(&config.log.level, config.log.format)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(daemon::run(inputs, config, &log));
    // What the grace period cut off must not hold up the exit.
    runtime.shutdown_background();
    if let Err(error) = &outcome {
        // Standard error may be what nothing reads any more.
        log.say(&error.to_string());
    }
    log.flush(LAST_WORDS);
    Ok(if outcome.is_ok() { Exit::Well } else { Exit::Unknown })
}
