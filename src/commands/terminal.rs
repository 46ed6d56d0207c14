//! What every command does with its terminal, its log and its exit code.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;
use crate::model::Standing;
use crate::sink::LogOutput;
use crate::style::Style;

/// How long the end of a program waits for its last words to be written.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

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

/// The worst that is known; what could not be told comes before what is only a risk.
pub(crate) fn exit_of(standings: &[Standing]) -> Exit {
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

/// Tells a person what is wrong, on standard error.
pub(crate) fn complain(words: &str) {
    // A pipe that nothing reads must not keep the exit code back: the words have a thread, and a second.
    let (done, written) = mpsc::channel();
    let words = words.to_owned();
    let writing = move || {
        // Where standard error is closed there is no place to tell it.
        let _ = writeln!(io::stderr().lock(), "{words}");
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(writing).is_ok() {
        let _ = written.recv_timeout(LAST_WORDS);
    }
}

/// Writes to standard output. A reader that has gone, as in `cachewatch check | head -1`, is no error.
pub(crate) fn write_out(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write the result: {error}")),
        _ => Ok(()),
    }
}

/// Colour where standard output takes it, and the width of its terminal where it is one.
pub(crate) fn style() -> Style {
    let out = io::stdout();
    let width = terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0));
    Style { colour: takes_colour(&out), width: width.filter(|_| out.is_terminal()) }
}

/// The decision of the help texts too: a terminal that can show it, unless its owner says otherwise (`NO_COLOR`, `CLICOLOR`,
/// `CLICOLOR_FORCE`).
fn takes_colour(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Logs go to standard error; results have standard output to themselves.
pub(crate) fn start_log(
    level: &str,
    format: LogFormat,
    output: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("log.level: {level}: {error}"))?;
    let colour = takes_colour(&io::stderr());
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
pub(crate) fn start_log_of_daemon(level: &str, format: LogFormat) -> Result<LogOutput, String> {
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
            panic.payload_as_str().unwrap_or("no message")
        );
    }));
    Ok(output)
}

/// Few threads do: a probe waits far more than it works.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))
}
