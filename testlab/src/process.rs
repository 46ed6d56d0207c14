//! Child processes that are listened to, waited for without polling, and killed by their own handle.

use std::{
    io::{self, BufRead, BufReader, Read},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// A running child. Its output, both streams, is kept line by line; dropping the value kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    handle: OwnedFd,
    transcript: Arc<Transcript>,
}

impl Process {
    /// Starts a program that stands in Debian's `package`.
    ///
    /// # Panics
    ///
    /// If it cannot be started, naming the command that installs it: a test that cannot run has failed.
    #[track_caller]
    pub fn spawn(command: &mut Command, package: &str) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| missing(command, package, &error));
        let handle = handle_of(&child);
        let transcript = Arc::<Transcript>::default();
        transcript.follow(child.stdout.take().expect("stdout is piped"));
        transcript.follow(child.stderr.take().expect("stderr is piped"));
        Self { child, handle, transcript }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child's standard input, once; dropping it closes it.
    pub fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().expect("stdin is taken once")
    }

    /// What it has printed.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Sends a signal; one that comes too late is no error.
    pub fn signal(&self, signal: Signal) {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => panic!("cannot send {signal:?} to {}: {error}", self.pid()),
        }
    }

    /// Waits for the end, and until all it said is in the transcript; `None` if it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let ended = wait_for_exit(&mut self.child, &self.handle, limit)?;
        // The last words of a process are read by another thread, and may come after its end.
        let _ = self.transcript.wait_for(limit, |_| None::<()>);
        Some(ended)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// What a process has said so far, and a way to wait for what it says next.
#[derive(Debug, Default)]
pub struct Transcript {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    open_streams: usize,
}

/// Why a line never came.
#[derive(Debug)]
pub enum Unsaid {
    /// The process closed its output; what it had said is here.
    Ended(String),
    /// The time was up; what it had said is here.
    Overdue(String),
}

impl Transcript {
    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// A place in the transcript, for [`Transcript::wait_from`]: everything said after this call.
    pub fn mark(&self) -> usize {
        self.lock().lines.len()
    }

    /// The first line, said or still to be said, that `pick` takes.
    pub fn wait_for<T>(&self, limit: Duration, pick: impl FnMut(&str) -> Option<T>) -> Result<T, Unsaid> {
        self.wait_from(0, limit, pick)
    }

    /// The same, leaving out what stands before `mark`.
    pub fn wait_from<T>(
        &self,
        mark: usize,
        limit: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, Unsaid> {
        let watch = Stopwatch::start();
        let mut next = mark;
        let mut said = self.lock();
        loop {
            while let Some(line) = said.lines.get(next) {
                next += 1;
                if let Some(found) = pick(line) {
                    return Ok(found);
                }
            }
            if said.open_streams == 0 {
                return Err(Unsaid::Ended(said.lines.join("\n")));
            }
            let left = limit.saturating_sub(watch.elapsed());
            if left.is_zero() {
                return Err(Unsaid::Overdue(said.lines.join("\n")));
            }
            said = self.more.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        self.lock().open_streams += 1;
        let transcript = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                transcript.lock().lines.push(line);
                transcript.more.notify_all();
            }
            transcript.lock().open_streams -= 1;
            transcript.more.notify_all();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a short command to its end and returns what it wrote to stdout.
///
/// # Panics
///
/// If it is missing (naming `package`) or fails.
#[track_caller]
pub fn must(command: &mut Command, package: &str) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| missing(command, package, &error));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs one test of this binary, marked `#[ignore]`, in a process of its own: for what a test would do to its whole
/// process, or measure of it. It must pass.
#[track_caller]
pub fn in_a_process_of_its_own(test: &str, environment: &[(&str, String)]) {
    let mut command = Command::new(std::env::current_exe().expect("a running test has a program"));
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.stdin(Stdio::null()).output().expect("this program can be started again");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{test}:\n{said}");
}

/// Waits for a child's end through its handle, which cannot name another process.
pub fn wait_for_exit(child: &mut Child, handle: &OwnedFd, limit: Duration) -> Option<ExitStatus> {
    let limit = Timespec::try_from(limit).expect("limits are seconds");
    let mut ended = [PollFd::new(handle, PollFlags::IN)];
    match poll(&mut ended, Some(&limit)) {
        Ok(0) => None,
        Ok(_) => Some(child.wait().expect("a child of ours can be waited for")),
        Err(error) => panic!("cannot wait for {}: {error}", child.id()),
    }
}

/// A handle that stays with this very child, whatever becomes of its number.
pub fn handle_of(child: &Child) -> OwnedFd {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("the child has not been waited for")
}

#[track_caller]
fn missing(command: &Command, package: &str, error: &io::Error) -> ! {
    let program = command.get_program().display();
    panic!("cannot start {program}: {error}; this test needs it: apt-get install -y {package}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;

    #[test]
    fn a_process_is_heard_waited_for_and_signalled() {
        let mut shell = Process::spawn(Command::new("sh").args(["-c", "echo one; echo two >&2; exec cat"]), "dash");
        for line in ["one", "two"] {
            shell.transcript().wait_for(PATIENCE, |said| (said == line).then_some(())).unwrap();
        }
        assert!(shell.wait(Duration::ZERO).is_none(), "cat waits for its input");
        shell.signal(Signal::TERM);
        assert_eq!(shell.wait(PATIENCE).unwrap().code(), None, "ended by a signal");
        let never = shell.transcript().wait_for(PATIENCE, |said| (said == "three").then_some(()));
        assert!(matches!(never, Err(Unsaid::Ended(_))), "{never:?}");
    }
}
