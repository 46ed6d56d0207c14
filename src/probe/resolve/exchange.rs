//! One question to one name server, over UDP or TCP, with nothing of the answer edited.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, Query as Question, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType as WireType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::clock::Stopwatch;
use crate::model::{Outcome, Protocol, Query, RecordType, Transport, WireText};
use crate::probe::blame;
use crate::probe::deadline::{Deadline, Late};

/// The largest answer over UDP: without EDNS a server sends at most 512 bytes, and what sends more is read all the same.
const LARGEST_DATAGRAM: usize = 4096;

/// The name servers to try, and how: the way a resolver library of this machine would.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    /// In the order in which they are tried.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) protocol: Protocol,
    /// How long one server is waited for in one round.
    pub(super) patience: Duration,
    /// How many rounds through the list.
    pub(super) rounds: usize,
}

impl Servers {
    /// One name server, asked twice if it stays silent: a datagram may be lost.
    pub(super) fn single(address: SocketAddr, protocol: Protocol) -> Self {
        Self { addresses: vec![address], protocol, patience: Duration::MAX, rounds: 2 }
    }

    /// The wait for one server that lets every server have its turns before the deadline.
    fn turn(&self, deadline: Deadline) -> Duration {
        let turns = u32::try_from(self.addresses.len() * self.rounds).unwrap_or(u32::MAX).max(1);
        self.patience.min(deadline.remaining() / turns)
    }
}

/// A reply, and what it means.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) outcome: Outcome,
    pub(super) detail: WireText,
    /// The message, where there is one.
    pub(super) message: Option<Message>,
}

/// Asks the servers in turn until one gives an answer that settles the question; notes every question in `log`.
///
/// As in the resolver of the C library, SERVFAIL and REFUSED move on to the next server, and NXDOMAIN does not.
pub(super) async fn ask(
    servers: &Servers,
    name: &Name,
    record_type: RecordType,
    deadline: Deadline,
    log: &mut Vec<Query>,
) -> Reply {
    let turn = servers.turn(deadline);
    let mut worst = Reply { outcome: Outcome::Timeout, detail: WireText::default(), message: None };
    let mut rank = 0;
    for round in 0..servers.rounds {
        for server in &servers.addresses {
            let limit = deadline.or_within(turn);
            let mut reply = Reply { outcome: Outcome::Truncated, detail: WireText::default(), message: None };
            if servers.protocol == Protocol::Udp {
                reply = timed(*server, Transport::Udp, name, record_type, limit, log).await;
            }
            if reply.outcome == Outcome::Truncated {
                reply = timed(*server, Transport::Tcp, name, record_type, limit, log).await;
            }
            let settled = settles(reply.outcome);
            if settled == Settles::Question {
                return reply;
            }
            if settled as usize >= rank {
                rank = settled as usize;
                worst = reply;
            }
        }
        // Who answered and would not help will not help a moment later; only silence deserves a second try.
        if round == 0 && rank == Settles::Server as usize {
            break;
        }
    }
    worst
}

/// How much a reply settles, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settles {
    /// Nothing: nobody there.
    Nothing,
    /// Somebody may be there and did not answer in time.
    Silence,
    /// This server's part: it answered, and cannot help.
    Server,
    /// The question.
    Question,
}

fn settles(outcome: Outcome) -> Settles {
    match outcome {
        Outcome::Answered | Outcome::NoData | Outcome::NxDomain => Settles::Question,
        Outcome::ServFail | Outcome::Refused | Outcome::OtherCode | Outcome::Malformed => Settles::Server,
        Outcome::Timeout | Outcome::Truncated => Settles::Silence,
        Outcome::Unreachable | Outcome::LocalExhaustion => Settles::Nothing,
    }
}

/// One question over one transport, noted with its time.
async fn timed(
    server: SocketAddr,
    transport: Transport,
    name: &Name,
    record_type: RecordType,
    deadline: Deadline,
    log: &mut Vec<Query>,
) -> Reply {
    let watch = Stopwatch::start();
    let exchanged = deadline.run(exchange(server, transport, name, record_type)).await;
    let reply = match exchanged {
        Ok(Ok(message)) => read(message, transport),
        Ok(Err(error)) => Reply {
            outcome: blame::dns_socket(&error),
            detail: WireText::new(&format!("{server}: {error}")),
            message: None,
        },
        Err(Late) => Reply { outcome: Outcome::Timeout, detail: WireText::default(), message: None },
    };
    log.push(Query {
        server,
        transport,
        name: shown(name),
        record_type,
        outcome: reply.outcome,
        detail: reply.detail.clone(),
        took: watch.elapsed(),
    });
    reply
}

/// A name as a person reads it, without the last dot.
pub(super) fn shown(name: &Name) -> WireText {
    let text = name.to_ascii();
    WireText::new(text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text))
}

/// What a message means for its question.
fn read(message: Message, transport: Transport) -> Reply {
    let code = message.metadata.response_code;
    let (outcome, detail) = match code {
        _ if message.metadata.truncation && transport == Transport::Udp => (Outcome::Truncated, String::new()),
        ResponseCode::NoError if message.answers.is_empty() => (Outcome::NoData, String::new()),
        ResponseCode::NoError => (Outcome::Answered, String::new()),
        ResponseCode::NXDomain => (Outcome::NxDomain, String::new()),
        ResponseCode::ServFail => (Outcome::ServFail, String::new()),
        ResponseCode::Refused => (Outcome::Refused, String::new()),
        code => (Outcome::OtherCode, code.to_string()),
    };
    Reply { outcome, detail: WireText::new(&detail), message: Some(message) }
}

/// Sends one question and waits for its answer.
async fn exchange(
    server: SocketAddr,
    transport: Transport,
    name: &Name,
    record_type: RecordType,
) -> io::Result<Message> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Question::query(
        name.clone(),
        match record_type {
            RecordType::A => WireType::A,
            RecordType::Aaaa => WireType::AAAA,
        },
    ));
    let bytes = question.to_vec().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    match transport {
        Transport::Udp => over_udp(server, &question, &bytes).await,
        Transport::Tcp => over_tcp(server, &question, &bytes).await,
    }
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let local: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A socket of its own per question, connected: a random source port, answers of this server only, and the ICMP
    // message that nobody listens there.
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = &buffer[..length];
        // What does not carry the question's id is not its answer: a late one, or a forged one.
        if answer.get(..2) != Some(&question.metadata.id.to_be_bytes()) {
            continue;
        }
        let message = decode(answer)?;
        if answers(&message, question) {
            return Ok(message);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| io::Error::other("the question is too long"))?;
    let mut framed = Vec::with_capacity(bytes.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    let message = decode(&answer)?;
    if answers(&message, question) {
        Ok(message)
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer belongs to another question"))
    }
}

/// `UnexpectedEof` marks what the name server sent and no one can read; see [`blame::dns_socket`].
fn decode(bytes: &[u8]) -> io::Result<Message> {
    Message::from_vec(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, format!("unreadable answer: {error}")))
}

/// Whether a message answers this question. A refusal may come without the question.
fn answers(message: &Message, question: &Message) -> bool {
    message.metadata.id == question.metadata.id
        && message.metadata.message_type == MessageType::Response
        && (message.queries.is_empty() || message.queries == question.queries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(message) = decode(&bytes) {
                let _ = read(message, Transport::Udp);
            }
        }
    }
}
