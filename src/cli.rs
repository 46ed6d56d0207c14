//! The command line: what was asked, who does it, and the exit code.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::check::{self, Checked};
use crate::client::{self, Client};
use crate::clock;
use crate::config::{self, Config, Inputs, LogFormat, Server, Target};
use crate::daemon;
use crate::events::{self, Asked, History};
use crate::explain;
use crate::file;
use crate::http::Guard;
use crate::judge;
use crate::model::{
    Cache, CacheName, Event, EventKind, FindingId, Password, Resolver, Secret, Severity, Standing, Timestamp, WireText,
};
use crate::sink::{LogOutput, Refusal};
use crate::style::Style;

/// The environment variable that says where a running daemon is.
const SERVER: &str = "CACHEWATCH_SERVER";

/// The environment variable that holds the password for a running daemon.
const SERVER_PASSWORD: &str = "CACHEWATCH_SERVER_PASSWORD";

/// The environment variable that holds the password for bare hosts.
const PASSWORD: &str = "CACHEWATCH_PASSWORD";

/// The configuration of an installed package, which is read where nobody names another.
const INSTALLED: &str = "/etc/cachewatch/cachewatch.toml";

/// How long the end of the daemon waits for its last words to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the exit code of every command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: well; for `run`, stopped as asked.
    Well = 0,
    /// 1: findings of severity 3 or 4.
    Risk = 1,
    /// 2: findings of severity 1 or 2.
    Ill = 2,
    /// 3: could not tell: bad usage, bad configuration, no resolver at all.
    Unknown = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

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
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// What to check
        #[arg(
            value_name = "TARGET",
            help = "A configured cache's name, or HOST[:PORT], which needs no configuration; none: every configured cache"
        )]
        targets: Vec<String>,
        #[command(flatten)]
        files: Files,
        /// How to print
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        #[command(flatten)]
        options: Box<TargetOptions>,
    },
    /// Watch all the time: metrics, health, status page, until SIGTERM
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        /// What to watch
        #[arg(
            value_name = "TARGET",
            env = "CACHEWATCH_TARGETS",
            value_delimiter = ',',
            help = "HOST[:PORT] to watch beside the configured caches; a sidecar needs nothing else"
        )]
        targets: Vec<String>,
        #[command(flatten)]
        files: Files,
        /// TLS and users in the format that Prometheus' exporters share, in place of [server.tls]
        #[arg(long = "web.config.file", value_name = "FILE", env = "CACHEWATCH_WEB_CONFIG_FILE")]
        web_config_file: Option<PathBuf>,
        #[command(flatten)]
        options: Box<TargetOptions>,
    },
    /// Tell what changed, and for how long it was so, from the journal or a running daemon
    #[command(after_help = EVENTS_EXAMPLES)]
    Events {
        /// From when on: how long ago, such as 24h or 90d, or a time, such as 2026-11-21T12:00:00Z
        #[arg(long, value_name = "WHEN", default_value = "24h", value_parser = moment)]
        since: Timestamp,
        /// Until when, in the same words
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        until: Option<Timestamp>,
        /// Only what happened at this cache
        #[arg(long, value_name = "NAME")]
        cache: Option<String>,
        /// Only what is of this kind, such as `addresses_changed`
        #[arg(long, value_name = "KIND", value_parser = event_kind)]
        kind: Option<EventKind>,
        /// How to print
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// The journal, in place of a daemon; default: the one of the configuration, and where it has none, the daemon
        #[arg(long, value_name = "FILE")]
        journal: Option<PathBuf>,
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        daemon: Box<DaemonOptions>,
    },
    /// Ask a running daemon whether it is alive, or how the caches are
    #[command(after_help = HEALTH_EXAMPLES)]
    Health {
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
    },
    /// Tell what a finding means, how it is told apart, what to run; without an id, list them all
    #[command(
        after_help = "Examples:\n  cachewatch explain dns-zone-not-linked\n  cachewatch explain\n  cachewatch explain --format markdown > docs/findings.md"
    )]
    Explain {
        /// The id of a finding, such as tcp-filtered
        #[arg(value_name = "FINDING", value_parser = FindingWord, hide_possible_values = true)]
        id: Option<String>,
        /// How to print
        #[arg(long, value_enum, default_value = "text")]
        format: ExplainFormat,
    },
    /// Ask a running daemon about the addresses it takes for right
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Validate or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum BaselineCommand {
    /// Declare that what a cache's resolvers answered last is right from now on
    #[command(after_help = BASELINE_EXAMPLES)]
    Accept {
        /// The name of the cache, as the daemon knows it
        #[arg(value_name = "NAME")]
        name: String,
        /// The file that holds the token, where the daemon has `server.admin_token_file`
        #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_TOKEN_FILE")]
        token_file: Option<PathBuf>,
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        daemon: Box<DaemonOptions>,
    },
}

