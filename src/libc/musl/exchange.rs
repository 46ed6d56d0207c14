//! The questions for one name on the way (musl 1.2.3, `src/network/res_msend.c`).
//!
//! Both types are asked of all servers at once, and again at fixed intervals until each has an answer. The first answer that
//! says NOERROR or NXDOMAIN is taken, whichever server gave it. SERVFAIL is asked again at once, a few times, and any other code
//! is passed over, as if nothing had come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use super::super::{Question, Unasked, Wait, Wire, WireReply};
use super::answer::Packet;
use super::resolv_conf::MuslConf;
use super::version::MuslVersion;
use crate::model::RecordType;

/// Both types, in the order in which they are asked.
pub(super) const TYPES: [RecordType; 2] = [RecordType::A, RecordType::Aaaa];
/// Less has no response code.
const LEAST: usize = 4;
/// Over TCP less is no answer.
const LEAST_OVER_TCP: usize = 13;

/// What is sent and received, for one lookup.
pub(super) struct Exchange<'run, W> {
    pub(super) version: MuslVersion,
    pub(super) wire: &'run W,
    pub(super) conf: &'run MuslConf,
    /// So close to the timeout, it is over.
    pub(super) lateness: Duration,
    /// How often each question was sent.
    pub(super) sent: HashMap<Question, u32>,
    /// Since the lookup began.
    pub(super) now: Duration,
    pub(super) waits: Vec<Wait>,
}

/// What came for one name.
#[derive(Debug)]
pub(super) struct MuslAnswers {
    /// Both answers, one behind the other in memory, each in as many bytes as musl has for one.
    memory: Vec<Option<u8>>,
    room: usize,
    /// Zero where none came.
    lengths: [usize; 2],
}

impl MuslAnswers {
    /// The answer to the question of that place; `None` where none came.
    pub(super) fn packet(&self, place: usize) -> Option<Packet<'_>> {
        let length = self.lengths[place].min(self.room);
        (length >= LEAST).then(|| Packet { memory: &self.memory[place * self.room..], length })
    }
}

/// One name on the way.
struct Flight {
    answers: MuslAnswers,
    /// What will come, the next first: when, and in which order it was sent.
    coming: BinaryHeap<Reverse<(Duration, usize)>>,
    replies: Vec<Coming>,
    /// Who gave the answer to each question.
    answered_by: [Option<SocketAddr>; 2],
    is_over_tcp: [bool; 2],
    /// The slot that the next datagram is received into.
    next: usize,
    servfail_retries: usize,
    /// What each server said that was passed over.
    passed_over: BTreeMap<SocketAddr, String>,
    /// A connection ended the exchange.
    is_given_up: bool,
}

struct Coming {
    server: SocketAddr,
    place: usize,
    over_tcp: bool,
    /// `None` is a connection that ended, or could not be made.
    bytes: Option<Vec<u8>>,
}

