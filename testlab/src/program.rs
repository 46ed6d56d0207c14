//! The program under test, driven as a person or an init system drives it.

use std::{
    env, fs,
    io::{Read, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    PATIENCE,
    http::{self, Response},
    process::{Process, Unsaid, handle_of, wait_for_exit},
    scrape::Scrape,
};

/// Products come to their end; what a test expects must not depend on the day it runs.
pub const DATELESS: [(&str, &str); 1] = [("CACHEWATCH__THRESHOLDS__RETIREMENT", "1d")];

/// What one call of the program did.
#[derive(Debug)]
pub struct Run {
    /// `None` after a signal.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

impl Run {
    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

/// The program with arguments, in an environment that holds nothing but what the test puts there.
#[track_caller]
pub fn cachewatch(arguments: &[&str]) -> Call {
    let words = [&program()[..], arguments].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear();
    Call { command, input: String::new(), limit: PATIENCE }
}

/// The program that cargo built for the test or the bench that runs.
///
/// # Panics
///
/// Where cargo did not start that: only cargo tells where the program is.
pub fn built() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        env::var("CARGO_BIN_EXE_cachewatch").unwrap_or_else(|_| {
            panic!(
                "CARGO_BIN_EXE_cachewatch is not set: run this by `cargo test`, which sets it and builds the program"
            )
        })
    });
    &PROGRAM
}

/// The program as it is started where its package is not installed: a configuration of this machine is hidden from it.
pub fn program() -> Vec<&'static str> {
    const HIDE: &str = "/bin/mount -t tmpfs none /etc/cachewatch && exec \"$@\"";
    let program = built();
    if Path::new("/etc/cachewatch").exists() {
        vec!["/usr/bin/unshare", "--mount", "/bin/sh", "-euc", HIDE, "sh", program]
    } else {
        vec![program]
    }
}

/// The program on a machine with nothing in /etc but this configuration, where its package puts it.
#[track_caller]
pub fn installed(configuration: &Path, arguments: &[&str]) -> Call {
    const INSTALL: &str = "/bin/mount -t tmpfs none /etc && /bin/mkdir /etc/cachewatch && \
                           /bin/cp \"$0\" /etc/cachewatch/cachewatch.toml && exec \"$@\"";
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-euc", INSTALL]).arg(configuration).arg(built());
    command.args(arguments).env_clear();
    Call { command, input: String::new(), limit: PATIENCE }
}

/// A call about to be made.
#[derive(Debug)]
pub struct Call {
    command: Command,
    input: String,
    limit: Duration,
}

impl Call {
    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads from standard input; without this, nothing.
    pub fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// The longest it may run.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// If it is still running when its time is up, with what it had said.
    #[track_caller]
    pub fn run(mut self) -> Run {
        let command = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cargo has built the program");
        let handle = handle_of(&child);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let (input, limit) = (self.input, self.limit);
        // A program need not read its input.
        let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        let status = wait_for_exit(&mut child, &handle, limit);
        if status.is_none() {
            child.kill().expect("a child of ours can be killed");
            child.wait().expect("a child of ours can be waited for");
        }
        let text = |reader: thread::JoinHandle<String>| reader.join().expect("reading a pipe does not panic");
        let run = Run { code: status.and_then(|status| status.code()), stdout: text(stdout), stderr: text(stderr) };
        writer.join().expect("writing a pipe does not panic");
        assert!(status.is_some(), "still running after {limit:?}: {:?}\n{run:#?}", self.command);
        run
    }
}

const CONFIGURATION: &str = "config.toml";

/// The daemon, in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    address: SocketAddr,
    /// Holds the configuration, if the daemon was started with one.
    directory: Option<TempDir>,
}

impl Daemon {
    /// Starts `cachewatch run` with this configuration on a free port and waits until it listens.
    #[track_caller]
    pub fn start(configuration: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join(CONFIGURATION);
        fs::write(&path, configuration).expect("a temporary directory can be written to");
        let mut daemon = Self::start_with(&["--config", &path.to_string_lossy()], &[]);
        daemon.directory = Some(directory);
        daemon
    }

