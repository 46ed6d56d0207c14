//! A log that cannot be written costs lines of the log, and nothing else.
//!
//! `CACHEWATCH_LOG_TRIAL=2m cargo test --test system log::` keeps each target broken for so long; without it, until enough
//! has happened.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    fs::{self, File, OpenOptions},
    io::{PipeReader, Read as _, Write as _, pipe},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testlab::{
    PATIENCE,
    fleet::Fleet,
    http,
    process::{handle_of, wait_for_exit},
    program::{DATELESS, program},
    scrape::Scrape,
};

/// How many probes must end while the log cannot be written.
const PROBES: f64 = 12.0;

/// A daemon that logs all it can to a standard error of the test's choice.
struct Daemon {
    child: Child,
    handle: OwnedFd,
    address: SocketAddr,
    _files: TempDir,
    _lab: Fleet,
}

impl Daemon {
    fn start(standard_error: impl Into<Stdio>) -> Self {
        Self::start_through(&[], standard_error)
    }

    /// The same through another program, to whose arguments the command is appended.
    fn start_through(starter: &[&str], standard_error: impl Into<Stdio>) -> Self {
        let fleet = Fleet::new();
        let files = TempDir::new().unwrap();
        let configuration = files.path().join("config.toml");
        let log = "[log]\nlevel = \"trace\"\nformat = \"json\"\n[server]\nshutdown_grace = \"5s\"\n";
        fs::write(&configuration, log.to_owned() + &fleet.configuration(&["orders"])).unwrap();
        // A log that cannot be read cannot tell a port of the daemon's own choice.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let configuration = configuration.to_string_lossy();
        let words = [starter, &program(), &["run", "--config", &configuration]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().envs(DATELESS).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("CACHEWATCH__SERVER__LISTEN", address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(standard_error);
        let child = command.spawn().unwrap();
        let daemon = Self { handle: handle_of(&child), child, address, _files: files, _lab: fleet };
        daemon.wait_until("the daemon answers", |daemon| http::get(daemon.address, "/livez").ok());
        daemon
    }

    fn wait_until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let watch = Stopwatch::start();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(watch.elapsed() < PATIENCE, "not in time: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn scrape(&self) -> Scrape {
        Scrape::parse(&http::get(self.address, "/metrics").expect("a daemon answers whatever its log does").body)
    }

    /// So many probes of `orders` have ended.
    fn probes(&self) -> f64 {
        self.scrape().value("cachewatch_probes_total", &[("cache", "orders")]).unwrap_or(0.0)
    }

    fn failures_of_the_log(&self) -> f64 {
        self.scrape()
            .value("cachewatch_sink_failures_total", &[("sink", "log")])
            .expect("the series is there from the start")
    }

    /// Probes go on, and every path answers, for as long as the trial takes.
    fn goes_on(&self) {
        let trial = std::env::var("CACHEWATCH_LOG_TRIAL").map_or(Duration::ZERO, |text| humantime(&text));
        let watch = Stopwatch::start();
        loop {
            let before = self.probes();
            self.wait_until("the probes go on", |daemon| (daemon.probes() >= before + PROBES).then_some(()));
            for path in ["/livez", "/readyz", "/healthz", "/api/v1/caches", "/"] {
                assert_eq!(http::get(self.address, path).unwrap().status, 200, "{path}");
            }
            assert_eq!(self.scrape().value("cachewatch_probe_success", &[("cache", "orders")]), Some(1.0));
            if watch.elapsed() >= trial {
                return;
            }
        }
    }

    /// Asks it to stop, as an init system does.
    fn stop(&mut self) -> Option<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_for_exit(&mut self.child, &self.handle, PATIENCE)
    }

    #[track_caller]
    fn stops(&mut self) {
        let status = self.stop().expect("SIGTERM ends the daemon whatever its log does");
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn humantime(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = if unit == "m" { 60 } else { 1 };
    Duration::from_secs(number.parse::<u64>().expect("such as 2m or 30s") * seconds)
}

/// Reads a pipe that nothing read before, to its end.
fn all_of(mut reader: PipeReader) -> String {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The notices of lost lines in a log, as how many lines each says.
#[track_caller]
fn lost_in(log: &str) -> Vec<u64> {
    let notice = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).ok()?;
        let words = record["message"].as_str()?;
        words.contains("log lines were lost").then(|| record["lost"].as_u64().expect("a notice counts"))
    };
    log.lines().filter_map(notice).collect()
}

#[test]
fn a_full_target_silences_nothing() {
    let mut daemon = Daemon::start(OpenOptions::new().write(true).open("/dev/full").unwrap());
    daemon.goes_on();
    daemon.wait_until("failures are counted", |daemon| (daemon.failures_of_the_log() > 0.0).then_some(()));
    daemon.stops();
}

#[test]
fn a_closed_target_silences_nothing() {
    let (reader, writer) = pipe().unwrap();
    let mut daemon = Daemon::start(writer);
    drop(reader);
    daemon.goes_on();
    daemon.wait_until("failures are counted", |daemon| (daemon.failures_of_the_log() > 0.0).then_some(()));
    daemon.stops();
}

#[test]
fn a_stuck_target_silences_nothing_and_is_told_what_it_missed() {
    let (reader, writer) = pipe().unwrap();
    let mut daemon = Daemon::start(writer);
    daemon.goes_on();
    // Until lines are lost: the pipe takes 64 KiB, and so many more may wait.
    daemon.wait_until("lines are lost", |daemon| (daemon.failures_of_the_log() > 0.0).then_some(()));
    let reading = thread::spawn(move || all_of(reader));
    daemon.goes_on();
    daemon.stops();
    let log = reading.join().unwrap();
    let torn: Vec<_> = log.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).collect();
    assert_eq!(torn, [""; 0], "every line is whole");
    assert!(lost_in(&log).iter().sum::<u64>() > 0, "what was lost is told");
    assert!(log.contains("\"message\":\"stopped\""), "the last words are written where they can be");
}

#[test]
fn a_stuck_target_does_not_hold_up_the_end() {
    let (reader, writer) = pipe().unwrap();
    let mut daemon = Daemon::start(writer);
    daemon.wait_until("lines are lost", |daemon| (daemon.failures_of_the_log() > 0.0).then_some(()));
    daemon.stops();
    drop(reader);
}

#[test]
fn a_removed_target_silences_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let mut daemon = Daemon::start(File::create(&path).unwrap());
    fs::remove_file(&path).unwrap();
    daemon.goes_on();
    daemon.stops();
}

