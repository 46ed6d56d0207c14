//! What musl reads out of the bytes of an answer (musl 1.2.3, `src/network/dns_parse.c`, `dn_expand.c` and `dns_parse_callback` in
//! `lookup_name.c`).
//!
//! It looks neither at the owner of a record nor at its class, nor whether the question is its own: every address in the
//! answer section counts, wherever an alias leads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::is_valid_host;
use super::version::{MOST_ADDRESSES, MuslVersion};

const A: u8 = 1;
const CNAME: u8 = 5;
const AAAA: u8 = 28;
const HEADER: usize = 12;
/// Version 1.2.3 follows a pointer within so many bytes, whatever the length of the answer.
const OLD_END: usize = 512;

/// An answer in the memory it was received in. Where a record is cut, version 1.2.3 reads what lies behind the end: the rest of
/// another answer, or what was there before (`None`), which no model knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'memory> {
    pub(super) memory: &'memory [Option<u8>],
    pub(super) length: usize,
}

impl Packet<'_> {
    fn byte(self, at: usize) -> u8 {
        self.known(at).unwrap_or(0)
    }

    fn known(self, at: usize) -> Option<u8> {
        self.memory.get(at).copied().flatten()
    }

    fn number(self, at: usize) -> usize {
        usize::from(self.byte(at)) << 8 | usize::from(self.byte(at + 1))
    }

    /// The response code, as far as it fits into the header.
    pub(super) fn code(self) -> u8 {
        self.byte(3) & 15
    }
}

/// What was read so far, out of all answers to one name.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// As they stand there, also twice.
    pub(super) addresses: Vec<IpAddr>,
    /// The target of the last alias.
    pub(super) canonical: Option<Vec<u8>>,
    /// A record was read that consists in part of what was in memory before.
    pub(super) is_guessed: bool,
}

impl Records {
    /// Reads an answer, up to the first thing that is wrong; what was found before counts. `wanted` is the type asked for.
    pub(super) fn read(&mut self, packet: Packet<'_>, wanted: u8, version: MuslVersion) {
        if packet.length < HEADER || packet.code() != 0 {
            return;
        }
        let (questions, answers) = (packet.number(4), packet.number(6));
        if version < MuslVersion::V1_2_5 && questions + answers > 64 {
            return;
        }
        let mut at = HEADER;
        for _ in 0..questions {
            let Some(behind) = behind_name(packet, at, 6, version) else { return };
            at = behind + 4;
        }
        for _ in 0..answers {
            let least = if version == MuslVersion::V1_2_3 { 6 } else { 12 };
            let Some(fields) = behind_name(packet, at, least, version) else { return };
            let (length, data) = (packet.number(fields + 8), fields + 10);
            // The oldest forgets the ten bytes of the fields in front of the data.
            let end = if version == MuslVersion::V1_2_3 { fields + length } else { data + length };
            if end > packet.length {
                return;
            }
            self.is_guessed |= (fields..data + length).any(|place| packet.known(place).is_none());
            if !self.record(packet, packet.byte(fields + 1), data, length, wanted, version) {
                return;
            }
            at = data + length;
        }
    }

    /// Takes a record; `false` ends the reading. Of the type only the low byte is looked at.
    fn record(
        &mut self,
        packet: Packet<'_>,
        kind: u8,
        data: usize,
        length: usize,
        wanted: u8,
        version: MuslVersion,
    ) -> bool {
        let is_full = self.addresses.len() >= MOST_ADDRESSES;
        if version == MuslVersion::V1_2_3 && is_full {
            return false;
        }
        match kind {
            CNAME => {
                let end = if version == MuslVersion::V1_2_3 { OLD_END } else { packet.length };
                if let Some(target) = expand(packet, data, end).filter(|name| is_valid_host(name)) {
                    self.canonical = Some(target);
                }
            }
            _ if version > MuslVersion::V1_2_3 && (is_full || kind != wanted) => {}
            A | AAAA => {
                let mut octets = [0; 16];
                let size = if kind == A { 4 } else { 16 };
                if length != size {
                    return false;
                }
                for (place, octet) in octets.iter_mut().take(size).enumerate() {
                    *octet = packet.byte(data + place);
                }
                let [one, two, three, four, ..] = octets;
                self.addresses.push(match kind {
                    A => Ipv4Addr::new(one, two, three, four).into(),
                    _ => Ipv6Addr::from(octets).into(),
                });
            }
            _ => {}
        }
        true
    }
}

