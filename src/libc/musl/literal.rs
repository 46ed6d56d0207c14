//! An address as text, where musl takes one (musl 1.2.3, `src/network/lookup_ipliteral.c`, `inet_aton.c`, `inet_pton.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::c_text::until_nul;

/// What a text is, taken as an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IpLiteral {
    /// An address, with the number of its scope.
    Address(IpAddr, u32),
    /// An IPv6 address with a scope that is none.
    BadScope,
    /// No address.
    Other,
}

/// Reads a text; the interfaces are the machine's, for a scope with a name.
pub(super) fn literal(text: &[u8], interfaces: &[(String, u32)]) -> IpLiteral {
    let text = until_nul(text);
    if let Some(address) = inet_aton(text) {
        return IpLiteral::Address(address.into(), 0);
    }
    let percent = text.iter().position(|byte| *byte == b'%');
    // The part before the scope is cut off only where it fits a buffer of 64; otherwise it is no address with it.
    let address = percent.filter(|at| *at < 64).map_or(text, |at| &text[..at]);
    let Some(address) = inet_pton6(address) else { return IpLiteral::Other };
    let Some(scope) = percent.map(|at| &text[at + 1..]) else { return IpLiteral::Address(address.into(), 0) };
    match scope_id(address, scope, interfaces) {
        Some(scope) => IpLiteral::Address(address.into(), scope),
        None => IpLiteral::BadScope,
    }
}

fn scope_id(address: Ipv6Addr, scope: &[u8], interfaces: &[(String, u32)]) -> Option<u32> {
    let digits = scope.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 && digits == scope.len() {
        return super::c_text::number(scope).and_then(|number| u32::try_from(number).ok());
    }
    let is_of_link = address.segments()[0] & 0xffc0 == 0xfe80 || address.segments()[0] & 0xff0f == 0xff02;
    let named = interfaces.iter().find(|(name, _)| name.as_bytes() == scope);
    named.filter(|_| is_of_link).map(|(_, index)| *index)
}

/// One to four numbers, each decimal, octal or hexadecimal; the last fills the bytes that are left.
fn inet_aton(text: &[u8]) -> Option<Ipv4Addr> {
    let parts: Vec<_> = text.split(|byte| *byte == b'.').collect();
    let (last, first) = parts.split_last()?;
    if first.len() > 3 {
        return None;
    }
    let mut address = 0;
    for part in first {
        address = address << 8 | u32::from(u8::try_from(number(part)?).ok()?);
    }
    let last = u32::try_from(number(last)?).ok()?;
    let bits = 32 - 8 * first.len();
    let fits = bits == 32 || last >> bits == 0;
    let high = if bits == 32 { 0 } else { address << bits };
    fits.then_some(Ipv4Addr::from(high | last))
}

/// `strtoul` to the base that the text tells, of all of it.
fn number(text: &[u8]) -> Option<u64> {
    let (digits, base): (&[u8], u32) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', _, ..] => (text, 8),
        _ => (text, 10),
    };
    let mut sum: u64 = 0;
    for byte in digits {
        let digit = char::from(*byte).to_digit(base)?;
        sum = sum.saturating_mul(base.into()).saturating_add(digit.into());
    }
    (!digits.is_empty()).then_some(sum)
}

