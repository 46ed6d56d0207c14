//! One name asked of the servers, as glibc asks it (glibc 2.36, `resolv/res_send.c`): both types from one socket, one server
//! after the other, and again, until one answers in a way that counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::resolv_conf::{GlibcConf, GlibcOption};
use super::sockets::{Arrived, Sockets};
use crate::libc::outcome::Wait;
use crate::libc::packet::{
    HEADER_LENGTH, Header, NOERROR, NOTIMP, REFUSED, SERVFAIL, TYPE_A, TYPE_AAAA, WireName, asks_for,
};
use crate::libc::wire::{Question, Wire, WireReply};
use crate::model::RecordType;

/// The room for a reply at first, and once one was longer.
const ROOM: usize = 2048;
const MORE_ROOM: usize = 65536;

/// Why a run ends before the library has an answer.
#[derive(Debug)]
pub(super) enum Halt {
    /// Replies are missing.
    Unasked(Vec<Question>),
    /// It waits without a limit.
    Hangs,
}

/// What the last system call left behind (`errno`): it decides what becomes of a lookup that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SystemError {
    None,
    Refused,
    TimedOut,
    Other,
}

/// How the two types are asked for. A server that seems to bear only one question at a time changes it for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum QuestionPace {
    Together,
    OneByOne,
    /// Each from a socket of its own.
    Reopened,
}

/// What is asked for: a name, and one type or both.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) name: &'a WireName,
    pub(super) types: &'a [RecordType],
}

impl Ask<'_> {
    fn is_for_two(&self) -> bool {
        self.types.len() == 2
    }
}

/// The lengths of the replies in the two buffers. Zero is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) first: usize,
    pub(super) second: usize,
}

/// What came of one server.
enum ServerTurn {
    /// The next one is asked.
    Next,
    /// Its replies count.
    Answered(Lengths),
    /// It must be asked over TCP.
    Truncated,
}

/// A resolver at work: its clock, its sockets, its buffers, and what it remembers from one name to the next.
pub(super) struct GlibcExchange<'a> {
    conf: &'a GlibcConf,
    wire: &'a dyn Wire,
    pub(super) now: Duration,
    pub(super) waits: Vec<Wait>,
    pub(super) error: SystemError,
    /// The reply that came first, and what was left there by earlier ones.
    pub(super) first: Vec<u8>,
    /// The reply that came second; without room before there was one.
    pub(super) second: Vec<u8>,
    /// How much of either buffer was ever written.
    written: [usize; 2],
    /// Whether it hung on memory that nothing wrote.
    pub(super) is_guessed: bool,
    sockets: Sockets,
    pace: QuestionPace,
    /// How many names were asked for: with `rotate` each begins with another server.
    turns: usize,
    asked: HashMap<Question, u32>,
    /// Whether any server gave a sign: without one, no server is there.
    heard: bool,
}

impl<'a> GlibcExchange<'a> {
    /// `start` is the server that `rotate` happens to begin with.
    pub(super) fn new(conf: &'a GlibcConf, wire: &'a dyn Wire, start: usize) -> Self {
        let pace = if conf.has(GlibcOption::SingleRequestReopen) {
            QuestionPace::Reopened
        } else if conf.has(GlibcOption::SingleRequest) {
            QuestionPace::OneByOne
        } else {
            QuestionPace::Together
        };
        Self {
            conf,
            wire,
            now: Duration::ZERO,
            waits: Vec::new(),
            error: SystemError::None,
            first: vec![0; ROOM],
            second: Vec::new(),
            written: [0; 2],
            is_guessed: false,
            sockets: Sockets::new(conf.servers.len()),
            pace,
            turns: start,
            asked: HashMap::new(),
            heard: false,
        }
    }

    /// Fresh buffers, as a lookup begins with.
    pub(super) fn empty_buffers(&mut self) {
        self.first = vec![0; ROOM];
        self.written[0] = 0;
    }

