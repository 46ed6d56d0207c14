//! Where the log's lines go: through a bounded queue to a thread that writes them.
//!
//! Invariant: logging neither waits nor fails. A target that is full, closed, slow or not read costs lines, the oldest
//! first; they are counted, and the log says how many once it can be written again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::clock::{self, Stopwatch};
use crate::model::Timestamp;
use crate::sink::metrics::Metrics;
use crate::sink::name::SinkName;

/// The most bytes that wait to be written.
const MOST_WAITING: usize = 256 << 10;

/// From one attempt on a target that cannot be written to the next: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How long the thread waits for room in a target that does not block.
const NO_ROOM: Duration = Duration::from_millis(2);

/// How often lost lines are told while more are lost.
const TOLD: Duration = Duration::from_secs(10);

/// The log's way out of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Output(Arc<LogQueue>);

#[derive(Debug)]
struct LogQueue {
    /// Whether lines are JSON.
    as_json: bool,
    queue: Mutex<Queue>,
    /// Something was put into the queue, or taken out of it.
    changed: Condvar,
    metrics: OnceLock<Arc<Metrics>>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of these lines.
    length: usize,
    /// Whether the thread holds a line that is not written yet.
    is_writing: bool,
    /// Lines that were lost and are not told yet.
    lost: Option<Loss>,
    /// Failures that were not counted yet, for want of metrics.
    uncounted: u64,
}

/// Lines that were lost in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loss {
    lines: u64,
    since: Timestamp,
}

impl Output {
    /// Starts the thread that writes to this process's standard error; `as_json` says which form its own lines have.
    ///
    /// # Errors
    /// Where the system gives neither a descriptor nor a thread.
    pub fn to_standard_error(as_json: bool) -> io::Result<Self> {
        // A descriptor of its own: the lock of `io::stderr` is held by each print, for as long as that takes.
        let target = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::to(target, as_json)
    }

