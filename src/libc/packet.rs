//! DNS messages and names, read no further and no stricter than glibc reads them.

/// What ends a message: 12 bytes are its least.
pub(super) const HEADER_LENGTH: usize = 12;

/// The class of the Internet.
pub(super) const CLASS_IN: u16 = 1;

/// The numbers of the types that are read.
pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_CNAME: u16 = 5;
pub(super) const TYPE_AAAA: u16 = 28;

/// The response codes that a library tells apart.
pub(super) const NOERROR: u8 = 0;
pub(super) const SERVFAIL: u8 = 2;
pub(super) const NXDOMAIN: u8 = 3;
pub(super) const NOTIMP: u8 = 4;
pub(super) const REFUSED: u8 = 5;

/// The most bytes of a name, its lengths and the root's zero counted.
const LONGEST_NAME: usize = 255;

/// The header of a message. What is not there reads as zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a>(pub(super) &'a [u8]);

impl Header<'_> {
    fn byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// The response code, without what EDNS adds to it.
    pub(super) fn rcode(self) -> u8 {
        self.byte(3) & 0x0f
    }

    /// Whether the server knows the zone itself.
    pub(super) fn is_authoritative(self) -> bool {
        self.byte(2) & 0x04 != 0
    }

    /// Whether the message was cut to fit a datagram.
    pub(super) fn is_truncated(self) -> bool {
        self.byte(2) & 0x02 != 0
    }

    /// Whether the server looks further for who asks.
    pub(super) fn offers_recursion(self) -> bool {
        self.byte(3) & 0x80 != 0
    }

    /// The number of questions.
    pub(super) fn questions(self) -> u16 {
        u16_at(self.0, 4).unwrap_or(0)
    }

    /// The number of answers, as the message says it.
    pub(super) fn answers(self) -> u16 {
        u16_at(self.0, 6).unwrap_or(0)
    }

    /// The number of additional records, as the message says it.
    pub(super) fn additionals(self) -> u16 {
        u16_at(self.0, 10).unwrap_or(0)
    }
}

/// A name as it stands in a message: each label behind its length, and the root's zero at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireName(Vec<u8>);

impl WireName {
    /// From text, with the escapes of zone files; a dot at the end changes nothing (glibc 2.36, `resolv/ns_name_pton.c`).
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let mut wire = Vec::new();
        let mut label = Vec::new();
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' => label.push(unescaped(&mut bytes)?),
                b'.' => {
                    let is_last = bytes.as_slice().is_empty();
                    if label.is_empty() && !(is_last && wire.is_empty()) {
                        return None;
                    }
                    end_label(&mut wire, &mut label)?;
                }
                _ => label.push(byte),
            }
        }
        end_label(&mut wire, &mut label)?;
        wire.push(0);
        (wire.len() <= LONGEST_NAME).then_some(Self(wire))
    }

    /// From labels as they are, of 63 bytes at the most each.
    pub(super) fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            wire.extend(label);
        }
        wire.push(0);
        Self(wire)
    }

    /// The name at that place of a message, and the bytes it takes there (glibc 2.36, `resolv/ns_name_unpack.c`).
    pub(super) fn unpack(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut wire = Vec::new();
        let mut place = at;
        let mut taken = None;
        let mut checked = 0;
        loop {
            let length = usize::from(*message.get(place)?);
            place += 1;
            match length & 0xc0 {
                _ if length == 0 => break,
                0 => {
                    // A byte must follow, and room for the root must stay.
                    if length + 1 >= LONGEST_NAME - wire.len() || length >= message.len() - place {
                        return None;
                    }
                    checked += length + 1;
                    wire.extend(&message[place - 1..place + length]);
                    place += length;
                }
                0xc0 => {
                    let low = usize::from(*message.get(place)?);
                    taken.get_or_insert_with(|| place + 1 - at);
                    place = ((length & 0x3f) << 8) | low;
                    checked += 2;
                    if place >= message.len() || checked >= message.len() {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        wire.push(0);
        Some((Self(wire), taken.unwrap_or_else(|| place - at)))
    }

    /// The name at that place, if nothing in it is compressed, and the bytes it takes.
    pub(super) fn uncompressed(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut place = at;
        loop {
            let length = usize::from(*message.get(place)?);
            place += 1;
            match length {
                0 => break,
                1..=63 if length <= message.len() - place => place += length,
                _ => return None,
            }
        }
        (place - at <= LONGEST_NAME).then(|| (Self(message[at..place].to_vec()), place - at))
    }

    /// Whether both are one name. The case of ASCII letters does not matter.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Whether a host may have this name: letters, digits, `-` and `_`, and no `-` at the beginning (glibc 2.36,
    /// `resolv/res-name-checking.c`).
    pub(super) fn is_host_name(&self) -> bool {
        let mut rest = &self.0[..];
        if rest.get(1) == Some(&b'-') {
            return false;
        }
        while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length != 0) {
            let (label, next) = after.split_at(usize::from(length).min(after.len()));
            if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return false;
            }
            rest = next;
        }
        true
    }

    /// The name as text, with the escapes of zone files and without a dot at its end; the root is empty.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut rest = &self.0[..];
        while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length != 0) {
            let (label, next) = after.split_at(usize::from(length).min(after.len()));
            if !text.is_empty() {
                text.push('.');
            }
            for &byte in label {
                match byte {
                    b'"' | b'.' | b';' | b'\\' | b'(' | b')' | b'@' | b'$' => text.extend(['\\', char::from(byte)]),
                    0x21..0x7f => text.push(char::from(byte)),
                    _ => text.extend(['\\', digit(byte / 100), digit(byte / 10 % 10), digit(byte % 10)]),
                }
            }
            rest = next;
        }
        text
    }
}