impl<W: Wire> Exchange<'_, W> {
    /// Asks both types of this name, or of nothing, where the questions are malformed and no server can answer them.
    pub(super) fn ask(&mut self, name: Option<&str>) -> Result<MuslAnswers, Unasked> {
        let timeout = self.conf.timeout;
        let interval = self.conf.interval();
        let room = self.version.room();
        let mut flight = Flight {
            answers: MuslAnswers { memory: vec![None; 2 * room], room, lengths: [0; 2] },
            coming: BinaryHeap::new(),
            replies: Vec::new(),
            answered_by: [None; 2],
            is_over_tcp: [false; 2],
            next: 0,
            servfail_retries: 0,
            passed_over: BTreeMap::new(),
            is_given_up: false,
        };
        let start = self.now;
        let mut sent_at = None;
        // The end is looked for only after something came or an interval ended: where the intervals do not fill the timeout,
        // the last one goes beyond it.
        while self.now + self.lateness < start + timeout && !flight.is_done() {
            let due = sent_at.map_or(start, |at| at + interval);
            if self.now >= due {
                self.send_all(name, &mut flight)?;
                sent_at = Some(self.now);
                flight.servfail_retries = 2 * TYPES.len();
                continue;
            }
            let arrival = flight.coming.peek().map(|Reverse((at, _))| *at).filter(|at| *at <= due);
            self.now = arrival.unwrap_or(due).max(self.now);
            while let Some(Reverse((at, number))) = flight.coming.peek().copied() {
                if at > self.now || flight.is_done() {
                    break;
                }
                flight.coming.pop();
                self.receive(name, &mut flight, number)?;
            }
        }
        for place in 0..TYPES.len() {
            if flight.answered_by[place].is_none() {
                flight.answers.lengths[place] = 0;
            }
        }
        self.tell(name, &flight, start);
        Ok(flight.answers)
    }

    fn send_all(&mut self, name: Option<&str>, flight: &mut Flight) -> Result<(), Unasked> {
        let Some(name) = name else { return Ok(()) };
        let mut missing = Vec::new();
        for place in 0..TYPES.len() {
            if flight.answered_by[place].is_none() && !flight.is_over_tcp[place] {
                for server in &self.conf.servers {
                    missing.extend(self.send(name, flight, place, *server, false));
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Unasked(missing)) }
    }

    /// Sends one question; the question itself where its reply is not known.
    fn send(
        &mut self,
        name: &str,
        flight: &mut Flight,
        place: usize,
        server: SocketAddr,
        over_tcp: bool,
    ) -> Option<Question> {
        // What is sent to no address goes to this machine, whose reply comes from another; what is sent to an address of a
        // link needs to know the link.
        if !over_tcp && is_never_heard(server) {
            return None;
        }
        let record_type = TYPES[place];
        let mut question = Question { server, name: name.to_owned(), record_type, over_tcp, edns: false, earlier: 0 };
        let sent = self.sent.entry(question.clone()).or_default();
        question.earlier = *sent;
        *sent += 1;
        let (after, bytes) = match self.wire.reply(&question) {
            None => return Some(question),
            Some(WireReply::Bytes(after, bytes)) => (*after, Some(bytes.clone())),
            // Of datagrams an unconnected socket does not hear that they were refused.
            Some(WireReply::Unreachable(after) | WireReply::Closed(after)) if over_tcp => (*after, None),
            Some(WireReply::Silence | WireReply::Unreachable(_) | WireReply::Closed(_)) => return None,
        };
        flight.coming.push(Reverse((self.now + after, flight.replies.len())));
        flight.replies.push(Coming { server, place, over_tcp, bytes });
        None
    }

    fn receive(&mut self, name: Option<&str>, flight: &mut Flight, number: usize) -> Result<(), Unasked> {
        let Coming { server, place, over_tcp, ref bytes } = flight.replies[number];
        let bytes = bytes.clone();
        if over_tcp {
            flight.receive_stream(server, place, bytes.as_deref());
            return Ok(());
        }
        let (Some(bytes), Some(name)) = (bytes, name) else { return Ok(()) };
        let again = flight.receive_datagram(server, place, &bytes, self.version);
        let over_tcp = match again {
            Again::No => return Ok(()),
            Again::Datagram => false,
            Again::Stream => true,
        };
        self.send(name, flight, place, server, over_tcp).map_or(Ok(()), |question| Err(Unasked(vec![question])))
    }

    /// Writes down what the exchange waited for.
    fn tell(&mut self, name: Option<&str>, flight: &Flight, start: Duration) {
        let waited = self.now.saturating_sub(start);
        let open: Vec<_> = (0..TYPES.len()).filter(|place| flight.answered_by[*place].is_none()).collect();
        let first = self.conf.servers[0];
        let (server, record_type, ended) = match (&open[..], flight.answered_by) {
            ([], [Some(_), Some(last)]) => (last, None, "answered".to_owned()),
            (open, answered_by) => {
                let said = |server: &SocketAddr| {
                    let words = flight.passed_over.get(server).map_or("nothing", String::as_str);
                    format!("{}: {words}", server.ip())
                };
                let words: Vec<_> = self.conf.servers.iter().map(said).collect();
                let is_connection = open.iter().any(|place| flight.is_over_tcp[*place]);
                let how = if is_connection { " over TCP" } else { "" };
                let record_type = (open.len() == 1).then(|| TYPES[open[0]]);
                let silent = self.conf.servers.iter().find(|server| !answered_by.contains(&Some(**server)));
                (
                    silent.copied().unwrap_or(first),
                    record_type,
                    format!("no answer{how} that musl takes ({})", words.join(", ")),
                )
            }
        };
        let name = name.unwrap_or("a malformed question").to_owned();
        self.waits.push(Wait { server, name, record_type, waited, ended });
    }
}