/// How a running daemon is reached. The password itself is never an option.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the running daemon is reached")]
struct DaemonOptions {
    /// Where it is; default: server.listen of the configuration, on this machine
    #[arg(long, value_name = "URL", env = SERVER)]
    server: Option<String>,
    /// The user, where it asks for one
    #[arg(long, value_name = "NAME", env = "CACHEWATCH_SERVER_USER")]
    user: Option<String>,
    /// The file that holds the user's password; the variable `CACHEWATCH_SERVER_PASSWORD` may hold it instead
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// Roots to trust, PEM; default: the platform's
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate to show, PEM, where it asks for one
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_CLIENT_CERT", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_CLIENT_KEY", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Load everything and print every problem, each with its file and line
    #[command(after_help = "Example:\n  cachewatch config check --config /etc/cachewatch/cachewatch.toml")]
    Check(Files),
    /// Print the effective configuration; a secret is never part of it
    #[command(
        after_help = "Example:\n  CACHEWATCH__PROBE__INTERVAL=10s cachewatch config show --config cachewatch.toml"
    )]
    Show(Files),
}

const CHECK_EXAMPLES: &str = "Examples:
  cachewatch check orders.redis.cache.windows.net
  cachewatch check orders.redis.cache.windows.net --expect private --password-file /run/secrets/orders
  cachewatch check orders.westeurope.redis.azure.net:10000 --resolver 168.63.129.16 --format json
  cachewatch check orders.redis.cache.windows.net --resolver system --resolver system-2 --resolver tls://1.1.1.1
  cachewatch check
  cachewatch check orders

Exit codes: 0 well · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 could not tell";

const RUN_EXAMPLES: &str = "Examples:
  cachewatch run --config /etc/cachewatch/cachewatch.toml
  cachewatch run orders.redis.cache.windows.net --expect private
  CACHEWATCH_TARGETS=orders.redis.cache.windows.net,carts.redis.cache.windows.net cachewatch run

Then: http://127.0.0.1:9847/ for people, /metrics for Prometheus, /healthz for an application's readiness.
SIGHUP reloads, SIGTERM drains and exits 0.";

const BASELINE_EXAMPLES: &str = "Examples:
  cachewatch baseline accept orders
  cachewatch baseline accept orders --server https://cachewatch.example:9847 --user ops --password-file ops.txt
  cachewatch baseline accept orders --token-file /etc/cachewatch/token

Exit codes: 0 accepted · 3 not accepted: no daemon, no such cache, not allowed, nothing to accept";

const EVENTS_EXAMPLES: &str = "Examples:
  cachewatch events
  cachewatch events --since 90d --cache orders --kind addresses_changed
  cachewatch events --journal /var/lib/cachewatch/journal.db --since 2026-11-21T12:00:00Z --format json
  cachewatch events --server https://cachewatch.example:9847 --user ops --password-file ops.txt

Where there is a file the daemon may run or not; where there is none, or with --server, the daemon is asked.
All times are UTC. Exit codes: 0 told · 3 the journal cannot be read, or the daemon does not answer";

const HEALTH_EXAMPLES: &str = "Examples:
  cachewatch health --server http://127.0.0.1:9847
  cachewatch health orders
  cachewatch health --caches --server https://cachewatch.example:9847 --user ops --password-file ops.txt

