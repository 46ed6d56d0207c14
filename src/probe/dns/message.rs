//! Questions and answers as they stand on the wire (RFC 1035).

use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, MessageType, Query as Question};
use hickory_resolver::proto::rr::{DNSClass, Name, RecordType as WireType};

use super::failure::Failure;
use crate::model::{Outcome, Protocol, RecordType, WireText};

/// A name as a person reads it, without the last dot.
pub(super) fn shown(name: &Name) -> WireText {
    let text = name.to_ascii();
    WireText::new(text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text))
}

/// One question as a message.
pub(super) fn question(name: &Name, record_type: RecordType, protocol: Protocol) -> Message {
    let mut question = Message::query();
    // With an id of its own, no answer could be kept by a cache of HTTP (RFC 8484, 4.1).
    if protocol.row().http {
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
    use std::net::Ipv4Addr;

    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::{RData, Record};

    use super::*;

    #[test]
    fn a_question_has_an_id_of_its_own_but_over_https() {
        let id = |protocol| question(&Name::root(), RecordType::A, protocol).metadata.id;
        assert_eq!(id(Protocol::Https), 0);
        for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Tls] {
            let ids: std::collections::BTreeSet<_> = (0..16).map(|_| id(protocol)).collect();
            assert!(ids.len() > 1, "{protocol}: {ids:?}");
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
}