    fn to(target: impl Write + Send + 'static, as_json: bool) -> io::Result<Self> {
        let shared =
            Arc::new(LogQueue { as_json, queue: Mutex::default(), changed: Condvar::new(), metrics: OnceLock::new() });
        let writer = LogWriter { shared: Arc::clone(&shared), target, told: None };
        thread::Builder::new().name(SinkName::Log.as_str().to_owned()).spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// Counts what goes wrong there from now on, and what has gone wrong before.
    pub fn count_in(&self, metrics: Arc<Metrics>) {
        let mut queue = self.0.queue();
        metrics.sink_failed(SinkName::Log, std::mem::take(&mut queue.uncounted));
        // Set once; a second daemon in one process would count in the first one's.
        let _ = self.0.metrics.set(metrics);
    }

    /// Writes a line past every filter: why the program ends.
    pub fn say(&self, words: &str) {
        let line = if self.0.as_json {
            json!({"timestamp": clock::now().to_string(), "level": "ERROR", "message": words}).to_string()
        } else {
            words.to_owned()
        };
        self.0.put((line + "\n").into_bytes());
    }

    /// Waits until everything is written, for `limit` at most; false where something is not.
    pub fn flush(&self, limit: Duration) -> bool {
        let watch = Stopwatch::start();
        let mut queue = self.0.queue();
        while queue.is_writing || !queue.lines.is_empty() {
            let Some(left) = limit.checked_sub(watch.elapsed()).filter(|left| !left.is_zero()) else { return false };
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// One write of the subscriber is one line.
impl Write for &Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line.to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = &'a Output;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl LogQueue {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: Vec<u8>) {
        let mut queue = self.queue();
        let mut lost = 0;
        queue.length += line.len();
        queue.lines.push_back(line);
        while queue.length > MOST_WAITING {
            let Some(oldest) = queue.lines.pop_front() else { break };
            queue.length -= oldest.len();
            lost += 1;
        }
        if lost > 0 {
            queue.lost.get_or_insert_with(|| Loss { lines: 0, since: clock::now() }).lines += lost;
            self.failed(&mut queue, lost);
        }
        drop(queue);
        self.changed.notify_all();
    }

    fn failed(&self, queue: &mut Queue, times: u64) {
        match self.metrics.get() {
            Some(metrics) => metrics.sink_failed(SinkName::Log, times),
            None => queue.uncounted += times,
        }
    }
}

/// The thread's own state.
struct LogWriter<W> {
    shared: Arc<LogQueue>,
    target: W,
    /// When a loss was told last.
    told: Option<Stopwatch>,
}

impl<W: Write> LogWriter<W> {
    /// Runs for as long as the process does.
    fn run(mut self) {
        loop {
            let line = self.next();
            self.write(&line);
        }
    }

    /// The next line; before the first one after a loss, what was lost.
    fn next(&mut self) -> Vec<u8> {
        let mut queue = self.shared.queue();
        queue.is_writing = false;
        self.shared.changed.notify_all();
        let is_time = self.told.is_none_or(|told| told.elapsed() >= TOLD);
        loop {
            // Where lines are lost all the time, a notice for each line that is written would cost the next one.
            if (is_time || queue.lines.is_empty())
                && let Some(loss) = queue.lost.take()
            {
                queue.is_writing = true;
                self.told = Some(Stopwatch::start());
                return notice(self.shared.as_json, clock::now(), &loss);
            }
            if let Some(line) = queue.lines.pop_front() {
                queue.length -= line.len();
                queue.is_writing = true;
                return line;
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes all of a line, however often that takes: what is half written goes on where it ended.
    fn write(&mut self, mut line: &[u8]) {
        let mut pause = FIRST_RETRY;
        while !line.is_empty() {
            match self.target.write(line) {
                Ok(0) => self.pause(&mut pause),
                Ok(written) => {
                    line = &line[written..];
                    pause = FIRST_RETRY;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A descriptor that does not block, and has no room: that is slow, and no failure.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NO_ROOM),
                Err(_) => self.pause(&mut pause),
            }
        }
    }

    /// Counts a failed attempt and waits for the next.
    fn pause(&self, pause: &mut Duration) {
        self.shared.failed(&mut self.shared.queue(), 1);
        thread::sleep(*pause);
        *pause = (*pause * 2).min(LAST_RETRY);
    }
}

/// The line that says what was lost.
fn notice(as_json: bool, now: Timestamp, Loss { lines, since }: &Loss) -> Vec<u8> {
    let words = "log lines were lost: the target was full, closed or too slow";
    let line = if as_json {
        let (now, since) = (now.to_string(), since.to_string());
        json!({"timestamp": now, "level": "WARN", "message": words, "lost": lines, "since": since}).to_string()
    } else {
        format!("{now}  WARN cachewatch: {words} lost={lines} since={since}")
    };
    (line + "\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A target that takes what it is let take, a write at a time.
    struct Valve {
        allowed: mpsc::Receiver<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Valve {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.allowed.recv().unwrap_or(Ok(usize::MAX))?;
            let taken = bytes.len().min(most);
            self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(as_json: bool) -> (Output, mpsc::Sender<io::Result<usize>>, impl Fn() -> String) {
        let (allow, allowed) = mpsc::channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let read = Arc::clone(&written);
        let output = Output::to(Valve { allowed, written }, as_json).unwrap();
        (output, allow, move || String::from_utf8(read.lock().unwrap().clone()).unwrap())
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_line_that_is_cut_goes_on_where_it_ended() {
        let (output, allow, written) = output(false);
        let metrics = Arc::new(Metrics::new("1", "r"));
        output.say("one line");
        for step in [Ok(3), Err(ErrorKind::StorageFull.into()), Ok(0), Err(ErrorKind::Interrupted.into())] {
            allow.send(step).unwrap();
        }
        assert!(!output.flush(Duration::from_millis(1)), "there is more to write");
        drop(allow);
        output.say("another");
        assert!(output.flush(LONG));
        assert_eq!(written(), "one line\nanother\n");
        // What failed before anything counted it is counted all the same.
        output.count_in(Arc::clone(&metrics));
        assert!(metrics.encode().unwrap().contains("cachewatch_sink_failures_total{sink=\"log\"} 2\n"));
    }

    #[test]
    fn what_the_log_says_of_itself_is_json_where_its_lines_are() {
        let (output, allow, written) = output(true);
        drop(allow);
        output.say("the port is \"taken\"");
        assert!(output.flush(LONG));
        let line: serde_json::Value = serde_json::from_str(written().trim_end()).unwrap();
        assert_eq!((&line["message"], &line["level"]), (&json!("the port is \"taken\""), &json!("ERROR")));
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let lost = notice(true, at, &Loss { lines: 7, since: at });
        let lost: serde_json::Value = serde_json::from_slice(&lost).unwrap();
        assert_eq!((&lost["lost"], &lost["level"]), (&json!(7), &json!("WARN")));
    }

    #[test]
    fn the_oldest_lines_give_way_and_are_told_where_they_are_missing() {
        let (output, allow, written) = output(false);
        let metrics = Arc::new(Metrics::new("1", "r"));
        output.count_in(Arc::clone(&metrics));
        output.say("first");
        // The thread holds the first line; of what comes, so much waits as may.
        while !output.0.queue().is_writing {
            thread::yield_now();
        }
        let line = "x".repeat(1023);
        let most = MOST_WAITING / 1024;
        for _ in 0..most + 5 {
            output.say(&line);
        }
        output.say("last");
        drop(allow);
        assert!(output.flush(LONG));
        let text = written();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines.len(), lines[lines.len() - 1]), ("first", 1 + 1 + (most - 1) + 1, "last"));
        assert!(lines[1].contains(" WARN ") && lines[1].contains(" lost=6 since="), "{}", lines[1]);
        assert!(metrics.encode().unwrap().contains("cachewatch_sink_failures_total{sink=\"log\"} 6\n"));
    }
}