In an image without a shell: HEALTHCHECK CMD [\"cachewatch\", \"health\", \"--server\", \"http://127.0.0.1:9847\"]
With --server no configuration is read.

Exit codes: 0 alive; the caches are well · 1 findings of severity 3–4 · 2 findings of severity 1–2 · 3 not alive, or could \
not tell: no daemon, no such cache, not allowed, or a cache is unknown: not probed yet, or not for too long";

#[derive(Debug, Args)]
struct Files {
    /// A configuration file; may be repeated, later ones win; conf.d/*.toml beside it is read as well; default:
    /// /etc/cachewatch/cachewatch.toml, where it is there
    #[arg(long = "config", value_name = "FILE", env = "CACHEWATCH_CONFIG", value_delimiter = ',')]
    config: Vec<PathBuf>,
}

/// Options for bare hosts. Each has a twin in the environment; the password itself is never an option.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for bare hosts, the same for each of them")]
struct TargetOptions {
    /// The file that holds the password or access key; the variable `CACHEWATCH_PASSWORD` may hold it instead
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// The ACL user; without it the password is sent alone
    #[arg(long, value_name = "NAME", env = "CACHEWATCH_USERNAME")]
    username: Option<String>,
    /// Roots to trust, PEM; default: the platform's
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The name to send and to verify; default: the host
    #[arg(long, value_name = "NAME", env = "CACHEWATCH_SERVER_NAME")]
    server_name: Option<String>,
    /// Speak plain Redis: everything, the password included, can be read on the way
    #[arg(long, env = "CACHEWATCH_NO_TLS", value_parser = clap::builder::BoolishValueParser::new())]
    no_tls: bool,
    /// Where the name should lead: private, public, a network or an address; may be repeated
    #[arg(long, value_name = "WHERE", env = "CACHEWATCH_EXPECT", value_delimiter = ',')]
    expect: Vec<String>,
    /// Whom to ask in place of the system; may be repeated, and the connection follows the first
    #[arg(
        long,
        value_name = "WHOM",
        env = "CACHEWATCH_RESOLVER",
        value_delimiter = ',',
        value_parser = config::resolver,
        help = "Whom to ask: IP[:PORT], tls://IP#NAME, https://IP/PATH#NAME, tcp://IP, system, or system-1 to system-3 for \
                one name server of resolv.conf alone; may be repeated, the connection follows the first"
    )]
    resolver: Vec<Resolver>,
    /// The cache's tier, such as P1 or B10: tells its client limit where the server does not
    #[arg(long, value_name = "TIER", env = "CACHEWATCH_TIER")]
    tier: Option<String>,
    /// The deadline over all stages, such as 10s
    #[arg(long, value_name = "DURATION", env = "CACHEWATCH_TIMEOUT", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Dial another address in place of a resolved one, for tests; shown in every result
    #[arg(long, value_name = "ADDRESS[:PORT]=ADDRESS:PORT")]
    connect_to: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    Text,
    Json,
    Markdown,
}

/// Any word is taken, and a shell completes the ids of findings: what is none is told with the nearest ones.
#[derive(Debug, Clone)]
struct FindingWord;

impl TypedValueParser for FindingWord {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(FindingId::ALL.iter().map(|id| PossibleValue::new(id.as_str()))))
    }
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    let words = "neither how long ago, such as 24h, nor a time, such as 2026-11-21T12:00:00Z";
    Timestamp::said(text, clock::now()).ok_or(words)
}

fn event_kind(text: &str) -> Result<EventKind, String> {
    let kinds = || EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    EventKind::parse(text).ok_or_else(|| format!("not one of {}", kinds()))
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
        Command::Check { targets, files, format, options } => check_command(&targets, files, format, &options),
        Command::Run { targets, files, web_config_file, options } => {
            run_command(&targets, files, web_config_file, &options)
        }
        Command::Events { since, until, cache, kind, format, journal, files, daemon } => {
            let asked = Asked { since, until, cache: cache.as_deref().map(CacheName::new), kind };
            let is_empty = asked.until.is_some_and(|until| until <= asked.since);
            if is_empty {
                Err("--until is not later than --since, so there is no time between them".to_owned())
            } else {
                events_command(asked, format, journal.as_deref(), files, &daemon)
            }
        }
        Command::Health { cache, caches, timeout, files, daemon } => {
            let client = daemon.client(files).map(|client| client.within(timeout));
            client.and_then(|client| health_command(&client, cache.as_deref(), caches))
        }
        Command::Explain { id, format } => explain_command(id.as_deref(), format),
        Command::Baseline(BaselineCommand::Accept { name, token_file, files, daemon }) => {
            baseline_accept(&name, token_file.as_deref(), files, &daemon)
        }
        Command::Config(ConfigCommand::Check(files)) => config_check(files),
        Command::Config(ConfigCommand::Show(files)) => config_show(files),
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

/// Tells a person what is wrong, on standard error.
fn complain(words: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{words}");
}

/// Writes to standard output. A reader that has gone, as in `cachewatch check | head -1`, is no error.
fn write_out(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write the result: {error}")),
        _ => Ok(()),
    }
}

