//! One question to one name server, with nothing of the answer edited.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, Query as Question, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RecordType as WireType};
use tokio::net::UdpSocket;

use super::lines::Lines;
use super::secure::Secure;
use crate::clock::Stopwatch;
use crate::model::{Outcome, Query, RecordType, Transport, WireText};
use crate::net::deadline::{Deadline, Late};
use crate::probe::blame;

/// The largest answer over UDP: without EDNS a server sends at most 512 bytes, and what sends more is read all the same.
const LARGEST_DATAGRAM: usize = 4096;

/// The name servers to try, and how: the way a resolver library of this machine would.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    /// In the order in which they are tried.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) way: Way,
    /// How long one server is waited for in one round.
    pub(super) patience: Duration,
    /// How many rounds through the list.
    pub(super) rounds: usize,
}

/// How name servers are asked.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// With a datagram, and over TCP where the answer was cut short.
    Udp,
    Tcp,
    Tls(Secure),
    Https {
        secure: Secure,
        path: String,
    },
}

impl Servers {
    /// One name server. It is asked twice over UDP if it stays silent, since a datagram may be lost; a connection loses
    /// nothing.
    pub(super) fn single(address: SocketAddr, way: Way) -> Self {
        let rounds = if matches!(way, Way::Udp) { 2 } else { 1 };
        Self { addresses: vec![address], way, patience: Duration::MAX, rounds }
    }

    /// The wait for one server that lets every server have its turns before the deadline.
    fn turn(&self, deadline: Deadline) -> Duration {
        let turns = u32::try_from(self.addresses.len() * self.rounds).unwrap_or(u32::MAX).max(1);
        self.patience.min(deadline.remaining() / turns)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) words: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(outcome: Outcome, words: impl Into<Cow<'static, str>>) -> Self {
        Self { outcome, words: words.into() }
    }

    /// The socket failed.
    pub(super) fn of_socket(server: SocketAddr, error: &io::Error) -> Self {
        Self::new(blame::dns_socket(error), format!("{server}: {error}"))
    }

    /// The connection broke.
    pub(super) fn of_stream(server: SocketAddr, error: &io::Error) -> Self {
        match blame::dns_stream(error) {
            // A library has many words for a peer that hung up.
            Outcome::Closed if error.kind() != io::ErrorKind::ConnectionReset => {
                Self::closed(server, "without an answer")
            }
            Outcome::TooLarge => Self::new(Outcome::TooLarge, format!("{server} sent 1 MiB and no answer")),
            outcome => Self::new(outcome, format!("{server}: {error}")),
        }
    }

    /// The server hung up.
    pub(super) fn closed(server: SocketAddr, when: &str) -> Self {
        Self::new(Outcome::Closed, format!("{server} closed the connection {when}"))
    }

