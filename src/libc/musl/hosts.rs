//! `/etc/hosts` as musl reads it (musl 1.2.3, `src/network/lookup_name.c`, `name_from_hosts`).

use std::net::IpAddr;

use super::c_text::{Lines, find, first_word, is_space, trimmed};
use super::literal::{IpLiteral, literal};
use super::name::is_valid_host;
use super::version::MOST_ADDRESSES;

/// A longer line is read as several.
const LINE: usize = 512;

/// What it pins for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MuslPin {
    /// Addresses, and the first name on the first of their lines that has one of a host.
    Addresses(Vec<IpAddr>, Option<Vec<u8>>),
    /// Only addresses that cannot be used: the name is not known, and no server is asked.
    Unusable,
    /// Nothing.
    Absent,
}

/// Looks a name up in the file.
pub(super) fn pinned(file: &[u8], name: &[u8], interfaces: &[(String, u32)]) -> MuslPin {
    let mut addresses = Vec::new();
    let mut canonical = None;
    let mut has_bad_scope = false;
    for line in Lines::new(file, LINE) {
        if addresses.len() >= MOST_ADDRESSES {
            break;
        }
        // A comment ends the line with a line feed of its own.
        let mut text = line.text.to_vec();
        if let Some(comment) = text.iter().position(|byte| *byte == b'#') {
            text.truncate(comment);
            text.push(b'\n');
        }
        if !has_word(&text, name) {
            continue;
        }
        let word = first_word(&text);
        match literal(word, interfaces) {
            IpLiteral::Address(address, _) => addresses.push(address),
            IpLiteral::BadScope => has_bad_scope = true,
            IpLiteral::Other => continue,
        }
        if canonical.is_none() {
            let behind = text.get(word.len() + 1..).unwrap_or_default();
            canonical = Some(first_word(trimmed(behind))).filter(|name| is_valid_host(name)).map(<[u8]>::to_vec);
        }
    }
    if addresses.is_empty() {
        return if has_bad_scope { MuslPin::Unusable } else { MuslPin::Absent };
    }
    MuslPin::Addresses(addresses, canonical)
}

/// Whether the name stands in the line with white space on both sides. Case counts; at the end of the file the last line may
/// have no white space behind the name, and then it is not found.
fn has_word(line: &[u8], name: &[u8]) -> bool {
    let mut from = 1;
    while let Some(at) = find(line, name, from) {
        let is_space_at = |place: usize| line.get(place).is_some_and(|byte| is_space(*byte));
        if is_space_at(at - 1) && is_space_at(at + name.len()) {
            return true;
        }
        from = at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, name: &str) -> String {
        match pinned(file.as_bytes(), name.as_bytes(), &[]) {
            MuslPin::Addresses(addresses, canonical) => {
                let words: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                format!("{} as {}", words.join(" "), String::from_utf8_lossy(&canonical.unwrap()))
            }
            MuslPin::Unusable => "unusable".to_owned(),
            MuslPin::Absent => "absent".to_owned(),
        }
    }

    #[test]
    fn every_line_with_the_name_counts_and_the_first_names_it() {
        let file = "10.0.0.1 a.test a # note\nfd00::1\ta\n10.0.0.2 b a\r\n";
        assert_eq!(read(file, "a"), "10.0.0.1 fd00::1 10.0.0.2 as a.test");
        assert_eq!(read(file, "A"), "absent");
        assert_eq!(read(file, "note"), "absent");
        assert_eq!(read(file, "10.0.0.1"), "absent");
    }

    #[test]
    fn the_last_line_needs_its_end() {
        assert_eq!(read("10.0.0.1 a", "a"), "absent");
        assert_eq!(read("10.0.0.1 a ", "a"), "10.0.0.1 as a");
        assert_eq!(read("10.0.0.1 a#x", "a"), "10.0.0.1 as a");
    }

    #[test]
    fn a_line_with_a_blank_in_front_has_no_address() {
        assert_eq!(read(" 10.0.0.1 a\n", "a"), "absent");
        assert_eq!(read("10.0.0.300 a\nx a\n", "a"), "absent");
    }

    #[test]
    fn an_unknown_scope_ends_the_lookup() {
        assert_eq!(read("fe80::1%none a\n", "a"), "unusable");
        assert_eq!(read("fe80::1%none b a\n10.0.0.1 a\n", "a"), "10.0.0.1 as b");
    }

    #[test]
    fn a_long_line_goes_on_as_another() {
        let read = |length| read(&format!("10.0.0.1 {} 10.0.0.2 a\n", "x".repeat(length)), "a");
        assert_eq!(read(500), "0.0.0.2 as a");
        assert_eq!(read(501), "10.0.0.2 as a");
        // A piece that begins with a blank has no address.
        assert_eq!(read(502), "absent");
    }

    #[test]
    fn no_more_than_a_fixed_number_is_taken() {
        let lines: Vec<_> = (0..60).map(|number| format!("10.0.0.{number} a\n")).collect();
        assert_eq!(read(&lines.concat(), "a").split(' ').count(), MOST_ADDRESSES + 2);
    }

    proptest::proptest! {
        #[test]
        fn no_file_is_too_odd(file in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1200), name in ".{1,4}") {
            let _ = pinned(&file, name.as_bytes(), &[]);
        }
    }
}