impl TargetOptions {
    /// Says that the options change nothing, where any was given and there is no bare host to apply them to.
    fn complain_if_idle(&self, bare_hosts: usize) {
        let given = [
            self.password_file.is_some(),
            self.username.is_some(),
            self.ca_file.is_some(),
            self.server_name.is_some(),
            self.no_tls,
            !self.expect.is_empty(),
            !self.resolver.is_empty(),
            self.tier.is_some(),
            self.timeout.is_some(),
            !self.connect_to.is_empty(),
        ];
        if bare_hosts == 0 && given.contains(&true) {
            complain(
                "note: options such as --expect and --password-file are for a bare HOST[:PORT], and none was given; \
                 configured caches keep theirs in the configuration",
            );
        }
    }

    /// A bare host with these options.
    fn target(&self, text: &str) -> Result<Target, String> {
        let target = Target::parse(text).map_err(|problem| problem.to_string())?;
        let password = match &self.password_file {
            Some(file) => Some(Password::File(file.clone())),
            None => std::env::var_os(PASSWORD).map(|_| Password::Environment(PASSWORD.to_owned())),
        };
        Ok(Target {
            username: self.username.clone(),
            password,
            ca_file: self.ca_file.clone(),
            server_name: self.server_name.clone(),
            tls: !self.no_tls,
            expect: self.expect.clone(),
            resolvers: self.resolver.clone(),
            tier: self.tier.clone(),
            timeout: self.timeout,
            connect_to: self.connect_to.clone(),
            ..target
        })
    }
}

impl Files {
    /// The files that are named; where none is, the installed one, if it is there.
    fn or(self, installed: &Path) -> Vec<PathBuf> {
        let is_absent = || fs::metadata(installed).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if self.config.is_empty() && !is_absent() { vec![installed.to_owned()] } else { self.config }
    }
}

/// The configuration that names are looked up in, and its files. One that nobody asked for does not keep a host from being
/// checked: where it cannot be used, the host is checked without, and the second part says why.
fn known_to(names: &[String], files: Files, installed: &Path) -> Result<(Config, Option<String>), String> {
    let is_asked_for = !files.config.is_empty();
    let load = |files| config::load(&Inputs::new(files, Vec::new()));
    match load(files.or(installed)) {
        Ok(config) => Ok((config, None)),
        Err(problems) if !is_asked_for && !names.is_empty() && names.iter().all(|name| is_host(name)) => {
            let config = load(Vec::new()).map_err(|problems| problems.to_string())?;
            let note = problems
                .iter()
                .next()
                .map(|problem| format!("note: {} cannot be used, and is done without: {problem}", installed.display()));
            Ok((config, note))
        }
        Err(problems) => Err(problems.to_string()),
    }
}

/// Whether a target can only be a host, or a name that looks like one.
fn is_host(target: &str) -> bool {
    target.contains(['.', ':']) || target.eq_ignore_ascii_case("localhost")
}

/// The configuration files that were read, such as `a.toml and b.toml`.
fn files_of(config: &Config) -> Option<String> {
    let files = config.files.iter().filter(|path| !path.ends_with("conf.d")).map(|path| path.display().to_string());
    Some(files.collect::<Vec<_>>().join(" and ")).filter(|files| !files.is_empty())
}

fn check_command(names: &[String], files: Files, format: Format, options: &TargetOptions) -> Result<Exit, String> {
    let (configured, note) = known_to(names, files, Path::new(INSTALLED))?;
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
            Some(files) => format!("nothing to check: name a cache in {files} ([[caches]]), or give HOST[:PORT]"),
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
        "no cache of that name is configured in {files} ({}), and `{name}` is no host name with a domain; give HOST.DOMAIN or \
         HOST:PORT",
        there_are(&configured.caches.iter().map(|cache| cache.name.as_str()).collect::<Vec<_>>(), name)
    ))
}