/// Whether no reply of this server can be taken.
fn is_never_heard(server: SocketAddr) -> bool {
    let is_of_no_link = match server {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(server) => server.ip().is_unicast_link_local() && server.scope_id() == 0,
    };
    server.ip().is_unspecified() || is_of_no_link
}

/// Whether a question is sent once more.
enum Again {
    No,
    Datagram,
    Stream,
}

impl Flight {
    fn is_done(&self) -> bool {
        self.is_given_up || self.answered_by.iter().all(Option::is_some)
    }

    fn write(&mut self, place: usize, bytes: &[u8]) {
        let start = place * self.answers.room;
        for (known, byte) in self.answers.memory[start..start + self.answers.room].iter_mut().zip(bytes) {
            *known = Some(*byte);
        }
        // The ID is that of a question that was never sent.
        self.answers.memory[start..start + 2].fill(None);
    }

    fn receive_datagram(&mut self, server: SocketAddr, place: usize, bytes: &[u8], version: MuslVersion) -> Again {
        if self.next >= TYPES.len() {
            return Again::No;
        }
        let (next, room) = (self.next, self.answers.room);
        let length = bytes.len().min(room);
        // It is received before it is looked at: what is passed over leaves its bytes behind.
        self.write(next, bytes);
        if length < LEAST || self.answers.lengths[place] != 0 {
            return Again::No;
        }
        match bytes[3] & 15 {
            0 | 3 => {}
            2 if self.servfail_retries > 0 => {
                self.servfail_retries -= 1;
                self.passed_over.insert(server, "SERVFAIL".to_owned());
                return Again::Datagram;
            }
            code => {
                self.passed_over.insert(server, code_word(code));
                return Again::No;
            }
        }
        self.answers.lengths[place] = length;
        if place == next {
            self.next += self.answers.lengths[next..].iter().take_while(|length| **length != 0).count();
        } else {
            self.write(place, bytes);
        }
        let is_cut = bytes[2] & 2 != 0 || bytes.len() > room;
        if version.has_tcp() && is_cut {
            self.is_over_tcp[place] = true;
            return Again::Stream;
        }
        self.answered_by[place] = Some(server);
        Again::No
    }

    fn receive_stream(&mut self, server: SocketAddr, place: usize, bytes: Option<&[u8]>) {
        let is_taken = |bytes: &&[u8]| bytes.len() >= LEAST_OVER_TCP && matches!(bytes[3] & 15, 0 | 3);
        let Some(bytes) = bytes.filter(is_taken) else {
            self.passed_over.insert(server, "the connection gave none".to_owned());
            self.is_given_up = true;
            return;
        };
        let length = bytes.len().min(self.answers.room);
        self.write(place, bytes);
        self.answers.lengths[place] = length;
        self.answered_by[place] = Some(server);
    }
}

fn code_word(code: u8) -> String {
    match code {
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        9 => "NOTAUTH".to_owned(),
        other => format!("code {other}"),
    }
}
