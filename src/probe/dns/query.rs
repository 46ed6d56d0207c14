//! Asks name servers in turn, with nothing of an answer edited.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::Name;
use tokio::net::UdpSocket;

use super::connections::Connections;
use super::failure::Failure;
use super::message::{answers, decode, encode, question, shown};
use super::upstream::NameServers;
use crate::clock::Stopwatch;
use crate::model::{Outcome, Protocol, Query, RecordType, WireText};
use crate::net::deadline::Deadline;

/// The largest answer over UDP: without EDNS a server sends at most 512 bytes, and what sends more is read all the same.
const LARGEST_DATAGRAM: usize = 4096;

/// A response, and what it means.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) outcome: Outcome,
    pub(super) detail: WireText,
    /// The message, where there is one.
    pub(super) message: Option<Message>,
}

/// The questions of one lookup, and the connections they share.
pub(super) struct Queries<'a> {
    servers: &'a NameServers,
    /// Made with the first question that needs one: most lookups do with datagrams.
    connections: OnceLock<Connections>,
}

impl<'a> Queries<'a> {
    pub(super) fn new(servers: &'a NameServers) -> Self {
        Self { servers, connections: OnceLock::new() }
    }

    /// Says goodbye to the servers there are connections to.
    pub(super) async fn close(self, deadline: Deadline) {
        if let Some(connections) = self.connections.into_inner() {
            Box::pin(connections.close(deadline)).await;
        }
    }

    /// Asks the servers in turn until one gives an answer that settles the question; notes every question in `log`.
    ///
    /// As in the resolver of the C library, SERVFAIL and REFUSED move on to the next server, and NXDOMAIN does not.
    pub(super) async fn ask(
        &self,
        name: &Name,
        record_type: RecordType,
        deadline: Deadline,
        log: &mut Vec<Query>,
    ) -> Response {
        let turn = self.servers.turn(deadline);
        let mut worst = Response { outcome: Outcome::Timeout, detail: WireText::default(), message: None };
        let mut rank = 0;
        for round in 0..self.servers.rounds {
            for place in 0..self.servers.addresses.len() {
                let limit = deadline.or_within(turn);
                let protocol = self.servers.transport.protocol();
                let mut response = self.timed(place, protocol, name, record_type, limit, log).await;
                if response.outcome == Outcome::Truncated {
                    response = self.timed(place, Protocol::Tcp, name, record_type, limit, log).await;
                }
                let finality = finality_of(response.outcome);
                if finality == Finality::Question {
                    return response;
                }
                if finality as usize >= rank {
                    rank = finality as usize;
                    worst = response;
                }
            }
            // Who answered and would not help will not help a moment later; only silence deserves a second try.
            if round == 0 && rank == Finality::Server as usize {
                break;
            }
        }
        worst
    }

    /// One question over one protocol, noted with its time.
    async fn timed(
        &self,
        place: usize,
        protocol: Protocol,
        name: &Name,
        record_type: RecordType,
        deadline: Deadline,
        log: &mut Vec<Query>,
    ) -> Response {
        let watch = Stopwatch::start();
        let server = self.servers.addresses[place];
        let question = question(name, record_type, protocol);
        let exchanged = if protocol.row().datagrams {
            match deadline.run(over_udp(server, &question)).await {
                Ok(exchanged) => exchanged.and_then(|(_, message)| message),
                Err(late) => Err(Failure::late(late)),
            }
        } else {
            let connections = self.connections.get_or_init(|| Connections::new(self.servers));
            // Connections take much more room than a datagram, and few lookups need one.
            Box::pin(connections.ask(place, &question, deadline)).await
        };
        let response = match exchanged {
            Ok(message) => read(message, protocol),
            Err(Failure { outcome, words }) => Response { outcome, detail: WireText::new(&words), message: None },
        };
        log.push(Query {
            server,
            transport: protocol,
            name: shown(name),
            record_type,
            outcome: response.outcome,
            detail: response.detail.clone(),
            took: watch.elapsed(),
        });
        response
    }
}

/// How final a response is, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finality {
    /// Nothing: no server is there.
    Nothing,
    /// A server may be there and did not answer in time.
    Silence,
    /// This server's part: it answered, and cannot help.
    Server,
    /// The question.
    Question,
}

pub(super) fn finality_of(outcome: Outcome) -> Finality {
    match outcome {
        Outcome::Answered | Outcome::NoData | Outcome::NxDomain => Finality::Question,
        Outcome::ServFail
        | Outcome::Refused
        | Outcome::OtherCode
        | Outcome::Malformed
        | Outcome::Closed
        | Outcome::Untrusted
        | Outcome::NotTls
        | Outcome::HandshakeFailed
        | Outcome::HttpError
        | Outcome::TooLarge => Finality::Server,
        Outcome::Timeout | Outcome::Truncated => Finality::Silence,
        Outcome::Unreachable | Outcome::LocalExhaustion => Finality::Nothing,
    }
}

/// What a message means for its question.
pub(super) fn read(message: Message, protocol: Protocol) -> Response {
    let code = message.metadata.response_code;
    let (outcome, detail) = match code {
        _ if message.metadata.truncation && protocol.row().datagrams => (Outcome::Truncated, String::new()),
        ResponseCode::NoError if message.answers.is_empty() => (Outcome::NoData, String::new()),
        ResponseCode::NoError => (Outcome::Answered, String::new()),
        ResponseCode::NXDomain => (Outcome::NxDomain, String::new()),
        ResponseCode::ServFail => (Outcome::ServFail, String::new()),
        ResponseCode::Refused => (Outcome::Refused, String::new()),
        code => (Outcome::OtherCode, coded(code)),
    };
    Response { outcome, detail: WireText::new(&detail), message: Some(message) }
}

/// A response code in words: its number, and its name where it has one.
fn coded(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(number) => format!("response code {number}"),
        named => format!("response code {} ({named})", u16::from(named)),
    }
}

/// A socket of its own for one question, connected: a random source port, answers of this server only, and the ICMP message
/// that nothing listens there.
async fn udp_socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let local: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// The first datagram with the question's id that answers it, or that cannot be read; and what it says.
pub(super) async fn over_udp(
    server: SocketAddr,
    question: &Message,
) -> Result<(Vec<u8>, Result<Message, Failure>), Failure> {
    let bytes = encode(question)?;
    let failed = |error: io::Error| Failure::of_socket(server, &error);
    let socket = udp_socket(server).await.map_err(failed)?;
    socket.send(&bytes).await.map_err(failed)?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(failed)?;
        let answer = &buffer[..length];
        // What does not carry the question's id is not its answer: a late one, or a forged one.
        if answer.get(..2) != Some(&question.metadata.id.to_be_bytes()) {
            continue;
        }
        let message = decode(server, answer);
        if message.as_ref().is_ok_and(|message| !answers(message, question)) {
            continue;
        }
        buffer.truncate(length);
        return Ok((buffer, message));
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::OpCode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_response_code_is_told_by_its_number() {
        let told = |code| {
            let mut message = Message::response(7, OpCode::Query);
            message.metadata.response_code = code;
            let response = read(message, Protocol::Udp);
            (response.outcome, response.detail.to_string())
        };
        assert_eq!(told(ResponseCode::Unknown(11)), (Outcome::OtherCode, "response code 11".to_owned()));
        assert_eq!(told(ResponseCode::NotZone), (Outcome::OtherCode, "response code 10 (Name not in zone)".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(message) = decode(SocketAddr::from(([127, 0, 0, 1], 53)), &bytes) {
                let _ = read(message, Protocol::Udp);
            }
        }
    }
}