/// Such as `there are: orders, carts; did you mean orders?`.
fn there_are(names: &[&str], wanted: &str) -> String {
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, wanted);
    let nearest = names.iter().min_by_key(distance).filter(|name| distance(name) <= 2);
    let meant = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    match names {
        [] => "there is none".to_owned(),
        names => format!("there are: {}{meant}", names.join(", ")),
    }
}

async fn print_checks(config: &Config, caches: Vec<Arc<Cache>>, format: Format) -> Result<Exit, String> {
    let style = style();
    let checked = check::check(config, caches).await;
    write_out(|out| match format {
        Format::Text => checked.iter().try_for_each(|checked| check::print(out, checked, style)),
        Format::Json => check::print_json(out, &checked),
    })?;
    Ok(exit_of(&checked.iter().map(Checked::standing).collect::<Vec<_>>()))
}

/// The worst that is known; what could not be told comes before what is only a risk.
fn exit_of(standings: &[Standing]) -> Exit {
    if standings.contains(&Standing::Ill) {
        Exit::Ill
    } else if standings.contains(&Standing::Unknown) {
        Exit::Unknown
    } else if standings.contains(&Standing::AtRisk) {
        Exit::Risk
    } else {
        Exit::Well
    }
}

/// Colour for a terminal that can show it, unless its owner says no (no-color.org); its width where it has one.
fn style() -> Style {
    let is_terminal = io::stdout().is_terminal();
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    Style { colour: is_terminal && !refused && !dumb, width: width.filter(|_| is_terminal) }
}

fn run_command(
    targets: &[String],
    files: Files,
    web_config_file: Option<PathBuf>,
    options: &TargetOptions,
) -> Result<Exit, String> {
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
                format!("nothing to watch: name a cache in {files} ([[caches]]), give HOST[:PORT], or set CACHEWATCH_TARGETS")
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

fn events_command(
    asked: Asked,
    format: Format,
    journal: Option<&Path>,
    files: Files,
    daemon: &DaemonOptions,
) -> Result<Exit, String> {
    let history = history(asked, journal, files, daemon)?;
    write_out(|out| match format {
        Format::Text => events::print(out, &history, style()),
        Format::Json => events::print_json(out, &history),
    })?;
    Ok(Exit::Well)
}

/// What happened, from wherever it is kept.
fn history(asked: Asked, journal: Option<&Path>, files: Files, daemon: &DaemonOptions) -> Result<History, String> {
    let read = |path: &Path, asked| events::read(path, asked, clock::now()).map_err(|error| error.to_string());
    match journal {
        // A variable may stand there for other commands; what is written here wins.
        Some(_) if daemon.server.is_some() && daemon.server != std::env::var(SERVER).ok() => {
            return Err("--journal reads a file and --server asks a daemon: give one of them".to_owned());
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
            "{words}; no journal is configured, so the daemon was asked: a file is named with --journal FILE, or by \
             journal.path in the configuration (--config FILE)"
        )
    })
}

/// What happened, where no file here keeps it.
fn ask_the_daemon(asked: Asked, client: &Client) -> Result<History, String> {
    if let Some(cache) = &asked.cache {
        refuse_what_is_no_name(cache.as_str())?;
    }
    let runtime = runtime()?;
    events::ask(client.server(), asked, clock::now(), |path| runtime.block_on(client.get(path)))
}