fn digit(value: u8) -> char {
    char::from(b'0' + value)
}

/// What stands behind a backslash: three digits of a byte, or the byte itself.
fn unescaped<'a>(bytes: &mut impl Iterator<Item = &'a u8>) -> Option<u8> {
    let first = *bytes.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(|digit| digit.is_ascii_digit())?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).ok()
}

/// Takes a label over into the name; none where it is empty.
fn end_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Option<()> {
    if !label.is_empty() {
        wire.push(u8::try_from(label.len()).ok().filter(|length| *length < 64)?);
        wire.append(label);
    }
    Some(())
}

/// A record of a message.
#[derive(Debug)]
pub(super) struct WireRecord<'a> {
    /// Whose record it is.
    pub(super) owner: WireName,
    /// The number of its type.
    pub(super) number: u16,
    /// Where its data begins in the message.
    pub(super) data_at: usize,
    /// Its data.
    pub(super) data: &'a [u8],
}

/// Reads the answers of a message one after the other (glibc 2.36, `resolv/ns_rr_cursor_init.c` and _next.c).
#[derive(Debug)]
pub(super) struct WireRecords<'a> {
    message: &'a [u8],
    at: usize,
    /// The name of the question.
    pub(super) asked_name: WireName,
    /// The type of the question.
    pub(super) asked_number: u16,
}

impl<'a> WireRecords<'a> {
    /// Behind the one question, which must be readable and not compressed.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        if message.len() < HEADER_LENGTH || Header(message).questions() != 1 {
            return None;
        }
        let (asked_name, taken) = WireName::uncompressed(message, HEADER_LENGTH)?;
        let at = HEADER_LENGTH + taken;
        let asked_number = u16_at(message, at)?;
        (message.len() - at >= 4).then_some(Self { message, at: at + 4, asked_name, asked_number })
    }

    /// The next record; none where the bytes are no record.
    pub(super) fn next(&mut self) -> Option<WireRecord<'a>> {
        let (owner, taken) = WireName::unpack(self.message, self.at)?;
        let at = self.at + taken;
        let number = u16_at(self.message, at)?;
        let length = usize::from(u16_at(self.message, at + 8)?);
        let data_at = at + 10;
        let data = self.message.get(data_at..data_at + length)?;
        self.at = data_at + length;
        Some(WireRecord { owner, number, data_at, data })
    }
}

