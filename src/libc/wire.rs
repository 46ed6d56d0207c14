//! What a library asks of name servers, and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use crate::model::RecordType;

/// One question of a library to one name server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// Where it is sent.
    pub server: SocketAddr,
    /// The name asked for: absolute, in lower case, without the dot at its end, and with the escapes of zone files. The
    /// root is empty.
    pub name: String,
    /// `A` or `AAAA`.
    pub record_type: RecordType,
    /// Whether it goes over a TCP connection of its own, and not in a datagram.
    pub over_tcp: bool,
    /// Whether it carries an OPT record.
    pub edns: bool,
    /// How many times the same was sent to the same server before.
    pub earlier: u32,
}

/// What came back to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireReply {
    /// Nothing, for as long as anything waits.
    Silence,
    /// The system said, this long after sending, that the server cannot be reached: refused, or no route.
    Unreachable(Duration),
    /// A connection that was closed without an answer, this long after the question.
    Closed(Duration),
    /// The bytes of the first answer with the question's ID, and how long after the question they came. Over TCP without
    /// their length in front.
    Bytes(Duration, Vec<u8>),
}

/// Questions whose replies are not known yet. It is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unasked(pub Vec<Question>);

/// Replies, as far as they are known.
pub trait Wire {
    /// The reply to this question; `None` where it has not been asked yet.
    fn reply(&self, question: &Question) -> Option<&WireReply>;
}