/// Whether the daemon is alive, or how the caches are.
fn health_command(client: &Client, cache: Option<&str>, caches: bool) -> Result<Exit, String> {
    #[derive(Deserialize)]
    struct Health {
        caches: Vec<CacheHealth>,
        #[serde(default)]
        configuration_refused: Option<Refusal>,
    }
    let path = match cache {
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

fn explain_command(id: Option<&str>, format: ExplainFormat) -> Result<Exit, String> {
    let entries = match id {
        None => judge::CATALOGUE.iter().collect(),
        Some(text) => {
            let id = FindingId::parse(text.trim()).ok_or_else(|| {
                format!(
                    "{text} is no finding; did you mean {}? `cachewatch explain` lists them all",
                    judge::nearest(text).join(", ")
                )
            })?;
            vec![judge::explain(id)]
        }
    };
    write_out(|out| match format {
        ExplainFormat::Text if id.is_none() => explain::list(out, &entries, style()),
        ExplainFormat::Text => entries.iter().try_for_each(|entry| explain::print(out, entry, style())),
        ExplainFormat::Json => explain::print_json(out, &entries),
        ExplainFormat::Markdown => explain::print_markdown(out, &entries),
    })?;
    Ok(Exit::Well)
}

impl DaemonOptions {
    /// A client of the daemon, which is where the configuration says unless an option says otherwise.
    fn client(&self, files: Files) -> Result<Client, String> {
        self.client_at(self.address(files)?, None)
    }

    /// Where the daemon is.
    fn address(&self, files: Files) -> Result<String, String> {
        match &self.server {
            Some(server) => Ok(server.clone()),
            None => address_of(&load_files(files)?.server),
        }
    }

    /// A client of the daemon there, which shows this token where it changes something.
    fn client_at(&self, server: String, token: Option<Secret>) -> Result<Client, String> {
        let login = match (&self.user, self.password()?) {
            (Some(user), Some(password)) => Some((user.clone(), password)),
            (Some(_), None) => {
                return Err(format!("--user needs a password: --password-file FILE, or {SERVER_PASSWORD}"));
            }
            (None, Some(_)) if self.password_file.is_some() => return Err("--password-file needs --user".to_owned()),
            (None, _) => None,
        };
        let secret = match (&login, &token) {
            (Some(_), _) => Some("password"),
            (None, Some(_)) => Some("token"),
            (None, None) => None,
        };
        let identity = self.client_cert.clone().zip(self.client_key.clone());
        let settings = client::Settings { server, login, token, ca_file: self.ca_file.clone(), identity };
        let client = Client::new(&settings).map_err(|error| error.to_string())?;
        if let Some(secret) = secret.filter(|_| client.is_in_the_clear()) {
            complain(&format!(
                "note: the {secret} crosses the network unencrypted; write https:// where the daemon speaks TLS"
            ));
        }
        Ok(client)
    }

    fn password(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_file else {
            return Ok(std::env::var(SERVER_PASSWORD).ok().filter(|password| !password.is_empty()).map(Secret::new));
        };
        secret_of(path).map(Some)
    }
}

/// The secret that a file holds: its text without the end of its line.
fn secret_of(path: &Path) -> Result<Secret, String> {
    let bytes = file::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{}: is not UTF-8 text", path.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Where a daemon with this configuration is reached from this machine.
fn address_of(server: &Server) -> Result<String, String> {
    let mut listen = server.listen;
    if listen.port() == 0 {
        return Err(
            "server.listen takes any free port, so the daemon must be named: --server http://127.0.0.1:PORT".to_owned()
        );
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let scheme = if Guard::speaks_tls(server).map_err(|error| error.to_string())? { "https" } else { "http" };
    Ok(format!("{scheme}://{listen}"))
}

fn baseline_accept(
    name: &str,
    token_file: Option<&Path>,
    files: Files,
    daemon: &DaemonOptions,
) -> Result<Exit, String> {
    #[derive(Deserialize)]
    struct Accepted {
        accepted: Vec<Event>,
    }
    #[derive(Deserialize)]
    struct Known {
        caches: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: WireText,
    }
    refuse_what_is_no_name(name)?;
    let token = token_file.map(secret_of).transpose()?;
    let client = daemon.client_at(daemon.address(files)?, token)?;
    let path = format!("/api/v1/caches/{name}/baseline");
    let runtime = runtime()?;
    let answer = runtime.block_on(client.post(&path)).map_err(|error| error.to_string())?;
    if answer.status == 404
        && let Ok(known) = runtime.block_on(client.get("/api/v1/caches"))
        && let Ok(Known { caches }) = known.json("/api/v1/caches")
    {
        let names: Vec<_> = caches.iter().map(|cache| cache.name.as_str()).collect();
        return Err(format!("no cache named {name}; {}", there_are(&names, name)));
    }
    let Accepted { accepted } = answer.json(&path)?;
    write_out(|out| {
        if accepted.is_empty() {
            writeln!(out, "what the resolvers of {name} answer was accepted before")?;
        }
        accepted.iter().try_for_each(|event| write_accepted(out, name, event))
    })?;
    Ok(Exit::Well)
}

/// A name becomes part of the address that is asked for.
fn refuse_what_is_no_name(name: &str) -> Result<(), String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!("{name:?} is not the name of a cache: letters, digits, `.`, `_` and `-`"));
    }
    Ok(())
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

fn config_check(files: Files) -> Result<Exit, String> {
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
                "the configuration is good, and names no cache: `cachewatch run` would have nothing to watch; name one in \
                 {files} ([[caches]])"
            ),
            None => {
                writeln!(out, "no file is named with --config, and there is no {INSTALLED}: there is nothing to check")
            }
        },
        1 => writeln!(out, "the configuration is good: 1 cache"),
        caches => writeln!(out, "the configuration is good: {caches} caches"),
    })?;
    Ok(Exit::Well)
}

