//! Stages four to seven: AUTH, PING and INFO over one stream.
//!
//! Commands are packed and replies parsed by the `redis` crate; the stream is ours, so that every round trip is timed on
//! its own and a hostile peer meets our limits. The protocol is RESP2, which every server speaks without a greeting.

use std::time::Duration;

use combine::stream::{Decoder, PointerOffset};
use redis::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::deadline::{Deadline, Late};
use super::guarded::Guarded;
use super::{blame, info};
use crate::clock;
use crate::model::{Fault, FaultKind, Secret, ServerFacts, Stage, Timestamp};

/// The state in which the parser of the `redis` crate keeps half a reply.
type PartialReply = Decoder<combine::parser::combinator::AnySendSyncPartialState, PointerOffset<[u8]>>;

/// A server's clock less ours, in whole seconds.
fn skew(theirs: Timestamp, ours: Timestamp) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(theirs.since(ours)) - seconds(ours.since(theirs))
}

/// A conversation with a server.
pub(super) struct Session<S> {
    stream: Guarded<S>,
    partial: PartialReply,
    /// How long one command may take.
    limit: Duration,
    deadline: Deadline,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(stream: S, limit: Duration, deadline: Deadline) -> Self {
        Self { stream: Guarded::new(stream), partial: Decoder::new(), limit, deadline }
    }

    /// Proves who we are.
    pub(super) async fn auth(&mut self, username: Option<&str>, password: &Secret) -> Result<(), Fault> {
        let mut command = redis::cmd("AUTH");
        if let Some(username) = username {
            command.arg(username);
        }
        command.arg(password.reveal());
        let answer = match self.call(Stage::Auth, "AUTH", &command).await {
            Ok(Value::Okay) => return Ok(()),
            Ok(other) => blame::unexpected(Stage::Auth, "AUTH", &other),
            Err(fault) => fault,
        };
        Err(blame::without(password, answer))
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        match self.call(Stage::Ping, "PING", &redis::cmd("PING")).await? {
            Value::SimpleString(pong) if pong == "PONG" => Ok(()),
            Value::BulkString(pong) if pong == b"PONG" => Ok(()),
            other => Err(blame::unexpected(Stage::Ping, "PING", &other)),
        }
    }

    /// Asks the server about itself.
    pub(super) async fn inspect(&mut self) -> Result<ServerFacts, Fault> {
        let reply = self.call(Stage::Inspect, "INFO", &redis::cmd("INFO")).await?;
        let now = clock::now();
        let text = match &reply {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.into(),
            other => return Err(blame::unexpected(Stage::Inspect, "INFO", other)),
        };
        let mut facts = info::parse(&text);
        facts.clock_skew_seconds = match info::time(&text) {
            Some(theirs) => Some(skew(theirs, now)),
            None => self.time().await,
        };
        Ok(facts)
    }

    /// The server's clock less ours, of a server whose INFO does not say its time (before Redis 7). Who denies it is left
    /// in peace: nothing depends on it.
    async fn time(&mut self) -> Option<i64> {
        let reply = self.call(Stage::Inspect, "TIME", &redis::cmd("TIME")).await.ok()?;
        let now = clock::now();
        let Value::Array(parts) = reply else { return None };
        let Some(Value::BulkString(seconds)) = parts.first() else { return None };
        let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
        Some(skew(Timestamp::from_unix_seconds(seconds), now))
    }

    /// The stream, to close it.
    pub(super) fn stream(&mut self) -> &mut Guarded<S> {
        &mut self.stream
    }

    /// Sends one command and waits for its reply. `name` stands for the command in every message.
    async fn call(&mut self, stage: Stage, name: &str, command: &redis::Cmd) -> Result<Value, Fault> {
        self.stream.renew();
        let (deadline, allowed) = self.deadline.stage(self.limit);
        let packed = zeroize::Zeroizing::new(command.get_packed_command());
        let exchange = async {
            self.stream.write_all(&packed).await?;
            self.stream.flush().await?;
            redis::parse_redis_value_async(&mut self.partial, &mut self.stream).await
        };
        match deadline.run(exchange).await {
            Ok(Ok(Value::ServerError(error))) => Err(blame::server_error(stage, name, &error)),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let end = self.stream.take_end();
                Err(blame::command(stage, name, end, &error.to_string(), self.stream.first()))
            }
            Err(Late) => {
                let words = format!("no reply to {name} within {}", blame::span(allowed));
                Err(Fault::new(stage, FaultKind::Timeout, words))
            }
        }
    }
}
