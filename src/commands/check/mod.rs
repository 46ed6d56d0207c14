//! `cachewatch check`: one round, told.

mod round;
mod text;

use std::io;
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use self::round::Checked;
use super::options::{Files, Format, INSTALLED, TargetOptions, files_of, is_host, known_to, there_are};
use super::terminal::{Exit, complain, exit_of, runtime, start_log, style, write_out};
use crate::config::{self, Config, Inputs, LogFormat, Target};
use crate::model::Cache;

pub(crate) const EXAMPLES: &str = "Examples:
  cachewatch check orders.redis.cache.windows.net
  cachewatch check orders.redis.cache.windows.net --expect private --password-file /run/secrets/orders
  cachewatch check orders.westeurope.redis.azure.net:10000 --resolver 168.63.129.16 --format json
  cachewatch check orders.redis.cache.windows.net --resolver system --resolver system-2 --resolver tls://1.1.1.1
  cachewatch check
  cachewatch check orders

Exit codes: 0 healthy · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 unknown";

/// What to check, and how to print it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to check
    #[arg(
        value_name = "TARGET",
        help = "Name of a configured cache, or HOST[:PORT], which needs no configuration; default: every configured cache"
    )]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    options: Box<TargetOptions>,
}

/// Checks, prints, and tells how it went.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, String> {
    let Arguments { targets: names, files, format, options } = arguments;
    let (configured, note) = known_to(&names, files, Path::new(INSTALLED))?;
    if let Some(note) = note {
        complain(&note);
    }
    let is_configured = |name: &String| configured.caches.iter().any(|cache| cache.name.as_str() == name);
    let bare: Vec<_> = names.iter().filter(|name| !is_configured(name)).collect();
    options.complain_if_idle(bare.len());
    let targets = bare.iter().map(|name| options.target(name)).collect::<Result<Vec<_>, _>>()?;
    for (name, target) in bare.iter().zip(&targets) {
        refuse_a_lone_word(name, target, &configured)?;
    }
    let own = configured.caches.len();
    let config = if targets.is_empty() {
        configured
    } else {
        let files = configured.files.into_iter().filter(|path| !path.ends_with("conf.d")).collect();
        config::load(&Inputs::new(files, targets)).map_err(|problems| problems.to_string())?
    };
    let (own_ones, bare_ones) = config.caches.split_at(own);
    let is_asked = |cache: &&Arc<Cache>| names.is_empty() || names.iter().any(|name| name == cache.name.as_str());
    let caches: Vec<_> = own_ones.iter().filter(is_asked).chain(bare_ones).cloned().collect();
    if caches.is_empty() {
        return Err(match files_of(&config) {
            Some(files) => format!("nothing to check: add a cache to {files} ([[caches]]), or give HOST[:PORT]"),
            None => "nothing to check: give HOST[:PORT], or --config FILE with [[caches]] in it".to_owned(),
        });
    }
    start_log("error", LogFormat::Text, io::stderr)?;
    let runtime = runtime()?;
    runtime.block_on(print_checks(&config, caches, format))
}

/// A word without a dot and a port is meant to be the name of a cache, and no host, where there is a configuration.
fn refuse_a_lone_word(name: &str, target: &Target, configured: &Config) -> Result<(), String> {
    let Some(files) = files_of(configured) else { return Ok(()) };
    if is_host(&target.host) || target.port.is_some() {
        return Ok(());
    }
    Err(format!(
        "no cache named {name} is configured in {files} ({}), and `{name}` is not a host name with a domain; give \
         HOST.DOMAIN or HOST:PORT",
        there_are(&configured.caches.iter().map(|cache| cache.name.as_str()).collect::<Vec<_>>(), name)
    ))
}

async fn print_checks(config: &Config, caches: Vec<Arc<Cache>>, format: Format) -> Result<Exit, String> {
    let style = style();
    let checked = round::check(config, caches).await;
    write_out(|out| match format {
        Format::Text => checked.iter().try_for_each(|checked| text::print(out, checked, style)),
        Format::Json => round::print_json(out, &checked),
    })?;
    Ok(exit_of(&checked.iter().map(Checked::standing).collect::<Vec<_>>()))
}