fn config_show(files: Files) -> Result<Exit, String> {
    let config = load_files(files)?;
    write_out(|out| out.write_all(config::show(&config).as_bytes()))?;
    Ok(Exit::Well)
}

fn load_files(files: Files) -> Result<Config, String> {
    config::load(&Inputs::new(files.or(Path::new(INSTALLED)), Vec::new())).map_err(|problems| problems.to_string())
}

/// Logs go to standard error; results have standard output to themselves.
fn start_log(
    level: &str,
    format: LogFormat,
    output: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("log.level: {level}: {error}"))?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(output).with_ansi(colour);
    // The subscriber tells an error of its output on standard error, and panics where that fails too.
    let log = log.log_internal_errors(false);
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| format!("cannot start the log: {error}"))
}

/// The log of a program that runs for months: a target that cannot be written neither holds it up nor ends it, and a panic
/// is a line of the log like any other.
fn start_log_of_daemon(level: &str, format: LogFormat) -> Result<LogOutput, String> {
    let output = LogOutput::to_standard_error(format == LogFormat::Json)
        .map_err(|error| format!("cannot start the log: {error}"))?;
    start_log(level, format, output.clone())?;
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        let is_asked_for = backtrace.status() == BacktraceStatus::Captured;
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place = panic.location().map(tracing::field::display),
            backtrace = is_asked_for.then(|| tracing::field::display(&backtrace)),
            "panicked, which is a defect of cachewatch: {}",
            panic.payload_as_str().unwrap_or("no words")
        );
    }));
    Ok(output)
}

/// Few threads do: a probe waits far more than it works.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn files(named: &[&str]) -> Files {
        Files { config: named.iter().map(PathBuf::from).collect() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_installed_file_is_read_where_none_is_named_and_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let installed = directory.path().join("cachewatch.toml");
        assert_eq!(files(&[]).or(&installed), [""; 0].map(PathBuf::from));
        fs::write(&installed, "").unwrap();
        assert_eq!(files(&[]).or(&installed), std::slice::from_ref(&installed));
        assert_eq!(files(&["own.toml"]).or(&installed), [PathBuf::from("own.toml")]);
        // What is there and cannot be looked at is not passed over.
        fs::remove_file(&installed).unwrap();
        std::os::unix::fs::symlink(&installed, &installed).unwrap();
        assert_eq!(files(&[]).or(&installed), [installed]);
    }

    #[test]
    fn an_installed_file_that_is_wrong_keeps_no_host_from_being_checked() {
        let directory = tempfile::tempdir().unwrap();
        let installed = directory.path().join("cachewatch.toml");
        fs::write(&installed, "[caches").unwrap();
        for hosts in [&["orders.test"][..], &["orders:6380", "localhost"], &["::1"]] {
            let (config, note) = known_to(&names(hosts), files(&[]), &installed).unwrap();
            assert_eq!((config.caches.len(), config.files.len()), (0, 0), "{hosts:?}");
            let note = note.unwrap();
            assert!(note.contains("done without") && note.contains("cachewatch.toml:1"), "{note}");
        }
        // A name is in no other place, and a file that was asked for is needed.
        let named = files(&[&installed.to_string_lossy()]);
        for (targets, files) in [(&["orders"][..], files(&[])), (&[], files(&[])), (&["orders.test"], named)] {
            let words = known_to(&names(targets), files, &installed).unwrap_err();
            assert!(words.contains("cachewatch.toml:1"), "{targets:?}: {words}");
        }
        fs::write(&installed, "[[caches]]\nname = \"orders\"\nhost = \"orders.test\"\n").unwrap();
        let (config, note) = known_to(&names(&["orders"]), files(&[]), &installed).unwrap();
        assert_eq!((config.caches.len(), note), (1, None));
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
