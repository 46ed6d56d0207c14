//! Stages four to six: AUTH, PING and INFO over one stream.
//!
//! Commands are packed and replies parsed by the `redis` crate; the stream is ours, so that every round trip is timed on
//! its own and a hostile peer meets our limits. The protocol is RESP2, which every server speaks without a greeting.
//!
//! Invariants: a reply is looked at byte by byte before a value is made of it; a peer that speaks when it is not asked is
//! out of step, and none of its words is taken for an answer; what it says is blotted before anything is made of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use redis::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::info;
use super::reply::{self, Expected, Frame};
use super::withheld::Withheld;
use crate::clock;
use crate::model::{Fault, FaultKind, Secret, ServerFacts, Stage, Timestamp};
use crate::net::deadline::{Deadline, DeadlinePassed, span};
use crate::net::limited::{LimitedStream, StreamEnd};
use crate::probe::{classify, tls};

/// How much is read at once.
const PART: usize = 4 << 10;

/// A server's clock less ours, in whole seconds.
fn skew(theirs: Timestamp, ours: Timestamp) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(theirs.since(ours)) - seconds(ours.since(theirs))
}

/// A conversation with a server.
pub(in crate::probe) struct Session<S> {
    stream: LimitedStream<S>,
    /// What has come and is not answered for yet.
    heard: Vec<u8>,
    /// Whether nothing was sent yet.
    is_first: bool,
    /// What the peer is told, and must not repeat in anything that is shown.
    withheld: Arc<Withheld>,
    /// How long one command may take.
    limit: Duration,
    deadline: Deadline,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(in crate::probe) fn new(stream: S, withheld: Arc<Withheld>, limit: Duration, deadline: Deadline) -> Self {
        Self { stream: LimitedStream::new(stream), heard: Vec::new(), is_first: true, withheld, limit, deadline }
    }

    /// Authenticates.
    pub(in crate::probe) async fn auth(&mut self, username: Option<&str>, password: &Secret) -> Result<(), Fault> {
        let mut command = redis::cmd("AUTH");
        if let Some(username) = username {
            command.arg(username);
        }
        command.arg(password.reveal());
        match self.call(Stage::Auth, "AUTH", &command, Expected::Word).await? {
            Value::Okay => Ok(()),
            other => Err(self.unexpected(Stage::Auth, "AUTH", &other).await),
        }
    }

    /// Asks for a sign of life.
    pub(in crate::probe) async fn ping(&mut self) -> Result<(), Fault> {
        match self.call(Stage::Ping, "PING", &redis::cmd("PING"), Expected::Word).await? {
            Value::SimpleString(pong) if pong == "PONG" => Ok(()),
            Value::BulkString(pong) if pong == b"PONG" => Ok(()),
            other => Err(self.unexpected(Stage::Ping, "PING", &other).await),
        }
    }

    /// Asks the server about itself.
    pub(in crate::probe) async fn inspect(&mut self) -> Result<ServerFacts, Fault> {
        let reply = self.call(Stage::Inspect, "INFO", &redis::cmd("INFO"), Expected::Text).await?;
        let now = clock::now();
        let text = match &reply {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
            Value::VerbatimString { text, .. } => text.into(),
            other => return Err(self.unexpected(Stage::Inspect, "INFO", other).await),
        };
        let mut facts = info::parse(&text);
        facts.clock_skew_seconds = match info::time(&text) {
            Some(theirs) => Some(skew(theirs, now)),
            None => self.time().await?,
        };
        Ok(facts)
    }

    /// The server's clock less ours, of a server whose INFO does not say its time (before Redis 7). One that denies it is
    /// left as it is: nothing depends on it.
    async fn time(&mut self) -> Result<Option<i64>, Fault> {
        let reply = match self.call(Stage::Inspect, "TIME", &redis::cmd("TIME"), Expected::Time).await {
            Ok(reply) => reply,
            Err(fault) if fault.kind == FaultKind::OutOfStep => return Err(fault),
            Err(_) => return Ok(None),
        };
        let now = clock::now();
        let Value::Array(parts) = reply else { return Ok(None) };
        let Some(Value::BulkString(seconds)) = parts.first() else { return Ok(None) };
        let seconds = std::str::from_utf8(seconds).ok().and_then(|seconds| seconds.parse().ok());
        Ok(seconds.map(|seconds| skew(Timestamp::from_unix_seconds(seconds), now)))
    }

    /// Says goodbye.
    pub(in crate::probe) async fn close(mut self) {
        tls::close(&mut self.stream, self.deadline).await;
    }