    /// Starts `cachewatch run` with these arguments and this environment on a free port and waits until it listens.
    #[track_caller]
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_through(&[], arguments, environment)
    }

    /// The same, started by another program: the command that is to be executed is appended to its arguments.
    #[track_caller]
    pub fn start_through(starter: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let words = [starter, &program(), &["run"], arguments].concat();
        let mut command = Command::new(words[0]);
        command
            .env_clear()
            .envs(DATELESS)
            .env("CACHEWATCH__SERVER__LISTEN", "127.0.0.1:0")
            .env("CACHEWATCH__LOG__FORMAT", "json");
        if !starter.is_empty() {
            command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        }
        command.envs(environment.iter().copied()).args(&words[1..]);
        Self::listening(&mut command)
    }

    /// Starts a program that logs the line of a daemon that listens.
    #[track_caller]
    fn listening(command: &mut Command) -> Self {
        let process = Process::spawn(command, "cachewatch");
        let address = |line: &str| {
            let record: Value = serde_json::from_str(line).ok()?;
            let listening = field(&record, "message")? == "listening";
            if listening { field(&record, "address")?.parse().ok() } else { None }
        };
        match process.transcript().wait_for(PATIENCE, address) {
            Ok(address) => Self { process, address, directory: None },
            Err(Unsaid::Ended(output) | Unsaid::Overdue(output)) => panic!("the daemon does not listen:\n{output}"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// GETs a path, and fails the test where no answer comes.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        http::get(self.address, path).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }

    /// POSTs an empty body to a path, and fails the test where no answer comes.
    #[track_caller]
    pub fn post(&self, path: &str) -> Response {
        http::post(self.address, path).unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.log()))
    }

    /// Its metrics as they are now.
    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        Scrape::parse(&self.get("/metrics").body)
    }

    /// Replaces the configuration file, as an editor does, in one step. The daemon is not told.
    #[track_caller]
    pub fn configure(&self, configuration: &str) {
        let directory = self.directory.as_ref().expect("the daemon was started with a configuration").path();
        let draft = directory.join("draft");
        fs::write(&draft, configuration).expect("a temporary directory can be written to");
        fs::rename(&draft, directory.join(CONFIGURATION)).expect("both are in one directory");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end. What it had to say is in [`Daemon::log`].
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let ended = self.process.wait(PATIENCE);
        ended.unwrap_or_else(|| panic!("the daemon still runs:\n{}", self.log()))
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.transcript().lines().join("\n")
    }

    /// Waits for a JSON log record that `pick` takes, in what was or will be logged.
    #[track_caller]
    pub fn wait_for_record<T>(&self, pick: impl FnMut(&Value) -> Option<T>) -> T {
        self.wait_for_record_within(PATIENCE, pick)
    }

    /// The same, with another limit.
    #[track_caller]
    pub fn wait_for_record_within<T>(&self, limit: Duration, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        let picked = self.process.transcript().wait_for(limit, |line| pick(&serde_json::from_str(line).ok()?));
        picked.unwrap_or_else(|unsaid| panic!("no such record: {unsaid:?}"))
    }

    /// Asks again until `look` finds something: for what the daemon shows and does not announce.
    #[track_caller]
    pub fn wait_until<T>(&self, what: &str, look: impl FnMut(&Self) -> Option<T>) -> T {
        self.wait_within(PATIENCE, what, look)
    }

    /// The same, where being late is a failure.
    #[track_caller]
    pub fn wait_within<T>(&self, limit: Duration, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        const PAUSE: Duration = Duration::from_millis(20);
        let watch = Stopwatch::start();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(watch.elapsed() < limit, "not within {limit:?}: {what}\n{}", self.log());
            thread::sleep(PAUSE);
        }
    }

    /// Resident memory in bytes.
    #[track_caller]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    #[track_caller]
    pub fn most_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    #[track_caller]
    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a process has memory");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("the kernel writes a number");
        kibibytes * 1024
    }

    /// Processor time it has used, user and system, all threads, to a hundredth of a second.
    #[track_caller]
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.pid())).expect("the daemon runs");
        // proc_pid_stat(5): the command, which may hold spaces, ends with a parenthesis; utime and stime are 12th and 13th
        // after it.
        let (_, fields) = stat.rsplit_once(") ").expect("a process has a name");
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// How many file descriptors it holds.
    #[track_caller]
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.pid())).expect("the daemon runs").count()
    }
}

/// A field of a log record, flattened or not.
pub fn field<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    record.get(name).or_else(|| record.get("fields")?.get(name))?.as_str()
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Peer, Step};

    #[test]
    fn a_daemon_is_started_read_and_ended() {
        let reply = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\ncachewatch_config_caches 2\n";
        let page = Peer::plain([Step::Hear, Step::say(reply)]);
        let line = format!(r#"{{"fields":{{"message":"listening","address":"{}"}}}}"#, page.address());
        let script = "echo 'not json'; echo \"$1\" >&2; exec cat";
        let mut daemon = Daemon::listening(Command::new("sh").args(["-c", script, "sh", &line]));

        assert_eq!(daemon.address(), page.address());
        assert_eq!(daemon.scrape().value("cachewatch_config_caches", &[]), Some(2.0));
        assert_eq!(daemon.get("/").header("content-type"), Some("text/plain"));
        let polled = daemon.wait_until("three requests", |_| (page.connections() >= 2).then_some(page.connections()));
        assert_eq!(polled, 2);
        assert!(daemon.wait_for_record(|record| field(record, "address").map(str::len)) > 0);
        assert!(daemon.resident_bytes() > 0);
        assert!(daemon.open_files() >= 3);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait().code(), None, "cat does not handle SIGTERM");
    }

    #[test]
    fn a_call_returns_its_code_and_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "cat; echo \"$COLOUR\" >&2; exit 3"]).env_clear();
        let call = Call { command, input: String::new(), limit: PATIENCE };
        let run = call.env("COLOUR", "blue").env("PATH", "/usr/bin:/bin").input("heard").within(PATIENCE).run();
        assert_eq!((run.code, &*run.stdout, &*run.stderr), (Some(3), "heard", "blue\n"));
    }
}