/// Where a name ends: at its zero, or behind a pointer. Letters are passed over one by one, so a byte above 127 in a label is
/// taken for a pointer; versions before 1.2.5 follow none beyond the first 512 bytes, and stop.
fn behind_name(packet: Packet<'_>, mut at: usize, least: usize, version: MuslVersion) -> Option<usize> {
    while at < packet.length && (1..128).contains(&packet.byte(at)) {
        at += 1;
    }
    let end = packet.byte(at);
    let is_far = end > 193 || (end == 193 && packet.byte(at + 1) > 254);
    if at + least > packet.length || (version < MuslVersion::V1_2_5 && is_far) {
        return None;
    }
    Some(at + 1 + usize::from(end != 0))
}

/// The name at that place; `None` where it is none.
fn expand(packet: Packet<'_>, at: usize, end: usize) -> Option<Vec<u8>> {
    const LONGEST: usize = 254;
    let mut name = Vec::new();
    let mut place = at;
    if place == end {
        return None;
    }
    // As many steps as a name without a ring of pointers can have.
    for _ in 0..end.div_ceil(2) {
        let length = packet.byte(place);
        if length & 0xc0 != 0 {
            if place + 1 == end {
                return None;
            }
            place = packet.number(place) & 0x3fff;
            if place >= end {
                return None;
            }
        } else if length != 0 {
            if !name.is_empty() {
                name.push(b'.');
            }
            place += 1;
            let length = usize::from(length);
            if place + length >= end || name.len() + length >= LONGEST {
                return None;
            }
            name.extend((place..place + length).map(|place| packet.byte(place)));
            place += length;
        } else {
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x01a\x04test\0\0\x01\0\x01";

    fn message(count: u8, records: &[&[u8]]) -> Vec<u8> {
        [&[0, 0, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0], QUESTION, &records.concat()].concat()
    }

    fn address(kind: u8, class: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        [&[0xc0, 12, 0, kind, 0, class, 0, 0, 0, 60, 0, length], data].concat()
    }

    fn read_as(version: MuslVersion, memory: &[u8]) -> Vec<String> {
        let mut records = Records::default();
        let memory: Vec<_> = memory.iter().copied().map(Some).collect();
        records.read(Packet { memory: &memory, length: memory.len() }, A, version);
        let words = records.addresses.iter().map(IpAddr::to_string);
        words.chain(records.canonical.map(|name| format!("as {}", String::from_utf8_lossy(&name)))).collect()
    }

    fn read(memory: &[u8]) -> Vec<String> {
        read_as(MuslVersion::V1_2_3, memory)
    }

    #[test]
    fn every_address_counts_whatever_its_owner_class_and_place() {
        let alias = [&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'b', 0xc0, 14][..]].concat();
        let first = address(A, 1, &[10, 0, 0, 1]);
        let other = [&b"\x05other\0\0\x01\0\x03\0\0\0\x3c\0\x04"[..], &[10, 0, 0, 2]].concat();
        // The alias stands behind the address it leads to.
        let memory = message(3, &[&first, &alias, &other]);
        assert_eq!(read(&memory), ["10.0.0.1", "10.0.0.2", "as b.test"]);
    }

    #[test]
    fn the_other_type_counts_in_the_oldest_alone() {
        let memory = message(2, &[&address(AAAA, 1, &[0; 16]), &address(A, 1, &[10, 0, 0, 1])]);
        assert_eq!(read(&memory), ["::", "10.0.0.1"]);
        assert_eq!(read_as(MuslVersion::V1_2_4, &memory), ["10.0.0.1"]);
    }

    #[test]
    fn an_address_of_a_wrong_length_ends_the_reading() {
        let (good, bad) = (address(A, 1, &[10, 0, 0, 1]), address(A, 1, &[10, 0, 0]));
        assert_eq!(read(&message(3, &[&good, &bad, &good])), ["10.0.0.1"]);
    }

    #[test]
    fn many_records_are_too_many_before_1_2_5() {
        let good = address(A, 1, &[10, 0, 0, 1]);
        let many = |count: u8| message(count, &vec![&good[..]; count.into()]);
        // 64 with the question; addresses end earlier.
        assert_eq!(read(&many(63)).len(), MOST_ADDRESSES);
        assert_eq!(read(&many(64)).len(), 0);
        assert_eq!(read_as(MuslVersion::V1_2_5, &many(64)).len(), MOST_ADDRESSES);
    }

    #[test]
    fn a_pointer_beyond_512_ends_the_reading_before_1_2_5() {
        let far = [0xc1, 0xff, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];
        assert_eq!(read(&message(1, &[&far])), [""; 0]);
        assert_eq!(read_as(MuslVersion::V1_2_5, &message(1, &[&far])), ["10.0.0.1"]);
        // A label of other letters than ASCII is taken for such a pointer.
        let label = [&[2, 0xc3, 0xbc, 0, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1][..]].concat();
        assert_eq!(read(&message(1, &[&label])), [""; 0]);
    }

    #[test]
    fn an_answer_that_is_none_has_nothing() {
        assert_eq!(read(&[0, 0, 0x81, 0x80]), [""; 0]);
        assert_eq!(read(&message(5, &[])), [""; 0]);
        let mut refused = message(1, &[&address(A, 1, &[10, 0, 0, 1])]);
        refused[3] = 0x85;
        assert_eq!(read(&refused), [""; 0]);
    }

    #[test]
    fn what_was_in_memory_before_is_not_known() {
        let memory = message(1, &[&address(A, 1, &[10, 0, 0, 1])]);
        let (whole, part) = (memory.len(), memory.len() - 2);
        let read = |memory: &[u8], length, room: usize, version| {
            let known = memory.iter().copied().map(Some);
            let memory: Vec<_> = known.chain(std::iter::repeat(None)).take(room).collect();
            let mut records = Records::default();
            records.read(Packet { memory: &memory, length }, A, version);
            (records.addresses.len(), records.is_guessed)
        };
        assert_eq!(read(&memory, whole, 512, MuslVersion::V1_2_3), (1, false));
        assert_eq!(read(&memory[..part], part, 512, MuslVersion::V1_2_3), (1, true));
        // An earlier answer left its end there.
        assert_eq!(read(&memory, part, 512, MuslVersion::V1_2_3), (1, false));
        assert_eq!(read(&memory[..part], part, 512, MuslVersion::V1_2_4), (0, false));
    }

    #[test]
    fn a_ring_of_pointers_is_no_name() {
        let alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 38];
        let place = HEADER + QUESTION.len() + 12;
        let memory = message(1, &[&alias[..13], &[u8::try_from(place).unwrap()]]);
        assert_eq!(read(&memory), [""; 0]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(memory in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..700), code in 0u8..2, counts in 0u8..70) {
            for version in [MuslVersion::V1_2_3, MuslVersion::V1_2_4, MuslVersion::V1_2_5] {
                let mut memory = memory.clone();
                if let [_, _, _, flags, _, questions, high, answers, ..] = &mut memory[..] {
                    (*flags, *questions, *high, *answers) = (code, counts % 3, 0, counts);
                }
                let mut records = Records::default();
                let memory: Vec<_> = memory.into_iter().map(Some).collect();
                records.read(Packet { memory: &memory, length: memory.len() }, AAAA, version);
                proptest::prop_assert!(records.addresses.len() <= MOST_ADDRESSES);
            }
        }
    }
}