/// What `inet_pton` takes for an IPv6 address. It is less strict than others: a group that is left out may stand for none.
fn inet_pton6(text: &[u8]) -> Option<Ipv6Addr> {
    let at = |place: usize| text.get(place).copied().unwrap_or(0);
    let mut groups = [0u16; 8];
    let mut place = 0;
    if at(0) == b':' {
        place = 1;
        if at(1) != b':' {
            return None;
        }
    }
    let (mut gap, mut index, mut has_v4) = (None, 0, false);
    loop {
        if at(place) == b':' && gap.is_none() {
            gap = Some(index);
            groups[index & 7] = 0;
            place += 1;
            if at(place) == 0 {
                break;
            }
            if index == 7 {
                return None;
            }
            index += 1;
            continue;
        }
        let digits = text.get(place..).unwrap_or_default().iter().take(4).take_while(|byte| byte.is_ascii_hexdigit());
        let (count, value) = digits.fold((0, 0u16), |(count, value), byte| {
            let digit = char::from(*byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).unwrap_or(0);
            (count + 1, value << 4 | digit)
        });
        if count == 0 {
            return None;
        }
        groups[index & 7] = value;
        let next = at(place + count);
        if next == 0 && (gap.is_some() || index == 7) {
            break;
        }
        if index == 7 {
            return None;
        }
        if next != b':' {
            if next != b'.' || (index < 6 && gap.is_none()) {
                return None;
            }
            has_v4 = true;
            index += 1;
            break;
        }
        place += count + 1;
        index += 1;
    }
    if let Some(gap) = gap {
        let moved = index + 1 - gap;
        groups.copy_within(gap..gap + moved, gap + 7 - index);
        groups[gap..gap + 7 - index].fill(0);
    }
    if has_v4 {
        let octets = inet_pton4(text.get(place..)?)?;
        groups[6] = u16::from_be_bytes([octets[0], octets[1]]);
        groups[7] = u16::from_be_bytes([octets[2], octets[3]]);
    }
    Some(Ipv6Addr::from(groups))
}

/// Four decimal numbers. A zero before another digit is refused at the first digit of the text's part alone.
fn inet_pton4(text: &[u8]) -> Option<[u8; 4]> {
    let parts: Vec<_> = text.split(|byte| *byte == b'.').collect();
    let parts: [&[u8]; 4] = parts.try_into().ok()?;
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(parts) {
        let is_plain = (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
        if !is_plain || (part.len() > 1 && part[0] == b'0') {
            return None;
        }
        *octet = u8::try_from(super::c_text::number(part)?).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match literal(text.as_bytes(), &[("eth0".to_owned(), 2)]) {
            IpLiteral::Address(address, 0) => address.to_string(),
            IpLiteral::Address(address, scope) => format!("{address}%{scope}"),
            IpLiteral::BadScope => "bad scope".to_owned(),
            IpLiteral::Other => "other".to_owned(),
        }
    }

    #[test]
    fn ipv4_has_one_to_four_numbers_of_any_base() {
        assert_eq!(read("10.1.2.3"), "10.1.2.3");
        assert_eq!(read("10.53.1"), "10.53.0.1");
        assert_eq!(read("0x0a350001"), "10.53.0.1");
        assert_eq!(read("012.065.0.1"), "10.53.0.1");
        assert_eq!(read("167772161"), "10.0.0.1");
        for none in ["1.2.3.256", "1.2.3.4.5", "1.2.3.", ".1", "4294967296", "08.1.1.1", "0x", "1.2.3.4;x", "", "+1"] {
            assert_eq!(read(none), "other", "{none}");
        }
    }

    #[test]
    fn a_scope_is_a_number_or_an_interface_of_the_link() {
        assert_eq!(read("fe80::1%eth0"), "fe80::1%2");
        assert_eq!(read("fe80::1%7"), "fe80::1%7");
        assert_eq!(read("fd00::1%7"), "fd00::1%7");
        for bad in ["fe80::1%eth1", "fd00::1%eth0", "fe80::1%", "fe80::1%4294967296", "fe80::1%7x"] {
            assert_eq!(read(bad), "bad scope", "{bad}");
        }
    }

    #[test]
    fn ipv6_is_read_as_written() {
        for text in ["::", "::1", "fd01::1", "1:2:3:4:5:6:7:8", "::ffff:10.1.2.3", "1::8"] {
            assert_eq!(read(text), text);
        }
        assert_eq!(read("1:2:3:4:5:6:7::"), "1:2:3:4:5:6:7:0");
        for none in ["fd01::g", "1:2:3:4:5:6:7:8:9", ":1", "1:2", "::1::2", "1:::2", "12345::", "::1.2.3", "[::1]"] {
            assert_eq!(read(none), "other", "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), likely in "[0-9a-fx:.%]{0,24}") {
            let _ = literal(&text, &[]);
            let ours = literal(likely.as_bytes(), &[]);
            // What Rust takes for an address is one here too, with few exceptions of IPv4 that cannot be drawn.
            if let Ok(address) = likely.parse::<Ipv6Addr>() {
                proptest::prop_assert_eq!(ours, IpLiteral::Address(address.into(), 0));
            }
        }
    }
}