    /// Asks the servers, and gives the lengths of the replies; none where none counts.
    pub(super) fn send(&mut self, ask: &Ask<'_>) -> Result<Option<Lengths>, Halt> {
        let count = self.conf.servers.len();
        let start = if self.conf.has(GlibcOption::Rotate) && count > 1 { self.turns % count } else { 0 };
        self.turns = self.turns.wrapping_add(1);
        self.heard = false;
        let mut over_tcp = self.conf.has(GlibcOption::UseVc);
        let mut last_error = SystemError::TimedOut;
        let mut attempt = 0;
        while attempt < self.conf.attempts {
            for shift in 0..count {
                let place = (start + shift) % count;
                let mut turn = if over_tcp { ServerTurn::Truncated } else { self.over_udp(ask, place)? };
                if matches!(turn, ServerTurn::Truncated) {
                    // From here on it stays with TCP, and goes through the servers no second time.
                    over_tcp = true;
                    attempt = self.conf.attempts;
                    turn = self.over_tcp(ask, place, &mut last_error)?;
                }
                if let ServerTurn::Answered(lengths) = turn
                    && (lengths.first > 0 || (ask.is_for_two() && lengths.second > 0))
                {
                    self.sockets.close_all();
                    return Ok(Some(lengths));
                }
            }
            attempt = attempt.saturating_add(1);
        }
        self.sockets.close_all();
        self.error = match (over_tcp, self.heard) {
            (true, _) => last_error,
            (false, true) => SystemError::TimedOut,
            (false, false) => SystemError::Refused,
        };
        Ok(None)
    }

    /// How long this server is waited for: the later ones share what the list has, and none gets less than a second.
    fn patience(&self, place: usize) -> Duration {
        let count = i64::try_from(self.conf.servers.len()).unwrap_or(1);
        let doubled = i64::from(self.conf.timeout) << place;
        let seconds = if place > 0 { doubled / count } else { doubled };
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
    }

    fn over_udp(&mut self, ask: &Ask<'_>, place: usize) -> Result<ServerTurn, Halt> {
        let heard_before = self.heard;
        let mut lengths = Lengths::default();
        loop {
            let phase = self.phase(ask, place, &mut lengths)?;
            let Phase::TimedOut { has_one } = phase else { return Ok(phase.turn(lengths)) };
            // One answer came and the other did not: the server may bear one question at a time.
            if !(has_one && lengths.first > 1) {
                self.heard = true;
                return Ok(ServerTurn::Next);
            }
            match self.pace {
                QuestionPace::Together => self.pace = QuestionPace::OneByOne,
                QuestionPace::OneByOne => {
                    self.pace = QuestionPace::Reopened;
                    self.sockets.close_all();
                }
                QuestionPace::Reopened => return Ok(ServerTurn::Answered(Lengths { second: 1, ..lengths })),
            }
            self.heard = heard_before;
        }
    }

    /// Sends, and waits until all is there or the time is over.
    fn phase(&mut self, ask: &Ask<'_>, place: usize, lengths: &mut Lengths) -> Result<Phase, Halt> {
        let begun = self.now;
        let mut received = [false, !ask.is_for_two()];
        let together = self.pace == QuestionPace::Together;
        self.sockets.open(place);
        let sent = if together { ask.types } else { &ask.types[..1] };
        if !self.post(ask, place, sent)? {
            return Ok(self.ended(ask, place, begun, received, "cannot be reached", Phase::Next));
        }
        let finish = begun + self.patience(place);
        loop {
            let Some((at, arrived)) = self.sockets.take(place, finish) else {
                self.now = finish;
                let has_one = received[0] || (ask.is_for_two() && received[1]);
                let words = if has_one { "one answer is missing" } else { "no answer" };
                return Ok(self.ended(ask, place, begun, received, words, Phase::TimedOut { has_one }));
            };
            self.now = self.now.max(at);
            self.error = SystemError::None;
            let (record_type, bytes) = match arrived {
                Arrived::Reply(record_type, bytes) => (record_type, bytes),
                Arrived::Error => {
                    self.sockets.close_all();
                    return Ok(self.ended(ask, place, begun, received, "cannot be reached", Phase::Next));
                }
            };
            self.heard |= !bytes.is_empty();
            if bytes.len() < HEADER_LENGTH {
                self.sockets.close_all();
                return Ok(self.ended(ask, place, begun, received, "garbage", Phase::Next));
            }
            let has_one = received[0] || (ask.is_for_two() && received[1]);
            let header = Header(self.store(has_one, &bytes, lengths));
            let is_refusal = matches!(header.rcode(), SERVFAIL | NOTIMP | REFUSED);
            // Some servers refuse without repeating the question.
            let is_bare = bytes.len() == HEADER_LENGTH && header.questions() == 0 && is_refusal;
            let which = ask.types.iter().position(|asked| *asked == record_type).unwrap_or(0);
            let code = header.rcode();
            let is_lame = code == NOERROR
                && header.answers() == 0
                && header.additionals() == 0
                && !header.is_authoritative()
                && !header.offers_recursion();
            let is_truncated = header.is_truncated();
            if received[which] || !(is_bare || self.passes(has_one, ask.name, record_type)) {
                continue;
            }
            if is_refusal || is_lame {
                let words = if is_lame { "does not look further" } else { refusal(code) };
                if has_one {
                    lengths.second = 0;
                    return Ok(self.ended(ask, place, begun, received, words, Phase::Answered));
                }
                if ask.is_for_two() && together {
                    lengths.first = 0;
                    received[which] = true;
                    continue;
                }
                self.sockets.close_all();
                return Ok(self.ended(ask, place, begun, received, words, Phase::Next));
            }
            if is_truncated {
                self.sockets.close_all();
                return Ok(self.ended(ask, place, begun, received, "cut short, so over TCP", Phase::Truncated));
            }
            let before = received;
            received[which] = true;
            if received == [true, true] {
                return Ok(self.ended(ask, place, begun, before, "answered", Phase::Answered));
            }
            if !together {
                if self.pace == QuestionPace::Reopened {
                    self.sockets.close_all();
                    self.sockets.open(place);
                }
                if !self.post(ask, place, &ask.types[1..])? {
                    return Ok(self.ended(ask, place, begun, received, "cannot be reached", Phase::Next));
                }
            }
        }
    }