/// Whether the question in these bytes is this one; none where it cannot be read (glibc 2.36,
/// `resolv/res_queriesmatch.c`).
pub(super) fn asks_for(bytes: &[u8], name: &WireName, number: u16) -> Option<bool> {
    if Header(bytes).questions() != 1 {
        return Some(false);
    }
    let (asked, taken) = WireName::unpack(bytes, HEADER_LENGTH)?;
    let at = HEADER_LENGTH + taken;
    let (asked_number, class) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
    Some(asked_number == number && class == CLASS_IN && asked.is_same(name))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Option<WireName> {
        WireName::from_text(text.as_bytes())
    }

    #[test]
    fn names_are_read_as_a_zone_file_writes_them() {
        for (text, told) in [
            ("a.b", Some("a.b")),
            ("a.b.", Some("a.b")),
            (".", Some("")),
            ("", Some("")),
            (r"a\.b\065\\", Some(r"a\.bA\\")),
            ("a\r", Some(r"a\013")),
            ("a..b", None),
            (".a", None),
            ("a..", None),
            ("..", None),
            (r"a\", None),
            (r"a\25", None),
            (r"a\256", None),
        ] {
            assert_eq!(wire(text).map(|name| name.to_text()).as_deref(), told, "{text:?}");
        }
        assert!(wire(&"a".repeat(63)).is_some() && wire(&"a".repeat(64)).is_none());
        // 255 bytes with all lengths and the root.
        let long = |last: usize| format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(last));
        assert!(wire(&long(61)).is_some() && wire(&long(62)).is_none());
    }

    #[test]
    fn a_host_has_letters_digits_and_two_signs() {
        for (text, is_host) in [
            ("a-b_c.1", true),
            ("", true),
            ("-a", false),
            ("a.-b", true),
            ("a$", false),
            (r"a\.b", false),
            ("ä", false),
        ] {
            assert_eq!(wire(text).unwrap().is_host_name(), is_host, "{text}");
        }
        assert!(wire("A.b").unwrap().is_same(&wire("a.B.").unwrap()));
        assert!(!wire("a.b").unwrap().is_same(&wire("a.b.c").unwrap()));
    }

    #[test]
    fn a_compressed_name_ends_or_is_none() {
        let header = [0; HEADER_LENGTH];
        let unpack = |tail: &[u8], at: usize| {
            let message = [&header, tail].concat();
            WireName::unpack(&message, HEADER_LENGTH + at).map(|(name, taken)| (name.to_text(), taken))
        };
        assert_eq!(unpack(b"\x01a\0\x01b\xc0\x0c\0", 3), Some(("b.a".to_owned(), 4)));
        assert_eq!(unpack(b"\xc0\x0c\0\0", 0), None, "it leads to itself");
        assert_eq!(unpack(b"\xc0\xff\0\0", 0), None, "it leads out of the message");
        assert_eq!(unpack(b"\x05ab", 0), None);
        assert_eq!(unpack(b"\x01a", 0), None, "the root is missing");
        assert_eq!(unpack(b"\x80a\0", 0), None);
        assert!(WireName::uncompressed(b"\xc0\x00", 0).is_none() && WireName::uncompressed(b"\x01a\0", 0).is_some());
    }

    #[test]
    fn a_question_is_the_same_or_another_or_none() {
        let name = wire("a.b").unwrap();
        let asks = |questions: u8, tail: &[u8]| {
            let mut bytes = [&[0; HEADER_LENGTH][..], tail].concat();
            bytes[5] = questions;
            asks_for(&bytes, &name, TYPE_A)
        };
        assert_eq!(asks(1, b"\x01A\x01B\0\0\x01\0\x01"), Some(true));
        assert_eq!(asks(1, b"\x01a\x01b\0\0\x1c\0\x01"), Some(false), "another type");
        assert_eq!(asks(1, b"\x01a\x01b\0\0\x01\0\x03"), Some(false), "another class");
        assert_eq!(asks(1, b"\x01a\x01c\0\0\x01\0\x01"), Some(false), "another name");
        assert_eq!(asks(0, b"\x01a\x01b\0\0\x01\0\x01"), Some(false));
        assert_eq!(asks(2, b"\x01a\x01b\0\0\x01\0\x01"), Some(false));
        for tail in [&b"\x80"[..], b"", b"\x01a\0\0\x01\0"] {
            assert_eq!(asks(1, tail), None);
        }
    }
}
