//! Follows aliases from a name to its addresses, keeping the whole way.

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, RecordType as WireType};

use super::exchange::{Exchange, Servers, shown};
use crate::model::{Alias, Answer, Outcome, Query, RecordType, WireText};
use crate::net::deadline::Deadline;

/// The longest way that is followed. Public resolvers give up at 8 to 16; Azure's own chains have 2 to 4.
const LONGEST_CHAIN: usize = 16;

/// What a name led to.
#[derive(Debug)]
pub(super) struct Chased {
    /// The name that was asked for.
    pub(super) name: Name,
    pub(super) chain: Vec<Alias>,
    /// IPv4 first, as they came.
    pub(super) addresses: Vec<Answer>,
    pub(super) queries: Vec<Query>,
    /// What came of the last question; tells why there is no address, where there is none.
    pub(super) outcome: Outcome,
    pub(super) detail: WireText,
    /// Whether the aliases lead in a circle, or too far.
    pub(super) looped: bool,
}

/// Asks for IPv4 and IPv6 addresses at once and joins what came.
pub(super) async fn chase(name: &Name, servers: &Servers, deadline: Deadline) -> Chased {
    let exchange = Exchange::new(servers);
    let (v4, v6) = tokio::join!(
        chase_one(name, RecordType::A, &exchange, deadline),
        chase_one(name, RecordType::Aaaa, &exchange, deadline)
    );
    exchange.close(deadline).await;
    join(v4, v6)
}

/// Joins the two halves. Where neither has an address, the IPv4 half says why: private endpoints have no other.
fn join(v4: Chased, v6: Chased) -> Chased {
    let v4_settles_nothing = v4.addresses.is_empty() && matches!(v4.outcome, Outcome::NoData | Outcome::Answered);
    let blames_v6 = v4_settles_nothing && !matches!(v6.outcome, Outcome::NoData | Outcome::Answered);
    let has_v4 = !v4.addresses.is_empty();
    let keeps_v4_chain = has_v4 || v6.addresses.is_empty() && v4.chain.len() >= v6.chain.len();
    let (reason, other) = if blames_v6 { (v6, v4) } else { (v4, v6) };
    let mut joined = Chased { addresses: Vec::new(), queries: Vec::new(), chain: Vec::new(), ..reason };
    let (first, second) = if blames_v6 {
        ((other.addresses, other.queries, other.chain), (reason.addresses, reason.queries, reason.chain))
    } else {
        ((reason.addresses, reason.queries, reason.chain), (other.addresses, other.queries, other.chain))
    };
    joined.addresses = first.0.into_iter().chain(second.0).collect();
    joined.queries = first.1.into_iter().chain(second.1).collect();
    joined.chain = if keeps_v4_chain { first.2 } else { second.2 };
    joined
}

/// Follows one record type.
async fn chase_one(name: &Name, record_type: RecordType, exchange: &Exchange<'_>, deadline: Deadline) -> Chased {
    let mut chased = Chased {
        name: name.clone(),
        chain: Vec::new(),
        addresses: Vec::new(),
        queries: Vec::new(),
        outcome: Outcome::Timeout,
        detail: WireText::default(),
        looped: false,
    };
    let mut walk = Walk { at: name.clone(), seen: vec![name.clone()] };
    loop {
        let reply = exchange.ask(&walk.at, record_type, deadline, &mut chased.queries).await;
        chased.outcome = reply.outcome;
        chased.detail = reply.detail;
        let Some(message) = reply.message else { return chased };
        let steps = chased.chain.len();
        if let Err(words) = walk.follow(&message, &mut chased.chain) {
            chased.outcome = Outcome::Malformed;
            chased.detail = WireText::new(&words);
            chased.looped = true;
            return chased;
        }
        chased.addresses = addresses(&message, &walk.at, record_type);
        let advanced = chased.chain.len() > steps;
        if !chased.addresses.is_empty() || chased.outcome != Outcome::Answered {
            return chased;
        }
        // The answer had aliases and no address. A server that says where the zone begins has said that there is none;
        // another one left the rest of the way to be asked.
        let says_no_data = message.authorities.iter().any(|record| record.record_type() == WireType::SOA);
        if !advanced || says_no_data {
            chased.outcome = Outcome::NoData;
            return chased;
        }
    }
}