    /// Puts questions on their way; false where the socket has learnt meanwhile that no server is there.
    fn post(&mut self, ask: &Ask<'_>, place: usize, types: &[RecordType]) -> Result<bool, Halt> {
        self.error = SystemError::None;
        if self.sockets.has_error(place, self.now) {
            self.sockets.close_all();
            return Ok(false);
        }
        for (record_type, reply) in self.ask(ask.name, self.conf.servers[place], types, false)? {
            match reply {
                WireReply::Silence | WireReply::Closed(_) => {}
                WireReply::Unreachable(after) => self.sockets.arrive(place, self.now + after, Arrived::Error),
                WireReply::Bytes(after, bytes) => {
                    self.sockets.arrive(place, self.now + after, Arrived::Reply(record_type, bytes));
                }
            }
        }
        Ok(true)
    }

    /// The replies to these questions, or the end of the run where one of them is not known.
    fn ask(
        &mut self,
        name: &WireName,
        server: SocketAddr,
        types: &[RecordType],
        over_tcp: bool,
    ) -> Result<Vec<(RecordType, WireReply)>, Halt> {
        let name = name.to_text().to_ascii_lowercase();
        let edns = self.conf.has(GlibcOption::Edns0);
        let (mut replies, mut missing) = (Vec::new(), Vec::new());
        for &record_type in types {
            let first = Question { server, name: name.clone(), record_type, over_tcp, edns, earlier: 0 };
            let earlier = self.asked.entry(first.clone()).or_default();
            let question = Question { earlier: *earlier, ..first };
            *earlier += 1;
            match self.wire.reply(&question) {
                Some(reply) => replies.push((record_type, reply.clone())),
                None => missing.push(question),
            }
        }
        if missing.is_empty() { Ok(replies) } else { Err(Halt::Unasked(missing)) }
    }

    /// Reads a reply into its buffer, behind which the bytes of earlier ones stay.
    fn store(&mut self, is_second: bool, bytes: &[u8], lengths: &mut Lengths) -> &[u8] {
        let (buffer, length) = if is_second {
            self.second.resize(MORE_ROOM, 0);
            (&mut self.second, &mut lengths.second)
        } else {
            if bytes.len() > self.first.len() {
                self.first = vec![0; MORE_ROOM];
                self.written[0] = 0;
            }
            (&mut self.first, &mut lengths.first)
        };
        *length = bytes.len().min(buffer.len());
        let written = &mut self.written[usize::from(is_second)];
        *written = (*written).max(*length);
        buffer[..*length].copy_from_slice(&bytes[..*length]);
        buffer
    }

    /// Whether the reply in that buffer passes for the one to this question: a question that cannot be read does. The
    /// library reads on behind the reply: there are the bytes of earlier ones, and behind those what cannot be known.
    fn passes(&mut self, is_second: bool, name: &WireName, record_type: RecordType) -> bool {
        let buffer = if is_second { &self.second } else { &self.first };
        let written = self.written[usize::from(is_second)];
        let asks = |bytes: &[u8]| asks_for(bytes, name, number(record_type));
        asks(&buffer[..written]).unwrap_or_else(|| {
            let passes = asks(buffer).unwrap_or(true);
            let mut other = buffer.clone();
            other[written..].fill(0xff);
            self.is_guessed |= passes != asks(&other).unwrap_or(true);
            passes
        })
    }