#[test]
fn a_slow_target_silences_nothing_and_is_told_what_it_missed() {
    let (mut reader, writer) = pipe().unwrap();
    let mut daemon = Daemon::start(writer);
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let reading = thread::spawn(move || {
        let mut log = Vec::new();
        let mut part = [0; 64];
        loop {
            let length = reader.read(&mut part).unwrap();
            if length == 0 {
                return String::from_utf8_lossy(&log).into_owned();
            }
            log.extend_from_slice(&part[..length]);
            if !over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    daemon.goes_on();
    daemon.wait_until("lines are lost", |daemon| (daemon.failures_of_the_log() > 0.0).then_some(()));
    is_over.store(true, Ordering::SeqCst);
    daemon.goes_on();
    daemon.stops();
    assert!(lost_in(&reading.join().unwrap()).iter().sum::<u64>() > 0, "what was lost is told");
}

/// A real disk that fills up and is made room on again.
#[test]
fn a_full_disk_that_has_room_again_is_told_what_it_missed() {
    const DISK: &str = "mount -t tmpfs -o size=96k none /mnt && exec \"$@\" 2>>/mnt/log";
    let mut daemon = Daemon::start_through(&["unshare", "--mount", "sh", "-euc", DISK, "sh"], Stdio::null());
    let mnt = format!("/proc/{}/root/mnt", daemon.child.id());
    let (log, filler) = (Path::new(&mnt).join("log"), Path::new(&mnt).join("filler"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    daemon.wait_until("failures are counted", |daemon| (daemon.failures_of_the_log() > 0.0).then_some(()));
    daemon.goes_on();
    // Attempts fail from the first; lines are lost once as many wait as may.
    let failures = daemon.failures_of_the_log();
    daemon.wait_until("lines are lost", |daemon| (daemon.failures_of_the_log() > failures + 100.0).then_some(()));
    // Appended to, it can be cut while it is written.
    fs::remove_file(&filler).unwrap();
    let mut told = Vec::new();
    daemon.wait_until("what was lost is told", |_| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        told.extend(lost_in(&text));
        File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
        (!told.is_empty()).then_some(())
    });
    daemon.goes_on();
    daemon.stops();
}
