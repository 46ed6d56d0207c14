//! Follows aliases from a name to its addresses, keeping the whole way.

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, RecordType as WireType};

use super::chain::CnameChain;
use super::message::shown;
use super::query::Queries;
use super::upstream::NameServers;
use crate::model::{Alias, Answer, Outcome, RecordType, WireText};
use crate::net::deadline::Deadline;

/// The longest way that is followed. Public resolvers give up at 8 to 16; Azure's own chains have 2 to 4.
const LONGEST_CHAIN: usize = 16;

/// Asks for IPv4 and IPv6 addresses at once and joins what came.
pub(super) async fn follow_cnames(name: &Name, servers: &NameServers, deadline: Deadline) -> CnameChain {
    let queries = Queries::new(servers);
    let (v4, v6) = tokio::join!(
        follow_type(name, RecordType::A, &queries, deadline),
        follow_type(name, RecordType::Aaaa, &queries, deadline)
    );
    queries.close(deadline).await;
    join(v4, v6)
}

/// Joins the two halves. Where neither has an address, the IPv4 half says why: private endpoints have no other.
pub(super) fn join(mut v4: CnameChain, mut v6: CnameChain) -> CnameChain {
    let says_nothing = |half: &CnameChain| matches!(half.outcome, Outcome::NoData | Outcome::Answered);
    let reason_is_v6 = v4.addresses.is_empty() && says_nothing(&v4) && !says_nothing(&v6);
    let keeps_v4_chain = !v4.addresses.is_empty() || v6.addresses.is_empty() && v4.chain.len() >= v6.chain.len();
    let mut addresses = std::mem::take(&mut v4.addresses);
    addresses.append(&mut v6.addresses);
    let mut queries = std::mem::take(&mut v4.queries);
    queries.append(&mut v6.queries);
    let chain = std::mem::take(if keeps_v4_chain { &mut v4.chain } else { &mut v6.chain });
    CnameChain { chain, addresses, queries, ..if reason_is_v6 { v6 } else { v4 } }
}

/// Follows one record type.
async fn follow_type(name: &Name, record_type: RecordType, queries: &Queries<'_>, deadline: Deadline) -> CnameChain {
    let mut found = CnameChain::nothing(name.clone());
    let mut follower = Follower::new(name.clone());
    loop {
        let response = queries.ask(&follower.at, record_type, deadline, &mut found.queries).await;
        found.outcome = response.outcome;
        found.detail = response.detail;
        let Some(message) = response.message else { return found };
        let steps = found.chain.len();
        if let Err(words) = follower.follow(&message, &mut found.chain) {
            found.outcome = Outcome::Malformed;
            found.detail = WireText::new(&words);
            found.looped = true;
            return found;
        }
        found.addresses = addresses(&message, &follower.at, record_type);
        let advanced = found.chain.len() > steps;
        if !found.addresses.is_empty() || found.outcome != Outcome::Answered {
            return found;
        }
        // The answer had aliases and no address. A server that says where the zone begins has said that there is none;
        // another one left the rest of the way to be asked.
        let says_no_data = message.authorities.iter().any(|record| record.record_type() == WireType::SOA);
        if !advanced || says_no_data {
            found.outcome = Outcome::NoData;
            return found;
        }
    }
}

/// Where the walk along the aliases stands.
pub(super) struct Follower {
    at: Name,
    seen: Vec<Name>,
}

impl Follower {
    pub(super) fn new(name: Name) -> Self {
        Self { at: name.clone(), seen: vec![name] }
    }

    /// The name that the walk has come to.
    pub(super) fn at(&self) -> &Name {
        &self.at
    }

    /// Follows the aliases of one message as far as they go.
    ///
    /// # Errors
    /// In words, where they lead in a circle or too far.
    pub(super) fn follow(&mut self, message: &Message, chain: &mut Vec<Alias>) -> Result<(), String> {
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
pub(super) fn addresses(message: &Message, owner: &Name, record_type: RecordType) -> Vec<Answer> {
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
        let mut follower = Follower { at: name(start), seen: vec![name(start)] };
        let mut chain = Vec::new();
        let result = follower.follow(message, &mut chain);
        (result, chain.len(), follower.at)
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
        /// Whatever aliases a message holds, the follower ends within its bound.
        #[test]
        fn every_walk_ends(edges in proptest::collection::vec((0u8..24, 0u8..24), 0..60)) {
            let names: Vec<_> = edges.iter().map(|(from, to)| (format!("n{from}.test."), format!("n{to}.test."))).collect();
            let records: Vec<_> = names.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
            let (_, length, _) = follow("n0.test.", &message(&records));
            prop_assert!(length <= LONGEST_CHAIN);
        }
    }
}