    /// Sends one command and waits for its reply. `name` stands for the command in every message.
    async fn call(
        &mut self,
        stage: Stage,
        name: &str,
        command: &redis::Cmd,
        expected: Expected,
    ) -> Result<Value, Fault> {
        self.stream.renew();
        let (deadline, allowed) = self.deadline.stage(self.limit);
        let mut is_asked = true;
        let is_first = std::mem::take(&mut self.is_first);
        // A server may say at once why it lets no one in, and in no other case speaks unasked.
        if self.is_speaking() {
            match self.heard.first() {
                Some(b'-') if is_first => is_asked = false,
                _ => return Err(self.unasked(stage, name)),
            }
        }
        let packed = zeroize::Zeroizing::new(command.get_packed_command());
        let exchange = async {
            if is_asked {
                self.stream.write_all(&packed).await?;
                self.stream.flush().await?;
            }
            self.reply(expected).await
        };
        let reply = match deadline.run(exchange).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                self.withheld.blot(&mut self.heard);
                let end = self.stream.take_end().unwrap_or(StreamEnd::Broken(error));
                return Err(classify::command(stage, name, end));
            }
            Err(DeadlinePassed) => {
                let words = format!("no reply to {name} within {}", span(allowed));
                return Err(Fault::new(stage, FaultKind::Timeout, words));
            }
        };
        // What an error means is told by its words as they are; what is shown of them is blotted below.
        if self.heard.first() != Some(&b'-') {
            self.withheld.blot(&mut self.heard);
        }
        let whole = match reply {
            Reply::Whole(length) => {
                let behind = self.heard.split_off(length);
                std::mem::replace(&mut self.heard, behind)
            }
            Reply::TooLarge => return Err(classify::too_large(stage, name)),
            Reply::Foreign => return Err(self.withheld.fault(classify::foreign(stage, name, &self.heard))),
        };
        match redis::parse_redis_value(&whole) {
            Ok(_) if !self.heard.is_empty() => Err(self.unasked(stage, name)),
            Ok(Value::ServerError(error)) if classify::speaks_of_another(name, &error) => {
                Err(classify::out_of_step(stage, format!("{name} was answered with an error about another command")))
            }
            Ok(Value::ServerError(error)) => Err(self.withheld.fault(classify::server_error(stage, name, &error))),
            Ok(value) => Ok(value),
            Err(_) => Err(self.withheld.fault(classify::foreign(stage, name, &whole))),
        }
    }

    /// Reads until a reply is whole, or cannot become one.
    async fn reply(&mut self, expected: Expected) -> std::io::Result<Reply> {
        loop {
            match reply::frame(&self.heard, expected) {
                Frame::Whole(length) => return Ok(Reply::Whole(length)),
                Frame::TooLarge => return Ok(Reply::TooLarge),
                Frame::Foreign => return Ok(Reply::Foreign),
                Frame::Part(wanted) => {
                    let missing = wanted.map_or(PART, |wanted| wanted - self.heard.len());
                    self.heard.reserve_exact(missing);
                    let part = &mut (&mut self.stream).take(missing as u64);
                    if part.read_buf(&mut self.heard).await? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Whether something has come that was not asked for. A stream that has ended is told by the next command.
    fn is_speaking(&mut self) -> bool {
        if self.heard.is_empty() {
            self.heard.reserve_exact(PART);
            let part = &mut (&mut self.stream).take(PART as u64);
            let _ = part.read_buf(&mut self.heard).now_or_never();
        }
        !self.heard.is_empty()
    }

    /// What it means that the peer said more than it was asked for.
    fn unasked(&mut self, stage: Stage, name: &str) -> Fault {
        self.withheld.blot(&mut self.heard);
        if reply::looks_like_redis(&self.heard) {
            let words = format!("around {name} the peer sent, unasked, {}", classify::quoted(&self.heard));
            classify::out_of_step(stage, words)
        } else {
            classify::foreign(stage, name, &self.heard)
        }
    }

    /// What a wrong answer means: where another one follows unasked, as long as a command may take, it was the answer to
    /// something else.
    async fn unexpected(&mut self, stage: Stage, name: &str, value: &Value) -> Fault {
        let fault = classify::unexpected(stage, name, value);
        let next = async {
            self.heard.reserve_exact(PART);
            let part = &mut (&mut self.stream).take(PART as u64);
            part.read_buf(&mut self.heard).await
        };
        let _ = self.deadline.or_within(self.limit).run(next).await;
        if reply::looks_like_redis(&self.heard) {
            self.withheld.blot(&mut self.heard);
            let words = format!("{}, and then, unasked, with {}", fault.detail, classify::quoted(&self.heard));
            return classify::out_of_step(stage, words);
        }
        fault
    }
}

/// What came in answer to a command.
enum Reply {
    /// A whole reply, so many bytes long.
    Whole(usize),
    TooLarge,
    Foreign,
}