    /// The time was up; nothing more is known.
    pub(super) fn late(_: Late) -> Self {
        Self::new(Outcome::Timeout, "")
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

/// The questions of one lookup, and the connections they share.
pub(super) struct Exchange<'a> {
    servers: &'a Servers,
    /// Made with the first question that needs one: most lookups do with datagrams.
    lines: OnceLock<Lines>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(servers: &'a Servers) -> Self {
        Self { servers, lines: OnceLock::new() }
    }

    /// Says goodbye to the servers there are connections to.
    pub(super) async fn close(self, deadline: Deadline) {
        if let Some(lines) = self.lines.into_inner() {
            Box::pin(lines.close(deadline)).await;
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
    ) -> Reply {
        let turn = self.servers.turn(deadline);
        let mut worst = Reply { outcome: Outcome::Timeout, detail: WireText::default(), message: None };
        let mut rank = 0;
        for round in 0..self.servers.rounds {
            for place in 0..self.servers.addresses.len() {
                let limit = deadline.or_within(turn);
                let transport = match self.servers.way {
                    Way::Udp => Transport::Udp,
                    Way::Tcp => Transport::Tcp,
                    Way::Tls(_) => Transport::Tls,
                    Way::Https { .. } => Transport::Https,
                };
                let mut reply = self.timed(place, transport, name, record_type, limit, log).await;
                if reply.outcome == Outcome::Truncated {
                    reply = self.timed(place, Transport::Tcp, name, record_type, limit, log).await;
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

    /// One question over one transport, noted with its time.
    async fn timed(
        &self,
        place: usize,
        transport: Transport,
        name: &Name,
        record_type: RecordType,
        deadline: Deadline,
        log: &mut Vec<Query>,
    ) -> Reply {
        let watch = Stopwatch::start();
        let server = self.servers.addresses[place];
        let question = question(name, record_type, transport);
        let exchanged = if transport == Transport::Udp {
            match deadline.run(over_udp(server, &question)).await {
                Ok(exchanged) => exchanged,
                Err(late) => Err(Failure::late(late)),
            }
        } else {
            let lines = self.lines.get_or_init(|| Lines::new(self.servers));
            // Connections take much more room than a datagram, and few lookups need one.
            Box::pin(lines.ask(place, &question, deadline)).await
        };
        let reply = match exchanged {
            Ok(message) => read(message, transport),
            Err(Failure { outcome, words }) => Reply { outcome, detail: WireText::new(&words), message: None },
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
        Outcome::ServFail
        | Outcome::Refused
        | Outcome::OtherCode
        | Outcome::Malformed
        | Outcome::Closed
        | Outcome::Untrusted
        | Outcome::NotTls
        | Outcome::HandshakeFailed
        | Outcome::HttpError
        | Outcome::TooLarge => Settles::Server,
        Outcome::Timeout | Outcome::Truncated => Settles::Silence,
        Outcome::Unreachable | Outcome::LocalExhaustion => Settles::Nothing,
    }
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
        code => (Outcome::OtherCode, coded(code)),
    };
    Reply { outcome, detail: WireText::new(&detail), message: Some(message) }
}

/// A response code in words: its number, and its name where it has one.
fn coded(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(number) => format!("response code {number}"),
        named => format!("response code {} ({named})", u16::from(named)),
    }
}

/// One question as a message.
fn question(name: &Name, record_type: RecordType, transport: Transport) -> Message {
    let mut question = Message::query();
    // With an id of its own, no answer could be kept by a cache of HTTP (RFC 8484, 4.1).
    if transport == Transport::Https {
        question.metadata.id = 0;
    }
    question.metadata.recursion_desired = true;
    question.add_query(Question::query(
        name.clone(),
        match record_type {
            RecordType::A => WireType::A,
            RecordType::Aaaa => WireType::AAAA,
        },
    ));
    question
}

async fn over_udp(server: SocketAddr, question: &Message) -> Result<Message, Failure> {
    let bytes = encode(question)?;
    let failed = |error: io::Error| Failure::of_socket(server, &error);
    let local: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A socket of its own per question, connected: a random source port, answers of this server only, and the ICMP
    // message that nobody listens there.
    let socket = UdpSocket::bind((local, 0)).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(&bytes).await.map_err(failed)?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(failed)?;
        let answer = &buffer[..length];
        // What does not carry the question's id is not its answer: a late one, or a forged one.
        if answer.get(..2) != Some(&question.metadata.id.to_be_bytes()) {
            continue;
        }
        let message = decode(server, answer)?;
        if answers(&message, question) {
            return Ok(message);
        }
    }
}

/// The bytes of a question.
pub(super) fn encode(question: &Message) -> Result<Vec<u8>, Failure> {
    question
        .to_vec()
        .map_err(|error| Failure::new(Outcome::Malformed, format!("the question cannot be asked: {error}")))
}

/// The bytes of a question behind their length, as a stream carries them.
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a question holds one name, of at most 255 bytes");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// The message that bytes are, as far as it can answer a question: a record of another class than the Internet's is as if it
/// were not there, and a TTL of more than 31 bits is zero (RFC 2181, 8).
pub(super) fn decode(server: SocketAddr, bytes: &[u8]) -> Result<Message, Failure> {
    const LONGEST: u32 = i32::MAX.cast_unsigned();
    let mut message = Message::from_vec(bytes)
        .map_err(|error| Failure::new(Outcome::Malformed, format!("{server}: unreadable answer: {error}")))?;
    for records in [&mut message.answers, &mut message.authorities] {
        records.retain(|record| record.dns_class == DNSClass::IN);
        for record in records {
            record.ttl = if record.ttl > LONGEST { 0 } else { record.ttl };
        }
    }
    Ok(message)
}

/// Whether a message answers this question. A refusal may come without the question.
pub(super) fn answers(message: &Message, question: &Message) -> bool {
    message.metadata.id == question.metadata.id
        && message.metadata.message_type == MessageType::Response
        && (message.queries.is_empty() || message.queries == question.queries)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::{RData, Record};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_has_an_id_of_its_own_but_over_https() {
        let id = |transport| question(&Name::root(), RecordType::A, transport).metadata.id;
        assert_eq!(id(Transport::Https), 0);
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let ids: std::collections::BTreeSet<_> = (0..16).map(|_| id(transport)).collect();
            assert!(ids.len() > 1, "{transport}: {ids:?}");
        }
    }

    /// An SOA of another class would say that the rest of an alias chain need not be asked for.
    #[test]
    fn only_what_is_of_the_internet_is_kept_and_a_ttl_has_31_bits() {
        let mut message = Message::response(7, OpCode::Query);
        let record = |class, ttl| {
            let mut record = Record::from_rdata(Name::root(), ttl, RData::A(Ipv4Addr::LOCALHOST.into()));
            record.dns_class = class;
            record
        };
        for class in [DNSClass::CH, DNSClass::HS, DNSClass::ANY, DNSClass::NONE, DNSClass::Unknown(0x8001)] {
            message.add_answer(record(class, 1));
            message.add_authority(record(class, 1));
        }
        message.add_answer(record(DNSClass::IN, 0x7fff_ffff));
        message.add_authority(record(DNSClass::IN, 0x8000_0000));
        let message = decode(SocketAddr::from(([127, 0, 0, 1], 53)), &message.to_vec().unwrap()).unwrap();
        assert_eq!(message.answers, [record(DNSClass::IN, 0x7fff_ffff)]);
        assert_eq!(message.answers[0].ttl, 0x7fff_ffff);
        assert_eq!((message.authorities.len(), message.authorities[0].ttl), (1, 0));
    }

    #[test]
    fn a_response_code_is_told_by_its_number() {
        let told = |code| {
            let mut message = Message::response(7, OpCode::Query);
            message.metadata.response_code = code;
            let reply = read(message, Transport::Udp);
            (reply.outcome, reply.detail.to_string())
        };
        assert_eq!(told(ResponseCode::Unknown(11)), (Outcome::OtherCode, "response code 11".to_owned()));
        assert_eq!(told(ResponseCode::NotZone), (Outcome::OtherCode, "response code 10 (Name not in zone)".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(message) = decode(SocketAddr::from(([127, 0, 0, 1], 53)), &bytes) {
                let _ = read(message, Transport::Udp);
            }
        }
    }
}
