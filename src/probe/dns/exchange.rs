//! The questions that a C library asks, asked: each once, and for long enough.
//!
//! A model of the library says which replies it lacks; they are fetched, and the model is run again. A reply that is
//! awaited holds up nothing for longer than its turn: then the model goes on as if nothing came, so that what it asks next
//! is asked meanwhile. What comes late counts as what it is.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use hickory_resolver::proto::op::{Edns, Message};
use hickory_resolver::proto::rr::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::failure::Failure;
use super::message::{decode, encode, framed, question as message_of};
use super::query::{Response, over_udp, read};
use crate::clock::Stopwatch;
use crate::libc::{Lookup, Question, Returned, Unasked, Wire, WireReply};
use crate::model::{Outcome, Protocol, WireText};
use crate::net::deadline::Deadline;

/// One question that was asked, and what came of it.
#[derive(Debug)]
pub(super) struct AskedQuestion {
    pub(super) question: Question,
    pub(super) response: Response,
    /// From asking to the answer, or to the end of waiting.
    pub(super) took: Duration,
}

/// A question under way, or at its end.
#[derive(Debug)]
struct Awaited {
    /// Its place in the order of asking.
    place: usize,
    asked: Stopwatch,
    /// Whether the model goes on as if nothing came.
    is_overdue: bool,
    ended: Option<(WireReply, Response, Duration)>,
}

/// Replies, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Replies(BTreeMap<Question, Awaited>);

impl Wire for Replies {
    fn reply(&self, question: &Question) -> Option<&WireReply> {
        let slot = self.0.get(question)?;
        match &slot.ended {
            Some((reply, ..)) => Some(reply),
            None => slot.is_overdue.then_some(&WireReply::Silence),
        }
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long one reply may hold up what comes after it.
    pub(super) turn: Duration,
    /// How long a reply that is overdue may still change an answer.
    pub(super) grace: Duration,
    /// The end of it all.
    pub(super) deadline: Deadline,
}

/// Runs a model until it has all that it asks for.
pub(super) async fn fetch(
    model: impl Fn(&Replies) -> Result<Lookup, Unasked>,
    patience: Patience,
) -> (Lookup, Vec<AskedQuestion>) {
    let watch = Stopwatch::start();
    let mut replies = Replies::default();
    let mut under_way = FuturesUnordered::new();
    let lookup = loop {
        let is_over = patience.deadline.remaining().is_zero();
        let wait = match model(&replies) {
            Ok(lookup) => {
                let is_open = replies.0.values().any(|slot| slot.ended.is_none());
                // By now nothing can come that the library would have waited for, or it was waited for long enough.
                let until = match lookup.returned {
                    Returned::Found { .. } => lookup.took.min(patience.grace),
                    Returned::Failed(_) | Returned::Hangs => lookup.took,
                };
                match until.checked_sub(watch.elapsed()) {
                    Some(wait) if is_open && !is_over => wait,
                    _ => break lookup,
                }
            }
            Err(Unasked(questions)) => {
                for question in questions {
                    let place = replies.0.len();
                    replies.0.entry(question).or_insert_with_key(|question| {
                        under_way.push(ask(question.clone(), patience.deadline));
                        Awaited { place, asked: Stopwatch::start(), is_overdue: is_over, ended: None }
                    });
                }
                let open = replies.0.values().filter(|slot| slot.ended.is_none() && !slot.is_overdue);
                let turns = open.map(|slot| patience.turn.saturating_sub(slot.asked.elapsed()));
                turns.min().unwrap_or_default()
            }
        };
        let wait = Deadline::after(wait.min(patience.deadline.remaining()));
        if let Ok(Some((question, reply, response, took))) = wait.run(under_way.next()).await {
            if let Some(slot) = replies.0.get_mut(&question) {
                slot.ended = Some((reply, response, took));
            }
        } else {
            let is_over = patience.deadline.remaining().is_zero();
            for slot in replies.0.values_mut() {
                slot.is_overdue |= is_over || slot.asked.elapsed() >= patience.turn;
            }
        }
    };
    let mut exchanges: Vec<_> = replies.0.into_iter().collect();
    exchanges.sort_by_key(|(_, slot)| slot.place);
    let exchanges = exchanges.into_iter().map(|(question, slot)| {
        let (response, took) = match slot.ended {
            Some((_, response, took)) => (response, took),
            None => (silent(), slot.asked.elapsed()),
        };
        AskedQuestion { question, response, took }
    });
    (lookup, exchanges.collect())
}

fn silent() -> Response {
    Response { outcome: Outcome::Timeout, detail: WireText::default(), message: None }
}

/// Asks one question and waits for its reply.
async fn ask(question: Question, deadline: Deadline) -> (Question, WireReply, Response, Duration) {
    let watch = Stopwatch::start();
    let asked = match Name::from_ascii(&question.name) {
        Ok(mut name) => {
            name.set_fqdn(true);
            let protocol = if question.over_tcp { Protocol::Tcp } else { Protocol::Udp };
            let mut message = message_of(&name, question.record_type, protocol);
            if question.edns {
                let mut edns = Edns::new();
                edns.set_max_payload(1200);
                message.set_edns(edns);
            }
            let answer = async {
                if question.over_tcp {
                    over_tcp(question.server, &message).await
                } else {
                    over_udp(question.server, &message).await
                }
            };
            match deadline.run(answer).await {
                Ok(asked) => asked,
                Err(late) => Err(Failure::late(late)),
            }
        }
        Err(error) => Err(Failure::new(Outcome::Malformed, format!("{}: {error}", question.name))),
    };
    let took = watch.elapsed();
    let protocol = if question.over_tcp { Protocol::Tcp } else { Protocol::Udp };
    let (reply, response) = match asked {
        Ok((bytes, decoded)) => {
            let response = match decoded {
                Ok(message) => read(message, protocol),
                Err(failure) => failed(&failure),
            };
            (WireReply::Bytes(took, bytes), response)
        }
        Err(failure) => {
            let reply = match failure.outcome {
                Outcome::Unreachable | Outcome::LocalExhaustion => WireReply::Unreachable(took),
                Outcome::Closed => WireReply::Closed(took),
                _ => WireReply::Silence,
            };
            (reply, failed(&failure))
        }
    };
    (question, reply, response, took)
}

fn failed(failure: &Failure) -> Response {
    Response { outcome: failure.outcome, detail: WireText::new(&failure.words), message: None }
}

/// The first message over a connection of its own.
async fn over_tcp(server: SocketAddr, message: &Message) -> Result<(Vec<u8>, Result<Message, Failure>), Failure> {
    let bytes = framed(&encode(message)?);
    let mut stream = TcpStream::connect(server).await.map_err(|error| Failure::of_socket(server, &error))?;
    let broken = |error: io::Error| Failure::of_stream(server, &error);
    stream.write_all(&bytes).await.map_err(broken)?;
    let length = stream.read_u16().await.map_err(broken)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    let message = decode(server, &answer);
    Ok((answer, message))
}