/// Where the walk along the aliases stands.
struct Walk {
    at: Name,
    seen: Vec<Name>,
}

impl Walk {
    /// Follows the aliases of one message as far as they go.
    ///
    /// # Errors
    /// In words, where they lead in a circle or too far.
    fn follow(&mut self, message: &Message, chain: &mut Vec<Alias>) -> Result<(), String> {
        while let Some((target, ttl)) = alias_of(message, &self.at) {
            chain.push(Alias { owner: shown(&self.at), target: shown(target), ttl });
            if self.seen.contains(target) {
                return Err(format!("the aliases lead in a circle, back to {}", shown(target)));
            }
            if chain.len() >= LONGEST_CHAIN {
                return Err(format!("more than {LONGEST_CHAIN} aliases, the last to {}", shown(target)));
            }
            self.at = target.clone();
            self.seen.push(target.clone());
        }
        Ok(())
    }
}

/// What `owner` is an alias of, in this message.
fn alias_of<'message>(message: &'message Message, owner: &Name) -> Option<(&'message Name, u32)> {
    message.answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *owner => Some((&target.0, record.ttl)),
        _ => None,
    })
}

/// The addresses of `owner`, in this message.
fn addresses(message: &Message, owner: &Name, record_type: RecordType) -> Vec<Answer> {
    let of_owner = message.answers.iter().filter(|record| record.name == *owner);
    of_owner
        .filter_map(|record| match (&record.data, record_type) {
            (RData::A(address), RecordType::A) => Some(Answer::new(address.0.into(), Some(record.ttl))),
            (RData::AAAA(address), RecordType::Aaaa) => Some(Answer::new(address.0.into(), Some(record.ttl))),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn message(records: &[(&str, &str)]) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        for (owner, data) in records {
            let data = match data.parse::<Ipv4Addr>() {
                Ok(address) => RData::A(A(address)),
                Err(_) => RData::CNAME(CNAME(name(data))),
            };
            message.add_answer(Record::from_rdata(name(owner), 30, data));
        }
        message
    }

    fn follow(start: &str, message: &Message) -> (Result<(), String>, usize, Name) {
        let mut walk = Walk { at: name(start), seen: vec![name(start)] };
        let mut chain = Vec::new();
        let result = walk.follow(message, &mut chain);
        (result, chain.len(), walk.at)
    }

    #[test]
    fn a_chain_is_followed_in_whatever_order_it_came() {
        let answer = message(&[("c.test.", "10.0.0.4"), ("B.test.", "c.test."), ("a.test.", "b.test.")]);
        let (result, length, end) = follow("a.test.", &answer);
        assert_eq!((result, length, end), (Ok(()), 2, name("c.test.")));
        let found = addresses(&answer, &name("c.test."), RecordType::A);
        assert_eq!(found, [Answer::new("10.0.0.4".parse().unwrap(), Some(30))]);
    }

    #[test]
    fn an_address_of_another_name_is_not_an_answer() {
        let answer = message(&[("a.test.", "b.test."), ("evil.test.", "10.0.0.4")]);
        let (_, _, end) = follow("a.test.", &answer);
        assert!(addresses(&answer, &end, RecordType::A).is_empty());
    }

    #[test]
    fn a_circle_ends() {
        let (result, length, _) = follow("a.test.", &message(&[("a.test.", "b.test."), ("b.test.", "a.test.")]));
        assert_eq!(result.unwrap_err(), "the aliases lead in a circle, back to a.test");
        assert_eq!(length, 2);
    }

    proptest! {
        /// Whatever aliases a message holds, the walk ends within its bound.
        #[test]
        fn every_walk_ends(edges in proptest::collection::vec((0u8..24, 0u8..24), 0..60)) {
            let names: Vec<_> = edges.iter().map(|(from, to)| (format!("n{from}.test."), format!("n{to}.test."))).collect();
            let records: Vec<_> = names.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
            let (_, length, _) = follow("n0.test.", &message(&records));
            prop_assert!(length <= LONGEST_CHAIN);
        }
    }
}