    /// Both questions over one connection. There is no limit for the answers, and no code moves on to the next server.
    fn over_tcp(&mut self, ask: &Ask<'_>, place: usize, last_error: &mut SystemError) -> Result<ServerTurn, Halt> {
        let begun = self.now;
        let replies = self.ask(ask.name, self.conf.servers[place], ask.types, true)?;
        let refused = replies.iter().filter_map(|(_, reply)| match reply {
            WireReply::Unreachable(after) => Some(*after),
            _ => None,
        });
        if let Some(after) = refused.min() {
            self.now += after;
            *last_error = SystemError::Refused;
            return Ok(self.over_tcp_ended(ask, place, begun, "cannot be reached over TCP"));
        }
        self.error = SystemError::None;
        let mut coming: Vec<(Duration, Option<Vec<u8>>)> = Vec::new();
        for (_, reply) in replies {
            match reply {
                WireReply::Closed(after) => coming.push((after, None)),
                WireReply::Bytes(after, bytes) => coming.push((after, Some(bytes))),
                WireReply::Silence | WireReply::Unreachable(_) => {}
            }
        }
        coming.sort_by_key(|(after, _)| *after);
        let mut lengths = Lengths::default();
        for (index, (after, bytes)) in coming.iter().enumerate() {
            self.now = begun + *after;
            let Some(bytes) = bytes else {
                *last_error = SystemError::None;
                return Ok(self.over_tcp_ended(ask, place, begun, "closed without an answer"));
            };
            if bytes.len() < HEADER_LENGTH {
                *last_error = SystemError::Other;
                return Ok(self.over_tcp_ended(ask, place, begun, "garbage"));
            }
            self.store(index == 1, bytes, &mut lengths);
        }
        if coming.len() < ask.types.len() {
            self.over_tcp_ended(ask, place, begun, "silent over TCP");
            return Err(Halt::Hangs);
        }
        self.over_tcp_ended(ask, place, begun, "answered over TCP");
        Ok(ServerTurn::Answered(lengths))
    }

    fn over_tcp_ended(&mut self, ask: &Ask<'_>, place: usize, begun: Duration, words: &str) -> ServerTurn {
        self.sockets.close_all();
        let record_type = (!ask.is_for_two()).then(|| ask.types[0]);
        self.wait(ask, place, begun, record_type, words);
        ServerTurn::Next
    }

    /// Notes a wait over UDP, and gives what came of it.
    fn ended(
        &mut self,
        ask: &Ask<'_>,
        place: usize,
        begun: Duration,
        received: [bool; 2],
        words: &str,
        phase: Phase,
    ) -> Phase {
        // The type that was still waited for.
        let record_type = match received {
            [false, true] => Some(ask.types[0]),
            [true, false] => ask.types.get(1).copied(),
            _ => None,
        };
        self.wait(ask, place, begun, record_type, words);
        phase
    }

    fn wait(&mut self, ask: &Ask<'_>, place: usize, begun: Duration, record_type: Option<RecordType>, words: &str) {
        self.waits.push(Wait {
            server: self.conf.servers[place],
            name: ask.name.to_text().to_ascii_lowercase(),
            record_type,
            waited: self.now.saturating_sub(begun),
            ended: words.to_owned(),
        });
    }
}

/// What came of one sending.
enum Phase {
    Next,
    Answered,
    Truncated,
    TimedOut {
        /// Whether one of two answers came.
        has_one: bool,
    },
}

impl Phase {
    fn turn(self, lengths: Lengths) -> ServerTurn {
        match self {
            Self::Answered => ServerTurn::Answered(lengths),
            Self::Truncated => ServerTurn::Truncated,
            Self::Next | Self::TimedOut { .. } => ServerTurn::Next,
        }
    }
}

fn number(record_type: RecordType) -> u16 {
    match record_type {
        RecordType::A => TYPE_A,
        RecordType::Aaaa => TYPE_AAAA,
    }
}

fn refusal(code: u8) -> &'static str {
    match code {
        SERVFAIL => "SERVFAIL",
        NOTIMP => "NOTIMP",
        _ => "REFUSED",
    }
}
